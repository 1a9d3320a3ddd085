"""Devices over gRPC: registered, listed, deleted, and what becomes of bad requests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dmls.forks.aad import encode_identity
from dmls.ids import DeviceId, UserId
from dmls.mls.codec import encode_as, opaque
from dmls.mls.messages.credential import BasicCredential, Credential
from dmls.v1 import common_pb2, device_pb2, key_package_pb2, room_pb2
from tests.service.loopback import run
from tests.service.scene import SUITE, Client, Home, refused, running, two_homes

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


def rotation(old: Client, new: Client, **fields: Any) -> device_pb2.UpdateDeviceRequest:
    """Ask for another signature key, with a proof by the old one."""
    content = b"".join(
        encode_as(opaque, value) for value in (old.user_id.encode(), old.device_id.encode(), new.own.device.signature_key)
    )
    proof = SUITE.sign_with_label(old.own.client.signature_private_key, "DMLS 1.0 Key Rotation", content)
    device = device_pb2.Device(user_id=old.user_id, device_id=old.device_id, signature_keys=[new.key])
    request = device_pb2.UpdateDeviceRequest(device=device, **{"rotation_proof": proof, **fields})
    request.update_mask.paths.append("signature_keys")
    return request


async def shown(home: Home, device_id: str) -> device_pb2.Device:
    return (await home.devices.GetDevice(device_pb2.GetDeviceRequest(user_id=ALICE, device_id=device_id))).device  # type: ignore[no-any-return]


def test_a_name_and_published_keys_are_changed_as_the_mask_says(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            phone = Client(ALICE, "PHONE", os.urandom)
            request = request_for(phone)
            request.device_keys = b'{"keys":{}}'
            before = (await home.devices.RegisterDevice(request)).device
            assert before.device_keys == b'{"keys":{}}'
            update = device_pb2.UpdateDeviceRequest(
                device=device_pb2.Device(user_id=ALICE, device_id="PHONE", display_name="phone", device_keys=b"ignored"),
                request_id="r1",
            )
            update.update_mask.paths.append("display_name")
            after = (await home.devices.UpdateDevice(update)).device
            assert (after.display_name, after.device_keys) == ("phone", before.device_keys)
            assert after.version > before.version
            assert after.update_time.ToMilliseconds() >= before.update_time.ToMilliseconds()
            assert (await home.devices.UpdateDevice(update)).device == after
            assert await shown(home, "PHONE") == after
            update.update_mask.paths[:] = ["device_keys"]
            update.request_id = "r2"
            assert (await home.devices.UpdateDevice(update)).device.device_keys == b"ignored"
            update.device.device_id, update.request_id = "NONE", ""
            async with refused() as told:
                await home.devices.UpdateDevice(update)
            assert (told[0].code, told[0].resource) == ("NOT_FOUND", ("device", "NONE"))
            update.update_mask.paths[:] = ["custody"]
            async with refused() as told:
                await home.devices.UpdateDevice(update)
            assert told[0].violations[0][0] == "update_mask"

    run(main())


def test_another_key_needs_the_word_of_the_old_one_and_buries_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            old, new = Client(ALICE, "PHONE", os.urandom), Client(ALICE, "PHONE", os.urandom)
            await home.register(ALICE, "PHONE", old)
            await home.upload(old, old.key_packages(2))
            before = await shown(home, "PHONE")
            for bad in (b"", bytes(64), rotation(new, new).rotation_proof):
                async with refused() as told:
                    await home.devices.UpdateDevice(rotation(old, new, rotation_proof=bad))
                assert told[0].code == "INVALID_ARGUMENT"
            assert await shown(home, "PHONE") == before

            after = (await home.devices.UpdateDevice(rotation(old, new))).device
            assert after.signature_keys[0].public_key == new.key.public_key
            assert (after.create_time, after.custody) == (before.create_time, CLIENT)
            status = key_package_pb2.GetKeyPackageStatusRequest(user_id=ALICE, device_id="PHONE")
            (suite,) = (await home.key_packages.GetKeyPackageStatus(status)).status.suites
            assert suite.available == 0
            async with refused():
                await home.upload(old, old.key_packages())
            await home.upload(new, new.key_packages())
            async with refused() as told:
                await home.devices.UpdateDevice(rotation(new, old))
            assert told[0].code == "ALREADY_EXISTS"

    run(main())


def test_a_hosted_device_takes_no_key_from_others(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            await home.register(ALICE, "PHONE")
            stranger = Client(ALICE, "PHONE", os.urandom)
            async with refused() as told:
                await home.devices.UpdateDevice(rotation(stranger, stranger))
            assert told[0].code == "FAILED_PRECONDITION"

    run(main())


def test_a_deleted_device_is_shown_by_its_tombstone(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            await home.register(ALICE, "PHONE")
            delete = device_pb2.DeleteDeviceRequest(user_id=ALICE, device_id="PHONE")
            gone = (await home.devices.DeleteDevice(delete)).device
            assert await shown(home, "PHONE") == gone
            async with refused() as told:
                await shown(home, "NONE")
            assert (told[0].code, told[0].resource) == ("NOT_FOUND", ("device", "NONE"))

    run(main())
