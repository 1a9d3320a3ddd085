"""Somebody with a copy of a store, the key that opens it and everything that was ever sent in the room.

`Attacker` does with them whatever can be done, until nothing more comes of it; it has the keys and no idea of the rules.
`admitted` says what docs/protocol.md, Section 9, admits it to get; it has the rules and no key.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import cast

from sqlalchemy import select

from devicestore import Connection, Store
from devicestore.models import KeyPackageSecret
from dmls.engine.agent import Agent, DevicePolicy
from dmls.engine.effects import EventKind, IngestOutcome
from dmls.engine.profile import rule_of
from dmls.engine.room import RoomEngine
from dmls.engine.state import NodeEntry, RoomState
from dmls.errors import CryptoError, DMLSError
from dmls.forks.aad import commit_ref, decode_message_aad
from dmls.forks.pprf import PPRF_RULE
from dmls.ids import CommitRef, EventId, KeyPackageRef, LeafIndex, RoomId, ServerName
from dmls.matrix.bodies import CommitBody, Inline, MessageBody, parse_body
from dmls.matrix.events import RoomEvent
from dmls.mls.codec import decode
from dmls.mls.crypto.secret import Secret
from dmls.mls.group.leaf import KeyPackageBundle
from dmls.mls.group.process import open_message
from dmls.mls.group.secrets import check_confirmation, derive_child, external_init, regular_init
from dmls.mls.group.state import GroupState
from dmls.mls.group.transition import Transition, follow_commit
from dmls.mls.group.welcome import JoinOptions, join
from dmls.mls.messages.key_package import key_package_ref
from dmls.mls.messages.message import AuthenticatedContent, MLSMessage, PrivateMessage, PublicMessage
from dmls.mls.messages.registry import WireFormat
from dmls.mls.messages.welcome import Welcome
from dmls.mls.tree.treekem import OpenedPath, open_path
from dmls.rooms.key_packages import load_bundles
from dmls.rooms.records import load_records

__all__ = ["Attacker", "Commit", "Loot", "Message", "Transcript", "admitted", "admitted_messages", "steal"]

_POLICY = DevicePolicy()


@dataclass(frozen=True)
class Commit:
    """A commit as everybody saw it."""

    ref: CommitRef
    parent: CommitRef
    transition: Transition
    welcome: Welcome | None

    @property
    def invited(self) -> dict[KeyPackageRef, LeafIndex]:
        """The key packages that its Welcome is for, and the leaves that they have become."""
        suite = self.transition.group.suite
        leaves = {key_package_ref(suite, package): index for index, package in self.transition.applied.added}
        named = [] if self.welcome is None else [KeyPackageRef(each.new_member) for each in self.welcome.secrets]
        return {ref: leaves[ref] for ref in named}


@dataclass(frozen=True)
class Message:
    """A message as everybody saw it."""

    event_id: EventId
    ref: CommitRef
    message: MLSMessage


@dataclass(frozen=True)
class Transcript:
    """All commits and messages of a room."""

    commits: Mapping[CommitRef, Commit]
    messages: tuple[Message, ...]

    @classmethod
    def read(cls, events: Iterable[RoomEvent], entries: Mapping[CommitRef, NodeEntry]) -> Transcript:
        """Read the events of a room; `entries` are the epochs as anybody can follow them."""
        commits: dict[CommitRef, Commit] = {}
        messages = []
        for event in events:
            body = parse_body(event.content)
            if isinstance(body, CommitBody):
                commit = _read_commit(body, entries)
                if commit is not None:
                    commits[commit.ref] = commit
            elif isinstance(body, MessageBody):
                message = decode(MLSMessage, cast("Inline", body.message).data)
                ref = decode_message_aad(cast("PrivateMessage", message.body).authenticated_data).epoch.commit_ref
                messages.append(Message(event.event_id, CommitRef(ref), message))
        return cls(commits, tuple(messages))


def _read_commit(body: CommitBody, entries: Mapping[CommitRef, NodeEntry]) -> Commit | None:
    message = cast("PublicMessage", decode(MLSMessage, cast("Inline", body.message).data).body)
    content = AuthenticatedContent(WireFormat.PUBLIC_MESSAGE, message.content, message.signature, message.confirmation_tag)
    for ref, entry in entries.items():
        if commit_ref(entry.group.suite, content) == ref:
            parent = entry.node.parent_ref
            welcome = None if body.welcome is None else decode(MLSMessage, cast("Inline", body.welcome).data).body
            return Commit(ref, parent, follow_commit(entries[parent].group, content, _POLICY), cast("Welcome | None", welcome))
    return None


@dataclass(frozen=True)
class Loot:
    """What a store held when it was stolen."""

    room: RoomState
    bundles: Mapping[KeyPackageRef, KeyPackageBundle]


def steal(store: Store, room_id: RoomId) -> Loot:
    """Take everything that is in a store."""

    def read(conn: Connection) -> Loot:
        records = list(load_records(conn, room_id))
        refs = [KeyPackageRef(ref) for ref in conn.execute(select(KeyPackageSecret.ref)).scalars()]
        engine = RoomEngine.load(room_id, Agent(ServerName("thief"), is_service=True), records)
        return Loot(engine.state, load_bundles(conn, refs, now_ms=0))

    return store.read(read)


@dataclass
class Attacker:
    """Does what can be done."""

    loot: Loot
    transcript: Transcript
    keys: dict[bytes, Secret] = field(init=False)
    derived: dict[CommitRef, GroupState] = field(default_factory=dict)
    """Epochs of which the epoch secret was had."""
    _opened: dict[CommitRef, OpenedPath] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.keys = dict(self.loot.room.ring.keys)
        for bundle in self.loot.bundles.values():
            self.keys[bundle.key_package.leaf_node.encryption_key] = bundle.encryption_private_key
        before = -1
        while before != (before := len(self.keys) + len(self.derived) + len(self._opened)):
            for commit in self.transcript.commits.values():
                self._open(commit)
                self._join(commit)
                for state in (self.loot.room.epochs.get(commit.parent), self.derived.get(commit.parent)):
                    if state is not None and commit.ref not in self.derived:
                        self._follow(state if isinstance(state, GroupState) else state.state, commit)

    def epochs(self) -> set[CommitRef]:
        """Return the epochs of which any secret was had."""
        return set(self.loot.room.epochs) | set(self.derived)

    def readable(self) -> set[EventId]:
        """Return the messages that can be read."""
        return {message.event_id for message in self.transcript.messages if self._reads(message)}

    def _reads(self, message: Message) -> bool:
        held = self.loot.room.epochs.get(message.ref)
        for state in (None if held is None else held.state, self.derived.get(message.ref)):
            if state is None or not state.secrets.sender_data_secret:
                continue
            try:
                open_message(state, message.message)
            except DMLSError:
                continue
            return True
        return False

    def _open(self, commit: Commit) -> None:
        """Open a commit's path with any key at all, whether the epoch is known or not."""
        transition = commit.transition
        path = transition.commit.path
        assert path is not None
        tree = transition.tree_before_path
        leaves = [index for index, _ in tree.members() if index != transition.committer]
        context = transition.provisional_context
        try:
            opened = open_path(
                tree, transition.group.tree, transition.committer, path, transition.added_leaves, self.keys, leaves, context
            )
        except CryptoError:
            return
        self._opened[commit.ref] = opened
        self.keys.update(opened.private_keys)

    def _follow(self, state: GroupState, commit: Commit) -> None:
        opened = self._opened.get(commit.ref)
        if opened is None:
            return
        kem_output = commit.transition.applied.kem_output
        try:
            init = regular_init(state, opened.last_path_secret) if kem_output is None else external_init(state, kem_output)
            child = derive_child(state, commit.transition.group, init, opened.commit_secret, [], frozenset())
            check_confirmation(child.state, "CP-10")
        except DMLSError:
            return
        self.derived[commit.ref] = child.state

    def _join(self, commit: Commit) -> None:
        group = commit.transition.group
        for ref in commit.invited:
            bundle = self.loot.bundles.get(ref)
            if bundle is not None and commit.welcome is not None:
                joined = join(group.suite, commit.welcome, bundle, options=JoinOptions(rule=rule_of(group), followed=group))
                self.derived[commit.ref] = joined.state
                self.keys.update(joined.private_keys)


def admitted(loot: Loot, transcript: Transcript) -> set[CommitRef]:
    """Return the epochs that are derived anew from a stolen store, by the rules.

    An epoch is had from its parent by whoever has a leaf in the parent that outlives the commit: from one that was derived
    always; from one that was retained, a regular child if the store had not processed it yet, or in mode `rfc9420`, and an
    external child while the external key is held. And it is had from a Welcome that names a key package whose private half is
    held.
    """
    room, commits = loot.room, transcript.commits
    processed = {*room.epochs, *room.expired}
    leaves = {ref: _leaves_with_keys(room, held.state) for ref, held in room.epochs.items()}
    derived: set[CommitRef] = set()
    before = -1
    while before != (before := len(derived) + sum(map(len, leaves.values()))):
        for ref, commit in commits.items():
            transition = commit.transition
            gone = {index for index, _ in transition.applied.removed} | {transition.committer}
            surviving = leaves.get(commit.parent, set()) - gone
            invited = {index for package, index in commit.invited.items() if package in loot.bundles}
            leaves.setdefault(ref, set()).update(surviving, invited)
            held = room.epochs.get(commit.parent)
            is_open = commit.parent in derived
            if held is not None and transition.is_external:
                is_open = is_open or bool(held.state.secrets.external_secret)
            elif held is not None:
                is_open = is_open or ref not in processed or held.state.rule is not PPRF_RULE
            if invited or (surviving and is_open):
                derived.add(ref)
    return derived


def _leaves_with_keys(room: RoomState, state: GroupState) -> set[LeafIndex]:
    """Return the own leaves of an epoch whose private keys are held: one may be without, and stay a member by another's help."""
    return {index for index in state.own_leaves if state.public.tree.member(index).encryption_key in room.ring}


def admitted_messages(loot: Loot, transcript: Transcript, sent: Collection[EventId]) -> set[EventId]:
    """Return the messages that can be read with a stolen store, by the rules.

    All of a derived epoch; of a retained one those that the store's devices had neither sent nor opened, while it held the keys
    of messages. `sent` are those that they had sent.
    """
    room, derived = loot.room, admitted(loot, transcript)
    opened = {
        key.decode()
        for key, result in room.outcomes.items()
        if result.kind is EventKind.MESSAGE and result.outcome is IngestOutcome.PROCESSED and not result.reason
    }
    found = set()
    for message in transcript.messages:
        held = room.epochs.get(message.ref)
        is_held = held is not None and bool(held.state.secrets.sender_data_secret)
        if message.ref in derived or (is_held and message.event_id not in opened and message.event_id not in sent):
            found.add(message.event_id)
    return found
