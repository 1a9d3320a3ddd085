"""The formats of a room's records: what `dmls.engine.records` writes and `dmls.engine.loading` reads."""

from __future__ import annotations

from collections.abc import Iterable

from dmls.engine.sources import EventFacts
from dmls.forks.graph import Device
from dmls.ids import DeviceId, EventId, UserId
from dmls.mls.codec import decode, encode, opaque, optional, struct, uint8, uint16, uint32, uint64, vector

__all__ = [
    "ASKED",
    "CLAIM",
    "DEBT",
    "EXPIRED",
    "KEY_PACKAGE",
    "LIST_REQUEST",
    "MEMBER_SINCE",
    "META",
    "PENDING_VOTE",
    "REFUSAL",
    "SENT",
    "TIMES",
    "VOTE_FLOOR",
    "AnchorRecord",
    "AskedRecord",
    "DeviceRecord",
    "EpochRecord",
    "LeafRecord",
    "ListRecord",
    "MetaRecord",
    "NodeRecord",
    "OutcomeRecord",
    "ParkedRecord",
    "PlaintextRecord",
    "RefusalRecord",
    "SentRecord",
    "SourceRecord",
    "TimesRecord",
    "VoteRecord",
    "decode_time",
    "device_record",
    "device_records",
    "encode_time",
    "event_ids",
    "read_device",
    "read_device_record",
    "read_sources",
    "source_records",
    "write_device",
]

META = b"meta"
"""Key of the record of the room as a whole."""
TIMES = b"times"
"""Key of the record of when things were last done in the room."""
EXPIRED = b"expired:"
"""Prefix of the keys of epochs whose secrets were held and are deleted; the commit_ref follows."""
KEY_PACKAGE = b"key_package:"
"""Prefix of the keys of claimed key packages; the device follows."""
CLAIM = b"claim:"
"""Prefix of the keys of when a key package of a device was last asked for; the device follows."""
LIST_REQUEST = b"list_request:"
"""Prefix of the keys of when a device list was last asked for; the user follows."""
MEMBER_SINCE = b"member_since:"
"""Prefix of the keys of when a user's current member event came; the user follows."""
DEBT = b"debt:"
"""Prefix of the keys of since when own devices have owed fresh keys; the device follows."""
SENT = b"sent:"
"""Prefix of the keys of how many messages own devices have sent under their keys; the device follows."""
REFUSAL = b"refusal:"
"""Prefix of the keys of what the homeserver has refused; the user follows."""
PENDING_VOTE = b"pending_vote:"
"""Prefix of the keys of votes on their way; the device follows."""
ASKED = b"asked:"
"""Prefix of the keys of what was asked for; its name follows (`dmls.engine.parking`)."""
VOTE_FLOOR = b"vote_floor:"
"""Prefix of the keys of the last vote_seq of own devices that count by themselves; the device follows."""


@struct
class DeviceRecord:
    """A device."""

    user_id: opaque
    device_id: opaque
    signature_key: opaque


@struct
class LeafRecord:
    """An own leaf, by its device and the node that added it."""

    device: DeviceRecord
    origin: opaque


@struct
class MetaRecord:
    """What belongs to the room as a whole."""

    version: uint8
    facts: opaque
    state_version: uint64
    cipher_suite: uint16
    vote_seq_reserved: uint64
    gone: vector[DeviceRecord]
    failed: vector[opaque]
    barred: vector[LeafRecord]
    spoilt: vector[opaque]


@struct
class TimesRecord:
    """When things were last done, and where this agent stands."""

    stand: opaque
    head_since_ms: uint64
    away_since_ms: uint64
    locked_out_since_ms: uint64
    dirty_since_ms: uint64
    last_merge_ms: uint64
    last_join_ms: uint64
    join_failures: uint32
    is_crowded: uint8
    wants_history: uint8


@struct
class RefusalRecord:
    """How often in a row a user's nodes were refused, and when last."""

    times: uint32
    at_ms: uint64


@struct
class SentRecord:
    """How many messages were sent under the keys that a node brought."""

    commit_ref: opaque
    messages: uint64


@struct
class ListRecord:
    """A user's device list."""

    user_id: opaque
    version: uint64
    taken_at_ms: uint64
    is_own: uint8
    devices: vector[DeviceRecord]


@struct
class SourceRecord:
    """An event that brought a node or a vote."""

    event_id: opaque
    auth_events: vector[opaque]
    before_departure: uint8


@struct
class AnchorRecord:
    """The commit of an anchor, and where its parent is said to be, if anywhere."""

    message: opaque
    parent_event: opaque


@struct
class NodeRecord:
    """A node, without its tree."""

    node: opaque
    group: opaque
    group_info: opaque
    keyframe: opaque
    bytes_since_keyframe: uint64
    commits_since_keyframe: uint32
    events: vector[SourceRecord]
    received_at_ms: uint64
    anchor: optional[AnchorRecord]
    last_resorts: vector[DeviceRecord]


@struct
class VoteRecord:
    """A vote."""

    vote: opaque
    events: vector[SourceRecord]


@struct(secret=True)
class EpochRecord:
    """The secrets of an epoch."""

    state: opaque
    succeeded_at_ms: uint64


@struct
class ParkedRecord:
    """A waiting event."""

    event_id: opaque
    sender: opaque
    type: opaque
    content: opaque
    origin_server_ts_ms: uint64
    soft_failed: uint8
    before_departure: uint8
    auth_events: vector[opaque]
    missing: opaque
    hints: vector[opaque]
    commit_ref: opaque
    epoch: optional[uint64]
    parked_at_ms: uint64
    is_to_device: uint8
    is_vouched: uint8
    keyframe: opaque


@struct
class AskedRecord:
    """How often something was asked for."""

    times: uint32
    asked_ms: uint64
    next_ms: uint64
    hints: vector[opaque]


@struct
class OutcomeRecord:
    """What became of an event."""

    outcome: opaque
    kind: opaque
    commit_ref: opaque
    reason: opaque
    rule: opaque
    message: opaque


@struct(secret=True)
class PlaintextRecord:
    """A decrypted message."""

    payload: opaque
    sender: DeviceRecord
    leaf_index: uint32
    commit_ref: opaque
    origin_server_ts_ms: uint64
    readers: vector[DeviceRecord]
    waiting: vector[DeviceRecord]
    delete_at_ms: uint64


def write_device(device: Device) -> bytes:
    """Encode a device."""
    return encode(device_record(device))


def read_device(data: bytes) -> Device:
    """Decode what `write_device` made."""
    return read_device_record(decode(DeviceRecord, data))


def device_record(device: Device) -> DeviceRecord:
    """Return the record of a device."""
    return DeviceRecord(device.user_id.encode(), device.device_id.encode(), device.signature_key)


def read_device_record(record: DeviceRecord) -> Device:
    """Return the device of a record."""
    return Device(UserId(record.user_id.decode()), DeviceId(record.device_id.decode()), record.signature_key)


def device_records(devices: Iterable[Device]) -> tuple[DeviceRecord, ...]:
    """Return the records of devices, sorted."""
    return tuple(device_record(device) for device in sorted(devices))


def event_ids(values: Iterable[bytes]) -> tuple[EventId, ...]:
    """Return event ids that were written as bytes."""
    return tuple(EventId(value.decode()) for value in values)


def source_records(events: Iterable[EventFacts]) -> tuple[SourceRecord, ...]:
    """Return the records of the events that brought a node or a vote."""
    return tuple(
        SourceRecord(facts.event_id.encode(), tuple(name.encode() for name in facts.auth_events), facts.before_departure)
        for facts in events
    )


def read_sources(records: Iterable[SourceRecord]) -> tuple[EventFacts, ...]:
    """Return the events that were written as records."""
    return tuple(
        EventFacts(EventId(record.event_id.decode()), event_ids(record.auth_events), bool(record.before_departure))
        for record in records
    )


def encode_time(time_ms: int) -> bytes:
    """Write a time, milliseconds since 1970, as 8 bytes."""
    return time_ms.to_bytes(8, "big")


def decode_time(data: bytes) -> int:
    """Read what `encode_time` wrote."""
    return int.from_bytes(data, "big")
