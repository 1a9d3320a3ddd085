"""Several processes' keepers on one PostgreSQL database: whoever was not first begins again with what is there now."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dmls.engine.inputs import EncryptRequested, EventReceived
from dmls.forks.graph import Device
from dmls.ids import EventId, UserId
from dmls.matrix.bodies import Payload
from dmls.matrix.events import Membership
from tests.rooms.homes import ROOM, Home, World, heads
from tests.support.postgres import new_database

ALICE, BOB, DAN = UserId("@alice:hs1"), UserId("@bob:hs1"), UserId("@dan:hs2")


@pytest.fixture
def world(tmp_path: Path, seed: int) -> Iterator[World]:
    """Homeserver hs1 with its store on PostgreSQL, and hs2 with a file."""
    with new_database() as url:
        made = World(tmp_path, seed)
        made.homes["hs1"] = Home("hs1", tmp_path, made.clock, seed, url)
        made.home("hs2")
        yield made
        made.close()


@pytest.fixture
def twin(world: World, tmp_path: Path, seed: int) -> Iterator[Home]:
    """A second process of hs1's service, as far as the database can tell."""
    made = Home("hs1", tmp_path, world.clock, seed + 1, world.homes["hs1"].url)
    yield made
    made.store.close()


def begin(world: World) -> tuple[Device, Device]:
    """Let alice and dan join, and return their devices."""
    alice, dan = world.homes["hs1"].add_device("alice"), world.homes["hs2"].add_device("dan")
    world.join(ALICE, DAN)
    world.settle()
    world.let_time_pass(5)
    return alice, dan


def say(home: Home, world: World, device: Device, body: str) -> EventId:
    outcome, content = home.encrypt(device, body)
    assert outcome == "ok"
    world.settle()
    return world.publish(device.user_id, content)


def test_what_one_has_done_the_other_goes_on_with(world: World, twin: Home) -> None:
    one = world.homes["hs1"]
    alice, dan = begin(world)
    for number in range(4):
        home = (one, twin)[number % 2]
        assert world.read(dan, say(home, world, alice, f"message {number}")) == ("ok", f"message {number}")
    event_id = world.say(dan, "from the other server")
    assert twin.decrypt(alice, event_id) == ("ok", "from the other server")
    assert len(heads([one, twin, world.homes["hs2"]])) == 1
    # A device that one of them is told of is added by the other.
    bob = twin.add_device("bob")
    world.set_membership(BOB, Membership.JOIN)
    world.settle()
    assert world.read(dan, say(one, world, bob, "hello")) == ("ok", "hello")


def test_no_key_is_used_twice_when_both_send_at_once(world: World, twin: Home) -> None:
    one = world.homes["hs1"]
    alice, dan = begin(world)
    together = threading.Barrier(4)
    payload = Payload("m.room.message", {"body": "x"}, ROOM)

    def send(home: Home) -> list[bytes]:
        together.wait(10)
        contents = []
        happened = EncryptRequested(alice.user_id, alice.device_id, payload)
        for _ in range(5):
            result = home.keeper.transact([ROOM], lambda session: session.step(ROOM, happened)).encrypted
            assert result is not None
            assert result.outcome == "ok"
            contents.append(result.content)
        return contents

    with ThreadPoolExecutor(4) as pool:
        sent = [content for contents in pool.map(send, [one, twin, one, twin], timeout=120) for content in contents]
    assert len(set(sent)) == 20
    for content in sent:
        assert world.read(dan, world.publish(alice.user_id, content)) == ("ok", "x")


def test_both_wake_the_rooms_and_one_does_what_is_due(world: World, twin: Home) -> None:
    one = world.homes["hs1"]
    alice, dan = begin(world)
    assert world.read(dan, world.say(alice, "both are here"))[0] == "ok"
    world.set_membership(DAN, Membership.LEAVE)
    world.settle()
    before = len(one.state().entries)
    world.clock.now_ms += 60_000
    for _ in range(3):
        for home in (one, twin):
            for room_id in home.keeper.due(world.clock.now_ms):
                home.keeper.wake(room_id)
    assert one.keeper.due(world.clock.now_ms) == twin.keeper.due(world.clock.now_ms)
    world.settle()
    after = one.state()
    assert len(after.entries) - before == 1
    assert after.head == twin.state().head
    event = say(twin, world, alice, "dan is gone")
    assert world.read(dan, event)[0] == "not_member_then"


def test_an_event_that_both_are_told_of_is_taken_in_once(world: World, twin: Home) -> None:
    one = world.homes["hs1"]
    alice, dan = begin(world)
    event_id = world.say(dan, "once")
    event = next(event for event in world.timeline[ROOM] if event.event_id == event_id)
    results = [
        home.keeper.transact([ROOM], lambda session: session.step(ROOM, EventReceived(event))).result for home in (twin, one)
    ]
    assert [result.outcome for result in results if result is not None] == ["duplicate", "duplicate"]
    assert one.decrypt(alice, event_id) == ("ok", "once")
