"""The channel to a service: calls happen once, whatever happens to the service meanwhile."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dmls.client.channel import ServiceChannel, method_of, with_request_id
from dmls.client.failures import CallError
from dmls.errors import DMLSError, NotFoundError, UsageError
from dmls.v1 import common_pb2, device_pb2, room_pb2
from tests.client.scene import running_services
from tests.service.processes import ServeProcess

ROOM = "!room:hs1"


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    with running_services(tmp_path_factory.mktemp("s"), "hs1") as running:
        yield running["hs1"]


@pytest.fixture
def channel(process: ServeProcess) -> Iterator[ServiceChannel]:
    with ServiceChannel(process.listen) as open_channel:
        yield open_channel


def _registration(device_id: str) -> device_pb2.RegisterDeviceRequest:
    return device_pb2.RegisterDeviceRequest(user_id="@alice:hs1", device_id=device_id, custody=common_pb2.CUSTODY_HOSTED)


def test_a_change_gets_a_request_id_and_a_question_does_not() -> None:
    request = _registration("A1")
    assert with_request_id(request).request_id != with_request_id(request).request_id
    assert not request.request_id
    named = device_pb2.RegisterDeviceRequest(request_id="mine")
    assert with_request_id(named) is named
    question = device_pb2.ListDevicesRequest()
    assert with_request_id(question) is question


def test_only_requests_name_a_call() -> None:
    assert method_of(device_pb2.ListDevicesRequest()).name == "ListDevices"
    with pytest.raises(UsageError):
        method_of(device_pb2.Device())


def test_a_call_waits_for_a_service_that_is_down_and_is_answered_once_it_is_back(
    process: ServeProcess, channel: ServiceChannel
) -> None:
    first = channel.call(_registration("A2"), device_pb2.RegisterDeviceResponse)
    process.kill()
    answers: list[device_pb2.RegisterDeviceResponse] = []
    waiting = threading.Thread(
        target=lambda: answers.append(channel.call(_registration("A2"), device_pb2.RegisterDeviceResponse)), daemon=True
    )
    waiting.start()
    process.start()
    waiting.join(30)
    assert [(answer.created, answer.device) for answer in answers] == [(False, first.device)]


def test_a_service_that_stays_away_is_an_error(tmp_path: Path) -> None:
    with ServiceChannel(f"unix:{tmp_path}/nobody", patience_s=0.3) as channel, pytest.raises(CallError):
        channel.call(device_pb2.ListDevicesRequest(), device_pb2.ListDevicesResponse)


def test_what_the_service_refuses_is_an_error_of_its_kind_at_once(channel: ServiceChannel) -> None:
    with pytest.raises(DMLSError) as caught:
        channel.call(device_pb2.RegisterDeviceRequest(user_id="alice"), device_pb2.RegisterDeviceResponse)
    assert caught.value.reason == "INVALID_ARGUMENT"
    with pytest.raises(NotFoundError):
        channel.call(room_pb2.GetRoomRequest(room_id="!nowhere:hs1"), room_pb2.GetRoomResponse)


def test_an_attempt_gives_up_without_an_answer(tmp_path: Path, channel: ServiceChannel) -> None:
    assert channel.attempt(device_pb2.ListDevicesRequest(), device_pb2.ListDevicesResponse, 10.0) is not None
    assert channel.attempt(device_pb2.RegisterDeviceRequest(), device_pb2.RegisterDeviceResponse, 10.0) is None
    with ServiceChannel(f"unix:{tmp_path}/nobody") as deaf:
        assert deaf.attempt(device_pb2.ListDevicesRequest(), device_pb2.ListDevicesResponse, 0.1) is None


def test_blobs_larger_than_a_message_piece_come_back_as_they_were(channel: ServiceChannel) -> None:
    data = bytes(range(256)) * 3_000
    assert channel.put_blob(ROOM, data)
    assert not channel.put_blob(ROOM, data)
    assert channel.get_blob(ROOM, hashlib.sha256(data).digest()) == data
    with pytest.raises(NotFoundError):
        channel.get_blob(ROOM, bytes(32))


def test_a_stream_ends_when_it_is_closed_or_its_time_is_over(channel: ServiceChannel) -> None:
    frames = channel.stream(room_pb2.WatchOutboxRequest(), room_pb2.WatchOutboxResponse)
    assert next(frames).HasField("started")
    frames.close()
    with pytest.raises(CallError) as caught:
        list(channel.stream(room_pb2.WatchOutboxRequest(), room_pb2.WatchOutboxResponse, timeout_s=0.3))
    assert caught.value.code == "DEADLINE_EXCEEDED"
