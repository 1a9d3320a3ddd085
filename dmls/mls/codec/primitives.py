"""Encoders and decoders of the building blocks: integers, length prefixes, vectors and presence octets.

A decoder takes the data, where to start and where the data ends, and returns a value and where it stopped. An encoder appends
to a list of bytes.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

from dmls.errors import LengthError, TrailingDataError, TruncatedError, UnknownVariantError, UsageError

__all__ = [
    "INTEGERS",
    "MAX_ELEMENTS",
    "MAX_VECTOR",
    "SHORT_PREFIXES",
    "Decoder",
    "Encoder",
    "check_end",
    "decode_opaque",
    "elements",
    "encode_length",
    "encode_opaque",
    "integers",
    "presence",
    "read_length",
    "read_presence",
    "write_opaque",
]

MAX_VECTOR: Final = (1 << 30) - 1
"""Largest length in bytes that a length prefix can say (RFC 9420, Section 2.1.2)."""

MAX_ELEMENTS: Final = 1 << 14
"""Most elements of a vector that is declared `bounded`, where each takes work; of integers there may be four times as many."""

_ONE_OCTET: Final = 0x40

SHORT_PREFIXES: Final = tuple(bytes((length,)) for length in range(_ONE_OCTET))
"""The prefixes of one octet, which most are."""

Decoder = Callable[[bytes, int, int], tuple[Any, int]]
Encoder = Callable[[Any, list[bytes]], None]


def encode_length(length: int) -> bytes:
    """Return the shortest prefix for `length` bytes (RFC 9420, Section 2.1.2).

    Raises:
        LengthError: `length` exceeds 2^30 - 1.
    """
    if length < _ONE_OCTET:
        return SHORT_PREFIXES[length]  # ENC-01
    if length < 0x4000:
        return (length | 0x4000).to_bytes(2, "big")
    if length <= MAX_VECTOR:
        return (length | 0x80000000).to_bytes(4, "big")
    raise LengthError(f"{length} bytes do not fit a vector", rule="ENC-05")


def encode_opaque(value: bytes) -> bytes:
    """Return `value` behind its length prefix."""
    length = len(value)
    return (SHORT_PREFIXES[length] if length < _ONE_OCTET else encode_length(length)) + value


def read_length(data: bytes, pos: int, end: int) -> tuple[int, int]:
    """Read a length prefix at `pos` and check that so many bytes remain before `end`.

    Raises:
        TruncatedError: the prefix or the bytes it announces are cut.
        LengthError: the prefix is longer than it need be, or starts with bits 11.
    """
    if pos >= end:
        raise TruncatedError("length prefix missing", rule="ENC-04")
    first = data[pos]
    if first < 0x40:
        pos += 1
        length = first
    elif first < 0x80:
        if pos + 2 > end:
            raise TruncatedError("length prefix cut", rule="ENC-04")
        length = (first & 0x3F) << 8 | data[pos + 1]
        if length < 0x40:
            raise LengthError("length prefix is not minimal", rule="ENC-02")
        pos += 2
    elif first < 0xC0:
        if pos + 4 > end:
            raise TruncatedError("length prefix cut", rule="ENC-04")
        length = int.from_bytes(data[pos : pos + 4], "big") & MAX_VECTOR
        if length < 0x4000:
            raise LengthError("length prefix is not minimal", rule="ENC-02")
        pos += 4
    else:
        raise LengthError("length prefix starts with bits 11", rule="ENC-03")
    if length > end - pos:
        raise TruncatedError("vector is longer than what remains", rule="ENC-04")
    return length, pos


def decode_opaque(data: bytes, pos: int, end: int) -> tuple[bytes, int]:
    """Decode bytes behind their length prefix."""
    length, pos = read_length(data, pos, end)
    return data[pos : pos + length], pos + length


def write_opaque(value: bytes, out: list[bytes]) -> None:
    """Encode bytes behind their length prefix."""
    length = len(value)
    out.append(SHORT_PREFIXES[length] if length < _ONE_OCTET else encode_length(length))
    out.append(value)


def _integer(width: int) -> tuple[Encoder, Decoder]:
    def encode_integer(value: int, out: list[bytes]) -> None:
        try:
            out.append(value.to_bytes(width, "big"))
        except OverflowError as error:
            raise UsageError(f"{value} does not fit {width} octets") from error

    def decode_integer(data: bytes, pos: int, end: int) -> tuple[int, int]:
        after = pos + width
        if after > end:
            raise TruncatedError("integer cut", rule="ENC-04")
        return int.from_bytes(data[pos:after], "big"), after

    return encode_integer, decode_integer


INTEGERS: Final = {width: _integer(width) for width in (1, 2, 4, 8)}
"""Codecs of big-endian integers, by their number of octets."""


def _too_many(most: int) -> LengthError:
    return LengthError(f"vector has more than {most} elements", rule="ENC-17")


def elements(encode_one: Encoder, decode_one: Decoder, most: int) -> tuple[Encoder, Decoder]:
    """Return the codec of a vector of at most `most` elements from that of its elements."""

    def encode_vector(values: Sequence[Any], out: list[bytes]) -> None:
        if not values:
            out.append(b"\x00")
            return
        if len(values) > most:
            raise _too_many(most)
        parts: list[bytes] = []
        for value in values:
            encode_one(value, parts)
        body = b"".join(parts)
        out.append(encode_length(len(body)))
        out.append(body)

    def decode_vector(data: bytes, pos: int, end: int) -> tuple[tuple[Any, ...], int]:
        if pos < end and not data[pos]:
            return (), pos + 1
        length, pos = read_length(data, pos, end)
        after = pos + length
        values = []
        try:
            while pos < after:
                value, pos = decode_one(data, pos, after)
                values.append(value)
                if len(values) > most:
                    raise _too_many(most)
        except TruncatedError as error:
            raise LengthError("vector ends within an element", rule="ENC-07") from error
        return tuple(values), after

    return encode_vector, decode_vector


_FORMATS: Final = {1: "B", 2: "H", 4: "I", 8: "Q"}


def integers(width: int, most: int) -> tuple[Encoder, Decoder]:
    """Return the codec of a vector of at most `most` integers of `width` octets."""

    @functools.lru_cache(maxsize=256)
    def packing(count: int) -> struct.Struct:
        return struct.Struct(f">{count}{_FORMATS[width]}")

    def encode_vector(values: Sequence[int], out: list[bytes]) -> None:
        if not values:
            out.append(b"\x00")
            return
        if len(values) > most:
            raise _too_many(most)
        out.append(encode_length(width * len(values)))
        try:
            out.append(packing(len(values)).pack(*values))
        except struct.error as error:
            raise UsageError(f"a value does not fit {width} octets") from error

    def decode_vector(data: bytes, pos: int, end: int) -> tuple[tuple[int, ...], int]:
        if pos < end and not data[pos]:
            return (), pos + 1
        length, pos = read_length(data, pos, end)
        count, rest = divmod(length, width)
        if rest:
            raise LengthError("vector ends within an element", rule="ENC-07")
        if count > most:
            raise _too_many(most)
        return packing(count).unpack_from(data, pos), pos + length

    return encode_vector, decode_vector


def check_end(pos: int, data: bytes, what: str) -> None:
    """Check that a value ends where its data does.

    Raises:
        TrailingDataError: bytes remain.
    """
    if pos != len(data):
        raise TrailingDataError(f"{len(data) - pos} bytes after {what}", rule="ENC-08")


def read_presence(data: bytes, pos: int, end: int) -> tuple[bool, int]:
    """Read the octet that says whether an optional value is there.

    Raises:
        TruncatedError: the octet is missing.
        UnknownVariantError: it is neither 0 nor 1.
    """
    if pos >= end:
        raise TruncatedError("presence octet missing", rule="ENC-04")
    present = data[pos]
    if present > 1:
        raise UnknownVariantError("presence octet is neither 0 nor 1", rule="ENC-06")
    return present == 1, pos + 1


def presence(encode_one: Encoder, decode_one: Decoder) -> tuple[Encoder, Decoder]:
    """Return the codec of an optional value from that of the value."""

    def encode_optional(value: Any, out: list[bytes]) -> None:
        if value is None:
            out.append(b"\x00")
        else:
            out.append(b"\x01")
            encode_one(value, out)

    def decode_optional(data: bytes, pos: int, end: int) -> tuple[Any, int]:
        is_present, pos = read_presence(data, pos, end)
        return decode_one(data, pos, end) if is_present else (None, pos)

    return encode_optional, decode_optional
