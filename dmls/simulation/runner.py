"""Many simulated rooms, in several processes."""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from dmls.mls.crypto.suites import CipherSuite, cipher_suite
from dmls.simulation.games import GameOutcome, play_game
from dmls.simulation.run import Outcome, run_seed
from dmls.simulation.symbolic import use_symbolic_suite

__all__ = ["Crypto", "play_games", "run_room", "run_seeds", "suite_for"]

T = TypeVar("T")

_CHUNK = 8
_MEMORY = "/dev/shm"  # noqa: S108 - the folder in it has a random name and is this user's
_REAL_SUITE = 1


class Crypto(StrEnum):
    """What the engines of a simulation compute with."""

    SYMBOLIC = "symbolic"
    REAL = "real"


def suite_for(crypto: Crypto) -> CipherSuite:
    """Return the cipher suite of simulated rooms."""
    return use_symbolic_suite() if crypto is Crypto.SYMBOLIC else cipher_suite(_REAL_SUITE)


def run_seeds(seeds: range, crypto: Crypto, jobs: int, *, in_files: bool = False) -> Iterator[Outcome]:
    """Play the rooms of some seeds in `jobs` processes; outcomes come as they are ready.

    `in_files`: every agent has a database file, which takes real cryptography.
    """
    yield from _work(partial(run_room, crypto=crypto, in_files=in_files), seeds, jobs)


def play_games(seeds: range, crypto: Crypto, jobs: int) -> Iterator[GameOutcome]:
    """Play the games of some seeds in `jobs` processes; outcomes come as they are ready."""
    yield from _work(partial(_play, crypto=crypto), seeds, jobs)


def _work(work: Callable[[int], T], seeds: range, jobs: int) -> Iterator[T]:
    if jobs == 1:
        yield from map(work, seeds)
        return
    # What is loaded stays; the collector need not look at it again in each of thousands of rooms.
    with multiprocessing.get_context("spawn").Pool(jobs, initializer=gc.freeze) as pool:
        yield from pool.imap_unordered(work, seeds, _CHUNK)


def _play(seed: int, crypto: Crypto) -> GameOutcome:
    return play_game(seed, suite_for(crypto))


def run_room(seed: int, crypto: Crypto, *, in_files: bool, log: Callable[[int, str], None] | None = None) -> Outcome:
    """Play the room of one seed."""
    if not in_files:
        return run_seed(seed, suite_for(crypto), log)
    # Nothing of it outlives the process, so that memory, where it can be had as a folder, serves as well as a disk.
    memory = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with TemporaryDirectory(prefix="dmls-simulation-", dir=memory) as folder:
        return run_seed(seed, suite_for(crypto), log, folder=Path(folder))
