"""What dmls is to reach, and whether a run shows that it does (docs/benchmarks.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.group_operations.catalogue import OPERATIONS
from benchmarks.group_operations.prices import median
from benchmarks.group_operations.results import FLOOR, OURS, PUNCTURABLE, PUNCTURING, Case, Results

__all__ = ["BOUNDED", "Target", "check_targets"]


@dataclass(frozen=True)
class Target:
    """One bound on what was measured.

    Attributes:
        subject: what of, in words.
        size, tree: in which group.
        bound: over what.
        most: the largest ratio that meets it.
        ratio: the one measured.
        is_met: whether it does, or a lower bound that excuses it does.
    """

    subject: str
    size: int
    tree: str
    bound: str
    most: float
    ratio: float
    is_met: bool


_LARGE = 10_000
"""Members of a group whose memory is judged."""
_FORKS = 16
_MOST_OF_EPOCH, _MOST_OF_ROOM = 20 << 10, 64 << 20

_OVER_FLOOR = {
    "commit": 1.5,
    "process": 1.5,
    "join": 1.3,
    "add-all": 1.3,
    "encrypt": 1.5,
    "decrypt": 1.5,
}
BOUNDED = tuple(_OVER_FLOOR)
"""Operations that have a target at every size."""


def _over_best(operation: str, size: int) -> float:
    """Return how many times the best ranked peer an operation may take."""
    if operation in {"commit", "process"}:
        return 0.02 if size >= 10_000 else 0.2 if size >= 1_000 else 1.0
    if operation == "add-all":
        return 0.5 if size >= 1_000 else 1.0
    return 1.0


def check_targets(results: Results) -> Iterator[Target]:
    """Yield all targets that a run can tell of: operations on full trees, the first commit on a fresh one, and memory."""
    for case in results.cases:
        if case.operation in _OVER_FLOOR and case.tree != "fresh" and case.size >= 10:
            yield from _check_case(results, case)
        if case.operation == "commit" and case.tree == "fresh" and case.size >= 10_000:
            yield from _over(case, "floor", 1.3, case.ratio(OURS, FLOOR), lambda ratio: ratio <= 1.3)
        if case.operation in {"commit", "process"} and case.tree == "full":
            yield from _over(case, "HMACs of pprf", 1.3, _pprf_ratio(case), lambda ratio: ratio <= 1.3)
    yield from _check_scaling(results)
    yield from _check_memory(results)


def _pprf_ratio(case: Case) -> float | None:
    """Return what key schedule `pprf` adds over what its HMACs alone would."""
    added = [
        (turn[PUNCTURABLE] - turn[OURS]) / turn[PUNCTURING]
        for turn in case.rounds
        if turn.get(PUNCTURING) and PUNCTURABLE in turn and OURS in turn
    ]
    return median(added) if added else None


def _check_memory(results: Results) -> Iterator[Target]:
    """What a large group costs to keep: each epoch or fork more, beside its PPRF, and all forks that are kept at once."""
    found = {(each["contestant"], each["what"], each["size"], each["tree"]): each["bytes"] for each in results.memory}
    for (contestant, what, size, tree), taken in found.items():
        if size < _LARGE:
            continue
        if contestant == OURS and what in {"epoch", "fork"}:
            yield _check_bytes(f"memory of one more {what}", size, tree, taken, _MOST_OF_EPOCH)
        if contestant == PUNCTURABLE and what == "fork":
            group = found.get((contestant, "group", size, tree))
            if group is not None:
                yield _check_bytes(f"memory with {_FORKS} forks", size, tree, group + _FORKS * taken, _MOST_OF_ROOM)


def _check_bytes(subject: str, size: int, tree: str, taken: int, most: int) -> Target:
    return Target(subject, size, tree, f"{most >> 10:,} KiB", 1.0, taken / most, taken < most)


def _check_scaling(results: Results) -> Iterator[Target]:
    """Twice the members may cost one more level of the tree, not twice as much."""
    cases = {(case.operation, case.size): case for case in results.cases if case.tree == "full"}
    for (operation, size), case in cases.items():
        half = cases.get((operation, size // 2))
        if operation not in {"commit", "process"} or half is None or size % 2 or size < 128:
            continue
        now, before = case.milliseconds(OURS), half.milliseconds(OURS)
        if now is not None and before is not None:
            title = OPERATIONS[operation].title
            yield Target(title, size, "full", f"N = {size // 2:,}", 1.25, now / before, now < 1.25 * before)


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
        yield Target(OPERATIONS[case.operation].title, case.size, case.tree, bound, most, ratio, is_met(ratio))
