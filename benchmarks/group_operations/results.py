"""What a run of the benchmark found, as it is kept in JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.group_operations.prices import median

__all__ = ["FLOOR", "OURS", "PUNCTURABLE", "PUNCTURING", "Case", "Results", "read_results"]

FLOOR = "floor"
OURS = "dmls"
PUNCTURABLE = "dmls-pprf"
PUNCTURING = "pprf"
"""In a round: what the HMACs would cost that key schedule `pprf` adds, and nothing else."""

_FORMAT = 1


@dataclass
class Case:
    """One operation on one group.

    Attributes:
        operation: its name.
        size: members.
        tree: `fresh` or `full`, empty where no group is needed.
        rounds: for each round the nanoseconds of everybody who ran, one after the other; the floor is one of them.
        sizes: bytes of what was made or read, by contestant.
        lacks: why a contestant has no figures, or not all of them.
        floor: primitive operations that cannot be done without.
        made: primitive operations that dmls did do.
    """

    operation: str
    size: int
    tree: str
    rounds: list[dict[str, float]] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    lacks: dict[str, str] = field(default_factory=dict)
    floor: dict[str, int] = field(default_factory=dict)
    made: dict[str, int] = field(default_factory=dict)

    def times(self, contestant: str) -> list[float]:
        """Return a contestant's nanoseconds."""
        return [each[contestant] for each in self.rounds if contestant in each]

    def milliseconds(self, contestant: str) -> float | None:
        """Return a contestant's median."""
        times = self.times(contestant)
        return median(times) / 1e6 if times else None

    def ratio(self, one: str, other: str) -> float | None:
        """Return the median of what `one` took for what `other` took in the same round."""
        pairs = [each[one] / each[other] for each in self.rounds if one in each and each.get(other)]
        return median(pairs) if pairs else None


@dataclass
class Results:
    """Everything."""

    machine: Mapping[str, Any]
    settings: Mapping[str, Any]
    primitives: Mapping[str, str]
    """The library whose price is the floor's, by primitive."""
    contestants: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What each said of itself; or `missing`, and why."""
    cases: list[Case] = field(default_factory=list)
    memory: list[dict[str, Any]] = field(default_factory=list)
    """`contestant`, `size`, `tree`, `what` and `bytes`."""

    def is_ranked(self, contestant: str, operation: str) -> bool:
        """Tell whether what a peer does there is complete RFC 9420."""
        about = self.contestants[contestant]
        return not about.get("missing") and not {operation, "*"} & set(about["remarks"])

    def peers(self) -> list[str]:
        """Return who is neither ours nor missing."""
        return [name for name, about in self.contestants.items() if name not in {OURS, PUNCTURABLE} and "missing" not in about]

    def best_peer(self, case: Case) -> str | None:
        """Return the ranked peer with the lowest median."""
        medians = {name: case.milliseconds(name) for name in self.peers() if self.is_ranked(name, case.operation)}
        ranked = {name: value for name, value in medians.items() if value is not None}
        return min(ranked, key=lambda name: ranked[name]) if ranked else None

    def write(self, path: Path) -> None:
        """Write JSON."""
        path.write_text(json.dumps({"format": _FORMAT, **asdict(self)}, separators=(",", ":")) + "\n")


def read_results(path: Path) -> Results:
    """Read what `write` wrote.

    Raises:
        ValueError: it is another format.
    """
    data = json.loads(path.read_text())
    if data.pop("format", None) != _FORMAT:
        raise ValueError(f"{path} holds no results of format {_FORMAT}")
    return Results(**{**data, "cases": [Case(**case) for case in data["cases"]]})
