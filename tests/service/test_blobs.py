"""Blobs over gRPC: put in pieces, checked, fetched, and given to the events that point to them."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dmls.v1 import room_pb2
from tests.service.loopback import run
from tests.service.recording import bytes_of, newcomer, with_content
from tests.service.scene import ROOM, Home, refused, running

PIECE = 256 * 1024


async def put(home: Home, *pieces: bytes, data: bytes | None = None, **fields: Any) -> bool:
    whole = b"".join(pieces) if data is None else data
    told = {"room_id": ROOM, "sha256": hashlib.sha256(whole).digest(), "size": len(whole), **fields}

    async def requests() -> AsyncIterator[room_pb2.PutBlobRequest]:
        yield room_pb2.PutBlobRequest(data=pieces[0] if pieces else b"", **told)
        for piece in pieces[1:]:
            yield room_pb2.PutBlobRequest(data=piece)

    return (await home.rooms.PutBlob(requests())).created  # type: ignore[no-any-return]


async def get(home: Home, data: bytes, offset: int = 0) -> tuple[list[int], bytes]:
    request = room_pb2.GetBlobRequest(room_id=ROOM, sha256=hashlib.sha256(data).digest(), offset=offset)
    pieces = [each async for each in home.rooms.GetBlob(request)]
    assert pieces[0].size == len(data)
    return [len(each.data) for each in pieces], b"".join(each.data for each in pieces)


def test_a_blob_comes_back_in_pieces_and_from_where_it_broke_off(tmp_path: Path) -> None:
    async def main() -> None:
        data = os.urandom(2 * PIECE + 100)
        async with running(tmp_path) as home:
            pieces = [data[:PIECE], b"", data[PIECE : 2 * PIECE], data[2 * PIECE :]]
            assert await put(home, *pieces) is True
            assert await put(home, *pieces) is False
        async with running(tmp_path) as home:
            assert await get(home, data) == ([PIECE, PIECE, 100], data)
            assert await get(home, data, PIECE + 1) == ([PIECE, 99], data[PIECE + 1 :])
            assert await get(home, data, len(data)) == ([0], b"")
            async with refused() as told:
                await get(home, data, len(data) + 1)
            assert told[0].violations[0][0] == "offset"
            async with refused() as told:
                await get(home, b"unknown")
            assert told[0].code == "NOT_FOUND"

    run(main())


@pytest.mark.parametrize(
    ("pieces", "fields"),
    [
        ([b"ab"], {"size": 3}),
        ([b"ab", b"cd"], {"size": 3}),
        ([b"abc"], {"sha256": hashlib.sha256(b"xyz").digest()}),
        ([b"abc"], {"sha256": b"short"}),
        ([b"abc"], {"size": 1 << 40}),
        ([b"abc"], {"room_id": ""}),
    ],
)
def test_bytes_that_are_not_what_they_are_said_to_be_are_refused(
    tmp_path: Path, pieces: list[bytes], fields: dict[str, Any]
) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            async with refused() as told:
                await put(home, *pieces, **fields)
            assert told[0].code == "INVALID_ARGUMENT"
            async with refused() as told:
                await get(home, b"".join(pieces))
            assert told[0].code == "NOT_FOUND"

    run(main())


def test_a_repeated_put_is_answered_alike(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as home:
            assert await put(home, b"abc", request_id="r1") is True
            assert await put(home, b"abc", request_id="r1") is True
            async with refused() as told:
                await put(home, b"xyz", request_id="r1")
            assert told[0].reason == "REQUEST_ID_REUSED"

    run(main())


def moved(events: list[room_pb2.RoomEvent]) -> tuple[room_pb2.RoomEvent, dict[str, bytes]]:
    """The genesis with its large fields in blobs."""
    data: dict[str, bytes] = {}

    def change(content: dict[str, Any]) -> None:
        for field in ("group_info", "keyframe"):
            data[field] = bytes_of(content, field)
            sha256 = base64.b64encode(hashlib.sha256(data[field]).digest()).decode().rstrip("=")
            content[field] = {"blob": {"uri": f"mxc://hs1/{field}", "sha256": sha256, "size": len(data[field])}}

    return with_content(events[0], change), data


@pytest.mark.parametrize("is_repeated", [False, True])
def test_an_event_waits_for_all_its_blobs(tmp_path: Path, is_repeated: bool) -> None:
    async def main() -> None:
        async with newcomer(tmp_path) as (fresh, events):
            genesis, data = moved(events)
            (waiting,) = await fresh.ingest(genesis)
            assert waiting.outcome == room_pb2.INGEST_OUTCOME_PARKED
            wanted = [blob for item in await fresh.pending() for blob in item.backfill_wanted.blobs]
            assert {blob.sha256 for blob in wanted} <= {hashlib.sha256(each).digest() for each in data.values()}
            assert wanted[0].uri.startswith("mxc://hs1/")
            assert waiting.missing[0].blob.sha256 == wanted[0].sha256
            assert await put(fresh, data["keyframe"])
            assert (await fresh.room()).room.parked_count == 1
            if is_repeated:
                await put(fresh, data["keyframe"])
            assert await put(fresh, data["group_info"])
            room = (await fresh.room()).room
            assert (room.parked_count, room.member_count) == (0, 1)
            assert {each.outcome for each in await fresh.ingest(*events[1:])} == {room_pb2.INGEST_OUTCOME_PROCESSED}

    run(main())


def test_an_event_whose_blobs_are_there_already_is_processed_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with newcomer(tmp_path) as (fresh, events):
            genesis, data = moved(events)
            for each in data.values():
                await put(fresh, each)
            (result,) = await fresh.ingest(genesis)
            assert result.outcome == room_pb2.INGEST_OUTCOME_PROCESSED
            assert not [item for item in await fresh.pending() if item.HasField("backfill_wanted")]

    run(main())
