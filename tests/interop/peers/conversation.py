"""A group whose members are of several implementations.

A conversation delivers what one member sends to all others, keeps book of who sits at which leaf, and checks after each step that
all members are in one epoch: its number, tree hash, confirmed transcript hash, epoch authenticator and an exported secret, as far
as each implementation shows them.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from dmls.ids import LeafIndex
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.messages.key_package import KeyPackage
from dmls.mls.tree.ratchet_tree import RatchetTree
from tests.interop.peers.abilities import can
from tests.interop.peers.drivers.json_lines import Answer
from tests.interop.peers.peer import Peer, PeerError
from tests.support.groups import body_of

__all__ = ["Conversation", "Member", "Proposal", "Waiting", "make_member", "new_group_id"]

_COMPARED = ("group_id", "epoch", "tree_hash", "confirmed_transcript_hash", "epoch_authenticator", "exported")
_numbers = count(1)

Proposal = dict[str, Any]
"""A proposal as the drivers take it: a `type`, and what it needs."""


@dataclass(eq=False)
class Member:
    """One client of one implementation, and its view of the group once it is in."""

    peer: Peer
    client: str
    identity: str
    """In hex, of the one form that core-crypto takes: user, device, domain."""
    signature_key: str = ""
    sends_tree: bool = True
    group: str | None = None

    def __repr__(self) -> str:
        return f"{self.peer.name} {self.client}"

    def ask(self, command: str, **fields: object) -> Answer:
        """Run a command on this member's view of the group."""
        try:
            return self.peer.call(command, group=self.group, **fields)
        except PeerError as error:
            error.add_note(f"asked was {self}")
            raise

    def make_key_package(self) -> str:
        """Return a fresh key package, an MLSMessage in hex."""
        key_package: str = self.peer.call("key_package", client=self.client)["key_package"]
        return key_package


def make_member(
    peer: Peer,
    *,
    suite: int = 1,
    handshake: str = "public",
    sends_tree: bool = True,
    extensions: Sequence[int] = (),
    identity: str | None = None,
) -> Member:
    """Make a client that nobody else has the name of, nor the identity, unless it is given."""
    number = next(_numbers)
    client = f"client{number}"
    if identity is None:
        identity = f"00000000-0000-4000-8000-{number:012d}:{number:x}@example.org".encode().hex()
    settings: dict[str, object] = {"suite": suite, "handshake": handshake, "tree_extension": sends_tree}
    if extensions:
        settings["extensions"] = list(extensions)
    made = peer.call("client", client=client, identity=identity, **settings)
    member = Member(peer, client, identity, made["signature_key"] or "", sends_tree)
    if not member.signature_key:
        key_package = body_of(bytes.fromhex(member.make_key_package()), KeyPackage)
        member.signature_key = key_package.leaf_node.signature_key.hex()
    return member


def new_group_id() -> str:
    """Return a group id (hex) of the length that all take."""
    return secrets.token_bytes(16).hex()


@dataclass
class Waiting:
    """A proposal that was sent, and whom it lets in or out."""

    proposer: Member
    proposal: Proposal
    subject: Member | None = None


@dataclass
class Conversation:
    """The members by leaf, and the proposals that wait."""

    creator: Member
    extensions: list[tuple[int, str]] = field(default_factory=list)
    suite: int = 1
    leaves: list[Member | None] = field(init=False)
    waiting: list[Waiting] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.leaves = [self.creator]
        if self.creator.group is None:
            settings: dict[str, object] = {"extensions": self.extensions} if self.extensions else {}
            created = self.creator.peer.call("create", client=self.creator.client, group_id=new_group_id(), **settings)
            self.creator.group = created["group"]

    @classmethod
    def found(cls, how: str, members: Mapping[Member, Member], founder: Member, suite: int = 1, **fields: object) -> Conversation:
        """Found a group that continues another: `how` is `branch` or `succeed`, `members` its members by who they were there."""
        heirs = [heir for former, heir in members.items() if former is not founder]
        key_packages = [heir.make_key_package() for heir in heirs]
        made = founder.ask(how, client=members[founder].client, key_packages=key_packages, **fields)
        members[founder].group = made["group"]
        room = cls(members[founder], suite=suite)
        for former, heir in members.items():
            if former is not founder:
                entry = {"welcome": made["welcome"], "ratchet_tree": made["ratchet_tree"], "of_group": former.group}
                heir.group = heir.peer.call("join", client=heir.client, **entry)["group"]
        room._seat(heirs)
        room.agree()
        return room

    @property
    def members(self) -> list[Member]:
        """Everybody who is in, by leaf."""
        return [member for member in self.leaves if member is not None]

    def others(self, *apart: Member) -> Iterator[Member]:
        """Everybody who is in, but for some."""
        return (member for member in self.members if member not in apart)

    def leaf_of(self, member: Member) -> int:
        """Return a member's leaf index."""
        return self.leaves.index(member)

    # Proposals

    def adding(self, joiner: Member) -> Waiting:
        """Make an Add, not sent by anybody yet."""
        return Waiting(joiner, {"type": "add", "key_package": joiner.make_key_package()}, joiner)

    def removing(self, leaver: Member) -> Waiting:
        """Make a Remove, not sent by anybody yet."""
        fields = {"leaf": self.leaf_of(leaver), "identity": leaver.identity, "signature_key": leaver.signature_key}
        return Waiting(leaver, {"type": "remove", **fields}, leaver)

    def propose(self, proposer: Member, proposal: Waiting | Proposal, **options: object) -> None:
        """Send a proposal to everybody."""
        sent = proposal if isinstance(proposal, Waiting) else Waiting(proposer, proposal)
        message = proposer.ask("propose", proposal=sent.proposal, **options)["message"]
        for member in self.others(proposer):
            assert member.ask("process", message=message)["type"] == "proposal", member
        self.waiting.append(Waiting(proposer, sent.proposal, sent.subject))

    def hear(self, message: str, proposal: Waiting | Proposal) -> None:
        """Let everybody remember a proposal from outside."""
        heard = proposal if isinstance(proposal, Waiting) else Waiting(self.creator, proposal)
        for member in self.members:
            assert member.ask("process", message=message)["type"] == "proposal", member
        self.waiting.append(heard)

    # Commits

    def commit(
        self,
        committer: Member,
        *proposals: Waiting | Proposal,
        accepts: Callable[[str], bool] = lambda _: True,
        **options: object,
    ) -> bool:
        """Commit what waits, and `proposals` by value; everybody processes it, newcomers join.

        `accepts` may look at the new tree (hex, empty where the committer does not tell); what it refuses is dropped again.
        """
        by_value = [item if isinstance(item, Waiting) else Waiting(committer, item) for item in proposals]
        listed = [item.proposal for item in by_value]
        made = committer.ask("commit", proposals=listed, references=bool(self.waiting), **options)
        if not accepts(made["ratchet_tree"] or ""):
            committer.ask("clear")
            return False
        applied = [*self.waiting, *by_value]
        leavers = [item.subject for item in applied if item.subject and item.proposal["type"] == "remove"]
        joiners = [item.subject for item in applied if item.subject and item.proposal["type"] == "add"]
        self._deliver(made["commit"], committer, leavers)
        committer.ask("merge")
        committer.signature_key = made.get("signature_key", committer.signature_key)
        for leaver in leavers:
            self.leaves[self.leaf_of(leaver)] = None
        for joiner in joiners:
            tree = {} if committer.sends_tree else {"ratchet_tree": committer.ask("tree")["ratchet_tree"]}
            joiner.group = joiner.peer.call("join", client=joiner.client, welcome=made["welcome"], **tree)["group"]
        self._seat(joiners)
        self.agree()
        return True

    def join_externally(self, joiner: Member, via: Member, *, with_tree: bool = True, replaces: Member | None = None) -> None:
        """Let somebody in by external commit, after a GroupInfo of `via`; `replaces` is an earlier self of the joiner."""
        fields: dict[str, object] = {"group_info": via.ask("group_info", tree=with_tree)["group_info"]}
        if not with_tree:
            fields["ratchet_tree"] = via.ask("tree")["ratchet_tree"]
        if replaces is not None:
            fields["replaces"] = self.leaf_of(replaces)
        joined = joiner.peer.call("external_join", client=joiner.client, **fields)
        if replaces is not None:
            self.leaves[self.leaf_of(replaces)] = None
        self._deliver(joined["commit"], None, [])
        joiner.group = joined["group"]
        self._seat([joiner])
        self.agree()

    def _deliver(self, commit: str, committer: Member | None, leavers: Sequence[Member]) -> None:
        for member in self.members:
            if member is not committer:
                answer = member.ask("process", message=commit)
                assert answer["type"] == "commit", member
                assert answer["removed"] in (None, member in leavers), member
        self.waiting.clear()

    def _seat(self, joiners: Sequence[Member]) -> None:
        """Find out where newcomers sit: the committer chose the order. Without a tree to look at, the order is ours."""
        for joiner in joiners:
            if None not in self.leaves:
                self.leaves.append(None)
            self.leaves[self.leaves.index(None)] = joiner
        witness = next((member for member in self.members if can(member.peer.name, "tree_out_of_band")), None)
        if joiners and witness is not None:
            tree = RatchetTree.decode(cipher_suite(self.suite), bytes.fromhex(witness.ask("tree")["ratchet_tree"]))
            by_key = {member.signature_key: member for member in self.members}
            seats = {index: by_key.pop(leaf.signature_key.hex()) for index, leaf in tree.members()}
            assert not by_key, f"not in the tree: {by_key}"
            self.leaves = [seats.get(LeafIndex(index)) for index in range(max(seats) + 1)]

    # Messages and agreement

    def say(self, sender: Member, data: bytes, **options: object) -> None:
        """Send application data to everybody who can read it."""
        message = sender.ask("encrypt", data=data.hex(), **options)["message"]
        for member in self.others(sender):
            if can(member.peer.name, "messages"):
                read = member.ask("process", message=message)
                assert (read["type"], read["data"]) == ("application", data.hex()), member

    def agree(self) -> None:
        """Check that everybody shows the same epoch."""
        shown = [(member, member.ask("state")) for member in self.members]
        for key in _COMPARED:
            values = {str(member): state[key] for member, state in shown if state.get(key) is not None}
            assert len(set(values.values())) <= 1, f"{key} differs: {values}"
