"""The interceptors around real calls: unary, streaming, cancelled, late, failing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from structlog.testing import capture_logs

from dmls.client.failures import read_rpc_error
from dmls.errors import InvalidArgumentError, NotFoundError
from dmls.service.interceptors.access_log import AccessLogInterceptor
from dmls.service.interceptors.around import AroundInterceptor, Call
from dmls.service.interceptors.deadline import DeadlineInterceptor
from dmls.service.interceptors.errors import ErrorInterceptor
from dmls.service.interceptors.request_id import RequestIdInterceptor, current_request_id
from dmls.v1 import room_pb2 as pb
from dmls.v1 import room_pb2_grpc
from tests.service.loopback import loopback, run

CANARY = "canary-9c2e"


class _Rooms(room_pb2_grpc.RoomServiceServicer):
    """One RPC of each shape; `room_id` says what to do."""

    def __init__(self) -> None:
        self.seen_id = ""
        self.cancelled = asyncio.Event()
        self.running = asyncio.Event()

    async def _act(self, what: str) -> None:
        self.seen_id = current_request_id()
        self.running.set()
        if what == "missing":
            raise NotFoundError("room not known")
        if what == "defect":
            raise ValueError(CANARY)
        if what == "sleep":
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled.set()

    async def GetRoom(self, request: pb.GetRoomRequest, context: object) -> pb.GetRoomResponse:
        await self._act(request.room_id)
        return pb.GetRoomResponse(room=pb.RoomSummary(room_id=request.room_id))

    async def GetBlob(self, request: pb.GetBlobRequest, context: object) -> AsyncIterator[pb.GetBlobResponse]:
        yield pb.GetBlobResponse(data=b"first")
        await self._act(request.room_id)
        yield pb.GetBlobResponse(data=b"second")

    async def WatchRoom(  # type: ignore[override]  # the other way to write a stream, which the generated stub does not show
        self, request: pb.WatchRoomRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        await context.write(pb.WatchRoomResponse(cursor="first"))
        await self._act(request.cursor)

    async def PutBlob(self, request_iterator: AsyncIterator[pb.PutBlobRequest], context: object) -> pb.PutBlobResponse:
        async for request in request_iterator:
            await self._act(request.room_id)
        return pb.PutBlobResponse(created=True)


def _all() -> list[grpc.aio.ServerInterceptor]:
    return [RequestIdInterceptor(), AccessLogInterceptor(), ErrorInterceptor(), DeadlineInterceptor()]


@asynccontextmanager
async def _rooms(*interceptors: grpc.aio.ServerInterceptor) -> AsyncIterator[tuple[room_pb2_grpc.RoomServiceAsyncStub, _Rooms]]:
    servicer = _Rooms()
    async with (
        loopback(
            lambda server: room_pb2_grpc.add_RoomServiceServicer_to_server(servicer, server), interceptors=interceptors or _all()
        ) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        yield room_pb2_grpc.RoomServiceStub(channel), servicer


async def _unary(stub: room_pb2_grpc.RoomServiceAsyncStub, what: str, timeout: float | None = None) -> object:
    return await stub.GetRoom(pb.GetRoomRequest(room_id=what), timeout=timeout)


async def _yielding(stub: room_pb2_grpc.RoomServiceAsyncStub, what: str, timeout: float | None = None) -> object:
    return [each.data async for each in stub.GetBlob(pb.GetBlobRequest(room_id=what), timeout=timeout)]


async def _writing(stub: room_pb2_grpc.RoomServiceAsyncStub, what: str, timeout: float | None = None) -> object:
    return [each.cursor async for each in stub.WatchRoom(pb.WatchRoomRequest(cursor=what), timeout=timeout)]


async def _uploading(stub: room_pb2_grpc.RoomServiceAsyncStub, what: str, timeout: float | None = None) -> object:
    async def pieces() -> AsyncIterator[pb.PutBlobRequest]:
        yield pb.PutBlobRequest(data=b"piece")
        yield pb.PutBlobRequest(room_id=what)

    return await stub.PutBlob(pieces(), timeout=timeout)


Caller = Callable[..., Awaitable[object]]
SHAPES = pytest.mark.parametrize(
    ("method", "call"), [("GetRoom", _unary), ("GetBlob", _yielding), ("WatchRoom", _writing), ("PutBlob", _uploading)]
)


@SHAPES
def test_a_call_that_succeeds_is_passed_through(method: str, call: Caller) -> None:
    async def main() -> object:
        async with _rooms() as (stub, _):
            return await call(stub, "fine")

    with capture_logs() as logs:
        answer = run(main())
    assert answer in (
        pb.GetRoomResponse(room=pb.RoomSummary(room_id="fine")),
        [b"first", b"second"],
        ["first"],
        pb.PutBlobResponse(created=True),
    )
    (line,) = logs
    assert (line["event"], line["method"], line["code"]) == ("call", f"/dmls.v1.RoomService/{method}", "OK")
    assert line["ms"] >= 0
    assert len(line["request_id"]) == 32
    assert set(line) == {"event", "log_level", "method", "code", "ms", "request_id"}


@SHAPES
def test_an_error_becomes_its_status(method: str, call: Caller) -> None:
    async def main() -> grpc.aio.AioRpcError:
        async with _rooms() as (stub, _):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(stub, "missing")
            return caught.value

    with capture_logs() as logs:
        failed = run(main())
    told = read_rpc_error(failed)
    assert (told.code, told.reason, told.message) == ("NOT_FOUND", "NOT_FOUND", "room not known")
    assert [(line["event"], line["code"]) for line in logs] == [("call", "NOT_FOUND")]
    assert told.request_id == logs[0]["request_id"] == dict(failed.trailing_metadata())["x-request-id"]


@SHAPES
def test_a_defect_is_logged_without_its_text(method: str, call: Caller, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> grpc.aio.AioRpcError:
        async with _rooms() as (stub, _):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(stub, "defect")
            return caught.value

    caplog.set_level(logging.DEBUG)
    with capture_logs() as logs:
        failed = run(main())
    assert failed.code() is grpc.StatusCode.INTERNAL
    assert [line["event"] for line in logs] == ["defect", "call"]
    assert logs[0]["type"] == "ValueError"
    assert "in _act" in logs[0]["frames"][-1]
    assert logs[0]["request_id"] == logs[1]["request_id"] == read_rpc_error(failed).request_id
    assert CANARY not in repr(logs) + caplog.text + repr(failed)


@SHAPES
def test_the_callers_deadline_ends_the_handler(method: str, call: Caller) -> None:
    async def main() -> grpc.aio.AioRpcError:
        async with _rooms() as (stub, servicer):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(stub, "sleep", timeout=0.2)
            await asyncio.wait_for(servicer.cancelled.wait(), 5)
            return caught.value

    assert run(main()).code() is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("call", [_unary, _yielding, _uploading])
def test_the_services_own_limit_ends_the_handler(call: Caller) -> None:
    async def main() -> grpc.aio.AioRpcError:
        async with _rooms(RequestIdInterceptor(), ErrorInterceptor(), DeadlineInterceptor(0.1)) as (stub, servicer):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(stub, "sleep")
            assert servicer.cancelled.is_set()
            return caught.value

    told = read_rpc_error(run(main()))
    assert (told.code, told.reason) == ("DEADLINE_EXCEEDED", "DEADLINE")
    assert told.request_id


def test_a_watch_outlives_the_services_own_limit() -> None:
    async def main() -> None:
        async with _rooms(ErrorInterceptor(), DeadlineInterceptor(0.05)) as (stub, servicer):
            watch = stub.WatchRoom(pb.WatchRoomRequest(cursor="sleep"))
            assert await watch.read() == pb.WatchRoomResponse(cursor="first")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(servicer.cancelled.wait()), 0.3)
            watch.cancel()
            await asyncio.wait_for(servicer.cancelled.wait(), 5)

    run(main())


@SHAPES
def test_a_caller_that_goes_away_cancels_the_handler(method: str, call: Caller) -> None:
    async def main() -> None:
        servicer = _Rooms()
        async with loopback(
            lambda server: room_pb2_grpc.add_RoomServiceServicer_to_server(servicer, server), interceptors=_all()
        ) as address:
            channel = grpc.aio.insecure_channel(address)
            task = asyncio.ensure_future(call(room_pb2_grpc.RoomServiceStub(channel), "sleep"))
            await asyncio.wait_for(servicer.running.wait(), 5)
            await channel.close()
            await asyncio.wait_for(servicer.cancelled.wait(), 5)
            with pytest.raises(asyncio.CancelledError):
                await task

    with capture_logs() as logs:
        run(main())
    assert [line["code"] for line in logs] == ["CANCELLED"]


@pytest.mark.parametrize(("given", "kept"), [("abc-1.2_3", True), ("x" * 65, False), ("a b", False), ('"quoted"', False)])
def test_a_usable_request_id_is_kept_and_another_is_replaced(given: str, kept: bool) -> None:
    async def main() -> tuple[str, str]:
        async with _rooms() as (stub, servicer):
            call = stub.GetRoom(pb.GetRoomRequest(), metadata=(("x-request-id", given),))
            await call
            return servicer.seen_id, str(dict(await call.trailing_metadata())["x-request-id"])

    seen, sent_back = run(main())
    assert seen == sent_back
    assert (seen == given) is kept
    assert kept or len(seen) == 32


def test_calls_at_the_same_time_have_their_own_ids() -> None:
    class Echo(room_pb2_grpc.RoomServiceServicer):
        def __init__(self) -> None:
            self.all_here = asyncio.Barrier(8)

        async def GetRoom(self, request: pb.GetRoomRequest, context: object) -> pb.GetRoomResponse:
            await self.all_here.wait()
            return pb.GetRoomResponse(room=pb.RoomSummary(room_id=current_request_id()))

    async def main() -> list[str]:
        servicer = Echo()
        async with (
            loopback(
                lambda server: room_pb2_grpc.add_RoomServiceServicer_to_server(servicer, server),
                interceptors=[RequestIdInterceptor()],
            ) as address,
            grpc.aio.insecure_channel(address) as channel,
        ):
            stub = room_pb2_grpc.RoomServiceStub(channel)
            calls = [stub.GetRoom(pb.GetRoomRequest(), metadata=(("x-request-id", str(i)),)) for i in range(8)]
            return [(await each).room.room_id for each in calls]

    assert run(main()) == [str(i) for i in range(8)]


class _NoSecond(AroundInterceptor):
    """Refuses the second message of a stream, and any message that names a forbidden room."""

    def around(self, call: Call) -> Any:
        @asynccontextmanager
        async def nothing() -> AsyncIterator[None]:
            yield

        return nothing()

    def check(self, call: Call, request: Message, position: int) -> None:
        if position == 1 or getattr(request, "room_id", "") == "forbidden":
            raise InvalidArgumentError(f"message {position} refused")


@pytest.mark.parametrize(("call", "position"), [(_unary, 0), (_yielding, 0), (_uploading, 1)])
def test_request_messages_are_checked_before_the_handler_sees_them(call: Caller, position: int) -> None:
    async def main() -> tuple[grpc.aio.AioRpcError, str]:
        async with _rooms(RequestIdInterceptor(), ErrorInterceptor(), _NoSecond()) as (stub, servicer):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(stub, "forbidden")
            return caught.value, servicer.seen_id

    failed, _ = run(main())
    assert (failed.code(), failed.details()) == (grpc.StatusCode.INVALID_ARGUMENT, f"message {position} refused")


def test_an_unknown_method_is_unimplemented() -> None:
    async def main() -> grpc.aio.AioRpcError:
        async with (
            loopback(interceptors=_all()) as address,
            grpc.aio.insecure_channel(address) as channel,
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await room_pb2_grpc.RoomServiceStub(channel).GetRoom(pb.GetRoomRequest())
            return caught.value

    assert run(main()).code() is grpc.StatusCode.UNIMPLEMENTED
