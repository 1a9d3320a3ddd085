"""Key packages over gRPC, from their owner's side: listed, replaced, deleted."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from dmls.mls.messages.message import encode_message
from dmls.v1 import key_package_pb2
from tests.service.loopback import run
from tests.service.scene import Client, Home, now_ms, refused, running

ALICE = "@alice:hs1"
AVAILABLE = key_package_pb2.KEY_PACKAGE_STATE_AVAILABLE
CLAIMED = key_package_pb2.KEY_PACKAGE_STATE_CLAIMED
STORED = key_package_pb2.UPLOAD_OUTCOME_STORED


async def phone_of(home: Home) -> Client:
    client = Client(ALICE, "PHONE", os.urandom)
    await home.register(ALICE, "PHONE", client)
    return client


async def listed(home: Home, device_id: str = "PHONE", **fields: Any) -> list[key_package_pb2.StoredKeyPackage]:
    found: list[key_package_pb2.StoredKeyPackage] = []
    token = ""
    while True:
        request = key_package_pb2.ListKeyPackagesRequest(user_id=ALICE, device_id=device_id, page_token=token, **fields)
        page = await home.key_packages.ListKeyPackages(request)
        found += page.key_packages
        token = page.next_page_token
        if not token:
            return found


async def claim(home: Home) -> key_package_pb2.DeviceClaim:
    request = key_package_pb2.ClaimKeyPackagesRequest(targets=[key_package_pb2.ClaimTarget(user_id=ALICE)], cipher_suites=[1])
    return (await home.key_packages.ClaimKeyPackages(request)).users[0].devices[0]  # type: ignore[no-any-return]


async def replace(home: Home, packages: list[bytes], **fields: Any) -> key_package_pb2.ReplaceKeyPackagesResponse:
    request = key_package_pb2.ReplaceKeyPackagesRequest(user_id=ALICE, device_id="PHONE", key_packages=packages, **fields)
    return await home.key_packages.ReplaceKeyPackages(request)  # type: ignore[no-any-return]


async def delete(home: Home, device_id: str = "PHONE", **fields: Any) -> key_package_pb2.DeleteKeyPackagesResponse:
    request = key_package_pb2.DeleteKeyPackagesRequest(user_id=ALICE, device_id=device_id, **fields)
    return await home.key_packages.DeleteKeyPackages(request)  # type: ignore[no-any-return]


def test_the_owner_sees_its_packages_in_the_order_of_issue(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            phone = await phone_of(home)
            bundles = phone.bundles(3, last_resort=True)
            refs = [bundle.ref for bundle in bundles]
            await home.upload(phone, [encode_message(bundle.key_package) for bundle in reversed(bundles)])
            everything = await listed(home)
            assert [each.ref for each in everything] == [*reversed(refs[:3]), refs[3]]
            assert [each.last_resort for each in everything] == [False, False, False, True]
            assert {each.state for each in everything} == {AVAILABLE}
            first = everything[0]
            assert first.not_before.ToMilliseconds() <= now_ms() < first.not_after.ToMilliseconds()
            assert not first.HasField("claim_time")
            assert await listed(home, page_size=1) == everything
            assert await listed(home, cipher_suites=[2]) == []

            given = [await claim(home) for _ in range(4)]
            assert [each.ref for each in given] == [each.ref for each in everything]
            assert [each.ref for each in await listed(home)] == [refs[3]]
            assert (await listed(home))[0].HasField("claim_time")
            claimed = await listed(home, states=[CLAIMED])
            assert {each.ref for each in claimed} == set(refs[:3])
            assert all(each.HasField("claim_time") for each in claimed)
            both = await listed(home, states=[AVAILABLE, CLAIMED], page_size=1)
            assert [each.ref for each in both] == [refs[3], *(each.ref for each in claimed)]

    run(main())


def test_replacing_keeps_what_is_in_both(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            phone = await phone_of(home)
            old = phone.bundles(3, last_resort=True)
            await home.upload(phone, [encode_message(bundle.key_package) for bundle in old])
            new = [old[1], *phone.bundles(2, last_resort=True)]
            packages = [encode_message(bundle.key_package) for bundle in new]
            answer = await replace(home, packages, request_id="r1")
            assert [result.outcome for result in answer.results] == [key_package_pb2.UPLOAD_OUTCOME_DUPLICATE, *[STORED] * 3]
            assert list(answer.deleted_refs) == sorted(old[number].ref for number in (0, 2, 3))
            assert {each.ref for each in await listed(home)} == {bundle.ref for bundle in new}
            assert answer.status.suites[0].available == 3
            assert await replace(home, packages, request_id="r1") == answer

            emptied = await replace(home, [], cipher_suites=[1])
            assert set(emptied.deleted_refs) == {bundle.ref for bundle in new}
            assert await listed(home) == []

    run(main())


def test_one_bad_package_and_nothing_is_replaced(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            phone = await phone_of(home)
            await home.upload(phone, phone.key_packages(2))
            before = await listed(home)
            bad = Client(ALICE, "PHONE", os.urandom).key_packages()
            async with refused() as told:
                await replace(home, [*phone.key_packages(), *bad])
            assert (told[0].code, told[0].violations[0][0]) == ("INVALID_ARGUMENT", "key_packages[1]")
            # A package that was given out does not come back by this way either.
            package = (await claim(home)).key_package
            answer = await replace(home, [package])
            assert [result.outcome for result in answer.results] == [key_package_pb2.UPLOAD_OUTCOME_ALREADY_CLAIMED]
            assert list(answer.deleted_refs) == [before[1].ref]

    run(main())


def test_packages_are_deleted_by_name_and_by_suite(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            phone = await phone_of(home)
            await home.upload(phone, phone.key_packages(3, last_resort=True))
            first, *rest = await listed(home)
            answer = await delete(home, refs=[first.ref, b"nobody's"])
            assert list(answer.deleted_refs) == [first.ref]
            assert answer.status.suites[0].available == 2
            assert not (await delete(home, refs=[first.ref])).deleted_refs
            assert not (await delete(home)).deleted_refs
            assert set((await delete(home, cipher_suites=[1])).deleted_refs) == {each.ref for each in rest}
            assert await listed(home) == []
            for call in (listed(home, "NONE"), delete(home, "NONE")):
                async with refused() as told:
                    await call
                assert (told[0].code, told[0].resource) == ("NOT_FOUND", ("device", "NONE"))

    run(main())


def test_a_hosted_device_replaces_nothing_and_is_stocked_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            await home.register(ALICE, "PHONE")
            async with refused() as told:
                await replace(home, Client(ALICE, "PHONE", os.urandom).key_packages())
            assert told[0].code == "FAILED_PRECONDITION"
            before = {each.ref for each in await listed(home)}
            assert set((await delete(home, cipher_suites=[1])).deleted_refs) == before
            async with asyncio.timeout(10):
                while not (after := {each.ref for each in await listed(home)}):
                    await asyncio.sleep(0.01)
            assert not after & before

    run(main())


def test_a_page_token_of_another_list_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            await phone_of(home)
            for token in ("nonsense", "00", "0100"):
                async with refused() as told:
                    await home.key_packages.ListKeyPackages(
                        key_package_pb2.ListKeyPackagesRequest(user_id=ALICE, device_id="PHONE", page_token=token)
                    )
                assert told[0].violations == (("page_token", "not a token of this list"),)

    run(main())
