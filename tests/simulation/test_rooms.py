"""Simulated rooms heal: the schedules of many seeds, played by real engines."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest

from dmls.simulation.runner import Crypto, run_room

_IS_SOAK = bool(os.environ.get("DMLS_SOAK"))
_BLOCKS = 20
_SYMBOLIC = 5_000 if _IS_SOAK else 500
"""Rooms of a block."""
_REAL = 150 if _IS_SOAK else 15


@pytest.fixture(autouse=True, scope="module")
def _loaded_for_good() -> Iterator[None]:
    """Keep the collector from looking at all that is loaded, again and again."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def _failures(block: int, rooms: int, crypto: Crypto) -> list[str]:
    outcomes = (run_room(seed, crypto, in_files=crypto is Crypto.REAL) for seed in range(block * rooms, (block + 1) * rooms))
    return [f"{outcome.seed}: {violation}" for outcome in outcomes for violation in outcome.violations]


@pytest.mark.timeout(0)
@pytest.mark.parametrize("block", range(_BLOCKS))
def test_every_room_heals(block: int) -> None:
    assert _failures(block, _SYMBOLIC, Crypto.SYMBOLIC) == [], "play it again with: dmls simulate --replay SEED"


@pytest.mark.timeout(0)
@pytest.mark.parametrize("block", range(_BLOCKS))
def test_every_room_heals_with_real_cryptography_and_stores_in_files(block: int) -> None:
    assert _failures(block, _REAL, Crypto.REAL) == [], "play it again with: dmls simulate --crypto real --files --replay SEED"


def test_a_seed_makes_the_same_room_each_time() -> None:
    assert run_room(5, Crypto.SYMBOLIC, in_files=False) == run_room(5, Crypto.SYMBOLIC, in_files=False)
