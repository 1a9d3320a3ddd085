"""The decision table: complete, and right for every kind of caller."""

from __future__ import annotations

import pytest

from dmls.ids import DeviceId, ServerName, UserId
from dmls.service.auth import ANONYMOUS, RIGHTS, Caller, Decision, Owner, Resource, Right, Role, decide, local_homeserver
from dmls.service.identity import is_local_peer
from dmls.service.resources import OWNERS, resource_of
from dmls.v1 import admin_pb2, common_pb2, device_pb2, encryption_pb2, key_package_pb2, room_pb2
from tests.service.contract import rpcs

HERE, THERE = ServerName("here.example"), ServerName("there.example")
ALICE, BOB, MALLORY = UserId("@alice:here.example"), UserId("@bob:here.example"), UserId("@mallory:there.example")
PHONE, LAPTOP = DeviceId("PHONE"), DeviceId("LAPTOP")

HOMESERVER = Caller(roles=frozenset({Role.HOMESERVER}), server_name=HERE)
OTHER_HOMESERVER = Caller(roles=frozenset({Role.HOMESERVER}), server_name=THERE)
OPERATOR = Caller(roles=frozenset({Role.OPERATOR}))
DEVICE = Caller(roles=frozenset({Role.DEVICE}), user_id=ALICE, device_id=PHONE)
FOREIGN_DEVICE = Caller(roles=frozenset({Role.DEVICE}), user_id=MALLORY, device_id=PHONE)
NAMELESS_DEVICE = Caller(roles=frozenset({Role.DEVICE}))

EVERY_RPC = sorted(rpcs())


def _about(*owners: Owner, everybody: bool = False, joined: bool = False) -> Resource:
    return Resource(server_name=HERE, owners=frozenset(owners), everybody=everybody, caller_is_joined=joined)


def _granted(caller: Caller, resource: Resource) -> set[str]:
    return {method for method in EVERY_RPC if decide(caller, method, resource) is Decision.ALLOWED}


def _with(*rights: Right) -> set[str]:
    return {method for method in EVERY_RPC if RIGHTS[method] in rights}


def test_every_rpc_has_an_entry_and_no_other_call_has() -> None:
    outside = {name for name in RIGHTS if not name.startswith("/dmls.v1.")}
    assert set(RIGHTS) - outside == set(EVERY_RPC)
    assert {method.input_type.name for method in rpcs().values()} == set(OWNERS)


def test_a_new_rpc_without_an_entry_is_denied_to_all() -> None:
    for caller in (local_homeserver(HERE), OPERATOR, DEVICE, ANONYMOUS):
        assert decide(caller, "/dmls.v1.RoomService/DeleteEverything", _about()) is Decision.NO_ENTRY


def test_the_local_homeserver_may_do_everything_for_its_own_users() -> None:
    assert _granted(local_homeserver(HERE), _about(Owner(ALICE, PHONE), Owner(BOB))) == set(EVERY_RPC)
    assert _granted(local_homeserver(HERE), _about(everybody=True)) == set(EVERY_RPC)


def test_the_local_homeserver_may_do_nothing_for_users_of_others() -> None:
    granted = _granted(local_homeserver(HERE), _about(Owner(ALICE), Owner(MALLORY)))
    assert granted == _with(Right.IDENTITY, Right.OPERATOR)


@pytest.mark.parametrize(
    "user_id", ["@alice:here.example:8448", "@alice:xhere.example", "@alice:here.example.", "@alice:HERE.example"]
)
def test_server_names_are_compared_whole(user_id: str) -> None:
    resource = _about(Owner(UserId(user_id), PHONE))
    assert decide(HOMESERVER, "/dmls.v1.DeviceService/RegisterDevice", resource) is Decision.NOT_OWNER


def test_a_homeserver_that_is_no_operator_does_not_administer() -> None:
    assert set(EVERY_RPC) - _granted(HOMESERVER, _about(Owner(ALICE))) == _with(Right.OPERATOR)


@pytest.mark.parametrize("caller", [OTHER_HOMESERVER, FOREIGN_DEVICE, NAMELESS_DEVICE])
def test_strangers_may_only_ask_what_the_service_is(caller: Caller) -> None:
    for resource in (_about(), _about(Owner(ALICE, PHONE)), _about(Owner(MALLORY, PHONE)), _about(everybody=True, joined=True)):
        assert _granted(caller, resource) == _with(Right.IDENTITY)


def test_nobody_gets_anything_without_identity() -> None:
    assert _granted(ANONYMOUS, _about(Owner(ALICE, PHONE), joined=True)) == set()
    assert decide(ANONYMOUS, "/dmls.v1.RoomService/GetRoom", _about()) is Decision.NO_IDENTITY
    assert decide(ANONYMOUS, "/grpc.health.v1.Health/Check", _about()) is Decision.ALLOWED


def test_an_operator_does_not_act_for_users() -> None:
    assert _granted(OPERATOR, _about(Owner(ALICE, PHONE), joined=True)) == _with(Right.IDENTITY, Right.OPERATOR)


def test_a_device_acts_for_itself() -> None:
    own = _with(Right.IDENTITY, Right.LOCAL, Right.LOCAL_READER, Right.OWNER)
    assert _granted(DEVICE, _about(Owner(ALICE, PHONE))) == own


@pytest.mark.parametrize("owner", [Owner(ALICE, LAPTOP), Owner(ALICE), Owner(BOB, PHONE)])
def test_a_device_only_reads_of_other_devices(owner: Owner) -> None:
    readable = _with(Right.IDENTITY, Right.LOCAL, Right.LOCAL_READER)
    assert _granted(DEVICE, _about(owner)) == readable
    assert _granted(DEVICE, _about(owner, Owner(ALICE, PHONE))) == readable


def test_a_device_does_not_read_of_everybody_or_of_strangers() -> None:
    for resource in (_about(everybody=True), _about(Owner(MALLORY, PHONE)), _about()):
        assert _granted(DEVICE, resource) == _with(Right.IDENTITY, Right.LOCAL)


def test_a_device_reads_rooms_that_its_user_is_joined_to() -> None:
    assert _granted(DEVICE, _about(joined=True)) == _with(Right.IDENTITY, Right.LOCAL, Right.ROOM_READER)


@pytest.mark.parametrize(
    ("request_message", "owners", "everybody"),
    [
        (device_pb2.RegisterDeviceRequest(user_id=ALICE, device_id="PHONE"), {Owner(ALICE, PHONE)}, False),
        (
            device_pb2.UpdateDeviceRequest(device=device_pb2.Device(user_id=BOB, device_id="X")),
            {Owner(BOB, DeviceId("X"))},
            False,
        ),
        (device_pb2.ListDevicesRequest(), set(), True),
        (device_pb2.ListDevicesRequest(user_id=ALICE), {Owner(ALICE)}, False),
        (device_pb2.WatchDevicesRequest(), set(), True),
        (device_pb2.WatchDevicesRequest(user_ids=[ALICE, MALLORY]), {Owner(ALICE), Owner(MALLORY)}, False),
        (key_package_pb2.WatchKeyPackageStatusRequest(), set(), True),
        (
            key_package_pb2.WatchKeyPackageStatusRequest(devices=[common_pb2.DeviceRef(user_id=BOB, device_id="PHONE")]),
            {Owner(BOB, PHONE)},
            False,
        ),
        (
            encryption_pb2.ExportSecretRequest(device=common_pb2.DeviceRef(user_id=ALICE, device_id="PHONE")),
            {Owner(ALICE, PHONE)},
            False,
        ),
        (room_pb2.GetRoomRequest(room_id="!a:b"), set(), False),
        (admin_pb2.GetServerInfoRequest(), set(), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_request_says_whom_it_is_about(request_message: object, owners: set[Owner], everybody: bool) -> None:
    assert resource_of(request_message, HERE) == Resource(  # type: ignore[arg-type]  # any of the messages above
        server_name=HERE, owners=frozenset(owners), everybody=everybody
    )


@pytest.mark.parametrize(
    ("peer", "local"),
    [
        ("ipv4:127.0.0.1:5000", True),
        ("ipv4:127.9.9.9:1", True),
        ("ipv6:%5B::1%5D:5000", True),
        ("ipv6:[::1]:5000", True),
        ("unix:", True),
        ("unix:/run/dmls.sock", True),
        ("ipv4:192.0.2.1:5000", False),
        ("ipv4:10.127.0.1:5000", False),
        ("ipv6:%5B2001:db8::1%5D:5000", False),
        ("ipv6:%5B::ffff:192.0.2.1%5D:5000", False),
        ("ipv4:127.0.0.1.example:5", False),
        ("vsock:3:5", False),
        ("", False),
    ],
)
def test_only_loopback_and_unix_sockets_are_local(peer: str, local: bool) -> None:
    assert is_local_peer(peer) is local
