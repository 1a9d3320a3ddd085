"""One run of the benchmark, from the primitives to the largest group."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from benchmarks.group_operations import roster
from benchmarks.group_operations.catalogue import OPERATIONS, Operation
from benchmarks.group_operations.counting import Counter
from benchmarks.group_operations.groups import Groups
from benchmarks.group_operations.machine import describe_machine
from benchmarks.group_operations.prices import Primitives
from benchmarks.group_operations.results import OURS, PUNCTURABLE, Results
from benchmarks.group_operations.seats import Gone, Seats
from benchmarks.group_operations.settings import Settings
from benchmarks.group_operations.turns import measure
from dmls.mls.crypto.suites import cipher_suite
from tests.interop.peers.peer import PeerError

__all__ = ["run", "total_weight"]

MEMORY = ("group", "epoch", "fork", "device")

Advance = Callable[[float, str], None]
"""Is told how much was done, and what is being done now."""


def total_weight(settings: Settings) -> float:
    """Return what `run` tells its `advance` in all."""
    return sum(_weight(size) * len(operations) for size, _, operations in _plan(settings))


def run(settings: Settings, advance: Advance) -> Results:
    """Measure everything."""
    suite = cipher_suite(settings.suite)
    primitives = Primitives.choose(suite)
    results = Results(describe_machine(), asdict(settings), dict(primitives.libraries))
    for name in (OURS, PUNCTURABLE, *settings.peers):
        results.contestants[name] = _introduce(name, settings)
    randbytes, gone = random.Random(settings.seed).randbytes, Gone()
    for size, tree, operations in _plan(settings):
        label = f"{tree} tree of {size}" if tree else f"{size} members"
        advance(0, f"{label}: taking seats")
        groups = Groups(suite, size, tree, randbytes)
        with Seats(groups, settings, results.contestants, gone) as seats:
            counter, puncturing = Counter.seat(groups), Counter.seat(groups, PUNCTURABLE)
            for operation in operations:
                advance(0, f"{label}: {operation.title}")
                if operation.floor is None:
                    case = measure(operation, seats, primitives)
                else:
                    made, punctured = counter.count(operation), puncturing.count(operation)
                    case = measure(operation, seats, primitives, punctured.macs - made.macs)
                    case.made = asdict(made)
                results.cases.append(case)
                advance(_weight(size), f"{label}: {operation.title}")
            if tree:
                results.memory += _measure_memory(seats)
    return results


def _plan(settings: Settings) -> Iterator[tuple[int, str, list[Operation]]]:
    for size in settings.sizes:
        for tree in ("", *settings.trees):
            operations = [OPERATIONS[name] for name in settings.operations if OPERATIONS[name].needs_group == bool(tree)]
            if operations:
                yield size, tree, operations


def _weight(size: int) -> float:
    return 20 + size / 10


def _introduce(name: str, settings: Settings) -> dict[str, Any]:
    reason = roster.missing(name, settings.suite)
    if reason is not None:
        return {"missing": reason}
    process = roster.start(name, settings.suite, settings.seed, settings.limit)
    try:
        hello = process.call("hello")
    except PeerError as error:
        return {"missing": str(error).strip().splitlines()[-1][:200]}
    finally:
        process.close()
    return {key: value for key, value in hello.items() if key not in {"id", "ok"}}


def _measure_memory(seats: Seats) -> Iterator[dict[str, Any]]:
    for name, seat in seats.taken.items():
        for what in MEMORY:
            try:
                measured = seat.call(seats.settings.limit, "memory", what=what)["bytes"]
            except PeerError:
                continue
            yield {"contestant": name, "size": seats.groups.size, "tree": seats.groups.tree, "what": what, "bytes": measured}
