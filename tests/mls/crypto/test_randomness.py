"""A source of randomness that gives more or less than it is asked for makes nothing that could be guessed."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from dmls.errors import CryptoError
from dmls.mls.crypto.randomness import draw
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.group.leaf import add_grease
from dmls.mls.messages.proposal import Add
from dmls.mls.messages.registry import WireFormat
from tests.support.groups import Party, parties, room_of

SUITE = cipher_suite(1)
Use = Callable[[Party, Party, Add], Any]
USES: dict[str, Use] = {
    "a group": lambda _, outsider, __: outsider.create(),
    "a key package": lambda _, outsider, __: outsider.key_package(),
    "GREASE": lambda _, outsider, __: add_grease(outsider.client, outsider.random),
    "a path": lambda member, _, __: member.stage(),
    "a Welcome": lambda member, _, addition: member.stage(addition),
    "a message": lambda member, _, __: member.send(b"data"),
    "a private commit": lambda member, _, __: member.stage(wire_format=WireFormat.PRIVATE_MESSAGE),
}


class Spoilt:
    """Gives a byte too many or too few, once."""

    def __init__(self, rng: random.Random, turn: int, change: int) -> None:
        self.rng = rng
        self.turns = turn
        self.change = change

    def __call__(self, length: int) -> bytes:
        self.turns -= 1
        return self.rng.randbytes(length + self.change if self.turns == -1 else length)


def test_as_many_bytes_are_drawn_as_asked_for() -> None:
    assert draw(bytes, 7) == bytes(7)
    for wrong in (lambda n: bytes(n - 1), lambda n: bytes(n + 1), lambda _: b""):
        with pytest.raises(CryptoError):
            draw(wrong, 7)


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
@pytest.mark.parametrize("change", [-1, 1])
def test_every_single_draw_is_checked(use: Use, change: int, rng: random.Random) -> None:
    member = room_of(rng, "ab")[1][0]
    (outsider,) = parties(SUITE, ["outsider"], rng)
    addition = Add(outsider.key_package())
    # In a first run nothing is spoilt, which tells how often the use draws.
    unspoilt = Spoilt(rng, 1_000, change)
    member.random = outsider.random = unspoilt
    use(member, outsider, addition)
    draws = 1_000 - unspoilt.turns
    assert draws > 0
    for turn in range(draws):
        member.random = outsider.random = Spoilt(rng, turn, change)
        with pytest.raises(CryptoError):
            use(member, outsider, addition)
