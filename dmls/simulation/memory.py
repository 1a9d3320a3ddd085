"""An agent whose store is memory: the fastest that an engine can be driven."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dmls.engine.effects import Delete, Effects, EventToSend, OutboxItem
from dmls.engine.inputs import AgentChanged, EventReceived, Input, OutboxAnswered, Tick, ToDeviceReceived
from dmls.engine.room import RoomEngine
from dmls.engine.state import RoomState
from dmls.forks.graph import Device
from dmls.ids import EventId, KeyPackageRef
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.group.leaf import KeyPackageBundle, create_key_package
from dmls.mls.messages.leaf_node import Lifetime
from dmls.mls.messages.message import encode_message
from dmls.simulation.driver import CrashPoint, Driver

__all__ = ["MemoryDriver"]

_MOST_TICKS = 40
_HOUR_S = 3_600
_LIFETIME_S = 90 * 86_400


@dataclass(eq=False)
class MemoryDriver(Driver):
    """An agent with dictionaries for a store. What is in them survives its crashes."""

    records: dict[tuple[str, bytes], bytes] = field(default_factory=dict)
    outbox: deque[OutboxItem] = field(default_factory=deque)
    bundles: dict[KeyPackageRef, KeyPackageBundle] = field(default_factory=dict)
    _engine: RoomEngine | None = None
    _last: RoomState | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._engine = RoomEngine.create(self.around.room_id, self.agent, suite=self.around.suite)
        self._last = self._engine.state

    @property
    def is_up(self) -> bool:
        """Whether it runs."""
        return self._engine is not None

    @property
    def state(self) -> RoomState:
        """The engine's state after the last durable step."""
        if self._last is None:
            raise RuntimeError("never started")
        return self._last

    @property
    def has_outgoing(self) -> bool:
        """Whether anything is in the outbox."""
        return bool(self.outbox)

    def take(self, happened: Input) -> Effects | None:
        """Take a step and make it durable; None if it crashed over it."""
        if self._engine is None:
            raise RuntimeError(f"{self.name} is down")
        around, engine = self.around, self._engine
        point = around.crash_next()
        effects = engine.step(happened, around.clock(), around.random, self._bundles(engine, happened))
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
        if effects.outbox:
            around.on_change(self)
        return effects

    def settle(self) -> None:
        """Let time pass until nothing more is due, unless it crashes."""
        for _ in range(_MOST_TICKS):
            effects = self.take(Tick()) if self.is_up else None
            if effects is None:
                return
            if not (effects.outbox or effects.changes):
                self.around.on_change(self)
                return
        raise RuntimeError(f"{self.name} does not come to rest")

    def restart(self) -> None:
        """Start it again from what is durable."""
        rows = [(table, key, value) for (table, key), value in self.records.items()]
        self._engine = RoomEngine.load(self.around.room_id, self.agent, rows, suite=self.around.suite)
        self.drain()
        if self.is_up:
            self.settle()

    def end(self) -> None:
        """Forget what is not durable."""
        self._engine = None

    def next_item(self) -> OutboxItem | None:
        """Return the first item of the outbox that was not returned before."""
        return self.outbox.popleft() if self.outbox else None

    def answer(self, item: OutboxItem, event_id: EventId | None) -> None:
        """Note what became of the item that was returned last; an event without an id was refused."""
        if not isinstance(item, EventToSend):
            return
        if event_id is None:
            self._refuse(item)
        elif item.commit_ref:
            self.tell(OutboxAnswered(item.commit_ref, event_id))

    def own_devices_changed(self) -> None:
        """Let a change of `agent` take effect."""
        self.tell(AgentChanged(self.agent))

    def give_key_package(self, device: Device) -> bytes | None:
        """Return a key package of an own device, encoded as MLSMessage, None if there is none."""
        own = self.agent.devices.get(device)
        if own is None:
            return None
        now = self.around.clock() // 1_000
        lifetime = Lifetime(now - _HOUR_S, now + _LIFETIME_S)
        bundle = create_key_package(cipher_suite(self.around.suite), own.client, lifetime, self.around.random)
        self.bundles[bundle.ref] = bundle
        return encode_message(bundle.key_package)

    def _refuse(self, refused: EventToSend) -> None:
        """Answer that an event cannot be sent, nor what was made on it: the last node first."""
        graph = self.state.graph
        below = set(graph.subtree(refused.commit_ref)) if refused.commit_ref in graph else set()
        gone = [refused, *(item for item in self.outbox if isinstance(item, EventToSend) and item.commit_ref in below)]
        self.outbox = deque(item for item in self.outbox if item not in gone)
        for item in reversed(gone):
            if item.commit_ref:
                self.tell(OutboxAnswered(item.commit_ref, None))

    def _make_durable(self, effects: Effects) -> None:
        for change in effects.changes:
            if isinstance(change, Delete):
                self.records.pop((change.table, change.key), None)
            else:
                self.records[change.table, change.key] = change.value
        self.outbox.extend(effects.outbox)
        for notice in effects.notices:
            self.note(notice)

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
