"""Event bodies read by the table of docs/protocol.md, Section 5: the page itself is parsed, and dmls is not imported."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

PAGE = Path(__file__).resolve().parents[2] / "docs" / "protocol.md"
MOST = 2**53 - 1


class RefusedError(Exception):
    """The body, or one field of it, is not what the page asks for."""


def refuse(why: str) -> NoReturn:
    raise RefusedError(why)


# The table


@cache
def table() -> dict[str, dict[str, tuple[str, str]]]:
    """Return type and presence of each field, by kind."""
    fields: dict[str, dict[str, tuple[str, str]]] = {}
    kind = ""
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip(" `") for cell in line.split("|")[1:-1]]
        if len(cells) == 5 and cells[3] in ("must", "may", "hint"):
            kind = cells[0] or kind
            fields.setdefault(kind, {})[cells[1]] = (cells[2], cells[3])
    return fields


def read(text: str) -> tuple[str, frozenset[str]]:
    """Return the kind of a body, and which of its fields hold something."""
    content = parse(text)
    if content.get("algorithm") != "org.dmls.v1":
        refuse("algorithm")
    kind = content.get("kind")
    if not isinstance(kind, str) or kind not in table():
        refuse("kind")
    return kind, frozenset(read_fields(kind, "", content))


def read_fields(kind: str, prefix: str, value: Any) -> list[str]:
    """Check the fields of an object, those whose rows begin with `prefix`."""
    if not isinstance(value, dict):
        refuse("not an object")
    found = []
    for row, (type_name, presence) in table()[kind].items():
        name = row.removeprefix(prefix)
        if not row.startswith(prefix) or "." in name or "[" in name:
            continue
        entry = value.get(name)
        if entry is None and presence != "must":
            continue
        try:
            check(kind, row, type_name, entry)
        except RefusedError:
            if presence != "hint":
                raise
        else:
            found.append(name)
    return found


def check(kind: str, row: str, type_name: str, value: Any) -> None:
    """Check one value against the type that its row names."""
    if type_name == "object":
        read_fields(kind, f"{row}.", value)
    elif type_name == "list":
        if not isinstance(value, list):
            refuse("not a list")
        for item in value:
            read_fields(kind, f"{row}[].", item)
    elif type_name in TYPES:
        TYPES[type_name](value)
    else:
        least, most = (number(text) for text in type_name.split(" to "))
        check_integer(value, least, most)


# The types


def number(text: str) -> int:
    power = re.fullmatch(r"2\^(\d+) - 1", text)
    return 2 ** int(power[1]) - 1 if power else int(text)


def check_integer(value: Any, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        refuse("not an integer of the range")


def unbase64(value: Any) -> bytes:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9+/]*", value, re.ASCII) or len(value) % 4 == 1:
        refuse("not base64")
    data = base64.b64decode(value + "=" * (-len(value) % 4))
    if base64.b64encode(data).decode().rstrip("=") != value:
        refuse("unused bits")
    return data


def check_ref(value: Any) -> None:
    if len(unbase64(value)) not in (32, 48, 64):
        refuse("not a ref")


def check_event_id(value: Any) -> None:
    if not isinstance(value, str) or not re.fullmatch(r"\$[^\x00-\x20\x7f]+", value) or len(value.encode()) > 255:
        refuse("not an event id")


def check_room_id(value: Any) -> None:
    if not isinstance(value, str) or not re.fullmatch(r"![^\0:]+(:.+)?", value) or len(value.encode()) > 255:
        refuse("not a room id")


def check_x(value: Any) -> None:
    if not isinstance(value, dict) or len(value) != 1:
        refuse("not an X")
    if "inline" in value:
        unbase64(value["inline"])
        return
    blob = value.get("blob")
    if not isinstance(blob, dict):
        refuse("not a blob")
    uri = blob.get("uri")
    if not isinstance(uri, str) or not re.fullmatch(r"[!-~]{1,1024}", uri):
        refuse("not a uri")
    if len(unbase64(blob.get("sha256"))) != 32:
        refuse("not a SHA-256")
    check_integer(blob.get("size"), 0, 67_108_864)


def check_x_or_event(value: Any) -> None:
    if isinstance(value, dict) and len(value) == 1 and "event" in value:
        check_event_id(value["event"])
    else:
        check_x(value)


TYPES: Mapping[str, Callable[[Any], None]] = {
    "X": check_x,
    "X or event": check_x_or_event,
    "ref": check_ref,
    "event id": check_event_id,
    "room id": check_room_id,
    "base64": lambda value: None if unbase64(value) is not None else refuse("not base64"),
}


# JSON


def parse(text: str) -> dict[str, Any]:
    """Parse strictly, as the page says."""
    if len(text.encode()) > 65_536:
        refuse("too large")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            refuse("a name twice")
        return dict(pairs)

    try:
        value = json.loads(text, object_pairs_hook=once, parse_constant=refuse)
    except ValueError:
        refuse("not JSON")
    if not isinstance(value, dict) or depth(value) > 100:
        refuse("not an object, or too deep")
    return value


def depth(value: Any) -> int:
    """Return the levels of a value, and check its texts and numbers on the way."""
    if isinstance(value, str) and re.search("[\ud800-\udfff]", value):
        refuse("a lone surrogate")
    if type(value) is int and abs(value) > MOST:
        refuse("too large an integer")
    below = [*value.values(), *value] if isinstance(value, dict) else value if isinstance(value, list) else []
    levels = isinstance(value, (dict, list))
    return int(levels) + max(map(depth, below), default=0)
