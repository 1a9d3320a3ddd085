"""Room events as the homeserver hands them over: one of the timeline, and one of a user's membership.

The homeserver has authenticated them (signatures, hashes, auth rules) before they come here; nothing here repeats that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dmls.errors import InvalidArgumentError
from dmls.ids import EventId, RoomId, UserId
from dmls.matrix.identifiers import parse_event_id, parse_user_id

__all__ = [
    "ENCRYPTED",
    "MAX_AUTH_EVENTS",
    "MemberEvent",
    "Membership",
    "RoomEvent",
    "parse_member_event",
    "parse_membership",
]

ENCRYPTED = "m.room.encrypted"
"""Type of every event whose content is an event body (dmls.matrix.bodies)."""

MAX_AUTH_EVENTS = 10
"""Greatest number of auth events that an event may name (Matrix specification, Room Versions, event format)."""


class Membership(StrEnum):
    """What a member event says of its user."""

    INVITE = "invite"
    JOIN = "join"
    KNOCK = "knock"
    LEAVE = "leave"
    BAN = "ban"


_MEMBERSHIPS = frozenset(Membership)
_LAST_MS = 253_402_300_799_999
"""The last millisecond of the year 9999."""


@dataclass(frozen=True, slots=True)
class RoomEvent:
    """One event of a room's timeline.

    Attributes:
        sender: the user whose homeserver signed the event.
        state_key: None for an event that is not state.
        content: the parsed content (`parse_json_object`), shared and never changed.
        origin_server_ts_ms: what the sender's server wrote, in milliseconds since 1970; a claim, used for display only. One
            before 1970 or after the year 9999 is brought to that bound: what can be shown must not decide what counts.
        soft_failed: the homeserver's own judgement: allowed where the event stands, but not by the current state when it came.
        before_departure: whether the event is in the causal past of the leave or ban that ended its sender's membership; None
            when the sender's membership has not ended, or the homeserver cannot tell.
        auth_events: IDs of the events that it names as its authority; the sender's member event among them tells under which
            join it was sent.
    """

    event_id: EventId
    room_id: RoomId
    sender: UserId
    type: str
    state_key: str | None
    content: Mapping[str, Any]
    origin_server_ts_ms: int
    soft_failed: bool = False
    before_departure: bool | None = None
    auth_events: tuple[EventId, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "origin_server_ts_ms", min(max(self.origin_server_ts_ms, 0), _LAST_MS))


@dataclass(frozen=True, slots=True)
class MemberEvent:
    """One accepted `m.room.member` event: one that passed the auth rules at its place in the room's graph.

    Attributes:
        user_id: the user it is about (its state key), who need not be its sender.
        auth_events: IDs of the events that it names as its authority, sorted and each one once, whatever order they were given
            in, so that equal events are equal values.
    """

    event_id: EventId
    user_id: UserId
    sender: UserId
    membership: Membership
    auth_events: tuple[EventId, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "auth_events", tuple(sorted(set(self.auth_events))))


def parse_membership(value: object) -> Membership:
    """Checks the `membership` of a member event's content.

    Raises:
        InvalidArgumentError: `value` is none that Matrix knows.
    """
    if not isinstance(value, str) or value not in _MEMBERSHIPS:
        raise InvalidArgumentError("not a membership")
    return Membership(value)


def parse_member_event(
    event_id: object, user_id: object, sender: object, membership: object, auth_events: Iterable[object]
) -> MemberEvent:
    """Checks the fields of a member event that came from outside.

    Raises:
        InvalidArgumentError: an identifier is malformed, the membership is none of Matrix's, or more than MAX_AUTH_EVENTS.
    """
    ids = tuple(parse_event_id(value) for value in auth_events)
    if len(ids) > MAX_AUTH_EVENTS:
        raise InvalidArgumentError(f"more than {MAX_AUTH_EVENTS} auth events")
    return MemberEvent(parse_event_id(event_id), parse_user_id(user_id), parse_user_id(sender), parse_membership(membership), ids)
