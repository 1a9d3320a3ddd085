"""What makes a device join by external commit, how often, and what does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dmls.engine.effects import IngestOutcome, NoticeKind
from dmls.forks.graph import Device
from dmls.ids import CommitRef, EventId
from dmls.matrix.events import Membership
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.registry import ExtensionType
from tests.support.deviant_commits import Deviant
from tests.support.hall import Hall

A, B, C = "@a:one", "@b:two", "@c:three"
HOUR_S = 3_600


class Room:
    """Three users of three servers in one epoch."""

    def __init__(self, seed: int, *, reload: bool = False) -> None:
        self.hall = Hall(seed, "one", "two", "three", reload=reload)
        self.a, self.b, self.c = (self.hall.add_device(user) for user in (A, B, C))
        for user in (A, B, C):
            self.hall.join(user)
            self.hall.wait(90)

    @property
    def head(self) -> CommitRef:
        (stand,) = self.hall.stands()
        assert stand is not None
        return stand

    def joins(self, device: Device) -> int:
        """How often a device joined by itself, as server one saw it."""
        graph = self.hall["one"].state.graph
        return sum(graph.node(ref).is_external for ref in graph.authored(device))

    def without_welcome(self) -> Device:
        """Have b join again with a device that is added at once and whose Welcome is for a key package that nobody holds."""
        hall = self.hall
        hall.set_membership(B, Membership.LEAVE)
        hall.wait(90)
        hall.forgetful.add("two")
        join = hall.set_membership(B, Membership.JOIN, servers=["one", "three"])
        for _ in range(10):
            hall.wait(3)
        assert hall["one"].members() == {A, B, C}
        hall.tell_state("two", {**hall.members, join.user_id: join})
        assert hall["two"].state.stand not in hall["two"].state.epochs
        return self.b


@pytest.fixture(params=[False, True], ids=["", "restarted after every step"])
def room(request: pytest.FixtureRequest, seed: int) -> Room:
    return Room(seed, reload=request.param)


def test_a_welcome_for_an_unknown_key_package_is_made_good_after_half_a_minute(room: Room) -> None:
    hall = room.hall
    device = room.without_welcome()
    joins = room.joins(device)
    hall.wait(29)
    assert room.joins(device) == joins
    hall.wait(3)
    assert room.joins(device) == joins + 1
    assert hall["two"].noticed(NoticeKind.REJOINED) == [hall["two"].state.head]
    assert hall["two"].state.graph.node(room.head).removes == (device,)


def test_a_head_that_keeps_moving_does_not_put_it_off(room: Room) -> None:
    hall = room.hall
    device = room.without_welcome()
    joins = room.joins(device)
    for number in range(5):
        hall.add_device(A, f"E{number}")
        hall.wait(10)
    assert room.joins(device) > joins


def test_nothing_unauthenticated_makes_anybody_join(room: Room) -> None:
    hall = room.hall
    head = room.head
    before = [room.joins(device) for device in (room.a, room.b, room.c)]
    message = hall.say(room.a, "genuine")
    nobody = CommitRef(bytes(range(32)))
    made_up = hall.make_event(A, Deviant(hall["one"].state, room.a, hall.random).commit(head, pointer_ref=nobody))
    undecryptable = replace(message, event_id=EventId("$x"), content={**message.content, "message": {"inline": "AAAA"}})
    assert hall.deliver("two", made_up).outcome == IngestOutcome.PARKED
    assert hall.deliver("two", undecryptable).outcome == IngestOutcome.REJECTED
    hall.wait(2 * HOUR_S)
    assert [room.joins(device) for device in (room.a, room.b, room.c)] == before
    assert room.head == head
    assert not hall["two"].noticed(NoticeKind.ROLLED_BACK)


def test_a_refused_join_is_tried_again_after_pauses_that_double(seed: int) -> None:
    hall = Hall(seed, "one", "two")
    hall.add_device(A)
    hall.join(A)
    hall.wait(30)
    hall.add_device(B)
    # Server one cannot add the device, and the homeserver of two refuses what it sends.
    hall.cut(["one"], ["two"])
    hall.refused.add("two")
    hall.join(B)
    two = hall["two"]
    for event in hall.missed["two"]:
        hall.deliver("two", event)
    hall.heal("two")
    for event in hall.timeline:
        hall.deliver("two", event)
    hall.wait(6 * HOUR_S)
    refused = len(two.noticed(NoticeKind.COMMIT_REFUSED))
    # At 0, 1, 3, 7, 15, 31, 63 minutes, and then once an hour.
    assert 9 <= refused <= 12
    hall.refused.clear()
    hall.heal()
    hall.wait(HOUR_S)
    assert len(hall.heads()) == 1
    assert hall["one"].members() == {A, B}


def test_a_head_that_cannot_be_joined_stops_nothing_else(room: Room) -> None:
    hall = room.hall
    hall.set_membership(B, Membership.LEAVE)
    hall.wait(90)

    def without_key(info: GroupInfo) -> GroupInfo:
        kept = [extension for extension in info.extensions if extension.extension_type != ExtensionType.EXTERNAL_PUB]
        return replace(info, extensions=tuple(kept))

    deviant = Deviant(hall["one"].state, room.a, hall.random)
    event = hall.make_event(A, deviant.commit(room.head, witness=hall["three"].state, alter_info=without_key))
    hall.timeline.append(event)
    for name in ("two", "three"):
        hall.deliver(name, event)
    hall.cut(["two", "three"])
    two = hall["two"]
    assert two.state.head == hall["three"].state.head
    hall.join(B)
    assert two.noticed(NoticeKind.COMMIT_FAILED) == [two.state.head]
    # Another member lets it in.
    hall.wait(60)
    assert hall["three"].members() == {A, B, C}
    assert hall.read(room.b, hall.say(room.c, "welcome back")) == ("ok", "welcome back")


def test_an_external_commit_of_a_device_that_must_go_is_stored_and_undone_before_anything_is_sent(room: Room) -> None:
    hall = room.hall
    hall.cut(["two"], ["one", "three"])
    # Server two does not know that its user was banned, and lets the user's device join again.
    hall.set_membership(B, Membership.BAN, by=A, servers=["one", "three"])
    hall.wait(60)
    assert hall["one"].members() == {A, C}
    removal = hall["one"].state.stand
    for event in list(hall.missed["two"]):
        hall.deliver("two", event)
    hall.wait(120)
    joins = [event for event in hall.missed["one"] if event.sender == B and event.content["kind"] == "commit"]
    one = hall["one"]
    ref = hall.deliver("one", joins[0]).commit_ref
    node = one.state.graph.node(ref)
    assert node.is_external
    assert node.parent_ref == removal
    said = hall.encrypt(room.a, "not for b")
    assert said.outcome == "ok"
    assert one.state.entries[said.commit_ref].group.tree.find_signature_key(room.b.signature_key) is None
