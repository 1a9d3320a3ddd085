"""The membership of the recorded rooms: two real homeservers, partitions, state resolution that takes changes back."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from dmls.ids import EventId, UserId
from dmls.matrix.events import Membership
from dmls.matrix.identifiers import group_id, parse_room_id
from dmls.matrix.membership import RoomMembership
from dmls.tools.demo.log import EventLine, PartitionLine, RoomLog, ServerLog, StateChange
from dmls.tools.demo.log_reader import read_log_folder
from tests.support.room_logs import ROOM_LOGS

ROOMS = [(room, folder) for folder in ROOM_LOGS for room in read_log_folder(folder).rooms]
EVERY = pytest.mark.parametrize(
    "room", [room for room, _ in ROOMS], ids=[f"{folder.name}-{room.room_id}" for room, folder in ROOMS]
)


NOBODY = StateChange(UserId("@nobody:hs"))


def apply(membership: RoomMembership, room: RoomLog, changes: tuple[StateChange, ...]) -> RoomMembership:
    return membership.with_changes(
        {change.user_id: None if change.event_id is None else room.member_events[change.event_id] for change in changes}
    )


def replay(room: RoomLog, server: ServerLog) -> RoomMembership:
    """Every member event is remembered when it is stored, and every change of the resolved state is applied, in file order."""
    membership = RoomMembership()
    for line in server.lines:
        if isinstance(line, EventLine) and line.member_event is not None:
            membership = membership.remember([line.member_event])
        if not isinstance(line, PartitionLine):
            membership = apply(membership, room, line.state_change)
    return membership


@EVERY
def test_replay_ends_in_the_final_members(room: RoomLog) -> None:
    for server in room.servers.values():
        membership = replay(room, server)
        told = {user: member.event_id for user, member in server.final_members.items()}
        found = {user: membership.member_event(user) for user in membership.users()}
        assert {user: event.event_id for user, event in found.items() if event is not None} == told
        joined = {user for user, member in server.final_members.items() if member.membership is Membership.JOIN}
        assert membership.joined() | membership.needs_readmission() == joined


@EVERY
def test_both_servers_end_with_equal_membership(room: RoomLog) -> None:
    first, second = (replay(room, server) for server in room.servers.values())
    assert first == second
    assert first.spent_joins() == second.spent_joins()


@EVERY
def test_order_of_arrival_does_not_matter(room: RoomLog, rng: random.Random) -> None:
    server = next(iter(room.servers.values()))
    events = list(room.member_events.values()) * 2
    rng.shuffle(events)
    final = [
        event
        for event in room.member_events.values()
        if server.final_members.get(event.user_id, NOBODY).event_id == event.event_id
    ]
    assert RoomMembership().remember(events).with_state(final) == replay(room, server)


@EVERY
def test_state_before_a_restart_is_read_back(room: RoomLog) -> None:
    membership = replay(room, next(iter(room.servers.values())))
    records = [membership.encode_member(user) for user in membership.users()]
    assert RoomMembership.load(membership.encode_facts(), records) == membership


@EVERY
def test_join_is_spent_exactly_when_its_user_left_after_it(room: RoomLog) -> None:
    """Here the causal past in the room's graph decides, which tells more than auth chains; each join is compared by it.

    A removal that comes after a join in the graph spends it, unless the join was not part of the state there: a soft-failed one.
    """
    membership = replay(room, next(iter(room.servers.values())))
    events = room.member_events
    for event_id, event in events.items():
        if event.membership is not Membership.JOIN:
            continue
        removals = [
            other.event_id
            for other in events.values()
            if other.user_id == event.user_id
            and other.membership in (Membership.LEAVE, Membership.BAN)
            and event_id in room.causal_past(other.event_id)
        ]
        if membership.is_spent(event_id):
            assert removals
        elif removals:
            assert any(line.soft_failed for line in (server.events[event_id] for server in room.servers.values()))


@EVERY
def test_room_ids_are_group_ids(room: RoomLog) -> None:
    assert group_id(parse_room_id(room.room_id)) == room.room_id.encode()


def folder(name: str) -> Path:
    [found] = [path for path in ROOM_LOGS if path.name == name]
    return found


@pytest.mark.parametrize("name", ["S1-figure1-v10", "S1-figure1-v12"])
def test_figure_1_leave_kick_ban_and_return(name: str) -> None:
    [room] = read_log_folder(folder(name)).rooms
    membership = replay(room, room.servers["hs1"])
    spent = {room.member_events[event_id].user_id.split(":")[0] for event_id in membership.spent_joins()}
    assert spent == {"@bob", "@carol", "@dan"}
    assert {user.split(":")[0] for user in membership.joined()} == {"@alice", "@dan", "@erin"}
    dan = membership.join_event(UserId("@dan:127.0.0.1:18442"))
    assert dan is not None
    assert not membership.is_spent(dan.event_id)
    first = [
        event for event in room.member_events.values() if event.user_id == dan.user_id and event.membership is Membership.JOIN
    ]
    assert len(first) == 2
    assert membership.needs_readmission() == frozenset()


def changed_back(room: RoomLog) -> set[EventId]:
    """Joins that were current, then ended, then current again, on some server."""
    found: set[EventId] = set()
    for server in room.servers.values():
        ended: set[EventId] = set()
        current: dict[UserId, EventId | None] = {}
        for line in server.lines:
            for change in () if isinstance(line, PartitionLine) else line.state_change:
                before = current.get(change.user_id)
                if before is not None and change.membership in (Membership.LEAVE, Membership.BAN):
                    ended.add(before)
                if change.event_id in ended:
                    found.add(change.event_id)
                current[change.user_id] = change.event_id
    return found


@EVERY
def test_join_that_came_back_after_a_removal_needs_readmission(room: RoomLog) -> None:
    membership = replay(room, next(iter(room.servers.values())))
    back = {event_id for event_id in changed_back(room) if room.member_events[event_id].membership is Membership.JOIN}
    assert all(membership.is_spent(event_id) for event_id in back)
    for event_id in back:
        user = room.member_events[event_id].user_id
        current = membership.join_event(user)
        assert (user in membership.needs_readmission()) == (current is not None and current.event_id == event_id)
