"""The two encodings of everything Matrix: JSON, read strictly and written canonically, and unpadded base64.

Parsing takes bytes from anybody: it refuses what two JSON parsers may read differently (repeated names, NaN, lone surrogates,
integers that a double cannot hold) and bounds size and nesting before the recursive parser of the standard library starts.
"""

from __future__ import annotations

import binascii
import json
import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from dmls.errors import CodecError, LimitError, UsageError

__all__ = [
    "MAX_DEPTH",
    "MAX_EVENT",
    "MAX_INTEGER",
    "decode_base64",
    "encode_base64",
    "encode_canonical_json",
    "encode_json",
    "parse_json_object",
]

MAX_EVENT = 65_536
"""Greatest size of a whole Matrix event in bytes of canonical JSON."""

MAX_DEPTH = 100
"""Greatest nesting of objects and arrays that is read or written here."""

MAX_INTEGER = (1 << 53) - 1
"""Greatest integer in Matrix JSON; the least is its negative (Matrix specification, Appendices, Section 3)."""

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_NOT_STRUCTURE = bytes(set(range(256)) - set(b"[]{}"))
_BASE64 = re.compile(r"[0-9A-Za-z+/]*", re.ASCII)


def parse_json_object(data: bytes, *, limit: int = MAX_EVENT) -> dict[str, Any]:
    """Reads one JSON object of at most `limit` bytes of UTF-8, the rest of the input being white space.

    Finite fractions are read, since clients write them into messages; canonical JSON has none.

    Raises:
        LimitError: more than `limit` bytes, or nested deeper than MAX_DEPTH.
        CodecError: not JSON, not an object, a name twice in one object, NaN or an infinity, a lone surrogate, or an integer
            outside -MAX_INTEGER..MAX_INTEGER.
    """
    if len(data) > limit:
        raise LimitError(f"JSON of {len(data)} bytes, {limit} are allowed")
    _check_depth(data)
    try:
        # Decoded here, because the parser would take UTF-16 and UTF-32 as well.
        value = json.loads(
            data.decode(),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_fraction,
            parse_constant=_constant,
        )
    except ValueError:
        raise CodecError("not JSON in UTF-8") from None
    if not isinstance(value, dict):
        raise CodecError("not a JSON object")
    if rb"\u" in data:
        # Only an escape can say half a surrogate pair; the bytes themselves were valid UTF-8.
        _check_values(value, fractions=True)
    return value


def encode_canonical_json(value: Mapping[str, Any]) -> bytes:
    """Writes canonical JSON: UTF-8, names sorted by code point, no white space, whole numbers only.

    Raises:
        CodecError: `value` holds what canonical JSON cannot say: a fraction, an integer outside -MAX_INTEGER..MAX_INTEGER, a
            lone surrogate, a name that is not a string, or another type.
        LimitError: nested deeper than MAX_DEPTH.
    """
    return _encode(value, fractions=False)


def encode_json(value: Mapping[str, Any]) -> bytes:
    """Writes the same with finite fractions allowed; for what is encrypted, never hashed or signed as JSON.

    Raises:
        CodecError: `value` holds what JSON or `parse_json_object` does not take.
        LimitError: nested deeper than MAX_DEPTH.
    """
    return _encode(value, fractions=True)


def encode_base64(data: bytes) -> str:
    """Writes base64 in the alphabet with `+` and `/`, without padding."""
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").decode()


def decode_base64(text: object) -> bytes:
    """Reads what `encode_base64` writes and nothing else, so that no two texts mean the same bytes.

    Raises:
        CodecError: not a string, another alphabet, white space, padding, an impossible length, or unused bits that are not zero.
    """
    if not isinstance(text, str) or _BASE64.fullmatch(text) is None or len(text) % 4 == 1:
        raise CodecError("not unpadded base64")
    data = binascii.a2b_base64(text + "=" * (-len(text) % 4))
    if len(text) % 4 and encode_base64(data[-(len(data) % 3) :]) != text[-(len(text) % 4) :]:
        raise CodecError("not unpadded base64: unused bits are set")
    return data


def _check_depth(data: bytes) -> None:
    depth = 0
    for octet in _STRING.sub(b"", data).translate(None, _NOT_STRUCTURE):
        if octet in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise LimitError(f"JSON nested deeper than {MAX_DEPTH}")
        else:
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise CodecError("a name stands twice in one JSON object")
    return value


def _integer(text: str) -> int:
    # The length is looked at first: int() takes quadratic time, and refuses more than 4,300 digits.
    if len(text) > 17 or abs(value := int(text)) > MAX_INTEGER:
        raise CodecError("JSON integer out of range")
    return value


def _fraction(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise CodecError("JSON number out of range")
    return value


def _constant(_: str) -> NoReturn:
    raise CodecError("NaN and infinities are not JSON")


def _encode(value: Mapping[str, Any], *, fractions: bool) -> bytes:
    if not isinstance(value, Mapping):
        raise UsageError("only JSON objects are encoded")
    _check_values(value, fractions=fractions)
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"), default=dict)
    return text.encode()


def _check_values(root: object, *, fractions: bool) -> None:
    """Walks a JSON value without recursion and refuses what cannot be written, or would not be read again."""
    level: list[Any] = [root]
    depth = 0
    while level:
        depth += 1
        below: list[Any] = []
        for value in level:
            if isinstance(value, str):
                _check_text(value)
            elif value is None or isinstance(value, bool):
                pass
            elif isinstance(value, int):
                if abs(value) > MAX_INTEGER:
                    raise CodecError("JSON integer out of range")
            elif isinstance(value, float):
                if not (fractions and math.isfinite(value)):
                    raise CodecError("JSON number that is not a whole one, or not finite")
            elif depth > MAX_DEPTH:
                raise LimitError(f"JSON nested deeper than {MAX_DEPTH}")
            elif isinstance(value, Mapping):
                for name in value:
                    _check_text(name)
                below.extend(value.values())
            elif isinstance(value, (list, tuple)):
                below.extend(value)
            else:
                raise CodecError(f"{type(value).__name__} is not a JSON type")
        level = below


def _check_text(text: object) -> None:
    if not isinstance(text, str):
        raise CodecError("a name in a JSON object must be a string")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise CodecError("JSON text with a lone surrogate") from None
