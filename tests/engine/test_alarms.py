"""What a member is told about others that lie, were cloned, or are shown something else."""

from __future__ import annotations

import json

import pytest

from dmls.engine.alarms import note_pointers
from dmls.engine.effects import NoticeKind
from dmls.engine.nodes import epoch_id, find_leaf
from dmls.engine.state import Draft
from dmls.forks.aad import EpochPointer, make_message_aad, make_vote, sign_vote
from dmls.forks.graph import Device
from dmls.ids import CommitRef, EpochId, GroupId
from dmls.matrix.bodies import Inline, MessageBody, Payload, VoteBody, content_of, encode_payload
from dmls.matrix.events import RoomEvent
from dmls.mls.group.application import encrypt
from tests.support.deviant_commits import Deviant
from tests.support.hall import ROOM, Hall

A, B = "@a:one", "@b:two"
LIE = EpochId(bytes(32))


class Room:
    """Two users of two servers in one epoch; the first does what its service would not."""

    def __init__(self, seed: int, *, reload: bool = False) -> None:
        self.hall = Hall(seed, "one", "two", reload=reload)
        self.a, self.b = (self.hall.add_device(user) for user in (A, B))
        for user in (A, B):
            self.hall.join(user)
            self.hall.wait(90)
        (stand,) = self.hall.stands()
        assert stand is not None
        self.head = stand
        self.two = self.hall["two"]

    def commit(self, *, vote_seq: int = 900, epoch: bytes | None = None) -> CommitRef:
        """Show server two a commit by a."""
        content = Deviant(self.hall["one"].state, self.a, self.hall.random).commit(self.head, vote_seq=vote_seq, epoch=epoch)
        return self.hall.deliver("two", self.hall.make_event(A, content)).commit_ref

    def message(self, name: EpochId) -> RoomEvent:
        """A message by a that says its epoch's id is `name`."""
        one = self.hall["one"]
        held = one.state.epochs[self.head].state
        leaf = find_leaf(held.public.tree, self.a)
        assert leaf is not None
        client = one.agent.devices[self.a].client
        data = encode_payload(Payload("m.room.message", {"body": "hello"}, ROOM))
        aad = make_message_aad(EpochPointer(self.head, name))
        sent = encrypt(held, client, leaf, data, self.hall.random, authenticated_data=aad)
        return self.hall.make_event(A, json.loads(json.dumps(content_of(MessageBody(Inline(sent.message))))))

    def vote(self, ref: CommitRef, seq: int, device: Device) -> None:
        """Show server two a vote by a."""
        group = self.two.state.entries[ref].group
        leaf = find_leaf(group.tree, device)
        assert leaf is not None
        key = self.hall["one"].agent.devices[device].client.signature_private_key
        signature = sign_vote(group.suite, key, make_vote(GroupId(group.context.group_id), ref, leaf, seq))
        self.hall.deliver("two", self.hall.make_event(A, dict(content_of(VoteBody(ref, leaf, seq, signature)))))


@pytest.fixture(params=[False, True], ids=["", "restarted after every step"])
def room(request: pytest.FixtureRequest, seed: int) -> Room:
    return Room(seed, reload=request.param)


def test_a_commit_on_an_epoch_that_has_another_id_for_its_author(room: Room) -> None:
    room.commit()
    assert not room.two.noticed(NoticeKind.FORK_ALARM)
    ref = room.commit(epoch=LIE, vote_seq=901)
    assert room.two.noticed(NoticeKind.FORK_ALARM) == [room.head]
    # It is an alarm, not a judgement.
    assert ref in room.two.state.epochs


def test_a_message_of_an_epoch_that_has_another_id_for_its_sender(room: Room) -> None:
    genuine = room.message(epoch_id(room.two.state.epochs[room.head].state))
    room.hall.deliver("two", genuine)
    assert room.hall.read(room.b, genuine) == ("ok", "hello")
    assert not room.two.noticed(NoticeKind.FORK_ALARM)


def test_a_message_with_a_lie_is_read_and_told_of(room: Room) -> None:
    lie = room.message(LIE)
    room.hall.deliver("two", lie)
    assert room.hall.read(room.b, lie) == ("ok", "hello")
    assert room.two.noticed(NoticeKind.FORK_ALARM) == [room.head]


def test_two_votes_with_one_vote_seq(room: Room) -> None:
    first = room.commit(vote_seq=900)
    room.vote(first, 950, room.a)
    assert not room.two.noticed(NoticeKind.EQUIVOCATION)
    room.vote(room.head, 950, room.a)
    assert room.two.noticed(NoticeKind.EQUIVOCATION) == [room.head]
    second = room.commit(vote_seq=900)
    assert room.two.noticed(NoticeKind.EQUIVOCATION) == [room.head, second]


def test_more_rival_heads_than_secrets_are_kept_for(room: Room) -> None:
    for number in range(17):
        room.commit(vote_seq=900 + number)
    assert not room.two.noticed(NoticeKind.FORK_ALARM)
    for number in range(17, 22):
        room.commit(vote_seq=900 + number)
    assert len(room.two.noticed(NoticeKind.FORK_ALARM)) == 1


def test_one_commit_that_lies_often_is_one_alarm_for_each_epoch(room: Room) -> None:
    lies = [EpochPointer(room.head, EpochId(bytes([number]) * 32)) for number in range(100)]
    state = room.two.state
    draft = Draft(state, room.hall.now, room.hall.random, {})
    note_pointers(draft, lies, room.a)
    assert [(notice.kind, notice.commit_ref) for notice in draft.notices] == [(NoticeKind.FORK_ALARM, room.head)]
