"""Descriptions written as text, or made ready for JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from dmls.tools.inspect.values import Code, Drawing, Moment, Octets, Record, Text, Value

__all__ = ["to_json", "to_lines"]

_SHOWN_OCTETS: Final = 32
_SHOWN_ELEMENTS: Final = 64


def to_json(value: Value) -> Any:
    """Return a description as JSON has it: bytes as hexadecimal digits, numbers with their names beside them."""
    match value:
        case Octets():
            return value.data.hex()
        case Text():
            text = value.read()
            return {"hex": value.data.hex()} | ({} if text is None else {"text": text})
        case Code():
            return {"value": value.value, "name": value.name}
        case Moment():
            return {"seconds": value.seconds, "utc": value.read()}
        case Record():
            return {"type": value.title} | {name: to_json(part) for name, part in value.parts.items()}
        case Drawing():
            return [to_json(part) for part in value.parts]
        case list():
            return [to_json(part) for part in value]
    return value


def to_lines(value: Value, *, is_full: bool = False) -> Iterator[str]:
    """Yield a description line by line, parts below what they belong to.

    Args:
        value: the description.
        is_full: shows all bytes and all elements, however many.
    """
    return _Writer(is_full).write("", value, 0)


class _Writer:
    def __init__(self, is_full: bool) -> None:
        self._octets = None if is_full else _SHOWN_OCTETS
        self._elements = None if is_full else _SHOWN_ELEMENTS

    def write(self, name: str, value: Value, depth: int) -> Iterator[str]:
        """Yield the lines of a value under its name."""
        indent, label = "  " * depth, f"{name}: " if name else ""
        if isinstance(value, Record):
            yield f"{indent}{label}{value.title}"
            for part_name, part in value.parts.items():
                yield from self.write(part_name, part, depth + 1)
        elif isinstance(value, Drawing):
            yield f"{indent}{label}{len(value.parts)}"
            yield from self._write_elements(name, list(value.lines), depth + 1)
        elif isinstance(value, list) and any(isinstance(part, Record | str | Octets) for part in value):
            yield f"{indent}{label}{len(value)}"
            yield from self._write_elements(name, value, depth + 1)
        else:
            yield f"{indent}{label}{self._short(value)}"

    def _write_elements(self, name: str, values: list[Value], depth: int) -> Iterator[str]:
        for number, value in enumerate(values[: self._elements]):
            if isinstance(value, str):
                yield "  " * depth + value
            else:
                yield from self.write(f"[{number}]", value, depth)
        if self._elements is not None and len(values) > self._elements:
            yield f"{'  ' * depth}.. and {len(values) - self._elements} more"

    def _short(self, value: Value) -> str:
        match value:
            case None:
                return "none"
            case Octets():
                return self._hex(value.data)
            case Text():
                text = value.read()
                return self._hex(value.data) if text is None else f'"{self._cut(text)}" ({len(value.data)} bytes)'
            case Code():
                return f"{value.name} ({value.value:#06x})"
            case Moment():
                return f"{value.read() or 'after the year 9999'} ({value.seconds})"
            case list():
                shown = [self._short(part) for part in value[: self._elements]]
                rest = [f".. and {len(value) - len(shown)} more"] if len(value) > len(shown) else []
                return ", ".join(shown + rest) if value else "none"
        return str(value)

    def _hex(self, data: bytes) -> str:
        if not data:
            return "empty"
        shown = data[: self._octets]
        return f"{shown.hex()}{'..' if len(shown) < len(data) else ''} ({len(data)} bytes)"

    def _cut(self, text: str) -> str:
        most = None if self._octets is None else 4 * self._octets
        return text if most is None or len(text) <= most else f"{text[:most]}.."
