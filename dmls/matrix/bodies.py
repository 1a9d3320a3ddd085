"""Contents of the `m.room.encrypted` events and to-device messages of a DMLS room (docs/protocol.md, Section 5).

A body has two sorts of fields. What only the body says (an MLS message, a GroupInfo, a vote) must be well formed, or the body is
refused. What the MLS message inside says again, or what only helps to find another event, is a *hint*: an absent or malformed
hint is None and no reason to refuse anything, because whoever relays a body could veto a valid commit otherwise. Nothing may
be decided by a hint. Fields that are not known here are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dmls.errors import CodecError, UnknownVariantError, UnsupportedError
from dmls.ids import CommitRef, EpochId, EventId, LeafIndex, RoomId
from dmls.matrix.encoding import MAX_INTEGER, decode_base64, encode_base64, encode_json, parse_json_object
from dmls.matrix.identifiers import parse_event_id, parse_room_id
from dmls.matrix.records import Field, Record, hint, integer, listed, mapping, octets, optional, string

__all__ = [
    "ALGORITHM",
    "MAX_BLOB",
    "BlobPointer",
    "Body",
    "CommitBody",
    "EventPointer",
    "GenesisBody",
    "Inline",
    "MessageBody",
    "Payload",
    "Predecessor",
    "Resolved",
    "Vote",
    "VoteBody",
    "WelcomeBody",
    "X",
    "content_of",
    "encode_payload",
    "parse_body",
    "parse_payload",
]

ALGORITHM = "org.dmls.v1"
"""Value of `algorithm` in every body and in the room's `m.room.encryption`; the cipher suite is a field."""

MAX_BLOB = 64 * 1024 * 1024
"""Greatest blob in bytes that a pointer may name."""

_MAX_TYPE = 255


@dataclass(frozen=True, slots=True)
class Inline:
    """Bytes that stand in the body itself."""

    data: bytes


@dataclass(frozen=True, slots=True)
class BlobPointer:
    """Bytes that are kept in the homeserver's media repository.

    Attributes:
        uri: where they are, an `mxc://` URI; not trusted.
        sha256: their SHA-256, 32 bytes; this is what names them.
        size: their number, at most MAX_BLOB.
    """

    uri: str
    sha256: bytes
    size: int


X = Inline | BlobPointer
"""A field of any size."""


@dataclass(frozen=True, slots=True)
class EventPointer:
    """The commit event, or the genesis, whose keyframe is the last one."""

    event: EventId


@dataclass(frozen=True, slots=True)
class Predecessor:
    """The head of the group in the room that this room replaces."""

    room_id: RoomId
    commit_ref: CommitRef
    epoch_id: EpochId


@dataclass(frozen=True, slots=True)
class Resolved:
    """Hint: a side head that the commit resolves, and its event if the author knew it."""

    commit_ref: CommitRef
    event: EventId | None = None


@dataclass(frozen=True, slots=True)
class Vote:
    """A vote of the sending leaf for the epoch of the message it comes with; `signature` is over VoteTBS."""

    leaf: LeafIndex
    seq: int
    signature: bytes


@dataclass(frozen=True, slots=True)
class GenesisBody:
    """The first epoch of a group. `group_info` is an MLSMessage, `keyframe` the ratchet tree; `commit_ref` is a hint."""

    ciphersuite: int
    group_info: X
    keyframe: X
    predecessor: Predecessor | None = None
    commit_ref: CommitRef | None = None


@dataclass(frozen=True, slots=True)
class CommitBody:
    """One commit: `message` is the MLSMessage, `group_info` that of the new epoch; the fields from `epoch` on are hints."""

    ciphersuite: int
    message: X
    group_info: X
    keyframe: X | EventPointer
    welcome: X | None = None
    epoch: int | None = None
    epoch_id: EpochId | None = None
    parent_event: EventId | None = None
    commit_ref: CommitRef | None = None
    resolves: tuple[Resolved, ...] = ()
    new_epoch_id: EpochId | None = None


@dataclass(frozen=True, slots=True)
class MessageBody:
    """One application message, an MLSMessage whose plaintext is a `Payload`; the fields from `epoch` on are hints."""

    message: X
    vote: Vote | None = None
    epoch: int | None = None
    epoch_id: EpochId | None = None
    commit_event: EventId | None = None


@dataclass(frozen=True, slots=True)
class VoteBody:
    """A vote without a message."""

    commit_ref: CommitRef
    leaf: LeafIndex
    seq: int
    signature: bytes


@dataclass(frozen=True, slots=True)
class WelcomeBody:
    """A Welcome sent to one device ahead of its commit's event; `commit_ref` and `commit_event` are hints."""

    room_id: RoomId
    welcome: X
    commit_ref: CommitRef | None = None
    commit_event: EventId | None = None


Body = GenesisBody | CommitBody | MessageBody | VoteBody | WelcomeBody


@dataclass(frozen=True, slots=True)
class Payload:
    """The plaintext of a message: the event that a client wanted to send. `room_id` must be the room it is found in."""

    type: str
    content: Mapping[str, Any] = field(repr=False)
    room_id: RoomId


def parse_body(content: Mapping[str, Any]) -> Body:
    """Reads the content of an event or a to-device message.

    Raises:
        UnsupportedError: another `algorithm`.
        UnknownVariantError: a `kind` that this version does not know.
        CodecError: a field that is not a hint is missing or malformed.
    """
    if content.get("algorithm") != ALGORITHM:
        raise UnsupportedError(f"the algorithm is not {ALGORITHM}")
    kind = content.get("kind")
    record = _KINDS.get(kind) if isinstance(kind, str) else None
    if record is None:
        raise UnknownVariantError("unknown kind of body")
    body: Body = record.read(content)
    return body


def content_of(body: Body) -> dict[str, Any]:
    """Writes a body as the content of an event or a to-device message; `parse_body` reads an equal body from it."""
    kind = _KIND_OF[type(body)]
    return {"algorithm": ALGORITHM, "kind": kind, **_KINDS[kind].write(body)}


def parse_payload(plaintext: bytes) -> Payload:
    """Reads the plaintext of a message.

    Raises:
        CodecError: not a JSON object with a type of 1 to 255 bytes, an object as content and a room ID.
        LimitError: more than MAX_EVENT bytes, or nested deeper than MAX_DEPTH.
    """
    return _PAYLOAD.read(parse_json_object(plaintext))


def encode_payload(payload: Payload) -> bytes:
    """Writes the plaintext of a message.

    Raises:
        CodecError: `content` is not JSON, or `type` or `room_id` are not what `parse_payload` takes.
        LimitError: `content` is nested too deep.
    """
    content = _PAYLOAD.write(payload)
    plaintext = encode_json(content)
    _PAYLOAD.read(content)
    return plaintext


def _read_x(value: Any) -> X | EventPointer:
    if not isinstance(value, Mapping) or len(value) != 1:
        raise CodecError("neither inline nor a pointer")
    if "inline" in value:
        return Inline(decode_base64(value["inline"]))
    if "event" in value:
        return EventPointer(parse_event_id(value["event"]))
    return _POINTER.read(value.get("blob"))


def _read_bytes(value: Any) -> X:
    x = _read_x(value)
    if isinstance(x, EventPointer):
        raise CodecError("neither inline nor a blob")
    return x


def _write_x(x: X | EventPointer) -> dict[str, Any]:
    if isinstance(x, Inline):
        return {"inline": encode_base64(x.data)}
    if isinstance(x, EventPointer):
        return {"event": x.event}
    return {"blob": _POINTER.write(x)}


def _read_type(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value.encode()) <= _MAX_TYPE:
        raise CodecError(f"not a string of 1 to {_MAX_TYPE} bytes")
    return value


_X = Field(_read_bytes, _write_x)
_KEYFRAME = Field(_read_x, _write_x)
_REFERENCE = octets(*range(1, 65))  # as long as the hash of the group's suite, which may be one for private use
_ROOM = Field(parse_room_id)
_EVENT = Field(parse_event_id)
_SUITE = integer(0xFFFF)
_LEAF = integer(0xFFFF_FFFF)
_NUMBER = integer(MAX_INTEGER)

_POINTER = Record(BlobPointer, {"uri": string(r"[\x21-\x7e]{1,1024}"), "sha256": octets(32), "size": integer(MAX_BLOB)})
_PREDECESSOR = Record(Predecessor, {"room_id": _ROOM, "commit_ref": _REFERENCE, "epoch_id": _REFERENCE})
_RESOLVED = Record(Resolved, {"commit_ref": _REFERENCE, "event": hint(_EVENT)})
_VOTE = {"leaf": _LEAF, "seq": _NUMBER, "signature": octets()}
_PAYLOAD = Record(Payload, {"type": Field(_read_type), "content": mapping(), "room_id": _ROOM})

_KINDS: dict[str, Record[Any]] = {
    "genesis": Record(
        GenesisBody,
        {
            "ciphersuite": _SUITE,
            "group_info": _X,
            "keyframe": _X,
            "predecessor": optional(_PREDECESSOR.field),
            "commit_ref": hint(_REFERENCE),
        },
    ),
    "commit": Record(
        CommitBody,
        {
            "ciphersuite": _SUITE,
            "message": _X,
            "group_info": _X,
            "keyframe": _KEYFRAME,
            "welcome": optional(_X),
            "epoch": hint(_NUMBER),
            "epoch_id": hint(_REFERENCE),
            "parent_event": hint(_EVENT),
            "commit_ref": hint(_REFERENCE),
            "resolves": hint(listed(_RESOLVED.field)),
            "new_epoch_id": hint(_REFERENCE),
        },
    ),
    "message": Record(
        MessageBody,
        {
            "message": _X,
            "vote": optional(Record(Vote, _VOTE).field),
            "epoch": hint(_NUMBER),
            "epoch_id": hint(_REFERENCE),
            "commit_event": hint(_EVENT),
        },
    ),
    "vote": Record(VoteBody, {"commit_ref": _REFERENCE, **_VOTE}),
    "welcome": Record(
        WelcomeBody,
        {"room_id": _ROOM, "welcome": _X, "commit_ref": hint(_REFERENCE), "commit_event": hint(_EVENT)},
    ),
}
_KIND_OF: dict[type[Any], str] = {
    GenesisBody: "genesis",
    CommitBody: "commit",
    MessageBody: "message",
    VoteBody: "vote",
    WelcomeBody: "welcome",
}
