"""No event is too large, however many devices there are; and who joins a large room need not take all of its history."""

from __future__ import annotations

import json
from dataclasses import replace

from benchmarks.keyframe_traffic import ramp_up
from benchmarks.room_steps import Crowd, Service
from dmls.engine.backfill import anchors
from dmls.engine.effects import BlobToUpload, Effects, EventToSend, OutboxItem, ToDeviceToSend
from dmls.engine.inputs import EventReceived, Input, RoomStateChanged, Tick
from dmls.ids import EventId, UserId
from dmls.matrix.blobs import CONTENT_LIMIT
from dmls.matrix.encoding import MAX_EVENT
from dmls.matrix.events import Membership, RoomEvent
from tests.support.deviant_commits import Deviant
from tests.support.hall import Hall
from tests.support.newcomers import Newcomer

DEVICES = 600
_ENVELOPE = 4_096
"""More than a homeserver puts around a content: ids of 255 bytes, twenty events before it, hashes and signatures."""


class Watched(Crowd):
    """Keeps what is sent and what is shown."""

    def __init__(self, members: int) -> None:
        self.outbox: list[OutboxItem] = []
        self.timeline: list[RoomEvent] = []
        super().__init__(members)

    def step(self, service: Service, what: str, happened: Input) -> Effects:
        effects = super().step(service, what, happened)
        self.outbox += effects.outbox
        return effects

    def receive(self, service: Service, event: RoomEvent, what: str) -> None:
        self.timeline += [event] if event not in self.timeline else []
        super().receive(service, event, what)


def test_no_event_of_600_devices_is_too_large_and_a_newcomer_enters_by_the_keyframe() -> None:
    crowd = Watched(DEVICES)
    crowd.talk(4)
    first = crowd.services[0]
    crowd.now_ms += 60_000
    crowd.step(first, "other", RoomStateChanged(2, None, {UserId("@u0:hs3"): None}))
    crowd.step(first, "other", Tick())
    crowd.now_ms += 60_000
    crowd.step(first, "other", Tick())
    contents = [item.content for item in crowd.outbox if isinstance(item, EventToSend | ToDeviceToSend)]
    kinds = [json.loads(content)["kind"] for content in contents]
    assert {"genesis", "commit", "welcome"} <= set(kinds)
    assert kinds.count("commit") >= 2
    assert max(map(len, contents)) <= CONTENT_LIMIT < MAX_EVENT - _ENVELOPE
    blobs = {item.sha256: item.data for item in crowd.outbox if isinstance(item, BlobToUpload)}
    assert max(map(len, blobs.values())) > MAX_EVENT
    commit = next(event for event in crowd.timeline if event.content["kind"] == "commit")
    assert "blob" in commit.content["keyframe"]
    # Nobody has the genesis any more.
    late = Newcomer.beside(first.engine.state, crowd.timeline[1:], now=crowd.now_ms, blobs=blobs)
    late.see(*crowd.timeline[-4:])
    late.wait(late.now + 60_000)
    assert [entry.node.event_id for entry in late.state.entries.values()] == [commit.event_id]
    assert len(anchors(late.state)) == 1
    assert late.fetched[:1] == [commit.event_id]


def test_keyframes_cost_no_more_than_the_commits_between_them() -> None:
    sizes = list(ramp_up(96))
    commits = sum(size.commit for size in sizes)
    keyframes = sum(size.keyframe for size in sizes)
    assert keyframes > 0
    assert keyframes <= commits + sizes[-1].tree
    for place, size in enumerate(sizes):
        # The last keyframe and what came after it: never more than twice the tree, or 32 commits with it.
        recent = sum(each.commit for each in sizes[max(0, place - 32) : place + 1])
        assert size.newcomer <= 2 * size.tree + recent


def test_a_member_who_forks_hundreds_of_times_stops_nobody_from_committing(seed: int) -> None:
    """Each side head that a commit resolves takes room in its event, and the longest event ids take most."""
    hall = Hall(seed, "one", "two", "three")
    mallory, alice, bob, carol = (hall.add_device(user) for user in ("@mallory:one", "@alice:two", "@bob:three", "@carol:two"))
    hall.join(mallory.user_id, alice.user_id, bob.user_id, carol.user_id)
    hall.wait(90)
    parent = hall["two"].state.stand
    assert parent is not None
    deviant = Deviant(hall["one"].state, mallory, hall.random)
    two = hall["two"]
    for number in range(200):
        event = hall.make_event(mallory.user_id, deviant.commit(parent, vote_seq=number + 1))
        two.engine.step(EventReceived(replace(event, event_id=EventId(f"${number:0>254}"))), hall.now, two.random)
    assert len(two.state.tally.side_heads(two.state.head or parent)) >= 199
    hall.set_membership(bob.user_id, Membership.LEAVE)
    assert hall.encrypt(alice, "bob is gone").outcome == "ok"
    assert two.members() == {mallory.user_id, alice.user_id, carol.user_id}
    # Two users vote for the commit, and one for a fork.
    assert two.state.stand == two.state.head is not None
    assert not two.state.tally.side_heads(two.state.head)
