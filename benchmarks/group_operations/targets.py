"""What dmls is to reach, and whether a run shows that it does (docs/benchmarks.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.group_operations.results import FLOOR, OURS, Case, Results

__all__ = ["Target", "check_targets"]


@dataclass(frozen=True)
class Target:
    """One bound on one case.

    Attributes:
        case: what was measured.
        bound: in words.
        most: the largest ratio that meets it.
        ratio: the one measured.
        is_met: whether it does, or a lower bound that excuses it does.
    """

    case: Case
    bound: str
    most: float
    ratio: float
    is_met: bool


_OVER_FLOOR = {
    "commit": 1.5,
    "process": 1.5,
    "join": 1.3,
    "add-all": 1.3,
    "encrypt": 1.5,
    "decrypt": 1.5,
}


def _over_best(operation: str, size: int) -> float:
    """Return how many times the best ranked peer an operation may take."""
    if operation in {"commit", "process"}:
        return 0.02 if size >= 10_000 else 0.2 if size >= 1_000 else 1.0
    if operation == "add-all":
        return 0.5 if size >= 1_000 else 1.0
    return 1.0


def check_targets(results: Results) -> Iterator[Target]:
    """Yield all targets that a run can tell of: operations on full trees, and the first commit on a fresh one."""
    for case in results.cases:
        if case.operation in _OVER_FLOOR and case.tree != "fresh" and case.size >= 10:
            yield from _check_case(results, case)
        if case.operation == "commit" and case.tree == "fresh" and case.size >= 10_000:
            yield from _over(case, "floor", 1.3, case.ratio(OURS, FLOOR), lambda ratio: ratio <= 1.3)
    yield from _check_scaling(results)


def _check_scaling(results: Results) -> Iterator[Target]:
    """Twice the members may cost one more level of the tree, not twice as much."""
    cases = {(case.operation, case.size): case for case in results.cases if case.tree == "full"}
    for (operation, size), case in cases.items():
        half = cases.get((operation, size // 2))
        if operation not in {"commit", "process"} or half is None or size % 2 or size < 128:
            continue
        now, before = case.milliseconds(OURS), half.milliseconds(OURS)
        if now is not None and before is not None:
            yield Target(case, f"N = {size // 2:,}", 1.25, now / before, now < 1.25 * before)


def _check_case(results: Results, case: Case) -> Iterator[Target]:
    most = _OVER_FLOOR[case.operation]
    over_floor = case.ratio(OURS, FLOOR)
    yield from _over(case, "floor", most, over_floor, lambda ratio: ratio <= most)
    best = results.best_peer(case)
    if best is None:
        return
    least = _over_best(case.operation, case.size)
    peer_floor = case.ratio(best, FLOOR) or 0.0

    def is_met(ratio: float) -> bool:
        # Who is below the floor computes with a faster library; the floor is then the target.
        is_excused = over_floor is not None and over_floor <= (most if peer_floor < 1 else _EXCUSE.get(case.operation, 0.0))
        return ratio < least or is_excused

    yield from _over(case, best, least, case.ratio(OURS, best), is_met)


_EXCUSE = {"join": 1.3, "encrypt": 1.3, "decrypt": 1.3}
"""So near the floor a peer may be faster."""


def _over(case: Case, bound: str, most: float, ratio: float | None, is_met: Callable[[float], bool]) -> Iterator[Target]:
    if ratio is not None:
        yield Target(case, bound, most, ratio, is_met(ratio))
