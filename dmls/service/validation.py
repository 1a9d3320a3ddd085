"""The form of requests, checked before anything else looks at them.

What a field may hold follows from its name, which means the same in every message of the contract; a table adds which fields
a message must have. Items of a batch are not looked into here: their servicer calls `check` on each of them and answers with a
failure for that item alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeAlias

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from dmls.errors import InvalidArgumentError
from dmls.matrix.identifiers import parse_device_id, parse_event_id, parse_room_id, parse_server_name, parse_user_id
from dmls.service.errors import InvalidRequestError, Violation
from dmls.service.limits import Limits
from dmls.v1 import common_pb2, device_pb2, room_pb2

__all__ = ["check", "violations"]

_Check: TypeAlias = Callable[[Any, Limits], str]
"""Says what is wrong with a value. Empty: nothing."""

_MAX_TEXT = 255
_MAX_VIOLATIONS = 16
_NANOS = 1_000_000_000
_LAST_SECOND = 253_402_300_799
"""9999-12-31T23:59:59Z, the end of google.protobuf.Timestamp."""


def _identifier(parse: Callable[[object], object]) -> _Check:
    def run(value: str, limits: Limits) -> str:
        try:
            parse(value)
        except InvalidArgumentError as error:
            return error.message
        return ""

    return run


def _at_most(size: int) -> _Check:
    return lambda value, _: "" if _size(value) <= size else f"more than {size} bytes"


def _within(limit: str) -> _Check:
    return lambda value, limits: "" if _size(value) <= getattr(limits, limit) else f"more than {getattr(limits, limit)} bytes"


def _exactly(size: int) -> _Check:
    return lambda value, _: "" if len(value) == size else f"not {size} bytes"


def _requester(value: str, limits: Limits) -> str:
    return _identifier(parse_user_id if value.startswith("@") else parse_server_name)(value, limits)


def _uint16(value: int, limits: Limits) -> str:
    return "" if value <= 0xFFFF else "more than 65,535"


def _suite(value: int, limits: Limits) -> str:
    return "" if 0 < value <= 0xFFFF else "not a cipher suite"


def _not_negative(value: int, limits: Limits) -> str:
    return "" if value >= 0 else "negative"


_BY_NAME: Mapping[str, _Check] = {
    "user_id": _identifier(parse_user_id),
    "user_ids": _identifier(parse_user_id),
    "removed_user_ids": _identifier(parse_user_id),
    "sender": _identifier(parse_user_id),
    "create_sender": _identifier(parse_user_id),
    "device_id": _identifier(parse_device_id),
    "device_ids": _identifier(parse_device_id),
    "room_id": _identifier(parse_room_id),
    "room_ids": _identifier(parse_room_id),
    "predecessor_room_id": _identifier(parse_room_id),
    "event_id": _identifier(parse_event_id),
    "create_event_id": _identifier(parse_event_id),
    "auth_event_ids": _identifier(parse_event_id),
    "requester": _requester,
    "request_id": _at_most(64),
    "claim_id": _at_most(64),
    "page_token": _at_most(512),
    "cursor": _at_most(512),
    "message": _at_most(1000),
    "uri": _at_most(1024),
    "page_size": _not_negative,
    "cipher_suite": _suite,
    "cipher_suites": _suite,
    "extension_types": _uint16,
    "proposal_types": _uint16,
    "credential_types": _uint16,
    "retain_epochs": _uint16,
    "sha256": _exactly(32),
    "commit_ref": _at_most(64),
    "ref": _at_most(64),
    "refs": _at_most(64),
    "public_key": _at_most(256),
    "credential": _within("max_key_package_bytes"),
    "key_package": _within("max_key_package_bytes"),
    "key_packages": _within("max_key_package_bytes"),
    "content": _within("max_event_bytes"),
    "encryption": _within("max_event_bytes"),
    "device_keys": _within("max_event_bytes"),
    "data": _at_most(256 * 1024),
}
"""What a field of that name may hold. Other strings have at most 255 bytes."""

_COUNTS: Mapping[str, tuple[str, str | int]] = {
    "UploadKeyPackagesRequest": ("key_packages", "max_key_packages_per_upload"),
    "ReplaceKeyPackagesRequest": ("key_packages", "max_key_packages_per_upload"),
    "DeleteKeyPackagesRequest": ("refs", 1_000),
    "ClaimKeyPackagesRequest": ("targets", "max_claim_users"),
    "IngestEventsRequest": ("events", "max_batch_items"),
    "IngestToDeviceRequest": ("messages", "max_batch_items"),
    "UpdateDeviceListsRequest": ("lists", "max_batch_items"),
    "AckOutboxRequest": ("acks", "max_batch_items"),
    "EncryptEventsRequest": ("events", "max_batch_items"),
    "DecryptEventsRequest": ("events", "max_batch_items"),
}
"""The repeated field of a message that has a greatest length, and that length or the limit that says it."""

_ITEMS = frozenset({"RoomEvent", "ToDeviceMessage", "DeviceList", "UserClaim", "OutboxAck", "EventToEncrypt", "EventToDecrypt"})
"""Items of batches."""

_DEVICE = ("user_id", "device_id")
_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "AckOutboxRequest": ("incarnation",),
    "ClaimKeyPackagesRequest": ("targets", "cipher_suites"),
    "ClaimTarget": ("user_id",),
    "CrossSigningKeys": ("master_key",),
    "DeleteDeviceRequest": _DEVICE,
    "DeleteKeyPackagesRequest": _DEVICE,
    "DeviceList": ("user_id", "taken_at"),
    "EventToDecrypt": ("room_id", "event_id", "reader"),
    "EventToEncrypt": ("room_id", "sender", "type", "content"),
    "ExportSecretRequest": ("room_id", "device", "label", "length"),
    "ForgetRoomRequest": ("room_id",),
    "GetBlobRequest": ("room_id", "sha256"),
    "GetDeviceRequest": _DEVICE,
    "GetEpochGraphRequest": ("room_id",),
    "GetGroupInfoRequest": ("room_id",),
    "GetKeyPackageStatusRequest": _DEVICE,
    "GetRatchetTreeRequest": ("room_id",),
    "GetRoomRequest": ("room_id",),
    "ListKeyPackagesRequest": _DEVICE,
    "ListedDevice": ("device_id",),
    "MemberEvent": ("event_id", "user_id", "sender", "membership"),
    "OutboxAck": ("sequence", "answer"),
    "OutboxRefused": ("reason",),
    "ProvideKeyPackagesRequest": ("claim_id",),
    "PutBlobRequest": ("room_id", "sha256", "size"),
    "RegisterDeviceRequest": (*_DEVICE, "custody"),
    "ReplaceKeyPackagesRequest": _DEVICE,
    "ReportFailureRequest": ("kind", "device"),
    "RoomEvent": ("room_id", "event_id", "sender", "type", "content"),
    "RoomState": ("room_version", "create_sender"),
    "SetRoomOptionsRequest": ("room_id", "options", "update_mask"),
    "SignatureKey": ("public_key", "cipher_suites"),
    "ToDeviceMessage": ("message_id", "sender", "user_id", "device_id", "type", "content"),
    "UpdateDeviceRequest": ("device", "update_mask"),
    "UpdateRoomStateRequest": ("room_id", "version", "change"),
    "UploadKeyPackagesRequest": (*_DEVICE, "key_packages"),
}
"""Fields and oneofs that a message must have."""

_MASKS: Mapping[str, frozenset[str]] = {
    "UpdateDeviceRequest": frozenset({"display_name", "device_keys", "signature_keys"}),
    "SetRoomOptionsRequest": frozenset(field.name for field in room_pb2.RoomOptions.DESCRIPTOR.fields),
}
"""Paths that the update_mask of a message may have."""


def check(message: Message, limits: Limits) -> None:
    """Checks the form of a request, or of one item of a batch.

    Raises:
        InvalidRequestError: fields are wrong; it names at most 16 of them.
    """
    found = violations(message, limits)
    if found:
        raise InvalidRequestError(*found)


def violations(message: Message, limits: Limits) -> tuple[Violation, ...]:
    """Names what is wrong with the form of a request, or of one item of a batch; at most 16 fields."""
    return tuple(islice(_violations(message, limits), _MAX_VIOLATIONS))


def _violations(message: Message, limits: Limits) -> Iterator[Violation]:
    open_messages: list[tuple[str, Message]] = [("", message)]
    while open_messages:
        path, current = open_messages.pop()
        yield from _missing(path, current)
        yield from _special(path, current, limits)
        for field, value in current.ListFields():
            items = [(f"{path}{field.name}[{i}]", each) for i, each in enumerate(value)] if field.is_repeated else ()
            for place, each in items or ((path + field.name, value),):
                if field.message_type is None:
                    wrong = _scalar(field, each, limits)
                elif field.message_type.full_name.startswith("google.protobuf."):
                    wrong = _well_known(each, current)
                else:
                    wrong = ""
                    if not (field.is_repeated and field.message_type.name in _ITEMS):
                        open_messages.append((f"{place}.", each))
                if wrong:
                    yield Violation(place, wrong)


def _missing(path: str, message: Message) -> Iterator[Violation]:
    held = {field.name for field, _ in message.ListFields()}
    held |= {oneof.name for oneof in message.DESCRIPTOR.oneofs if message.WhichOneof(oneof.name)}
    for name in _REQUIRED.get(message.DESCRIPTOR.name, ()):
        if name not in held:
            yield Violation(path + name, "missing")


def _special(path: str, message: Message, limits: Limits) -> Iterator[Violation]:
    """What concerns several fields of a message, or a field's length."""
    if message.DESCRIPTOR.name in _COUNTS:
        name, most = _COUNTS[message.DESCRIPTOR.name]
        most = most if isinstance(most, int) else int(getattr(limits, most))
        if len(getattr(message, name)) > most:
            yield Violation(path + name, f"more than {most} items")
    if isinstance(message, common_pb2.DeviceRef | device_pb2.Device):
        yield from (Violation(path + name, "missing") for name in _DEVICE if not getattr(message, name))
    elif isinstance(message, device_pb2.RegisterDeviceRequest):
        if message.custody == common_pb2.CUSTODY_CLIENT and not message.signature_keys:
            yield Violation("signature_keys", "missing; a client device makes its keys itself")
        if message.custody == common_pb2.CUSTODY_CLIENT and message.cipher_suites:
            yield Violation("cipher_suites", "must be empty; a client device's keys say their suites")
        if message.custody == common_pb2.CUSTODY_HOSTED and message.signature_keys:
            yield Violation("signature_keys", "must be empty; the service makes the keys of a hosted device")
    elif isinstance(message, room_pb2.UpdateRoomStateRequest):
        if message.WhichOneof("change") == "full" and message.base_version:
            yield Violation("base_version", "must be 0 for a full state")
        if message.WhichOneof("change") == "full" and message.part:
            yield Violation("full", "only the first part of a change may be a full state")
        if message.base_version >= message.version > 0:
            yield Violation("base_version", "not below version")
    elif isinstance(message, room_pb2.PutBlobRequest) and message.size > limits.max_blob_bytes:
        yield Violation("size", f"more than {limits.max_blob_bytes} bytes")


def _scalar(field: FieldDescriptor, value: Any, limits: Limits) -> str:
    if field.enum_type is not None:
        return "" if value in field.enum_type.values_by_number else "not a known value"
    by_name = _BY_NAME.get(field.name)
    if by_name is not None:
        return by_name(value, limits)
    return _at_most(_MAX_TEXT)(value, limits) if isinstance(value, str) else ""


def _well_known(value: Message, owner: Message) -> str:
    if isinstance(value, Timestamp):
        return "" if 0 <= value.seconds <= _LAST_SECOND and 0 <= value.nanos < _NANOS else "not a time"
    if isinstance(value, Duration):
        return "" if 0 <= value.seconds <= _LAST_SECOND and 0 <= value.nanos < _NANOS else "not a length of time"
    if isinstance(value, FieldMask):
        return _mask(value.paths, _MASKS.get(owner.DESCRIPTOR.name, frozenset()))
    return ""


def _mask(paths: Iterable[str], allowed: frozenset[str]) -> str:
    named = set(paths)
    if not named:
        return "empty"
    return "" if named <= allowed else f"may name {', '.join(sorted(allowed))}"


def _size(value: str | bytes) -> int:
    return len(value.encode()) if isinstance(value, str) else len(value)
