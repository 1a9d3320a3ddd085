"""Two services and a small homeserver on either side: a room from its beginning to a ban."""

from __future__ import annotations

from pathlib import Path

from dmls.v1 import room_pb2
from tests.service.loopback import run
from tests.service.scene import ROOM, two_homes


def test_a_room_is_begun_joined_talked_in_and_left(tmp_path: Path) -> None:
    async def main() -> None:
        async with two_homes(tmp_path) as world:
            hs1, hs2 = world.homes.values()
            for home, user in ((hs1, "@alice:hs1"), (hs1, "@bob:hs1"), (hs2, "@dan:hs2"), (hs2, "@erin:hs2")):
                await home.register(user)
            await world.join("@alice:hs1", "@bob:hs1")
            await world.settle()
            first = await world.say("@alice:hs1", "before the others")
            await world.join("@dan:hs2", "@erin:hs2")
            await world.settle()
            second = await world.say("@dan:hs2", "hello")
            third = await world.say("@bob:hs1", "hello yourself")
            for reader in ("@alice:hs1", "@bob:hs1", "@dan:hs2", "@erin:hs2"):
                assert await world.read(reader, second) == ("OK", "hello")
                assert await world.read(reader, third) == ("OK", "hello yourself")
            assert await world.read("@bob:hs1", first) == ("OK", "before the others")
            assert (await world.read("@dan:hs2", first))[0] == "NOT_MEMBER_THEN"

            await world.set_membership("@dan:hs2", "ban", by="@alice:hs1")
            fourth = await world.say("@alice:hs1", "without dan")
            assert await world.read("@erin:hs2", fourth) == ("OK", "without dan")
            assert (await world.read("@dan:hs2", fourth))[0] == "NOT_MEMBER_THEN"
            rooms = [await home.room() for home in (hs1, hs2)]
            heads = [room.room.head.pointer for room in rooms]
            assert heads[0] == heads[1]
            assert heads[0].epoch_id
            members = {member.device.user_id for member in rooms[0].members}
            assert members == {"@alice:hs1", "@bob:hs1", "@erin:hs2"}
            assert {room.room.send_state for room in rooms} == {room_pb2.SEND_STATE_OPEN}
            assert rooms[0].room.room_id == ROOM

    run(main())
