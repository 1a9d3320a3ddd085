"""Requests that are made again, at the same time and later, and rooms that wait for their turn."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from devicestore import Connection, devices, idempotency, rooms
from devicestore.devices import Custody, DeviceRow
from devicestore.errors import Conflict
from dmls.service.app import open_core
from dmls.service.calls import Calls
from dmls.service.config import Settings
from dmls.service.core import Core, Record
from dmls.service.errors import InvalidRequestError, RequestIdReusedError
from dmls.service.handlers.devices import register_device
from dmls.service.paging import Place, page_of, page_size, read_token
from dmls.service.upkeep import run_tasks
from dmls.v1 import common_pb2, device_pb2
from tests.service.loopback import run
from tests.service.scene import ROOM, Client, World, refused, running

ALICE = "@alice:hs1"


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    tmp_path.chmod(0o700)
    opened = open_core(Settings(data=tmp_path, server_name="hs1", hosting=True), lambda report: None)
    yield opened
    opened.store.close()


def request(request_id: str = "r1", device_id: str = "D1") -> device_pb2.RegisterDeviceRequest:
    return device_pb2.RegisterDeviceRequest(
        request_id=request_id, user_id=ALICE, device_id=device_id, custody=common_pb2.CUSTODY_HOSTED
    )


def test_the_same_request_at_the_same_time_is_done_once(core: Core) -> None:
    done: list[str] = []

    def register(core: Core, request: device_pb2.RegisterDeviceRequest, record: Record) -> device_pb2.RegisterDeviceResponse:
        done.append(request.request_id)
        return register_device(core, request, record)

    async def main() -> None:
        calls = Calls(core)
        change = calls.change(register, request(), device_pb2.RegisterDeviceResponse)
        again = [calls.change(register, request(), device_pb2.RegisterDeviceResponse) for _ in range(5)]
        first, *others = await asyncio.gather(change, *again)
        assert first.created
        assert all(answer == first for answer in others)
        assert done == ["r1"]
        with pytest.raises(RequestIdReusedError):
            await calls.change(register, request(device_id="D2"), device_pb2.RegisterDeviceResponse)
        await calls.change(register, request("r2", "D2"), device_pb2.RegisterDeviceResponse)
        await calls.change(register, request("", "D3"), device_pb2.RegisterDeviceResponse)
        assert not (await calls.change(register, request("", "D3"), device_pb2.RegisterDeviceResponse)).created
        calls.close()

    run(main())


def test_a_request_that_its_caller_gave_up_is_not_done_again(core: Core) -> None:
    """The first call is cancelled while its thread works on; the repetition finds nothing stored yet, and then the answer."""
    working, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def slow(core: Core, request: device_pb2.RegisterDeviceRequest, record: Record) -> device_pb2.RegisterDeviceResponse:
        if not working.is_set():
            working.set()
            go_on.wait(10)
            answer = register_device(core, request, record)
            done.set()
            return answer
        go_on.set()
        done.wait(10)
        return register_device(core, request, record)

    async def main() -> None:
        calls = Calls(core)
        first = asyncio.ensure_future(calls.change(slow, request(), device_pb2.RegisterDeviceResponse))
        await asyncio.to_thread(working.wait, 10)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        answer = await calls.change(slow, request(), device_pb2.RegisterDeviceResponse)
        assert answer.created
        assert len(core.store.read(lambda conn: devices.list_devices(conn, ALICE))) == 1
        calls.close()

    run(main())


def test_a_conflict_of_another_kind_is_told_as_it_is(core: Core) -> None:
    def clash(core: Core, request: device_pb2.RegisterDeviceRequest, record: Record) -> device_pb2.RegisterDeviceResponse:
        raise Conflict("another change came first")

    async def main() -> None:
        calls = Calls(core)
        for request_id in ("", "r1"):
            with pytest.raises(Conflict):
                await calls.change(clash, request(request_id), device_pb2.RegisterDeviceResponse)
        calls.close()

    run(main())


def test_rooms_take_turns_and_different_rooms_do_not_wait(core: Core) -> None:
    order: list[str] = []
    busy, done = threading.Event(), threading.Event()

    def work(name: str, first: bool) -> object:
        def handler(core: Core, request: object, record: Record) -> device_pb2.RegisterDeviceResponse:
            if first:
                busy.set()
                assert done.wait(10)
            order.append(name)
            return device_pb2.RegisterDeviceResponse()

        return handler

    async def main() -> None:
        calls = Calls(core)

        async def call(name: str, *rooms: str, first: bool = False) -> None:
            handler = work(name, first)
            await calls.change(handler, request(""), device_pb2.RegisterDeviceResponse, rooms=rooms)  # type: ignore[arg-type]

        waiting = [asyncio.ensure_future(call("first", "!a", "!b", first=True))]
        await asyncio.to_thread(busy.wait, 10)
        # More calls than there are threads wait for the busy rooms, and hold none.
        waiting += [asyncio.ensure_future(call("same", room)) for room in ("!a", "!b") for _ in range(10)]
        async with asyncio.timeout(10):
            await call("other", "!c")
        assert order == ["other"]
        done.set()
        await asyncio.gather(*waiting)
        assert order[:2] == ["other", "first"]
        assert len(order) == 22
        calls.close()

    run(main())


def test_what_is_over_is_deleted(core: Core) -> None:
    client = Client(ALICE, "PHONE", os.urandom)
    row = DeviceRow(ALICE, "PHONE", Custody.CLIENT, client.key.public_key, b"", (1,), None, 0)

    def fill(conn: Connection) -> None:
        devices.register(conn, row)
        idempotency.put(conn, "c", "m", "r", b"h", b"answer", now_ms=1, expires_at_ms=2)

    core.store.write(fill).result()
    assert run_tasks(core) == 1
    assert run_tasks(core) == 0


def test_a_damaged_room_is_a_defect_that_others_do_not_notice(tmp_path: Path) -> None:
    async def main() -> None:
        settings = Settings(data=tmp_path / "hs1", server_name="hs1")
        damaged = open_core(settings, lambda report: None)
        damaged.store.write(lambda conn: rooms.apply(conn, ROOM, [("node", b"x" * 32, b"canary-7d1f")], [])).result()
        damaged.store.close()
        async with running(tmp_path) as home:
            with capture_logs() as logs:
                async with refused() as told:
                    await home.room()
                async with refused() as again:
                    await home.tell_state()
                world = World({"hs1": home})
                await home.register(ALICE)
                await world.join(ALICE, room_id="!other:hs1")
                assert (await home.room("!other:hs1")).room.member_count == 1
            assert (told[0].code, told[0].reason, told[0].message) == ("INTERNAL", "BUG", "internal error")
            assert again[0].code == "INTERNAL"
            assert {line["type"] for line in logs if line["event"] == "defect"} == {"InternalError"}
            assert "canary" not in repr(logs)

    run(main())


def places(*names: str) -> list[Place]:
    return [(name.encode(),) for name in names]


def test_pages_go_on_where_the_last_one_ended_whatever_came_or_went() -> None:
    items = places("a", "b", "c", "d")
    page, token = page_of(items, lambda each: each, 2, None)
    assert page == places("a", "b")
    changed = places("a", "bb", "c", "e")
    assert page_of(changed, lambda each: each, 2, read_token(token))[0] == places("bb", "c")
    rest, end = page_of(changed, lambda each: each, 9, read_token(token))
    assert (rest, end) == (places("bb", "c", "e"), "")
    assert page_of([], lambda each: each, 2, None) == ([], "")


def test_page_sizes_are_bounded() -> None:
    assert [page_size(wanted) for wanted in (0, 1, 1_000, 5_000)] == [50, 1, 1_000, 1_000]
    assert page_size(0, 7, 9) == 7
    assert page_size(20, 7, 9) == 9


@pytest.mark.parametrize("token", ["x", "zz", "0", "01", "ff" * 20])
def test_a_token_that_is_none_is_refused(token: str) -> None:
    with pytest.raises(InvalidRequestError):
        read_token(token)
