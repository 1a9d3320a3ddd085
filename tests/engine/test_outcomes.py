"""Every answer that a message can get, and what makes it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dmls.engine.effects import IngestOutcome
from dmls.engine.inputs import DecryptRequested
from dmls.forks.graph import Device
from dmls.ids import EventId
from dmls.matrix.events import Membership, RoomEvent
from tests.support.hall import Hall

DAY_S = 86_400
A, B = "@a:one", "@b:two"


class Room:
    """Two users of two servers in one epoch."""

    def __init__(self, seed: int) -> None:
        self.hall = Hall(seed, "one", "two")
        self.a, self.b = (self.hall.add_device(user) for user in (A, B))
        for user in (A, B):
            self.hall.join(user)
            self.hall.wait(30)

    def say_unseen(self, device: Device) -> RoomEvent:
        """Send a message that the other server does not get."""
        self.hall.cut(["one"], ["two"])
        event = self.hall.say(device, "unseen")
        for missed in self.hall.missed.values():
            missed.clear()
        self.hall.heal()
        return event

    def read_late(self, device: Device, event: RoomEvent) -> str:
        """Show a message to a device's server, and let the device read it."""
        self.hall.deliver(device.server, event)
        return self.hall.read(device, event)[0]


@pytest.fixture
def room(seed: int) -> Room:
    return Room(seed)


def test_ok(room: Room) -> None:
    assert room.hall.read(room.b, room.hall.say(room.a, "hello")) == ("ok", "hello")


def test_pending_commit_while_the_commit_of_its_epoch_has_not_come(room: Room) -> None:
    hall = room.hall
    hall.cut(["one"], ["two"])
    hall.add_device(A, "E")
    hall.wait(5)
    message = hall.say(room.a, "in a new epoch")
    hall.missed["two"].remove(message)
    hall.cut(["one"], ["two"])
    assert room.read_late(room.b, message) == "pending_commit"
    hall.heal()
    assert hall.read(room.b, message) == ("ok", "in a new epoch")


def test_not_member_then(room: Room) -> None:
    message = room.hall.say(room.a, "before c came")
    late = room.hall.add_device(B, "LATE")
    room.hall.wait(30)
    assert room.hall.read(late, message)[0] == "not_member_then"
    assert room.hall.read(late, room.hall.say(room.a, "after"))[0] == "ok"


def test_expired_when_the_epoch_is_over(room: Room) -> None:
    message = room.say_unseen(room.a)
    room.hall.add_device(A, "E")
    room.hall.wait(8 * DAY_S)
    assert room.read_late(room.b, message) == "expired"


def test_duplicate_under_another_event_or_read_long_ago(room: Room) -> None:
    hall = room.hall
    message = hall.say(room.a, "once")
    copy = replace(message, event_id=EventId("$copy"))
    assert room.read_late(room.b, copy) == "duplicate"
    assert hall.read(room.b, message)[0] == "ok"
    hall.wait(2 * 3_600)
    assert hall.read(room.b, message)[0] == "duplicate"


def test_sender_not_in_room_where_the_event_cites_no_join(room: Room) -> None:
    message = room.say_unseen(room.b)
    leave = room.hall.set_membership(B, Membership.LEAVE)
    left = replace(message, auth_events=(leave.event_id,))
    assert room.read_late(room.a, left) == "sender_not_in_room"
    # The homeserver may find out later that the message precedes the leave.
    assert room.read_late(room.a, replace(left, before_departure=True)) == "ok"


def test_what_was_sent_beside_a_leave_is_read_also_when_the_state_goes_back(room: Room) -> None:
    hall = room.hall
    join = hall.members[room.b.user_id]
    first, second = room.say_unseen(room.b), room.say_unseen(room.b)
    hall.set_membership(B, Membership.LEAVE)
    assert room.read_late(room.a, first) == "ok"
    hall.tell_state("one", {**hall.members, room.b.user_id: join})
    assert hall["one"].state.membership.needs_readmission() == {B}
    assert room.read_late(room.a, second) == "ok"


def test_malformed_by_another_sender_or_other_bytes(room: Room) -> None:
    hall = room.hall
    message = room.say_unseen(room.a)
    stolen = replace(message, event_id=EventId("$stolen"), sender=room.b.user_id)
    assert room.read_late(room.b, stolen) == "malformed"
    empty = replace(message, event_id=EventId("$empty"), content={**message.content, "message": {"inline": "AAAA"}})
    assert room.read_late(room.b, empty) == "malformed"
    # None of that used up the genuine message's key.
    assert room.read_late(room.b, message) == "ok"
    assert hall.read(room.b, message) == ("ok", "unseen")


def test_unknown_event(room: Room) -> None:
    asked = DecryptRequested(room.b.user_id, room.b.device_id, EventId("$never"))
    answer = room.hall.step("two", asked).decrypted
    assert answer is not None
    assert answer.outcome == "unknown_event"


def test_a_commit_on_a_deleted_epoch_counts_and_is_not_processed(seed: int) -> None:
    hall = Hall(seed, "one", "two")
    for user in (A, B, "@c:one"):
        hall.add_device(user)
        hall.join(user)
        hall.wait(30)
    hall.cut(["one"], ["two"])
    hall.add_device(B, "E")
    # Longer than epochs are retained, and shorter than keys are used.
    hall.wait(4 * DAY_S)
    # The side that is behind has more users, so its branch wins.
    hall.add_device(A, "E")
    hall.wait(30)
    hall.say(hall.devices[A]["D"], "here")  # type: ignore[index]
    hall.say(hall.devices["@c:one"]["D"], "and here")  # type: ignore[index]
    stale = hall["one"].state.head
    assert stale is not None
    hall.heal()
    two = hall["two"].state
    results = [result for (name, _), result in hall.results.items() if name == "two" and result.commit_ref == stale]
    assert results[0].outcome == IngestOutcome.PROCESSED
    assert results[0].reason == "STALE_PARENT"
    assert stale in two.graph
    assert stale not in two.epochs
    assert two.graph.is_ancestor(stale, two.head or stale)
    hall.wait(700)
    assert len(hall.heads()) == 1
    assert hall["two"].state.head in hall["two"].state.epochs
