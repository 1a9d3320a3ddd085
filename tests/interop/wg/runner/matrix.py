"""Which runs there are: cipher suites, kinds of handshake, and who plays whom."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.interop.wg.runner.run import Peer
from tests.interop.wg.runner.scenarios import Script

__all__ = ["Plan", "plans"]


@dataclass(frozen=True)
class Plan:
    """One run that is to be made."""

    script: Script
    suite: int
    encrypt_handshake: bool
    cast: tuple[Peer, ...]
    """Who plays each of the script's actors, in their order."""
    assignment: int
    """Which of all assignments of these peers it is: its number in base `len(peers)` has a digit for each actor."""


def _cast(peers: Sequence[Peer], actors: int, assignment: int) -> tuple[Peer, ...]:
    """Return an assignment by its number, so that any one can be had without making all."""
    digits = []
    for _ in range(actors):
        assignment, digit = divmod(assignment, len(peers))
        digits.append(digit)
    return tuple(peers[digit] for digit in digits)


def _numbers(script: Script, suite: int, encrypt: bool, choices: int, seed: int | None) -> Sequence[int]:
    """Return the numbers of all assignments, or of a random one that the seed and the rest of the plan determine."""
    total = choices ** len(script.actors)
    if seed is None:
        return range(total)
    return [random.Random(f"{seed}/{script.title}/{suite}/{encrypt}").randrange(total)]


def plans(
    scripts: Sequence[Script],
    peers: Sequence[Peer],
    *,
    suites: Sequence[int] = (),
    handshakes: Sequence[bool] = (True, False),
    seed: int | None = None,
    assignments: Sequence[int] = (),
) -> Iterator[Plan]:
    """Yield every run.

    Args:
        scripts: what to play.
        peers: who can play. Those that do not support a suite stay out of its runs.
        suites: the cipher suites; empty: all that any peer supports.
        handshakes: encrypted (True), public (False), or both.
        seed: for one random assignment of each script, suite and handshake; None: for all of them.
        assignments: only the assignments of these numbers; empty: as `seed` says.
    """
    known = sorted(frozenset[int]().union(*(peer.suites for peer in peers)))
    for script, suite in itertools.product(scripts, suites or known):
        able = [peer for peer in peers if suite in peer.suites]
        if not able:
            continue
        for encrypt in handshakes:
            for number in assignments or _numbers(script, suite, encrypt, len(able), seed):
                yield Plan(script, suite, encrypt, _cast(able, len(script.actors), number), number)
