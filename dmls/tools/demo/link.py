"""The recorded link between homeservers, and the order in which things happen: time here is the recording's.

Nothing that is made during a replay reaches another homeserver earlier than the recording shows that something could. What the
services make of an event of the recording comes after that event, there as here; what a message needs comes before the message.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

from dmls.tools.demo.log import EventLine, LogFolder, PartitionLine, RoomLog

__all__ = ["Agenda", "Link", "first_join"]


class Agenda:
    """What is to happen when, in milliseconds of the recording.

    At one time comes first what is early, then what the recording has, then the rest, each in the order of `at`.
    """

    def __init__(self) -> None:
        """Start with nothing to do, at time 0."""
        self.now = 0
        self._order = itertools.count()
        self._queue: list[tuple[int, bool, int, Callable[[], None]]] = []

    def at(self, ts: int, what: Callable[[], None], *, is_early: bool = False) -> None:
        """Have `what` done at `ts`, or now if that is past."""
        heapq.heappush(self._queue, (max(ts, self.now), not is_early, next(self._order), what))

    def next_due(self, until: int, *, early_only: bool = False) -> Callable[[], None] | None:
        """Take the next thing that is due at `until` or before, and let time pass to it; None if there is none.

        With `early_only`, of what is due at `until` itself only what is early.
        """
        if not self._queue or self._queue[0][:2] > (until, not early_only):
            return None
        ts, _, _, what = heapq.heappop(self._queue)
        self.now = max(self.now, ts)
        return what

    def end(self) -> int:
        """Return when the last thing is to happen, or now."""
        return max([self.now, *(entry[0] for entry in self._queue)])


class Link:
    """When what one homeserver sends is at another, going by what the recorded link carried."""

    def __init__(self, folder: LogFolder) -> None:
        """Read the cuts of the link from the logs."""
        self._blocked: frozenset[tuple[str, str]] = frozenset()
        lines = [line for room in folder.rooms for log in room.servers.values() for line in log.lines]
        self._heals = sorted(
            {
                (line.ts, pair)
                for line in lines
                if isinstance(line, PartitionLine) and line.marker == "partition_heal"
                for pair in _directions(line)
            }
        )

    def take(self, line: PartitionLine) -> None:
        """Cut or join the link as a line of a log says."""
        directions = frozenset(_directions(line))
        self._blocked = self._blocked - directions if line.marker == "partition_heal" else self._blocked | directions

    @property
    def is_whole(self) -> bool:
        """Whether no direction is cut."""
        return not self._blocked

    def is_open(self, source: str, target: str) -> bool:
        """Tell whether `source` can reach `target` now."""
        return (source, target) not in self._blocked

    def opens(self, source: str, target: str, now: int) -> int:
        """Return when `source` can next reach `target`, `now` if it can."""
        if self.is_open(source, target):
            return now
        return min((ts for ts, pair in self._heals if pair == (source, target) and ts > now), default=now)

    def arrival(self, room: RoomLog, source: str, target: str, now: int) -> int:
        """Return when what `source` sends now into `room` is at `target`.

        Before a homeserver joins it gets nothing; at its join it gets what was sent until then.
        """
        joined = first_join(room, target)
        if now < joined:
            return joined
        recorded = room.arrival(source, target, now)
        return self.opens(source, target, now) if recorded is None else max(now, recorded)


def first_join(room: RoomLog, server: str) -> int:
    """Return when a homeserver stored its first event of a room's timeline, in milliseconds since 1970."""
    lines = room.servers[server].timed_lines()
    return min((ts for ts, line in lines if isinstance(line, EventLine) and line.is_timeline), default=0)


def _directions(line: PartitionLine) -> list[tuple[str, str]]:
    pairs = (name.partition("->") for name in line.blocked)
    return [(source, target) for source, _, target in pairs]
