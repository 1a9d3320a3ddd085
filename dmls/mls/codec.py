"""The TLS presentation language of MLS (RFC 9420, Section 2.1).

A struct is declared once, as a class whose annotations are the wire types, in the order of the RFC's text:

    @struct
    class ParentNode:
        encryption_key: opaque
        parent_hash: opaque
        unmerged_leaves: vector[uint32]

`struct` makes it a frozen dataclass with slots and compiles one straight-line encoder and one straight-line decoder for it.
`encode(value)` and `decode(ParentNode, data)` use them; decoding is bounds-checked and accepts nothing but the one encoding
that `encode` would write. The wire types:

    uint8 .. uint64      big-endian integers                 an `Enum8`/`Enum16` subclass: a closed enumeration
    opaque               bytes with a length prefix          `vector[T]`: a tuple with a length prefix in bytes
    optional[T]          presence octet, then T              `lazy[T]`: a vector that is unpacked only where it is read
    Annotated[A | B, Tagged(width, {1: A, 2: B})]            select (tag) { case 1: A; case 2: B; }
    Annotated[T | None, When("field", predicate)]            T, present iff predicate(value of the earlier field)
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Annotated, Any, Generic, TypeVar, dataclass_transform, overload

from dmls.errors import LengthError, TrailingDataError, TruncatedError, UnknownVariantError, UsageError

__all__ = [
    "MAX_VECTOR",
    "Enum8",
    "Enum16",
    "Lazy",
    "Tagged",
    "When",
    "decode",
    "decode_as",
    "decode_prefix",
    "encode",
    "encode_as",
    "encode_length",
    "encode_opaque",
    "lazy",
    "opaque",
    "optional",
    "read_length",
    "struct",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "vector",
]

MAX_VECTOR = (1 << 30) - 1
"""Largest length in bytes that a length prefix can say (RFC 9420, Section 2.1.2)."""

T = TypeVar("T")
Decoder = Callable[[bytes, int, int], tuple[Any, int]]
Encoder = Callable[[Any, list[bytes]], None]


class Enum8(IntEnum):
    """A closed one-octet enumeration; other values do not decode."""


class Enum16(IntEnum):
    """A closed two-octet enumeration; other values do not decode."""


@dataclasses.dataclass(frozen=True)
class _UInt:
    width: int


@dataclasses.dataclass(frozen=True)
class _Opaque:
    pass


@dataclasses.dataclass(frozen=True)
class _Vector:
    pass


@dataclasses.dataclass(frozen=True)
class _LazyVector:
    pass


@dataclasses.dataclass(frozen=True)
class _Optional:
    pass


class Tagged:
    """A select: a tag of `width` octets, then the case that the tag names. The value's class decides the tag."""

    def __init__(self, width: int, cases: Mapping[int, Any]) -> None:
        self.width = width
        self.cases = dict(cases)


class When:
    """A field that is on the wire iff `predicate` holds for an earlier field of the same struct, and None otherwise."""

    def __init__(self, field: str, predicate: Callable[[Any], bool]) -> None:
        self.field = field
        self.predicate = predicate


class Lazy(Generic[T]):
    """An encoded vector whose elements are decoded when they are asked for."""

    __slots__ = ("_decoder", "data")

    def __init__(self, data: bytes, decoder: Decoder) -> None:
        self.data = data
        self._decoder = decoder

    def __iter__(self) -> Iterator[T]:
        pos, end = 0, len(self.data)
        while pos < end:
            value, pos = self._decoder(self.data, pos, end)
            yield value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lazy) and other.data == self.data

    def __hash__(self) -> int:
        return hash(self.data)

    def __repr__(self) -> str:
        return f"Lazy({len(self.data)} bytes)"

    @classmethod
    def pack(cls, kind: type[T], values: Sequence[T]) -> Lazy[T]:
        """Encode `values`, all structs of `kind`."""
        encode_one, decode_one = _compile(typing.cast(Any, kind))
        parts: list[bytes] = []
        for value in values:
            encode_one(value, parts)
        return cls(b"".join(parts), decode_one)

    def pick(self, index: int, count: int) -> T:
        """Return element `index` of what must be `count` elements.

        Where all elements have one size only that element is unpacked; otherwise all are.

        Raises:
            LengthError: the vector does not hold exactly `count` elements.
        """
        if count and len(self.data) % count == 0:
            size = len(self.data) // count
            value, pos = self._decoder(self.data, index * size, len(self.data))
            if pos == (index + 1) * size:
                return typing.cast(T, value)
        elements = list(self)
        if len(elements) != count:
            raise LengthError(f"expected {count} elements, found {len(elements)}")
        return elements[index]


uint8 = Annotated[int, _UInt(1)]
uint16 = Annotated[int, _UInt(2)]
uint32 = Annotated[int, _UInt(4)]
uint64 = Annotated[int, _UInt(8)]
opaque = Annotated[bytes, _Opaque()]
vector = Annotated[tuple[T, ...], _Vector()]
lazy = Annotated[Lazy[T], _LazyVector()]
optional = Annotated[T | None, _Optional()]


def encode_length(length: int) -> bytes:
    """Return the shortest prefix for `length` bytes (RFC 9420, Section 2.1.2).

    Raises:
        LengthError: `length` exceeds 2^30 - 1.
    """
    if length < 0x40:
        return length.to_bytes(1, "big")
    if length < 0x4000:
        return (length | 0x4000).to_bytes(2, "big")
    if length <= MAX_VECTOR:
        return (length | 0x80000000).to_bytes(4, "big")
    raise LengthError(f"{length} bytes do not fit a vector", rule="ENC-05")


def encode_opaque(value: bytes) -> bytes:
    """Return `value` behind its length prefix."""
    return encode_length(len(value)) + value


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


def _decode_opaque(data: bytes, pos: int, end: int) -> tuple[bytes, int]:
    length, pos = read_length(data, pos, end)
    return data[pos : pos + length], pos + length


def _encode_opaque(value: bytes, out: list[bytes]) -> None:
    out.append(encode_length(len(value)))
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


_INTEGERS = {width: _integer(width) for width in (1, 2, 4, 8)}


def _enumeration(kind: type[IntEnum]) -> tuple[Encoder, Decoder]:
    encode_integer, decode_integer = _INTEGERS[1 if issubclass(kind, Enum8) else 2]
    members = {int(member): member for member in kind}

    def decode_member(data: bytes, pos: int, end: int) -> tuple[IntEnum, int]:
        value, pos = decode_integer(data, pos, end)
        member = members.get(value)
        if member is None:
            raise UnknownVariantError(f"{value} is no {kind.__name__}", rule="ENC-10")
        return member, pos

    return encode_integer, decode_member


def _elements(encode_one: Encoder, decode_one: Decoder) -> tuple[Encoder, Decoder]:
    def encode_vector(values: Sequence[Any], out: list[bytes]) -> None:
        parts: list[bytes] = []
        for value in values:
            encode_one(value, parts)
        body = b"".join(parts)
        out.append(encode_length(len(body)))
        out.append(body)

    def decode_vector(data: bytes, pos: int, end: int) -> tuple[tuple[Any, ...], int]:
        length, pos = read_length(data, pos, end)
        after = pos + length
        values = []
        while pos < after:
            value, pos = decode_one(data, pos, after)
            values.append(value)
        return tuple(values), after

    return encode_vector, decode_vector


def _lazy_elements(encode_one: Encoder, decode_one: Decoder) -> tuple[Encoder, Decoder]:
    def encode_lazy(value: Lazy[Any], out: list[bytes]) -> None:
        _encode_opaque(value.data, out)

    def decode_lazy(data: bytes, pos: int, end: int) -> tuple[Lazy[Any], int]:
        body, pos = _decode_opaque(data, pos, end)
        return Lazy(body, decode_one), pos

    return encode_lazy, decode_lazy


def _presence(encode_one: Encoder, decode_one: Decoder) -> tuple[Encoder, Decoder]:
    def encode_optional(value: Any, out: list[bytes]) -> None:
        if value is None:
            out.append(b"\x00")
        else:
            out.append(b"\x01")
            encode_one(value, out)

    def decode_optional(data: bytes, pos: int, end: int) -> tuple[Any, int]:
        if pos >= end:
            raise TruncatedError("presence octet missing", rule="ENC-04")
        present = data[pos]
        if present == 0:
            return None, pos + 1
        if present == 1:
            return decode_one(data, pos + 1, end)
        raise UnknownVariantError("presence octet is neither 0 nor 1", rule="ENC-06")

    return encode_optional, decode_optional


def _classes(hint: Any) -> Iterator[type]:
    """Yield the Python classes whose instances a case can hold."""
    if typing.get_origin(hint) is Annotated:
        hint, *notes = typing.get_args(hint)
        for note in notes:
            if isinstance(note, Tagged):
                for case in note.cases.values():
                    yield from _classes(case)
                return
    yield hint


def _select(tagged: Tagged) -> tuple[Encoder, Decoder]:
    encode_tag, decode_tag = _INTEGERS[tagged.width]
    decoders = {}
    encoders: dict[type, tuple[int, Encoder]] = {}
    for tag, hint in tagged.cases.items():
        encode_case, decoders[tag] = _compile(hint)
        for kind in _classes(hint):
            if kind in encoders:
                raise UsageError(f"{kind.__name__} names two cases of one select")
            encoders[kind] = (tag, encode_case)

    def encode_select(value: Any, out: list[bytes]) -> None:
        tag, encode_case = encoders[value.__class__]
        encode_tag(tag, out)
        encode_case(value, out)

    def decode_select(data: bytes, pos: int, end: int) -> tuple[Any, int]:
        tag, pos = decode_tag(data, pos, end)
        decode_case = decoders.get(tag)
        if decode_case is None:
            raise UnknownVariantError(f"no case for tag {tag}", rule="ENC-10")
        return decode_case(data, pos, end)

    return encode_select, decode_select


@functools.cache
def _compile(hint: Any) -> tuple[Encoder, Decoder]:
    """Return the encoder and decoder of a wire type."""
    if isinstance(hint, type):
        if issubclass(hint, Enum8 | Enum16):
            return _enumeration(hint)
        if "__wire__" in vars(hint):
            return typing.cast(tuple[Encoder, Decoder], vars(hint)["__wire__"])
    if typing.get_origin(hint) is Annotated:
        inner, *notes = typing.get_args(hint)
        for note in reversed(notes):
            if isinstance(note, _UInt):
                return _INTEGERS[note.width]
            if isinstance(note, _Opaque):
                return _encode_opaque, _decode_opaque
            if isinstance(note, Tagged):
                return _select(note)
            if isinstance(note, _Vector | _LazyVector):
                make = _elements if isinstance(note, _Vector) else _lazy_elements
                return make(*_compile(typing.get_args(inner)[0]))
            if isinstance(note, _Optional):
                return _presence(*_compile(_without_none(inner)))
    raise UsageError(f"{hint!r} is no wire type")


def _without_none(hint: Any) -> Any:
    arguments = [argument for argument in typing.get_args(hint) if argument is not types.NoneType]
    return arguments[0] if len(arguments) == 1 else hint


def _condition(hint: Any) -> tuple[When | None, Any]:
    """Split a conditional field's annotation into its condition and the type it guards."""
    if typing.get_origin(hint) is Annotated:
        inner, *notes = typing.get_args(hint)
        if isinstance(notes[-1], When):
            guarded = _without_none(inner)
            rest = notes[:-1]
            return notes[-1], Annotated[guarded, *rest] if rest else guarded
    return None, hint


def _compile_struct(kind: type) -> tuple[Encoder, Decoder]:
    """Compile the straight-line encoder and decoder of a declared struct."""
    hints = typing.get_type_hints(kind, include_extras=True)
    names = [field.name for field in dataclasses.fields(kind)]
    scope: dict[str, Any] = {"kind": kind, "UsageError": UsageError}
    encoding = ["def encode_struct(value, out):"]
    decoding = ["def decode_struct(data, pos, end):"]
    for number, name in enumerate(names):
        condition, hint = _condition(hints[name])
        scope[f"e{number}"], scope[f"d{number}"] = _compile(hint)
        write, read = f"e{number}(value.{name}, out)", f"{name}, pos = d{number}(data, pos, end)"
        if condition is None:
            encoding.append(f"    {write}")
            decoding.append(f"    {read}")
            continue
        scope[f"p{number}"] = condition.predicate
        encoding += [
            f"    if p{number}(value.{condition.field}) != (value.{name} is not None):",
            f"        raise UsageError('{kind.__name__}.{name} does not fit {condition.field}')",
            f"    if value.{name} is not None: {write}",
        ]
        decoding += [f"    if p{number}({condition.field}): {read}", f"    else: {name} = None"]
    encoding.append("    return None")
    decoding.append(f"    return kind({', '.join(names)}), pos")
    exec(compile("\n".join(encoding + decoding), f"<struct {kind.__name__}>", "exec"), scope)  # noqa: S102 the text is made above from field names
    return scope["encode_struct"], scope["decode_struct"]


@overload
def struct(kind: type[T], /) -> type[T]: ...


@overload
def struct(*, secret: bool) -> Callable[[type[T]], type[T]]: ...


@dataclass_transform(frozen_default=True)
def struct(kind: type[T] | None = None, /, *, secret: bool = False) -> Any:
    """Declare a wire struct: a frozen dataclass with slots and a compiled codec.

    With `secret=True` the repr names the class only, since the fields must never be printed.
    """

    def declare(declared: type[T]) -> type[T]:
        made = dataclasses.dataclass(frozen=True, slots=True, repr=not secret)(declared)
        if secret:
            made.__repr__ = lambda self: f"{declared.__name__}(secret)"  # type: ignore[method-assign]
        made.__wire__ = _compile_struct(made)  # type: ignore[attr-defined]
        return made

    return declare if kind is None else declare(kind)


def encode(value: object) -> bytes:
    """Encode a struct."""
    out: list[bytes] = []
    value.__wire__[0](value, out)  # type: ignore[attr-defined]
    return b"".join(out)


def decode(kind: type[T], data: bytes) -> T:
    """Decode a struct that fills `data` exactly.

    Raises:
        CodecError: `data` is not the encoding of one `kind`.
    """
    value, pos = decode_prefix(kind, data)
    if pos != len(data):
        raise TrailingDataError(f"{len(data) - pos} bytes after {kind.__name__}", rule="ENC-08")
    return value


def decode_prefix(kind: type[T], data: bytes) -> tuple[T, int]:
    """Decode a struct at the start of `data`; return it and the number of bytes it took.

    Raises:
        CodecError: `data` does not start with the encoding of a `kind`.
    """
    return kind.__wire__[1](data, 0, len(data))  # type: ignore[attr-defined, no-any-return]


def encode_as(hint: Any, value: Any) -> bytes:
    """Encode a value of any wire type, such as `vector[uint16]` or a select."""
    out: list[bytes] = []
    _compile(hint)[0](value, out)
    return b"".join(out)


def decode_as(hint: Any, data: bytes) -> Any:
    """Decode a value of any wire type that fills `data` exactly.

    Raises:
        CodecError: `data` is not the encoding of one such value.
    """
    value, pos = _compile(hint)[1](data, 0, len(data))
    if pos != len(data):
        raise TrailingDataError(f"{len(data) - pos} bytes after the value", rule="ENC-08")
    return value
