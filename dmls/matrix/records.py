"""JSON objects as dataclasses: one table of fields says how a record is read and how it is written, so that the two agree.

A record names its fields once:

    VOTE = Record(Vote, {"leaf": integer(0xFFFF_FFFF), "seq": integer(MAX_INTEGER), "signature": octets()})

Reading takes any JSON value, ignores names that are not in the table and raises nothing but CodecError.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from dmls.errors import CodecError, DMLSError
from dmls.matrix.encoding import decode_base64, encode_base64

__all__ = ["Field", "Record", "boolean", "hint", "integer", "listed", "mapping", "octets", "optional", "string"]

T = TypeVar("T")


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class Field:
    """How one field is read and written.

    Attributes:
        read: turns the JSON value into the attribute, or raises a DMLSError.
        write: turns the attribute into the JSON value.
        required: False if it may be absent (or null), the attribute then having its default.
        hint: True if a malformed value counts as an absent one.
    """

    read: Callable[[Any], Any]
    write: Callable[[Any], Any] = _same
    required: bool = True
    hint: bool = False


class Record(Generic[T]):
    """The table of one dataclass. Attributes with the value None are not written."""

    def __init__(self, cls: type[T], fields: Mapping[str, Field]) -> None:
        self._cls = cls
        self._fields = dict(fields)

    def read(self, value: Any) -> T:
        """Reads a JSON value.

        Raises:
            CodecError: not an object, or a field that is not a hint is missing or malformed.
        """
        if not isinstance(value, Mapping):
            raise CodecError("not a JSON object")
        attributes: dict[str, Any] = {}
        for name, field in self._fields.items():
            entry = value.get(name)
            if entry is None and not field.required:
                continue
            try:
                attributes[name] = field.read(entry)
            except DMLSError as error:
                if not field.hint:
                    raise CodecError(f"{name}: {error.message}") from None
        return self._cls(**attributes)

    def write(self, record: T) -> dict[str, Any]:
        """Writes a record as a JSON object."""
        attributes = {name: getattr(record, name) for name in self._fields}
        return {name: self._fields[name].write(value) for name, value in attributes.items() if value is not None}

    @property
    def field(self) -> Field:
        """This record as a field of another."""
        return Field(self.read, self.write)


def optional(field: Field) -> Field:
    """A field that may be absent, and must be well formed if it is there."""
    return dataclasses.replace(field, required=False)


def hint(field: Field) -> Field:
    """A field that is as good as absent if it is malformed."""
    return dataclasses.replace(field, required=False, hint=True)


def listed(item: Field) -> Field:
    """An array; a tuple as attribute."""

    def read(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise CodecError("not a JSON array")
        return tuple(item.read(entry) for entry in value)

    return Field(read, lambda value: [item.write(entry) for entry in value])


def integer(most: int) -> Field:
    """A whole number from 0 to `most`."""

    def read(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
            raise CodecError(f"not an integer from 0 to {most}")
        return value

    return Field(read)


def string(pattern: str) -> Field:
    """A string that the pattern matches as a whole."""
    compiled = re.compile(pattern)

    def read(value: Any) -> str:
        if not isinstance(value, str) or compiled.fullmatch(value) is None:
            raise CodecError("not a string of the right form")
        return value

    return Field(read)


def octets(*lengths: int) -> Field:
    """Bytes in unpadded base64, of one of the lengths, or of any if none is given."""

    def read(value: Any) -> bytes:
        data = decode_base64(value)
        if lengths and len(data) not in lengths:
            raise CodecError(f"{len(data)} bytes")
        return data

    return Field(read, encode_base64)


def boolean() -> Field:
    """True or false."""

    def read(value: Any) -> bool:
        if not isinstance(value, bool):
            raise CodecError("neither true nor false")
        return value

    return Field(read)


def mapping(read_name: Callable[[object], Any] | None = None, value: Field | None = None) -> Field:
    """An object as it is, or one whose names and values are read."""

    def read(content: Any) -> Mapping[Any, Any]:
        if not isinstance(content, Mapping):
            raise CodecError("not a JSON object")
        if read_name is None or value is None:
            return content
        return {read_name(name): value.read(entry) for name, entry in content.items()}

    return Field(read)
