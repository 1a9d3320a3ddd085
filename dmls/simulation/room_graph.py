"""The room that all homeservers of a simulation share: its events in one graph, and the state that follows from them.

Authorisation and state resolution are those of Matrix room versions from 2 on, reduced to membership: power levels never change
and anybody who is not banned may join. That is enough for states that conflict, are overruled, and go backwards.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from dmls.ids import EventId, UserId
from dmls.matrix.events import MemberEvent, Membership

__all__ = ["GraphEvent", "RoomGraph", "State"]

State = Mapping[UserId, EventId]
"""The resolved membership: the current member event of each user."""

_MODERATOR: Final = 50
_GONE: Final = (Membership.LEAVE, Membership.BAN)


@dataclass(frozen=True, slots=True)
class GraphEvent:
    """One event with its place in the graph.

    Attributes:
        ts_ms: when its sender's homeserver made it, in milliseconds.
        prev_events: the newest events that its homeserver knew.
        member: of a member event, what it says; `content` is that of an encrypted event.
        auth_events: the member events that allow it.
    """

    event_id: EventId
    sender: UserId
    ts_ms: int
    prev_events: tuple[EventId, ...]
    auth_events: tuple[EventId, ...]
    member: MemberEvent | None = None
    content: Mapping[str, Any] | None = None


class RoomGraph:
    """Every event that any homeserver has made. What follows from an event is worked out once for all homeservers."""

    def __init__(self, power: Mapping[UserId, int]) -> None:
        """Begin a room. `power`: power levels of users; 0 for those not named."""
        self._power = power
        self._events: dict[EventId, GraphEvent] = {}
        self._place: dict[EventId, int] = {}
        self._past: dict[EventId, int] = {}
        """The events before each, as bits by place."""
        self._after: dict[EventId, State] = {}
        self._resolved: dict[frozenset[EventId], State] = {}

    def __getitem__(self, event_id: EventId) -> GraphEvent:
        return self._events[event_id]

    def __contains__(self, event_id: object) -> bool:
        return event_id in self._events

    def __iter__(self) -> Iterator[EventId]:
        return iter(self._events)

    def add(self, event: GraphEvent) -> None:
        """Add an event whose predecessors are here and that is allowed where it stands."""
        place = len(self._place)
        past = 0
        for previous in event.prev_events:
            past |= self._past[previous] | 1 << self._place[previous]
        self._events[event.event_id] = event
        self._place[event.event_id] = place
        self._past[event.event_id] = past
        before = self.state_at(event.prev_events)
        member = event.member
        self._after[event.event_id] = before if member is None else {**before, member.user_id: event.event_id}

    def is_before(self, earlier: EventId, later: EventId) -> bool:
        """Tell whether `earlier` is in the causal past of `later`."""
        return bool(self._past[later] >> self._place[earlier] & 1)

    def missing(self, event_id: EventId, known: Collection[EventId]) -> list[EventId]:
        """Return the event and those of its past that are not `known`, each after its predecessors."""
        found: dict[EventId, None] = {}
        pending = [event_id]
        while pending:
            current = pending.pop()
            if current not in known and current not in found:
                found[current] = None
                pending += self._events[current].prev_events
        return sorted(found, key=self._place.__getitem__)

    def state_at(self, extremities: Iterable[EventId]) -> State:
        """Return the state after some events that do not follow one another."""
        names = frozenset(extremities)
        if len(names) == 1:
            (name,) = names
            return self._after[name]
        state = self._resolved.get(names)
        if state is None:
            state = self._resolved[names] = self._resolve([self._after[name] for name in sorted(names)])
        return state

    def membership(self, state: State, user: UserId) -> Membership | None:
        """Return a user's membership in a state."""
        member = self._member(state.get(user))
        return None if member is None else member.membership

    def auth_events(self, state: State, sender: UserId, target: UserId | None = None) -> tuple[EventId, ...]:
        """Return the member events that an event by `sender`, about `target`, names as its authority."""
        users = (sender,) if target is None else (sender, target)
        return tuple(sorted({state[user] for user in users if user in state}))

    def is_allowed(self, sender: UserId, target: UserId | None, membership: Membership | None, state: State) -> bool:
        """Tell whether a member event, or with None any other event, may be sent where this state holds."""
        if target is None or membership is None:
            return self.membership(state, sender) is Membership.JOIN
        current = self.membership(state, target)
        if membership is Membership.JOIN:
            return sender == target and current is not Membership.BAN
        if sender == target:
            return membership is Membership.LEAVE and current in (Membership.JOIN, Membership.INVITE)
        if self.membership(state, sender) is not Membership.JOIN:
            return False
        if membership is Membership.INVITE:
            return current not in (Membership.JOIN, Membership.BAN)
        power = self._power.get(sender, 0)
        may = power >= _MODERATOR and power > self._power.get(target, 0)
        if membership is Membership.BAN:
            return may
        return membership is Membership.LEAVE and may and current is not None and current is not Membership.LEAVE

    def ends(self, departure: EventId, join: EventId) -> bool:
        """Tell whether an event is a leave or ban that has a join in its user's part of its auth chain."""
        member = self._member(departure)
        return member is not None and member.membership in _GONE and join in self._own_chain(departure)

    def _own_chain(self, event_id: EventId) -> set[EventId]:
        user = self._events[event_id].member
        chain: set[EventId] = set()
        pending = [event_id]
        while pending and user is not None:
            for name in self._events[pending.pop()].auth_events:
                member = self._events[name].member
                if name not in chain and member is not None and member.user_id == user.user_id:
                    chain.add(name)
                    pending.append(name)
        return chain

    def _member(self, event_id: EventId | None) -> MemberEvent | None:
        return None if event_id is None else self._events[event_id].member

    # State resolution

    def _resolve(self, states: list[State]) -> State:
        users = {user for state in states for user in state}
        values = {user: {state.get(user) for state in states} for user in users}
        agreed = {user: states[0][user] for user, names in values.items() if len(names) == 1 and user in states[0]}
        if len(agreed) == len(users):
            return agreed
        full = {name for names in values.values() if len(names) > 1 for name in names if name is not None}
        chains = [self._auth_chain(state.values()) for state in states]
        full |= chains[0].union(*chains) - chains[0].intersection(*chains)
        powerful = {name for name in full if self._is_powerful(name)}
        powerful |= {name for name in self._auth_chain(powerful) if name in full}
        state = self._check_in_order(agreed, self._by_power(powerful))
        rest = sorted(full - powerful, key=lambda name: (self._events[name].ts_ms, name))
        return {**self._check_in_order(state, rest), **agreed}

    def _auth_chain(self, names: Iterable[EventId]) -> set[EventId]:
        chain: set[EventId] = set()
        pending = list(names)
        while pending:
            for name in self._events[pending.pop()].auth_events:
                if name not in chain:
                    chain.add(name)
                    pending.append(name)
        return chain

    def _is_powerful(self, name: EventId) -> bool:
        event = self._events[name]
        return event.member is not None and event.member.membership in _GONE and event.member.user_id != event.sender

    def _by_power(self, names: set[EventId]) -> Iterator[EventId]:
        """Go over events, each after those it names as its authority, by the power of their senders, time and name."""
        waits = {name: len(set(self._events[name].auth_events) & names) for name in names}
        followers: dict[EventId, list[EventId]] = {}
        for name in names:
            for above in set(self._events[name].auth_events) & names:
                followers.setdefault(above, []).append(name)
        ready = [self._power_rank(name) for name, count in waits.items() if not count]
        heapq.heapify(ready)
        while ready:
            *_, name = heapq.heappop(ready)
            yield name
            for follower in followers.get(name, ()):
                waits[follower] -= 1
                if not waits[follower]:
                    heapq.heappush(ready, self._power_rank(follower))

    def _power_rank(self, name: EventId) -> tuple[int, int, EventId]:
        event = self._events[name]
        return -self._power.get(event.sender, 0), event.ts_ms, name

    def _check_in_order(self, state: State, names: Iterable[EventId]) -> dict[UserId, EventId]:
        resolved = dict(state)
        for name in names:
            event, member = self._events[name], self._member(name)
            if member is None:
                continue
            authority = {self._events[above].member.user_id: above for above in event.auth_events}  # type: ignore[union-attr]
            authority |= {user: resolved[user] for user in (event.sender, member.user_id) if user in resolved}
            if self.is_allowed(event.sender, member.user_id, member.membership, authority):
                resolved[member.user_id] = name
        return resolved
