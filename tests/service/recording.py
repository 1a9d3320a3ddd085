"""A small room, made once, and services that learn of it."""

from __future__ import annotations

import base64
import copy
import json
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dmls.v1 import room_pb2
from tests.service.scene import Home, World, running, two_homes

__all__ = ["bytes_of", "changed", "newcomer", "of_kind", "put_bytes", "recording", "small_room", "with_content"]

ALICE, DAN = "@alice:hs1", "@dan:hs2"


@dataclass
class Recording:
    """A room that was made once: its member events, its events, and the head on which both servers stand."""

    members: dict[str, dict[str, room_pb2.MemberEvent]]
    events: list[room_pb2.RoomEvent]
    head: bytes


_MADE: list[Recording] = []


@asynccontextmanager
async def small_room(folder: Path) -> AsyncIterator[World]:
    """Two services and a room of two users, in which one message was sent."""
    async with two_homes(folder) as world:
        hs1, hs2 = world.homes.values()
        await hs1.register(ALICE)
        await hs2.register(DAN)
        await world.join(ALICE)
        await world.settle()
        await world.join(DAN)
        await world.settle()
        await world.say(DAN, "hello")
        yield world


async def recording() -> Recording:
    """Return the recording of a small room; its events are a genesis, a commit and a message, in this order."""
    if not _MADE:
        with tempfile.TemporaryDirectory() as folder:
            async with small_room(Path(folder)) as world:
                head = (await world.homes["hs1"].room()).room.head.pointer.commit_ref
                _MADE.append(Recording(world.homes["hs1"].members, list(world.timeline.values()), head))
    return copy.deepcopy(_MADE[0])


@asynccontextmanager
async def newcomer(folder: Path) -> AsyncIterator[tuple[Home, list[room_pb2.RoomEvent]]]:
    """The service of a third server, which knows the recorded room's state and none of its events, and these."""
    recorded = await recording()
    async with running(folder, "hs3") as fresh:
        fresh.members = recorded.members
        await fresh.tell_state()
        yield fresh, recorded.events


def of_kind(events: list[room_pb2.RoomEvent], kind: str) -> room_pb2.RoomEvent:
    """Return the first event of a kind."""
    return next(event for event in events if json.loads(event.content)["kind"] == kind)


def changed(event: room_pb2.RoomEvent, **fields: Any) -> room_pb2.RoomEvent:
    """Return a copy with other fields."""
    other = copy.deepcopy(event)
    for name, value in fields.items():
        setattr(other, name, value)
    return other


def with_content(event: room_pb2.RoomEvent, change: Callable[[dict[str, Any]], object]) -> room_pb2.RoomEvent:
    """Return a copy under another event id, with a changed content."""
    content = json.loads(event.content)
    change(content)
    return changed(event, event_id=event.event_id + "x", content=json.dumps(content).encode())


def bytes_of(content: dict[str, Any], field: str) -> bytes:
    """Return the bytes that stand in a field of a content."""
    text = content[field]["inline"]
    return base64.b64decode(text + "=" * (-len(text) % 4))


def put_bytes(content: dict[str, Any], field: str, data: bytes) -> None:
    """Put bytes into a field of a content."""
    content[field] = {"inline": base64.b64encode(data).decode().rstrip("=")}
