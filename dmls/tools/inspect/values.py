"""What a description is made of, independent of how it is written down."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeAlias

__all__ = ["Code", "Drawing", "Moment", "Octets", "Record", "Text", "Value", "printable"]

_LAST_SECOND = 253_402_300_799
"""The last second of the year 9999, beyond which no calendar here goes."""


@dataclass(frozen=True, slots=True)
class Octets:
    """Bytes that mean nothing to a reader."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Text:
    """Bytes that may be text: identities and the like, which anybody may have chosen."""

    data: bytes

    def read(self) -> str | None:
        """Return the text with everything escaped that a terminal could take for more than a letter, None if it is no text."""
        try:
            return printable(self.data.decode())
        except UnicodeDecodeError:
            return None


@dataclass(frozen=True, slots=True)
class Code:
    """A number with a name."""

    value: int
    name: str


@dataclass(frozen=True, slots=True)
class Moment:
    """Seconds since 1970."""

    seconds: int

    def read(self) -> str | None:
        """Return the time in UTC, None beyond the calendar."""
        return None if self.seconds > _LAST_SECOND else datetime.fromtimestamp(self.seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(slots=True)
class Record:
    """A struct, or what else has named parts."""

    title: str
    parts: dict[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Drawing:
    """Parts of which a reader sees a drawing, and a program the parts.

    Attributes:
        parts: what is drawn.
        lines: the drawing.
    """

    parts: list[Record]
    lines: tuple[str, ...]


Value: TypeAlias = Drawing | Octets | Text | Code | Moment | Record | list["Value"] | str | int | bool | None


def printable(text: str) -> str:
    """Return a text in which every character that is not printable, and every backslash, is escaped."""
    return "".join(
        character if character.isprintable() and character != "\\" else character.encode("unicode_escape").decode()
        for character in text
    )
