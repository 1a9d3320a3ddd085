"""A homeserver of a simulation: the events it has, the state it resolves, and what it tells of both to whoever asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from dmls.ids import EventId, RoomId, ServerName, UserId
from dmls.matrix.events import ENCRYPTED, MemberEvent, Membership, RoomEvent
from dmls.simulation.room_graph import GraphEvent, RoomGraph, State

__all__ = ["Arrival", "Homeserver"]


@dataclass(frozen=True, slots=True)
class Arrival:
    """One event that came in, and how the resolved membership changed by it (None: the user has no member event any more)."""

    event: GraphEvent
    changes: Mapping[UserId, MemberEvent | None]


@dataclass
class Homeserver:
    """One homeserver in one room."""

    name: ServerName
    room_id: RoomId
    graph: RoomGraph
    events: dict[EventId, None] = field(default_factory=dict)
    """In the order in which they came."""
    state: State = field(default_factory=dict)
    soft_failed: set[EventId] = field(default_factory=set)
    _extremities: set[EventId] = field(default_factory=set)
    _departures: dict[UserId, list[EventId]] = field(default_factory=dict)
    _made: int = 0

    def __contains__(self, event_id: object) -> bool:
        return event_id in self.events

    @property
    def extremities(self) -> tuple[EventId, ...]:
        """The newest events, sorted: what the next one follows."""
        return tuple(sorted(self._extremities))

    def membership(self, user: UserId) -> Membership | None:
        """Return a user's membership in the resolved state."""
        return self.graph.membership(self.state, user)

    def joined_servers(self) -> frozenset[ServerName]:
        """Return the servers of joined users."""
        return frozenset(ServerName(user.partition(":")[2]) for user in self.state if self.membership(user) is Membership.JOIN)

    def current(self, user: UserId) -> MemberEvent | None:
        """Return a user's member event in the resolved state."""
        name = self.state.get(user)
        return None if name is None else self.graph[name].member

    def set_membership(self, sender: UserId, user: UserId, membership: Membership, ts_ms: int) -> GraphEvent | None:
        """Make a member event; None if the sender may not send it here."""
        if not self.graph.is_allowed(sender, user, membership, self.state):
            return None
        auth = self.graph.auth_events(self.state, sender, user)
        event_id = self._next_id()
        member = MemberEvent(event_id, user, sender, membership, auth)
        return self._make(GraphEvent(event_id, sender, ts_ms, self.extremities, member.auth_events, member))

    def send_encrypted(self, sender: UserId, content: Mapping[str, Any], ts_ms: int) -> GraphEvent | None:
        """Make an encrypted event; None if the sender is not in the room."""
        if not self.graph.is_allowed(sender, None, None, self.state):
            return None
        auth = self.graph.auth_events(self.state, sender)
        event_id = self._next_id()
        return self._make(GraphEvent(event_id, sender, ts_ms, self.extremities, auth, content=content))

    def _next_id(self) -> EventId:
        self._made += 1
        return EventId("$" + sha256(f"{self.name} {self._made}".encode()).hexdigest()[:43])

    def _make(self, event: GraphEvent) -> GraphEvent:
        self.graph.add(event)
        return event

    def take(self, event_id: EventId) -> Iterator[Arrival]:
        """Take in an event, and all before it that are missing; those already here are not told of again."""
        for name in self.graph.missing(event_id, self.events):
            yield self._take(self.graph[name])

    def _take(self, event: GraphEvent) -> Arrival:
        name, member = event.event_id, event.member
        target, membership = (None, None) if member is None else (member.user_id, member.membership)
        before = self.state
        fails = bool(self._extremities) and not self.graph.is_allowed(event.sender, target, membership, before)
        if member is not None and member.membership in (Membership.LEAVE, Membership.BAN):
            self._departures.setdefault(member.user_id, []).append(name)
        self.events[name] = None
        if fails and not self._extremities <= set(event.prev_events):
            self.soft_failed.add(name)
            return Arrival(event, {})
        self._extremities -= set(event.prev_events)
        self._extremities.add(name)
        self.state = self.graph.state_at(self._extremities)
        return Arrival(event, self._changes(before))

    def _changes(self, before: State) -> dict[UserId, MemberEvent | None]:
        if before is self.state:
            return {}
        users = sorted(user for user in before.keys() | self.state.keys() if before.get(user) != self.state.get(user))
        return {user: self.current(user) for user in users}

    def room_event(self, event: GraphEvent) -> RoomEvent:
        """Return an encrypted event as it is passed on, with what is known of its sender's departure."""
        return RoomEvent(
            event.event_id,
            self.room_id,
            event.sender,
            ENCRYPTED,
            None,
            event.content or {},
            event.ts_ms,
            event.event_id in self.soft_failed,
            self._before_departure(event),
            event.auth_events,
        )

    def _before_departure(self, event: GraphEvent) -> bool | None:
        """Tell whether an event came before a departure that ended the membership it was sent under; None if none has."""
        departures = [
            name
            for name in self._departures.get(event.sender, ())
            if any(self.graph.ends(name, join) for join in event.auth_events)
        ]
        if not departures:
            return None
        return any(self.graph.is_before(event.event_id, name) for name in departures)

    def encrypted_by(self, user: UserId) -> list[GraphEvent]:
        """Return the encrypted events of a user, in the order in which they came."""
        found = [self.graph[name] for name in self.events]
        return [event for event in found if event.sender == user and event.content is not None]
