"""Outbox items as the store holds them: bytes that never change, with the items that must be sent before.

Blobs are not in the items that name them; the store has them under their SHA-256.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from devicestore.outbox import OutboxItem as OutboxRow
from dmls.engine.effects import (
    BackfillWanted,
    BlobToUpload,
    BlobWanted,
    ClaimWanted,
    DeviceListsWanted,
    EventToSend,
    OutboxItem,
    ToDeviceToSend,
)
from dmls.engine.formats import read_device, write_device
from dmls.errors import CodecError
from dmls.ids import CommitRef, DeviceId, EventId, RoomId, UserId
from dmls.mls.codec import decode, encode, opaque, struct, uint8, uint16, uint64, vector

__all__ = ["Action", "Backfill", "BlobToStore", "Kind", "StoredItem", "decode_item", "encode_item"]

_VERSION = 1


class Kind(StrEnum):
    """What the homeserver is to do."""

    ROOM_EVENT = "room_event"
    TO_DEVICE = "to_device"
    BLOB = "blob"
    CLAIM_WANTED = "claim_wanted"
    BACKFILL_WANTED = "backfill_wanted"
    DEVICE_LIST_WANTED = "device_list_wanted"


@dataclass(frozen=True, slots=True)
class BlobToStore:
    """A blob for the media repository. `sha256` has 32 bytes, `size` is in bytes."""

    uri: str
    sha256: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Backfill:
    """Events and blobs that are missing."""

    event_ids: tuple[EventId, ...] = ()
    commit_refs: tuple[CommitRef, ...] = ()
    blobs: tuple[BlobWanted, ...] = ()


Action = EventToSend | ToDeviceToSend | BlobToStore | ClaimWanted | Backfill | DeviceListsWanted


@dataclass(frozen=True, slots=True)
class StoredItem:
    """An outbox item; `seq` numbers the items of all rooms in the order of their transactions, from 1."""

    seq: int
    room_id: RoomId
    created_at_ms: int
    action: Action
    depends_on: tuple[int, ...] = ()
    """Items that must have been sent before this one may be."""


@struct
class _Item:
    version: uint8
    depends_on: vector[uint64]
    action: opaque


@struct
class _RoomEvent:
    sender: opaque
    content: opaque
    commit_ref: opaque


@struct
class _ToDevice:
    sender: opaque
    user_id: opaque
    device_id: opaque
    content: opaque


@struct
class _Blob:
    uri: opaque
    sha256: opaque
    size: uint64


@struct
class _Claim:
    devices: vector[opaque]
    cipher_suite: uint16


@struct
class _Backfill:
    event_ids: vector[opaque]
    commit_refs: vector[opaque]
    blobs: vector[_Blob]


@struct
class _DeviceLists:
    users: vector[opaque]


def encode_item(item: OutboxItem, depends_on: Iterable[int]) -> tuple[Kind, bytes]:
    """Return kind and payload of an item of the engine; the bytes of a blob are not in it."""
    kind, action = _write(item)
    return kind, encode(_Item(_VERSION, tuple(sorted(depends_on)), encode(action)))


def decode_item(row: OutboxRow) -> StoredItem:
    """Return what `encode_item` wrote.

    Raises:
        CodecError: it was not written by this module.
    """
    item = decode(_Item, row.payload)
    if item.version != _VERSION or row.kind not in set(Kind):
        raise CodecError("an outbox item has an unknown version or kind")
    try:
        action = _read(Kind(row.kind), item.action)
    except UnicodeDecodeError:
        raise CodecError("an outbox item names something that is no text") from None
    return StoredItem(row.seq, RoomId(row.room_id), row.created_at_ms, action, item.depends_on)


def _write(item: OutboxItem) -> tuple[Kind, object]:
    match item:
        case EventToSend():
            return Kind.ROOM_EVENT, _RoomEvent(item.sender.encode(), item.content, item.commit_ref)
        case ToDeviceToSend():
            names = (item.sender.encode(), item.user_id.encode(), item.device_id.encode())
            return Kind.TO_DEVICE, _ToDevice(*names, item.content)
        case BlobToUpload():
            return Kind.BLOB, _Blob(item.uri.encode(), item.sha256, len(item.data))
        case ClaimWanted():
            return Kind.CLAIM_WANTED, _Claim(tuple(map(write_device, item.devices)), item.cipher_suite)
        case BackfillWanted():
            return Kind.BACKFILL_WANTED, _Backfill(_encoded(item.event_ids), item.commit_refs, ())
        case BlobWanted():
            return Kind.BACKFILL_WANTED, _Backfill((), (), (_Blob(item.uri.encode(), item.sha256, item.size),))
        case DeviceListsWanted():
            return Kind.DEVICE_LIST_WANTED, _DeviceLists(_encoded(item.users))


def _encoded(texts: Iterable[str]) -> tuple[bytes, ...]:
    return tuple(text.encode() for text in texts)


def _read(kind: Kind, data: bytes) -> Action:
    match kind:
        case Kind.ROOM_EVENT:
            event = decode(_RoomEvent, data)
            return EventToSend(UserId(event.sender.decode()), event.content, CommitRef(event.commit_ref))
        case Kind.TO_DEVICE:
            message = decode(_ToDevice, data)
            sender, user, device = message.sender.decode(), message.user_id.decode(), message.device_id.decode()
            return ToDeviceToSend(UserId(sender), UserId(user), DeviceId(device), message.content)
        case Kind.BLOB:
            blob = decode(_Blob, data)
            return BlobToStore(blob.uri.decode(), blob.sha256, blob.size)
        case Kind.CLAIM_WANTED:
            claim = decode(_Claim, data)
            return ClaimWanted(tuple(map(read_device, claim.devices)), claim.cipher_suite)
        case Kind.BACKFILL_WANTED:
            wanted = decode(_Backfill, data)
            events = tuple(EventId(event.decode()) for event in wanted.event_ids)
            blobs = tuple(BlobWanted(each.uri.decode(), each.sha256, each.size) for each in wanted.blobs)
            return Backfill(events, tuple(map(CommitRef, wanted.commit_refs)), blobs)
        case Kind.DEVICE_LIST_WANTED:
            return DeviceListsWanted(tuple(UserId(user.decode()) for user in decode(_DeviceLists, data).users))
