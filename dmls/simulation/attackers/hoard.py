"""All that an attacker can ever know: every event, every secret it once held, and whatever follows from them.

An honest engine deletes, punctures and stops where a commit puts it out. A hoard does none of that: it tries every key it ever
had on every commit of every branch, whoever the commit is for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dmls.engine.agent import DevicePolicy
from dmls.engine.profile import rule_of
from dmls.engine.state import RoomState
from dmls.errors import DMLSError
from dmls.forks.aad import commit_ref, decode_commit_aad, decode_message_aad, genesis_ref
from dmls.ids import CommitRef, EventId, KeyPackageRef
from dmls.matrix.bodies import CommitBody, GenesisBody, Inline, MessageBody, parse_body
from dmls.mls.codec import decode
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.group.follower import PublicGroup, follow
from dmls.mls.group.leaf import KeyPackageBundle
from dmls.mls.group.process import open_message
from dmls.mls.group.secrets import check_confirmation, derive_child, external_init, regular_init
from dmls.mls.group.state import GroupState
from dmls.mls.group.transition import Transition, follow_commit
from dmls.mls.group.welcome import JoinOptions, join
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.message import ApplicationData, AuthenticatedContent, MLSMessage, PrivateMessage, PublicMessage
from dmls.mls.messages.registry import WireFormat
from dmls.mls.messages.welcome import Welcome
from dmls.mls.tree.ratchet_tree import RatchetTree
from dmls.mls.tree.treekem import open_path

__all__ = ["Hoard", "KnownEpoch"]

_POLICY = DevicePolicy()


@dataclass(frozen=True, slots=True)
class KnownEpoch:
    """An epoch as everybody can follow it."""

    event_id: EventId
    group: PublicGroup
    group_info: GroupInfo


@dataclass(frozen=True, slots=True)
class _Seen:
    event_id: EventId
    content: AuthenticatedContent
    parent: CommitRef
    group_info: bytes
    welcome: bytes | None


@dataclass
class Hoard:
    """What one attacker knows.

    Attributes:
        epochs: every epoch that its events lead to, in the order in which it understood them.
        states: the secrets of those that it could enter.
        keys: every private key of a tree that it had, by public key.
        genesis_event: the first genesis it saw.
    """

    suite: CipherSuite
    epochs: dict[CommitRef, KnownEpoch] = field(default_factory=dict)
    states: dict[CommitRef, GroupState] = field(default_factory=dict)
    keys: dict[bytes, Secret] = field(default_factory=dict)
    bundles: dict[KeyPackageRef, KeyPackageBundle] = field(default_factory=dict)
    genesis_event: EventId | None = None
    _commits: dict[CommitRef, _Seen] = field(default_factory=dict)
    _transitions: dict[CommitRef, Transition] = field(default_factory=dict)
    _messages: dict[EventId, MLSMessage] = field(default_factory=dict)

    def take(self, state: RoomState, bundles: Mapping[KeyPackageRef, KeyPackageBundle]) -> None:
        """Copy what an agent holds at this moment."""
        for ref, held in state.epochs.items():
            self.states.setdefault(ref, held.state)
        self.keys.update(state.ring.keys)
        self.bundles.update(bundles)

    def add(self, ref: CommitRef, state: GroupState, keys: Mapping[bytes, Secret]) -> None:
        """Keep the secrets of an epoch that the attacker made itself."""
        self.states.setdefault(ref, state)
        self.keys.update(keys)

    def see(self, event_id: EventId, content: Mapping[str, Any]) -> None:
        """Note an encrypted event; what is not well-formed is passed over."""
        try:
            body = parse_body(content)
            if isinstance(body, GenesisBody):
                self._see_genesis(event_id, body)
            elif isinstance(body, CommitBody):
                self._see_commit(event_id, body)
            elif isinstance(body, MessageBody) and isinstance(body.message, Inline):
                self._messages[event_id] = decode(MLSMessage, body.message.data)
        except DMLSError:
            return

    def think(self) -> None:
        """Work out everything that follows from what is known, until nothing more does."""
        progress = True
        while progress:
            progress = self._follow_all() + self._enter_all() > 0

    def read(self, event_id: EventId) -> bytes | None:
        """Return the plaintext of a message, None if nothing that is known opens it."""
        message = self._messages.get(event_id)
        if message is None or not isinstance(message.body, PrivateMessage):
            return None
        try:
            ref = CommitRef(decode_message_aad(message.body.authenticated_data).epoch.commit_ref)
        except DMLSError:
            return None
        # The epoch that the message names first, then all others: a name is only a claim.
        for state in (self.states.get(ref), *self.states.values()):
            if state is not None and state.secrets.sender_data_secret:
                try:
                    content, _ = open_message(state, message)
                except DMLSError:
                    continue
                body = content.content.content
                return body.data if isinstance(body, ApplicationData) else None
        return None

    def _see_genesis(self, event_id: EventId, body: GenesisBody) -> None:
        if not isinstance(body.group_info, Inline) or not isinstance(body.keyframe, Inline):
            return
        info = decode(MLSMessage, body.group_info.data).body
        if isinstance(info, GroupInfo):
            group = follow(self.suite, info, RatchetTree.decode(self.suite, body.keyframe.data), policy=_POLICY)
            self.genesis_event = self.genesis_event or event_id
            self.epochs.setdefault(genesis_ref(self.suite, body.group_info.data), KnownEpoch(event_id, group, info))

    def _see_commit(self, event_id: EventId, body: CommitBody) -> None:
        if not isinstance(body.message, Inline) or not isinstance(body.group_info, Inline):
            return
        message = decode(MLSMessage, body.message.data).body
        if isinstance(message, PublicMessage) and message.confirmation_tag is not None:
            content = AuthenticatedContent(
                WireFormat.PUBLIC_MESSAGE, message.content, message.signature, message.confirmation_tag
            )
            parent = CommitRef(decode_commit_aad(message.content.authenticated_data).parent.commit_ref)
            welcome = body.welcome.data if isinstance(body.welcome, Inline) else None
            seen = _Seen(event_id, content, parent, body.group_info.data, welcome)
            self._commits.setdefault(commit_ref(self.suite, content), seen)

    def _follow_all(self) -> int:
        found = 0
        for ref, seen in self._commits.items():
            parent = self.epochs.get(seen.parent)
            if ref in self.epochs or parent is None:
                continue
            try:
                info = decode(MLSMessage, seen.group_info).body
                transition = follow_commit(parent.group, seen.content, _POLICY)
            except DMLSError:
                continue
            if isinstance(info, GroupInfo):
                self._transitions[ref] = transition
                self.epochs[ref] = KnownEpoch(seen.event_id, transition.group, info)
                found += 1
        return found

    def _enter_all(self) -> int:
        unknown = [ref for ref in self._transitions if ref not in self.states]
        return sum(self._enter_from_parent(ref) or self._enter_by_welcome(ref) for ref in unknown)

    def _enter_from_parent(self, ref: CommitRef) -> bool:
        state, transition = self.states.get(self._commits[ref].parent), self._transitions[ref]
        path = transition.commit.path
        if state is None or path is None:
            return False
        # Anybody's leaf will do, if only a key above it is known.
        leaves = frozenset(index for index, _ in transition.tree_before_path.members()) - {transition.committer}
        try:
            opened = open_path(
                transition.tree_before_path,
                transition.group.tree,
                transition.committer,
                path,
                transition.added_leaves,
                self.keys,
                leaves,
                transition.provisional_context,
            )
            kem_output = transition.applied.kem_output
            init = regular_init(state, opened.last_path_secret) if kem_output is None else external_init(state, kem_output)
            child = derive_child(state, transition.group, init, opened.commit_secret, (), frozenset())
            check_confirmation(child.state, "")
        except DMLSError:
            return False
        self.add(ref, child.state, opened.private_keys)
        return True

    def _enter_by_welcome(self, ref: CommitRef) -> bool:
        encoded = self._commits[ref].welcome
        if encoded is None:
            return False
        try:
            welcome = decode(MLSMessage, encoded).body
            if not isinstance(welcome, Welcome):
                return False
            for bundle in self._bundles_for(welcome):
                group = self.epochs[ref].group
                joined = join(self.suite, welcome, bundle, options=JoinOptions(rule_of(group), policy=_POLICY, followed=group))
                self.add(ref, joined.state, joined.private_keys)
                return True
        except DMLSError:
            return False
        return False

    def _bundles_for(self, welcome: Welcome) -> Iterable[KeyPackageBundle]:
        names = (KeyPackageRef(secrets.new_member) for secrets in welcome.secrets)
        return [self.bundles[name] for name in names if name in self.bundles]
