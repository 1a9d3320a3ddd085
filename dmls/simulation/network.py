"""Virtual time, and the links between the homeservers of a simulation."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dmls.ids import ServerName

__all__ = ["Agenda", "Faults", "Network"]

START_MS = 1_700_000_000_000


class Agenda:
    """What is to happen when, in virtual milliseconds; things of one moment happen in the order in which they were planned."""

    def __init__(self) -> None:
        """Begin with nothing to do."""
        self.now_ms = START_MS
        self._order = itertools.count()
        self._queue: list[tuple[int, int, Callable[[], None]]] = []

    def after(self, delay_ms: int, what: Callable[[], None]) -> None:
        """Have `what` done in `delay_ms`."""
        heapq.heappush(self._queue, (self.now_ms + max(delay_ms, 0), next(self._order), what))

    def run(self, until_ms: int) -> None:
        """Do all that is due until then, and let time pass to it."""
        while self._queue and self._queue[0][0] <= until_ms:
            self.now_ms, _, what = heapq.heappop(self._queue)
            what()
        self.now_ms = until_ms


@dataclass(frozen=True, slots=True)
class Faults:
    """How unkind the links and machines are. Rates are probabilities, for each transmission or step."""

    slowest_ms: int = 500
    patience_ms: int = 20
    """Longest time for which an agent takes in more before it does what is due; 0: it does so after each input."""
    loss: float = 0.0
    """A transmission is lost and sent again some seconds later."""
    duplication: float = 0.0
    withholding: float = 0.0
    """A homeserver forgets to pass a commit on to an agent, which then has to ask for it."""
    lost_to_device: float = 0.0
    crash: float = 0.0
    down_ms: int = 5_000
    """Longest time for which what crashed stays down."""
    list_lag_ms: int = 500
    """Longest delay of what is told of other servers' device lists."""


class Network:
    """Which homeservers reach which, and how long what they send takes."""

    def __init__(self, agenda: Agenda, rng: random.Random, faults: Faults) -> None:
        """Begin with every link whole."""
        self._agenda = agenda
        self._rng = rng
        self.faults = faults
        self._cut: set[tuple[ServerName, ServerName]] = set()
        self._waiting: dict[tuple[ServerName, ServerName], list[Callable[[], None]]] = {}

    @property
    def is_whole(self) -> bool:
        """Whether nothing is cut."""
        return not self._cut

    def is_open(self, source: ServerName, target: ServerName) -> bool:
        """Tell whether `source` can send to `target`."""
        return (source, target) not in self._cut

    def cut(self, pairs: Iterable[tuple[ServerName, ServerName]]) -> None:
        """Cut links, each in one direction."""
        self._cut.update(pairs)

    def heal(self) -> None:
        """Make every link whole; what waited is sent."""
        self._cut.clear()
        waiting, self._waiting = self._waiting, {}
        for pair in sorted(waiting):
            for what in waiting[pair]:
                self._agenda.after(self._delay_ms(), what)

    def send(self, source: ServerName, target: ServerName, what: Callable[[], None]) -> None:
        """Have `what` happen at `target` once it has come there: later if the link is cut, again if it is doubled."""
        if source == target:
            self._agenda.after(self._rng.randrange(20), what)
            return
        if not self.is_open(source, target):
            self._waiting.setdefault((source, target), []).append(what)
            return
        faults = self.faults
        if faults.loss and self._rng.random() < faults.loss:
            self._agenda.after(self._rng.randrange(2_000, 20_000), lambda: self.send(source, target, what))
            return
        self._agenda.after(self._delay_ms(), what)
        if faults.duplication and self._rng.random() < faults.duplication:
            self._agenda.after(self._delay_ms(), what)

    def _delay_ms(self) -> int:
        return self._rng.randrange(1, self.faults.slowest_ms + 1)
