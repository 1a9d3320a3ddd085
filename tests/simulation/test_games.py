"""Games that attackers must lose: whoever is put out reads nothing that is said afterwards, and moves no head."""

from __future__ import annotations

import pytest

from dmls.simulation.games import play_game
from dmls.simulation.runner import Crypto, suite_for

_BLOCKS = 4
_GAMES = 15
"""Of a block."""


@pytest.mark.parametrize("block", range(_BLOCKS))
def test_no_attacker_wins(block: int) -> None:
    outcomes = [play_game(seed, suite_for(Crypto.SYMBOLIC)) for seed in range(block * _GAMES, (block + 1) * _GAMES)]
    lost = {outcome.seed: outcome.violations for outcome in outcomes if outcome.violations}
    assert not lost, f"play one again with: dmls games --replay {min(lost)}"
    assert sum(outcome.lies for outcome in outcomes) > _GAMES
    assert sum(outcome.unreadable for outcome in outcomes) > _GAMES
