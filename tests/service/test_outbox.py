"""The outbox over gRPC: resumed by cursor, kept until it is acknowledged, and what a refusal undoes."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import grpc
import pytest

from dmls.service.app import Service
from dmls.service.config import Settings
from dmls.v1 import room_pb2
from tests.service.loopback import run
from tests.service.scene import ROOM, Home, World, refused, running, two_homes

ALICE, BOB = "@alice:hs1", "@bob:hs1"
ACCEPTED, CONFLICT = room_pb2.ACK_OUTCOME_ACCEPTED, room_pb2.ACK_OUTCOME_CONFLICT
DUPLICATE, UNKNOWN = room_pb2.ACK_OUTCOME_DUPLICATE, room_pb2.ACK_OUTCOME_UNKNOWN
REJECTED = room_pb2.ACK_OUTCOME_REJECTED
FORBIDDEN = room_pb2.OutboxRefused(reason=room_pb2.REFUSAL_REASON_FORBIDDEN)


def sent(event_id: str = "") -> room_pb2.OutboxSent:
    return room_pb2.OutboxSent(event_id=event_id)


async def begin(home: Home) -> World:
    """A room with two commits in the outbox: the genesis, and bob's addition."""
    world = World({home.server_name: home})
    await home.register(ALICE)
    await home.register(BOB)
    await world.join(ALICE, BOB)
    return world


def kinds(frames: list[room_pb2.WatchOutboxResponse]) -> list[str | None]:
    return [frame.WhichOneof("frame") for frame in frames]


def test_a_stream_begins_with_what_waits_and_goes_on_at_its_cursor(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            await begin(home)
            frames = await home.frames()
            assert kinds(frames) == ["started", "item", "item", "caught_up"]
            assert (frames[0].started.incarnation, frames[0].started.keepalive_interval.seconds) == (1, 30)
            assert [frame.item.sequence for frame in frames[1:3]] == [1, 2]
            assert await home.frames() != frames  # the start time differs,
            assert (await home.frames())[1:] == frames[1:]  # and nothing else
            for position, frame in enumerate(frames[:3]):
                assert (await home.frames(frame.cursor))[1:] == frames[position + 1 :]
            assert kinds(await home.frames("9:1")) == ["started", "item", "item", "caught_up"]
            for nonsense in ("x", "1:", ":1", "1:x", "-1:1"):
                async with refused() as told:
                    await home.frames(nonsense)
                assert told[0].violations[0][0] == "cursor"

    run(main())


def test_what_arises_later_comes_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            await home.register(ALICE)
            stream = home.rooms.WatchOutbox(room_pb2.WatchOutboxRequest())
            assert [(await stream.read()).WhichOneof("frame") for _ in range(2)] == ["started", "caught_up"]
            await World({"hs1": home}).join(ALICE)
            async with asyncio.timeout(5):
                frame = await stream.read()
            assert frame.item.room_event.sender == ALICE
            assert frame.item.room_id == ROOM
            stream.cancel()

    run(main())


def test_a_quiet_stream_says_that_it_is_alive(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path, keepalive_s=0.05) as home:
            stream = home.rooms.WatchOutbox(room_pb2.WatchOutboxRequest())
            frames = [(await stream.read()).WhichOneof("frame") for _ in range(4)]
            assert frames == ["started", "caught_up", "keepalive", "keepalive"]
            stream.cancel()

    run(main())


def test_a_stream_ends_when_the_service_stops(tmp_path: Path) -> None:
    async def main() -> None:
        service = Service(Settings(data=tmp_path / "hs1", server_name="hs1"))
        await service.start()
        async with grpc.aio.insecure_channel(service.address) as channel:
            stream = Home("hs1", channel).rooms.WatchOutbox(room_pb2.WatchOutboxRequest())
            assert [(await stream.read()).WhichOneof("frame") for _ in range(2)] == ["started", "caught_up"]
            async with asyncio.timeout(5):
                await service.stop()
                async with refused() as told:
                    await stream.read()
            assert (told[0].code, told[0].reason) == ("UNAVAILABLE", "SHUTTING_DOWN")

    run(main())


def test_an_item_stays_with_the_same_bytes_until_it_is_acknowledged(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            await begin(home)
            items = await home.pending()
        async with running(tmp_path) as home:
            assert await home.pending() == items
            assert (await home.acknowledge(1, sent=sent("$genesis"))).outcome == ACCEPTED
            assert await home.pending() == items[1:]
        async with running(tmp_path) as home:
            assert await home.pending() == items[1:]
            assert (await home.acknowledge(1, sent=sent("$genesis"))).outcome == DUPLICATE
            graph = await home.rooms.GetEpochGraph(room_pb2.GetEpochGraphRequest(room_id=ROOM))
            assert [node.event_id for node in graph.nodes] == ["$genesis", ""]

    run(main())


def test_acknowledgements_are_judged_one_by_one(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            await begin(home)
            acks = [
                room_pb2.OutboxAck(sequence=1, sent=sent("$genesis")),
                room_pb2.OutboxAck(sequence=1, sent=sent("$genesis")),
                room_pb2.OutboxAck(sequence=1, refused=FORBIDDEN),
                room_pb2.OutboxAck(sequence=2, sent=sent()),
                room_pb2.OutboxAck(sequence=99, sent=sent("$x")),
                room_pb2.OutboxAck(sequence=(1 << 64) - 1, sent=sent("$x")),
                room_pb2.OutboxAck(sent=sent("$x")),
                room_pb2.OutboxAck(sequence=2),
                room_pb2.OutboxAck(sequence=2, refused=room_pb2.OutboxRefused()),
                room_pb2.OutboxAck(sequence=2, sent=sent("no event id")),
            ]
            answer = await home.rooms.AckOutbox(room_pb2.AckOutboxRequest(acks=acks, incarnation=1))
            outcomes = [result.outcome for result in answer.results]
            assert outcomes == [ACCEPTED, DUPLICATE, CONFLICT, REJECTED, UNKNOWN, UNKNOWN, *[REJECTED] * 4]
            assert all(result.failure.reason for result in answer.results if result.outcome == REJECTED)
            assert [item.sequence for item in await home.pending()] == [2]
            async with refused() as told:
                await home.rooms.AckOutbox(room_pb2.AckOutboxRequest(acks=acks, incarnation=7))
            assert told[0].code == "FAILED_PRECONDITION"

    run(main())


def test_a_refused_commit_takes_its_epoch_and_what_was_made_of_it_with_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            world = await begin(home)
            await world.settle()
            before = (await home.room()).room
            await home.register("@carol:hs1")
            await world.join("@carol:hs1")
            await home.register("@carol:hs1", "D2")
            first, second = await home.pending()
            assert list(second.depends_on) == [first.sequence]
            assert (await home.room()).room.member_count == 4
            assert (await home.acknowledge(first.sequence, refused=FORBIDDEN)).outcome == ACCEPTED
            # Both are forgotten, and what they were for is done anew.
            remaining = await home.pending()
            assert {item.sequence for item in remaining}.isdisjoint({first.sequence, second.sequence})
            graph = await home.rooms.GetEpochGraph(room_pb2.GetEpochGraphRequest(room_id=ROOM))
            (waiting,) = [node for node in graph.nodes if not node.event_id]
            assert waiting.epoch == before.head.epoch + 1
            assert (await home.acknowledge(second.sequence, sent=sent("$late"))).outcome == CONFLICT
            await world.settle()
            assert (await home.room()).room.member_count == 4
            event_id = await world.say(ALICE, "all here")
            assert await world.read("@carol:hs1", event_id, "D2") == ("OK", "all here")

    run(main())


def test_a_refused_wish_is_simply_gone(tmp_path: Path) -> None:
    async def main() -> None:
        async with two_homes(tmp_path) as world:
            hs1 = world.homes["hs1"]
            await hs1.register(ALICE)
            await world.join(ALICE, "@dan:hs2")
            wishes = [item for item in await hs1.pending() if item.HasField("device_list_wanted")]
            assert [list(item.device_list_wanted.user_ids) for item in wishes] == [["@dan:hs2"]]
            assert wishes[0].device_list_wanted.HasField("taken_after")
            assert (await hs1.acknowledge(wishes[0].sequence, refused=FORBIDDEN)).outcome == ACCEPTED
            assert not [item for item in await hs1.pending() if item.HasField("device_list_wanted")]

    run(main())


def test_transaction_ids_are_fit_for_matrix_and_differ(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            await begin(home)
            names = [item.transaction_id for item in await home.pending()]
            assert len(set(names)) == 2
            assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") and len(name) <= 64 for name in names)

    run(main())


@pytest.mark.parametrize("request_id", ["", "r1"])
def test_a_repeated_acknowledgement_is_answered_alike(tmp_path: Path, request_id: str) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            await begin(home)
            first = await home.acknowledge(1, sent=sent("$genesis"), request_id=request_id)
            again = await home.acknowledge(1, sent=sent("$genesis"), request_id=request_id)
            assert first.outcome == ACCEPTED
            assert again.outcome == (ACCEPTED if request_id else DUPLICATE)

    run(main())


def test_who_has_seen_more_than_the_store_has_made_tells_it_that_it_was_put_back(tmp_path: Path) -> None:
    folder, saved = tmp_path / "hs1", tmp_path / "saved"

    async def begun() -> bytes:
        async with running(tmp_path) as home:
            world = await begin(home)
            await world.settle()
            return await epoch_of_a_message(home)

    async def epoch_of_a_message(home: Home) -> bytes:
        result = await home.encrypt(ALICE, "hello")
        assert result.WhichOneof("result") == "encrypted"
        return bytes(result.encrypted.pointer.commit_ref)

    async def lost() -> str:
        async with running(tmp_path) as home:
            world = World({"hs1": home})
            await home.register("@carol:hs1")
            await world.join(ALICE, BOB, "@carol:hs1")
            return (await home.frames())[-1].cursor

    async def put_back(cursor: str, old: bytes) -> None:
        async with running(tmp_path) as home:
            frames = await home.frames(cursor)
            assert frames[0].started.incarnation == 2
            assert [frame.item.sequence for frame in frames if frame.WhichOneof("frame") == "item"]
            assert await epoch_of_a_message(home) != old
            # Told once, it is known.
            assert (await home.frames(cursor))[0].started.incarnation == 2

    old = run(begun())
    shutil.copytree(folder, saved)
    cursor = run(lost())
    shutil.rmtree(folder)
    shutil.copytree(saved, folder)
    run(put_back(cursor, old))
