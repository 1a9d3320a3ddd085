"""The events that brought a node or a vote (docs/protocol.md, Section 7).

Whoever made it can send it again, under another join. Events come in any order, so what follows from them must not depend on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dmls.ids import EventId
from dmls.matrix.events import RoomEvent
from dmls.matrix.membership import RoomMembership

__all__ = ["NO_EVENT", "EventFacts", "auth_events_of", "facts_of", "is_before_departure", "is_spent", "with_event"]


@dataclass(frozen=True, slots=True)
class EventFacts:
    """What the homeserver says of one event. An own node has no event id before its event is sent."""

    event_id: EventId
    auth_events: tuple[EventId, ...] = ()
    before_departure: bool = False


NO_EVENT = EventFacts(EventId(""))
"""Facts of an own node whose event has not been sent yet."""


def facts_of(event: RoomEvent) -> EventFacts:
    """Return what an event's envelope says."""
    return EventFacts(event.event_id, event.auth_events, bool(event.before_departure))


def with_event(events: Iterable[EventFacts], facts: EventFacts) -> tuple[EventFacts, ...]:
    """Return the events with one more, or with what is now known of one, sorted by their ids."""
    others = (known for known in events if known.event_id not in (facts.event_id, NO_EVENT.event_id))
    return tuple(sorted((*others, facts), key=lambda known: known.event_id))


def is_spent(membership: RoomMembership, events: Iterable[EventFacts]) -> bool:
    """Tell whether every event was sent under a join that is spent."""
    return all(any(map(membership.is_spent, facts.auth_events)) for facts in events)


def is_before_departure(events: Iterable[EventFacts]) -> bool:
    """Tell whether some event came before the leave or ban that ended its author's membership."""
    return any(facts.before_departure for facts in events)


def auth_events_of(events: Iterable[EventFacts]) -> frozenset[EventId]:
    """Return what the events name as their authority."""
    return frozenset(name for facts in events for name in facts.auth_events)
