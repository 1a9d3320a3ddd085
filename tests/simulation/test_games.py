"""Games that attackers must lose: whoever is put out reads nothing that is said afterwards, and moves no head."""

from __future__ import annotations

import os

import pytest

from dmls.simulation.games import play_game
from dmls.simulation.runner import Crypto, suite_for

IS_SOAK = bool(os.environ.get("DMLS_SOAK"))
_BLOCK = 20
"""Games of a block."""
_SYMBOLIC = 2_000 if IS_SOAK else 60
_REAL = 200 if IS_SOAK else 4


@pytest.mark.parametrize("first", range(0, _SYMBOLIC, _BLOCK))
def test_no_attacker_wins(first: int) -> None:
    _play(Crypto.SYMBOLIC, range(first, first + _BLOCK))


@pytest.mark.parametrize("first", range(0, _REAL, min(_REAL, _BLOCK)))
def test_no_attacker_wins_against_real_cryptography(first: int) -> None:
    _play(Crypto.REAL, range(first, first + min(_REAL, _BLOCK)))


def _play(crypto: Crypto, seeds: range) -> None:
    outcomes = [play_game(seed, suite_for(crypto)) for seed in seeds]
    lost = {outcome.seed: outcome.violations for outcome in outcomes if outcome.violations}
    assert not lost, f"play one again with: dmls games --crypto {crypto} --replay {min(lost)}"
    assert sum(outcome.lies for outcome in outcomes) > len(seeds)
    assert sum(outcome.unreadable for outcome in outcomes) > len(seeds)
