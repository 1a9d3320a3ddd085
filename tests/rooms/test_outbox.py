"""Outbox items as bytes: what is written is read, and nothing else is."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from dmls.errors import CodecError
from dmls.forks.graph import Device
from dmls.ids import CommitRef, DeviceId, EventId, UserId
from dmls.mls.codec import encode_opaque
from dmls.rooms.outbox import Action, Backfill, BlobToStore, Kind, decode_item, encode_item

ALICE, PHONE = UserId("@alice:hs1"), DeviceId("PHONE")
REF = CommitRef(b"r" * 32)
DEVICES = (Device(ALICE, PHONE, b"1" * 32), Device(UserId("@ünïcode:hs1"), DeviceId("D 2"), b"2" * 57))
BLOB = BlobWanted("mxc://hs1/a", b"s" * 32, 70_000)

ITEMS: list[tuple[OutboxItem, Kind, Action]] = [
    (EventToSend(ALICE, b"{}", REF), Kind.ROOM_EVENT, EventToSend(ALICE, b"{}", REF)),
    (EventToSend(ALICE, b"{}"), Kind.ROOM_EVENT, EventToSend(ALICE, b"{}")),
    (ToDeviceToSend(ALICE, ALICE, PHONE, b"{}"), Kind.TO_DEVICE, ToDeviceToSend(ALICE, ALICE, PHONE, b"{}")),
    (BlobToUpload("mxc://hs1/a", b"s" * 32, b"data"), Kind.BLOB, BlobToStore("mxc://hs1/a", b"s" * 32, 4)),
    (ClaimWanted(DEVICES, 1), Kind.CLAIM_WANTED, ClaimWanted(DEVICES, 1)),
    (BackfillWanted((EventId("$1"),), (REF,)), Kind.BACKFILL_WANTED, Backfill((EventId("$1"),), (REF,))),
    (BLOB, Kind.BACKFILL_WANTED, Backfill(blobs=(BLOB,))),
    (DeviceListsWanted((ALICE,)), Kind.DEVICE_LIST_WANTED, DeviceListsWanted((ALICE,))),
]


def row(kind: str, payload: bytes) -> OutboxRow:
    return OutboxRow(7, "!room:hs1", kind, payload, 1_000)


@pytest.mark.parametrize(("item", "kind", "action"), ITEMS, ids=[type(item).__name__ for item, _, _ in ITEMS])
def test_every_item_is_read_as_it_was_written(item: OutboxItem, kind: Kind, action: Action) -> None:
    written, payload = encode_item(item, [9, 3])
    read = decode_item(row(written, payload))
    assert (written, read.action, read.depends_on) == (kind, action, (3, 9))
    assert (read.seq, read.room_id, read.created_at_ms) == (7, "!room:hs1", 1_000)
    assert encode_item(item, [3, 9]) == (written, payload)


@pytest.mark.parametrize("kind", [*Kind, "another"])
@given(payload=st.binary(max_size=64))
def test_other_bytes_are_an_item_or_a_typed_error(kind: str, payload: bytes) -> None:
    with contextlib.suppress(CodecError):
        assert decode_item(row(kind, b"\x01\x00" + encode_opaque(payload))).seq == 7
    with contextlib.suppress(CodecError):
        decode_item(row(kind, payload))


def test_text_that_is_none_is_a_typed_error() -> None:
    kind, payload = encode_item(DeviceListsWanted((ALICE,)), [])
    with pytest.raises(CodecError):
        decode_item(row(kind, payload.replace(b"@alice", b"@ali\xffe")))


def test_an_item_of_a_later_version_is_refused() -> None:
    kind, payload = encode_item(ITEMS[0][0], [])
    with pytest.raises(CodecError):
        decode_item(row(kind, b"\x02" + payload[1:]))
    with pytest.raises(CodecError):
        decode_item(row("another", payload))
