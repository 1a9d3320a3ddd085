"""What decides the head is the same for those who hold secrets and for those who do not, and whatever came first."""

from __future__ import annotations

import base64
import itertools
import random
from dataclasses import replace

import pytest

from dmls.engine.effects import EventResult, IngestOutcome
from dmls.engine.inputs import EventReceived, MemberEventReceived
from dmls.engine.nodes import find_leaf
from dmls.engine.room import RoomEngine
from dmls.forks.aad import make_vote, sign_vote
from dmls.forks.graph import Vote
from dmls.ids import DeviceId, EventId, GroupId, ServerName
from dmls.matrix.bodies import VoteBody, content_of
from dmls.matrix.events import MemberEvent, Membership, RoomEvent
from dmls.mls.crypto.secret import Secret
from tests.engine.test_worked_fork import observer, replayed_head, room_event, store, told
from tests.support.worked_fork import ALICE, BOB, ROOM, SUITE, WorkedFork, play


def take_in(engine: RoomEngine, event: RoomEvent) -> EventResult:
    result = engine.step(EventReceived(event), 1, bytes).result
    assert result is not None
    return result


def votes_of(engine: RoomEngine) -> set[Vote]:
    return {tracked.vote for tracked in engine.state.votes.values()}


def follower() -> RoomEngine:
    """Somebody without keys who has seen the whole room."""
    engine = observer()
    replayed_head(engine, told()["events"])
    return engine


def spoilt_message(room: WorkedFork) -> RoomEvent:
    """A message by bob in the last epoch that nobody can open, with a good vote for that epoch."""
    engine = room.homes[ServerName("one.example")].engine
    ref = engine.state.head
    assert ref is not None
    device, key = next((device, key) for device, key in room.devices[BOB].items() if device.device_id == DeviceId("BOB1"))
    index = find_leaf(engine.state.entries[ref].group.tree, device)
    assert index is not None
    signature = sign_vote(SUITE, Secret(key), make_vote(GroupId(ROOM.encode()), ref, index, 99))
    (last,) = [event for event in room.events.values() if event.content.get("epoch") == 4 and event.content["kind"] == "message"]
    message = base64.b64decode(last.content["message"]["inline"] + "===")
    spoilt = base64.b64encode(message[:-1] + bytes([message[-1] ^ 1])).decode().rstrip("=")
    vote = {"leaf": index, "seq": 99, "signature": base64.b64encode(signature).decode().rstrip("=")}
    content = {**last.content, "message": {"inline": spoilt}, "vote": vote}
    return replace(last, event_id=EventId("$spoilt"), sender=BOB, content=content)


def test_the_vote_of_a_message_that_cannot_be_opened_counts_for_those_who_could_try_too() -> None:
    room = play()
    event = spoilt_message(room)
    insider, outsider = room.homes[ServerName("two.example")].engine, follower()
    assert take_in(insider, event).outcome == IngestOutcome.REJECTED
    assert take_in(outsider, event).outcome == IngestOutcome.PROCESSED
    assert 99 in {vote.vote_seq for vote in votes_of(outsider)}
    assert votes_of(insider) == votes_of(outsider)


# One commit or vote in several events


def with_spent_join(engine: RoomEngine) -> EventId:
    """Tell an engine of a join of alice that her leave has ended, before the one she is in the room by."""
    join = MemberEvent(EventId("$join-old"), ALICE, ALICE, Membership.JOIN)
    leave = MemberEvent(EventId("$leave-old"), ALICE, ALICE, Membership.LEAVE, (join.event_id,))
    for event in (join, leave):
        engine.step(MemberEventReceived(event), 0, bytes)
    return join.event_id


def events_of(*event_ids: str) -> list[RoomEvent]:
    return [room_event(event) for event in told()["events"] if event["event_id"] in event_ids]


@pytest.mark.parametrize("copied", ["$commit-7", "$message-12"])
def test_what_was_sent_under_two_joins_counts_by_the_one_that_is_not_spent_in_any_order(copied: str) -> None:
    found = set()
    for order in itertools.permutations(range(3)):
        engine = observer()
        spent = with_spent_join(engine)
        (event,) = events_of(copied)
        copies = [event, *(replace(event, event_id=EventId(f"$copy-{n}"), auth_events=(spent,)) for n in range(2))]
        for other in [room_event(item) for item in told()["events"] if item["event_id"] != copied]:
            take_in(engine, other)
        for number in order:
            assert take_in(engine, copies[number]).outcome in (IngestOutcome.PROCESSED, IngestOutcome.PARKED)
        facts = frozenset((node.commit_ref, node.is_spent) for node in (entry.node for entry in engine.state.entries.values()))
        found.add((engine.state.head, facts, frozenset(votes_of(engine))))
        assert not any(is_spent for _, is_spent in facts)
        assert not any(vote.is_spent for vote in votes_of(engine))
    assert len(found) == 1


def test_what_was_sent_under_spent_joins_only_is_spent_also_after_a_restart() -> None:
    records: dict[tuple[str, bytes], bytes] = {}
    engine = observer(records)
    spent = with_spent_join(engine)
    *before, event = events_of("$genesis-1", "$commit-2", "$commit-3", "$commit-7")
    copies = [replace(event, event_id=EventId(f"$copy-{number}"), auth_events=(spent,)) for number in range(2)]
    for item in (*before, *copies):
        store(engine.step(EventReceived(item), 1, bytes), records)
    (entry,) = [entry for entry in engine.state.entries.values() if entry.node.event_id == "$copy-0"]
    assert entry.node.is_spent
    assert engine.state.head != entry.node.commit_ref
    again = RoomEngine.load(ROOM, engine.state.agent, [(*key, value) for key, value in records.items()])
    assert again.state.entries[entry.node.commit_ref].events == entry.events
    assert len(entry.events) == 2
    assert take_in(again, event).outcome == IngestOutcome.PROCESSED
    assert again.state.head == entry.node.commit_ref


def test_a_genesis_that_comes_again_under_a_join_that_is_not_spent_is_the_head_at_once() -> None:
    engine = observer()
    spent = with_spent_join(engine)
    (genesis,) = events_of("$genesis-1")
    take_in(engine, replace(genesis, event_id=EventId("$copy"), auth_events=(spent,)))
    assert engine.state.head is None
    take_in(engine, genesis)
    assert engine.state.head is not None


# Everything at once


def random_votes(rng: random.Random, room: WorkedFork, spent: EventId) -> list[RoomEvent]:
    """Votes of all devices for nodes they are in: several with one number, under spent joins, twice, by the wrong sender."""
    state = room.homes[ServerName("one.example")].engine.state
    entries = [entry for _, entry in sorted(state.entries.items())]
    events: list[RoomEvent] = []
    for number in range(rng.randint(2, 20)):
        entry = rng.choice(entries)
        user = rng.choice(sorted(room.devices))
        device = rng.choice(sorted(room.devices[user]))
        index = find_leaf(entry.group.tree, device)
        if index is None:
            continue
        vote = make_vote(GroupId(ROOM.encode()), entry.node.commit_ref, index, rng.randint(1, 20))
        signature = sign_vote(SUITE, Secret(room.devices[user][device]), vote)
        body = VoteBody(entry.node.commit_ref, index, vote.vote_seq, signature)
        sender = user if rng.random() < 0.9 else rng.choice(sorted(room.devices))
        auth = () if rng.random() < 0.7 else (spent,)
        event = RoomEvent(
            EventId(f"$vote-{number}"), ROOM, sender, "m.room.encrypted", None, content_of(body), 0, auth_events=auth
        )
        events.append(event)
        if rng.random() < 0.3:
            events.append(replace(event, event_id=EventId(f"$vote-{number}-again"), auth_events=()))
    return events


def test_all_orders_of_one_set_of_events_lead_to_one_head_one_set_of_votes_and_one_graph(rng: random.Random) -> None:
    room, heads = play(), set()
    for _ in range(12):
        spent = EventId("$join-old")
        events = rng.sample(list(map(room_event, told()["events"])), rng.randint(10, 12))
        copied = rng.choice([event for event in events if event.content["kind"] in ("commit", "genesis")])
        copy = replace(copied, event_id=EventId("$copy"), auth_events=(spent,), before_departure=rng.random() < 0.5)
        events += [*random_votes(rng, room, spent), copy]
        found = set()
        for _ in range(6):
            rng.shuffle(events)
            engine = observer()
            with_spent_join(engine)
            for event in events:
                take_in(engine, event)
            nodes = (entry.node for entry in engine.state.entries.values())
            facts = frozenset((node.commit_ref, node.is_spent, node.before_departure, node.is_anchor) for node in nodes)
            found.add((engine.state.head, facts, frozenset(votes_of(engine))))
        assert len(found) == 1
        heads.add(next(iter(found))[0])
    assert len(heads) > 1


def test_those_who_hold_secrets_and_those_who_do_not_agree_whatever_else_comes(rng: random.Random) -> None:
    for _ in range(12):
        room, outsider = play(), observer()
        genuine = list(map(room_event, told()["events"]))
        for event in rng.sample(genuine, len(genuine)):
            take_in(outsider, event)
        others = [*random_votes(rng, room, EventId("$join-old")), spoilt_message(room)]
        for number, copied in enumerate(rng.sample(genuine, 4)):
            auth = rng.choice([(), (EventId("$join-old"),)])
            copy = replace(copied, event_id=EventId(f"$copy-{number}"), auth_events=auth, before_departure=rng.random() < 0.3)
            others.append(copy)
        found = set()
        for engine in (outsider, *(home.engine for home in room.homes.values())):
            with_spent_join(engine)
            for event in rng.sample(others, len(others)):
                take_in(engine, event)
            nodes = (entry.node for entry in engine.state.entries.values())
            facts = frozenset((node.commit_ref, node.is_spent, node.before_departure) for node in nodes)
            found.add((engine.state.head, facts, frozenset(votes_of(engine))))
        assert len(found) == 1


@pytest.mark.parametrize("claimed_ms", [-1, 2**64])
def test_whatever_time_a_server_claims_its_events_count_in_any_order(claimed_ms: int) -> None:
    events = [replace(room_event(item), origin_server_ts_ms=claimed_ms) for item in told()["events"]]
    forwards, backwards = observer(), observer()
    for event in events:
        take_in(forwards, event)
    for event in reversed(events):
        take_in(backwards, event)
    assert forwards.state.head == backwards.state.head
    assert forwards.state.head is not None
    assert votes_of(forwards) == votes_of(backwards)
