"""Devices over gRPC: registered, listed, deleted, and what becomes of bad requests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dmls.forks.aad import encode_identity
from dmls.ids import DeviceId, UserId
from dmls.mls.codec import encode_as
from dmls.mls.messages.credential import BasicCredential, Credential
from dmls.v1 import common_pb2, device_pb2, key_package_pb2, room_pb2
from tests.service.loopback import run
from tests.service.scene import Client, Home, refused, running, two_homes

ALICE = "@alice:hs1"
HOSTED, CLIENT = common_pb2.CUSTODY_HOSTED, common_pb2.CUSTODY_CLIENT


def request_for(client: Client) -> device_pb2.RegisterDeviceRequest:
    return device_pb2.RegisterDeviceRequest(
        user_id=client.user_id, device_id=client.device_id, custody=CLIENT, signature_keys=[client.key]
    )


def hosted(device_id: str = "D1", user_id: str = ALICE, **fields: object) -> device_pb2.RegisterDeviceRequest:
    return device_pb2.RegisterDeviceRequest(user_id=user_id, device_id=device_id, custody=HOSTED, **fields)  # type: ignore[arg-type]


async def listed(home: Home, user_id: str = "", **fields: object) -> device_pb2.ListDevicesResponse:
    return await home.devices.ListDevices(device_pb2.ListDevicesRequest(user_id=user_id, **fields))  # type: ignore[arg-type, no-any-return]


def test_a_hosted_device_gets_keys_and_a_stock_of_key_packages(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            answer = await home.devices.RegisterDevice(hosted(display_name="bot"))
            assert answer.created
            assert (answer.device.custody, answer.device.display_name, answer.device.version) == (HOSTED, "bot", 1)
            (key,) = answer.device.signature_keys
            assert (len(key.public_key), list(key.cipher_suites)) == (32, [1])
            assert key.credential == encode_as(Credential, BasicCredential(encode_identity(UserId(ALICE), DeviceId("D1"))))
            wanted = key_package_pb2.GetKeyPackageStatusRequest(user_id=ALICE, device_id="D1")
            (suite,) = (await home.key_packages.GetKeyPackageStatus(wanted)).status.suites
            assert (suite.cipher_suite, suite.available, suite.has_last_resort) == (1, 10, True)
            assert not suite.last_resort_used

            again = await home.devices.RegisterDevice(hosted(display_name="another"))
            assert not again.created
            assert again.device == answer.device

    run(main())


def test_a_client_device_keeps_its_key(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            phone = Client(ALICE, "PHONE", os.urandom)
            answer = await home.devices.RegisterDevice(request_for(phone))
            assert answer.created
            assert answer.device.signature_keys[0].public_key == phone.key.public_key
            assert not (await home.devices.RegisterDevice(request_for(phone))).created
            async with refused() as told:
                await home.devices.RegisterDevice(request_for(Client(ALICE, "PHONE", os.urandom)))
            assert (told[0].code, told[0].reason) == ("ALREADY_EXISTS", "ALREADY_EXISTS")
            async with refused() as told:
                await home.devices.RegisterDevice(hosted("PHONE"))
            assert told[0].code == "ALREADY_EXISTS"
            assert (await listed(home)).devices == [answer.device]

    run(main())


def _other_credential(request: device_pb2.RegisterDeviceRequest) -> None:
    identity = encode_identity(UserId("@mallory:hs1"), DeviceId("PHONE"))
    request.signature_keys[0].credential = encode_as(Credential, BasicCredential(identity))


def _two_keys(request: device_pb2.RegisterDeviceRequest) -> None:
    request.signature_keys.append(request.signature_keys[0])


@pytest.mark.parametrize(
    ("spoil", "field"),
    [
        (lambda request: request.signature_keys[0].cipher_suites.append(99), "signature_keys[0].cipher_suites[1]"),
        (lambda request: request.signature_keys[0].cipher_suites.append(2), "signature_keys[0].cipher_suites"),
        (lambda request: setattr(request.signature_keys[0], "public_key", b"short"), "signature_keys[0].public_key"),
        (lambda request: setattr(request.signature_keys[0], "public_key", bytes(32)), "signature_keys[0].public_key"),
        (_other_credential, "signature_keys[0].credential"),
        (_two_keys, "signature_keys"),
        (lambda request: request.cipher_suites.append(1), "cipher_suites"),
        (lambda request: request.ClearField("signature_keys"), "signature_keys"),
        (lambda request: setattr(request, "custody", 0), "custody"),
        (lambda request: setattr(request, "user_id", "alice"), "user_id"),
    ],
)
def test_a_key_that_cannot_be_used_is_refused(
    tmp_path: Path, spoil: Callable[[device_pb2.RegisterDeviceRequest], object], field: str
) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            request = request_for(Client(ALICE, "PHONE", os.urandom))
            spoil(request)
            async with refused() as told:
                await home.devices.RegisterDevice(request)
            assert (told[0].code, told[0].violations[0][0]) == ("INVALID_ARGUMENT", field)
            assert not (await listed(home)).devices

    run(main())


def test_hosting_is_refused_unless_it_is_switched_on(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path, hosting=False) as home:
            async with refused() as told:
                await home.devices.RegisterDevice(hosted())
            assert (told[0].code, told[0].reason) == ("FAILED_PRECONDITION", "HOSTING_DISABLED")
            assert "--hosting" in told[0].hint
            assert not (await listed(home)).devices

    run(main())


def test_a_user_of_another_server_is_nobody_here(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            async with refused() as told:
                await home.devices.RegisterDevice(hosted(user_id="@dan:hs2"))
            assert told[0].code == "PERMISSION_DENIED"
            async with refused() as told:
                await listed(home, "@dan:hs2")
            assert told[0].code == "PERMISSION_DENIED"

    run(main())


def test_a_deleted_device_leaves_a_tombstone_and_never_returns_under_its_key(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            phone = Client(ALICE, "PHONE", os.urandom)
            await home.devices.RegisterDevice(request_for(phone))
            delete = device_pb2.DeleteDeviceRequest(user_id=ALICE, device_id="PHONE")
            gone = (await home.devices.DeleteDevice(delete)).device
            assert gone.HasField("delete_time")
            assert gone.signature_keys[0].public_key == phone.key.public_key
            assert (await home.devices.DeleteDevice(delete)).device == gone
            assert not (await listed(home, ALICE)).devices
            assert list((await listed(home, ALICE, include_deleted=True)).devices) == [gone]
            async with refused() as told:
                await home.devices.RegisterDevice(request_for(phone))
            assert told[0].code == "ALREADY_EXISTS"
            async with refused() as told:
                await home.devices.DeleteDevice(device_pb2.DeleteDeviceRequest(user_id=ALICE, device_id="NONE"))
            assert (told[0].code, told[0].resource) == ("NOT_FOUND", ("device", "NONE"))
            back = await home.devices.RegisterDevice(request_for(Client(ALICE, "PHONE", os.urandom)))
            assert back.created
            assert back.device.version > gone.version

    run(main())


def test_lists_come_in_pages(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            names = [(user, f"D{number}") for user in ("@alice:hs1", "@bob:hs1") for number in range(3)]
            for user, device_id in reversed(names):
                await home.devices.RegisterDevice(request_for(Client(user, device_id, os.urandom)))
            await home.devices.DeleteDevice(device_pb2.DeleteDeviceRequest(user_id="@bob:hs1", device_id="D1"))
            seen, token = [], ""
            while True:
                page = await listed(home, page_size=2, page_token=token, include_deleted=True)
                assert len(page.devices) <= 2
                seen += [(device.user_id, device.device_id) for device in page.devices]
                token = page.next_page_token
                if not token:
                    break
            assert seen == names
            assert [device.device_id for device in (await listed(home, "@bob:hs1")).devices] == ["D0", "D2"]
            async with refused() as told:
                await listed(home, page_token="nonsense")
            assert told[0].violations == (("page_token", "not a token of this list"),)

    run(main())


def test_deleting_a_device_has_its_leaf_removed_for_good(tmp_path: Path) -> None:
    async def main() -> None:
        async with two_homes(tmp_path) as world:
            hs1, hs2 = world.homes.values()
            await hs1.register(ALICE, "D1")
            await hs1.register(ALICE, "D2")
            await hs2.register("@dan:hs2")
            await world.join(ALICE, "@dan:hs2")
            await world.settle()
            assert {member.device.device_id for member in (await hs1.room()).members} == {"D1", "D2"}
            deleted = await hs1.devices.DeleteDevice(device_pb2.DeleteDeviceRequest(user_id=ALICE, device_id="D2"))
            assert list(deleted.room_ids) == ["!room:hs1"]
            # The answer to the RPC says that the commit is made.
            kinds = [item.WhichOneof("action") for item in await hs1.pending()]
            assert kinds == ["room_event"]
            await world.settle()
            for home in (hs1, hs2):
                members = [(member.device.user_id, member.device.device_id) for member in (await home.room()).members]
                assert members == [(ALICE, "D1"), ("@dan:hs2", "D1")]
            graph = await hs2.rooms.GetEpochGraph(room_pb2.GetEpochGraphRequest(room_id="!room:hs1"))
            assert [ref.device_id for node in graph.nodes for ref in node.removed] == ["D2"]

    run(main())
