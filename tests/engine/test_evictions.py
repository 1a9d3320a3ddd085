"""Devices that do not renew their keys any more are removed, and come back when they show that they live."""

from __future__ import annotations

from dmls.forks.graph import Node
from dmls.ids import DeviceId, ServerName, UserId
from dmls.simulation.driver import Driver
from tests.support.small_rooms import DAY_MS, MINUTE_MS, SmallRoom


def evicting(room: SmallRoom) -> list[Node]:
    graph = room.state("s1").graph
    return [node for node in map(graph.node, graph) if node.evicts]


def client(room: SmallRoom, user: str) -> Driver:
    return room.owner(UserId(f"@{user}"), DeviceId("D"))


def members(room: SmallRoom, server: str = "s1") -> set[str]:
    state = room.state(server)
    assert state.head is not None
    return {device.user_id for device in state.graph.leaf_origins(state.head)}


def test_a_device_that_is_never_heard_of_again_is_removed_once_and_stays_out(seed: int) -> None:
    room = SmallRoom("a:s1", "b:s2", "C:s2", seed=seed)
    client(room, "C:s2").end()
    room.rest(29 * DAY_MS)
    assert evicting(room) == []
    assert "@C:s2" in members(room)
    room.rest(3 * DAY_MS)
    [node] = evicting(room)
    assert node.removes == (room.device("C:s2"),)
    assert not node.logout
    assert members(room) == members(room, "s2") == {"@a:s1", "@b:s2"}
    assert room.say("a:s1").event_id is not None
    room.rest(10 * DAY_MS)
    assert len(evicting(room)) == 1
    assert members(room) == {"@a:s1", "@b:s2"}


def test_who_was_removed_as_stale_joins_by_itself_when_it_comes_back(seed: int) -> None:
    room = SmallRoom("a:s1", "b:s2", "C:s2", seed=seed)
    driver = client(room, "C:s2")
    driver.end()
    room.rest(33 * DAY_MS)
    assert members(room) == {"@a:s1", "@b:s2"}
    driver.restart()
    room.rest(5 * MINUTE_MS)
    assert room.members() == {"@a:s1", "@b:s2", "@C:s2"}
    origin = room.state("s1").graph.leaf_origin(room.heads().commit_ref, room.device("C:s2"))
    assert origin is not None
    assert room.state("s1").graph.node(origin).is_external
    message = room.say("C:s2")
    assert message.event_id is not None
    room.rest(8 * DAY_MS)
    assert len(evicting(room)) == 1
    assert room.members() == {"@a:s1", "@b:s2", "@C:s2"}


def test_a_service_that_has_slept_removes_nobody_before_it_knows_what_has_happened(seed: int) -> None:
    room = SmallRoom("a:s1", "b:s2", seed=seed)
    driver = room.services[ServerName("s2")]
    driver.end()
    room.rest(35 * DAY_MS)
    assert members(room) == {"@a:s1"}
    missed = list(driver.inbox)
    driver.inbox.clear()
    driver.restart()
    room.rest(60 * MINUTE_MS)
    for happened in missed:
        driver.tell(happened)
    room.rest(10 * MINUTE_MS)
    assert room.members() == {"@a:s1", "@b:s2"}
    room.rest(3 * DAY_MS)
    assert all(node.author.server == "s1" for node in evicting(room))
    assert room.members() == {"@a:s1", "@b:s2"}


def test_those_who_live_stay_however_quiet_the_room_is(seed: int) -> None:
    room = SmallRoom("a:s1", "b:s2", "C:s2", seed=seed)
    room.rest(65 * DAY_MS)
    assert evicting(room) == []
    assert room.members() == {"@a:s1", "@b:s2", "@C:s2"}


def test_all_stale_leaves_go_with_one_commit(seed: int) -> None:
    room = SmallRoom("a:s1", "b:s2", "C:s2", "D:s1", "E:s1", seed=seed)
    for user in ("C:s2", "D:s1", "E:s1"):
        client(room, user).end()
    room.rest(33 * DAY_MS)
    assert members(room) == {"@a:s1", "@b:s2"}
    assert len(evicting(room)) <= 2
