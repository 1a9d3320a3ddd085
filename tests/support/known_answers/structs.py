"""Known encodings of the structs, and encodings that are refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dmls.errors import DMLSError
from dmls.forks.aad import (
    DmlsMessageAAD,
    DmlsNodeRef,
    DmlsParams,
    EpochPointer,
    KeySchedule,
    VoteTBS,
    decode_commit_aad,
    decode_identity,
    decode_message_aad,
    encode_identity,
    make_commit_aad,
    make_params,
    read_params,
)
from dmls.ids import DeviceId, RoomId, UserId
from dmls.mls.codec import decode, encode
from dmls.mls.messages.extensions import Extension

__all__ = ["decoders", "make"]

_ROOM = "!room:hs1.example"
_HASH_ROOM = "!" + "A" * 43
_REFS = [bytes([octet]) * 32 for octet in range(1, 5)]
_MAX = (1 << 63) - 1


def _pointer(ref: bytes, epoch_id: bytes = b"") -> dict[str, str]:
    return {"commit_ref": ref.hex(), "epoch_id": epoch_id.hex()}


def _aad(**fields: Any) -> dict[str, Any]:
    empty = {"parent": _pointer(_REFS[0]), "resolves": [], "rejects": [], "vote_seq": "1", "logout": 0, "state_events": []}
    return empty | fields


_FIELDS: list[tuple[str, dict[str, Any]]] = [
    ("DmlsParams", {"key_schedule": 2, "retain_seconds": 259_200, "retain_epochs": 16, "room_id": _ROOM}),
    ("DmlsParams", {"key_schedule": 1, "retain_seconds": 604_800, "retain_epochs": 65_535, "room_id": _HASH_ROOM}),
    ("DmlsIdentity", {"user_id": "@alice:hs1.example", "device_id": "ALICE1"}),
    ("DmlsIdentity", {"user_id": "@zoë:hs1.example:8448", "device_id": "d" * 70}),
    ("DmlsNodeRef", {"commit_ref": _REFS[0].hex()}),
    ("EpochPointer", _pointer(_REFS[0], _REFS[1])),
    ("EpochPointer", _pointer(_REFS[0] * 2)),
    ("DmlsCommitAAD", _aad()),
    (
        "DmlsCommitAAD",
        _aad(
            parent=_pointer(_REFS[0], _REFS[1]),
            resolves=[_pointer(_REFS[2]), _pointer(_REFS[3], _REFS[1])],
            rejects=[_pointer(_REFS[1])],
            vote_seq=str(_MAX),
            logout=1,
            state_events=["$one", "$two"],
        ),
    ),
    ("DmlsMessageAAD", {"epoch": _pointer(_REFS[0], _REFS[1])}),
    ("VoteTBS", {"group_id": _ROOM, "commit_ref": _REFS[0].hex(), "leaf_index": 3, "vote_seq": "4097"}),
]


def make() -> dict[str, Any]:
    good = [{"struct": name, "fields": fields, "encoded": _encode(name, fields).hex()} for name, fields in _FIELDS]
    return {"good": good, "refused": list(_refused())}


def _read_pointer(fields: Mapping[str, str]) -> EpochPointer:
    return EpochPointer(bytes.fromhex(fields["commit_ref"]), bytes.fromhex(fields["epoch_id"]))


def _encode(name: str, fields: Mapping[str, Any]) -> bytes:
    if name == "DmlsParams":
        schedule = KeySchedule(fields["key_schedule"])
        return make_params(RoomId(fields["room_id"]), schedule, fields["retain_seconds"], fields["retain_epochs"]).extension_data
    if name == "DmlsIdentity":
        return encode_identity(UserId(fields["user_id"]), DeviceId(fields["device_id"]))
    if name == "DmlsCommitAAD":
        return make_commit_aad(
            _read_pointer(fields["parent"]),
            int(fields["vote_seq"]),
            resolves=[_read_pointer(item) for item in fields["resolves"]],
            rejects=[_read_pointer(item) for item in fields["rejects"]],
            logout=fields["logout"],
            state_events=fields["state_events"],
        )
    if name == "DmlsNodeRef":
        return encode(DmlsNodeRef(bytes.fromhex(fields["commit_ref"])))
    if name == "EpochPointer":
        return encode(_read_pointer(fields))
    if name == "DmlsMessageAAD":
        return encode(DmlsMessageAAD(1, _read_pointer(fields["epoch"])))
    ref = bytes.fromhex(fields["commit_ref"])
    return encode(VoteTBS(fields["group_id"].encode(), ref, fields["leaf_index"], int(fields["vote_seq"])))


def decoders() -> dict[str, Callable[[bytes], object]]:
    """Return what reads and checks each struct that comes from outside."""
    return {
        "DmlsParams": lambda data: read_params([Extension(0xF0D1, data)]),
        "DmlsIdentity": decode_identity,
        "DmlsCommitAAD": decode_commit_aad,
        "DmlsMessageAAD": decode_message_aad,
        "DmlsNodeRef": lambda data: decode(DmlsNodeRef, data),
        "EpochPointer": lambda data: decode(EpochPointer, data),
        "VoteTBS": lambda data: decode(VoteTBS, data),
    }


def _refused() -> Any:
    params = encode(DmlsParams(1, KeySchedule.PPRF, 1, 259_200, 16, _ROOM.encode()))
    aad = _encode("DmlsCommitAAD", _aad())
    seq = len(aad) - 1 - 1 - 8
    cases = [
        ("DmlsParams", "another version", b"\x02" + params[1:]),
        ("DmlsParams", "no key schedule", params[:1] + b"\x00" + params[2:]),
        ("DmlsParams", "an unknown key schedule", params[:1] + b"\x03" + params[2:]),
        ("DmlsParams", "another head rule", params[:2] + b"\x02" + params[3:]),
        ("DmlsParams", "no retention", params[:3] + bytes(4) + params[7:]),
        ("DmlsParams", "more than seven days", params[:3] + (604_801).to_bytes(4, "big") + params[7:]),
        ("DmlsParams", "no retained epochs", params[:7] + bytes(2) + params[9:]),
        ("DmlsParams", "something after it", params + b"\x00"),
        ("DmlsIdentity", "a user ID that is not UTF-8", b"\x02@\xff\x01D"),
        ("DmlsIdentity", "something after it", b"\x02@a\x01D\x00"),
        ("DmlsNodeRef", "a length in more bytes than needed", b"\x40\x20" + _REFS[0]),
        ("EpochPointer", "no epoch id at all", b"\x20" + _REFS[0]),
        ("DmlsCommitAAD", "another version", b"\x02" + aad[1:]),
        ("DmlsCommitAAD", "a vote_seq of 2^63", aad[:seq] + b"\x80" + bytes(7) + aad[seq + 8 :]),
        ("DmlsCommitAAD", "a logout of 3", aad[: seq + 8] + b"\x03" + aad[seq + 9 :]),
        ("DmlsCommitAAD", "33 state events", aad[:-1] + b"\x40\x42" + b"\x01$" * 33),
        ("DmlsCommitAAD", "something after it", aad + b"\x00"),
        ("DmlsMessageAAD", "another version", b"\x02\x20" + _REFS[0] + b"\x00"),
        ("VoteTBS", "a vote_seq of seven bytes", b"\x01r\x01c" + bytes(11)),
    ]
    for name, why, data in cases:
        try:
            decoders()[name](data)
        except DMLSError as error:
            yield {"struct": name, "why": why, "encoded": data.hex(), "reason": error.reason}
        else:
            raise AssertionError(f"{name} with {why} is accepted")
