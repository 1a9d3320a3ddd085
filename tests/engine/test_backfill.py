"""What is missing is asked for until it comes: once for all that waits, ever more rarely, and never as a reason to join anew."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from dmls.engine.backfill import ASKED_AT_ONCE, MAX_RESOLVED_WANTED, PARKED_FOR_MS, RESOLVED_ASKS, want_resolved
from dmls.engine.effects import BackfillWanted, BlobWanted, DecryptOutcome, EventToSend, NoticeKind, OutboxItem, Table
from dmls.engine.inputs import BlobProvided, EventReceived, Tick
from dmls.engine.parking import MAX_PARKED_OF_SERVER
from dmls.engine.state import Draft
from dmls.forks.aad import EpochPointer, make_commit_aad
from dmls.ids import CommitRef, EventId, UserId
from dmls.matrix.blobs import spill
from dmls.matrix.bodies import CommitBody, Inline, content_of, parse_body
from dmls.matrix.events import RoomEvent
from dmls.mls.codec import decode
from dmls.mls.messages.message import MLSMessage, PublicMessage, encode_message
from dmls.tools.demo.log_reader import read_log_folder
from tests.support.newcomers import Newcomer, ref_of_event
from tests.support.room_logs import FIGURE_1, ROOM_LOGS
from tests.support.world import Party, World

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
S2 = next(folder for folder in ROOM_LOGS if folder.name == "S2-partition-v12")


def play(folder: Path, seed: int) -> tuple[World, list[RoomEvent]]:
    world = World(read_log_folder(folder), clients=frozenset(), seed=seed)
    world.run()
    return world, [world._seen_by("hs1", event) for event in world.timelines["hs1"].values()]


def nodes(timeline: list[RoomEvent]) -> list[RoomEvent]:
    return [event for event in timeline if event.content["kind"] in ("genesis", "commit")]


def follower(world: World, timeline: list[RoomEvent], **fields: object) -> Newcomer:
    """Somebody who has followed the room from its genesis on."""
    return Newcomer.beside(world.service("hs1").engine.state, timeline, now=world.now, **fields)


def made_up(event: RoomEvent, number: int, **fields: Any) -> RoomEvent:
    """A commit like an event's, with a parent that nobody has."""
    body = parse_body(event.content)
    assert isinstance(body, CommitBody)
    assert isinstance(body.message, Inline)
    message = decode(MLSMessage, body.message.data).body
    assert isinstance(message, PublicMessage)
    aad = make_commit_aad(EpochPointer(number.to_bytes(32, "big"), b""), 1)
    lie = replace(message, content=replace(message.content, authenticated_data=aad))
    content = content_of(replace(body, message=Inline(encode_message(lie)), parent_event=EventId(f"$parent{number}")))
    return replace(event, **{"event_id": EventId(f"$made-up-{number}"), "content": content, **fields})


# A commit that does not come


@pytest.mark.parametrize("folder", [FIGURE_1[0], S2], ids=lambda folder: folder.name)
def test_any_event_of_the_graph_that_got_lost_is_fetched(folder: Path, seed: int) -> None:
    world, timeline = play(folder, seed)
    everything = follower(world, timeline)
    everything.see(*timeline)
    for lost in nodes(timeline[:-1]):
        late = follower(world, timeline)
        late.see(*(event for event in timeline if event != lost))
        nodes_seen = [entry.node for entry in everything.state.entries.values()]
        if ref_of_event(lost) in {node.parent_ref for node in nodes_seen}.union(*(node.resolves for node in nodes_seen)):
            assert lost.event_id in late.fetched
        else:
            late.see(lost)
        assert late.state.head == everything.state.head
        assert dict(late.state.entries).keys() == dict(everything.state.entries).keys()
        assert not late.state.parked


def resolved(timeline: list[RoomEvent]) -> RoomEvent:
    """Return the first side head that a commit resolves."""
    named = [str(hint["event"]) for event in nodes(timeline) for hint in event.content.get("resolves", ())]
    return next(event for event in timeline if event.event_id == named[0])


def test_a_side_head_that_never_came_is_asked_for_until_it_is_given_up(seed: int) -> None:
    world, timeline = play(S2, seed)
    lost = resolved(timeline)
    late = follower(world, timeline, answers=False, reloads=True)
    late.see(*(event for event in nodes(timeline) if event != lost))
    late.wait(late.now + 3 * DAY_MS)
    requests = [(item.event_ids, item.commit_refs) for item in late.asked if isinstance(item, BackfillWanted)]
    assert requests == [((lost.event_id,), (ref_of_event(lost),))] * RESOLVED_ASKS
    assert not [key for table, key in late.records if table == Table.ROOM and key.startswith(b"asked:")]


def test_made_up_side_heads_are_bounded(seed: int) -> None:
    world, timeline = play(S2, seed)
    late = follower(world, timeline)
    late.see(*timeline)
    draft = Draft(late.state, late.now, late.random, {})
    for first in range(0, 2 * MAX_RESOLVED_WANTED, 64):
        want_resolved(draft, {CommitRef(number.to_bytes(32, "big")): None for number in range(first, first + 64)})
    assert len(draft.state.parking.asked) == MAX_RESOLVED_WANTED


def test_what_is_not_answered_is_asked_for_again_until_it_is(seed: int) -> None:
    world, timeline = play(FIGURE_1[0], seed)
    lost = nodes(timeline)[3]
    late = follower(world, timeline, answers=False, reloads=True)
    late.see(*(event for event in timeline if event != lost))
    assert late.state.parked
    late.wait(late.now + 5 * HOUR_MS)
    assert late.state.parked
    late.answers = True
    late.wait(late.now + 2 * HOUR_MS)
    assert late.fetched == [lost.event_id]
    assert not late.state.parked
    assert late.state.head == world.service("hs1").engine.state.head
    assert not [key for table, key in late.records if table == Table.ROOM and key.startswith(b"asked:")]


def test_what_never_comes_is_asked_for_ever_more_rarely_and_given_up_after_a_week(seed: int) -> None:
    world, timeline = play(FIGURE_1[0], seed)
    lost = nodes(timeline)[3]
    late = follower(world, timeline, answers=False)
    late.see(*(event for event in timeline if event != lost))
    start = late.now
    waiting = {str(parked.event.event_id) for parked in late.state.parked.values()}
    asked = []
    for _ in range(12):
        late.wait(late.now + HOUR_MS)
        asked.append(len(late.asked))
    assert asked[0] <= 10
    assert all(after - before <= 1 for before, after in pairwise(asked))
    # One request names what is missing, not everything that waits for it.
    assert {item.commit_refs for item in late.asked if isinstance(item, BackfillWanted)} == {(ref_of_event(lost),)}
    late.wait(start + PARKED_FOR_MS + HOUR_MS)
    count = len(late.asked)
    assert not late.state.parked
    dropped = [notice.text for notice in late.notices if notice.kind == NoticeKind.PARKED_EVENT_DROPPED]
    assert set(dropped) == waiting
    assert len(dropped) == len(waiting)
    late.wait(late.now + DAY_MS)
    assert len(late.asked) == count
    assert late.wake_at_ms is None or late.wake_at_ms > late.now


class Lossy(World):
    """The second server's service misses one event, until it asks for it; `is_withheld` while nobody has it."""

    lost: EventId | None = None
    number = 0
    is_withheld = False

    def deliver(self, server: str, event: RoomEvent) -> None:
        if server == "hs2" and event.content["kind"] == "commit" and event.event_id not in self.timelines["hs2"]:
            self.number -= 1
            if self.number == 0:
                self.lost = event.event_id
        if server == "hs2" and event.event_id == self.lost:
            if not self.is_withheld:
                self.timelines[server][event.event_id] = event
            return
        super().deliver(server, event)


def lossy(number: int, seed: int, *, is_withheld: bool = False) -> Lossy:
    world = Lossy(read_log_folder(S2), clients=frozenset(), seed=seed)
    world.number, world.is_withheld = number, is_withheld
    return world


def readable(world: World, party: Party) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for message in world.messages.values():
        for device in party.agent.devices:
            if device in message.readers:
                found.setdefault(message.body, set()).add(world.read(party, device, message.event_id)[0])
    return found


@pytest.mark.parametrize("number", [1, 3, 6, 9])
def test_a_member_who_lost_a_commit_gets_it_and_reads_everything(number: int, seed: int) -> None:
    world = lossy(number, seed)
    world.run()
    assert world.lost is not None
    assert len({party.engine.state.head for party in world.parties}) == 1
    for party in world.parties:
        assert not party.engine.state.parked
        assert all(outcomes == {"ok"} for outcomes in readable(world, party).values())


def test_a_member_from_whom_a_commit_is_withheld_waits_says_so_and_does_not_join_anew(seed: int) -> None:
    world = lossy(3, seed, is_withheld=True)
    world.run()
    service = world.service("hs2")
    assert world.lost is not None
    missing = {parked.missing.key for parked in service.engine.state.parked.values()}
    lost = world.timelines["hs1"][world.lost]
    assert ref_of_event(lost) in missing
    outcomes = {outcome for found in readable(world, service).values() for outcome in found}
    assert outcomes <= {DecryptOutcome.OK, DecryptOutcome.PENDING_COMMIT}
    assert DecryptOutcome.PENDING_COMMIT in outcomes
    # When it comes after all, everything is as it should be.
    world.lost, world.number = None, 0
    world.deliver("hs2", lost)
    world._until(world.now + 180_000)
    assert len({party.engine.state.head for party in world.parties}) == 1
    assert not service.engine.state.parked


# Parents that were made up


def sent(items: list[OutboxItem]) -> list[EventToSend]:
    return [item for item in items if isinstance(item, EventToSend)]


def test_made_up_parents_bring_no_rejoin_and_no_flood_of_requests(seed: int) -> None:
    world, timeline = play(FIGURE_1[0], seed)
    party = world.service("hs1")
    real = nodes(timeline)[-1]
    head = party.engine.state.head
    items: list[OutboxItem] = []
    requests: list[tuple[int, BackfillWanted]] = []

    def step(happened: Any) -> None:
        effects = party.engine.step(happened, world.now, party.random)
        items.extend(effects.outbox)
        requests.extend((world.now, item) for item in effects.outbox if isinstance(item, BackfillWanted))
        party.wake_at_ms = effects.wake_at_ms

    for number in range(1, MAX_PARKED_OF_SERVER + 101):
        step(EventReceived(made_up(real, number, sender=UserId(f"@mallory{number}:bad"))))
    start = world.now
    while party.wake_at_ms is not None and party.wake_at_ms < start + HOUR_MS:
        world.now = max(world.now + 1, party.wake_at_ms)
        step(Tick())
    assert len(party.engine.state.parked) == MAX_PARKED_OF_SERVER
    assert sent(items) == []
    assert party.engine.state.head == head
    assert all(len(item.commit_refs) <= ASKED_AT_ONCE for _, item in requests)
    for at_ms, _ in requests:
        assert sum(len(item.commit_refs) for other, item in requests if at_ms <= other < at_ms + 1_000) <= 2 * ASKED_AT_ONCE
    # Everything that is missing was asked for nine times in this hour, and not once for each event and second.
    assert sum(len(item.commit_refs) for _, item in requests) <= 10 * MAX_PARKED_OF_SERVER
    # What is really missing is asked for at once all the same.
    requests.clear()
    step(EventReceived(made_up(real, 10_000, event_id=EventId("$honest"))))
    world.now += 1_000
    step(Tick())
    assert (10_000).to_bytes(32, "big") in {ref for _, item in requests for ref in item.commit_refs}


def test_wrong_hints_do_not_hide_the_right_one(seed: int) -> None:
    world, timeline = play(FIGURE_1[0], seed)
    child = nodes(timeline)[-1]
    lost = next(event for event in nodes(timeline) if event.event_id == child.content["parent_event"])
    late = follower(world, timeline, answers=False)
    late.see(*timeline[: timeline.index(lost)])
    for number in range(40):
        lie = replace(child, event_id=EventId(f"$lie{number}"), content={**child.content, "parent_event": f"$nowhere{number}"})
        late.see(lie)
    late.see(replace(child, content={**child.content, "parent_event": lost.event_id}))
    late.wait(late.now + HOUR_MS)
    requests = [item for item in late.asked if isinstance(item, BackfillWanted)]
    assert all(item.commit_refs == (ref_of_event(lost),) for item in requests)
    assert all(len(item.event_ids) <= 8 for item in requests)
    assert lost.event_id in {event_id for item in requests for event_id in item.event_ids}


def test_a_genesis_is_found_by_its_commit_ref(seed: int) -> None:
    world, timeline = play(FIGURE_1[0], seed)
    genesis, first = nodes(timeline)[:2]
    late = follower(world, timeline)
    late.see(replace(first, content={key: value for key, value in first.content.items() if key != "parent_event"}))
    assert late.fetched == [genesis.event_id]
    assert ref_of_event(genesis) in late.state.entries


# Blobs


def with_blobs(event: RoomEvent, blobs: dict[bytes, bytes]) -> RoomEvent:
    """The same event with everything large kept elsewhere."""
    body = parse_body(event.content)
    spilled, found = spill(body, lambda digest: f"mxc://hs/{digest.hex()}", 1_500)
    blobs |= {blob.sha256: blob.data for blob in found}
    return replace(event, content=content_of(spilled))


def test_a_node_whose_blob_is_missing_waits_and_a_wrong_blob_changes_nothing(seed: int) -> None:
    world, timeline = play(FIGURE_1[0], seed)
    blobs: dict[bytes, bytes] = {}
    elsewhere = [with_blobs(event, blobs) for event in timeline]
    late = follower(world, elsewhere, answers=False, blobs=blobs, reloads=True)
    late.see(*elsewhere)
    known = set(late.state.entries)
    assert len(known) == 1  # the genesis is small
    assert {event.event_id.encode() for event in nodes(elsewhere)[1:]} <= set(late.state.parked)
    late.step(BlobProvided(b"something else"))
    assert set(late.state.entries) == known
    late.wait(late.now + HOUR_MS)
    wanted = [item.sha256 for item in late.asked if isinstance(item, BlobWanted)]
    assert all(2 < wanted.count(digest) < 12 for digest in wanted)
    late.answers = True
    late.wait(late.now + 2 * HOUR_MS)
    assert not late.state.parked
    assert late.state.head == world.service("hs1").engine.state.head


def test_a_keyframe_in_a_blob_is_tried_again_when_somebody_else_stands_for_it(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dmls.engine.committing.KEYFRAME_EVERY", 1)
    world, timeline = play(FIGURE_1[0], seed)
    blobs: dict[bytes, bytes] = {}
    elsewhere = [with_blobs(event, blobs) for event in timeline]
    joined = world.service("hs1").engine.state.membership.joined()
    carried = [event for event in nodes(elsewhere)[1:] if "blob" in event.content["keyframe"] and event.sender in joined]
    stands = {event.event_id for event in timeline if "vote" in event.content or event.content["kind"] == "vote"}
    keyframe, between, witness = next(
        (event, elsewhere[elsewhere.index(event) + 1 : elsewhere.index(other)], other)
        for event in reversed(carried)
        for other in elsewhere[elsewhere.index(event) + 1 :]
        if other.sender != event.sender and other.sender in joined and other.event_id in stands
        if all(each.sender == event.sender for each in elsewhere[elsewhere.index(event) : elsewhere.index(other)])
    )
    late = follower(world, [keyframe, *between], blobs=blobs)
    late.see(keyframe, *between)
    late.wait(late.now + HOUR_MS)
    assert not dict(late.state.entries)
    asked = len([item for item in late.asked if isinstance(item, BlobWanted)])
    assert 2 < asked < 40
    late.see(witness)
    late.wait(late.now + 2 * HOUR_MS)
    assert ref_of_event(keyframe) in late.state.entries


def test_a_newcomer_gets_keyframes_from_blobs_too(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dmls.engine.committing.KEYFRAME_EVERY", 1)
    world, timeline = play(FIGURE_1[0], seed)
    blobs: dict[bytes, bytes] = {}
    elsewhere = [with_blobs(event, blobs) for event in timeline]
    late = follower(world, elsewhere, blobs=blobs)
    late.see(*elsewhere[-4:])
    late.wait(late.now + HOUR_MS)
    assert late.state.head == world.service("hs1").engine.state.head
    assert len(late.state.entries) < len(nodes(timeline))
