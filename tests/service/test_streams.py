"""The streams of devices and of key package status: from the present on, and on from a cursor."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dmls.v1 import device_pb2, key_package_pb2
from tests.service.loopback import run
from tests.service.scene import Client, Home, refused, running
from tests.service.watching import Watch

ALICE, BOB = "@alice:hs1", "@bob:hs1"
ADDED = device_pb2.DEVICE_CHANGE_KIND_ADDED
CHANGED = device_pb2.DEVICE_CHANGE_KIND_CHANGED
REMOVED = device_pb2.DEVICE_CHANGE_KIND_REMOVED
Change = tuple[int, str, str]


@asynccontextmanager
async def devices_of(home: Home, *user_ids: str, cursor: str = "") -> AsyncIterator[Watch]:
    stream = home.devices.WatchDevices(device_pb2.WatchDevicesRequest(user_ids=user_ids, cursor=cursor))
    yield Watch(stream)
    stream.cancel()


@asynccontextmanager
async def statuses_of(home: Home, *names: tuple[str, str], cursor: str = "") -> AsyncIterator[Watch]:
    request = key_package_pb2.WatchKeyPackageStatusRequest(cursor=cursor)
    for user_id, device_id in names:
        request.devices.add(user_id=user_id, device_id=device_id)
    stream = home.key_packages.WatchKeyPackageStatus(request)
    yield Watch(stream)
    stream.cancel()


def change(frame: device_pb2.WatchDevicesResponse) -> Change:
    return frame.change.kind, frame.change.device.user_id, frame.change.device.device_id


async def delete(home: Home, user_id: str, device_id: str) -> None:
    await home.devices.DeleteDevice(device_pb2.DeleteDeviceRequest(user_id=user_id, device_id=device_id))


async def rename(home: Home, user_id: str, device_id: str, name: str) -> device_pb2.Device:
    request = device_pb2.UpdateDeviceRequest(device={"user_id": user_id, "device_id": device_id, "display_name": name})
    request.update_mask.paths.append("display_name")
    return (await home.devices.UpdateDevice(request)).device  # type: ignore[no-any-return]


async def claim(home: Home, user_id: str = ALICE) -> None:
    request = key_package_pb2.ClaimKeyPackagesRequest(targets=[{"user_id": user_id}], cipher_suites=[1])
    await home.key_packages.ClaimKeyPackages(request)


def test_the_present_devices_come_first_and_then_what_changes(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            await home.register(ALICE, "D1")
            await home.register(BOB, "D1")
            await home.register(BOB, "GONE")
            await delete(home, BOB, "GONE")
            async with devices_of(home) as watch, devices_of(home, BOB) as bobs:
                assert [change(frame) for frame in await watch.present()] == [(ADDED, ALICE, "D1"), (ADDED, BOB, "D1")]
                assert [change(frame) for frame in await bobs.present()] == [(ADDED, BOB, "D1")]
                await rename(home, ALICE, "D1", "phone")
                told = (await watch.frame()).change
                assert (told.kind, told.device.display_name) == (CHANGED, "phone")
                await home.register(BOB, "D2")
                assert change(await watch.frame()) == change(await bobs.frame()) == (ADDED, BOB, "D2")
                await delete(home, BOB, "D1")
                last = await watch.frame()
                assert change(last) == change(await bobs.frame()) == (REMOVED, BOB, "D1")
                assert last.change.device.HasField("delete_time")

    run(main())


def test_a_stream_of_devices_goes_on_from_its_cursor_also_after_a_restart(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            await home.register(ALICE, "D1")
            await home.register(ALICE, "D2")
            async with devices_of(home) as watch:
                await watch.present()
            cursor = watch.cursor
            await delete(home, ALICE, "D1")
            await rename(home, ALICE, "D2", "tablet")
            await home.register(ALICE, "D3")
        async with running(tmp_path) as home:
            async with devices_of(home, cursor=cursor) as watch:
                expected = [(REMOVED, ALICE, "D1"), (CHANGED, ALICE, "D2"), (ADDED, ALICE, "D3")]
                assert [change(frame) for frame in await watch.present()] == expected
            async with devices_of(home, cursor=watch.cursor) as watch:
                assert await watch.present() == []
            # A number that this store has not reached is of a time that was lost.
            async with devices_of(home, cursor="1:999") as watch:
                assert [change(frame) for frame in await watch.present()] == [(ADDED, ALICE, "D2"), (ADDED, ALICE, "D3")]

    run(main())


def test_who_runs_low_is_told(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            phone, tablet = Client(ALICE, "PHONE", os.urandom), Client(BOB, "TABLET", os.urandom)
            for client in (phone, tablet):
                await home.register(client.user_id, client.device_id, client)
            await home.upload(phone, phone.key_packages(12))
            await home.upload(tablet, tablet.key_packages(1, last_resort=True))
            async with statuses_of(home) as watch, statuses_of(home, (ALICE, "PHONE")) as own:
                told = [frame.status for frame in await watch.present()]
                assert [(each.user_id, each.suites[0].available) for each in told] == [(ALICE, 12), (BOB, 1)]
                assert told[0].low_water_mark == 10
                assert [frame.status for frame in await own.present()] == [told[0]]
                await claim(home)
                await claim(home)
                low = (await watch.frame()).status
                assert (low.user_id, low.suites[0].available) == (ALICE, 10)
                assert (await own.frame()).status == low
                await claim(home, BOB)
                await claim(home, BOB)
                seen = (await watch.frame()).status.suites[0]
                while not seen.last_resort_used:
                    seen = (await watch.frame()).status.suites[0]
                assert (seen.available, seen.has_last_resort) == (0, True)
            cursor = own.cursor
            await claim(home)
            async with statuses_of(home, (ALICE, "PHONE"), cursor=cursor) as own:
                assert [frame.status.suites[0].available for frame in await own.present()] == [9]
            async with statuses_of(home, (ALICE, "PHONE"), cursor=own.cursor) as own:
                assert await own.present() == []

    run(main())


@pytest.mark.parametrize("cursor", ["x", "1:", ":1", "1:x", "1:-1", "1:" + "9" * 19])
def test_a_cursor_of_something_else_is_refused(tmp_path: Path, cursor: str) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            for watching in (devices_of(home, cursor=cursor), statuses_of(home, cursor=cursor)):
                async with watching as watch, refused() as told:
                    await watch.frame()
                assert told[0].violations == (("cursor", "not a cursor of this stream"),)

    run(main())
