"""The line protocol between a homeserver of the demo and a client's process: one JSON object a line, one answer a request.

It stands for what a client has from its homeserver in Matrix: /sync, /send, /sendToDevice, /keys/query and /keys/claim. A
request is `{"do": NAME, ...}`, its answer `{"ok": {...}}` or `{"error": {...}}`, a Failure. Bytes are unpadded base64;
messages of dmls.v1 are in protobuf's JSON form.

| do | with | answer |
|---|---|---|
| `hello` | | `signature_key`: a SignatureKey, for the homeserver to register |
| `stock` | | uploads key packages to the service: `uploaded` |
| `call` | `request`: full name of a request message, `body` | `body`: the RPC's response |
| `pending` | | `items`: OutboxItems that wait for the homeserver, in order |
| `lists_changed` | `users`: of the own homeserver, whose devices changed | |
| `try` | `room_id`, `content` of an event | `opened`: commit_ref of the epoch that opened it, or empty; `epochs`: how many |
| `put_blob` | `room_id`, `data` | |
| `get_blob` | `room_id`, `sha256` | `data` |

The calls are those that a service takes about rooms: UpdateRoomState, IngestEvents, IngestToDevice, UpdateDeviceLists,
ProvideKeyPackages, AckOutbox, EncryptEvents, DecryptEvents, GetRoom.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any, TypeVar

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message

from dmls.errors import CodecError
from dmls.matrix.encoding import parse_json_object

__all__ = ["from_json", "read_line", "to_json", "write_line"]

_MAX_LINE = 1 << 26
_M = TypeVar("_M", bound=Message)


def write_line(stream: IO[bytes], value: Mapping[str, Any]) -> None:
    """Write one line and flush it."""
    stream.write(json.dumps(value).encode() + b"\n")
    stream.flush()


def read_line(stream: IO[bytes]) -> dict[str, Any] | None:
    """Read one line, None at the end.

    Raises:
        CodecError, LimitError: it is no JSON object, or too long.
    """
    line = stream.readline(_MAX_LINE)
    return parse_json_object(line, limit=_MAX_LINE) if line else None


def to_json(message: Message) -> dict[str, Any]:
    """Write a message as JSON."""
    return MessageToDict(message, preserving_proto_field_name=True)


def from_json(value: Any, kind: type[_M]) -> _M:
    """Read a message from JSON.

    Raises:
        CodecError: it is none of this kind.
    """
    try:
        return ParseDict(value, kind())
    except ParseError as error:
        raise CodecError(f"no {kind.DESCRIPTOR.full_name}") from error
