"""What drives one engine in a simulation: its inputs, its store, what it wants sent, and its crashes.

The contract is that of `dmls.engine.effects`: records and outbox of a step become durable together, and nothing leaves before. A
crash loses the engine and what was not durable; the input is then given again, as a homeserver does that got no answer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from dmls.engine.agent import Agent
from dmls.engine.effects import Effects, EventToSend, Notice, OutboxItem
from dmls.engine.inputs import Input
from dmls.engine.state import RoomState
from dmls.forks.graph import Device
from dmls.ids import DeviceId, EventId, RoomId, ServerName, UserId
from dmls.mls.crypto.randomness import Random
from dmls.simulation.room_graph import GraphEvent

__all__ = ["Carrier", "CrashPoint", "Driver", "Surroundings"]


class CrashPoint(Enum):
    """Where in a step a crash hits."""

    BEFORE_COMMIT = "before the transaction is durable"
    AFTER_COMMIT = "after it, before anybody was told"


class Carrier(Protocol):
    """The homeserver's side of an outbox."""

    def send_event(self, driver: Driver, item: EventToSend) -> GraphEvent | None:
        """Make the event, or return None where the homeserver refuses it for good."""

    def publish(self, server: ServerName, event: GraphEvent) -> None:
        """Send an event that was made."""

    def perform(self, driver: Driver, item: OutboxItem) -> None:
        """Do anything else; answers come later."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an agent has from outside.

    Attributes:
        crash_next: asked before each step whether and where it crashes.
        on_change: called after whatever may have filled the outbox or moved the next wake-up.
        on_input: called after inputs were taken in, so that what is due is done, at once or a little later.
    """

    room_id: RoomId
    suite: int
    random: Random
    clock: Callable[[], int]
    crash_next: Callable[[], CrashPoint | None]
    on_change: Callable[[Driver], None]
    on_input: Callable[[Driver], None]
    log: Callable[[str], None]


@dataclass(eq=False)
class Driver(ABC):
    """One agent: a homeserver's service, or a client device."""

    name: str
    server: ServerName
    is_service: bool
    around: Surroundings
    agent: Agent = field(init=False)
    inbox: deque[Input] = field(default_factory=deque)
    notices: list[Notice] = field(default_factory=list)
    wake_at_ms: int | None = None
    version: int = 0
    """Of the room state last told."""
    crashes: int = 0
    steps: int = 0

    def __post_init__(self) -> None:
        self.agent = Agent(self.server, self.is_service)

    def holds(self, user: UserId, device_id: DeviceId) -> bool:
        """Tell whether a device is one of its own."""
        return self.agent.find(user, device_id) is not None

    def tell(self, happened: Input) -> None:
        """Let something happen, now or once it is up again."""
        self.inbox.append(happened)
        self.drain()

    def drain(self) -> None:
        """Take in what waits."""
        did = False
        while self.inbox and self.is_up:
            if self.take(self.inbox[0]) is not None:
                self.inbox.popleft()
                did = True
        if did and self.is_up:
            self.around.on_input(self)

    def ask(self, happened: Input) -> Effects | None:
        """Let something happen whose result is wanted at once; None if it is down or crashes."""
        return self.take(happened) if self.is_up else None

    def flush(self, carrier: Carrier) -> None:
        """Hand everything in the outbox to the homeserver, in order."""
        while self.is_up:
            item = self.next_item()
            if item is None:
                return
            if not isinstance(item, EventToSend):
                carrier.perform(self, item)
                self.answer(item, None)
                continue
            event = self.send_event(carrier, item)
            self.answer(item, None if event is None else event.event_id)
            if event is not None:
                carrier.publish(self.server, event)

    def send_event(self, carrier: Carrier, item: EventToSend) -> GraphEvent | None:
        """Have the homeserver make an event; None where it refuses it for good."""
        return carrier.send_event(self, item)

    def crash(self) -> None:
        """End it, wherever it is."""
        self.end()
        self.crashes += 1
        self.around.on_change(self)

    def set_agent(self, agent: Agent) -> None:
        """Give it other own devices."""
        self.agent = agent
        self.own_devices_changed()

    def note(self, notice: Notice) -> None:
        """Keep a notice."""
        self.notices.append(notice)
        self.around.log(f"{self.name}: {notice.kind} {notice.commit_ref.hex()[:8]} {notice.text}")

    @property
    @abstractmethod
    def is_up(self) -> bool:
        """Whether it runs."""

    @property
    @abstractmethod
    def state(self) -> RoomState:
        """The engine's state after the last durable step."""

    @property
    @abstractmethod
    def has_outgoing(self) -> bool:
        """Whether anything is in the outbox."""

    @abstractmethod
    def take(self, happened: Input) -> Effects | None:
        """Take a step and make it durable; None if it crashed over it."""

    @abstractmethod
    def settle(self) -> None:
        """Let time pass until nothing more is due, unless it crashes."""

    @abstractmethod
    def restart(self) -> None:
        """Start it again from what is durable."""

    @abstractmethod
    def end(self) -> None:
        """Forget what is not durable."""

    @abstractmethod
    def next_item(self) -> OutboxItem | None:
        """Return the first item of the outbox that was not returned before."""

    @abstractmethod
    def answer(self, item: OutboxItem, event_id: EventId | None) -> None:
        """Note what became of the item that was returned last; an event without an id was refused."""

    @abstractmethod
    def own_devices_changed(self) -> None:
        """Let a change of `agent` take effect."""

    @abstractmethod
    def give_key_package(self, device: Device) -> bytes | None:
        """Return a key package of an own device, encoded as MLSMessage, None if there is none."""
