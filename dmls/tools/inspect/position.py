"""Where in some bytes decoding stops: the decoders of `dmls.mls.codec` say why, and keep no positions for speed."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Annotated, Any, Final

from dmls.errors import CodecError, LengthError, UnknownVariantError
from dmls.mls.codec import Enum8, Enum16, Tagged, When, decode_as, read_length, read_presence
from dmls.mls.codec.primitives import INTEGERS
from dmls.mls.codec.wire_types import LazyVectorNote, OpaqueNote, OptionalNote, UIntNote, VectorNote

__all__ = ["locate"]

_MOST_ELEMENTS: Final = 1 << 17
"""The nodes of the largest tree, and more than any other vector may hold."""


def locate(hint: Any, data: bytes) -> tuple[int, str]:
    """Return the byte at which bytes stop to be of a wire type, and the field that stands there.

    Where they are of the wire type, that is their end, or the first byte after the value.
    """
    reader = _Reader(data)
    try:
        reader.read(hint, 0, len(data), "")
    except CodecError:
        return reader.start, reader.path
    return reader.end, ""


def _without_none(hint: Any) -> Any:
    kinds = [kind for kind in typing.get_args(hint) if kind is not types.NoneType]
    return kinds[0] if len(kinds) == 1 else hint


class _Reader:
    """Decodes along the declarations, without values, and remembers where it is.

    Attributes:
        start: where what is being read begins.
        path: the field that it is.
        end: where what was read last ended.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.start = 0
        self.path = ""
        self.end = 0

    def read(self, hint: Any, pos: int, end: int, path: str) -> int:
        """Read a value and return where it ends."""
        self.start, self.path = pos, path
        if isinstance(hint, type):
            is_enum = issubclass(hint, Enum8 | Enum16)
            self.end = self._read_enum(hint, pos, end) if is_enum else self._read_struct(hint, pos, end, path)
        else:
            inner, *notes = typing.get_args(hint)
            self.end = self._read_noted(inner, notes, pos, end, path)
        return self.end

    def _read_enum(self, kind: type[Enum8 | Enum16], pos: int, end: int) -> int:
        value, after = INTEGERS[1 if issubclass(kind, Enum8) else 2][1](self._data, pos, end)
        if value not in set(kind):
            raise UnknownVariantError(f"{value} is no {kind.__name__}")
        return after

    def _read_struct(self, kind: type, pos: int, end: int, path: str) -> int:
        hints = typing.get_type_hints(kind, include_extras=True)
        places: dict[str, tuple[Any, int, int]] = {}
        for field in dataclasses.fields(kind):
            hint = hints[field.name]
            notes = typing.get_args(hint)[1:] if typing.get_origin(hint) is Annotated else ()
            if notes and isinstance(notes[-1], When):
                judged, begin, stop = places[notes[-1].field]
                if not notes[-1].predicate(decode_as(judged, self._data[begin:stop])):
                    continue
                guarded = _without_none(typing.get_args(hint)[0])
                hint = Annotated[(guarded, *notes[:-1])] if notes[:-1] else guarded
            after = self.read(hint, pos, end, f"{path}.{field.name}" if path else field.name)
            places[field.name] = (hint, pos, after)
            pos = after
        return pos

    def _read_noted(self, inner: Any, notes: list[Any], pos: int, end: int, path: str) -> int:
        for note in reversed(notes):
            if isinstance(note, UIntNote):
                return int(INTEGERS[note.width][1](self._data, pos, end)[1])
            if isinstance(note, OpaqueNote | LazyVectorNote):
                length, pos = read_length(self._data, pos, end)
                return pos + length
            if isinstance(note, VectorNote):
                return self._read_vector(typing.get_args(inner)[0], pos, end, path)
            if isinstance(note, OptionalNote):
                is_present, after = read_presence(self._data, pos, end)
                return self.read(_without_none(inner), after, end, path) if is_present else after
            if isinstance(note, Tagged):
                tag, after = INTEGERS[note.width][1](self._data, pos, end)
                if tag not in note.cases:
                    raise UnknownVariantError(f"no case for tag {tag}")
                return self.read(note.cases[tag], after, end, path)
        raise CodecError("no wire type")

    def _read_vector(self, element: Any, pos: int, end: int, path: str) -> int:
        length, pos = read_length(self._data, pos, end)
        after, number = pos + length, 0
        notes = typing.get_args(element)[1:]
        if notes and isinstance(notes[-1], UIntNote) and length % notes[-1].width == 0:
            return after
        while pos < after:
            if number == _MOST_ELEMENTS:
                raise LengthError("too many elements")
            pos = self.read(element, pos, after, f"{path}[{number}]")
            number += 1
        return after
