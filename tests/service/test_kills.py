"""Services in processes of their own, killed with SIGKILL: nothing acknowledged is lost, and nothing happens twice."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import grpc

from dmls.v1 import common_pb2, device_pb2, encryption_pb2, key_package_pb2, room_pb2
from tests.service.loopback import run
from tests.service.processes import ServeProcess, serving
from tests.service.scene import ROOM, Home, World, running

ALICE, BOB, DAN = "@alice:hs1", "@bob:hs1", "@dan:hs2"
T = TypeVar("T")


async def look(home: Home) -> tuple[object, ...]:
    """Return all that can be seen of a service's room and devices, and its outbox."""
    room = await home.rooms.GetRoom(room_pb2.GetRoomRequest(room_id=ROOM, include_state=True, include_device_lists=True))
    for change in room.pending:
        change.ClearField("due_time")
    graph = await home.rooms.GetEpochGraph(room_pb2.GetEpochGraphRequest(room_id=ROOM))
    devices = await home.devices.ListDevices(device_pb2.ListDevicesRequest(include_deleted=True))
    return room, graph, devices, await home.pending()


@asynccontextmanager
async def one_killed(folder: Path) -> AsyncIterator[tuple[World, ServeProcess]]:
    """Two homeservers; the service of hs1 is a process of its own."""
    async with serving(folder) as (process, hs1), running(folder, "hs2") as hs2:
        yield World({"hs1": hs1, "hs2": hs2}), process


def test_a_service_killed_between_calls_is_as_before(folder: Path) -> None:
    async def main() -> None:
        async with one_killed(folder) as (world, process):
            hs1, hs2 = world.homes.values()
            handled: dict[int, bytes] = {}

            def check(home: Home, item: room_pb2.OutboxItem) -> None:
                if home is hs1:
                    assert item.sequence not in handled, "an item came again after it was acknowledged"
                    handled[item.sequence] = item.SerializeToString(deterministic=True)

            world.on_item = check

            async def kill() -> None:
                before = await look(hs1)
                await process.restart()
                assert await look(hs1) == before

            await hs1.register(ALICE)
            await hs2.register(DAN)
            await world.join(ALICE)
            await kill()
            await world.settle()
            await kill()
            await world.join(DAN)
            await world.settle()
            first = await world.say(DAN, "one")
            await kill()
            second = await world.say(ALICE, "two")
            third = await world.say(ALICE, "three")
            await hs1.register(BOB)
            await world.join(BOB)
            await kill()
            await world.settle()
            fourth = await world.say(ALICE, "four")
            bodies = {first: "one", second: "two", third: "three", fourth: "four"}
            for event_id, body in bodies.items():
                for reader in (ALICE, DAN):
                    assert await world.read(reader, event_id) == ("OK", body)
            assert await world.read(BOB, fourth) == ("OK", "four")
            assert (await world.read(BOB, third))[0] == "NOT_MEMBER_THEN"

    run(main())


async def persist(call: Callable[[], Awaitable[T]]) -> T:
    """Make a call again until there is an answer."""
    for _ in range(200):
        try:
            return await call()
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            await asyncio.sleep(0.05)
    raise AssertionError("the service does not come back")


def test_a_service_killed_within_calls_repeats_nothing(folder: Path, seed: int) -> None:
    """The keys of a message are used once: were a generation used again, its second message could not be read."""

    async def main() -> None:
        rng = random.Random(seed)
        async with one_killed(folder) as (world, process):
            hs1, hs2 = world.homes.values()
            await hs1.register(ALICE)
            await hs2.register(DAN)
            await world.join(ALICE, DAN)
            await world.settle()
            sent: list[str] = []
            for number in range(4):
                event = encryption_pb2.EventToEncrypt(
                    room_id=ROOM,
                    sender=common_pb2.DeviceRef(user_id=ALICE, device_id="D1"),
                    type="m.room.message",
                    content=json.dumps({"body": f"{number}"}).encode(),
                )
                request = encryption_pb2.EncryptEventsRequest(request_id=f"message-{number}", events=[event] * 3)
                asked = asyncio.ensure_future(persist(partial(hs1.encryption.EncryptEvents, request)))
                await asyncio.sleep(rng.uniform(0, 0.03))
                await process.restart()
                answer = await asked
                assert await persist(partial(hs1.encryption.EncryptEvents, request)) == answer
                await world.settle()
                for result in answer.results:
                    told = world.event(ALICE, result.encrypted.content)
                    await world.publish(told)
                    sent.append(told.event_id)
            assert len(set(sent)) == 12
            outcomes = [await world.read(DAN, event_id) for event_id in sent]
            assert outcomes == [("OK", str(number // 3)) for number in range(12)]

    run(main())


def test_key_packages_claimed_while_the_service_is_killed_are_given_once(folder: Path, seed: int) -> None:
    async def main() -> None:
        rng = random.Random(seed)
        async with serving(folder) as (process, home):
            await home.register(ALICE)

            async def claim(request_id: str) -> key_package_pb2.ClaimKeyPackagesResponse:
                target = key_package_pb2.ClaimTarget(user_id=ALICE)
                request = key_package_pb2.ClaimKeyPackagesRequest(request_id=request_id, targets=[target], cipher_suites=[1])
                return await persist(partial(home.key_packages.ClaimKeyPackages, request))

            refs: list[bytes] = []
            for turn in range(3):
                names = [f"{turn}-{number}" for number in range(6)]
                asked = asyncio.gather(*(claim(name) for name in names))
                await asyncio.sleep(rng.uniform(0, 0.02))
                await process.restart()
                first = await asked
                again = await asyncio.gather(*(claim(name) for name in names))
                assert again == first
                claims = [answer.users[0].devices[0] for answer in first]
                refs += [each.ref for each in claims if not each.last_resort]
            assert len(set(refs)) == len(refs)

    run(main())
