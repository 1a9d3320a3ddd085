"""Key packages over gRPC: uploaded with every check, claimed once each, repeated without loss."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.group.leaf import create_key_package
from dmls.mls.messages.leaf_node import Lifetime
from dmls.mls.messages.message import encode_message
from dmls.v1 import common_pb2, device_pb2, key_package_pb2
from tests.service.loopback import run
from tests.service.scene import SUITE, Client, Home, now_ms, refused, running

ALICE = "@alice:hs1"
STORED = key_package_pb2.UPLOAD_OUTCOME_STORED
DUPLICATE = key_package_pb2.UPLOAD_OUTCOME_DUPLICATE
ALREADY_CLAIMED = key_package_pb2.UPLOAD_OUTCOME_ALREADY_CLAIMED
REJECTED = key_package_pb2.UPLOAD_OUTCOME_REJECTED
CLAIMED = key_package_pb2.DEVICE_CLAIM_OUTCOME_CLAIMED


async def phone_of(home: Home, device_id: str = "PHONE") -> Client:
    client = Client(ALICE, device_id, os.urandom)
    await home.register(ALICE, device_id, client)
    return client


async def claim(home: Home, *device_ids: str, user_id: str = ALICE, **fields: Any) -> key_package_pb2.UserClaim:
    target = key_package_pb2.ClaimTarget(user_id=user_id, device_ids=device_ids)
    request = key_package_pb2.ClaimKeyPackagesRequest(targets=[target], **{"cipher_suites": [1], **fields})
    answer = await home.key_packages.ClaimKeyPackages(request)
    return answer.users[0]  # type: ignore[no-any-return]


async def status_of(home: Home, device_id: str = "PHONE") -> key_package_pb2.SuiteStatus:
    request = key_package_pb2.GetKeyPackageStatusRequest(user_id=ALICE, device_id=device_id)
    return (await home.key_packages.GetKeyPackageStatus(request)).status.suites[0]  # type: ignore[no-any-return]


def with_lifetime(client: Client, begins_s: int, ends_s: int) -> bytes:
    now = now_ms() // 1_000
    bundle = create_key_package(SUITE, client.own.client, Lifetime(now + begins_s, now + ends_s), os.urandom)
    return encode_message(bundle.key_package)


def forged(client: Client, **changes: Any) -> bytes:
    """A key package whose fields were changed after it was signed."""
    return encode_message(replace(client.bundles()[0].key_package, **changes))


def of_another(client: Client) -> bytes:
    """A key package of a device that calls itself by this one's name, with a key of its own."""
    return Client(client.user_id, client.device_id, os.urandom).key_packages()[0]


def renamed(client: Client) -> bytes:
    """A key package under this device's key that names another device."""
    other = Client(client.user_id, "TABLET", os.urandom)
    stolen = replace(client.own.client, credential=other.own.client.credential)
    now = now_ms() // 1_000
    return encode_message(create_key_package(SUITE, stolen, Lifetime(now - 60, now + 3_600), os.urandom).key_package)


def of_suite(client: Client, suite_id: int) -> bytes:
    suite = cipher_suite(suite_id)
    capabilities = replace(client.own.client.capabilities, cipher_suites=(suite_id,))
    own = replace(client.own.client, capabilities=capabilities)
    now = now_ms() // 1_000
    return encode_message(create_key_package(suite, own, Lifetime(now - 60, now + 3_600), os.urandom).key_package)


def with_one_key(client: Client) -> bytes:
    package = client.bundles()[0].key_package
    return forged(client, init_key=package.leaf_node.encryption_key, leaf_node=package.leaf_node)


BAD: list[tuple[str, Callable[[Client], bytes], str, str]] = [
    ("no bytes", lambda client: b"", "CODEC_TRUNCATED", ""),
    ("cut", lambda client: client.key_packages()[0][:-1], "CODEC_TRUNCATED", ""),
    ("trailing", lambda client: client.key_packages()[0] + b"\0", "CODEC_TRAILING_DATA", "ENC-08"),
    ("noise", lambda client: os.urandom(200), "", ""),
    ("unknown suite", lambda client: forged(client, cipher_suite=0x0A0A), "UNSUPPORTED", ""),
    ("a suite it has no key for", lambda client: of_suite(client, 3), "RULE_VIOLATION", ""),
    ("signed by nobody", lambda client: forged(client, signature=bytes(64)), "SIGNATURE", "KP-03"),
    ("another's", of_another, "RULE_VIOLATION", ""),
    ("device id swapped", renamed, "RULE_VIOLATION", ""),
    ("one key twice", with_one_key, "RULE_VIOLATION", "KP-04"),
    ("expired", lambda client: with_lifetime(client, -90_000, -7_200), "LIFETIME", "LN-13"),
    ("not begun", lambda client: with_lifetime(client, 7_200, 90_000), "LIFETIME", "LN-13"),
    ("too long", lambda client: with_lifetime(client, 0, 91 * 86_400), "LIFETIME", "LN-14"),
]


@pytest.mark.parametrize(("make", "reason", "rule"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_bad_key_package_is_refused_with_its_rule(
    tmp_path: Path, make: Callable[[Client], bytes], reason: str, rule: str
) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            phone = await phone_of(home)
            good, bad = phone.key_packages()[0], make(phone)
            async with refused() as told:
                await home.upload(phone, [good, bad])
            assert told[0].code == "INVALID_ARGUMENT"
            assert told[0].violations[0][0] == "key_packages[1]"
            assert told[0].reason == reason or (not reason and told[0].reason)
            assert not rule or told[0].rule == rule
            assert (await status_of(home)).available == 0

            answer = await home.upload(phone, [good, bad], allow_partial=True)
            assert [result.outcome for result in answer.results] == [STORED, REJECTED]
            assert answer.results[1].failure.reason == told[0].reason
            assert answer.results[1].failure.rule == (told[0].rule or "")
            assert answer.status.suites[0].available == 1

    run(main())


def test_an_upload_is_stored_once_and_counted_exactly(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            phone = await phone_of(home)
            bundles = phone.bundles(2, last_resort=True)
            packages = [encode_message(bundle.key_package) for bundle in bundles]
            answer = await home.upload(phone, packages)
            assert [result.outcome for result in answer.results] == [STORED] * 3
            assert [result.ref for result in answer.results] == [bundle.ref for bundle in bundles]
            suite = answer.status.suites[0]
            assert (suite.available, suite.has_last_resort) == (2, True)
            assert suite.digest == hashlib.sha256(b"".join(sorted(bundle.ref for bundle in bundles))).digest()
            assert answer.status.low_water_mark > 2
            again = await home.upload(phone, packages)
            assert [result.outcome for result in again.results] == [DUPLICATE] * 3
            assert again.status == answer.status

            replaced = await home.upload(phone, phone.key_packages(0, last_resort=True))
            assert replaced.status.suites[0].digest != suite.digest
            assert (replaced.status.suites[0].available, replaced.status.suites[0].has_last_resort) == (2, True)

    run(main())


def test_a_claimed_package_is_never_taken_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            phone = await phone_of(home)
            packages = phone.key_packages(2)
            await home.upload(phone, packages)
            (first,) = (await claim(home)).devices
            assert (first.outcome, first.key_package, first.last_resort) == (CLAIMED, packages[0], False)
            answer = await home.upload(phone, packages)
            assert [result.outcome for result in answer.results] == [ALREADY_CLAIMED, DUPLICATE]
            assert (await claim(home)).devices[0].key_package == packages[1]
            (empty,) = (await claim(home)).devices
            assert empty.outcome == key_package_pb2.DEVICE_CLAIM_OUTCOME_EXHAUSTED
            assert not empty.key_package

    run(main())


def test_the_last_resort_is_flagged_and_given_again_and_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            phone = await phone_of(home)
            one_time, last = phone.key_packages(1, last_resort=True)
            await home.upload(phone, [one_time, last])
            assert (await claim(home)).devices[0].key_package == one_time
            for _ in range(2):
                (device,) = (await claim(home)).devices
                assert (device.key_package, device.last_resort) == (last, True)
            assert (await status_of(home)).last_resort_used

    run(main())


def test_a_claim_answers_for_each_device(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            for name in ("A", "B", "C"):
                client = await phone_of(home, name)
                await home.upload(client, client.key_packages(2))
            outcomes = await claim(home, "A", "B", "X", skip_devices=[common_pb2.DeviceRef(user_id=ALICE, device_id="B")])
            assert [(each.device_id, each.outcome) for each in outcomes.devices] == [
                ("A", CLAIMED),
                ("B", key_package_pb2.DEVICE_CLAIM_OUTCOME_SKIPPED),
                ("X", key_package_pb2.DEVICE_CLAIM_OUTCOME_UNKNOWN),
            ]
            everybody = await claim(home)
            assert [each.device_id for each in everybody.devices] == ["A", "B", "C"]
            (other_suite,) = (await claim(home, "A", cipher_suites=[7])).devices
            assert other_suite.outcome == key_package_pb2.DEVICE_CLAIM_OUTCOME_NO_COMMON_SUITE
            required = common_pb2.RequiredCapabilities(extension_types=[0xABCD])
            (lacks,) = (await claim(home, "B", required_capabilities=required)).devices
            assert lacks.outcome == key_package_pb2.DEVICE_CLAIM_OUTCOME_LACKS_CAPABILITIES
            assert (await status_of(home, "B")).available == 1
            supported = common_pb2.RequiredCapabilities(extension_types=[1, 0xF0D1, 0xF0D2], credential_types=[1])
            assert (await claim(home, "B", required_capabilities=supported)).devices[0].outcome == CLAIMED
            for nobody in ("@nobody:hs1", "@dan:hs2"):
                unknown = await claim(home, user_id=nobody)
                assert unknown.outcome == key_package_pb2.USER_CLAIM_OUTCOME_UNKNOWN
                assert not unknown.devices

    run(main())


def test_a_repeated_claim_gives_the_same_package_and_another_body_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            phone = await phone_of(home)
            await home.upload(phone, phone.key_packages(3))
            first = await claim(home, request_id="r1")
            assert await claim(home, request_id="r1") == first
            assert (await status_of(home)).available == 2
            async with refused() as told:
                await claim(home, request_id="r1", room_id="!other:hs1")
            assert (told[0].code, told[0].reason) == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")
            assert await claim(home, request_id="r2") != first

    run(main())


def test_claims_at_the_same_time_get_different_packages(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            phone = await phone_of(home)
            packages = phone.key_packages(12)
            await home.upload(phone, packages)
            claims = await asyncio.gather(*(claim(home, request_id=f"r{number % 12}") for number in range(24)))
            given = [each.devices[0].key_package for each in claims]
            assert given[:12] == given[12:]
            assert sorted(given[:12]) == sorted(packages)

    run(main())


def test_the_stock_of_a_hosted_device_is_filled_up_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            await home.register(ALICE, "BOT")
            claimed = [(await claim(home, "BOT")).devices[0] for _ in range(30)]
            one_time = [each.ref for each in claimed if not each.last_resort]
            assert len(set(one_time)) == len(one_time) >= 10
            async with asyncio.timeout(10):
                while (status := await status_of(home, "BOT")).available <= 5 or status.last_resort_used:
                    await asyncio.sleep(0.01)

    run(main())


def test_a_hosted_device_uploads_nothing_and_an_unknown_one_neither(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            await home.register(ALICE, "BOT")
            stranger = Client(ALICE, "BOT", os.urandom)
            async with refused() as told:
                await home.upload(stranger, stranger.key_packages())
            assert told[0].code == "FAILED_PRECONDITION"
            async with refused() as told:
                await home.upload(Client(ALICE, "NONE", os.urandom), stranger.key_packages())
            assert (told[0].code, told[0].resource) == ("NOT_FOUND", ("device", "NONE"))
            async with refused() as told:
                await home.key_packages.GetKeyPackageStatus(
                    key_package_pb2.GetKeyPackageStatusRequest(user_id=ALICE, device_id="NONE")
                )
            assert told[0].code == "NOT_FOUND"

    run(main())


def test_a_device_that_is_deleted_has_no_packages_left(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            phone = await phone_of(home)
            await home.upload(phone, phone.key_packages(3))
            await home.devices.DeleteDevice(device_pb2.DeleteDeviceRequest(user_id=ALICE, device_id="PHONE"))
            assert (await claim(home)).outcome == key_package_pb2.USER_CLAIM_OUTCOME_OK
            assert not (await claim(home)).devices

    run(main())
