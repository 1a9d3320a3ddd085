"""Mutants: objects changed at one to three places by something that knows how they are written."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, cast

from dmls.mls.codec import MAX_VECTOR, Enum8, Enum16, Tagged, encode_length, encode_opaque
from tests.robustness.wire import Form, Piece, rebuild

__all__ = ["Donors", "mutate"]

_LONG: Final = (63, 64, 65, 255, 16383, 16384)
_GREASE: Final = tuple(0x0A0A + 0x1010 * step for step in range(15))
_MOST_PLACES: Final = 3


class Donors:
    """Pieces of other objects, by wire type: what a mutator puts in the place of what was there."""

    def __init__(self, objects: Iterable[Piece]) -> None:
        found: dict[Any, dict[bytes, None]] = {}
        for root in objects:
            for piece in root.walk():
                found.setdefault(piece.hint, {})[piece.data] = None
        self._by_hint: Mapping[Any, tuple[bytes, ...]] = {hint: tuple(held) for hint, held in found.items()}

    def all(self, hint: Any) -> tuple[bytes, ...]:
        """Return all pieces of a wire type."""
        return self._by_hint.get(hint, ())

    def find(self, rng: random.Random, hint: Any) -> bytes | None:
        """Return one piece of a wire type."""
        held = self.all(hint)
        return held[rng.randrange(len(held))] if held else None


def mutate(rng: random.Random, root: Piece, pieces: tuple[Piece, ...], donors: Donors) -> bytes:
    """Return the encoding of a mutant.

    Args:
        rng: decides everything.
        root: the object.
        pieces: all of its pieces.
        donors: where spliced pieces come from.
    """
    data = root.data
    while data == root.data:
        changed: dict[Piece, bytes] = {}
        for _ in range(1 if rng.random() < 0.7 else rng.randint(2, _MOST_PLACES)):
            piece = _descend(rng, root) if rng.random() < 0.5 else pieces[rng.randrange(len(pieces))]
            changed[piece] = _change(rng, piece, donors)
        data = rebuild(root, changed)
        if rng.random() < 0.1:
            data = _spoil(rng, data)
    return data


def _descend(rng: random.Random, root: Piece) -> Piece:
    """Choose a piece so that the few near the root are not lost among the many far below."""
    piece = root
    while piece.parts and rng.random() < 0.8:
        piece = piece.parts[rng.randrange(len(piece.parts))]
    return piece


def _change(rng: random.Random, piece: Piece, donors: Donors) -> bytes:
    chance = rng.random()
    if chance < 0.15:
        spliced = donors.find(rng, piece.hint)
        if spliced is not None:
            return spliced
    if chance > 0.985:
        return _spoil(rng, piece.data)
    return _CHANGES[piece.form](rng, piece, donors)


def _change_integer(rng: random.Random, piece: Piece, donors: Donors) -> bytes:
    width = cast(int, piece.note)
    value, most = int.from_bytes(piece.data, "big"), (1 << 8 * width) - 1
    others = (0, 1, most, most - 1, value + 1, value - 1, value ^ 1 << rng.randrange(8 * width), rng.randint(0, most))
    chosen = rng.choice(others + (_GREASE if width == 2 else ()))
    return (chosen & most).to_bytes(width, "big")


def _change_enum(rng: random.Random, piece: Piece, donors: Donors) -> bytes:
    kind = cast(type[Enum8 | Enum16], piece.note)
    known = [int(member) for member in kind]
    chosen = rng.choice(known) if rng.random() < 0.7 else rng.choice((0, max(known) + 1, 255))
    return chosen.to_bytes(len(piece.data), "big")


def _change_opaque(rng: random.Random, piece: Piece, donors: Donors) -> bytes:
    content = piece.data[_prefix_size(piece.data) :]
    way = rng.randrange(11)
    if way == 0:
        return encode_opaque(b"")
    if way == 1:
        return encode_opaque(content[: rng.randrange(len(content))] if content else b"")
    if way == 2:
        return encode_opaque(content + rng.randbytes(rng.randint(1, 4)))
    if way == 3:
        return encode_opaque(rng.choice((b"\x00", b"\xff")) * len(content))
    if way == 4:
        return encode_opaque(rng.randbytes(len(content)))
    if way == 5:
        return encode_opaque((content or b"\x00") * (rng.choice(_LONG) // max(len(content), 1) + 1))
    if way == 6:
        return _lie(rng, piece.data)
    if way == 7:
        return donors.find(rng, piece.hint) or piece.data
    return encode_opaque(_flip(rng, content))


def _change_vector(rng: random.Random, piece: Piece, donors: Donors) -> bytes:
    parts = [part.data for part in piece.parts]
    way = rng.randrange(9)
    if way == 0:
        parts = []
    elif way == 1 and parts:
        parts.pop(rng.randrange(len(parts)))
    elif way == 2 and parts:
        parts.insert(rng.randint(0, len(parts)), rng.choice(parts))
    elif way == 3 and len(parts) > 1:
        first, second = rng.sample(range(len(parts)), 2)
        parts[first], parts[second] = parts[second], parts[first]
    elif way == 4:
        parts.reverse()
    elif way == 5 and parts:
        parts = [rng.choice(parts)] * rng.choice((2, 10, 60))
    elif way == 6:
        return _lie(rng, piece.data)
    else:
        spliced = donors.find(rng, piece.note)
        parts.insert(rng.randint(0, len(parts)), b"" if spliced is None else spliced)
    return piece.join(parts)


def _change_optional(rng: random.Random, piece: Piece, donors: Donors) -> bytes:
    way = rng.randrange(6)
    if way == 0:
        return bytes((rng.choice((2, 3, 0x80, 0xFF)),)) + piece.data[1:]
    if way == 1:
        return piece.join(())
    if piece.parts and way < 4:
        return b"\x00"
    return piece.join((donors.find(rng, piece.note) or b"",))


def _change_select(rng: random.Random, piece: Piece, donors: Donors) -> bytes:
    tagged = cast(Tagged, piece.note)
    tag = rng.choice(tuple(tagged.cases))
    way = rng.randrange(10)
    if way < 6:
        other = donors.find(rng, tagged.cases[tag])
        if other is not None:
            return int(tag).to_bytes(tagged.width, "big") + other
    if way < 8:
        return int(tag).to_bytes(tagged.width, "big") + piece.data[tagged.width :]
    return rng.randrange(1 << 8 * tagged.width).to_bytes(tagged.width, "big") + piece.data[tagged.width :]


def _change_struct(rng: random.Random, piece: Piece, donors: Donors) -> bytes:
    parts = [part.data for part in piece.parts]
    way = rng.randrange(10)
    if not parts or way < 4:
        return donors.find(rng, piece.hint) or piece.data
    place = rng.randrange(len(parts))
    if way == 4:
        del parts[place]
    elif way == 5:
        parts.insert(place, parts[place])
    elif way == 6:
        other = rng.randrange(len(parts))
        parts[place], parts[other] = parts[other], parts[place]
    else:
        # A field of another object of the same kind.
        parts[place] = donors.find(rng, piece.parts[place].hint) or parts[place]
    return b"".join(parts)


_CHANGES: Final[Mapping[Form, Callable[[random.Random, Piece, Donors], bytes]]] = {
    Form.INTEGER: _change_integer,
    Form.ENUM: _change_enum,
    Form.OPAQUE: _change_opaque,
    Form.VECTOR: _change_vector,
    Form.OPTIONAL: _change_optional,
    Form.SELECT: _change_select,
    Form.STRUCT: _change_struct,
}


def _prefix_size(data: bytes) -> int:
    return 1 << (data[0] >> 6)


def _flip(rng: random.Random, data: bytes) -> bytes:
    if not data:
        return data
    at = rng.randrange(len(data))
    return data[:at] + bytes((data[at] ^ 1 << rng.randrange(8),)) + data[at + 1 :]


def _lie(rng: random.Random, data: bytes) -> bytes:
    """Change a length prefix and nothing behind it."""
    size = _prefix_size(data)
    body = data[size:]
    true = len(body)
    return (
        rng.choice(
            (
                encode_length(true + 1),
                encode_length(max(true - 1, 0)),
                encode_length(MAX_VECTOR),
                (true & 0x3FFF | 0x4000).to_bytes(2, "big"),
                (true | 0x80000000).to_bytes(4, "big"),
                (true | 0xC0000000).to_bytes(4, "big"),
                b"",
            )
        )
        + body
    )


def _spoil(rng: random.Random, data: bytes) -> bytes:
    """Change bytes without knowing what they are."""
    at = rng.randint(0, len(data))
    way = rng.randrange(6)
    if way == 0:
        return data[:at]
    if way == 1:
        return data + rng.randbytes(rng.randint(1, 4))
    if way == 2:
        return data[:at] + rng.randbytes(1) + data[at:]
    if way == 3:
        return data[:at] + data[at + rng.randint(1, 8) :]
    if way == 4:
        return data[:at] + data[max(at - 16, 0) :]
    return _flip(rng, data)
