"""What drives one engine in a simulation: its inputs, its store, what it wants sent, and its crashes.

The contract is that of `dmls.engine.effects`: records and outbox of a step become durable together, and nothing leaves before. A
crash loses the engine and what was not durable; the input is then given again, as a homeserver does that got no answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from dmls.engine.agent import Agent
from dmls.engine.effects import Delete, Effects, EventToSend, Notice, OutboxItem
from dmls.engine.inputs import (
    AgentChanged,
    DecryptRequested,
    EventReceived,
    Input,
    OutboxAnswered,
    Tick,
    ToDeviceReceived,
)
from dmls.engine.room import RoomEngine
from dmls.engine.state import RoomState
from dmls.ids import DeviceId, KeyPackageRef, RoomId, ServerName, UserId
from dmls.mls.crypto.randomness import Random
from dmls.mls.group.leaf import KeyPackageBundle

__all__ = ["CrashPoint", "Driver"]

_MOST_TICKS = 40


class CrashPoint(Enum):
    """Where in a step a crash hits."""

    BEFORE_COMMIT = "before the transaction is durable"
    AFTER_COMMIT = "after it, before anybody was told"


@dataclass(eq=False)
class Driver:
    """One agent: a homeserver's service, or a client device.

    Attributes:
        crash_next: asked before each step whether and where it crashes.
        on_change: called after whatever may have filled the outbox or moved the next wake-up.
    """

    name: str
    server: ServerName
    is_service: bool
    room_id: RoomId
    suite: int
    random: Random
    clock: Callable[[], int]
    crash_next: Callable[[], CrashPoint | None]
    on_change: Callable[[Driver], None]
    log: Callable[[str], None]
    agent: Agent = field(init=False)
    records: dict[tuple[str, bytes], bytes] = field(default_factory=dict)
    outbox: deque[OutboxItem] = field(default_factory=deque)
    bundles: dict[KeyPackageRef, KeyPackageBundle] = field(default_factory=dict)
    inbox: deque[Input] = field(default_factory=deque)
    notices: list[Notice] = field(default_factory=list)
    wake_at_ms: int | None = None
    version: int = 0
    """Of the room state last told."""
    crashes: int = 0
    steps: int = 0
    _engine: RoomEngine | None = None
    _last: RoomState | None = None

    def __post_init__(self) -> None:
        self.agent = Agent(self.server, self.is_service)
        self._engine = RoomEngine.create(self.room_id, self.agent, suite=self.suite)

    @property
    def is_up(self) -> bool:
        """Whether it runs."""
        return self._engine is not None

    @property
    def state(self) -> RoomState:
        """The engine's state; only while it is up."""
        return self._running().state

    @property
    def last_state(self) -> RoomState:
        """The state after the last durable step, also while it is down."""
        return self._running().state if self._last is None else self._last

    def holds(self, user: UserId, device_id: DeviceId) -> bool:
        """Tell whether a device is one of its own."""
        return self.agent.find(user, device_id) is not None

    def tell(self, happened: Input) -> None:
        """Let something happen, now or once it is up again."""
        self.inbox.append(happened)
        self.drain()

    def drain(self) -> None:
        """Take in what waits, then do what is due."""
        did = False
        while self.inbox and self.is_up:
            if self._step(self.inbox[0]) is not None:
                self.inbox.popleft()
                did = True
        if did:
            self.settle()

    def ask(self, happened: Input) -> Effects | None:
        """Let something happen whose result is wanted at once; None if it is down or crashes."""
        if not self.is_up:
            return None
        effects = self._step(happened)
        if effects is not None and not isinstance(happened, DecryptRequested):
            self.settle()
        return effects

    def settle(self) -> None:
        """Let time pass until nothing more is due."""
        for _ in range(_MOST_TICKS):
            if not self.is_up:
                return
            effects = self._step(Tick())
            if effects is None or not (effects.outbox or effects.changes):
                break
        else:
            raise AssertionError(f"{self.name} does not come to rest")
        self.on_change(self)

    def set_agent(self, agent: Agent) -> None:
        """Give it other own devices."""
        self.agent = agent
        self.tell(AgentChanged(agent))

    def restart(self) -> None:
        """Start it again from what is durable."""
        rows = [(table, key, value) for (table, key), value in self.records.items()]
        self._engine = RoomEngine.load(self.room_id, self.agent, rows, suite=self.suite)
        self.drain()
        self.settle()

    def crash(self) -> None:
        """End it, wherever it is."""
        self._engine = None
        self.crashes += 1
        self.on_change(self)

    def refuse(self, refused: EventToSend) -> None:
        """Answer that an event cannot be sent, nor what was made on it: the last node first."""
        graph = self.state.graph
        below = set(graph.subtree(refused.commit_ref)) if refused.commit_ref in graph else set()
        kept: deque[OutboxItem] = deque()
        gone = [refused]
        for item in self.outbox:
            if isinstance(item, EventToSend) and item.commit_ref in below:
                gone.append(item)
            else:
                kept.append(item)
        self.outbox = kept
        for item in reversed(gone):
            if item.commit_ref:
                self.tell(OutboxAnswered(item.commit_ref, None))

    def _running(self) -> RoomEngine:
        if self._engine is None:
            raise RuntimeError(f"{self.name} is down")
        return self._engine

    def _step(self, happened: Input) -> Effects | None:
        engine = self._running()
        point = self.crash_next()
        effects = engine.step(happened, self.clock(), self.random, self._bundles(engine, happened))
        self.steps += 1
        if point is CrashPoint.BEFORE_COMMIT:
            self.crash()
            return None
        self._make_durable(effects)
        self._last = engine.state
        if point is CrashPoint.AFTER_COMMIT:
            self.crash()
            return None
        self.wake_at_ms = effects.wake_at_ms
        return effects

    def _make_durable(self, effects: Effects) -> None:
        for change in effects.changes:
            if isinstance(change, Delete):
                self.records.pop((change.table, change.key), None)
            else:
                self.records[change.table, change.key] = change.value
        self.outbox.extend(effects.outbox)
        self.notices += effects.notices
        for notice in effects.notices:
            self.log(f"{self.name}: {notice.kind} {notice.commit_ref.hex()[:8]} {notice.text}")

    def _bundles(self, engine: RoomEngine, happened: Input) -> Mapping[KeyPackageRef, KeyPackageBundle]:
        if not self.bundles:
            return {}
        content = None
        if isinstance(happened, EventReceived):
            content = happened.event.content
        elif isinstance(happened, ToDeviceReceived):
            content = happened.content
        return self._held(engine.key_packages_named(content))

    def _held(self, refs: Iterable[KeyPackageRef]) -> dict[KeyPackageRef, KeyPackageBundle]:
        return {ref: self.bundles[ref] for ref in refs if ref in self.bundles}
