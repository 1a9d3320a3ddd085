"""Simulated rooms heal: the schedules of many seeds, played by real engines."""

from __future__ import annotations

import pytest

from dmls.simulation.run import run_seed
from dmls.simulation.runner import Crypto, suite_for

_BLOCKS = 2
_ROOMS = 10
"""Of a block."""


@pytest.mark.parametrize("block", range(_BLOCKS))
@pytest.mark.parametrize("crypto", Crypto)
def test_every_room_heals(crypto: Crypto, block: int) -> None:
    for seed in range(block * _ROOMS, (block + 1) * _ROOMS):
        outcome = run_seed(seed, suite_for(crypto))
        assert not outcome.violations, f"play it again with: dmls simulate --crypto {crypto} --replay {seed}"
