"""A client device as a process: it answers the line protocol, and comes back from SIGKILL as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dmls.client.channel import ServiceChannel
from dmls.errors import CodecError, DMLSError, InternalError
from dmls.ids import DeviceId, RoomId, UserId
from dmls.matrix.bodies import ALGORITHM
from dmls.tools.demo.client_device import ClientProcess
from dmls.v1 import admin_pb2, common_pb2, device_pb2, key_package_pb2, room_pb2
from tests.client.scene import running_services

CAROL, DEVICE = UserId("@carol:hs1"), DeviceId("C1")
ROOM = RoomId("!room:hs1")


@pytest.fixture
def channel(tmp_path: Path) -> Iterator[ServiceChannel]:
    with running_services(tmp_path, "hs1") as running, ServiceChannel(running["hs1"].listen) as open_channel:
        yield open_channel


@pytest.fixture
def carol(channel: ServiceChannel, tmp_path: Path) -> Iterator[ClientProcess]:
    client = ClientProcess((CAROL, DEVICE), tmp_path / "carol", channel.address)
    request = device_pb2.RegisterDeviceRequest(user_id=CAROL, device_id=DEVICE, custody=common_pb2.CUSTODY_CLIENT)
    request.signature_keys.append(client.signature_key)
    channel.call(request, device_pb2.RegisterDeviceResponse)
    yield client
    client.stop()


def _join(carol: ClientProcess) -> None:
    member = room_pb2.MemberEvent(event_id="$carol", user_id=CAROL, sender=CAROL, membership=room_pb2.MEMBERSHIP_JOIN)
    state = room_pb2.RoomState(
        room_version="10", create_sender=CAROL, encryption=b'{"algorithm": "%s"}' % ALGORITHM.encode(), members=[member]
    )
    request = room_pb2.UpdateRoomStateRequest(room_id=ROOM, version=1, full=state)
    assert carol.call(request, room_pb2.UpdateRoomStateResponse).version == 1


def test_a_killed_client_comes_back_with_its_key_its_room_and_what_it_wants_sent(
    carol: ClientProcess, channel: ServiceChannel
) -> None:
    carol.stock()
    _join(carol)
    key, wanted = carol.signature_key, carol.pending()
    carol.kill()
    carol.restart()
    assert carol.signature_key == key
    assert carol.pending() == wanted
    assert carol.call(room_pb2.GetRoomRequest(room_id=ROOM), room_pb2.GetRoomResponse).room.parked_count == 0
    _join(carol)
    request = key_package_pb2.GetKeyPackageStatusRequest(user_id=CAROL, device_id=DEVICE)
    assert channel.call(request, key_package_pb2.GetKeyPackageStatusResponse).status.suites[0].available == 20


def test_what_a_client_refuses_is_a_typed_error_and_the_process_lives_on(carol: ClientProcess) -> None:
    with pytest.raises(CodecError):
        carol.call(admin_pb2.GetServerInfoRequest(), admin_pb2.GetServerInfoResponse)
    with pytest.raises(CodecError):
        carol.try_everything(ROOM, {"algorithm": ALGORITHM, "kind": "message"})
    delta = room_pb2.UpdateRoomStateRequest(room_id=ROOM, version=7, base_version=6, delta=room_pb2.RoomStateDelta())
    with pytest.raises(DMLSError, match="does not build on"):
        carol.call(delta, room_pb2.UpdateRoomStateResponse)
    _join(carol)


def test_a_client_whose_process_has_ended_says_so(carol: ClientProcess) -> None:
    carol.kill()
    with pytest.raises(InternalError, match="ended"):
        carol.pending()
    carol.restart()
    assert carol.pending() is not None
