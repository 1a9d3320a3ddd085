"""What decides the head is the same for those who hold secrets and for those who do not, and whatever came first."""

from __future__ import annotations

import base64
from dataclasses import replace

from dmls.engine.effects import EventResult, IngestOutcome
from dmls.engine.inputs import EventReceived
from dmls.engine.nodes import find_leaf
from dmls.engine.room import RoomEngine
from dmls.forks.aad import make_vote, sign_vote
from dmls.forks.graph import Vote
from dmls.ids import DeviceId, EventId, GroupId, ServerName
from dmls.matrix.events import RoomEvent
from dmls.mls.crypto.secret import Secret
from tests.engine.test_worked_fork import observer, replayed_head, told
from tests.support.worked_fork import BOB, ROOM, SUITE, WorkedFork, play


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
