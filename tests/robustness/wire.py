"""An object taken apart along its declaration: every field, element and length as a piece that can be replaced by itself.

The pieces come from the annotations of the structs of `dmls.mls`, so that a struct that changes is taken apart as it is then.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum, auto
from typing import Annotated, Any, Final, cast

from dmls.mls.codec import Enum8, Enum16, Tagged, When, decode_as, encode_as, encode_opaque
from dmls.mls.codec.wire_types import LazyVectorNote, OpaqueNote, OptionalNote, UIntNote, VectorNote
from dmls.mls.messages.extensions import Extension, ExternalPub, ExternalSenders, RequiredCapabilities
from dmls.mls.messages.registry import ExtensionType
from dmls.tools.inspect.kinds import NODES

__all__ = ["Form", "Piece", "rebuild", "take_apart"]

_CONTENTS: Final[Mapping[int, Any]] = {
    ExtensionType.RATCHET_TREE: NODES,
    ExtensionType.REQUIRED_CAPABILITIES: RequiredCapabilities,
    ExtensionType.EXTERNAL_PUB: ExternalPub,
    ExtensionType.EXTERNAL_SENDERS: ExternalSenders,
}


class Form(Enum):
    """How a piece is written."""

    INTEGER = auto()
    ENUM = auto()
    OPAQUE = auto()
    VECTOR = auto()
    OPTIONAL = auto()
    SELECT = auto()
    STRUCT = auto()


class Piece:
    """A part of an object.

    Attributes:
        hint: its wire type.
        note: what the wire type says beyond the Python type: an enumeration, a `Tagged`; the number of octets of an integer.
        data: its encoding.
        parts: what it is made of, in order; of a select its one case.
    """

    __slots__ = ("data", "form", "hint", "note", "parent", "parts")

    def __init__(self, form: Form, hint: Any, note: Any, data: bytes, parts: tuple[Piece, ...] = ()) -> None:
        self.form = form
        self.hint = hint
        self.note = note
        self.data = data
        self.parts = parts
        self.parent: Piece | None = None
        for part in parts:
            part.parent = self

    def walk(self) -> Iterator[Piece]:
        """Yield this piece and all below it."""
        yield self
        for part in self.parts:
            yield from part.walk()

    def join(self, parts: Iterable[bytes]) -> bytes:
        """Encode the piece with other parts: lengths and presence fit them, a tag stays."""
        body = b"".join(parts)
        match self.form:
            case Form.STRUCT:
                return body
            case Form.VECTOR | Form.OPAQUE:
                return encode_opaque(body)
            case Form.OPTIONAL:
                return b"\x01" + body
            case Form.SELECT:
                return self.data[: cast(Tagged, self.note).width] + body
            case _:
                return self.data


def rebuild(root: Piece, changed: Mapping[Piece, bytes]) -> bytes:
    """Encode an object with some of its pieces replaced; the lengths around them fit."""
    touched: set[Piece] = set()
    for piece in changed:
        above: Piece | None = piece
        while above is not None and above not in touched:
            touched.add(above)
            above = above.parent

    def write(piece: Piece) -> bytes:
        if piece not in touched:
            return piece.data
        new = changed.get(piece)
        return piece.join([write(part) for part in piece.parts]) if new is None else new

    return write(root)


def _without_none(hint: Any) -> Any:
    kinds = [argument for argument in typing.get_args(hint) if argument is not types.NoneType]
    return kinds[0] if len(kinds) == 1 else hint


@functools.cache
def _fields(kind: type) -> tuple[tuple[str, Any], ...]:
    """Return names and wire types of a struct's fields, the latter without their conditions."""
    hints = typing.get_type_hints(kind, include_extras=True)
    found = []
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        if typing.get_origin(hint) is Annotated:
            inner, *notes = typing.get_args(hint)
            if isinstance(notes[-1], When):
                guarded = _without_none(inner)
                hint = Annotated[(guarded, *notes[:-1])] if notes[:-1] else guarded
        found.append((field.name, hint))
    return tuple(found)


def take_apart(hint: Any, value: Any) -> Piece:
    """Take a value of a wire type apart."""
    if isinstance(hint, type):
        if issubclass(hint, Enum8 | Enum16):
            return Piece(Form.ENUM, hint, hint, int(value).to_bytes(1 if issubclass(hint, Enum8) else 2, "big"))
        return _take_struct(hint, value)
    inner, *notes = typing.get_args(hint)
    for note in reversed(notes):
        if isinstance(note, UIntNote):
            return Piece(Form.INTEGER, hint, note.width, int(value).to_bytes(note.width, "big"))
        if isinstance(note, OpaqueNote):
            return Piece(Form.OPAQUE, hint, None, encode_opaque(value))
        if isinstance(note, VectorNote | LazyVectorNote):
            element = typing.get_args(inner)[0]
            return _joined(Form.VECTOR, hint, element, [take_apart(element, item) for item in value])
        if isinstance(note, OptionalNote):
            kind = _without_none(inner)
            if value is None:
                return Piece(Form.OPTIONAL, hint, kind, b"\x00")
            return _joined(Form.OPTIONAL, hint, kind, [take_apart(kind, value)])
        if isinstance(note, Tagged):
            case = take_apart(_case(note, value), value)
            return Piece(Form.SELECT, hint, note, encode_as(hint, value), (case,))
    raise AssertionError(f"{hint!r} is no wire type")


def _joined(form: Form, hint: Any, note: Any, parts: list[Piece]) -> Piece:
    piece = Piece(form, hint, note, b"", tuple(parts))
    piece.data = piece.join(part.data for part in parts)
    return piece


def _case(tagged: Tagged, value: object) -> Any:
    """Return the wire type of the case that a value belongs to; it may be a select itself."""
    for case in tagged.cases.values():
        if case is type(value):
            return case
    for case in tagged.cases.values():
        for note in typing.get_args(case)[1:]:
            if isinstance(note, Tagged) and any(inner is type(value) for inner in note.cases.values()):
                return case
    raise AssertionError(f"{value!r} is no case of the select")


def _take_struct(kind: type, value: Any) -> Piece:
    parts = []
    for name, hint in _fields(kind):
        field = getattr(value, name)
        if field is None and not any(isinstance(note, OptionalNote) for note in typing.get_args(hint)):
            continue
        parts.append(take_apart(hint, field))
    if kind is Extension and value.extension_type in _CONTENTS:
        content = _CONTENTS[value.extension_type]
        inner = take_apart(content, decode_as(content, value.extension_data))
        parts[1] = _joined(Form.OPAQUE, parts[1].hint, None, [inner])
    return _joined(Form.STRUCT, kind, kind, parts)
