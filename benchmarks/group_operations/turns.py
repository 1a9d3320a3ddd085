"""The rounds of one operation: everybody does it once, one after the other, and the primitives are priced anew.

So what disturbs the machine disturbs all alike, and ratios are taken within a round.
"""

from __future__ import annotations

from dataclasses import asdict

from benchmarks.group_operations.catalogue import Operation, Setting
from benchmarks.group_operations.floor import Counts
from benchmarks.group_operations.prices import Primitives, cost, median
from benchmarks.group_operations.results import FLOOR, PUNCTURING, Case
from benchmarks.group_operations.seats import Seat, Seats
from benchmarks.group_operations.settings import MOST_IN_BURST
from benchmarks.group_operations.shape import Shape
from tests.interop.peers.peer import PeerError

__all__ = ["measure"]

_FEWEST = 3


def measure(operation: Operation, seats: Seats, primitives: Primitives, pprf_macs: int = 0) -> Case:
    """Let all contestants do an operation again and again; `pprf_macs` are the HMACs that key schedule `pprf` adds to it."""
    groups = seats.groups
    case = Case(operation.name, groups.size, groups.tree, lacks=dict(seats.lacks))
    counts = None if operation.floor is None else operation.floor(Shape(groups.size, is_full=groups.tree == "full"))
    case.floor = {} if counts is None else asdict(counts)
    running = [name for name in list(seats.taken) if _prepare(operation, name, seats, case)]
    while running:
        turn = {}
        for name in list(running):
            elapsed = _run_once(operation, name, seats, case)
            if elapsed is not None:
                turn[name] = elapsed
            if elapsed is None or _is_done(seats.taken[name], seats):
                running.remove(name)
        if turn:
            if counts is not None:
                prices = primitives.prices()
                turn[FLOOR], turn[PUNCTURING] = cost(counts, prices), cost(Counts(macs=pprf_macs), prices)
            case.rounds.append(turn)
    return case


def _prepare(operation: Operation, name: str, seats: Seats, case: Case) -> bool:
    """Prepare a contestant; tell whether it can run."""
    seat, known = seats.taken[name], seats.gone.get((name, seats.groups.tree, operation.name))
    if operation.name not in seats.about[name]["operations"]:
        case.lacks[name] = "has no way to do this"
        return False
    if known is not None:
        case.lacks[name] = known
        return False
    seat.spent, seat.runs = 0.0, 0

    def ask(command: str, **fields: object) -> dict[str, object]:
        return seat.call(seats.settings.limit, command, **fields)

    try:
        setting = Setting(seat.stage, seats.groups.size, ask, seats.settings.rounds, MOST_IN_BURST)
        ask("prepare", operation=operation.name, **operation.material(setting))
    except PeerError as error:
        case.lacks[name] = seats.lose(name, operation.name, error)
        return False
    return True


def _run_once(operation: Operation, name: str, seats: Seats, case: Case) -> float | None:
    seat = seats.taken[name]
    try:
        left = max(1.0, seats.settings.limit - seat.spent)
        answer = seat.call(left, "run", milliseconds=seats.settings.burst, most=MOST_IN_BURST)
    except PeerError as error:
        case.lacks[name] = seats.lose(name, operation.name, error)
        return None
    seat.runs += 1
    case.sizes[name] = answer["bytes"]
    return median(answer["nanoseconds"])


def _is_done(seat: Seat, seats: Seats) -> bool:
    settings = seats.settings
    has_enough = seat.runs >= _FEWEST and seat.spent > settings.seconds
    would_be_late = seat.spent * (seat.runs + 1) / seat.runs > settings.limit
    return seat.runs >= settings.rounds or has_enough or would_be_late
