"""The homeserver's answers: told once, remembered, and what a refusal undoes."""

from __future__ import annotations

import json

from dmls.engine.effects import EventToSend
from dmls.engine.inputs import EncryptRequested
from dmls.ids import EventId
from dmls.matrix.bodies import Payload
from dmls.matrix.events import Membership
from dmls.rooms.outbox import StoredItem
from tests.rooms.homes import ROOM, Home, World

ALICE, BOB, CAROL = "@alice:hs1", "@bob:hs1", "@carol:hs1"


def nodes(home: Home) -> list[StoredItem]:
    return [item for item in home.pending() if isinstance(item.action, EventToSend) and item.action.commit_ref]


def begin(world: World) -> Home:
    home = world.homes["hs1"]
    home.add_device("alice")
    home.add_device("bob")
    world.join(ALICE)
    world.settle()
    return home


def test_an_answer_is_taken_once(world: World) -> None:
    home = begin(world)
    world.join(BOB)
    (item,) = home.pending()
    assert home.acknowledge(item.seq, EventId("$commit")) == "accepted"
    assert home.pending() == []
    entry = home.state().entries[item.action.commit_ref]  # type: ignore[union-attr]
    assert entry.node.event_id == "$commit"
    home.restart()
    assert home.acknowledge(item.seq, EventId("$commit")) == "duplicate"
    assert home.acknowledge(item.seq, EventId("$other")) == "conflict"
    assert home.acknowledge(item.seq, None, is_refused=True) == "conflict"
    assert home.acknowledge(item.seq + 1, EventId("$commit")) == "unknown"
    assert home.state().entries[item.action.commit_ref].node.event_id == "$commit"  # type: ignore[union-attr]


def test_a_sent_event_needs_its_id(world: World) -> None:
    home = begin(world)
    world.join(BOB)
    (item,) = home.pending()
    assert home.acknowledge(item.seq, None) == "rejected"
    assert home.pending() == [item]


def test_items_depend_on_the_events_of_the_nodes_they_speak_of(world: World) -> None:
    home = begin(world)
    world.join(BOB)
    home.add_device("carol")
    world.join(CAROL)
    first, second = nodes(home)
    assert (first.depends_on, second.depends_on) == ((), (first.seq,))
    home.restart()
    home.add_device("dora")
    world.join("@dora:hs1")
    assert nodes(home)[2].depends_on == (second.seq,)
    home.acknowledge(first.seq, EventId("$1"))
    home.acknowledge(second.seq, EventId("$2"))
    home.add_device("emil")
    world.join("@emil:hs1")
    assert nodes(home)[1].depends_on == (nodes(home)[0].seq,)


def test_a_refused_node_takes_its_descendants_with_it(world: World) -> None:
    home = begin(world)
    head = home.state().head
    world.join(BOB)
    home.add_device("carol")
    world.join(CAROL)
    before = nodes(home)
    assert len(before) == 2
    assert home.acknowledge(before[0].seq, None, is_refused=True) == "accepted"
    state = home.state()
    gone = {item.action.commit_ref for item in before}  # type: ignore[union-attr]
    assert gone.isdisjoint(state.entries)
    assert gone.isdisjoint(state.epochs)
    # What they were for is done anew on the head that everybody knows, after a second.
    assert nodes(home) == []
    world.clock.now_ms += 1_000
    home.keeper.wake(ROOM)
    after = nodes(home)
    assert len(after) == 1
    assert home.state().graph.parent(after[0].action.commit_ref) == head  # type: ignore[union-attr]
    assert home.acknowledge(before[1].seq, EventId("$late")) == "conflict"
    home.restart()
    assert gone.isdisjoint(home.state().entries)
    world.settle()
    assert {device.user_id for device in home.state().agent.devices} == {ALICE, BOB, CAROL}


def test_a_refused_message_changes_nothing(world: World) -> None:
    home = begin(world)
    world.set_membership("@dan:hs2", Membership.JOIN)
    asked = [item for item in home.pending() if not isinstance(item.action, EventToSend)]
    state = home.state()
    assert home.acknowledge(asked[0].seq, None, is_refused=True) == "accepted"
    assert (home.state().head, set(home.state().entries)) == (state.head, set(state.entries))


def test_a_ciphertext_of_a_refused_epoch_is_made_again(world: World) -> None:
    home = begin(world)
    alice = next(device for device in home.state().agent.devices if device.user_id == ALICE)
    world.join(BOB)
    payload = Payload("m.room.message", {"body": "hello"}, ROOM)
    happened = EncryptRequested(alice.user_id, alice.device_id, payload)
    lost = home.keeper.transact([ROOM], lambda session: session.step(ROOM, happened)).encrypted
    assert lost is not None
    (item,) = nodes(home)
    assert lost.commit_ref == item.action.commit_ref  # type: ignore[union-attr]
    home.acknowledge(item.seq, None, is_refused=True)
    event_id = world.say(alice, "hello")
    assert world.read(alice, event_id) == ("ok", "hello")
    assert json.loads(lost.content)["message"] != json.loads(json.dumps(world.timeline[ROOM][-1].content))["message"]
