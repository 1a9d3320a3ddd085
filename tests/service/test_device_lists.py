"""UpdateDeviceLists and ProvideKeyPackages over gRPC: what other servers say, and what does not fit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from dmls.v1 import common_pb2, key_package_pb2, room_pb2
from tests.service.loopback import run
from tests.service.scene import ROOM, Client, Home, World, now_ms, refused, running

ALICE, DAN = "@alice:hs1", "@dan:hs2"
APPLIED, UNCHANGED = room_pb2.DEVICE_LIST_OUTCOME_APPLIED, room_pb2.DEVICE_LIST_OUTCOME_UNCHANGED
STALE, REJECTED = room_pb2.DEVICE_LIST_OUTCOME_STALE, room_pb2.DEVICE_LIST_OUTCOME_REJECTED
CLAIMED = key_package_pb2.DEVICE_CLAIM_OUTCOME_CLAIMED
OK = key_package_pb2.USER_CLAIM_OUTCOME_OK


def device_list(version: int, *clients: Client, user_id: str = DAN, taken_at_ms: int = 0) -> room_pb2.DeviceList:
    told = room_pb2.DeviceList(user_id=user_id, version=version)
    told.taken_at.FromMilliseconds(taken_at_ms or now_ms())
    for client in clients:
        told.devices.add(device_id=client.device_id, signature_keys=[client.key])
    return told


async def tell(home: Home, *lists: room_pb2.DeviceList, **fields: Any) -> list[room_pb2.DeviceListResult]:
    request = room_pb2.UpdateDeviceListsRequest(lists=lists, **fields)
    return list((await home.rooms.UpdateDeviceLists(request)).results)


async def begin(home: Home) -> World:
    """A room of alice, who is hosted here, and dan, who is not."""
    world = World({"hs1": home})
    await home.register(ALICE)
    await world.join(ALICE, DAN)
    return world


async def wishes(home: Home, kind: str) -> list[room_pb2.OutboxItem]:
    return [item for item in await home.pending() if item.WhichOneof("action") == kind]


def test_a_list_is_taken_unless_it_is_older(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            await begin(home)
            phone, tablet = Client(DAN, "PHONE", os.urandom), Client(DAN, "TABLET", os.urandom)
            (result,) = await tell(home, device_list(5, phone))
            assert result.outcome == APPLIED
            later = [device_list(5, phone), device_list(4), device_list(6, tablet)]
            assert [(await tell(home, each))[0].outcome for each in later] == [UNCHANGED, STALE, APPLIED]
            request = room_pb2.GetRoomRequest(room_id=ROOM, include_device_lists=True)
            (held,) = (await home.rooms.GetRoom(request)).device_lists
            assert (held.version, [device.device_id for device in held.devices]) == (6, ["TABLET"])
            (future,) = await tell(home, device_list(7, tablet, taken_at_ms=now_ms() + 86_400_000))
            assert future.outcome == APPLIED
            (held,) = (await home.rooms.GetRoom(request)).device_lists
            assert held.taken_at.ToMilliseconds() <= now_ms()

    run(main())


def test_lists_are_judged_one_by_one(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            await begin(home)
            phone = Client(DAN, "PHONE", os.urandom)
            twice = device_list(1, phone, phone)
            strange = device_list(2)
            strange.devices.add(device_id="OLD")
            strange.devices.add(device_id="ODD", signature_keys=[common_pb2.SignatureKey(public_key=b"x", cipher_suites=[1, 99])])
            results = await tell(
                home,
                room_pb2.DeviceList(user_id=DAN),
                device_list(1, user_id="dan"),
                device_list(1, Client(ALICE, "D1", os.urandom), user_id=ALICE),
                device_list(1, user_id=ALICE),
                twice,
                device_list(1, user_id="@stranger:hs9"),
                strange,
                device_list(3, phone),
            )
            outcomes = [result.outcome for result in results]
            assert outcomes == [REJECTED, REJECTED, REJECTED, UNCHANGED, REJECTED, APPLIED, APPLIED, APPLIED]
            assert all(result.failure.reason for result in results if result.outcome == REJECTED)
            first = await tell(home, device_list(9), request_id="r1")
            assert first[0].outcome == APPLIED
            async with refused() as told:
                await tell(home, device_list(10), request_id="r1")
            assert told[0].reason == "REQUEST_ID_REUSED"

    run(main())


async def provide(
    home: Home, claim_id: str, *users: key_package_pb2.UserClaim, **fields: Any
) -> room_pb2.ProvideKeyPackagesResponse:
    request = room_pb2.ProvideKeyPackagesRequest(claim_id=claim_id, users=users, **fields)
    return await home.rooms.ProvideKeyPackages(request)  # type: ignore[no-any-return]


def claim_of(client: Client, data: bytes, user_id: str = DAN) -> key_package_pb2.UserClaim:
    claim = key_package_pb2.DeviceClaim(device_id=client.device_id, outcome=CLAIMED, key_package=data, cipher_suite=1)
    return key_package_pb2.UserClaim(user_id=user_id, outcome=OK, devices=[claim])


def test_key_packages_are_checked_and_the_claim_is_over(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            await begin(home)
            phone, stranger = Client(DAN, "PHONE", os.urandom), Client(DAN, "PHONE", os.urandom)
            await tell(home, device_list(5, phone))
            # Another server's device is added by whoever wants to send before its own server has done so.
            await home.encrypt(ALICE, "x")
            (item,) = await wishes(home, "claim_wanted")
            wanted = item.claim_wanted
            assert [(target.user_id, list(target.device_ids)) for target in wanted.targets] == [(DAN, ["PHONE"])]
            assert list(wanted.cipher_suites) == [1]
            assert list(wanted.required_capabilities.extension_types) == [0xF0D1, 0xF0D2]

            good = phone.key_packages()[0]
            forged = good[:-1] + bytes([good[-1] ^ 1])
            bad = [
                claim_of(phone, forged),
                claim_of(phone, stranger.key_packages()[0]),
                claim_of(phone, b"noise"),
                claim_of(Client(DAN, "NONE", os.urandom), good),
                claim_of(phone, good, "@erin:hs2"),
                claim_of(phone, good, "erin"),
            ]
            answer = await provide(home, wanted.claim_id, *bad, partial=True)
            assert not answer.stale
            assert [result.failure.reason for result in answer.results] == [
                *("SIGNATURE", "RULE_VIOLATION", "CODEC_UNKNOWN_VARIANT"),
                *["INVALID_ARGUMENT"] * 3,
            ]
            assert answer.results[0].failure.rule == "KP-03"
            assert await wishes(home, "claim_wanted") == [item]
            assert (await home.room()).room.member_count == 1

            answer = await provide(home, wanted.claim_id, claim_of(phone, good), request_id="r1")
            assert [result.HasField("failure") for result in answer.results] == [False]
            assert not await wishes(home, "claim_wanted")
            assert await provide(home, wanted.claim_id, claim_of(phone, good), request_id="r1") == answer
            assert (await provide(home, wanted.claim_id, claim_of(phone, good))).stale
            result = await home.encrypt(ALICE, "with dan")
            assert result.WhichOneof("result") == "encrypted"
            assert (await home.room()).room.member_count == 2
            (welcome,) = await wishes(home, "to_device")
            assert (welcome.to_device.user_id, welcome.to_device.device_id) == (DAN, "PHONE")

    run(main())


def test_an_answer_to_no_claim_is_stale(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            await begin(home)
            phone = Client(DAN, "PHONE", os.urandom)
            genesis = (await wishes(home, "room_event"))[0].sequence
            for name in ("nonsense", "1-99", "1-x", "9-1", f"1-{genesis}", "1-" + "9" * 40):
                answer = await provide(home, name, claim_of(phone, b"noise"))
                assert answer.stale
                assert len(answer.results) == 1

    run(main())
