"""What is to be measured, and how often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.group_operations.catalogue import OPERATIONS
from benchmarks.group_operations.roster import PEERS

__all__ = ["MOST_IN_BURST", "TREES", "Settings"]

TREES = ("fresh", "full")
MOST_IN_BURST = 20
"""Runs of a contestant in one round."""


@dataclass(frozen=True)
class Settings:
    """The choices of a run.

    Attributes:
        sizes: members of the groups.
        operations, trees, peers: by name.
        suite: number of the cipher suite.
        seed: of all keys.
        rounds: of an operation, at most.
        seconds: for all rounds of a contestant in an operation; three are made in any case that the limit allows.
        burst: milliseconds for which a contestant repeats in one round what takes less.
        limit: seconds that a contestant has for an operation in all, preparation included, and for taking its seat.
    """

    sizes: Sequence[int] = (2, 10, 100, 1_000, 10_000)
    operations: Sequence[str] = tuple(OPERATIONS)
    trees: Sequence[str] = TREES
    peers: Sequence[str] = PEERS
    suite: int = 1
    seed: int = 1
    rounds: int = 15
    seconds: float = 2.0
    burst: float = 10.0
    limit: float = 120.0
