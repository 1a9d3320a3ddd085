"""When services are killed: a plan made from a seed before anything runs, so that a run can be repeated."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Kill", "KillPlan"]

_MOST_CALLS = 3
_MOST_DELAY_S = 0.03


@dataclass(frozen=True, slots=True)
class Kill:
    """One SIGKILL.

    Attributes:
        step: the step of the recording from which on it is due.
        server: whose service is killed.
        calls: how many calls of that service are let through before it.
        delay_s: how long after the call was sent, in seconds; None: before it is sent.
    """

    step: int
    server: str
    calls: int
    delay_s: float | None


class KillPlan:
    """All kills of a run, spread over its steps."""

    def __init__(self, seed: int, count: int, steps: int, servers: Sequence[str]) -> None:
        """Choose `count` kills over `steps` steps and the services of `servers`."""
        rng = random.Random(seed)
        # The last tenth is left free, so that nearly every kill finds a call to interrupt.
        last = max(steps * 9 // 10, 1)
        points = sorted(rng.sample(range(last), count) if count <= last else rng.choices(range(last), k=count))
        self._due: dict[str, list[Kill]] = {server: [] for server in servers}
        for point in points:
            server, delay_s = rng.choice(servers), rng.choice([None, 0.0, rng.uniform(0, _MOST_DELAY_S)])
            self._due[server].append(Kill(point, server, rng.randrange(_MOST_CALLS), delay_s))
        self.step = 0
        self.done = 0

    @property
    def left(self) -> int:
        """How many kills have not happened yet."""
        return sum(map(len, self._due.values()))

    def take(self, server: str) -> Kill | None:
        """Tell whether the call that is about to be made to a service, one that changes something, is interrupted, and how."""
        waiting = self._due.get(server, [])
        if not waiting or waiting[0].step > self.step:
            return None
        kill = waiting[0]
        if kill.calls:
            waiting[0] = Kill(kill.step, kill.server, kill.calls - 1, kill.delay_s)
            return None
        self.done += 1
        return waiting.pop(0)

    def take_any(self, server: str) -> bool:
        """Take a kill of a service that is left, whenever it was due; return whether there was one."""
        waiting = self._due.get(server, [])
        if waiting:
            waiting.pop()
            self.done += 1
            return True
        return False
