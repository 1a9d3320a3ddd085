"""Events and to-device messages over gRPC: late, twice, in any order, forged; one bad item fails none of the others."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dmls.v1 import room_pb2
from tests.service.loopback import run
from tests.service.recording import bytes_of, changed, newcomer, of_kind, put_bytes, recording, with_content
from tests.service.scene import ROOM, Home, World, refused, running, two_homes

ALICE, DAN = "@alice:hs1", "@dan:hs2"
PROCESSED, PARKED = room_pb2.INGEST_OUTCOME_PROCESSED, room_pb2.INGEST_OUTCOME_PARKED
DUPLICATE, CORRECTED = room_pb2.INGEST_OUTCOME_DUPLICATE, room_pb2.INGEST_OUTCOME_CORRECTED
REJECTED, IGNORED = room_pb2.INGEST_OUTCOME_REJECTED, room_pb2.INGEST_OUTCOME_IGNORED


def flip(field: str, position: int) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        data = bytearray(bytes_of(content, field))
        data[position] ^= 1
        put_bytes(content, field, bytes(data))

    return change


def cut(field: str) -> Callable[[dict[str, Any]], None]:
    return lambda content: put_bytes(content, field, bytes_of(content, field)[:-3])


def foreign_group(content: dict[str, Any]) -> None:
    data = bytes_of(content, "group_info").replace(b"!room:hs1", b"!moor:hs1")
    put_bytes(content, "group_info", data)


async def graph_of(home: Home) -> room_pb2.GetEpochGraphResponse:
    return await home.rooms.GetEpochGraph(room_pb2.GetEpochGraphRequest(room_id=ROOM))  # type: ignore[no-any-return]


def test_events_in_order_are_processed_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with newcomer(tmp_path) as (fresh, events):
            results = await fresh.ingest(*events)
            assert {result.outcome for result in results} == {PROCESSED}
            assert [result.kind for result in results] == [
                room_pb2.EVENT_KIND_GENESIS,
                room_pb2.EVENT_KIND_COMMIT,
                room_pb2.EVENT_KIND_MESSAGE,
            ]
            graph = await graph_of(fresh)
            again = await fresh.ingest(*events)
            assert {result.outcome for result in again} == {DUPLICATE}
            assert [result.commit_ref for result in again] == [result.commit_ref for result in results]
            assert await graph_of(fresh) == graph
            flagged = changed(events[1], before_departure=True)
            assert [result.outcome for result in await fresh.ingest(flagged, flagged)] == [CORRECTED, DUPLICATE]

    run(main())


def test_events_in_the_wrong_order_wait_for_each_other(tmp_path: Path) -> None:
    async def main() -> None:
        async with newcomer(tmp_path) as (fresh, events):
            (message,) = await fresh.ingest(events[2])
            (commit,) = await fresh.ingest(events[1])
            assert (message.outcome, commit.outcome) == (PARKED, PARKED)
            assert message.missing[0].commit_ref
            assert commit.missing[0].commit_ref != message.missing[0].commit_ref
            assert (await fresh.room()).room.parked_count == 2
            wanted = [item.backfill_wanted for item in await fresh.pending() if item.HasField("backfill_wanted")]
            assert events[0].event_id in {event_id for each in wanted for event_id in each.event_ids}
            (genesis,) = await fresh.ingest(events[0])
            assert genesis.outcome == PROCESSED
            assert (await fresh.room()).room.parked_count == 0
            results = await fresh.ingest(*events)
            assert {result.outcome for result in results} == {DUPLICATE}
            assert len((await graph_of(fresh)).nodes) == 2

    run(main())


def test_a_batch_in_any_order_says_what_became_of_each_in_the_end(tmp_path: Path) -> None:
    async def main() -> None:
        async with newcomer(tmp_path) as (fresh, events):
            results = await fresh.ingest(*reversed(events))
            assert {result.outcome for result in results} == {PROCESSED}

    run(main())


BAD: list[tuple[str, str, Callable[[dict[str, Any]], None], str]] = [
    ("undecodable bytes", "commit", lambda content: put_bytes(content, "message", b"\x00\x01\xff\xff"), ""),
    ("no bytes", "genesis", lambda content: put_bytes(content, "group_info", b""), ""),
    ("truncated commit", "commit", cut("message"), ""),
    ("truncated GroupInfo", "genesis", cut("group_info"), ""),
    ("truncated tree", "genesis", cut("keyframe"), ""),
    ("forged commit", "commit", flip("message", -100), ""),
    ("forged GroupInfo signature", "genesis", flip("group_info", -1), ""),
    ("foreign group id", "genesis", foreign_group, ""),
    ("unknown suite", "commit", lambda content: content.update(ciphersuite=0x0A0A), "UNSUPPORTED"),
    ("unknown kind", "commit", lambda content: content.update(kind="surprise"), "CODEC_UNKNOWN_VARIANT"),
    ("no message", "commit", lambda content: content.pop("message") and None, "CODEC_MALFORMED"),
    ("a message that is none", "message", lambda content: put_bytes(content, "message", b"\x00\x01\x00\x01"), ""),
]


@pytest.mark.parametrize(("kind", "spoil", "reason"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_bad_event_is_rejected_and_changes_nothing(
    tmp_path: Path, kind: str, spoil: Callable[[dict[str, Any]], None], reason: str
) -> None:
    async def main() -> None:
        async with newcomer(tmp_path) as (fresh, events):
            before = [event for event in events if json.loads(event.content)["kind"] != kind][:1] if kind != "genesis" else []
            await fresh.ingest(*before)
            graph = await graph_of(fresh)
            bad = with_content(of_kind(events, kind), spoil)
            (result,) = await fresh.ingest(bad)
            assert result.outcome == REJECTED, result
            assert result.failure.reason == reason or (not reason and result.failure.reason)
            assert await graph_of(fresh) == graph
            assert (await fresh.ingest(bad))[0].outcome == REJECTED
            # The genuine ones are taken all the same.
            results = await fresh.ingest(*events)
            assert {each.outcome for each in results} <= {PROCESSED, DUPLICATE}
            assert len((await graph_of(fresh)).nodes) == 2

    run(main())


@pytest.mark.parametrize("genuine_first", [True, False])
def test_an_event_under_anothers_name_is_rejected(tmp_path: Path, genuine_first: bool) -> None:
    async def main() -> None:
        async with newcomer(tmp_path) as (fresh, events):
            if genuine_first:
                await fresh.ingest(*events)
            stolen = [changed(event, sender="@mallory:hs3", event_id=event.event_id + "x") for event in events]
            results = await fresh.ingest(*stolen)
            # Without its node the message cannot be judged yet, with it no secrets are held here to judge it.
            assert [result.outcome for result in results[:2]] == ([REJECTED] * 2 if genuine_first else [REJECTED, PARKED])
            results = await fresh.ingest(*events)
            assert {result.outcome for result in results} <= {PROCESSED, DUPLICATE}
            graph = await graph_of(fresh)
            assert [node.event_id for node in graph.nodes] == [event.event_id for event in events[:2]]
            assert (await fresh.room()).room.parked_count == 0
            assert (await fresh.ingest(stolen[1]))[0].outcome == REJECTED

    run(main())


def test_a_bad_item_fails_none_of_the_others(tmp_path: Path) -> None:
    async def main() -> None:
        async with newcomer(tmp_path) as (fresh, events):
            nameless = changed(events[0], event_id="")
            not_json = changed(events[0], event_id="$bad", content=b"{")
            too_many = changed(events[0], event_id="$many")
            too_many.auth_event_ids.extend(f"$auth-{number}" for number in range(11))
            strange = changed(events[0], event_id="$topic", type="m.room.topic")
            other = changed(events[0], event_id="$megolm", content=b'{"algorithm":"m.megolm.v1.aes-sha2"}')
            results = await fresh.ingest(nameless, not_json, too_many, strange, other, *events)
            assert [result.outcome for result in results] == [*[REJECTED] * 3, IGNORED, IGNORED, *[PROCESSED] * 3]
            assert results[0].failure.reason == "INVALID_ARGUMENT"
            assert results[1].failure.reason == "CODEC_MALFORMED"

    run(main())


def test_a_batch_that_is_too_long_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            async with refused() as told:
                await home.ingest(*[room_pb2.RoomEvent()] * 257)
            assert (told[0].code, told[0].violations[0][0]) == ("INVALID_ARGUMENT", "events")
            assert await home.ingest() == []

    run(main())


def test_member_events_decide_which_joins_are_spent(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            world = World({"hs1": home})
            await world.join(ALICE, "@bob:hs1")

            def member(event_id: str, membership: str, *auth: str, state_key: str | None = "@bob:hs1") -> room_pb2.RoomEvent:
                return room_pb2.RoomEvent(
                    room_id=ROOM,
                    event_id=event_id,
                    sender="@bob:hs1",
                    type="m.room.member",
                    state_key=state_key,
                    content=json.dumps({"membership": membership}).encode(),
                    auth_event_ids=auth,
                )

            leave = member("$leave", "leave", "$member-2")
            results = await home.ingest(leave, leave, member("$odd", "present"), member("$keyless", "leave", state_key=None))
            assert [result.outcome for result in results] == [PROCESSED, DUPLICATE, REJECTED, REJECTED]
            assert {result.kind for result in results[:2]} == {room_pb2.EVENT_KIND_MEMBER}
            # The resolved state still has the join that the leave ended.
            assert list((await home.room()).readmission_wanted_user_ids) == ["@bob:hs1"]
            contradicted = await home.ingest(member("$leave", "join", "$member-2"))
            assert contradicted[0].outcome == REJECTED

    run(main())


def test_events_may_come_before_the_rooms_state(tmp_path: Path) -> None:
    async def main() -> None:
        recorded = await recording()
        async with running(tmp_path, "hs4") as early:
            assert {result.outcome for result in await early.ingest(*recorded.events)} == {PROCESSED}
            early.members = recorded.members
            await early.tell_state()
            assert (await early.room()).room.head.pointer.commit_ref == recorded.head

    run(main())


def to_device(content: bytes, **fields: Any) -> room_pb2.ToDeviceMessage:
    told = {"message_id": "m1", "sender": ALICE, "user_id": DAN, "device_id": "D1", "type": "m.room.encrypted", **fields}
    return room_pb2.ToDeviceMessage(content=content, **told)


def test_to_device_messages_are_judged_one_by_one(tmp_path: Path) -> None:
    async def main() -> None:
        async with two_homes(tmp_path) as world:
            hs2 = world.homes["hs2"]
            await hs2.register(DAN)
            welcome = {"algorithm": "org.dmls.v1", "kind": "welcome", "room_id": ROOM, "welcome": {"inline": "AAAA"}}
            named = {**welcome, "commit_ref": base64.b64encode(bytes(32)).decode().rstrip("=")}
            genesis = {"algorithm": "org.dmls.v1", "kind": "genesis", "ciphersuite": 1}
            request = room_pb2.IngestToDeviceRequest(
                messages=[
                    to_device(json.dumps(named).encode()),
                    to_device(json.dumps(named).encode()),
                    to_device(json.dumps(welcome).encode(), message_id="m2"),
                    to_device(json.dumps(welcome).encode(), message_id="m3", device_id="NONE"),
                    to_device(json.dumps(genesis).encode(), message_id="m4"),
                    to_device(b'{"algorithm":"m.olm.v1"}', message_id="m5"),
                    to_device(b"{}", message_id="m6", type="m.room_key"),
                    to_device(b"[", message_id="m7"),
                    to_device(b"{}", message_id=""),
                ]
            )
            results = (await hs2.rooms.IngestToDevice(request)).results
            outcomes = [result.outcome for result in results]
            assert outcomes == [PARKED, PARKED, IGNORED, REJECTED, REJECTED, IGNORED, IGNORED, REJECTED, REJECTED]
            assert results[0].missing[0].commit_ref == bytes(32)
            assert results[3].failure.reason == "NOT_FOUND"

    run(main())


def test_a_repeated_request_gets_the_first_answer(tmp_path: Path) -> None:
    async def main() -> None:
        async with newcomer(tmp_path) as (fresh, events):
            first = await fresh.ingest(*events, request_id="r1")
            assert await fresh.ingest(*events, request_id="r1") == first
            assert {result.outcome for result in first} == {PROCESSED}
            async with refused() as told:
                await fresh.ingest(events[0], request_id="r1")
            assert told[0].reason == "REQUEST_ID_REUSED"

    run(main())
