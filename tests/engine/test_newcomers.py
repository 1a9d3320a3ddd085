"""Who comes late takes the last keyframe and follows from there; what lies above is asked for only where it matters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dmls.engine import committing
from dmls.engine.backfill import anchors
from dmls.engine.inputs import EventReceived, RoomStateChanged
from dmls.forks.reconcile import finally_gone
from dmls.ids import EventId
from dmls.matrix.bodies import CommitBody, EventPointer, Inline, parse_body
from dmls.matrix.events import RoomEvent
from dmls.tools.demo.log_reader import read_log_folder
from tests.support.newcomers import Newcomer, ref_of_event
from tests.support.room_logs import FIGURE_1, ROOM_LOGS
from tests.support.world import Party, World

EVERY = pytest.mark.parametrize("folder", ROOM_LOGS, ids=lambda folder: folder.name)
DAY_MS = 86_400_000


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recordings are short: keyframes come as often as their size allows."""
    monkeypatch.setattr(committing, "KEYFRAME_EVERY", 1)


class ShortMemory(World):
    """Homeservers that show a client which has joined no more than the last two events, and the others when they are asked."""

    def _catch_up(self, party: Party) -> None:
        if self._is_joined(party):
            party.version += 1
            members = {user: self._member_event(change) for user, change in self.members[party.server].items()}
            self.step(party, RoomStateChanged(party.version, self.facts[party.server], members, is_full=True))
            for event in list(self.timelines[party.server].values())[-2:]:
                self.step(party, EventReceived(self._seen_by(party.server, event)))


def play(folder: Path, seed: int) -> tuple[World, list[RoomEvent]]:
    """Play a recording, and return it with what its first server has got."""
    world = World(read_log_folder(folder), clients=frozenset(), seed=seed)
    world.run()
    server = next(iter(world.room.servers))
    return world, [world._seen_by(server, event) for event in world.timelines[server].values()]


def newcomer(world: World, timeline: list[RoomEvent], **fields: object) -> Newcomer:
    known = world.service(next(iter(world.room.servers))).engine.state
    return Newcomer.beside(known, timeline, now=world.now, **fields)


def keyframes(world: World, timeline: list[RoomEvent]) -> list[RoomEvent]:
    """Return the commits of joined users that carry one."""
    joined = world.service("hs1").engine.state.membership.joined()
    bodies = [(event, parse_body(event.content)) for event in timeline if event.sender in joined]
    return [event for event, body in bodies if isinstance(body, CommitBody) and isinstance(body.keyframe, Inline)]


def voters(world: World, timeline: list[RoomEvent]) -> list[RoomEvent]:
    """Return the events of joined users that vote."""
    joined = world.service("hs1").engine.state.membership.joined()
    return [
        event for event in timeline if event.sender in joined and ("vote" in event.content or event.content["kind"] == "vote")
    ]


@EVERY
def test_a_newcomer_has_the_head_of_those_who_replayed_everything(folder: Path, seed: int) -> None:
    world, timeline = play(folder, seed)
    everything = newcomer(world, timeline)
    everything.see(*timeline)
    compared = 0
    head = next(place for place, event in enumerate(timeline) if ref_of_event(event) == everything.state.head)
    for last in (1, 4, len(timeline) // 3):
        late = newcomer(world, timeline)
        late.see(*timeline[min(head, len(timeline) - last) :])
        if folder in FIGURE_1:  # without forks nothing that matters lies above the last keyframe
            assert len(anchors(late.state)) == 1
            assert len(late.state.entries) < len(everything.state.entries)
        late.wait(late.now + 3_600_000)
        if not _votes_outside(everything, late):
            assert late.state.head == everything.state.head
            compared += 1
        late.see(*timeline)
        assert late.state.head == everything.state.head
    assert compared


def _votes_outside(everything: Newcomer, late: Newcomer) -> bool:
    """Tell whether a vote that counts lies beside the anchor that a newcomer began with, where it cannot see it."""
    graph = everything.state.graph
    votes = [target for targets in everything.state.tally.votes.values() for target in targets]
    tops = anchors(late.state)
    return any(not (graph.is_ancestor(top, target) or graph.is_ancestor(target, top)) for top in tops for target in votes)


@EVERY
def test_when_the_history_comes_a_newcomer_knows_what_all_others_know(folder: Path, seed: int) -> None:
    world, timeline = play(folder, seed)
    everything = newcomer(world, timeline)
    everything.see(*timeline)
    late = newcomer(world, timeline, reloads=folder.name != "S4-churn-v10")
    late.see(timeline[-1])
    assert anchors(late.state)
    late.see(timeline[0])  # the genesis: from here on it must be found out how the two belong together
    late.wait(late.now + 60_000)
    late.see(*timeline)
    assert anchors(late.state) == ()
    assert late.state.head == everything.state.head
    assert dict(late.state.entries).keys() == dict(everything.state.entries).keys()
    assert {ref: entry.node for ref, entry in late.state.entries.items()} == {
        ref: entry.node for ref, entry in everything.state.entries.items()
    }
    assert finally_gone(late.state.graph) == finally_gone(everything.state.graph)
    assert set(late.state.removed_at_ms) == set(everything.state.removed_at_ms)
    assert not late.state.parked


@pytest.mark.parametrize("folder", [FIGURE_1[0], *(f for f in ROOM_LOGS if f.name == "S2-partition-v12")], ids=lambda f: f.name)
def test_clients_that_see_little_of_the_room_are_in_it_and_read_it_all_the_same(folder: Path, seed: int) -> None:
    world = ShortMemory(read_log_folder(folder), clients=frozenset({"@carol", "@dan"}), seed=seed)
    world.run()
    assert len({party.engine.state.head for party in world.parties if party.is_service}) == 1
    for message in world.messages.values():
        for party in world.parties:
            for device in party.agent.devices:
                outcome, body = world.read(party, device, message.event_id)
                expected = ("ok", message.body) if device in message.readers else (outcome, "")
                assert (outcome, body) == expected, (message.body, device.user_id)


def test_nobody_is_followed_whom_no_other_user_stands_for(seed: int) -> None:
    world, timeline = play(FIGURE_1[0], seed)
    keyframe, witness = next(
        (event, other)
        for event in reversed(keyframes(world, timeline))
        for other in voters(world, timeline)
        if other.sender != event.sender and timeline.index(other) > timeline.index(event)
    )
    alone = newcomer(world, timeline, answers=False)
    own = [event for event in timeline if event.sender == keyframe.sender]
    alone.see(*own[own.index(keyframe) :])
    alone.wait(alone.now + DAY_MS)
    assert not dict(alone.state.entries)
    alone.see(*timeline[timeline.index(keyframe) : timeline.index(witness) + 1])
    alone.wait(alone.now + DAY_MS)
    assert anchors(alone.state) == (ref_of_event(keyframe),)


def test_the_own_servers_word_is_enough(seed: int) -> None:
    world, timeline = play(FIGURE_1[0], seed)
    keyframe = keyframes(world, timeline)[-1]
    late = newcomer(world, timeline, answers=False)
    late.step(EventReceived(keyframe))
    assert not dict(late.state.entries)
    late.step(EventReceived(keyframe, is_vouched=True))
    assert late.state.head == ref_of_event(keyframe)


def test_what_comes_before_an_anchor_is_not_asked_for(seed: int) -> None:
    world, timeline = play(FIGURE_1[0], seed)
    late = newcomer(world, timeline)
    late.see(*timeline[-len(timeline) // 2 :])
    assert anchors(late.state)
    asked = len(late.asked)
    late.wait(late.now + 7 * DAY_MS)
    assert len(late.asked) == asked
    assert timeline[0].event_id not in late.fetched


def test_a_wrong_pointer_to_a_keyframe_costs_a_request_and_nothing_else(seed: int) -> None:
    world, timeline = play(FIGURE_1[0], seed)
    lies = [_lying(event) for event in timeline]
    late = newcomer(world, lies)
    late.see(lies[-1])
    assert late.state.head == world.service("hs1").engine.state.head
    assert EventId("$nowhere") not in late.fetched


def _lying(event: RoomEvent) -> RoomEvent:
    body = parse_body(event.content)
    if isinstance(body, CommitBody) and isinstance(body.keyframe, EventPointer):
        return replace(event, content={**event.content, "keyframe": {"event": "$nowhere"}})
    return event


@pytest.mark.parametrize("reloads", [False, True])
def test_a_restart_does_not_forget_that_the_history_is_wanted(seed: int, *, reloads: bool) -> None:
    world, timeline = play(FIGURE_1[0], seed)
    late = newcomer(world, timeline)
    late.see(timeline[-1])
    assert anchors(late.state)
    late.reloads = reloads
    late.see(timeline[0])
    late.wait(late.now + 60_000)
    assert anchors(late.state) == ()
