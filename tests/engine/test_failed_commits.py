"""Commits that are valid for everybody to see and that some members, or all, cannot process."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dmls.engine.effects import IngestOutcome, NoticeKind
from dmls.engine.inputs import EventReceived
from dmls.forks.graph import Device, EpochGraph
from dmls.forks.tally import Tally
from dmls.ids import CommitRef, EventId
from dmls.matrix.bodies import CommitBody, Inline, content_of, parse_body
from dmls.matrix.events import RoomEvent
from dmls.mls.codec import decode
from dmls.mls.messages.commit import UpdatePath
from dmls.mls.messages.message import MLSMessage, PublicMessage, encode_message
from tests.support.deviant_commits import Deviant, garble_path
from tests.support.hall import Hall

USERS = ("@a:one", "@b:two", "@c:three", "@d:four")


class Room:
    """Four users of four servers in one epoch; the first makes a commit that goes to those servers that a test names."""

    def __init__(self, seed: int, *, reload: bool = False) -> None:
        self.hall = Hall(seed, "one", "two", "three", "four", reload=reload)
        self.a, self.b, self.c, self.d = (self.hall.add_device(user) for user in USERS)
        for user in USERS:
            self.hall.join(user)
            self.hall.wait(30)
        (parent,) = self.hall.stands()
        assert parent is not None
        self.parent = parent
        for service in self.hall.services.values():
            assert service.members() == set(USERS)

    def bad_commit(self, *, witness: str | None = None, **breach: Any) -> RoomEvent:
        state = self.hall["one"].state
        seen = None if witness is None else self.hall[witness].state
        content = Deviant(state, self.a, self.hall.random).commit(self.parent, witness=seen, **breach)
        return self.hall.make_event(self.a.user_id, content)

    def show(self, event: RoomEvent, *servers: str) -> CommitRef:
        """Show an event to some servers, and to the others not even when they ask for it."""
        self.hall.timeline.append(event)
        self.hall.withheld = lambda server, other: other == event and server not in servers
        refs = {self.hall.deliver(name, event).commit_ref for name in servers}
        assert {self.hall.results[name, event.event_id].outcome for name in servers} == {IngestOutcome.PROCESSED}
        return refs.pop()

    def rejecting(self, server: str = "two") -> list[CommitRef]:
        return [ref for ref, entry in self.hall[server].state.entries.items() if entry.node.rejects]

    def joins(self, device: Device, server: str = "two") -> list[CommitRef]:
        entries = self.hall[server].state.entries
        return [ref for ref, entry in entries.items() if entry.node.is_external and entry.node.author == device]


def spoil_lowest(path: UpdatePath) -> UpdatePath:
    """Spoil what is for the committer's sibling."""
    return garble_path(path, [0])


@pytest.fixture(params=[False, True], ids=["", "restarted after every step"])
def room(request: pytest.FixtureRequest, seed: int) -> Room:
    return Room(seed, reload=request.param)


def test_nobody_sends_in_or_joins_what_failed_and_one_commit_rejects_it(room: Room) -> None:
    hall = room.hall
    failed = room.show(room.bad_commit(alter_path=spoil_lowest), "two")
    two = hall["two"]
    assert two.noticed(NoticeKind.COMMIT_FAILED) == [failed]
    assert two.state.stand == room.parent
    before = set(two.state.entries)
    hall.wait(90)
    (rejecting,) = room.rejecting()
    node = two.state.entries[rejecting].node
    assert (node.parent_ref, node.author, node.rejects) == (room.parent, room.b, (failed,))
    assert set(two.state.entries) - before == {rejecting}
    assert two.state.stand == rejecting
    assert hall["three"].noticed(NoticeKind.FAILURE_REPORTED) == [failed]
    assert hall.read(room.c, hall.say(room.b, "still here")) == ("ok", "still here")


def test_before_its_own_message_a_member_rejects_what_failed_at_once(room: Room) -> None:
    failed = room.show(room.bad_commit(alter_path=spoil_lowest), "two")
    event = room.hall.say(room.b, "at once")
    (rejecting,) = room.rejecting()
    assert room.hall["two"].state.entries[rejecting].node.rejects == (failed,)
    assert room.hall.read(room.d, event) == ("ok", "at once")


def test_when_another_user_votes_for_what_failed_its_victim_joins_again(room: Room) -> None:
    hall = room.hall
    event = room.bad_commit(alter_path=spoil_lowest, witness="three")
    failed = room.show(event, "three", "two", "four")
    assert failed in hall["three"].state.epochs
    hall.cut(["two"], ["three", "four"])
    third = hall.say(room.c, "read by all but one")
    hall.say(room.d, "and voted for by two")
    joins = len(room.joins(room.b))
    hall.heal("two", "three", "four")
    assert hall["two"].state.stand == hall["three"].state.head
    hall.wait(25)
    assert len(room.joins(room.b)) == joins
    hall.wait(60)
    assert len(room.joins(room.b)) == joins + 1
    head = hall["two"].state.head
    assert head is not None
    assert failed in hall["two"].state.graph.chain(head)
    assert {hall[name].state.head for name in ("two", "three", "four")} == {head}
    assert hall.read(room.b, third)[0] != "ok"
    again = hall.say(room.c, "read by all again")
    assert hall.read(room.b, again) == ("ok", "read by all again")


def test_a_commit_that_fails_for_all_is_left_by_all(room: Room) -> None:
    hall = room.hall
    flip = bytes([1]) + bytes(31)
    event = room.bad_commit(alter_tag=lambda tag: bytes(x ^ y for x, y in zip(tag, flip, strict=True)))
    failed = room.show(event, "two", "three", "four")
    hall.wait(120)
    victims = [hall[name] for name in ("two", "three", "four")]
    assert all(service.noticed(NoticeKind.COMMIT_FAILED) == [failed] for service in victims)
    # Ranks keep it to one commit; the others vote for it.
    assert len(room.rejecting()) == 1
    assert {service.state.stand for service in victims} == set(room.rejecting())
    assert {service.state.head for service in victims} == set(room.rejecting())
    said = hall.say(room.c, "as if nothing had happened")
    assert hall.read(room.b, said) == hall.read(room.d, said) == ("ok", "as if nothing had happened")


def test_a_copy_that_fails_marks_that_copy_and_another_one_is_processed(room: Room) -> None:
    hall = room.hall
    good = room.bad_commit(witness="three")
    body = parse_body(good.content)
    assert isinstance(body, CommitBody)
    assert isinstance(body.message, Inline)
    message = decode(MLSMessage, body.message.data).body
    assert isinstance(message, PublicMessage)
    spoilt = encode_message(replace(message, membership_tag=bytes(32)))
    bad = replace(good, event_id=EventId("$bad"), content=content_of(replace(body, message=Inline(spoilt))))
    ref = room.show(bad, "two")
    two = hall["two"]
    assert ref not in two.state.epochs
    assert two.state.stand == room.parent
    again = hall.step("two", EventReceived(good)).result
    assert again is not None
    assert (again.outcome, again.commit_ref, again.reason) == (IngestOutcome.PROCESSED, ref, "")
    assert ref in two.state.epochs
    assert not two.state.failed
    hall.wait(60)
    assert not room.rejecting()


def test_rejecting_a_commit_moves_no_head(room: Room) -> None:
    room.show(room.bad_commit(alter_path=spoil_lowest), "two")
    room.hall.wait(30)
    state = room.hall["two"].state
    (rejecting,) = room.rejecting()
    silent = EpochGraph.build(replace(state.graph.node(ref), rejects=()) for ref in state.graph)
    votes = [tracked.vote for tracked in state.votes.values()]
    assert rejecting in silent
    assert Tally.build(silent, votes, state.membership.joined()).head() == state.head


def test_copies_of_a_commit_under_different_signatures_split_nobody_whichever_comes_first(room: Room) -> None:
    """The signature enters the transcript, so of copies that differ in it only one makes an epoch that can be entered."""
    hall = room.hall
    content = Deviant(hall["one"].state, room.a, hall.random).commit(room.parent, witness=hall["two"].state)
    deviant = Deviant(hall["one"].state, room.a, hall.random)
    good = hall.make_event(room.a.user_id, content)
    other = hall.make_event(room.a.user_id, deviant.sign_again(room.parent, content))
    hall.timeline += [good, other]
    for server, events in (("two", (good, other)), ("three", (other, good)), ("four", (other, good))):
        for event in events:
            assert hall.deliver(server, event).outcome == IngestOutcome.PROCESSED
    hall.add_device("@b:two", "SECOND")
    hall.wait(120)
    victims = [hall[name] for name in ("two", "three", "four")]
    assert len({frozenset(service.state.entries) for service in victims}) == 1
    assert len({service.state.head for service in victims}) == 1
    said = hall.say(room.b, "still one room")
    assert hall.read(room.c, said) == hall.read(room.d, said) == ("ok", "still one room")
