"""A service that joins a room with a history: it needs no genesis where another user stands for a keyframe."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dmls.v1 import room_pb2
from tests.service.loopback import run
from tests.service.recording import ALICE, bytes_of, small_room, with_content
from tests.service.scene import ROOM, Home, running

PROCESSED, PARKED = room_pb2.INGEST_OUTCOME_PROCESSED, room_pb2.INGEST_OUTCOME_PARKED


@pytest.mark.parametrize("in_blob", [False, True])
def test_a_new_service_enters_by_the_last_keyframe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, in_blob: bool) -> None:
    monkeypatch.setattr("dmls.engine.committing.KEYFRAME_EVERY", 1)

    async def main() -> None:
        async with small_room(tmp_path / "room") as world:
            await world.say(ALICE, "welcome")
            events = list(world.timeline.values())
            head = (await world.homes["hs1"].room()).room.head.pointer.commit_ref
            members = world.homes["hs1"].members
        blobs: list[bytes] = []

        def spill(content: dict[str, object]) -> None:
            data = bytes_of(content, "keyframe")
            blobs.append(data)
            digest = base64.b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
            content["keyframe"] = {"blob": {"uri": "mxc://hs1/keyframe", "sha256": digest, "size": len(data)}}

        shown = [event for event in events if json.loads(event.content)["kind"] != "genesis"]
        if in_blob:
            shown = [with_content(event, spill) if _carries(event) else event for event in shown]
        async with running(tmp_path / "fresh", "hs3") as fresh:
            fresh.members = members
            await fresh.tell_state()
            results = await fresh.ingest(*shown)
            assert {result.outcome for result in results} == ({PARKED} if in_blob else {PROCESSED})
            if in_blob:
                wanted = {blob.sha256 for item in await fresh.pending() for blob in item.backfill_wanted.blobs}
                assert wanted == {hashlib.sha256(data).digest() for data in blobs}
                for data in blobs:
                    await _put(fresh, data)
            room = (await fresh.room()).room
            assert room.head.pointer.commit_ref == head
            assert room.parked_count == 0

    run(main())


def _carries(event: room_pb2.RoomEvent) -> bool:
    return "inline" in json.loads(event.content).get("keyframe", {})


async def _put(home: Home, data: bytes) -> None:
    async def parts() -> AsyncIterator[room_pb2.PutBlobRequest]:
        yield room_pb2.PutBlobRequest(room_id=ROOM, sha256=hashlib.sha256(data).digest(), size=len(data), data=data)

    await home.rooms.PutBlob(parts())
