"""EncryptEvents and DecryptEvents over gRPC: outcomes one by one, and what must be sent before a ciphertext."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from dmls.v1 import common_pb2, device_pb2, encryption_pb2, room_pb2
from tests.service.loopback import run
from tests.service.scene import ROOM, Client, Home, World, refused, running, two_homes, with_alice

ALICE, BOB, DAN = "@alice:hs1", "@bob:hs1", "@dan:hs2"


def event(sender: str = ALICE, device_id: str = "D1", **fields: Any) -> encryption_pb2.EventToEncrypt:
    told = {"room_id": ROOM, "type": "m.room.message", "content": b'{"body":"x"}', **fields}
    return encryption_pb2.EventToEncrypt(sender=common_pb2.DeviceRef(user_id=sender, device_id=device_id), **told)


async def encrypt(home: Home, *events: encryption_pb2.EventToEncrypt, request_id: str = "") -> list[encryption_pb2.EncryptResult]:
    request = encryption_pb2.EncryptEventsRequest(request_id=request_id, events=events)
    return list((await home.encryption.EncryptEvents(request)).results)


def refusal(result: encryption_pb2.EncryptResult) -> str:
    return encryption_pb2.EncryptRefusal.Name(result.failure.refusal).removeprefix("ENCRYPT_REFUSAL_")


def test_a_ciphertext_names_what_must_be_sent_before_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            world = World({"hs1": home})
            await home.register(ALICE)
            await home.register(BOB)
            await world.join(ALICE, BOB)
            (first,) = await encrypt(home, event())
            pending = [item.sequence for item in await home.pending()]
            assert list(first.encrypted.depends_on) == pending == [1, 2]
            assert first.encrypted.type == "m.room.encrypted"
            head = (await home.room()).room.head.pointer
            assert first.encrypted.pointer == head
            await world.settle()
            (second,) = await encrypt(home, event())
            assert not second.encrypted.depends_on
            told = world.event(ALICE, second.encrypted.content)
            await world.publish(told)
            assert await world.read(BOB, told.event_id) == ("OK", "x")

    run(main())


def test_a_commit_that_comes_later_is_not_waited_for(tmp_path: Path) -> None:
    async def main() -> None:
        async with with_alice(tmp_path) as (home, world):
            await world.settle()
            phone = Client(BOB, "PHONE", os.urandom)
            await home.register(BOB, "PHONE", phone)
            await home.upload(phone, phone.key_packages())
            # Bob's device is added by a commit that the message does not need.
            await home.tell_state()
            home.members[ROOM][BOB] = room_pb2.MemberEvent(
                event_id="$bob", user_id=BOB, sender=BOB, membership=room_pb2.MEMBERSHIP_JOIN
            )
            await home.tell_state()
            (result,) = await encrypt(home, event())
            items = await home.pending()
            commits = [item.sequence for item in items if item.HasField("room_event")]
            assert len(commits) == 1
            assert list(result.encrypted.depends_on) == commits
            assert [item.WhichOneof("action") for item in items] == ["room_event", "to_device"]

    run(main())


def test_what_cannot_be_encrypted_is_refused_one_by_one(tmp_path: Path) -> None:
    async def main() -> None:
        async with two_homes(tmp_path) as world:
            hs1, hs2 = world.homes.values()
            await hs1.register(ALICE)
            await hs1.register(BOB)
            phone = Client(ALICE, "PHONE", os.urandom)
            await hs1.register(ALICE, "PHONE", phone)
            await world.join(ALICE)
            await world.settle()
            results = await encrypt(
                hs1,
                event(),
                event(BOB),
                event(ALICE, "NONE"),
                event(ALICE, "PHONE"),
                event(room_id="!none:hs1"),
                event(content=b"[1]"),
                event(content=b'{"a":1}', type=""),
                event(content=json.dumps({"body": "x" * 50_000}).encode()),
                event(DAN),
                event("nobody"),
            )
            assert results[0].WhichOneof("result") == "encrypted"
            assert [refusal(result) for result in results[1:]] == [
                "NOT_JOINED",
                "UNKNOWN_DEVICE",
                "UNKNOWN_DEVICE",
                "UNKNOWN_ROOM",
                "MALFORMED",
                "MALFORMED",
                "MALFORMED",
                "UNKNOWN_DEVICE",
                "MALFORMED",
            ]
            assert all(result.failure.failure.reason for result in results[1:])
            assert not any(result.failure.HasField("retry_delay") for result in results[1:])
            await world.set_membership(ALICE, "leave")
            assert [refusal(result) for result in await encrypt(hs1, event())] == ["NOT_JOINED"]
            await hs2.register(DAN)

    run(main())


def test_a_room_that_is_not_encrypted_gets_no_ciphertext(tmp_path: Path) -> None:
    async def main() -> None:
        async with with_alice(tmp_path) as (home, _):
            await home.tell_state(encryption=b"")
            assert [refusal(result) for result in await encrypt(home, event())] == ["NOT_ENCRYPTED"]

    run(main())


def test_a_device_that_waits_for_its_welcome_is_told_to_ask_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with two_homes(tmp_path) as world:
            hs1, hs2 = world.homes.values()
            await hs2.register(DAN)
            await world.join(ALICE, DAN)
            # Alice's homeserver has begun nothing, because she has no device yet.
            (result,) = await encrypt(hs2, event(DAN))
            assert refusal(result) == "PENDING_COMMIT"
            assert result.failure.HasField("retry_delay")
            assert list(result.failure.waits_for) == [item.sequence for item in await hs2.pending()]
            await hs1.register(ALICE)

    run(main())


def test_a_repeated_request_gives_the_same_ciphertexts(tmp_path: Path) -> None:
    async def main() -> None:
        async with with_alice(tmp_path) as (home, _):
            first = await encrypt(home, event(), event(), request_id="r1")
            assert len({result.encrypted.content for result in first}) == 2
            assert await encrypt(home, event(), event(), request_id="r1") == first
            async with refused() as told:
                await encrypt(home, event(), request_id="r1")
            assert told[0].reason == "REQUEST_ID_REUSED"
            assert (await encrypt(home, event(), event())) != first

    run(main())


def test_a_repeated_request_after_a_restart_gives_the_same_ciphertexts(tmp_path: Path) -> None:
    async def main() -> None:
        async with with_alice(tmp_path) as (home, _):
            first = await encrypt(home, event(), request_id="r1")
        async with running(tmp_path) as home:
            assert await encrypt(home, event(), request_id="r1") == first
            (another,) = await encrypt(home, event(), request_id="r2")
            assert another.encrypted.content != first[0].encrypted.content

    run(main())


def test_plaintexts_are_for_members_only_and_outlive_a_lost_answer(tmp_path: Path) -> None:
    async def main() -> None:
        async with two_homes(tmp_path) as world:
            hs1, hs2 = world.homes.values()
            for home, user in ((hs1, ALICE), (hs1, BOB), (hs2, DAN)):
                await home.register(user)
            await world.join(ALICE, DAN)
            await world.settle()
            event_id = await world.say(ALICE, "hello")
            assert await world.read(DAN, event_id) == ("OK", "hello")
            assert await world.read(DAN, event_id) == ("OK", "hello")
            assert await world.read(BOB, event_id) == ("NOT_MEMBER_THEN", "")
            await world.join(BOB)
            await world.settle()
            assert await world.read(BOB, event_id) == ("NOT_MEMBER_THEN", "")
            result = await hs2.decrypt(DAN, event_id)
            assert result.decrypted.type == "m.room.message"
            assert result.decrypted.sender == common_pb2.DeviceRef(user_id=ALICE, device_id="D1")
            assert result.decrypted.origin_server_ts == world.timeline[event_id].origin_server_ts
            assert len(result.decrypted.sender_signature_key) == 32
            reader = common_pb2.DeviceRef(user_id=DAN, device_id="D1")
            wanted = encryption_pb2.EventToDecrypt(room_id=ROOM, event_id=event_id, reader=reader)
            request = encryption_pb2.DecryptEventsRequest(request_id="r1", events=[wanted])
            first = await hs2.encryption.DecryptEvents(request)
            assert await hs2.encryption.DecryptEvents(request) == first
            request.events.append(wanted)
            async with refused() as told:
                await hs2.encryption.DecryptEvents(request)
            assert told[0].reason == "REQUEST_ID_REUSED"

    run(main())


def test_what_cannot_be_decrypted_has_an_outcome_of_its_own(tmp_path: Path) -> None:
    async def main() -> None:
        async with two_homes(tmp_path) as world:
            hs1, hs2 = world.homes.values()
            await hs1.register(ALICE)
            await hs2.register(DAN)
            await world.join(ALICE, DAN)
            await world.settle()
            (result,) = await encrypt(hs1, event())
            original = world.event(ALICE, result.encrypted.content)

            def copy(name: str, sender: str = ALICE, content: bytes = original.content) -> room_pb2.RoomEvent:
                return room_pb2.RoomEvent(room_id=ROOM, event_id=name, sender=sender, type="m.room.encrypted", content=content)

            broken = json.loads(original.content)
            broken["message"]["inline"] = broken["message"]["inline"][:-8] + "AAAAAAAA"
            await hs2.ingest(copy("$broken", content=json.dumps(broken).encode()), copy("$stolen", DAN))
            await world.publish(original)
            await hs2.ingest(copy("$again"))
            assert await world.read(DAN, original.event_id) == ("OK", "x")
            assert await world.read(DAN, "$broken") == ("MALFORMED", "")
            assert await world.read(DAN, "$stolen") == ("MALFORMED", "")
            assert await world.read(DAN, "$again") == ("DUPLICATE", "")
            assert await world.read(DAN, "$never-told") == ("UNKNOWN_EVENT", "")
            assert await world.read(DAN, original.event_id, "NONE") == ("UNKNOWN_DEVICE", "")
            genesis = next(name for name, each in world.timeline.items() if json.loads(each.content)["kind"] == "genesis")
            assert await world.read(DAN, genesis) == ("UNKNOWN_EVENT", "")

    run(main())


def test_a_message_of_an_epoch_that_has_not_come_is_pending(tmp_path: Path) -> None:
    async def main() -> None:
        async with two_homes(tmp_path) as world:
            hs1, hs2 = world.homes.values()
            await hs1.register(ALICE)
            await hs2.register(DAN)
            await world.join(ALICE, DAN)
            await world.settle()
            await hs1.register(ALICE, "D2")
            (result,) = await encrypt(hs1, event())
            told = world.event(ALICE, result.encrypted.content)
            await world.publish(told)
            assert await world.read(DAN, told.event_id) == ("PENDING_COMMIT", "")
            await world.settle()
            assert await world.read(DAN, told.event_id) == ("OK", "x")

    run(main())


def test_without_hosting_nothing_is_encrypted(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            await home.register(ALICE)
            await World({"hs1": home}).join(ALICE)
        async with running(tmp_path, hosting=False) as home:
            for call in (home.encrypt(ALICE, "x"), home.decrypt(ALICE, "$x")):
                async with refused() as told:
                    await call
                assert (told[0].code, told[0].reason) == ("FAILED_PRECONDITION", "HOSTING_DISABLED")
            assert len((await home.devices.ListDevices(device_pb2.ListDevicesRequest())).devices) == 1

    run(main())
