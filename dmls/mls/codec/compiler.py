"""Compiling declared structs: one straight-line encoder and decoder each, made when the struct is declared."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Annotated, Any, TypeVar, dataclass_transform, overload

from dmls.errors import UnknownVariantError, UsageError
from dmls.mls.codec.primitives import (
    INTEGERS,
    SHORT_PREFIXES,
    Decoder,
    Encoder,
    check_end,
    decode_opaque,
    elements,
    encode_length,
    integers,
    presence,
    write_opaque,
)
from dmls.mls.codec.wire_types import (
    Enum8,
    Enum16,
    Lazy,
    LazyVectorNote,
    OpaqueNote,
    OpenCase,
    OptionalNote,
    Tagged,
    UIntNote,
    VectorNote,
    When,
)

__all__ = ["Kept", "decode", "decode_as", "decode_prefix", "decoder_of", "encode", "encode_as", "encoder_of", "struct"]

T = TypeVar("T")


def _enumeration(kind: type[Enum8 | Enum16]) -> tuple[Encoder, Decoder]:
    encode_integer, decode_integer = INTEGERS[1 if issubclass(kind, Enum8) else 2]
    members = {int(member): member for member in kind}
    rule = kind.rule()

    def decode_member(data: bytes, pos: int, end: int) -> tuple[IntEnum, int]:
        value, pos = decode_integer(data, pos, end)
        member = members.get(value)
        if member is None:
            raise UnknownVariantError(f"{value} is no {kind.__name__}", rule=rule)
        return member, pos

    return encode_integer, decode_member


def _lazy_elements(encode_one: Encoder, decode_one: Decoder) -> tuple[Encoder, Decoder]:
    def encode_lazy(value: Lazy[Any], out: list[bytes]) -> None:
        write_opaque(value.data, out)

    def decode_lazy(data: bytes, pos: int, end: int) -> tuple[Lazy[Any], int]:
        body, pos = decode_opaque(data, pos, end)
        return Lazy(body, decode_one), pos

    return encode_lazy, decode_lazy


def _classes(hint: Any) -> Iterator[type]:
    """Yield the Python classes whose instances a case can hold."""
    if typing.get_origin(hint) is Annotated:
        hint, *notes = typing.get_args(hint)
        for note in notes:
            if isinstance(note, Tagged):
                for case in note.cases.values():
                    yield from _classes(case)
                if note.open_case is not None:
                    yield typing.cast(type, note.open_case.kind)
                return
    yield hint


def _select(tagged: Tagged) -> tuple[Encoder, Decoder]:
    _, decode_tag = INTEGERS[tagged.width]
    decoders = {}
    encoders: dict[type, tuple[bytes, Encoder]] = {}
    for tag, hint in tagged.cases.items():
        encode_case, decoders[tag] = _compile(hint)
        for kind in _classes(hint):
            if kind in encoders:
                raise UsageError(f"{kind.__name__} names two cases of one select")
            encoders[kind] = (tag.to_bytes(tagged.width, "big"), encode_case)
    opened = tagged.open_case

    def encode_select(value: Any, out: list[bytes]) -> None:
        found = encoders.get(value.__class__)
        if found is None:
            if opened is not None and value.__class__ is opened.kind:
                return _encode_open(opened, tagged.width, value, out)
            raise UsageError(f"{type(value).__name__} is no case of this select")
        tag, encode_case = found
        out.append(tag)
        return encode_case(value, out)

    def decode_select(data: bytes, pos: int, end: int) -> tuple[Any, int]:
        tag, pos = decode_tag(data, pos, end)
        decode_case = decoders.get(tag)
        if decode_case is None:
            kind = None if opened is None else opened.find(tag)
            if opened is None or kind is None:
                raise UnknownVariantError(f"no case for tag {tag}", rule=tagged.rule)
            content, pos = vars(kind)["__wire__"][1](data, pos, end)
            return opened.kind(tag, content), pos
        return decode_case(data, pos, end)

    return encode_select, decode_select


def _encode_open(opened: OpenCase, width: int, value: Any, out: list[bytes]) -> None:
    tag, content = getattr(value, opened.tag), getattr(value, opened.content)
    kind = opened.find(tag)
    if kind is None or content.__class__ is not kind:
        raise UsageError(f"{type(content).__name__} is not what tag {tag} names")
    out.append(tag.to_bytes(width, "big"))
    vars(kind)["__wire__"][0](content, out)


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
            if isinstance(note, UIntNote):
                return INTEGERS[note.width]
            if isinstance(note, OpaqueNote):
                return write_opaque, decode_opaque
            if isinstance(note, Tagged):
                return _select(note)
            if isinstance(note, VectorNote):
                return _vector(typing.get_args(inner)[0], note.most)
            if isinstance(note, LazyVectorNote):
                return _lazy_elements(*_compile(typing.get_args(inner)[0]))
            if isinstance(note, OptionalNote):
                return presence(*_compile(_without_none(inner)))
    raise UsageError(f"{hint!r} is no wire type")


def _vector(element: Any, most: int) -> tuple[Encoder, Decoder]:
    notes = typing.get_args(element)[1:]
    if notes and isinstance(notes[-1], UIntNote):
        return integers(notes[-1].width, 4 * most)
    return elements(*_compile(element), most)


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


def _width(hint: Any) -> int | None:
    """Return the number of octets of an unsigned integer, None for any other wire type."""
    if isinstance(hint, type) and issubclass(hint, Enum8 | Enum16):
        return None
    note = typing.get_args(hint)[-1] if typing.get_origin(hint) is Annotated else None
    return note.width if isinstance(note, UIntNote) else None


def _is_opaque(hint: Any) -> bool:
    return typing.get_origin(hint) is Annotated and isinstance(typing.get_args(hint)[-1], OpaqueNote)


def _writing(number: int, name: str, hint: Any) -> list[str]:
    """Return the lines that write a field. What is short and frequent is written in place, and a function called for the rest."""
    call, width = f"_e{number}(_value.{name}, _out)", _width(hint)
    if width is not None:
        return [f"try: _out.append(_value.{name}.to_bytes({width}, 'big'))", f"except OverflowError: {call}"]
    if _is_opaque(hint):
        return [
            f"_field = _value.{name}",
            "_length = len(_field)",
            "_out.append(_prefixes[_length] if _length < 64 else _encode_length(_length))",
            "_out.append(_field)",
        ]
    return [call]


def _reading(number: int, name: str, hint: Any) -> list[str]:
    """Return the lines that read a field, in place or, for what is long, rare or wrong, by a function."""
    call, width = f"{name}, _pos = _d{number}(_data, _pos, _end)", _width(hint)
    if width is not None:
        return [
            f"if _pos + {width} <= _end: {name} = _from_bytes(_data[_pos:_pos + {width}], 'big'); _pos += {width}",
            f"else: {call}",
        ]
    if _is_opaque(hint):
        return [
            "_length = _data[_pos] if _pos < _end else 64",
            "_after = _pos + 1 + _length",
            f"if _length < 64 and _after <= _end: {name} = _data[_pos + 1:_after]; _pos = _after",
            f"else: {call}",
        ]
    return [call]


def _indented(lines: list[str], depth: int) -> list[str]:
    return [" " * 4 * depth + line for line in lines]


def _compile_struct(kind: type) -> tuple[Encoder, Decoder]:
    """Compile the straight-line encoder and decoder of a declared struct."""
    hints = typing.get_type_hints(kind, include_extras=True)
    names = [field.name for field in dataclasses.fields(kind)]
    scope: dict[str, Any] = {
        "_kind": kind,
        "UsageError": UsageError,
        "_prefixes": SHORT_PREFIXES,
        "_encode_length": encode_length,
        "_from_bytes": int.from_bytes,
    }
    encoding = ["def encode_struct(_value, _out):"]
    decoding = ["def decode_struct(_data, _pos, _end):"]
    for number, name in enumerate(names):
        condition, hint = _condition(hints[name])
        scope[f"_e{number}"], scope[f"_d{number}"] = _compile(hint)
        if condition is None:
            encoding += _indented(_writing(number, name, hint), 1)
            decoding += _indented(_reading(number, name, hint), 1)
            continue
        scope[f"_p{number}"] = condition.predicate
        encoding += [
            f"    if _p{number}(_value.{condition.field}) != (_value.{name} is not None):",
            f"        raise UsageError('{kind.__name__}.{name} does not fit {condition.field}')",
            f"    if _value.{name} is not None:",
            *_indented(_writing(number, name, hint), 2),
        ]
        decoding += [
            f"    if _p{number}({condition.field}):",
            *_indented(_reading(number, name, hint), 2),
            f"    else: {name} = None",
        ]
    encoding.append("    return None")
    decoding.append(f"    return _kind({', '.join(names)}), _pos")
    exec(compile("\n".join(encoding + decoding), f"<struct {kind.__name__}>", "exec"), scope)  # noqa: S102 the text is made above from field names
    return scope["encode_struct"], scope["decode_struct"]


def _compile_init(kind: type) -> Callable[..., None]:
    """Compile the `__init__` of a frozen dataclass with slots.

    The one that `dataclasses` makes looks every field up by its name, which takes twice as long; messages and trees are
    thousands of structs.
    """
    names = [field.name for field in dataclasses.fields(kind)]
    scope: dict[str, Any] = {f"_set_{name}": getattr(kind, name).__set__ for name in names}
    lines = [
        f"def __init__({', '.join(['self', *names])}):",
        *(f"    _set_{name}(self, {name})" for name in names),
        "    return None",
    ]
    exec(compile("\n".join(lines), f"<struct {kind.__name__}>", "exec"), scope)  # noqa: S102 the text is made above from field names
    return typing.cast(Callable[..., None], scope["__init__"])


class Kept:
    """Base of structs that are hashed and signed again and again: they keep their encoding."""

    __slots__ = ("_encoding",)


def _keep(encode_fields: Encoder, decode_fields: Decoder) -> tuple[Encoder, Decoder]:
    """Return a codec that writes what an instance was read from, or was written as before: a value has one encoding only."""

    def encode_kept(value: Any, out: list[bytes]) -> None:
        try:
            encoding = value._encoding
        except AttributeError:
            parts: list[bytes] = []
            encode_fields(value, parts)
            encoding = b"".join(parts)
            object.__setattr__(value, "_encoding", encoding)
        out.append(encoding)

    def decode_kept(data: bytes, pos: int, end: int) -> tuple[Any, int]:
        value, after = decode_fields(data, pos, end)
        object.__setattr__(value, "_encoding", data[pos:after])
        return value, after

    return encode_kept, decode_kept


@overload
def struct(kind: type[T], /) -> type[T]: ...


@overload
def struct(*, secret: bool) -> Callable[[type[T]], type[T]]: ...


@dataclass_transform(frozen_default=True)
def struct(kind: type[T] | None = None, /, *, secret: bool = False) -> Any:
    """Declare a wire struct: a frozen dataclass with slots and a compiled codec.

    With `secret=True` the repr names the class only, since the fields must never be printed. With `Kept` as the base, an
    instance holds its encoding once it was read or written.
    """

    def declare(declared: type[T]) -> type[T]:
        made = dataclasses.dataclass(frozen=True, slots=True, repr=not secret)(declared)
        made.__init__ = _compile_init(made)  # type: ignore[method-assign]
        if secret:
            made.__repr__ = lambda self: f"{declared.__name__}(secret)"  # type: ignore[method-assign]
        made.__wire__ = _keep(*_compile_struct(made)) if issubclass(made, Kept) else _compile_struct(made)  # type: ignore[attr-defined]
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
    value, pos = decode_prefix(kind, data)  # ENC-14
    check_end(pos, data, kind.__name__)
    return value


def decode_prefix(kind: type[T], data: bytes) -> tuple[T, int]:
    """Decode a struct at the start of `data`; return it and the number of bytes it took.

    Raises:
        CodecError: `data` does not start with the encoding of a `kind`.
    """
    return kind.__wire__[1](data, 0, len(data))  # type: ignore[attr-defined, no-any-return]


def encode_as(hint: Any, value: Any) -> bytes:
    """Encode a value of any wire type, such as `vector[uint16]` or a select."""
    return encoder_of(hint)(value)


def encoder_of(hint: Any) -> Callable[[Any], bytes]:
    """Return what encodes values of any wire type; finding it takes longer than using it."""
    encode_one = _compile(hint)[0]

    def encode_value(value: Any) -> bytes:
        out: list[bytes] = []
        encode_one(value, out)
        return b"".join(out)

    return encode_value


def decode_as(hint: Any, data: bytes) -> Any:
    """Decode a value of any wire type that fills `data` exactly.

    Raises:
        CodecError: `data` is not the encoding of one such value.
    """
    value, pos = _compile(hint)[1](data, 0, len(data))
    check_end(pos, data, "the value")
    return value


def decoder_of(hint: Any) -> Decoder:
    """Return the decoder of any wire type, for readers that find their own way through the data."""
    return _compile(hint)[1]
