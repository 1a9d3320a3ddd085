"""Members of a group with real keys, and a room that delivers what one sends to all others and checks that they agree."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pytest

from dmls.errors import CryptoError, DMLSError, ValidationError
from dmls.ids import KeyPackageRef, LeafIndex
from dmls.mls.codec import decode, encode
from dmls.mls.crypto.randomness import Random
from dmls.mls.crypto.suites import CipherSuite, cipher_suite
from dmls.mls.group.application import SentMessage, encrypt, propose
from dmls.mls.group.commit import CommitOptions, StagedCommit, create_commit
from dmls.mls.group.external import StagedExternalCommit, create_external_commit
from dmls.mls.group.external_proposal import OutsideProposal
from dmls.mls.group.follower import PublicGroup, cache_proposal, follow, open_public_message
from dmls.mls.group.keyring import KeyRing, keys_in_use
from dmls.mls.group.leaf import Client, KeyPackageBundle, create_key_package
from dmls.mls.group.own_proposal import create_update
from dmls.mls.group.policy import OpenPolicy
from dmls.mls.group.process import ProcessedCommit, open_message, process_handshake, receive_proposal
from dmls.mls.group.snapshot import decode_public, decode_state, encode_public, encode_state
from dmls.mls.group.state import GroupState, create_group, export_secret
from dmls.mls.group.transition import follow_commit
from dmls.mls.group.welcome import JoinedGroup, JoinOptions, join, make_group_info
from dmls.mls.messages.commit import Commit, ProposalReference
from dmls.mls.messages.credential import BasicCredential
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.key_package import KeyPackage
from dmls.mls.messages.leaf_node import Capabilities, Lifetime
from dmls.mls.messages.message import ApplicationData, MLSMessage, PublicMessage
from dmls.mls.messages.proposal import Add, ProposalBody, Update
from dmls.mls.messages.registry import WireFormat
from dmls.mls.messages.welcome import Welcome
from dmls.mls.tree.ratchet_tree import RatchetTree
from dmls.mls.tree.storage import load_tree, new_nodes

__all__ = [
    "ALWAYS",
    "ANYBODY",
    "GROUP_ID",
    "Party",
    "Room",
    "Store",
    "body_of",
    "disagreeing",
    "exported",
    "fingerprint",
    "fresh_update",
    "parties",
    "refusing",
    "room_of",
]

T = TypeVar("T")

ALWAYS = Lifetime(0, 2**64 - 1)
GROUP_ID = b"!room:example.org"
ANYBODY = OpenPolicy()
_DEFAULTS = CommitOptions()


@dataclass
class Store:
    """Keeps trees by content, as a service does, and states as bytes."""

    rows: dict[bytes, bytes] = field(default_factory=dict)

    def keep(self, tree: RatchetTree) -> None:
        self.rows.update(new_nodes(tree, self.rows.__contains__))

    def load(self, suite: int, tree_hash: bytes, width: int) -> RatchetTree:
        return load_tree(cipher_suite(suite), tree_hash, width, self.rows.__getitem__)

    def revive(self, state: GroupState) -> GroupState:
        """Write a state and read it back; what is read is written the same."""
        self.keep(state.public.tree)
        data = encode_state(state)
        revived = decode_state(data, state.rule, self.load)
        assert encode_state(revived) == data
        assert revived.public == state.public
        return revived

    def revive_public(self, group: PublicGroup) -> PublicGroup:
        self.keep(group.tree)
        revived = decode_public(encode_public(group), self.load)
        assert revived == group
        return revived


def fingerprint(state: GroupState) -> bytes:
    """Everything there is to a state, to be compared before and after a refusal."""
    return encode_state(state) + state.public.tree.encode()


class Party:
    """One device: its client, its key packages, its keys and, once it has joined, its state."""

    def __init__(self, suite: CipherSuite, name: str, source: Random, *, capabilities: Capabilities | None = None) -> None:
        self.suite = suite
        self.name = name
        self.random = source
        self.client = Client.create(suite, BasicCredential(name.encode()), source, capabilities=capabilities)
        self.bundles: dict[KeyPackageRef, KeyPackageBundle] = {}
        self.ring = KeyRing()
        self._state: GroupState | None = None

    def __repr__(self) -> str:
        return self.name

    @property
    def state(self) -> GroupState:
        assert self._state is not None, f"{self.name} has no group"
        return self._state

    @state.setter
    def state(self, state: GroupState) -> None:
        self._state = state

    @property
    def is_member(self) -> bool:
        return self._state is not None

    @property
    def leaf(self) -> LeafIndex:
        return min(self.state.own_leaves)

    @property
    def epoch(self) -> int:
        return self.state.public.context.epoch

    def leave(self) -> None:
        self._state = None
        self.ring = KeyRing()

    def key_package(self, lifetime: Lifetime = ALWAYS, **options: Any) -> KeyPackage:
        bundle = create_key_package(self.suite, self.client, lifetime, self.random, **options)
        self.bundles[bundle.ref] = bundle
        return bundle.key_package

    def create(self, group_id: bytes = GROUP_ID, **options: Any) -> None:
        created = create_group(self.suite, group_id, self.client, ALWAYS, self.random, **options)
        self.state, self.ring = created.state, KeyRing().add(created.private_keys)

    def stage(self, *proposals: ProposalBody | ProposalReference, leaf: LeafIndex | None = None, **options: Any) -> StagedCommit:
        chosen = replace(_DEFAULTS, **options)
        return create_commit(self.state, self.client, self.leaf if leaf is None else leaf, proposals, self.random, chosen)

    def enter(self, step: StagedCommit | ProcessedCommit | StagedExternalCommit) -> None:
        """Make the epoch of a commit one's own."""
        self.state, self.ring = step.state, self.ring.add(step.private_keys)
        used = keys_in_use(self.state.public.tree, self.state.own_leaves)
        self.ring = self.ring.discard(set(self.ring.keys) - used)

    def propose(self, proposal: ProposalBody, **options: Any) -> SentMessage:
        sent = propose(self.state, self.client, self.leaf, proposal, self.random, **options)
        self.state = sent.state
        return sent

    def send(self, data: bytes, **options: Any) -> bytes:
        sent = encrypt(self.state, self.client, self.leaf, data, self.random, **options)
        self.state = sent.state
        return sent.message

    def process(self, message: bytes, **options: Any) -> ProcessedCommit:
        """Open and process a commit without entering its epoch."""
        content, _ = open_message(self.state, decode(MLSMessage, message))
        return process_handshake(self.state, content, self.ring.keys, **options)

    def receive(self, message: bytes, **options: Any) -> bytes | None:
        """Take in whatever comes; return application data."""
        content, after = open_message(self.state, decode(MLSMessage, message))
        body = content.content.content
        if isinstance(body, ApplicationData):
            self.state = after
            return body.data
        if isinstance(body, Commit):
            self.enter(process_handshake(after, content, self.ring.keys, **options))
        else:
            self.state = receive_proposal(after, content)
        return None

    def join(self, welcome: Welcome, tree: bytes | None = None, **options: Any) -> JoinedGroup:
        (bundle,) = (self.bundles[ref] for ref in self.bundles if any(ref == entry.new_member for entry in welcome.secrets))
        joined = join(self.suite, welcome, bundle, ratchet_tree=tree, options=JoinOptions(**options))
        self.state, self.ring = joined.state, KeyRing().add(joined.private_keys)
        del self.bundles[bundle.ref]
        return joined

    def join_externally(self, group: PublicGroup, group_info: GroupInfo, **options: Any) -> StagedExternalCommit:
        return create_external_commit(group, group_info, self.client, self.random, **options)

    def group_info(self, **options: Any) -> GroupInfo:
        return make_group_info(self.state, self.client, self.leaf, **options)


def body_of(message: bytes, kind: type[T]) -> T:
    """What is in an encoded MLSMessage."""
    body = decode(MLSMessage, message).body
    assert isinstance(body, kind)
    return body


@contextmanager
def refusing(rule: str | None, *witnesses: Party) -> Iterator[None]:
    """Expect an error that names a rule, and that none of the witnesses has changed."""
    before = [(fingerprint(party.state), set(party.ring.keys), set(party.bundles)) for party in witnesses if party.is_member]
    with pytest.raises(DMLSError) as raised:
        yield
    assert raised.value.rule == rule, raised.value
    after = [(fingerprint(party.state), set(party.ring.keys), set(party.bundles)) for party in witnesses if party.is_member]
    assert after == before


@contextmanager
def disagreeing(*witnesses: Party) -> Iterator[None]:
    """Expect that what a deviant peer made is refused for whatever reason shows first, and changes none of the witnesses."""
    before = [fingerprint(party.state) for party in witnesses if party.is_member]
    with pytest.raises((ValidationError, CryptoError)):
        yield
    assert [fingerprint(party.state) for party in witnesses if party.is_member] == before


def parties(
    suite: CipherSuite, names: Iterable[str], rng: random.Random, capabilities: Capabilities | None = None
) -> list[Party]:
    """Make devices that draw from one seeded generator."""
    return [Party(suite, name, rng.randbytes, capabilities=capabilities) for name in names]


def fresh_update(party: Party) -> Update:
    """An Update of a member's leaf; its new private key goes into the member's ring."""
    made = create_update(party.state, party.client, party.leaf, party.random)
    party.ring = party.ring.add(made.private_keys)
    return made.proposal


class Room:
    """A group whose messages reach everybody at once, and a follower that holds no secret.

    After each step all members and the follower agree, and all states go through the store.
    """

    def __init__(self, creator: Party, **options: Any) -> None:
        creator.create(**options)
        self.members = [creator]
        self.store = Store()
        tree = creator.state.public.tree
        self.follower = follow(creator.suite, creator.group_info(), RatchetTree.decode(creator.suite, tree.encode()))
        self.settle()

    @property
    def suite(self) -> CipherSuite:
        return self.follower.suite

    def settle(self) -> None:
        """Check that all agree, and let everybody restart."""
        self.follower = self.store.revive_public(self.follower)
        first = self.members[0]
        for party in self.members:
            public = party.state.public
            assert public.context == self.follower.context
            assert public.tree == self.follower.tree
            assert public.interim_transcript_hash == self.follower.interim_transcript_hash
            assert party.state.secrets.epoch_authenticator == first.state.secrets.epoch_authenticator
            assert exported(party) == exported(first)
            party.state = self.store.revive(party.state)
            # Keys of Updates that wait are not in the tree yet.
            assert public.proposals or keys_in_use(public.tree, party.state.own_leaves) >= set(party.ring.keys)

    def add(self, committer: Party, *joiners: Party, tree_in_welcome: bool = True, **options: Any) -> StagedCommit:
        proposals = [Add(joiner.key_package()) for joiner in joiners]
        return self.commit(committer, *proposals, joiners=joiners, welcome_with_tree=tree_in_welcome, **options)

    def commit(
        self,
        committer: Party,
        *proposals: ProposalBody | ProposalReference,
        joiners: Sequence[Party] = (),
        leavers: Sequence[Party] = (),
        join_options: dict[str, Any] | None = None,
        process_options: dict[str, Any] | None = None,
        **options: Any,
    ) -> StagedCommit:
        """Commit as a member; all others process, those added join, the follower follows."""
        staged = committer.stage(*proposals, **options)
        for party in leavers:
            self.members.remove(party)
            party.leave()
        for party in self.members:
            if party is not committer:
                party.receive(staged.message, **(process_options or {}))
        committer.enter(staged)
        self.follow(staged.message, staged)
        for joiner in joiners:
            assert staged.welcome is not None
            with_tree = options.get("welcome_with_tree", True)
            welcome = decode(Welcome, encode(staged.welcome))
            joiner.join(welcome, None if with_tree else staged.state.public.tree.encode(), **(join_options or {}))
            self.members.append(joiner)
        self.settle()
        return staged

    def join_externally(
        self, joiner: Party, *, replaces: Party | None = None, process_options: dict[str, Any] | None = None, **options: Any
    ) -> StagedExternalCommit:
        """Let somebody in by external commit, in place of an old leaf if there is one."""
        info = next(party for party in self.members if party is not joiner or replaces is None).group_info()
        old = None if replaces is None else replaces.leaf
        staged = joiner.join_externally(self.follower, decode(GroupInfo, encode(info)), replaces=old, **options)
        if replaces is not None:
            self.members.remove(replaces)
            replaces.leave()
        for party in self.members:
            party.receive(staged.message, **(process_options or {}))
        joiner.enter(staged)
        self.follow(staged.message, staged)
        self.members.append(joiner)
        self.settle()
        return staged

    def follow(self, message: bytes, staged: StagedCommit | StagedExternalCommit) -> None:
        """Follow a commit publicly; a private one is handed to the follower opened."""
        decoded = decode(MLSMessage, message)
        is_public = isinstance(decoded.body, PublicMessage)
        content = open_public_message(self.follower, decoded) if is_public else staged.content
        self.follower = follow_commit(self.follower, content, ANYBODY).group

    def propose(self, proposer: Party, proposal: ProposalBody, **options: Any) -> ProposalReference:
        """Send a proposal; all others remember it."""
        sent = proposer.propose(proposal, **options)
        for party in self.members:
            if party is not proposer:
                party.receive(sent.message)
        if options.get("wire_format", WireFormat.PUBLIC_MESSAGE) is WireFormat.PUBLIC_MESSAGE:
            self.follower = cache_proposal(self.follower, open_public_message(self.follower, decode(MLSMessage, sent.message)))
        else:
            self.follower = replace(self.follower, proposals=proposer.state.public.proposals)
        assert sent.ref is not None
        assert all(sent.ref in party.state.public.proposals for party in self.members)
        return ProposalReference(sent.ref)

    def hear(self, proposal: OutsideProposal) -> ProposalReference:
        """Let everybody remember a proposal from outside."""
        for party in self.members:
            party.receive(proposal.message)
            assert party.state.public.proposals[proposal.ref].content == proposal.content
        self.follower = cache_proposal(self.follower, open_public_message(self.follower, decode(MLSMessage, proposal.message)))
        return ProposalReference(proposal.ref)

    def say(self, sender: Party, data: bytes, **options: Any) -> None:
        """Send application data to everybody."""
        message = sender.send(data, **options)
        for party in self.members:
            if party is not sender:
                assert party.receive(message) == data
        self.settle()

    def talk(self) -> None:
        """Let everybody say something."""
        for party in self.members:
            self.say(party, party.name.encode())


def exported(party: Party) -> bytes:
    """What an application derives from the epoch."""
    return export_secret(party.state, "label", b"context", 48)


def room_of(rng: random.Random, names: str = "abcd", suite: CipherSuite | None = None) -> tuple[Room, list[Party]]:
    """A group in which the first member has added the others."""
    members = parties(suite or cipher_suite(1), names, rng)
    room = Room(members[0])
    if len(members) > 1:
        room.add(members[0], *members[1:])
    return room, members
