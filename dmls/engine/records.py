"""A room's records: how the state is written to a store and read back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from immutables import Map

from dmls.engine.agent import Agent
from dmls.engine.effects import EventKind, EventResult, IngestOutcome, Table
from dmls.engine.profile import rule_of
from dmls.engine.state import (
    Draft,
    HeldEpoch,
    NodeEntry,
    ParkedEvent,
    Plaintext,
    RoomState,
    TrackedList,
    TrackedVote,
)
from dmls.errors import CodecError
from dmls.forks.graph import Device, EpochGraph, Node, Vote
from dmls.ids import CommitRef, DeviceId, EventId, RoomId, UserId
from dmls.matrix.encoding import encode_json, parse_json_object
from dmls.matrix.events import RoomEvent
from dmls.matrix.membership import RoomMembership
from dmls.mls.codec import decode, encode, opaque, struct, uint8, uint16, uint32, uint64, vector
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.group.follower import PublicGroup
from dmls.mls.group.keyring import KeyRing
from dmls.mls.group.snapshot import decode_public, decode_state, encode_public, encode_state
from dmls.mls.messages.key_package import KeyPackage
from dmls.mls.tree.ratchet_tree import RatchetTree
from dmls.mls.tree.storage import LoadedTrees, load_tree, new_nodes

__all__ = [
    "encode_times",
    "load_room",
    "put_epoch",
    "put_key_package",
    "put_keys",
    "put_list",
    "put_meta",
    "put_node",
    "put_outcome",
    "put_parked",
    "put_plaintext",
    "put_times",
    "put_vote",
    "read_device",
    "write_device",
]

_META = b"meta"
_TIMES = b"times"
_KEY_PACKAGE = b"key_package:"
_MAX_CONTENT = 1 << 20


@struct
class _Device:
    user_id: opaque
    device_id: opaque
    signature_key: opaque


@struct
class _Meta:
    version: uint8
    facts: opaque
    state_version: uint64
    cipher_suite: uint16
    vote_seq_reserved: uint64
    gone: vector[_Device]
    expired: vector[opaque]


@struct
class _DeviceTime:
    device: _Device
    time_ms: uint64


@struct
class _UserTime:
    user_id: opaque
    time_ms: uint64


@struct
class _PendingVote:
    device: _Device
    commit_ref: opaque


@struct
class _Times:
    claims: vector[_DeviceTime]
    list_requests: vector[_UserTime]
    member_since: vector[_UserTime]
    pending_votes: vector[_PendingVote]
    head_since_ms: uint64
    dirty_since_ms: uint64
    last_merge_ms: uint64
    last_join_ms: uint64


@struct
class _List:
    user_id: opaque
    version: uint64
    taken_at_ms: uint64
    is_own: uint8
    devices: vector[_Device]


@struct
class _Node:
    node: opaque
    group: opaque
    group_info: opaque
    keyframe: opaque
    bytes_since_keyframe: uint64
    commits_since_keyframe: uint32
    auth_events: vector[opaque]
    received_at_ms: uint64


@struct
class _Vote:
    vote: opaque
    auth_events: vector[opaque]


@struct(secret=True)
class _Epoch:
    state: opaque
    succeeded_at_ms: uint64


@struct
class _Parked:
    event_id: opaque
    sender: opaque
    type: opaque
    content: opaque
    origin_server_ts_ms: uint64
    soft_failed: uint8
    before_departure: uint8
    auth_events: vector[opaque]
    missing: opaque
    parked_at_ms: uint64
    is_to_device: uint8


@struct
class _Outcome:
    outcome: opaque
    kind: opaque
    commit_ref: opaque
    reason: opaque
    rule: opaque
    message: opaque


@struct(secret=True)
class _Plaintext:
    payload: opaque
    sender: _Device
    leaf_index: uint32
    commit_ref: opaque
    origin_server_ts_ms: uint64
    readers: vector[_Device]
    waiting: vector[_Device]
    delete_at_ms: uint64


def write_device(device: Device) -> bytes:
    """Encode a device."""
    return encode(_device(device))


def read_device(data: bytes) -> Device:
    """Decode what `write_device` made."""
    return _read_device(decode(_Device, data))


def _device(device: Device) -> _Device:
    return _Device(device.user_id.encode(), device.device_id.encode(), device.signature_key)


def _read_device(record: _Device) -> Device:
    return Device(UserId(record.user_id.decode()), DeviceId(record.device_id.decode()), record.signature_key)


def _devices(devices: Iterable[Device]) -> tuple[_Device, ...]:
    return tuple(_device(device) for device in sorted(devices))


def _ids(values: Iterable[bytes]) -> tuple[EventId, ...]:
    return tuple(EventId(value.decode()) for value in values)


def put_meta(draft: Draft) -> None:
    """Write what belongs to the room as a whole."""
    state = draft.state
    meta = _Meta(
        1,
        state.membership.encode_facts(),
        state.state_version,
        state.cipher_suite,
        state.vote_seq_reserved,
        _devices(state.gone),
        tuple(sorted(state.expired)),
    )
    draft.put(Table.ROOM, _META, encode(meta))


def encode_times(state: RoomState) -> bytes:
    """Encode when things were last done, so that a restart neither repeats nor forgets them."""
    return encode(
        _Times(
            tuple(_DeviceTime(_device(device), time) for device, time in sorted(state.claims.items())),
            tuple(_UserTime(user.encode(), time) for user, time in sorted(state.list_requests.items())),
            tuple(_UserTime(user.encode(), time) for user, time in sorted(state.member_since_ms.items())),
            tuple(_PendingVote(_device(device), ref) for device, ref in sorted(state.pending_votes.items())),
            state.head_since_ms,
            state.dirty_since_ms,
            state.last_merge_ms,
            state.last_join_ms,
        )
    )


def put_times(draft: Draft, before: RoomState) -> None:
    """Write when things were last done, if that has changed since `before`."""
    encoded = encode_times(draft.state)
    if encoded != encode_times(before):
        draft.put(Table.ROOM, _TIMES, encoded)


def put_list(draft: Draft, user_id: UserId, held: TrackedList) -> None:
    """Write a user's device list."""
    record = _List(user_id.encode(), held.version, held.taken_at_ms, held.is_own, _devices(held.devices))
    draft.put(Table.DEVICE_LIST, user_id.encode(), encode(record))


def put_node(draft: Draft, entry: NodeEntry) -> None:
    """Write a node, and those parts of its tree that the store does not hold yet."""
    stored = draft.state.tree_nodes.mutate()
    for tree_hash, data in new_nodes(entry.group.tree, lambda known: known in stored):
        draft.put(Table.TREE_NODE, tree_hash, data)
        stored[tree_hash] = True
    draft.update(tree_nodes=stored.finish())
    record = _Node(
        entry.node.encode(),
        encode_public(entry.group),
        entry.group_info,
        entry.keyframe,
        entry.bytes_since_keyframe,
        entry.commits_since_keyframe,
        tuple(event.encode() for event in entry.auth_events),
        entry.received_at_ms,
    )
    draft.put(Table.NODE, entry.node.commit_ref, encode(record))


def put_vote(draft: Draft, key: bytes, tracked: TrackedVote) -> None:
    """Write a vote."""
    events = tuple(event.encode() for event in tracked.auth_events)
    draft.put(Table.VOTE, key, encode(_Vote(tracked.vote.encode(), events)))


def put_epoch(draft: Draft, commit_ref: CommitRef, held: HeldEpoch) -> None:
    """Write the secrets of an epoch."""
    draft.put(Table.EPOCH, commit_ref, encode(_Epoch(encode_state(held.state), held.succeeded_at_ms)))


def put_keys(draft: Draft, keys: Mapping[bytes, Secret]) -> None:
    """Write private keys."""
    for public_key, private_key in keys.items():
        draft.put(Table.PRIVATE_KEY, public_key, private_key)


def put_key_package(draft: Draft, device: Device, key_package: KeyPackage | None) -> None:
    """Write a claimed key package, or remove it with None."""
    key = _KEY_PACKAGE + write_device(device)
    if key_package is None:
        draft.delete(Table.ROOM, key)
    else:
        draft.put(Table.ROOM, key, encode(key_package))


def put_parked(draft: Draft, key: bytes, parked: ParkedEvent) -> None:
    """Write a waiting event."""
    event = parked.event
    departure = {None: 0, False: 1, True: 2}[event.before_departure]
    record = _Parked(
        event.event_id.encode(),
        event.sender.encode(),
        event.type.encode(),
        encode_json(event.content),
        event.origin_server_ts_ms,
        event.soft_failed,
        departure,
        tuple(item.encode() for item in event.auth_events),
        parked.missing,
        parked.parked_at_ms,
        parked.is_to_device,
    )
    draft.put(Table.PARKED_EVENT, key, encode(record))


def put_outcome(draft: Draft, key: bytes, result: EventResult) -> None:
    """Write what became of an event."""
    texts = (result.outcome, result.kind)
    record = _Outcome(
        texts[0].encode(),
        texts[1].encode(),
        result.commit_ref,
        result.reason.encode(),
        result.rule.encode(),
        result.message.encode(),
    )
    draft.put(Table.EVENT_OUTCOME, key, encode(record))


def put_plaintext(draft: Draft, key: bytes, plaintext: Plaintext) -> None:
    """Write a decrypted message."""
    record = _Plaintext(
        plaintext.payload,
        _device(plaintext.sender),
        plaintext.leaf_index,
        plaintext.commit_ref,
        plaintext.origin_server_ts_ms,
        _devices(plaintext.readers),
        _devices(plaintext.waiting),
        plaintext.delete_at_ms,
    )
    draft.put(Table.PLAINTEXT, key, encode(record))


def load_room(room_id: RoomId, agent: Agent, records: Iterable[tuple[str, bytes, bytes]]) -> RoomState:
    """Rebuild a room from its records `(table, key, value)`, in any order.

    Raises:
        CodecError: a record was not written by this module.
    """
    tables: dict[str, dict[bytes, bytes]] = {table: {} for table in Table}
    for table, key, value in records:
        tables[table][key] = value
    state = RoomState(room_id, agent)
    room = tables[Table.ROOM]
    if _META in room:
        state = _load_meta(state, room[_META], tables[Table.MEMBER_STATE].values())
    if _TIMES in room:
        state = _load_times(state, room[_TIMES])
    packages = {
        read_device(key[len(_KEY_PACKAGE) :]): decode(KeyPackage, value)
        for key, value in room.items()
        if key.startswith(_KEY_PACKAGE)
    }
    lists = dict(_load_list(value) for value in tables[Table.DEVICE_LIST].values())
    outcomes = {key: _load_outcome(value) for key, value in tables[Table.EVENT_OUTCOME].items()}
    parked = {key: _load_parked(room_id, value) for key, value in tables[Table.PARKED_EVENT].items()}
    plaintexts = {key: _load_plaintext(value) for key, value in tables[Table.PLAINTEXT].items()}
    ring = KeyRing(Map({key: Secret(value) for key, value in tables[Table.PRIVATE_KEY].items()}))
    state = replace(
        state,
        key_packages=Map(packages),
        lists=Map(lists),
        outcomes=Map(outcomes),
        parked=Map(parked),
        plaintexts=Map(plaintexts),
        ring=ring,
    )
    return _load_group(state, tables)


def _load_meta(state: RoomState, data: bytes, members: Iterable[bytes]) -> RoomState:
    meta = decode(_Meta, data)
    if meta.version != 1:
        raise CodecError("the room's record has an unknown version")
    return replace(
        state,
        membership=RoomMembership.load(meta.facts, members),
        state_version=meta.state_version,
        cipher_suite=meta.cipher_suite,
        vote_seq=meta.vote_seq_reserved,
        vote_seq_reserved=meta.vote_seq_reserved,
        gone=Map({_read_device(device): True for device in meta.gone}),
        expired=Map({CommitRef(ref): True for ref in meta.expired}),
    )


def _load_times(state: RoomState, data: bytes) -> RoomState:
    times = decode(_Times, data)
    return replace(
        state,
        claims=Map({_read_device(item.device): item.time_ms for item in times.claims}),
        list_requests=Map({UserId(item.user_id.decode()): item.time_ms for item in times.list_requests}),
        member_since_ms=Map({UserId(item.user_id.decode()): item.time_ms for item in times.member_since}),
        pending_votes=Map({_read_device(item.device): CommitRef(item.commit_ref) for item in times.pending_votes}),
        head_since_ms=times.head_since_ms,
        dirty_since_ms=times.dirty_since_ms,
        last_merge_ms=times.last_merge_ms,
        last_join_ms=times.last_join_ms,
    )


def _load_list(data: bytes) -> tuple[UserId, TrackedList]:
    record = decode(_List, data)
    devices = tuple(_read_device(device) for device in record.devices)
    tracked = TrackedList(record.version, record.taken_at_ms, devices, bool(record.is_own))
    return UserId(record.user_id.decode()), tracked


def _load_outcome(data: bytes) -> EventResult:
    record = decode(_Outcome, data)
    return EventResult(
        IngestOutcome(record.outcome.decode()),
        EventKind(record.kind.decode()),
        CommitRef(record.commit_ref),
        record.reason.decode(),
        record.rule.decode(),
        record.message.decode(),
    )


def _load_parked(room_id: RoomId, data: bytes) -> ParkedEvent:
    record = decode(_Parked, data)
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
        _ids(record.auth_events),
    )
    return ParkedEvent(event, record.missing, record.parked_at_ms, bool(record.is_to_device))


def _load_plaintext(data: bytes) -> Plaintext:
    record = decode(_Plaintext, data)
    return Plaintext(
        record.payload,
        _read_device(record.sender),
        record.leaf_index,
        CommitRef(record.commit_ref),
        record.origin_server_ts_ms,
        frozenset(map(_read_device, record.readers)),
        frozenset(map(_read_device, record.waiting)),
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
        record = decode(_Epoch, value)
        held = decode_state(record.state, rule_of(entries[CommitRef(ref)].group), load)
        epochs[CommitRef(ref)] = HeldEpoch(held, record.succeeded_at_ms)
    votes = {key: _load_vote(value) for key, value in tables[Table.VOTE].items()}
    return replace(
        state,
        graph=EpochGraph.build(entry.node for entry in entries.values()),
        entries=Map(entries),
        epochs=Map(epochs),
        votes=Map(votes),
        tree_nodes=Map(dict.fromkeys(stored, True)),
        seen_at_ms=Map(_leaf_times(entries.values())),
    )


def _load_node(data: bytes, load: Any) -> NodeEntry:
    record = decode(_Node, data)
    group: PublicGroup = decode_public(record.group, load)
    return NodeEntry(
        Node.decode(record.node),
        group,
        record.group_info,
        CommitRef(record.keyframe),
        record.bytes_since_keyframe,
        record.commits_since_keyframe,
        _ids(record.auth_events),
        record.received_at_ms,
    )


def _load_vote(data: bytes) -> TrackedVote:
    record = decode(_Vote, data)
    return TrackedVote(Vote.decode(record.vote), _ids(record.auth_events))


def _leaf_times(entries: Iterable[NodeEntry]) -> dict[Device, int]:
    seen: dict[Device, int] = {}
    for entry in entries:
        for device in entry.node.adds:
            seen[device] = max(seen.get(device, 0), entry.received_at_ms)
    return seen
