"""A room's state read back from its records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from immutables import Map

from dmls.engine.agent import devices_of
from dmls.engine.effects import EventKind, EventResult, IngestOutcome, Table
from dmls.engine.formats import (
    ASKED,
    CLAIM,
    DEBT,
    EXPIRED,
    KEY_PACKAGE,
    LIST_REQUEST,
    MEMBER_SINCE,
    META,
    PENDING_VOTE,
    REFUSAL,
    SENT,
    TIMES,
    VOTE_FLOOR,
    AnchorRecord,
    AskedRecord,
    EpochRecord,
    ListRecord,
    MetaRecord,
    NodeRecord,
    OutcomeRecord,
    ParkedRecord,
    PlaintextRecord,
    RefusalRecord,
    SentRecord,
    TimesRecord,
    VoteRecord,
    decode_time,
    event_ids,
    read_device,
    read_device_record,
    read_sources,
)
from dmls.engine.parking import Asked, Missing, ParkedEvent, Parking
from dmls.engine.profile import rule_of
from dmls.engine.state import Anchor, HeldEpoch, NodeEntry, Plaintext, Refusal, RoomState, TrackedVote
from dmls.errors import CodecError
from dmls.forks.graph import Device, EpochGraph, Node, Vote
from dmls.forks.reconcile import DeviceList
from dmls.forks.tally import Tally
from dmls.ids import CommitRef, EventId, RoomId, UserId
from dmls.matrix.encoding import parse_json_object
from dmls.matrix.events import RoomEvent
from dmls.matrix.membership import RoomMembership
from dmls.mls.codec import decode
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.group.follower import PublicGroup
from dmls.mls.group.keyring import KeyRing
from dmls.mls.group.snapshot import decode_public, decode_state
from dmls.mls.messages.key_package import KeyPackage
from dmls.mls.tree.ratchet_tree import RatchetTree
from dmls.mls.tree.storage import LoadedTrees, load_tree

__all__ = ["load_room"]

_MAX_CONTENT = 1 << 20


def load_room(state: RoomState, records: Iterable[tuple[str, bytes, bytes]]) -> RoomState:
    """Fill the state of a room of which nothing is known with its records `(table, key, value)`, in any order.

    Raises:
        CodecError: a record was not written by this module.
    """
    tables: dict[str, dict[bytes, bytes]] = {table: {} for table in Table}
    for table, key, value in records:
        tables[table][key] = value
    room = tables[Table.ROOM]
    if META in room:
        state = _load_meta(state, room[META], tables[Table.MEMBER_STATE].values())
    if TIMES in room:
        state = _load_times(state, room[TIMES])
    packages = {read_device(key): decode(KeyPackage, value) for key, value in _with_prefix(room, KEY_PACKAGE)}
    pending = {read_device(key): CommitRef(value) for key, value in _with_prefix(room, PENDING_VOTE)}
    lists = dict(_load_list(value) for value in tables[Table.DEVICE_LIST].values())
    outcomes = {key: _load_outcome(value) for key, value in tables[Table.EVENT_OUTCOME].items()}
    parked = {key: _load_parked(state.room_id, value) for key, value in tables[Table.PARKED_EVENT].items()}
    asked = {name: _load_asked(value) for name, value in _with_prefix(room, ASKED)}
    plaintexts = {key: _load_plaintext(value) for key, value in tables[Table.PLAINTEXT].items()}
    ring = KeyRing(Map({key: Secret(value) for key, value in tables[Table.PRIVATE_KEY].items()}))
    state = replace(
        state,
        expired=Map({CommitRef(ref): True for ref, _ in _with_prefix(room, EXPIRED)}),
        key_packages=Map(packages),
        pending_votes=Map(pending),
        claims=_device_times(room, CLAIM),
        debts=_device_times(room, DEBT),
        refusals=Map({UserId(key.decode()): _load_refusal(value) for key, value in _with_prefix(room, REFUSAL)}),
        sent=Map({read_device(key): _load_sent(value) for key, value in _with_prefix(room, SENT)}),
        vote_floors=_device_times(room, VOTE_FLOOR),
        list_requests=_user_times(room, LIST_REQUEST),
        member_since_ms=_user_times(room, MEMBER_SINCE),
        lists=Map(lists),
        outcomes=Map(outcomes),
        parking=replace(Parking.build(parked.items(), asked), wants_history=state.parking.wants_history),
        plaintexts=Map(plaintexts),
        ring=ring,
    )
    return _load_group(state, tables)


def _load_meta(state: RoomState, data: bytes, members: Iterable[bytes]) -> RoomState:
    meta = decode(MetaRecord, data)
    if meta.version != 1:
        raise CodecError("the room's record has an unknown version")
    return replace(
        state,
        membership=RoomMembership.load(meta.facts, members),
        state_version=meta.state_version,
        cipher_suite=meta.cipher_suite,
        vote_seq=meta.vote_seq_reserved,
        vote_seq_reserved=meta.vote_seq_reserved,
        gone=Map({read_device_record(device): True for device in meta.gone}),
        failed=Map({CommitRef(ref): True for ref in meta.failed}),
        barred=Map({(read_device_record(leaf.device), CommitRef(leaf.origin)): True for leaf in meta.barred}),
        spoilt=Map({CommitRef(ref): True for ref in meta.spoilt}),
    )


def _load_times(state: RoomState, data: bytes) -> RoomState:
    times = decode(TimesRecord, data)
    return replace(
        state,
        stand=CommitRef(times.stand) if times.stand else None,
        head_since_ms=times.head_since_ms,
        away_since_ms=times.away_since_ms,
        locked_out_since_ms=times.locked_out_since_ms,
        dirty_since_ms=times.dirty_since_ms,
        last_merge_ms=times.last_merge_ms,
        last_join_ms=times.last_join_ms,
        join_failures=times.join_failures,
        is_crowded=bool(times.is_crowded),
        parking=replace(state.parking, wants_history=bool(times.wants_history)),
    )


def _with_prefix(room: Mapping[bytes, bytes], prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Give the rest of each key that begins with a prefix, and its value."""
    return ((key[len(prefix) :], value) for key, value in room.items() if key.startswith(prefix))


def _device_times(room: Mapping[bytes, bytes], prefix: bytes) -> Map[Device, int]:
    return Map({read_device(key): decode_time(value) for key, value in _with_prefix(room, prefix)})


def _user_times(room: Mapping[bytes, bytes], prefix: bytes) -> Map[UserId, int]:
    return Map({UserId(key.decode()): decode_time(value) for key, value in _with_prefix(room, prefix)})


def _load_refusal(data: bytes) -> Refusal:
    record = decode(RefusalRecord, data)
    return Refusal(record.times, record.at_ms)


def _load_sent(data: bytes) -> tuple[CommitRef, int]:
    record = decode(SentRecord, data)
    return CommitRef(record.commit_ref), record.messages


def _load_list(data: bytes) -> tuple[UserId, DeviceList]:
    record = decode(ListRecord, data)
    user_id = UserId(record.user_id.decode())
    devices = frozenset(map(read_device_record, record.devices))
    return user_id, DeviceList(user_id, devices, record.version, record.taken_at_ms, True, bool(record.is_own))


def _load_outcome(data: bytes) -> EventResult:
    record = decode(OutcomeRecord, data)
    return EventResult(
        IngestOutcome(record.outcome.decode()),
        EventKind(record.kind.decode()),
        CommitRef(record.commit_ref),
        record.reason.decode(),
        record.rule.decode(),
        record.message.decode(),
    )


def _load_parked(room_id: RoomId, data: bytes) -> ParkedEvent:
    record = decode(ParkedRecord, data)
    event = RoomEvent(
        EventId(record.event_id.decode()),
        room_id,
        UserId(record.sender.decode()),
        record.type.decode(),
        None,
        parse_json_object(record.content, limit=_MAX_CONTENT),
        record.origin_server_ts_ms,
        bool(record.soft_failed),
        (None, False, True)[record.before_departure],
        event_ids(record.auth_events),
    )
    missing = Missing(record.missing, event_ids(record.hints), CommitRef(record.commit_ref), record.epoch)
    flags = (bool(record.is_to_device), bool(record.is_vouched))
    return ParkedEvent(event, missing, record.parked_at_ms, *flags, record.keyframe)


def _load_asked(value: bytes) -> Asked:
    record = decode(AskedRecord, value)
    return Asked(record.times, record.asked_ms, record.next_ms, event_ids(record.hints))


def _load_plaintext(data: bytes) -> Plaintext:
    record = decode(PlaintextRecord, data)
    return Plaintext(
        record.payload,
        read_device_record(record.sender),
        record.leaf_index,
        CommitRef(record.commit_ref),
        record.origin_server_ts_ms,
        frozenset(map(read_device_record, record.readers)),
        frozenset(map(read_device_record, record.waiting)),
        record.delete_at_ms,
    )


def _load_group(state: RoomState, tables: Mapping[str, Mapping[bytes, bytes]]) -> RoomState:
    stored = tables[Table.TREE_NODE]
    cache = LoadedTrees()

    def load(suite: int, root_hash: bytes, width: int) -> RatchetTree:
        return load_tree(cipher_suite(suite), root_hash, width, stored.__getitem__, cache)

    entries = {CommitRef(ref): _load_node(value, load) for ref, value in tables[Table.NODE].items()}
    epochs = {}
    for ref, value in tables[Table.EPOCH].items():
        record = decode(EpochRecord, value)
        held = decode_state(record.state, rule_of(entries[CommitRef(ref)].group), load)
        epochs[CommitRef(ref)] = HeldEpoch(held, record.succeeded_at_ms)
    votes = {key: _load_vote(value) for key, value in tables[Table.VOTE].items()}
    graph = EpochGraph.build(entry.node for entry in entries.values())
    held_once = (entries[ref].node.epoch for ref in (*epochs, *state.expired) if ref in entries)
    return replace(
        state,
        first_epoch=min(held_once, default=state.first_epoch),
        tally=Tally.build(graph, (tracked.vote for tracked in votes.values()), state.membership.joined()),
        entries=Map(entries),
        epochs=Map(epochs),
        votes=Map(votes),
        tree_nodes=Map(dict.fromkeys(stored, True)),
        seen_at_ms=Map(_leaf_times(entries.values())),
    )


def _load_node(data: bytes, load: Any) -> NodeEntry:
    record = decode(NodeRecord, data)
    group: PublicGroup = decode_public(record.group, load)
    return NodeEntry(
        Node.decode(record.node),
        group,
        record.group_info,
        CommitRef(record.keyframe),
        record.bytes_since_keyframe,
        record.commits_since_keyframe,
        read_sources(record.events),
        record.received_at_ms,
        None if record.anchor is None else _load_anchor(record.anchor),
        tuple(map(read_device_record, record.last_resorts)),
    )


def _load_anchor(record: AnchorRecord) -> Anchor:
    return Anchor(record.message, EventId(record.parent_event.decode()) if record.parent_event else None)


def _load_vote(data: bytes) -> TrackedVote:
    record = decode(VoteRecord, data)
    return TrackedVote(Vote.decode(record.vote), read_sources(record.events))


def _leaf_times(entries: Iterable[NodeEntry]) -> dict[Device, int]:
    seen: dict[Device, int] = {}
    for entry in entries:
        for device in entry.node.adds if entry.anchor is None else devices_of(entry.group.tree).values():
            seen[device] = max(seen.get(device, 0), entry.received_at_ms)
    return seen
