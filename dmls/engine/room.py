"""The engine of one room: `step(input, now, random)` gives effects, and nothing else happens."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import assert_never

from dmls.engine.agent import Agent, device_of
from dmls.engine.backfill import ask_for_missing, drop_stale, next_ask_ms
from dmls.engine.effects import DecryptOutcome, DecryptResult, Effects, EventKind, EventResult, IngestOutcome, NoticeKind, Table
from dmls.engine.ingest import key_packages_named, receive_blob, receive_event, receive_to_device, try_anchors, unpark
from dmls.engine.inputs import (
    AgentChanged,
    BlobProvided,
    DecryptRequested,
    DeviceListChanged,
    EncryptRequested,
    EventReceived,
    Input,
    KeyPackagesProvided,
    MemberEventReceived,
    OutboxAnswered,
    RoomStateChanged,
    StoreRolledBack,
    Tick,
    ToDeviceReceived,
)
from dmls.engine.leaves import note_rollback
from dmls.engine.loading import load_room
from dmls.engine.messages import read_plaintext
from dmls.engine.nodes import correct_node, keep_vote, mark_removals, refresh_head
from dmls.engine.records import put_key_package, put_list, put_member_since, put_meta, put_times
from dmls.engine.refusals import note_acceptance, take_refusal
from dmls.engine.sending import encrypt_event
from dmls.engine.sources import EventFacts, auth_events_of, is_spent
from dmls.engine.state import Draft, RoomState, TrackedVote, no_random
from dmls.engine.survey import known_survey
from dmls.engine.upkeep import act, next_wake_ms, note_wants, purge
from dmls.errors import DMLSError
from dmls.forks.graph import Device
from dmls.forks.reconcile import DeviceList
from dmls.ids import EventId, KeyPackageRef, RoomId
from dmls.matrix.membership import RoomMembership
from dmls.mls.codec import decode
from dmls.mls.crypto.randomness import Random
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.group.leaf import KeyPackageBundle
from dmls.mls.group.validation import check_key_package
from dmls.mls.messages.key_package import KeyPackage
from dmls.mls.messages.message import MLSMessage

__all__ = ["RoomEngine"]


class RoomEngine:
    """One room for one agent.

    The engine's memory is a function of the inputs it was given, or of the records it was loaded from. A step that raises
    leaves it as it was.
    """

    def __init__(self, state: RoomState) -> None:
        self._state = state

    @classmethod
    def create(cls, room_id: RoomId, agent: Agent, *, suite: int = 1) -> RoomEngine:
        """Return the engine of a room that nothing is known of."""
        return cls(RoomState(room_id, agent, suite))

    @classmethod
    def load(cls, room_id: RoomId, agent: Agent, records: Iterable[tuple[str, bytes, bytes]], *, suite: int = 1) -> RoomEngine:
        """Return the engine that wrote these records `(table, key, value)`, in any order; `suite` as in `create`.

        Raises:
            CodecError: a record is not one of an engine.
        """
        engine = cls(load_room(RoomState(room_id, agent, suite), records))
        draft = engine._draft(0, no_random, {})
        mark_removals(draft, draft.state.graph.removals())
        refresh_head(draft)
        engine._state = replace(draft.state, head_since_ms=engine._state.head_since_ms)
        return engine

    @property
    def state(self) -> RoomState:
        """The state after the last step. Immutable."""
        return self._state

    def key_packages_named(self, content: Mapping[str, object] | None) -> frozenset[KeyPackageRef]:
        """Return the key packages whose private halves a step should be given, if the agent holds them.

        They are those that an event about to be received, or any parked one, names.
        """
        return key_packages_named(self._state, content)

    def step(
        self,
        happened: Input,
        now_ms: int,
        random: Random,
        bundles: Mapping[KeyPackageRef, KeyPackageBundle] | None = None,
    ) -> Effects:
        """Take one input in; `now_ms` is in milliseconds since 1970, `bundles` are own key packages that the input may be for.

        Raises:
            DMLSError: the input cannot be taken; the engine is as before.
        """
        draft = self._draft(now_ms, random, bundles or {})
        _take(draft, happened)
        draft.unparked += unpark(draft)
        draft.unparked += try_anchors(draft)
        if _may_end_retention(self._state, draft.state):
            draft.update(look_again_ms=now_ms)
        is_tick = isinstance(happened, Tick)
        if is_tick and draft.state.look_again_ms is not None and draft.state.look_again_ms <= now_ms:
            draft.update(look_again_ms=purge(draft))
        put_times(draft, self._state)
        # What an input changed is looked at when time passes next, once for all inputs until then.
        is_seen = is_tick or known_survey(draft.state, now_ms) is not None
        times = (next_wake_ms(draft) if is_seen else now_ms, next_ask_ms(draft.state))
        effects = draft.finish(min((time for time in times if time is not None), default=None))
        self._state = draft.state
        return effects

    def _draft(self, now_ms: int, random: Random, bundles: Mapping[KeyPackageRef, KeyPackageBundle]) -> Draft:
        return Draft(self._state, now_ms, random, bundles)


def _may_end_retention(before: RoomState, after: RoomState) -> bool:
    """Tell whether an epoch's time may have ended: by new nodes and votes, or because other users or devices are here."""
    return (
        after.graph is not before.graph
        or after.gone is not before.gone
        or after.votes is not before.votes
        or after.head != before.head
        or after.stand != before.stand
        or after.membership.joined() != before.membership.joined()
    )


def _take(draft: Draft, happened: Input) -> None:
    match happened:
        case Tick():
            drop_stale(draft)
            ask_for_missing(draft)
            act(draft)
        case EventReceived():
            draft.result = receive_event(draft, happened.event, is_vouched=happened.is_vouched)
        case ToDeviceReceived():
            draft.result = receive_to_device(draft, happened)
        case MemberEventReceived():
            _set_membership(draft, draft.state.membership.remember([happened.event]))
            draft.result = EventResult(IngestOutcome.PROCESSED, EventKind.MEMBER)
        case RoomStateChanged():
            _change_room_state(draft, happened)
        case DeviceListChanged():
            _change_list(draft, happened)
        case KeyPackagesProvided():
            _provide_key_packages(draft, happened)
        case BlobProvided():
            for data in (happened.data, *happened.others):
                draft.blobs[hashlib.sha256(data).digest()] = data
            receive_blob(draft, hashlib.sha256(happened.data).digest())
        case OutboxAnswered():
            _answer(draft, happened)
        case EncryptRequested():
            draft.encrypted = encrypt_event(draft, happened)
            note_wants(draft)
        case DecryptRequested():
            own = draft.state.agent.find(happened.user_id, happened.device_id)
            if own is None:
                draft.decrypted = DecryptResult(DecryptOutcome.NOT_MEMBER_THEN)
            else:
                draft.decrypted = read_plaintext(draft, happened.event_id, own.device)
        case StoreRolledBack():
            note_rollback(draft)
        case AgentChanged():
            draft.update(agent=happened.agent)
        case _:
            assert_never(happened)


def _set_membership(draft: Draft, membership: RoomMembership) -> None:
    """Take a membership over, store what changed of it, and let votes and authorship follow."""
    before = draft.state.membership
    changed = membership.changed_users(before)
    if not changed and membership.facts == before.facts:
        return
    since = draft.state.member_since_ms.mutate()
    for user in sorted(changed):
        draft.put(Table.MEMBER_STATE, user.encode(), membership.encode_member(user))
        if membership.member_event(user) != before.member_event(user):
            since[user] = draft.now_ms
            put_member_since(draft, user, draft.now_ms)
    draft.update(membership=membership, member_since_ms=since.finish())
    for user in membership.needs_readmission() - before.needs_readmission():
        draft.notify(NoticeKind.NEEDS_READMISSION, text=user)
    tally = draft.state.tally.with_joined(membership.joined())
    draft.update(tally=tally)
    moved = tally.nodes_by(membership.joined() ^ before.joined())
    mark_removals(draft, {device for node in moved for device in node.removes_others})
    spent = membership.spent_joins(changed) ^ before.spent_joins(changed)
    if spent or membership.facts != before.facts:
        _apply_spent_joins(draft, spent)
    refresh_head(draft)


def _apply_spent_joins(draft: Draft, spent: frozenset[EventId]) -> None:
    """Correct the nodes and votes sent under joins that became spent, and genesis nodes, since the facts may have changed."""
    for ref, entry in draft.state.entries.items():
        if entry.node.is_genesis or not spent.isdisjoint(auth_events_of(entry.events)):
            correct_node(draft, ref)
    membership = draft.state.membership
    for key, tracked in draft.state.votes.items():
        if not spent.isdisjoint(auth_events_of(tracked.events)):
            vote = replace(tracked.vote, is_spent=is_spent(membership, tracked.events))
            keep_vote(draft, key, TrackedVote(vote, tracked.events))


def _change_room_state(draft: Draft, change: RoomStateChanged) -> None:
    membership = draft.state.membership.remember(change.past)
    if change.facts is not None:
        membership = membership.with_facts(change.facts)
    if change.is_full:
        membership = membership.with_state(event for event in change.members.values() if event is not None)
    else:
        membership = membership.with_changes(change.members)
    _set_membership(draft, membership)
    draft.update(state_version=change.version)
    put_meta(draft)


def _change_list(draft: Draft, change: DeviceListChanged) -> None:
    """Take a device list over unless a newer one is held, and note which devices their own server has deleted."""
    held = draft.state.lists.get(change.user_id)
    if held is None or (change.version, change.taken_at_ms) >= (held.version, held.taken_at_ms):
        devices = frozenset(change.devices)
        tracked = DeviceList(change.user_id, devices, change.version, change.taken_at_ms, True, change.is_own)
        draft.update(lists=draft.state.lists.set(change.user_id, tracked))
        put_list(draft, change.user_id, tracked)
    fresh = {device: True for device in change.gone if device not in draft.state.gone}
    if fresh:
        draft.update(gone=draft.state.gone.update(fresh))
        put_meta(draft)


def _provide_key_packages(draft: Draft, provided: KeyPackagesProvided) -> None:
    """Keep claimed key packages that are what they should be; a device whose package is not is asked again later."""
    suite = cipher_suite(draft.state.cipher_suite)
    for device, encoded in provided.key_packages.items():
        key_package = None if encoded is None else _checked(suite.id, device, encoded, draft.now_ms // 1_000)
        if key_package is not None:
            draft.update(key_packages=draft.state.key_packages.set(device, key_package))
            put_key_package(draft, device, key_package)


def _checked(suite: int, device: Device, encoded: bytes, now: int) -> KeyPackage | None:
    try:
        body = decode(MLSMessage, encoded).body
        if not isinstance(body, KeyPackage) or device_of(body.leaf_node) != device:
            return None
        check_key_package(cipher_suite(suite), body, now=now)
    except DMLSError:
        return None
    return body


def _answer(draft: Draft, answer: OutboxAnswered) -> None:
    """Note an own node's event id, or that its event was finally refused."""
    entry = draft.state.entries.get(answer.commit_ref)
    if entry is None:
        return
    if answer.event_id is not None:
        known = next((facts for facts in entry.events if facts.event_id == answer.event_id), None)
        correct_node(draft, answer.commit_ref, known or EventFacts(answer.event_id))
        note_acceptance(draft, entry.node.author.user_id)
    else:
        take_refusal(draft, answer.commit_ref)
