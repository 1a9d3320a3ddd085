"""Homeservers that can be cut off from each other: what is sent meanwhile arrives when they are joined again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from dmls.engine.effects import ClaimWanted, DeviceListsWanted, ToDeviceToSend
from dmls.engine.inputs import EventReceived, RoomStateChanged
from dmls.ids import EventId, RoomId, UserId
from dmls.matrix.bodies import ALGORITHM
from dmls.matrix.events import MemberEvent, Membership, RoomEvent
from dmls.matrix.identifiers import server_of
from dmls.matrix.membership import RoomFacts
from dmls.rooms.outbox import Backfill, StoredItem
from tests.rooms.homes import ROOM, Home, World

__all__ = ["PartedWorld"]


@dataclass
class PartedWorld(World):
    """One room of homeservers between which links can be cut. Member events pass a cut as events do."""

    sides: dict[str, int] = field(default_factory=dict)
    """Homeservers on different sides hear nothing of each other."""
    deaf: set[str] = field(default_factory=set)
    """Homeservers that answer, but are not told anything."""
    waiting: dict[str, list[tuple[str, Callable[[], object]]]] = field(default_factory=dict)
    """For each homeserver what others have sent it and did not get through, and from where."""
    on_step: Callable[[], None] = lambda: None
    """Called after everything that happens to a homeserver."""

    def part(self, *sides: Iterable[str]) -> None:
        """Cut the links between groups of homeservers, and mend those within them."""
        self.sides = {name: number for number, names in enumerate(sides) for name in names}
        self._deliver()

    def join_again(self) -> None:
        """Mend all links; what waited arrives."""
        self.sides, self.deaf = {}, set()
        self._deliver()

    def _deliver(self) -> None:
        while True:
            for name in sorted(self.waiting):
                waited = self.waiting.pop(name)
                for source, happened in waited:
                    self._tell(source, self.homes[name], happened)
            self.settle()
            if not any(not self._is_deaf(source, name) for name, waited in self.waiting.items() for source, _ in waited):
                return

    def is_cut(self, one: str, other: str) -> bool:
        return self.sides.get(one, 0) != self.sides.get(other, 0)

    def _is_deaf(self, source: str, name: str) -> bool:
        return self.is_cut(source, name) or name in self.deaf

    def _tell(self, source: str, home: Home, happened: Callable[[], object]) -> None:
        if self._is_deaf(source, home.server):
            self.waiting.setdefault(home.server, []).append((source, happened))
        else:
            happened()
            self.on_step()

    def set_membership(self, user: str, membership: Membership, *, by: str = "", room_id: RoomId = ROOM) -> None:
        user_id, sender = UserId(user), UserId(by or user)
        members = self.members.setdefault(room_id, {})
        before = members.get(user_id)
        self.version += 1
        auth = () if before is None else (before.event_id,)
        members[user_id] = event = MemberEvent(EventId(f"$member-{self.version}"), user_id, sender, membership, auth)
        facts = self.facts.setdefault(room_id, RoomFacts(user_id, "12", "shared", ALGORITHM))
        self.clock.now_ms += 10
        happened = RoomStateChanged(self.version, facts, {user_id: event})
        for home in self.homes.values():
            self._tell(server_of(sender), home, lambda home=home: self._step(home, happened))  # type: ignore[misc]

    def publish(self, sender: UserId, content: bytes, room_id: RoomId = ROOM) -> EventId:
        event_id = EventId("$" + hashlib.sha256(content).hexdigest())
        auth = tuple(event.event_id for event in [self.members[room_id].get(sender)] if event is not None)
        event = RoomEvent(
            event_id, room_id, sender, "m.room.encrypted", None, json.loads(content), self.clock(), auth_events=auth
        )
        self.timeline.setdefault(room_id, []).append(event)
        for home in self.homes.values():
            self._tell(server_of(sender), home, lambda home=home: self._step(home, EventReceived(event)))  # type: ignore[misc]
        return event_id

    @staticmethod
    def _step(home: Home, happened: RoomStateChanged | EventReceived) -> None:
        home.keeper.transact([ROOM], lambda session: session.step(ROOM, happened))

    def settle(self) -> None:
        for _ in range(50):
            items = [(home, item) for home in self.homes.values() for item in home.pending() if not self._is_held_up(home, item)]
            if not items:
                return
            for home, item in items:
                # What an earlier item brought about may have withdrawn this one.
                if item in home.pending():
                    self.perform(home, item)
                    self.on_step()
        raise AssertionError("the homeservers do not come to rest")

    def _is_held_up(self, home: Home, item: StoredItem) -> bool:
        action = item.action
        if isinstance(action, ToDeviceToSend):
            target = server_of(action.user_id)
            return target in self.deaf or self.is_cut(home.server, target)
        if isinstance(action, ClaimWanted):
            return any(self.is_cut(home.server, device.server) for device in action.devices)
        if isinstance(action, DeviceListsWanted):
            return any(self.is_cut(home.server, server_of(user)) for user in action.users)
        return isinstance(action, Backfill) and bool(self.sides)
