"""Parked events: found by what they wait for, bounded by server and room, whatever the order in which they come and go."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from dmls.engine.parking import ANCHOR, EPOCH, MAX_PARKED, MAX_PARKED_OF_SERVER, Missing, ParkedEvent, Parking
from dmls.ids import CommitRef, EventId, RoomId, UserId
from dmls.matrix.events import RoomEvent


def parked(sender: str, missing: bytes, at_ms: int = 0, **fields: object) -> ParkedEvent:
    event = RoomEvent(EventId("$event"), RoomId("!room:hs"), UserId(sender), "m.room.encrypted", None, {}, 0)
    return ParkedEvent(event, Missing(missing), at_ms, **fields)  # type: ignore[arg-type]


def test_every_way_of_coming_and_going_leaves_what_was_built_at_once(seed: int) -> None:
    rng = random.Random(seed)
    parking = Parking()
    model: dict[bytes, ParkedEvent] = {}
    for number in range(400):
        key = b"%d" % rng.randrange(60)
        if key in model and rng.random() < 0.7:
            parking = parking.remove(key)
            del model[key]
        elif key not in model:
            missing = Missing(rng.choice((b"a", b"b", EPOCH + b"a")), commit_ref=CommitRef(rng.choice((b"", b"x", b"y"))))
            item = replace(parked(f"@u:hs{rng.randrange(3)}", b"", number), missing=missing, keyframe=rng.choice((b"", ANCHOR)))
            parking, gone = parking.park(key, item)
            model[key] = item
            assert gone == ()
        built = Parking.build(model.items(), {})
        assert dict(parking.events) == model
        for name in (b"a", b"b", EPOCH + b"a", ANCHOR):
            waiting = sorted(
                (key for key in model if name in model[key].waits_for), key=lambda key: (model[key].parked_at_ms, key)
            )
            assert parking.waiting_for(name) == built.waiting_for(name) == tuple(waiting)
        for ref in (b"x", b"y"):
            commits = sorted(key for key in model if model[key].missing.commit_ref == ref)
            assert parking.commits(CommitRef(ref)) == tuple(commits)
        names = {name for item in model.values() for name in item.waits_for if not name.startswith(EPOCH)}
        assert set(parking.asked) == set(built.asked) == names


def test_the_oldest_of_a_server_goes_when_it_has_too_many() -> None:
    parking = Parking()
    for number in range(MAX_PARKED_OF_SERVER):
        parking, _ = parking.park(b"%d" % number, parked("@mallory:bad", b"%d" % number, number))
    parking, _ = parking.park(b"alice", parked("@alice:good", b"a"))
    parking, gone = parking.park(b"new", parked("@other:bad", b"new", MAX_PARKED_OF_SERVER))
    assert gone == (b"0",)
    assert b"alice" in parking.events
    assert b"0" not in parking.asked


def test_the_oldest_of_the_busiest_server_goes_when_the_room_is_full() -> None:
    parking = Parking()
    for number in range(MAX_PARKED - 3):
        parking, gone = parking.park(b"%d" % number, parked(f"@u:hs{number // (MAX_PARKED_OF_SERVER - 10)}", b"m", number))
        assert gone == ()
    for key in (b"a", b"b", b"c"):
        parking, gone = parking.park(key, parked("@alice:quiet", b"m", 0))
        assert gone == ()
    parking, gone = parking.park(b"d", parked("@alice:quiet", b"m", 0))
    assert gone == (b"0",)
    assert len(parking.events) == MAX_PARKED
    assert len(parking.waiting_for(b"m")) == MAX_PARKED


@pytest.mark.parametrize("name", [b"node", ANCHOR + b"node"])
def test_what_nobody_waits_for_is_not_asked_for(name: bytes) -> None:
    one, _ = Parking().park(b"1", parked("@a:hs", name))
    two, _ = one.park(b"2", parked("@a:hs", name))
    assert name in two.remove(b"1").asked
    assert name not in two.remove(b"1").remove(b"2").asked
    assert name in two.remove(b"1").remove(b"2").want(name, 7).asked
