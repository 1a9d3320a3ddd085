"""What a room gives to an attacker: its homeserver's lies, and everything that anybody could tell it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

from dmls.ids import CommitRef, EventId, RoomId, ServerName, UserId
from dmls.matrix.events import Membership
from dmls.simulation.homeserver import Homeserver
from dmls.simulation.room_graph import GraphEvent, RoomGraph

__all__ = ["LyingHomeserver", "Setting"]


class Setting(Protocol):
    """A room under attack."""

    @property
    def servers(self) -> tuple[ServerName, ...]:
        """All homeservers."""

    @property
    def room_id(self) -> RoomId:
        """The room."""

    @property
    def now_ms(self) -> int:
        """The time."""

    def encrypted_events(self) -> Iterator[tuple[EventId, Mapping[str, Any]]]:
        """Give every encrypted event of every homeserver."""

    def sender_of(self, event_id: EventId) -> UserId:
        """Return an event's sender."""

    def head_of(self, server: ServerName) -> CommitRef | None:
        """Return the head that a homeserver's service sends in."""

    def put(self, sender: UserId, content: Mapping[str, Any], *, back_dated: bool) -> EventId | None:
        """Make an event at the sender's homeserver, as late in the room's graph as it is allowed."""

    def ban_all(self, sender: UserId) -> None:
        """Ban every other user by the state that the sender's homeserver has, and tell the others."""

    def show(self, source: ServerName, target: ServerName, event_id: EventId) -> None:
        """Send an event to one homeserver, with all before it."""


@dataclass
class LyingHomeserver:
    """The homeserver of an attacker: it makes events that an honest one would not make.

    It does not take them in itself, so that nothing it sends later tells of one that was shown to some only.
    """

    homeserver: Homeserver
    graph: RoomGraph
    _made: int = 0

    def make(self, sender: UserId, content: Mapping[str, Any], ts_ms: int, *, back_dated: bool) -> GraphEvent | None:
        """Make an event where its sender is joined: after all that is known, or where that was so last; None if it never was."""
        place = self._place(sender, back_dated=back_dated)
        if place is None:
            return None
        self._made += 1
        state = self.graph.state_at(place)
        event_id = EventId("$" + sha256(f"lie {self.homeserver.name} {self._made}".encode()).hexdigest()[:43])
        auth = self.graph.auth_events(state, sender)
        event = GraphEvent(event_id, sender, 1 if back_dated else ts_ms, place, auth, content=content)
        self.graph.add(event)
        return event

    def _place(self, sender: UserId, *, back_dated: bool) -> tuple[EventId, ...] | None:
        newest = self.homeserver.extremities
        if newest and not back_dated and self.graph.membership(self.graph.state_at(newest), sender) is Membership.JOIN:
            return newest
        for name in reversed(self.homeserver.events):
            if name not in newest and self.graph.membership(self.graph.state_at((name,)), sender) is Membership.JOIN:
                return (name,)
        return None
