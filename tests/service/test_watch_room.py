"""What those who watch rooms are told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dmls.v1 import room_pb2
from tests.service.loopback import run
from tests.service.recording import small_room
from tests.service.scene import ROOM, Home, World, refused, running
from tests.service.watching import Watch

ALICE, DAN = "@alice:hs1", "@dan:hs2"


@asynccontextmanager
async def watching(home: Home, *room_ids: str, cursor: str = "") -> AsyncIterator[Watch]:
    stream = home.rooms.WatchRoom(room_pb2.WatchRoomRequest(room_ids=room_ids, cursor=cursor))
    yield Watch(stream)
    stream.cancel()


async def until(watch: Watch, is_it: Callable[[room_pb2.RoomChange], bool]) -> list[room_pb2.RoomChange]:
    """Return the changes up to and with the first that is it."""
    seen: list[room_pb2.RoomChange] = []
    while not seen or not is_it(seen[-1]):
        frame = await watch.frame()
        assert frame.WhichOneof("frame") == "change"
        seen.append(frame.change)
    return seen


def kinds(changes: list[room_pb2.RoomChange]) -> list[str | None]:
    return [change.WhichOneof("change") for change in changes]


def test_a_new_device_is_told_as_a_node_and_then_as_a_head(tmp_path: Path) -> None:
    async def main() -> None:
        async with small_room(tmp_path) as world:
            hs1 = world.homes["hs1"]
            old = (await hs1.room()).room.head.pointer
            async with watching(hs1) as watch:
                assert await watch.present() == []
                await hs1.register(ALICE, "D2")
                changes = await until(watch, lambda change: change.HasField("head"))
            assert {change.room_id for change in changes} == {ROOM}
            assert kinds(changes) == ["node", "head"]
            node, head = changes[0].node, changes[1].head
            assert [(ref.user_id, ref.device_id) for ref in node.added] == [(ALICE, "D2")]
            assert (head.old_head, head.new_head, head.depth) == (old, node.pointer, 0)
            assert ([ref.device_id for ref in head.added], list(head.removed)) == (["D2"], [])

    run(main())


def test_a_head_that_goes_back_tells_how_much_was_left(tmp_path: Path) -> None:
    async def main() -> None:
        async with small_room(tmp_path) as world:
            hs1 = world.homes["hs1"]
            old = (await hs1.room()).room.head.pointer
            async with watching(hs1) as watch:
                await watch.present()
                # The node by which dan came in is dan's own, and counts no more.
                await world.set_membership(DAN, "leave")
                changes = await until(watch, lambda change: change.HasField("head"))
            head = changes[-1].head
            assert (head.old_head, head.depth) == (old, 1)
            assert [ref.user_id for ref in head.removed] == [DAN]

    run(main())


def test_whether_one_can_send_is_told_when_it_changes(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            await World({"hs1": home}).join(ALICE)
            async with watching(home, ROOM) as watch:
                assert await watch.present() == []
                await home.register(ALICE)
                changes = await until(watch, lambda change: change.HasField("send_state"))
            assert changes[-1].send_state.state == room_pb2.SEND_STATE_OPEN
            assert "head" in kinds(changes)

    run(main())


def test_a_fork_is_told_on_the_side_that_won_and_a_switch_on_the_other(tmp_path: Path) -> None:
    async def main() -> None:
        async with small_room(tmp_path) as world:
            hs1, hs2 = world.homes.values()
            async with watching(hs1) as one, watching(hs2) as two:
                assert await one.present() == await two.present() == []
                # Both add a device before they hear of each other; then the side that lost commits on the other's node.
                await hs1.register(ALICE, "D2")
                await hs2.register(DAN, "D2")
                await world.settle()
                head = (await hs1.room()).room.head.pointer
                assert (await hs2.room()).room.head.pointer == head
                told = [await until(watch, lambda change: change.head.new_head == head) for watch in (one, two)]
                (winner,) = [number for number, changes in enumerate(told) if "notice" in kinds(changes)]
                notices = [change.notice.kind for change in told[winner] if change.HasField("notice")]
                rest = await until((one, two)[winner], lambda change: change.HasField("notice"))
                resolved = rest[-1].notice.kind
            assert notices == [room_pb2.NOTICE_KIND_FORKED]
            assert resolved == room_pb2.NOTICE_KIND_FORK_RESOLVED
            depths = [[change.head.depth for change in changes if change.HasField("head")] for changes in told]
            assert sorted(depths) == [[0, 0], [0, 1]]

    run(main())


def test_an_event_that_waited_is_told_when_it_is_read(tmp_path: Path) -> None:
    async def main() -> None:
        async with small_room(tmp_path) as world:
            genesis, commit, _ = list(world.timeline.values())
            async with running(tmp_path / "late", "hs3") as late:
                late.members = world.homes["hs1"].members
                await late.tell_state()
                await late.rooms.UpdateDeviceLists(
                    room_pb2.UpdateDeviceListsRequest(lists=[await world.device_list(user) for user in (ALICE, DAN)])
                )
                async with watching(late, ROOM) as watch, watching(late, "!other:hs1") as other:
                    assert await watch.present() == await other.present() == []
                    parked = await late.ingest(commit)
                    assert parked[0].outcome == room_pb2.INGEST_OUTCOME_PARKED
                    await late.ingest(genesis)
                    changes = await until(watch, lambda change: change.HasField("unparked"))
                    assert changes[-1].unparked.event_id == commit.event_id
                    assert changes[-1].unparked.result.outcome == room_pb2.INGEST_OUTCOME_PROCESSED
                    nodes = [change.node for change in changes if change.HasField("node")]
                    assert [node.genesis for node in nodes] == [True, False]

    run(main())


def test_the_stream_goes_on_from_its_cursor_after_a_restart(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            await home.register(ALICE)
            async with watching(home) as watch:
                await watch.present()
                await World({"hs1": home}).join(ALICE)
                first = await until(watch, lambda change: change.HasField("head"))
            cursor = watch.cursor
            members, version = home.members, home.version
            await World({"hs1": home}).join(ALICE, room_id="!second:hs1")
        async with running(tmp_path) as home:
            home.members, home.version = members, version
            async with watching(home, cursor=cursor) as watch:
                told = [frame.change for frame in await watch.present()]
            assert {change.room_id for change in told if change.HasField("node")} == {"!second:hs1"}
            assert first[-1].room_id == ROOM
            async with watching(home) as watch:
                assert await watch.present() == []

    run(main())


@pytest.mark.parametrize("cursor", ["x", "1:x"])
def test_a_cursor_of_something_else_is_refused(tmp_path: Path, cursor: str) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            async with watching(home, cursor=cursor) as watch, refused() as told:
                await watch.frame()
            assert told[0].violations == (("cursor", "not a cursor of this stream"),)

    run(main())
