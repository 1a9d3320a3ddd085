"""A recorded room: what each of several federating homeservers stored, line by line, and when (examples/room-logs/README.md).

`LogFolder.steps` puts the lines of all homeservers, and the logins and logouts, into the one order in which they happened;
dmls.tools.demo.log_reader reads a folder.

What counts as *timeline* is what a homeserver passes on as it happens: not the state and history that it fetched (outliers, lines
with a negative stream number), and an invite that reached it out of the room's graph only once it got its place in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dmls.ids import DeviceId, EventId, RoomId, ServerName, UserId
from dmls.matrix.events import MemberEvent, Membership, RoomEvent, parse_member_event
from dmls.matrix.identifiers import server_of

__all__ = [
    "DeOutlierLine",
    "DeviceAction",
    "EventLine",
    "Line",
    "LogFolder",
    "Note",
    "OtherStateChange",
    "PartitionLine",
    "RoomLog",
    "ServerLog",
    "StateChange",
    "StateOnlyLine",
    "Step",
    "StoredEvent",
]


@dataclass(frozen=True, slots=True)
class StateChange:
    """One change of a homeserver's resolved membership; both None where the user has no member event any more."""

    user_id: UserId
    membership: Membership | None = None
    event_id: EventId | None = None


@dataclass(frozen=True, slots=True)
class OtherStateChange:
    """One change of other resolved state; `event_id` is None where it is gone."""

    type: str
    state_key: str
    event_id: EventId | None = None


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """The federation-format event, as far as it matters here."""

    type: str
    sender: UserId
    content: Mapping[str, Any]
    auth_events: tuple[EventId, ...]
    prev_events: tuple[EventId, ...]
    origin_server_ts: int
    depth: int
    state_key: str | None = None


@dataclass(frozen=True, slots=True)
class EventLine:
    """An event that a homeserver stored; `received_ts` says when, in milliseconds since 1970."""

    stream: int
    event_id: EventId
    room_id: RoomId
    outlier: bool
    soft_failed: bool
    rejected: bool
    received_ts: int
    state_change: tuple[StateChange, ...]
    event: StoredEvent
    device_id: DeviceId | None = None
    was_outlier: bool = False
    out_of_band_membership: bool = False
    state_change_other: tuple[OtherStateChange, ...] = ()

    @property
    def is_timeline(self) -> bool:
        """Whether the homeserver took it as something that just happened in the room."""
        return self.stream > 0 and not (self.outlier or self.was_outlier or self.rejected)

    @property
    def member_event(self) -> MemberEvent | None:
        """The fields of a member event; None for any other."""
        if self.event.type != "m.room.member" or self.event.state_key is None:
            return None
        membership = self.event.content.get("membership")
        return parse_member_event(self.event_id, self.event.state_key, self.event.sender, membership, self.event.auth_events)

    def room_event(self, content: Mapping[str, Any] | None = None, before_departure: bool | None = None) -> RoomEvent:
        """Gives the event as a homeserver passes it on, with other content (a ciphertext) if `content` is given."""
        return RoomEvent(
            self.event_id,
            self.room_id,
            self.event.sender,
            self.event.type,
            self.event.state_key,
            self.event.content if content is None else content,
            self.event.origin_server_ts,
            self.soft_failed,
            before_departure,
        )


@dataclass(frozen=True, slots=True)
class DeOutlierLine:
    """An event stored earlier as outlier got its place in the room's graph."""

    stream: int
    event_id: EventId
    room_id: RoomId
    state_change: tuple[StateChange, ...]


@dataclass(frozen=True, slots=True)
class StateOnlyLine:
    """The resolved state changed without an event: a homeserver that had joined got the rest of the member list."""

    stream: int
    room_id: RoomId
    state_change: tuple[StateChange, ...]


@dataclass(frozen=True, slots=True)
class PartitionLine:
    """The link was cut (`partition_start`) or joined again (`partition_heal`); `blocked` has directions like `hs1->hs2`."""

    marker: str
    episode: int
    blocked: tuple[str, ...]
    after_stream: int
    ts: int


Line = EventLine | DeOutlierLine | StateOnlyLine | PartitionLine


@dataclass(frozen=True, slots=True)
class DeviceAction:
    """A login or a logout; `after_stream` is each homeserver's highest stream number at that moment."""

    seq: int
    user_id: UserId
    action: str
    device_id: DeviceId
    ts: int
    after_stream: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Note:
    """What the script of the recording did at a moment."""

    ts: int
    note: str


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened at one homeserver at `ts`, in milliseconds since 1970.

    Lines without a time of their own have that of the line before them.
    """

    ts: int
    server: str
    what: Line | DeviceAction


@dataclass(frozen=True)
class ServerLog:
    """One homeserver's view of one room.

    Attributes:
        name: its short name in the log, like `hs1`.
        server_name: its server name in Matrix.
        lines: in the order of its file.
        final_members: the membership that it told at the end, by user.
    """

    name: str
    server_name: ServerName
    lines: tuple[Line, ...]
    final_members: Mapping[UserId, StateChange]

    @cached_property
    def events(self) -> Mapping[EventId, EventLine]:
        """Every event that it stored."""
        return {line.event_id: line for line in self.lines if isinstance(line, EventLine)}

    def final_joined(self) -> frozenset[UserId]:
        """Lists the users who are joined at the end."""
        return frozenset(user for user, change in self.final_members.items() if change.membership is Membership.JOIN)

    def timed_lines(self) -> Iterator[tuple[int, Line]]:
        """Gives each line with its time; a marker without one has that of the line before it.

        A `de_outlier` line with a negative stream number comes from scrolling back, at a time that the log does not tell: it has
        the time of its event, and comes last.
        """
        now = 0
        scrolled: list[DeOutlierLine] = []
        for line in self.lines:
            if isinstance(line, EventLine) and line.stream < 0:
                yield line.received_ts, line
            elif isinstance(line, DeOutlierLine) and line.stream < 0:
                scrolled.append(line)
            else:
                if isinstance(line, EventLine):
                    now = max(now, line.received_ts)
                elif isinstance(line, PartitionLine):
                    now = max(now, line.ts)
                yield now, line
        for line in scrolled:
            yield self.events[line.event_id].received_ts, line


@dataclass(frozen=True)
class RoomLog:
    """One room, as every homeserver of the folder saw it; `servers` is by short name."""

    room_id: RoomId
    room_version: str
    servers: Mapping[str, ServerLog]

    @cached_property
    def events(self) -> Mapping[EventId, EventLine]:
        """Every event of the room, as the first homeserver that stored it did."""
        lines = [line for log in self.servers.values() for line in log.events.values()]
        return {line.event_id: line for line in sorted(lines, key=lambda line: line.received_ts, reverse=True)}

    @cached_property
    def member_events(self) -> Mapping[EventId, MemberEvent]:
        """Every member event of the room."""
        events = ((event_id, line.member_event) for event_id, line in self.events.items())
        return {event_id: event for event_id, event in events if event is not None}

    def stored(self, event_id: EventId) -> Mapping[str, int]:
        """Tells when each homeserver stored an event, in milliseconds since 1970; one that never did is left out."""
        return {name: log.events[event_id].received_ts for name, log in self.servers.items() if event_id in log.events}

    def causal_past(self, event_id: EventId) -> frozenset[EventId]:
        """Lists the events before an event in the room's graph."""
        past: set[EventId] = set()
        pending = [event_id]
        while pending:
            line = self.events.get(pending.pop())
            for previous in () if line is None else line.event.prev_events:
                if previous not in past:
                    past.add(previous)
                    pending.append(previous)
        return frozenset(past)

    def arrival(self, source: str, target: str, sent_ts: int) -> int | None:
        """Tells when what `source` sends at `sent_ts` can be at `target`, going by what the recorded link carried.

        Returns:
            The earliest time at which `target` stored an event of `source`'s users that `source` stored at `sent_ts` or later;
            None if the recording has no such event.
        """
        sender, receiver = self.servers[source], self.servers[target]
        return min(
            (
                receiver.events[line.event_id].received_ts
                for line in sender.events.values()
                if server_of(line.event.sender) == sender.server_name
                and line.received_ts >= sent_ts
                and line.event_id in receiver.events
                and receiver.events[line.event_id].is_timeline
            ),
            default=None,
        )


@dataclass(frozen=True)
class LogFolder:
    """A whole folder: `rooms` in the order of members-final.json, `devices` in the order of the logins and logouts."""

    scenario: str
    rooms: tuple[RoomLog, ...]
    devices: tuple[DeviceAction, ...]
    final_devices: Mapping[UserId, frozenset[DeviceId]]
    notes: tuple[Note, ...]

    def steps(self) -> tuple[Step, ...]:
        """Merges all lines of all homeservers, and the logins and logouts, by time; at equal times a homeserver's order stays."""
        names = {log.server_name: name for room in self.rooms for name, log in room.servers.items()}
        steps = [Step(action.ts, names[server_of(action.user_id)], action) for action in self.devices]
        for room in self.rooms:
            for name, log in room.servers.items():
                steps.extend(Step(ts, name, line) for ts, line in log.timed_lines())
        return tuple(sorted(steps, key=lambda step: step.ts))
