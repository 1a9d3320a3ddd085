"""A simulated room with an attacker in it, and what must hold there whatever it does."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from dmls.engine.state import RoomState
from dmls.forks.graph import EpochGraph
from dmls.forks.tally import Tally
from dmls.ids import CommitRef, DeviceId, EventId, ServerName, UserId
from dmls.matrix.events import Membership
from dmls.simulation.attackers.attacker import Attacker
from dmls.simulation.attackers.hoard import Hoard
from dmls.simulation.attackers.setting import LyingHomeserver
from dmls.simulation.directory import server_of
from dmls.simulation.driver import Driver
from dmls.simulation.memory import MemoryDriver
from dmls.simulation.world import SentMessage, World

__all__ = ["VILLAIN", "AttackedRoom", "check_attacker"]

VILLAIN: Final = UserId("@mallory:evil")
"""The attacker's user."""
_MOST_PARKED_OF_SERVER = 500


@dataclass
class AttackedRoom(World):
    """A room in which one user's homeserver lies for it. That homeserver hosts nobody else.

    Attributes:
        is_stubborn: the attacker's homeserver takes no event in that puts the attacker out, nor any after it.
        exposed: events of the attacker that some other homeserver got while it took the attacker for a member.
        unreadable: messages whose sender's homeserver knew that the attacker was out.
    """

    villain: UserId = VILLAIN
    is_stubborn: bool = False
    exposed: set[EventId] = field(default_factory=set)
    unreadable: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.hoard = Hoard(self.suite)
        super().__post_init__()
        self._liar = LyingHomeserver(self.homeservers[server_of(self.villain)], self.graph)
        self._choices = random.Random(f"attacker {self.schedule.seed}")

    def attacker(self, device_id: DeviceId) -> Attacker:
        """Return the attacker, once its device has logged in."""
        name = (self.villain, device_id)
        own = next(own for device, own in self.directory.own.items() if (device.user_id, device.device_id) == name)
        return Attacker(self, self.villain, own, self._choices, self.hoard)

    # What the attacker is given

    @property
    def servers(self) -> tuple[ServerName, ...]:
        """All homeservers."""
        return self.schedule.servers

    @property
    def now_ms(self) -> int:
        """The time."""
        return self.agenda.now_ms

    def encrypted_events(self) -> Iterator[tuple[EventId, Mapping[str, Any]]]:
        """Give every encrypted event of every homeserver."""
        for event_id in list(self.graph):
            content = self.graph[event_id].content
            if content is not None:
                yield event_id, content

    def sender_of(self, event_id: EventId) -> UserId:
        """Return an event's sender."""
        return self.graph[event_id].sender

    def head_of(self, server: ServerName) -> CommitRef | None:
        """Return the head that a homeserver's service knows."""
        return self.services[server].state.head

    def put(self, sender: UserId, content: Mapping[str, Any], *, back_dated: bool) -> EventId | None:
        """Make an event at the attacker's homeserver, as late in the room's graph as it is allowed."""
        event = self._liar.make(sender, content, self.agenda.now_ms, back_dated=back_dated)
        return None if event is None else event.event_id

    def ban_all(self, sender: UserId) -> None:
        """Ban every other user by the state that the sender's homeserver has, and tell the others."""
        homeserver = self.homeservers[server_of(sender)]
        for user in sorted(homeserver.state):
            event = homeserver.set_membership(sender, user, Membership.BAN, self.agenda.now_ms) if user != sender else None
            if event is not None:
                self._receive(homeserver.name, event.event_id)
                for other in self.servers:
                    self.show(homeserver.name, other, event.event_id)

    def show(self, source: ServerName, target: ServerName, event_id: EventId) -> None:
        """Send an event to one homeserver, with all before it."""
        if target != source:
            self.network.send(source, target, lambda: self._receive(target, event_id))

    # What is watched

    def _receive(self, server: ServerName, event_id: EventId) -> None:
        homeserver = self.homeservers[server]
        if server == server_of(self.villain):
            if not (self.is_stubborn and self._puts_villain_out(server, event_id)):
                super()._receive(server, event_id)
            return
        coming = [name for name in self.graph.missing(event_id, homeserver.events) if self.graph[name].sender == self.villain]
        before = homeserver.membership(self.villain)
        super()._receive(server, event_id)
        if Membership.JOIN in (before, homeserver.membership(self.villain)):
            self.exposed.update(coming)

    def _puts_villain_out(self, server: ServerName, event_id: EventId) -> bool:
        members = (self.graph[name].member for name in self.graph.missing(event_id, self.homeservers[server].events))
        return any(
            member is not None
            and member.user_id == self.villain
            and member.sender != self.villain
            and member.membership in (Membership.LEAVE, Membership.BAN)
            for member in members
        )

    def _look_after(self, driver: Driver) -> None:
        if driver.server == server_of(self.villain) and isinstance(driver, MemoryDriver):
            self.hoard.take(driver.state, driver.bundles)
        super()._look_after(driver)

    def _note(self, message: SentMessage, driver: Driver, ref: CommitRef) -> None:
        super()._note(message, driver, ref)
        if self.homeservers[driver.server].membership(self.villain) is not Membership.JOIN:
            self.unreadable.add(message.number)
        for reader in sorted(message.readers - self.directory.own.keys()):
            # Nothing protects from a homeserver that makes devices for its own user.
            if reader.user_id != self.villain:
                self.violations.append(f"message {message.number} can be read by a ghost of {reader.user_id}")

    def is_late(self, event_id: EventId) -> bool:
        """Tell whether an event is the attacker's, and nobody got it who took the attacker for a member."""
        return event_id in self.graph and self.graph[event_id].sender == self.villain and event_id not in self.exposed

    @property
    def honest(self) -> list[Driver]:
        """All agents but those of the attacker's homeserver."""
        return [driver for driver in self.drivers if driver.server != server_of(self.villain)]


def check_attacker(room: AttackedRoom, attacker: Attacker) -> Iterator[str]:
    """Say what the attacker has got that it must not have: a message, a head, or an agent's memory."""
    attacker.study()
    for message in room.messages:
        is_secret = message.number in room.unreadable and message.event_id is not None
        if is_secret and room.hoard.read(message.event_id or EventId("")) is not None:
            yield f"message {message.number} by {message.sender.user_id} is read by the attacker"
    for driver in room.honest:
        yield from _check_head(room, driver)
        waiting = sum(parked.event.sender == room.villain for parked in driver.state.parked.values())
        if waiting > _MOST_PARKED_OF_SERVER:
            yield f"{driver.name} keeps {waiting} events of the attacker"


def _check_head(room: AttackedRoom, driver: Driver) -> Iterator[str]:
    """Say where the head is not the one that it would be without what the attacker sent when everybody knew that it was out."""
    state = driver.state
    late = {ref for ref, entry in state.entries.items() if all(room.is_late(facts.event_id) for facts in entry.events)}
    if state.head is not None and not late.isdisjoint(state.graph.path_up(state.head)):
        yield f"{driver.name} follows a commit that the attacker made after it was put out"
    if late and state.head != _head_without(state, late, room):
        yield f"{driver.name} has another head than without the attacker's late events"


def _head_without(state: RoomState, late: set[CommitRef], room: AttackedRoom) -> CommitRef | None:
    left_out = {below for ref in late for below in state.graph.subtree(ref)}
    graph = EpochGraph.build(entry.node for ref, entry in state.entries.items() if ref not in left_out)
    votes = [tracked.vote for tracked in state.votes.values() if tracked.vote.device.user_id != room.villain]
    return Tally.build(graph, votes, state.membership.joined()).head()
