"""Malformed and forbidden requests over a real connection: no handler sees them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection, reflection_pb2
from structlog.testing import capture_logs

from dmls.client.failures import CallFailure, read_rpc_error
from dmls.ids import ServerName
from dmls.service.auth import ANONYMOUS, Caller, local_homeserver
from dmls.service.identity import is_local_peer
from dmls.service.interceptors.admission import current_caller
from dmls.service.interceptors.around import Call
from dmls.service.interceptors.chain import interceptors
from dmls.service.limits import Limits
from dmls.v1 import device_pb2, device_pb2_grpc, room_pb2, room_pb2_grpc
from tests.service.loopback import loopback, run

HERE = ServerName("here.example")
SHA256 = bytes(32)


class _Devices(device_pb2_grpc.DeviceServiceServicer):
    def __init__(self) -> None:
        self.callers: list[Caller] = []

    async def GetDevice(self, request: device_pb2.GetDeviceRequest, context: object) -> device_pb2.GetDeviceResponse:
        self.callers.append(current_caller())
        return device_pb2.GetDeviceResponse()


class _Rooms(room_pb2_grpc.RoomServiceServicer):
    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    async def PutBlob(
        self, request_iterator: AsyncIterator[room_pb2.PutBlobRequest], context: object
    ) -> room_pb2.PutBlobResponse:
        async for request in request_iterator:
            self.pieces.append(request.data)
        return room_pb2.PutBlobResponse(created=True)


@asynccontextmanager
async def _service(
    chain: Sequence[grpc.aio.ServerInterceptor],
) -> AsyncIterator[tuple[grpc.aio.Channel, _Devices, _Rooms]]:
    devices, rooms = _Devices(), _Rooms()

    def register(server: grpc.aio.Server) -> None:
        device_pb2_grpc.add_DeviceServiceServicer_to_server(devices, server)
        room_pb2_grpc.add_RoomServiceServicer_to_server(rooms, server)

    async with (
        loopback(register, interceptors=chain) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        yield channel, devices, rooms


def _local() -> list[grpc.aio.ServerInterceptor]:
    async def authenticate(call: Call) -> Caller:
        return local_homeserver(HERE) if is_local_peer(call.context.peer()) else ANONYMOUS

    return interceptors(HERE, authenticate)


def _get_device(user_id: str, chain: Sequence[grpc.aio.ServerInterceptor]) -> tuple[CallFailure | None, list[Caller]]:
    async def main() -> tuple[CallFailure | None, list[Caller]]:
        async with _service(chain) as (channel, devices, _):
            try:
                await device_pb2_grpc.DeviceServiceStub(channel).GetDevice(
                    device_pb2.GetDeviceRequest(user_id=user_id, device_id="PHONE")
                )
            except grpc.aio.AioRpcError as error:
                return read_rpc_error(error), devices.callers
            return None, devices.callers

    return run(main())


def test_a_caller_on_loopback_is_the_homeserver() -> None:
    failure, callers = _get_device("@alice:here.example", _local())
    assert failure is None
    assert callers == [local_homeserver(HERE)]


def test_the_homeserver_is_denied_what_is_anothers() -> None:
    failure, callers = _get_device("@alice:there.example", _local())
    assert failure is not None
    assert (failure.code, failure.reason) == ("PERMISSION_DENIED", "PERMISSION_DENIED")
    assert callers == []


def test_a_denied_call_is_logged_with_its_id_and_its_status() -> None:
    with capture_logs() as logs:
        failure, _ = _get_device("@alice:there.example", _local())
    assert failure is not None
    assert [(line["event"], line["code"], line["request_id"]) for line in logs] == [
        ("call", "PERMISSION_DENIED", failure.request_id)
    ]


def test_a_call_that_is_not_offered_says_so() -> None:
    async def main() -> grpc.StatusCode:
        async with _service(_local()) as (channel, _, _rooms):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await room_pb2_grpc.RoomServiceStub(channel).GetRoom(room_pb2.GetRoomRequest(room_id="!a:here.example"))
            return caught.value.code()

    assert run(main()) is grpc.StatusCode.UNIMPLEMENTED


def test_health_and_reflection_go_through_the_same_chain() -> None:
    async def main() -> tuple[int, set[str]]:
        def register(server: grpc.aio.Server) -> None:
            state = health_aio.HealthServicer()
            health_pb2_grpc.add_HealthServicer_to_server(state, server)
            reflection.enable_server_reflection((HEALTH, reflection.SERVICE_NAME), server)

        async with loopback(register, interceptors=_local()) as address, grpc.aio.insecure_channel(address) as channel:
            health: grpc.aio.UnaryUnaryMultiCallable[bytes, health_pb2.HealthCheckResponse] = channel.unary_unary(
                f"/{HEALTH}/Check", response_deserializer=health_pb2.HealthCheckResponse.FromString
            )
            info: grpc.aio.StreamStreamMultiCallable[bytes, reflection_pb2.ServerReflectionResponse] = channel.stream_stream(
                f"/{reflection.SERVICE_NAME}/ServerReflectionInfo",
                response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
            )
            question = reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()
            names = {each.name async for answer in info(iter([question])) for each in answer.list_services_response.service}
            return (await health(b"")).status, names

    status, names = run(main())
    assert status == health_pb2.HealthCheckResponse.SERVING
    assert names == {HEALTH, reflection.SERVICE_NAME}


def test_a_malformed_request_names_its_field() -> None:
    failure, callers = _get_device("alice", _local())
    assert failure is not None
    assert (failure.code, failure.violations) == ("INVALID_ARGUMENT", (("user_id", "not a user ID"),))
    assert callers == []


def test_a_caller_without_identity_learns_nothing_of_the_form() -> None:
    async def authenticate(call: Call) -> Caller:
        return ANONYMOUS

    nobody = interceptors(HERE, authenticate)
    for user_id in ("@alice:here.example", "alice"):
        failure, callers = _get_device(user_id, nobody)
        assert failure is not None
        assert (failure.code, failure.violations) == ("UNAUTHENTICATED", ())
        assert callers == []


def test_of_a_stream_the_first_message_is_checked_and_the_others_carry_data() -> None:
    async def main(first: room_pb2.PutBlobRequest) -> tuple[CallFailure | None, list[bytes]]:
        async with _service(_local()) as (channel, _, rooms):

            async def pieces() -> AsyncIterator[room_pb2.PutBlobRequest]:
                yield first
                yield room_pb2.PutBlobRequest(data=b"b")

            try:
                await room_pb2_grpc.RoomServiceStub(channel).PutBlob(pieces())
            except grpc.aio.AioRpcError as error:
                return read_rpc_error(error), rooms.pieces
            return None, rooms.pieces

    whole = room_pb2.PutBlobRequest(room_id="!a:here.example", sha256=SHA256, size=2, data=b"a")
    assert run(main(whole)) == (None, [b"a", b"b"])
    failure, pieces = run(main(room_pb2.PutBlobRequest(data=b"a")))
    assert failure is not None
    assert failure.violations == (("room_id", "missing"), ("sha256", "missing"), ("size", "missing"))
    assert pieces == []


@pytest.mark.parametrize("size", [1, Limits().max_blob_bytes, Limits().max_blob_bytes + 1])
def test_a_blob_has_a_greatest_size(size: int) -> None:
    async def main() -> CallFailure | None:
        async with _service(_local()) as (channel, _, _rooms):

            async def pieces() -> AsyncIterator[room_pb2.PutBlobRequest]:
                yield room_pb2.PutBlobRequest(room_id="!a:here.example", sha256=SHA256, size=size)

            try:
                await room_pb2_grpc.RoomServiceStub(channel).PutBlob(pieces())
            except grpc.aio.AioRpcError as error:
                return read_rpc_error(error)
            return None

    failure = run(main())
    assert (failure is None) == (size <= Limits().max_blob_bytes)
