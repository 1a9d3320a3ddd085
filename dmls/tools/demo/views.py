"""What a homeserver knows of a room: the state it has resolved, and the events that it passes on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dmls.ids import EventId, RoomId, UserId
from dmls.matrix.events import MemberEvent, Membership, RoomEvent
from dmls.matrix.identifiers import server_of
from dmls.tools.demo.log import EventLine, OtherStateChange, RoomLog, ServerLog, StateChange
from dmls.v1 import room_pb2

__all__ = ["RoomView", "member_event", "plain_event"]

_MEMBERSHIPS = {
    Membership.INVITE: room_pb2.MEMBERSHIP_INVITE,
    Membership.JOIN: room_pb2.MEMBERSHIP_JOIN,
    Membership.KNOCK: room_pb2.MEMBERSHIP_KNOCK,
    Membership.LEAVE: room_pb2.MEMBERSHIP_LEAVE,
    Membership.BAN: room_pb2.MEMBERSHIP_BAN,
}
_VISIBILITIES = {
    "world_readable": room_pb2.HISTORY_VISIBILITY_WORLD_READABLE,
    "shared": room_pb2.HISTORY_VISIBILITY_SHARED,
    "invited": room_pb2.HISTORY_VISIBILITY_INVITED,
    "joined": room_pb2.HISTORY_VISIBILITY_JOINED,
}
_CREATE, _ENCRYPTION, _VISIBILITY = "m.room.create", "m.room.encryption", "m.room.history_visibility"


def member_event(event: MemberEvent) -> room_pb2.MemberEvent:
    """Return a member event as the service takes it."""
    return room_pb2.MemberEvent(
        event_id=event.event_id,
        user_id=event.user_id,
        sender=event.sender,
        membership=_MEMBERSHIPS[event.membership],
        auth_event_ids=event.auth_events,
    )


def plain_event(event: RoomEvent) -> room_pb2.RoomEvent:
    """Return an event as the service takes it."""
    told = room_pb2.RoomEvent(
        room_id=event.room_id,
        event_id=event.event_id,
        sender=event.sender,
        type=event.type,
        state_key=event.state_key,
        content=json.dumps(event.content).encode(),
        auth_event_ids=event.auth_events,
        soft_failed=event.soft_failed,
        before_departure=bool(event.before_departure),
    )
    told.origin_server_ts.FromMilliseconds(event.origin_server_ts_ms)
    return told


@dataclass
class RoomView:
    """One homeserver's view of one room, as the replay has brought it so far.

    `siblings` are the views of all homeservers of the room, by name.
    """

    room: RoomLog
    log: ServerLog
    siblings: Mapping[str, RoomView]
    members: dict[UserId, StateChange] = field(default_factory=dict)
    state: dict[tuple[str, str], EventId] = field(default_factory=dict)
    past: dict[EventId, MemberEvent] = field(default_factory=dict)
    timeline: dict[EventId, RoomEvent] = field(default_factory=dict)
    """The encrypted events that it passes on, in order."""
    stored_at: dict[EventId, int] = field(default_factory=dict)
    """When it stored the events of its timeline, in milliseconds of the recording."""
    messages: set[EventId] = field(default_factory=set)
    """Those of its timeline that are the recording's own messages."""

    @property
    def room_id(self) -> RoomId:
        """The room."""
        return self.room.room_id

    def membership(self, user: UserId) -> Membership | None:
        """Return a user's membership in the resolved state, None if there is none."""
        change = self.members.get(user)
        return None if change is None else change.membership

    def is_joined(self, user: UserId) -> bool:
        """Tell whether a user is joined."""
        return self.membership(user) is Membership.JOIN

    def joined(self) -> frozenset[UserId]:
        """Return the users who are joined."""
        return frozenset(user for user in self.members if self.is_joined(user))

    @property
    def has_own_user(self) -> bool:
        """Whether a user of this homeserver is joined, so that it follows the room."""
        return any(server_of(user) == self.log.server_name for user in self.joined())

    def note(self, line: EventLine, now: int) -> None:
        """Note that an event was stored."""
        if line.member_event is not None:
            self.past[line.event_id] = line.member_event
        if line.is_timeline:
            self.stored_at.setdefault(line.event_id, now)

    def apply(self, members: Iterable[StateChange], others: Iterable[OtherStateChange]) -> None:
        """Change the resolved state."""
        for change in members:
            self.members[change.user_id] = change
        for other in others:
            if other.event_id is None:
                self.state.pop((other.type, other.state_key), None)
            else:
                self.state[other.type, other.state_key] = other.event_id

    def auth_events(self, sender: UserId) -> tuple[EventId, ...]:
        """Return the auth events of an event that `sender` sends now, as far as they matter: the sender's member event."""
        change = self.members.get(sender)
        return () if change is None or change.event_id is None else (change.event_id,)

    def full_state(self) -> room_pb2.RoomState:
        """Return the whole resolved state."""
        create = self.room.events.get(self.state.get((_CREATE, ""), EventId("")))
        current = {change.event_id for change in self.members.values()}
        return room_pb2.RoomState(
            room_version=self.room.room_version,
            create_event_id="" if create is None else create.event_id,
            create_sender="" if create is None else create.event.sender,
            encryption=self._encryption(),
            history_visibility=self._visibility(),
            members=[told for change in self.members.values() if (told := self._told(change)) is not None],
            past_members=[member_event(event) for event in self.past.values() if event.event_id not in current],
        )

    def delta(self, members: Iterable[StateChange], others: Iterable[OtherStateChange]) -> room_pb2.RoomStateDelta:
        """Return changes that `apply` has made."""
        changes = [(change.user_id, self._told(change)) for change in members]
        delta = room_pb2.RoomStateDelta(
            members=[told for _, told in changes if told is not None],
            removed_user_ids=[user for user, told in changes if told is None],
        )
        types = {other.type for other in others}
        if _ENCRYPTION in types:
            delta.encryption = self._encryption()
        if _VISIBILITY in types:
            delta.history_visibility = self._visibility()
        return delta

    def seen(self, event: RoomEvent) -> room_pb2.RoomEvent:
        """Return an event of the timeline with what this homeserver says of its sender's departure."""
        told = plain_event(event)
        if self.is_joined(event.sender):
            return told
        change = self.members.get(event.sender)
        departure = None if change is None or change.event_id is None else self.room.events.get(change.event_id)
        if departure is not None:
            judge = next(view for view in self.siblings.values() if view.log.server_name == server_of(departure.event.sender))
            stored = judge.stored_at.get(event.event_id)
            told.before_departure = stored is not None and stored <= self.room.stored(departure.event_id)[judge.log.name]
        return told

    def _told(self, change: StateChange) -> room_pb2.MemberEvent | None:
        return None if change.event_id is None else member_event(self.room.member_events[change.event_id])

    def _content(self, event_type: str) -> Mapping[str, object] | None:
        line = self.room.events.get(self.state.get((event_type, ""), EventId("")))
        return None if line is None else line.event.content

    def _encryption(self) -> bytes:
        content = self._content(_ENCRYPTION)
        return b"" if content is None else json.dumps(content).encode()

    def _visibility(self) -> room_pb2.HistoryVisibility:
        content = self._content(_VISIBILITY)
        value = None if content is None else content.get("history_visibility")
        return _VISIBILITIES.get(str(value), room_pb2.HISTORY_VISIBILITY_UNSPECIFIED)
