"""The contestants that sit in groups of one size and kind of tree, and why the others do not."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from benchmarks.group_operations import roster
from benchmarks.group_operations.groups import Groups
from benchmarks.group_operations.results import OURS, PUNCTURABLE
from benchmarks.group_operations.settings import Settings
from benchmarks.group_operations.stage import Stage
from tests.interop.peers.peer import PeerError, PeerProcess, PeerTimeoutError

__all__ = ["Gone", "Seat", "Seats"]

Gone = dict[tuple[str, str, str], str]
"""Who took too long is not asked again in larger groups: why, by contestant, tree and operation (empty for the seat)."""


@dataclass
class Seat:
    """A contestant in a group.

    Attributes:
        process: the contestant.
        stage: the group.
        spent: seconds it has had for the operation at hand.
        runs: of that operation.
    """

    process: PeerProcess
    stage: Stage
    spent: float = 0.0
    runs: int = 0

    def call(self, seconds: float, command: str, **fields: object) -> dict[str, Any]:
        """Call a command that may take so many seconds, and count what it took.

        Raises:
            PeerError: the contestant refuses.
        """
        self.process.seconds = seconds
        start = time.monotonic()
        try:
            return self.process.call(command, **fields)
        finally:
            self.spent += time.monotonic() - start


@dataclass
class Seats:
    """Everybody who could take a seat."""

    groups: Groups
    settings: Settings
    about: Mapping[str, Mapping[str, Any]]
    """What the contestants said of themselves."""
    gone: Gone
    taken: dict[str, Seat] = field(default_factory=dict)
    lacks: dict[str, str] = field(default_factory=dict)
    """Why a contestant has no seat."""

    def __enter__(self) -> Self:
        """Let everybody in."""
        for name, about in self.about.items():
            if "missing" not in about:
                self._seat(name)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End all processes."""
        for seat in self.taken.values():
            seat.process.close()

    def explain(self, error: PeerError) -> str:
        """Say in one line why a contestant failed."""
        if isinstance(error, PeerTimeoutError):
            return f"too slow: over {self.settings.limit:.0f} s at N = {self.groups.size}"
        return str(error).strip().splitlines()[-1][:200]

    def lose(self, name: str, operation: str, error: PeerError) -> str:
        """Return why a contestant failed in an operation. One that was ended starts again, for the operations to come."""
        reason = self.explain(error)
        if isinstance(error, PeerTimeoutError):
            self.gone[name, self.groups.tree, operation] = reason
            self.taken.pop(name).process.close()
            self._seat(name)
        return reason

    def _seat(self, name: str) -> None:
        known = self.gone.get((name, self.groups.tree, ""))
        if known is not None:
            self.lacks[name] = known
            return
        process = roster.start(name, self.groups.suite.id, self.settings.seed, self.settings.limit)
        start = time.monotonic()
        try:
            stage = self.groups.seat(process, self.about[name])
        except PeerError as error:
            process.close()
            self.lacks[name] = self.explain(error)
            if isinstance(error, PeerTimeoutError):
                self.gone[name, self.groups.tree, ""] = self.lacks[name]
            return
        self.taken[name] = Seat(process, stage)
        self._foresee(name, time.monotonic() - start)

    def _foresee(self, name: str, seconds: float) -> None:
        """Do not ask for a larger group who would need too long for it even if time grew no faster than the group."""
        size, sizes = self.groups.size, self.settings.sizes
        larger = min((each for each in sizes if each > size), default=size)
        if name not in {OURS, PUNCTURABLE} and seconds * larger / size > self.settings.limit:
            self.gone[name, self.groups.tree, ""] = f"too slow: {seconds:.0f} s to take its seat at N = {size}"
