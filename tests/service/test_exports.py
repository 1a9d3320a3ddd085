"""Secrets that applications take from an epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dmls.v1 import common_pb2, encryption_pb2
from tests.service.loopback import run
from tests.service.recording import small_room
from tests.service.scene import ROOM, Home, refused, running

ALICE, DAN = "@alice:hs1", "@dan:hs2"


async def export(home: Home, user_id: str, device_id: str = "D1", **fields: Any) -> encryption_pb2.ExportSecretResponse:
    told = {"room_id": ROOM, "label": "call", "context": b"one", "length": 32, **fields}
    device = common_pb2.DeviceRef(user_id=user_id, device_id=device_id)
    return await home.encryption.ExportSecret(encryption_pb2.ExportSecretRequest(device=device, **told))  # type: ignore[no-any-return]


def test_all_members_get_the_same_and_each_label_context_and_epoch_another(tmp_path: Path) -> None:
    async def main() -> None:
        async with small_room(tmp_path) as world:
            hs1, hs2 = world.homes.values()
            first = await export(hs1, ALICE)
            assert len(first.secret) == 32
            assert first == await export(hs2, DAN)
            assert first.pointer == (await hs1.room()).room.head.pointer
            assert await export(hs1, ALICE, commit_ref=first.pointer.commit_ref) == first
            others = [await export(hs1, ALICE, **fields) for fields in ({"label": "file"}, {"context": b"two"}, {"length": 64})]
            assert len({first.secret, *(each.secret for each in others)}) == 4
            assert len(others[-1].secret) == 64
            graph_head = first.pointer.commit_ref
            await world.set_membership(DAN, "leave")
            await world.settle()
            await world.say(ALICE, "dan is gone")
            later = await export(hs1, ALICE)
            assert later.pointer.commit_ref != graph_head
            assert later.secret != first.secret
            async with refused() as told:
                await export(hs2, DAN, commit_ref=later.pointer.commit_ref)
            assert told[0].code in ("FAILED_PRECONDITION", "NOT_FOUND")

    run(main())


@pytest.mark.parametrize(
    ("fields", "code", "about"),
    [
        ({"label": "DMLS epoch ID"}, "INVALID_ARGUMENT", "label"),
        ({"length": 255 * 32 + 1}, "INVALID_ARGUMENT", "length"),
        ({"length": 0}, "INVALID_ARGUMENT", "length"),
        ({"room_id": "!other:hs1"}, "NOT_FOUND", "room"),
        ({"commit_ref": bytes(32)}, "NOT_FOUND", "epoch"),
        ({"device_id": "NONE"}, "NOT_FOUND", "device"),
    ],
)
def test_what_is_refused(tmp_path: Path, fields: dict[str, Any], code: str, about: str) -> None:
    async def main() -> None:
        async with small_room(tmp_path) as world:
            async with refused() as told:
                await export(world.homes["hs1"], ALICE, **fields)
            assert told[0].code == code
            named = [field for field, _ in told[0].violations] or [told[0].resource[0] if told[0].resource else ""]
            assert named == [about]

    run(main())


def test_who_was_no_member_of_the_epoch_gets_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with small_room(tmp_path) as world:
            hs1 = world.homes["hs1"]
            await hs1.register("@carol:hs1")
            async with refused() as told:
                await export(hs1, "@carol:hs1")
            assert told[0].code == "FAILED_PRECONDITION"
            async with refused() as told:
                await export(hs1, DAN)
            assert told[0].code == "PERMISSION_DENIED"

    run(main())


def test_without_hosting_nothing_is_given(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path, hosting=False) as home:
            async with refused() as told:
                await export(home, ALICE)
            assert told[0].reason == "HOSTING_DISABLED"

    run(main())
