"""The form of requests."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from dmls.service import validation
from dmls.service.errors import InvalidRequestError
from dmls.service.limits import Limits
from dmls.service.validation import check, violations
from dmls.v1 import admin_pb2, common_pb2, device_pb2, encryption_pb2, key_package_pb2, room_pb2
from tests.service.contract import FILES, rpcs

LIMITS = Limits()
ALICE: dict[str, Any] = {"user_id": "@alice:here.example", "device_id": "PHONE"}
KEY = common_pb2.SignatureKey(public_key=bytes(32), cipher_suites=[1])
EVENT = room_pb2.RoomEvent(
    room_id="!r:here.example", event_id="$e", sender=ALICE["user_id"], type="m.room.encrypted", content=b"{}", state_key=""
)
MEMBER = room_pb2.MemberEvent(
    event_id="$m", user_id=ALICE["user_id"], sender=ALICE["user_id"], membership=room_pb2.MEMBERSHIP_JOIN, auth_event_ids=["$c"]
)
STATE = room_pb2.RoomState(room_version="10", create_sender=ALICE["user_id"], members=[MEMBER])

GOOD: list[Message] = [
    device_pb2.RegisterDeviceRequest(**ALICE, custody=common_pb2.CUSTODY_CLIENT, signature_keys=[KEY], request_id="x"),
    device_pb2.RegisterDeviceRequest(**ALICE, custody=common_pb2.CUSTODY_HOSTED, cipher_suites=[1, 0xFFFF]),
    device_pb2.UpdateDeviceRequest(device=device_pb2.Device(**ALICE), update_mask=FieldMask(paths=["display_name"])),
    device_pb2.ListDevicesRequest(),
    key_package_pb2.UploadKeyPackagesRequest(**ALICE, key_packages=[bytes(LIMITS.max_key_package_bytes)] * 100),
    key_package_pb2.ClaimKeyPackagesRequest(
        targets=[key_package_pb2.ClaimTarget(user_id="@bob:there.example:8448")], cipher_suites=[1], requester="there.example"
    ),
    key_package_pb2.ClaimKeyPackagesRequest(
        targets=[key_package_pb2.ClaimTarget(user_id="@bob:there.example")], cipher_suites=[1], requester="@a:here.example"
    ),
    room_pb2.UpdateRoomStateRequest(room_id="!r:here.example", version=1, full=STATE),
    room_pb2.UpdateRoomStateRequest(
        room_id="!" + "a" * 42 + "A", version=2, base_version=1, delta=room_pb2.RoomStateDelta(members=[MEMBER])
    ),
    room_pb2.IngestEventsRequest(events=[EVENT] * LIMITS.max_batch_items),
    EVENT,
    room_pb2.SetRoomOptionsRequest(
        room_id="!r:x", options=room_pb2.RoomOptions(cipher_suite=1), update_mask=FieldMask(paths=["cipher_suite"])
    ),
    room_pb2.OutboxAck(sequence=1, sent=room_pb2.OutboxSent()),
    encryption_pb2.EncryptEventsRequest(),
    admin_pb2.GetServerInfoRequest(),
]


@pytest.mark.parametrize("message", GOOD, ids=lambda message: message.DESCRIPTOR.name)
def test_good_requests_pass(message: Message) -> None:
    check(message, LIMITS)


def _upload(count: int, size: int = 1) -> Message:
    return key_package_pb2.UploadKeyPackagesRequest(**ALICE, key_packages=[bytes(size)] * count)


def _state(**fields: object) -> Message:
    return room_pb2.UpdateRoomStateRequest(**{"room_id": "!r:x", "version": 5, "full": STATE, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("message", "field", "text"),
    [
        (device_pb2.GetDeviceRequest(device_id="PHONE"), "user_id", "missing"),
        (device_pb2.GetDeviceRequest(user_id="alice", device_id="PHONE"), "user_id", "not a user ID"),
        (device_pb2.GetDeviceRequest(user_id="@" + "a" * 300 + ":x", device_id="P"), "user_id", "255"),
        (device_pb2.GetDeviceRequest(user_id="@a:x", device_id="P\0"), "device_id", "not a device ID"),
        (device_pb2.RegisterDeviceRequest(**ALICE), "custody", "missing"),
        (device_pb2.RegisterDeviceRequest(**ALICE, custody=77), "custody", "not a known value"),  # type: ignore[arg-type]
        (device_pb2.RegisterDeviceRequest(**ALICE, custody=common_pb2.CUSTODY_CLIENT), "signature_keys", "missing"),
        (
            device_pb2.RegisterDeviceRequest(**ALICE, custody=common_pb2.CUSTODY_HOSTED, signature_keys=[KEY]),
            "signature_keys",
            "must be empty",
        ),
        (
            device_pb2.RegisterDeviceRequest(
                **ALICE, custody=common_pb2.CUSTODY_CLIENT, signature_keys=[KEY, common_pb2.SignatureKey(public_key=b"x")]
            ),
            "signature_keys[1].cipher_suites",
            "missing",
        ),
        (
            device_pb2.RegisterDeviceRequest(**ALICE, custody=common_pb2.CUSTODY_HOSTED, cipher_suites=[1, 0x10000]),
            "cipher_suites[1]",
            "not a cipher suite",
        ),
        (
            device_pb2.RegisterDeviceRequest(**ALICE, custody=common_pb2.CUSTODY_HOSTED, request_id="x" * 65),
            "request_id",
            "more than 64 bytes",
        ),
        (device_pb2.UpdateDeviceRequest(device=device_pb2.Device(**ALICE), update_mask=FieldMask()), "update_mask", "empty"),
        (
            device_pb2.UpdateDeviceRequest(device=device_pb2.Device(**ALICE), update_mask=FieldMask(paths=["custody"])),
            "update_mask",
            "may name",
        ),
        (
            device_pb2.UpdateDeviceRequest(device=device_pb2.Device(), update_mask=FieldMask(paths=["display_name"])),
            "device.user_id",
            "missing",
        ),
        (device_pb2.ListDevicesRequest(page_size=-1), "page_size", "negative"),
        (device_pb2.ListDevicesRequest(page_token="x" * 513), "page_token", "more than 512"),
        (_upload(0), "key_packages", "missing"),
        (_upload(101), "key_packages", "more than 100 items"),
        (_upload(3, 70_000), "key_packages[0]", "more than 65536 bytes"),
        (key_package_pb2.ClaimKeyPackagesRequest(cipher_suites=[1]), "targets", "missing"),
        (
            key_package_pb2.ClaimKeyPackagesRequest(
                targets=[key_package_pb2.ClaimTarget(user_id="@a:x")], cipher_suites=[1], requester="not a server"
            ),
            "requester",
            "not a server name",
        ),
        (room_pb2.UpdateRoomStateRequest(room_id="!r:x", version=1), "change", "missing"),
        (_state(version=0), "version", "missing"),
        (_state(base_version=3), "base_version", "must be 0"),
        (_state(part=1), "full", "first part"),
        (
            room_pb2.UpdateRoomStateRequest(room_id="!r:x", version=5, base_version=5, delta=room_pb2.RoomStateDelta()),
            "base_version",
            "not below",
        ),
        (
            _state(full=room_pb2.RoomState(room_version="10", create_sender="@a:x", members=[room_pb2.MemberEvent()])),
            "full.members[0].event_id",
            "missing",
        ),
        (room_pb2.IngestEventsRequest(events=[EVENT] * 257), "events", "more than 256 items"),
        (room_pb2.RoomEvent(), "content", "missing"),
        (room_pb2.OutboxAck(sequence=1), "answer", "missing"),
        (room_pb2.OutboxAck(sequence=1, refused=room_pb2.OutboxRefused()), "refused.reason", "missing"),
        (room_pb2.AckOutboxRequest(), "incarnation", "missing"),
        (room_pb2.GetBlobRequest(room_id="!r:x", sha256=bytes(31)), "sha256", "not 32 bytes"),
        (room_pb2.GetRoomRequest(room_id="!nonsense"), "room_id", "room ID"),
        (room_pb2.DeviceList(user_id="@a:x", taken_at=Timestamp(seconds=-1)), "taken_at", "not a time"),
        (
            room_pb2.SetRoomOptionsRequest(
                room_id="!r:x",
                options=room_pb2.RoomOptions(retain_duration=Duration(seconds=-5)),
                update_mask=FieldMask(paths=["retain_duration"]),
            ),
            "options.retain_duration",
            "not a length of time",
        ),
    ],
)
def test_bad_requests_name_the_field(message: Message, field: str, text: str) -> None:
    found = {each.field: each.description for each in violations(message, LIMITS)}
    assert field in found
    assert text in found[field]
    with pytest.raises(InvalidRequestError) as caught:
        check(message, LIMITS)
    assert caught.value.code == "INVALID_ARGUMENT"


def test_items_of_batches_are_left_to_their_own_answers() -> None:
    for batch in (
        room_pb2.IngestEventsRequest(events=[room_pb2.RoomEvent(room_id="nonsense")]),
        room_pb2.IngestToDeviceRequest(messages=[room_pb2.ToDeviceMessage()]),
        room_pb2.UpdateDeviceListsRequest(lists=[room_pb2.DeviceList()]),
        room_pb2.AckOutboxRequest(incarnation=1, acks=[room_pb2.OutboxAck()]),
        room_pb2.ProvideKeyPackagesRequest(claim_id="c", users=[key_package_pb2.UserClaim()]),
        encryption_pb2.EncryptEventsRequest(events=[encryption_pb2.EventToEncrypt()]),
        encryption_pb2.DecryptEventsRequest(events=[encryption_pb2.EventToDecrypt()]),
    ):
        assert violations(batch, LIMITS) == ()


def test_a_flood_of_wrong_fields_is_cut_short() -> None:
    state = room_pb2.RoomState(room_version="10", create_sender="@a:x", members=[room_pb2.MemberEvent()] * 10_000)
    assert len(violations(_state(full=state), LIMITS)) == 16


def test_the_tables_name_messages_and_fields_that_exist() -> None:
    messages = {name: message for file in FILES for name, message in file.message_types_by_name.items()}
    for name, fields in validation._REQUIRED.items():
        assert set(fields) <= set(messages[name].fields_by_name) | set(messages[name].oneofs_by_name), name
    for name, (field, _) in validation._COUNTS.items():
        assert messages[name].fields_by_name[field].is_repeated, name
    for name, paths in validation._MASKS.items():
        assert "update_mask" in messages[name].fields_by_name
        assert paths
    assert set(messages) >= validation._ITEMS
    names = {field.name for message in messages.values() for field in message.fields}
    assert names >= set(validation._BY_NAME)


REQUESTS = [GetMessageClass(method.input_type) for method in rpcs().values()]


@given(st.sampled_from(REQUESTS), st.binary(max_size=200))
def test_no_request_makes_the_checks_fail_themselves(kind: type[Message], data: bytes) -> None:
    message = kind()
    try:
        message.ParseFromString(data)
    except DecodeError:
        return
    assert len(violations(message, LIMITS)) <= 16


def test_the_limits_told_are_the_limits_held() -> None:
    told = LIMITS.to_proto()
    assert {field.name for field in told.DESCRIPTOR.fields} == set(LIMITS.__slots__)
    assert told.max_batch_items == LIMITS.max_batch_items
    assert told.request_id_window.ToTimedelta() == LIMITS.request_id_window
