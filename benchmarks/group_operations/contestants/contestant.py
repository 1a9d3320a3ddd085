"""The protocol of the contestants: one takes a seat in a group that others made, prepares an operation and runs it.

Requests and answers are one JSON object a line, byte strings in hex, MLS objects whole MLSMessages. Each run is timed where it
happens, so that the way to the process and back costs nobody anything; what has to be ready before a run, such as a copy of the
state that the last run left, is made before the clock starts.

`hello`
    says who this is: `name`, `version`, `primitives` (whose cryptography), `operations`, `remarks` (why an operation is not
    complete RFC 9420 and therefore not ranked), `notes` (what else one does than its name says), `seat` and `handshake`.
    A seat is taken by one of these ways:
    `update`    joins by Welcome, and commits, so that the path above its leaf is its own
    `join`      joins by Welcome, and leaves it at that
    `follow`    joins while the tree is fresh, and fills it by processing everybody's commit, for who refuses full trees
    `build`     makes its own groups, for who cannot be in a group with others
    `handshake` is `public` or `private`: the commits it can read.
`key_package`
    of a new client, who will take the seat; answers `key_package`.
`join {welcome}`
    takes the seat. The Welcome carries the tree.
`update`
    commits nothing but a path and enters the new epoch; answers `commit`.
`follow {messages}`
    processes commits.
`build {tree, size}`
    makes a `fresh` or `full` group of this implementation alone.
`newcomers {count}`
    makes key packages for `prepare join`; answers `key_packages`: one, or `count` where a key package works only once.
`prepare {operation, ...}`
    prepares an operation on the group as it was when the seat was taken, with what `benchmarks.group_operations.catalogue` gives.
`run {milliseconds, most}`
    does it again and again until the clock has run for so long, or so many times, and at least once; answers `nanoseconds`, one
    figure a run, and `bytes` of what was made or read. What takes microseconds is thereby measured warm, as the primitives are.
`memory {what, ...}`
    answers `bytes`.
"""

from __future__ import annotations

import gc
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from tests.interop.peers.drivers.json_lines import Answer, Commands

__all__ = ["Contestant", "Run", "Runs", "keeping", "on_each"]

Run = Callable[[], int]
"""Does the operation once, and returns the bytes of what it made or read."""
Runs = Callable[[], Run]
"""Makes ready what one run needs, and returns the run."""


class Contestant(Commands, ABC):
    """One implementation that is driven from Python. A subclass has methods named `prepare_` and the operation.

    Attributes:
        name: of the implementation.
        version: of its package.
        primitives: whose cryptography it computes with.
        seat, handshake, remarks, notes: as the protocol says.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    primitives: ClassVar[str]
    seat: ClassVar[str] = "update"
    handshake: ClassVar[str] = "public"
    remarks: ClassVar[Mapping[str, str]] = {}
    notes: ClassVar[Mapping[str, str]] = {}

    def __init__(self) -> None:
        """Begin without a seat."""
        self._runs: Runs | None = None

    @abstractmethod
    def do_key_package(self) -> Answer:
        """Make the client who will take the seat."""

    def do_hello(self) -> Answer:
        """Say who this is and what it can do."""
        prepared = (name.removeprefix("prepare_") for name in dir(self) if name.startswith("prepare_"))
        return {
            "name": self.name,
            "version": self.version,
            "primitives": self.primitives,
            "operations": sorted(name.replace("_", "-") for name in prepared),
            "remarks": dict(self.remarks),
            "notes": dict(self.notes),
            "seat": self.seat,
            "handshake": self.handshake,
        }

    def do_prepare(self, operation: str, **material: Any) -> Answer:
        """Prepare an operation."""
        self._runs = getattr(self, f"prepare_{operation.replace('-', '_')}")(**material)
        gc.collect()
        return {}

    def make_run(self) -> Run:
        """Make ready what the next run needs."""
        if self._runs is None:
            raise LookupError("nothing is prepared")
        return self._runs()

    def do_run(self, milliseconds: float = 0, most: int = 1) -> Answer:
        """Do the operation again and again, without a garbage collection in between, as `timeit` does."""
        elapsed: list[int] = []
        size = 0
        while len(elapsed) < most and sum(elapsed) <= milliseconds * 1e6:
            run = self.make_run()
            gc.disable()
            try:
                start = time.perf_counter_ns()
                size = run()
                elapsed.append(time.perf_counter_ns() - start)
            finally:
                gc.enable()
        return {"nanoseconds": elapsed, "bytes": size}


def on_each(make: Callable[[], Any], do: Callable[[Any], int]) -> Runs:
    """Do something with a thing that is made for each run."""

    def make_ready() -> Run:
        made = make()
        return lambda: do(made)

    return make_ready


def keeping(make: Callable[[], object], size: int) -> Runs:
    """Keep what a run makes, for the clock is not to see how it is given up."""

    def run(kept: list[object]) -> int:
        kept.append(make())
        return size

    return on_each(list, run)
