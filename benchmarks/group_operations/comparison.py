"""Holds a run against an earlier one: what dmls takes over the floor of the same run, so that machines may differ a little."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.group_operations.results import FLOOR, OURS, Case, Results

__all__ = ["Change", "compare"]


@dataclass(frozen=True)
class Change:
    """One operation, before and after: ratios to the floor, or milliseconds where there is no floor."""

    case: Case
    unit: str
    before: float
    after: float

    @property
    def factor(self) -> float:
        """How many times as long it takes."""
        return self.after / self.before


def compare(before: Results, after: Results) -> list[Change]:
    """Return what both runs measured, the worst first."""
    earlier = {(case.operation, case.size, case.tree): case for case in before.cases}
    changes = []
    for case in after.cases:
        old = earlier.get((case.operation, case.size, case.tree))
        if old is None:
            continue
        unit, was, now = "floors", old.ratio(OURS, FLOOR), case.ratio(OURS, FLOOR)
        if was is None or now is None:
            unit, was, now = "ms", old.milliseconds(OURS), case.milliseconds(OURS)
        if was is not None and now is not None:
            changes.append(Change(case, unit, was, now))
    return sorted(changes, key=lambda change: -change.factor)
