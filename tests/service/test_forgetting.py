"""A room that is forgotten, and told of again."""

from __future__ import annotations

from pathlib import Path

from dmls.v1 import encryption_pb2, room_pb2
from tests.service.loopback import run
from tests.service.recording import small_room
from tests.service.scene import ROOM, Home, refused, running

ALICE, DAN = "@alice:hs1", "@dan:hs2"
IGNORED = room_pb2.INGEST_OUTCOME_IGNORED


async def forget(home: Home, request_id: str = "") -> bool:
    request = room_pb2.ForgetRoomRequest(room_id=ROOM, request_id=request_id)
    return (await home.rooms.ForgetRoom(request)).forgotten  # type: ignore[no-any-return]


async def assert_unknown(home: Home) -> None:
    async with refused() as told:
        await home.room()
    assert (told[0].code, told[0].resource) == ("NOT_FOUND", ("room", ROOM))


def test_nothing_is_left_and_what_comes_is_ignored(tmp_path: Path) -> None:
    async def main() -> None:
        async with small_room(tmp_path) as world:
            hs1 = world.homes["hs1"]
            assert await forget(hs1, "r1")
            assert await forget(hs1, "r1")
            assert not await forget(hs1)
            await assert_unknown(hs1)
            assert not (await hs1.rooms.ListRooms(room_pb2.ListRoomsRequest())).rooms
            assert not await hs1.pending()
            events = list(world.timeline.values())
            assert [result.outcome for result in await hs1.ingest(*events)] == [IGNORED] * len(events)
            refusal = (await hs1.encrypt(ALICE, "into the void")).failure.refusal
            assert refusal == encryption_pb2.ENCRYPT_REFUSAL_UNKNOWN_ROOM
            delta = room_pb2.UpdateRoomStateRequest(room_id=ROOM, version=99, delta=room_pb2.RoomStateDelta())
            async with refused() as told:
                await hs1.rooms.UpdateRoomState(delta)
            assert told[0].reason == "CONFLICT"
            await assert_unknown(hs1)

    run(main())


def test_told_again_with_its_events_the_room_goes_on_with_the_others(tmp_path: Path) -> None:
    async def main() -> None:
        async with small_room(tmp_path) as world:
            hs1, hs2 = world.homes.values()
            events = list(world.timeline.values())
            await forget(hs1)
            await hs1.tell_state()
            # The group is not begun a second time.
            assert not (await hs1.room()).room.HasField("head")
            await hs1.rooms.UpdateDeviceLists(room_pb2.UpdateDeviceListsRequest(lists=[await world.device_list(DAN)]))
            await hs1.ingest(*events)
            head = (await hs2.room()).room.head.pointer.commit_ref
            assert (await hs1.room()).room.head.pointer.commit_ref == head
            await world.settle()
            event_id = await world.say(DAN, "still here")
            assert event_id in world.timeline

    run(main())


def test_a_room_that_was_never_known_is_not_forgotten(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            assert not await forget(home)
            await home.tell_state()
            assert (await home.room()).room.encrypted

    run(main())
