"""A store that is older than what was sent from it, or a device that somebody has cloned: seen by what the room shows."""

from __future__ import annotations

import json

import pytest

from dmls.engine.effects import EncryptOutcome, NoticeKind
from dmls.engine.inputs import EncryptRequested, EventReceived, StoreRolledBack
from dmls.engine.nodes import find_leaf
from dmls.engine.voting import MAX_EVENT_VOTE_SEQ, VOTE_BLOCK
from dmls.forks.aad import make_vote, sign_vote
from dmls.forks.graph import Device
from dmls.ids import CommitRef, GroupId
from dmls.matrix.bodies import Payload, VoteBody, content_of
from dmls.matrix.events import RoomEvent
from tests.support.hall import ROOM, Hall

A, B = "@a:one", "@b:two"


class Room:
    """Two users of two servers, and the records of the second as they were some time ago."""

    def __init__(self, seed: int, *, reload: bool = False) -> None:
        self.hall = Hall(seed, "one", "two", reload=reload)
        self.a, self.b = (self.hall.add_device(user) for user in (A, B))
        for user in (A, B):
            self.hall.join(user)
            self.hall.wait(30)
        self.hall.say(self.b, "the last that the copy knows of")
        self.two = self.hall["two"]
        (parent,) = self.hall.stands()
        assert parent is not None
        self.parent = parent
        self.copy = dict(self.two.records)

    def vote(self, seq: int) -> RoomEvent:
        """A vote by b that b's server did not make."""
        group = self.two.state.entries[self.parent].group
        leaf = find_leaf(group.tree, self.b)
        assert leaf is not None
        key = self.two.agent.devices[self.b].client.signature_private_key
        signature = sign_vote(group.suite, key, make_vote(GroupId(group.context.group_id), self.parent, leaf, seq))
        return self.hall.make_event(B, dict(content_of(VoteBody(self.parent, leaf, seq, signature))))

    def evidence(self, kind: str) -> RoomEvent:
        """What the room saw of b after the copy was made."""
        if kind == "message":
            return self.hall.say(self.b, "what the copy does not know")
        if kind == "vote":
            return self.vote(self.two.state.vote_seq_reserved + 5)
        count = len(self.hall.timeline)
        self.hall.add_device(B, "E")
        self.hall.wait(5)
        return next(event for event in self.hall.timeline[count:] if event.content["kind"] == "commit")

    def last_join(self, device: Device) -> CommitRef:
        graph = self.hall["one"].state.graph
        joins = [graph.node(ref) for ref in graph.authored(device) if graph.node(ref).is_external]
        return max(joins, key=lambda node: node.vote_seq).commit_ref


@pytest.fixture(params=[False, True], ids=["", "restarted after every step"])
def room(request: pytest.FixtureRequest, seed: int) -> Room:
    return Room(seed, reload=request.param)


@pytest.mark.parametrize("kind", ["message", "commit", "vote"])
def test_an_old_store_refuses_to_send_and_joins_again(room: Room, kind: str) -> None:
    hall, two = room.hall, room.two
    event = room.evidence(kind)
    used = hall["one"].state.tally.last_seq(room.b)
    two.reload(room.copy)
    joins = room.last_join(room.b)
    # Nothing else happens at the server before it is asked to send.
    two.engine.step(EventReceived(event), hall.now, two.random)
    asked = EncryptRequested(room.b.user_id, room.b.device_id, Payload("m.room.message", {"body": "again"}, ROOM))
    refused = two.engine.step(asked, hall.now, two.random).encrypted
    assert refused is not None
    assert refused.outcome == EncryptOutcome.NO_SECRETS
    two.reload(room.copy)
    two.notices.clear()
    hall.deliver("two", event)
    hall.wait(60)
    assert two.noticed(NoticeKind.ROLLED_BACK)
    assert len(two.noticed(NoticeKind.REJOINED)) == 1
    assert room.last_join(room.b) != joins
    said = hall.encrypt(room.b, "in an epoch of its own")
    assert said.outcome == EncryptOutcome.OK
    state = hall["one"].state
    assert state.graph.is_ancestor(room.last_join(room.b), said.commit_ref)
    message = hall.make_event(B, json.loads(said.content))
    hall.send(message)
    hall.rest()
    assert hall.read(room.a, message) == ("ok", "in an epoch of its own")
    # Above every vote_seq seen, and above what may have been reserved and lost.
    assert hall["one"].state.tally.last_seq(room.b) > used + (VOTE_BLOCK if kind == "vote" else 0)


def test_what_was_made_here_is_no_evidence(room: Room) -> None:
    hall, two = room.hall, room.two
    hall.add_device(B, "E")
    hall.wait(30)
    hall.say(room.b, "one")
    for event in list(hall.timeline):
        hall.deliver("two", event)
    assert not two.state.barred
    assert not two.noticed(NoticeKind.ROLLED_BACK)


def test_evidence_from_before_a_leaf_was_added_says_nothing_against_it(room: Room) -> None:
    hall, two = room.hall, room.two
    event = room.evidence("message")
    two.reload(room.copy)
    hall.deliver("two", event)
    hall.wait(60)
    barred = two.state.barred
    hall.deliver("two", room.vote(two.state.vote_seq_reserved + 50_000))
    assert two.state.barred == barred
    assert hall.encrypt(room.b, "goes on").outcome == EncryptOutcome.OK


def test_a_device_with_an_unbeatable_vote_needs_a_new_key_and_its_neighbours_do_not(room: Room) -> None:
    hall, two = room.hall, room.two
    neighbour = hall.add_device(B, "E")
    hall.wait(30)
    event = room.vote(MAX_EVENT_VOTE_SEQ)
    hall.send(event)
    hall.rest()
    hall.wait(120)
    assert two.noticed(NoticeKind.NEEDS_NEW_KEY) == [room.parent]
    assert hall.encrypt(room.b, "no").outcome == EncryptOutcome.NEEDS_NEW_KEY
    assert hall.read(room.a, hall.say(neighbour, "yes")) == ("ok", "yes")
    assert two.state.tally.last_seq(neighbour) < 10 * VOTE_BLOCK


def test_neighbours_of_a_barred_leaf_wait_for_the_next_epoch_and_need_no_join_of_their_own(room: Room) -> None:
    hall, two = room.hall, room.two
    neighbour = hall.add_device(B, "E")
    hall.wait(90)
    copy = dict(two.records)
    event = hall.say(room.b, "not in the copy")
    two.reload(copy)
    old = two.state.stand
    two.engine.step(EventReceived(event), hall.now, two.random)
    asked = EncryptRequested(neighbour.user_id, neighbour.device_id, Payload("m.room.message", {"body": "again"}, ROOM))
    refused = two.engine.step(asked, hall.now, two.random).encrypted
    assert refused is not None
    assert refused.outcome == EncryptOutcome.NO_SECRETS
    two.reload(copy)
    hall.deliver("two", event)
    assert len(two.noticed(NoticeKind.REJOINED)) == 1
    said = hall.encrypt(neighbour, "again")
    assert said.outcome == EncryptOutcome.OK
    assert said.commit_ref != old
    assert hall.encrypt(room.b, "as well").outcome == EncryptOutcome.OK
    hall.wait(600)
    assert len(two.noticed(NoticeKind.REJOINED)) == 1
    assert len(hall.stands()) == 1


def test_a_store_that_is_told_to_be_an_old_one_sends_nothing_before_it_has_joined_again(room: Room) -> None:
    hall, two = room.hall, room.two
    neighbour = hall.add_device(B, "E")
    hall.wait(90)
    used, old = two.state.vote_seq_reserved, two.state.stand
    two.engine.step(StoreRolledBack(), hall.now, two.random)
    asked = EncryptRequested(room.b.user_id, room.b.device_id, Payload("m.room.message", {"body": "again"}, ROOM))
    refused = two.engine.step(asked, hall.now, two.random).encrypted
    assert refused is not None
    assert refused.outcome == EncryptOutcome.NO_SECRETS
    hall.step("two", StoreRolledBack())
    for device in (room.b, neighbour):
        said = hall.encrypt(device, "again")
        assert said.outcome == EncryptOutcome.OK
        assert said.commit_ref != old
    assert len(two.noticed(NoticeKind.REJOINED)) == 1
    assert max(hall["one"].state.tally.last_seq(device) for device in (room.b, neighbour)) > used + VOTE_BLOCK
