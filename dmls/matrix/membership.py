"""Who is in the room: the homeserver's resolved membership, and the joins that are spent (docs/protocol.md, Section 6).

The homeserver's state resolution is the judge and is never run again here. Its verdict may go back to an old one, though: a user
who was removed can show up as joined under the very join that the removal ended. Such a join is *spent*. Whether it is follows
from the room's events alone, so agents that have seen the same events agree, whatever their homeservers told them in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from immutables import Map

from dmls.errors import CodecError, InvalidArgumentError
from dmls.ids import EventId, UserId
from dmls.matrix.encoding import encode_canonical_json, parse_json_object
from dmls.matrix.events import MemberEvent, Membership, parse_membership
from dmls.matrix.identifiers import parse_event_id, parse_user_id
from dmls.matrix.records import Field, Record, boolean, listed, optional, string

__all__ = ["RoomFacts", "RoomMembership"]

_MAX_RECORD = 1 << 30
_INVITED_READ = frozenset({"invited", "shared", "world_readable"})


@dataclass(frozen=True, slots=True)
class RoomFacts:
    """What matters of a room's state beside its members.

    Attributes:
        create_sender: sender of `m.room.create`; None as long as nothing is known of the room.
        room_version: as in `m.room.create`.
        history_visibility: of `m.room.history_visibility`; a room without one is `shared`.
        encryption_algorithm: of `m.room.encryption`; None for a room that is not encrypted.
        invite_members: this project's own room option: invited users get the keys before they join.
    """

    create_sender: UserId | None = None
    room_version: str | None = None
    history_visibility: str = "shared"
    encryption_algorithm: str | None = None
    invite_members: bool = False


@dataclass(frozen=True, slots=True)
class _Member:
    """One user.

    Attributes:
        current: the event in the resolved state.
        events: all accepted events, by ID.
        ended: the IDs that the auth chains of the removals among them hold, as far as these are known.
    """

    current: EventId | None = None
    events: Map[EventId, MemberEvent] = field(default_factory=Map)
    ended: Map[EventId, None] = field(default_factory=Map)

    def remember(self, event: MemberEvent) -> _Member:
        """Adds an event. `ended` stays the least set that holds the auth events of every removal and of every event in it."""
        events = self.events.set(event.event_id, event)
        if event.membership not in (Membership.LEAVE, Membership.BAN) and event.event_id not in self.ended:
            return replace(self, events=events)
        ended = self.ended.mutate()
        pending = [event]
        while pending:
            for event_id in pending.pop().auth_events:
                if event_id not in ended:
                    ended[event_id] = None
                    if event_id in events:
                        pending.append(events[event_id])
        return replace(self, events=events, ended=ended.finish())

    def departure(self) -> MemberEvent | None:
        ends = sorted((event for event in self.events.values() if self._ended_join(event)), key=lambda event: event.event_id)
        if self.current is None:
            joins = (event for event in self.events.values() if event.membership is Membership.JOIN)
            undone = {removal.event_id for join in joins for removal in self._removals_before(join)}
            return next((event for event in ends if event.event_id not in undone), None)
        current = self.events[self.current]
        if current.membership is Membership.JOIN:
            return next((event for event in ends if current.event_id in self._joins_before(event)), None)
        known = next((event for event in self._removals_before(current) if event in ends), None)
        return known or (current if current.membership in (Membership.LEAVE, Membership.BAN) else None)

    def _own_before(self, event: MemberEvent) -> Iterator[MemberEvent]:
        return (self.events[event_id] for event_id in event.auth_events if event_id in self.events)

    def _ended_join(self, event: MemberEvent) -> bool:
        is_removal = event.membership in (Membership.LEAVE, Membership.BAN)
        return is_removal and any(other.membership is Membership.JOIN for other in self._own_before(event))

    def _joins_before(self, removal: MemberEvent) -> set[EventId]:
        """Lists the join that a removal ended, with the changes of the profile that followed it."""
        found: set[EventId] = set()
        pending = [removal]
        while pending:
            for other in self._own_before(pending.pop()):
                if other.membership is Membership.JOIN and other.event_id not in found:
                    found.add(other.event_id)
                    pending.append(other)
        return found

    def _removals_before(self, event: MemberEvent) -> list[MemberEvent]:
        """Lists an event, and those that it came after until the user was last joined."""
        found = [event]
        for other in found:
            found += (each for each in self._own_before(other) if each.membership is not Membership.JOIN and each not in found)
        return found

    def has_spent(self, event_id: EventId) -> bool:
        event = self.events.get(event_id)
        return event is not None and event.membership is Membership.JOIN and event_id in self.ended


@dataclass(frozen=True)
class RoomMembership:
    """The membership of one room; every method that changes it gives a new value and leaves this one alone.

    Two values are equal when they hold the same events, the same resolved state and the same facts, however they came to it.
    """

    facts: RoomFacts = RoomFacts()
    _members: Map[UserId, _Member] = field(default_factory=Map)
    _users: Map[EventId, UserId] = field(default_factory=Map)

    def with_facts(self, facts: RoomFacts) -> RoomMembership:
        """Replaces the facts."""
        return replace(self, facts=facts)

    def with_state(self, members: Iterable[MemberEvent]) -> RoomMembership:
        """Replaces the resolved state by a full one; users who are not in it have no member event any more.

        Raises:
            InvalidArgumentError: two events for one user, or one that `remember` refuses.
        """
        changes: dict[UserId, MemberEvent | None] = {
            user: None for user, member in self._members.items() if member.current is not None
        }
        seen: set[UserId] = set()
        for event in members:
            if event.user_id in seen:
                raise InvalidArgumentError("two member events of one user in one state")
            seen.add(event.user_id)
            changes[event.user_id] = event
        return self.with_changes(changes)

    def with_changes(self, changes: Mapping[UserId, MemberEvent | None]) -> RoomMembership:
        """Applies changes of the resolved state: a user's new member event, or None for a user who has none any more.

        Raises:
            InvalidArgumentError: an event of another user than it stands for, or one that `remember` refuses.
        """
        events = [event for event in changes.values() if event is not None]
        if any(event is not None and event.user_id != user for user, event in changes.items()):
            raise InvalidArgumentError("a member event of another user")
        known = self.remember(events)
        members = known._members.mutate()
        for user, event in changes.items():
            current = None if event is None else event.event_id
            if user in members and members[user].current != current:
                members[user] = replace(members[user], current=current)
        return replace(known, _members=members.finish())

    def remember(self, events: Iterable[MemberEvent]) -> RoomMembership:
        """Adds accepted member events that are not, or need not be, in the resolved state.

        Soft-failed events count as accepted: servers soft-fail different events, and all must agree on what is spent. Every spent
        join is found when the user's own member events between it and the removal are known too, in whatever order they came.

        Raises:
            InvalidArgumentError: an event ID is known already with other contents.
        """
        members, users = self._members.mutate(), self._users.mutate()
        for event in events:
            member = members.get(event.user_id, _Member())
            if users.get(event.event_id, event.user_id) != event.user_id or member.events.get(event.event_id, event) != event:
                raise InvalidArgumentError("two member events with one event ID")
            if event.event_id not in users:
                users[event.event_id] = event.user_id
                members[event.user_id] = member.remember(event)
        return replace(self, _members=members.finish(), _users=users.finish())

    def joined(self) -> frozenset[UserId]:
        """J: users who are joined in the resolved state under a join that is not spent."""
        return self._joined

    def needs_readmission(self) -> frozenset[UserId]:
        """Users who are joined in the resolved state under a spent join; any member event that is not spent readmits them."""
        return self._spent

    def invited(self) -> frozenset[UserId]:
        """I: invited users, if the room's history visibility lets them read and the room's option says so; else nobody."""
        if self.facts.invite_members and self.facts.history_visibility in _INVITED_READ:
            return self._current[Membership.INVITE]
        return frozenset()

    def member_event(self, user: UserId) -> MemberEvent | None:
        """Gives the member event of a user in the resolved state."""
        member = self._members.get(user)
        return None if member is None or member.current is None else member.events[member.current]

    def join_event(self, user: UserId) -> MemberEvent | None:
        """Gives the join under which a user is joined in the resolved state, spent or not."""
        event = self.member_event(user)
        return event if event is not None and event.membership is Membership.JOIN else None

    def is_joined_in(self, user: UserId, auth_events: Iterable[EventId]) -> bool:
        """Tells whether a user was joined by the auth events of an event of theirs.

        Not so only if the user's member events among them are known and none is a join. That a join was spent says nothing: a
        removal beside the event is not in its auth events.
        """
        member = self._members.get(user)
        cited = () if member is None else tuple(member.events[event_id] for event_id in auth_events if event_id in member.events)
        return not cited or any(event.membership is Membership.JOIN for event in cited)

    def departure(self, user: UserId) -> MemberEvent | None:
        """Gives the leave or ban that ended the last join of a user who is not joined any more.

        That is the removal which names the join, not one that came after it, such as a ban of who had left; of several, the one
        that the resolved state rests on, else that with the smallest ID. It is the same whether the timeline or the resolved
        state came first. Where the join is not known, it is the removal in the resolved state; else None.
        """
        member = self._members.get(user)
        return None if member is None else member.departure()

    def is_spent(self, event_id: EventId) -> bool:
        """Tells whether this is a join that an accepted leave or ban of its user has in its auth chain."""
        user = self._users.get(event_id)
        return user is not None and self._members[user].has_spent(event_id)

    def spent_joins(self, users: Iterable[UserId] | None = None) -> frozenset[EventId]:
        """Lists every spent join of the room, or of some users."""
        members = self._members.values() if users is None else (self._members[user] for user in users if user in self._members)
        return frozenset(event_id for member in members for event_id in member.events if member.has_spent(event_id))

    def users(self) -> frozenset[UserId]:
        """Lists every user of whom a member event is known, current or not."""
        return frozenset(self._members)

    def past_events(self) -> tuple[MemberEvent, ...]:
        """Lists the known member events that are not in the resolved state, by user and event ID."""
        return tuple(
            member.events[event_id]
            for _, member in sorted(self._members.items())
            for event_id in sorted(member.events)
            if event_id != member.current
        )

    def changed_users(self, older: RoomMembership) -> frozenset[UserId]:
        """Lists the users whose stored record differs between `older` and this value."""
        before = older._members
        others = ((user, member, before.get(user)) for user, member in self._members.items())
        return frozenset(user for user, member, known in others if member is not known and member != known)

    def encode_facts(self) -> bytes:
        """Writes the facts as a record for the store."""
        return encode_canonical_json(_FACTS.write(self.facts))

    def encode_member(self, user: UserId) -> bytes:
        """Writes all that is known of one user as a record for the store; a few hundred bytes per member event.

        Raises:
            InvalidArgumentError: nothing is known of the user.
        """
        member = self._members.get(user)
        if member is None:
            raise InvalidArgumentError("no member event of this user is known")
        events = tuple(member.events[event_id] for event_id in sorted(member.events))
        return encode_canonical_json(_MEMBER.write(_StoredMember(user, events, member.current)))

    @classmethod
    def load(cls, facts: bytes, members: Iterable[bytes]) -> RoomMembership:
        """Builds the value from its records: what `encode_facts` wrote, and what `encode_member` wrote for each user.

        Raises:
            CodecError: a record was not written by these.
        """
        membership = cls(_FACTS.read(parse_json_object(facts)))
        current: dict[UserId, MemberEvent | None] = {}
        events: list[MemberEvent] = []
        for data in members:
            stored = _MEMBER.read(parse_json_object(data, limit=_MAX_RECORD))
            own = {event.event_id: event for event in stored.events}
            if stored.user_id in current or any(event.user_id != stored.user_id for event in stored.events):
                raise CodecError("member records do not fit together")
            if stored.current is not None and stored.current not in own:
                raise CodecError("a member record without its current event")
            current[stored.user_id] = None if stored.current is None else own[stored.current]
            events.extend(stored.events)
        try:
            return membership.remember(events).with_changes(current)
        except InvalidArgumentError as error:
            raise CodecError(error.message) from None

    @cached_property
    def _current(self) -> dict[Membership, frozenset[UserId]]:
        users: dict[Membership, set[UserId]] = {membership: set() for membership in Membership}
        for user, member in self._members.items():
            if member.current is not None:
                users[member.events[member.current].membership].add(user)
        return {membership: frozenset(names) for membership, names in users.items()}

    @cached_property
    def _spent(self) -> frozenset[UserId]:
        joined = ((user, self._members[user]) for user in self._current[Membership.JOIN])
        return frozenset(user for user, member in joined if member.current in member.ended)

    @cached_property
    def _joined(self) -> frozenset[UserId]:
        return self._current[Membership.JOIN] - self._spent


@dataclass(frozen=True, slots=True)
class _StoredMember:
    user_id: UserId
    events: tuple[MemberEvent, ...]
    current: EventId | None = None


_USER = Field(parse_user_id)
_EVENT = Field(parse_event_id)
_TEXT = string(r"[^\0]{0,255}")
_FACTS = Record(
    RoomFacts,
    {
        "create_sender": optional(_USER),
        "room_version": optional(_TEXT),
        "history_visibility": _TEXT,
        "encryption_algorithm": optional(_TEXT),
        "invite_members": boolean(),
    },
)
_MEMBER_EVENT = Record(
    MemberEvent,
    {
        "event_id": _EVENT,
        "user_id": _USER,
        "sender": _USER,
        "membership": Field(parse_membership),
        "auth_events": listed(_EVENT),
    },
)
_MEMBER = Record(
    _StoredMember,
    {"user_id": _USER, "events": listed(_MEMBER_EVENT.field), "current": optional(_EVENT)},
)
