"""The groups in which everybody is measured: all members but one are at hand here, and the one at leaf 1 is the contestant.

A *fresh* tree was made by one commit that added everybody: no parent node holds a key, except for the founder's path where the
key schedule wants every commit to have one. In a *full* one everybody has committed
since, so that every parent does that ever can, and no leaf is unmerged. The base of a full tree is built once; each contestant
then takes its seat in a fork of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks.group_operations.floor import SEAT
from dmls.ids import LeafIndex
from dmls.mls.codec import decode
from dmls.mls.crypto.randomness import Random
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.group.application import encrypt
from dmls.mls.group.commit import CommitOptions, StagedCommit, create_commit
from dmls.mls.group.leaf import Client, create_key_package
from dmls.mls.group.process import open_message, process_handshake
from dmls.mls.group.state import GroupState, create_group
from dmls.mls.group.welcome import make_group_info
from dmls.mls.messages.credential import BasicCredential
from dmls.mls.messages.key_package import KeyPackage
from dmls.mls.messages.leaf_node import Lifetime
from dmls.mls.messages.message import MLSMessage, encode_message
from dmls.mls.messages.proposal import Add, Remove
from dmls.mls.messages.registry import WireFormat
from dmls.mls.messages.welcome import Welcome
from dmls.mls.schedule.key_schedule import RFC9420_RULE, InitSecretRule

__all__ = ["MOST_ADDED", "Stage", "add_members", "make_client", "make_lifetime", "make_stage", "read_key_package"]

MOST_ADDED = 10_000
"""Members whom one commit adds; receivers take 16,384 proposals."""

_FOUNDER = LeafIndex(0)
_SEAT = LeafIndex(SEAT)
_WIRE_FORMATS = {"public": WireFormat.PUBLIC_MESSAGE, "private": WireFormat.PRIVATE_MESSAGE}


def make_client(suite: CipherSuite, name: str, random: Random) -> Client:
    """Make a client with a basic credential and a new signature key."""
    return Client.create(suite, BasicCredential(name.encode()), random)


def make_lifetime(now: int) -> Lifetime:
    """Return a lifetime that every implementation takes: from an hour ago, in seconds, for a month."""
    return Lifetime(now - 3_600, now + 30 * 86_400)


def read_key_package(data: bytes) -> KeyPackage:
    """Read a key package out of an MLSMessage."""
    body = decode(MLSMessage, data).body
    if not isinstance(body, KeyPackage):
        raise TypeError("not a key package")
    return body


@dataclass(frozen=True)
class Stage:
    """A group as everybody sees it who is at hand.

    Attributes:
        tree: `fresh` or `full`.
        state: of the group, in which all clients are members.
        clients: who they are, by leaf.
        keys: private keys by public key.
        lifetime: of all key packages.
        random: where keys come from.
        handshake: `public` or `private`, as the contestant can read.
    """

    tree: str
    state: GroupState
    clients: Mapping[LeafIndex, Client]
    keys: Mapping[bytes, Secret]
    lifetime: Lifetime
    random: Random
    handshake: str = "public"

    @property
    def suite(self) -> CipherSuite:
        """The cipher suite."""
        return self.state.public.suite

    @property
    def size(self) -> int:
        """How many members there are, the contestant included."""
        return self.state.public.tree.member_count

    @property
    def farthest(self) -> LeafIndex:
        """The last leaf: only the root is above both it and the contestant, unless there are but two members."""
        return LeafIndex(self.size - 1 if self.size > 2 else 0)

    def seat(self, key_package: bytes) -> tuple[Stage, bytes]:
        """Let the contestant take the place of the member at leaf 1, in a fork of the group; return the Welcome too."""
        proposals = (Remove(_SEAT), Add(read_key_package(key_package)))
        staged = create_commit(self.state, self.clients[_FOUNDER], _FOUNDER, proposals, self.random)
        clients = {leaf: client for leaf, client in self.clients.items() if leaf != _SEAT}
        stage = replace(self, state=staged.state, clients=clients, keys={**self.keys, **staged.private_keys})
        return stage, encode_message(_present(staged.welcome))

    def process(self, message: bytes) -> Stage:
        """Process a commit of the contestant."""
        content, state = open_message(self.state, decode(MLSMessage, message))
        processed = process_handshake(state, content, self.keys)
        return replace(self, state=processed.state, keys={**self.keys, **processed.private_keys})

    def fill(self, advance: Callable[[], None] = lambda: None) -> tuple[Stage, list[bytes]]:
        """Let everybody at hand commit once; return the commits too."""
        state, keys, messages = self.state, dict(self.keys), []
        options = CommitOptions(wire_format=_WIRE_FORMATS[self.handshake])
        for leaf in _bit_reversed(self.size):
            if leaf in self.clients:
                staged = create_commit(state, self.clients[leaf], leaf, (), self.random, options)
                state = staged.state
                keys.update(staged.private_keys)
                messages.append(staged.message)
            advance()
        return replace(self, tree="full", state=state, keys=keys), messages

    def key_packages(self, count: int) -> Iterator[bytes]:
        """Yield key packages of new clients."""
        for number in range(count):
            client = make_client(self.suite, f"newcomer {number}", self.random)
            yield encode_message(create_key_package(self.suite, client, self.lifetime, self.random).key_package)

    def commit(self, leaf: LeafIndex) -> bytes:
        """Commit a path and nothing else, without entering the epoch."""
        options = CommitOptions(wire_format=_WIRE_FORMATS[self.handshake])
        return create_commit(self.state, self.clients[leaf], leaf, (), self.random, options).message

    def admit(self, key_package: bytes) -> bytes:
        """Add a member without entering the epoch; return the Welcome, with the tree."""
        options = CommitOptions(force_path=self.state.rule is not RFC9420_RULE)
        additions = (Add(read_key_package(key_package)),)
        return encode_message(
            _present(create_commit(self.state, self.clients[_FOUNDER], _FOUNDER, additions, self.random, options).welcome)
        )

    def group_info(self) -> bytes:
        """Return a GroupInfo with the tree and external_pub."""
        return encode_message(make_group_info(self.state, self.clients[_FOUNDER], _FOUNDER, with_tree=True))

    def messages(self, leaf: LeafIndex, text: bytes, count: int) -> list[bytes]:
        """Say the same so many times."""
        state, messages = self.state, []
        for _ in range(count):
            sent = encrypt(state, self.clients[leaf], leaf, text, self.random)
            state = sent.state
            messages.append(sent.message)
        return messages

    def leaver(self) -> dict[str, int | str]:
        """Say who is to be removed: the member at the last leaf."""
        client = self.clients[self.farthest]
        identity = client.credential.identity if isinstance(client.credential, BasicCredential) else b""
        return {"leaf": self.farthest, "identity": identity.hex(), "signature_key": client.signature_key.hex()}


def make_stage(
    suite: CipherSuite,
    size: int,
    random: Random,
    now: int,
    *,
    rule: InitSecretRule = RFC9420_RULE,
    key_package: bytes | None = None,
    handshake: str = "public",
) -> tuple[Stage, bytes]:
    """Make a fresh group, with a contestant at leaf 1 if its key package is given; return its Welcome too.

    Args:
        suite: of the group.
        size: number of members, at least 2.
        random: where keys come from.
        now: seconds since the epoch.
        rule: how init secrets come about.
        key_package: of the contestant, an MLSMessage.
        handshake: `public` or `private`.
    """
    lifetime = make_lifetime(now)
    clients = {LeafIndex(leaf): make_client(suite, f"member {leaf}", random) for leaf in range(size)}
    created = create_group(suite, random(16), clients[_FOUNDER], lifetime, random, rule=rule)
    keys = dict(created.private_keys)
    additions = []
    for leaf in range(1, size):
        if leaf == _SEAT and key_package is not None:
            del clients[_SEAT]
            additions.append(Add(read_key_package(key_package)))
            continue
        bundle = create_key_package(suite, clients[LeafIndex(leaf)], lifetime, random)
        keys[bundle.key_package.leaf_node.encryption_key] = bundle.encryption_private_key
        additions.append(Add(bundle.key_package))
    options = CommitOptions(force_path=rule is not RFC9420_RULE)
    if key_package is not None and len(additions) > MOST_ADDED:
        raise ValueError(f"a contestant joins a fresh tree with its only commit, which adds {MOST_ADDED:,} members at most")
    staged = add_members(created.state, clients[_FOUNDER], additions, random, options)
    state = replace(staged.state, own_leaves=frozenset(clients))
    stage = Stage("fresh", state, clients, {**keys, **staged.private_keys}, lifetime, random, handshake)
    return stage, encode_message(_present(staged.welcome))


def add_members(
    state: GroupState, founder: Client, additions: Sequence[Add], random: Random, options: CommitOptions
) -> StagedCommit:
    """Let the founder add members, `MOST_ADDED` in a commit; return the last one."""
    batches = [additions[first : first + MOST_ADDED] for first in range(0, len(additions), MOST_ADDED)]
    for batch in batches[:-1]:
        state = create_commit(state, founder, _FOUNDER, batch, random, options).state
    return create_commit(state, founder, _FOUNDER, batches[-1], random, options)


def _bit_reversed(size: int) -> Iterator[LeafIndex]:
    """Yield all leaves so that the tree fills evenly, which keeps the commits that fill it small."""
    width = max(size - 1, 1).bit_length()
    order = (int(f"{number:0{width}b}"[::-1], 2) for number in range(1 << width))
    return (LeafIndex(leaf) for leaf in order if leaf < size)


def _present(welcome: Welcome | None) -> Welcome:
    if welcome is None:
        raise LookupError("nobody was welcomed")
    return welcome
