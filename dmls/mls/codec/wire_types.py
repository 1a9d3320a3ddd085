"""What annotations of a struct may say: the types of the presentation language (RFC 9420, Section 2.1)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Annotated, Any, Generic, TypeVar, cast

from dmls.errors import LengthError
from dmls.mls.codec.primitives import MAX_ELEMENTS, MAX_VECTOR, Decoder

__all__ = [
    "Enum8",
    "Enum16",
    "Lazy",
    "LazyVectorNote",
    "OpaqueNote",
    "OpenCase",
    "OptionalNote",
    "Tagged",
    "UIntNote",
    "VectorNote",
    "When",
    "bounded",
    "lazy",
    "opaque",
    "optional",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "vector",
]

T = TypeVar("T")


_CLOSED = "ENC-10"
"""The rule that a value without a meaning breaks, where no other is named."""


class Enum8(IntEnum):
    """A closed one-octet enumeration; other values do not decode."""

    @classmethod
    def rule(cls) -> str:
        """Return the rule that other values break."""
        return _CLOSED


class Enum16(IntEnum):
    """A closed two-octet enumeration; other values do not decode."""

    @classmethod
    def rule(cls) -> str:
        """Return the rule that other values break."""
        return _CLOSED


@dataclasses.dataclass(frozen=True)
class UIntNote:
    """A big-endian integer of `width` octets."""

    width: int


@dataclasses.dataclass(frozen=True)
class OpaqueNote:
    """Bytes with a length prefix."""


@dataclasses.dataclass(frozen=True)
class VectorNote:
    """A vector with a length prefix in bytes, of at most `most` elements, or four times as many integers."""

    most: int = MAX_VECTOR


@dataclasses.dataclass(frozen=True)
class LazyVectorNote:
    """A vector that is kept encoded."""


@dataclasses.dataclass(frozen=True)
class OptionalNote:
    """A presence octet, then the value."""


@dataclasses.dataclass(frozen=True)
class OpenCase:
    """The cases of a select that are not known when it is declared.

    Attributes:
        kind: class of their values; a value is made from the tag and an instance of the struct that the tag names.
        tag: name of the attribute of such a value that holds the tag.
        content: name of the attribute that holds the instance.
        find: returns the struct that a tag names at the time, or None.
    """

    kind: Callable[[int, Any], Any]
    tag: str
    content: str
    find: Callable[[int], type | None]


class Tagged:
    """A select: a tag of `width` octets, then the case that the tag names. The value's class decides the tag.

    Attributes:
        rule: the rule that a tag without a case breaks.
        open_case: what tags mean that are not among `cases`.
    """

    def __init__(self, width: int, cases: Mapping[int, Any], *, rule: str = _CLOSED, open_case: OpenCase | None = None) -> None:
        self.width = width
        self.cases = dict(cases)
        self.rule = rule
        self.open_case = open_case


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
        encode_one, decode_one = vars(kind)["__wire__"]
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
                return cast(T, value)
        elements = list(self)
        if len(elements) != count:
            raise LengthError(f"expected {count} elements, found {len(elements)}")
        return elements[index]


uint8 = Annotated[int, UIntNote(1)]
uint16 = Annotated[int, UIntNote(2)]
uint32 = Annotated[int, UIntNote(4)]
uint64 = Annotated[int, UIntNote(8)]
opaque = Annotated[bytes, OpaqueNote()]
vector = Annotated[tuple[T, ...], VectorNote()]
bounded = Annotated[tuple[T, ...], VectorNote(MAX_ELEMENTS)]
lazy = Annotated[Lazy[T], LazyVectorNote()]
optional = Annotated[T | None, OptionalNote()]
