"""Who plants an anchor must stand for all of it; and when its parent comes, it is judged like everybody else's commit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dmls.engine.backfill import anchors
from dmls.engine.effects import EventToSend, IngestOutcome
from dmls.engine.inputs import EventReceived, RoomStateChanged
from dmls.ids import CommitRef, UserId
from dmls.matrix.bodies import Inline
from dmls.matrix.events import RoomEvent
from dmls.mls.tree.ratchet_tree import RatchetTree
from dmls.tools.demo.log_reader import read_log_folder
from tests.support.lies import Lie, lie, member, vote_for
from tests.support.newcomers import Newcomer
from tests.support.room_logs import FIGURE_1, ROOM_LOGS
from tests.support.world import World

S2 = next(folder for folder in ROOM_LOGS if folder.name == "S2-partition-v12")
HOUR_MS = 3_600_000
NOWHERE = CommitRef(bytes(32))


def play(folder: Path, seed: int) -> tuple[World, list[RoomEvent]]:
    world = World(read_log_folder(folder), clients=frozenset(), seed=seed)
    world.run()
    return world, [world._seen_by("hs1", event) for event in world.timelines["hs1"].values()]


def newcomer(world: World, timeline: list[RoomEvent], **fields: object) -> Newcomer:
    return Newcomer.beside(world.service("hs1").engine.state, timeline, now=world.now, **fields)


def members(world: World) -> list[UserId]:
    """The joined users who are in the group, sorted."""
    state = world.service("hs1").engine.state
    assert state.head is not None
    inside = {leaf for _, leaf in state.entries[state.head].group.tree.members()}
    names = {own.device.user_id for party in world.parties for own in party.agent.devices.values()}
    keys = {leaf.signature_key for leaf in inside}
    held = {device.user_id for party in world.parties for device in party.agent.devices if device.signature_key in keys}
    return sorted(state.membership.joined() & names & held)


def other_signer(world: World, made: Lie) -> RoomEvent:
    other, leaf = member(world, next(user for user in members(world) if user != made.own.device.user_id))
    return made.with_body(group_info=made.group_info(other, leaf, made.ref))


def other_node(_world: World, made: Lie) -> RoomEvent:
    return made.with_body(group_info=made.group_info(made.own, made.leaf, NOWHERE))


def other_tree(world: World, made: Lie) -> RoomEvent:
    state = world.service("hs1").engine.state
    assert state.head is not None
    return made.with_body(keyframe=Inline(state.entries[state.head].group.tree.encode()))


def other_epoch(world: World, made: Lie) -> RoomEvent:
    state = world.service("hs1").engine.state
    assert state.head is not None
    entry = state.entries[state.head]
    return made.with_body(group_info=Inline(entry.group_info), keyframe=Inline(entry.group.tree.encode()))


def blank_leaf(_world: World, made: Lie) -> RoomEvent:
    tree: RatchetTree = made.staged.state.public.tree
    victim = next(index for index, _ in tree.members() if index != made.leaf)
    return made.with_body(keyframe=Inline(tree.remove(victim).encode()))


def other_sender(world: World, made: Lie) -> RoomEvent:
    return replace(made.event, sender=next(user for user in members(world) if user != made.event.sender))


def no_tree(_world: World, made: Lie) -> RoomEvent:
    return made.with_body(keyframe=Inline(b""))


LIES: list[Callable[[World, Lie], RoomEvent]] = [
    other_signer,
    other_node,
    other_tree,
    other_epoch,
    blank_leaf,
    other_sender,
    no_tree,
]


def test_the_genuine_form_of_what_the_lies_change_is_taken(seed: int) -> None:
    world, timeline = play(FIGURE_1[0], seed)
    made = lie(world, members(world)[0], NOWHERE)
    late = newcomer(world, timeline, answers=False)
    late.step(EventReceived(made.event, is_vouched=True))
    assert anchors(late.state) == (made.ref,)


@pytest.mark.parametrize("change", LIES, ids=lambda change: change.__name__)
def test_an_anchor_for_which_its_author_does_not_stand_is_not_taken(change: Callable[[World, Lie], RoomEvent], seed: int) -> None:
    world, timeline = play(FIGURE_1[0], seed)
    made = lie(world, members(world)[0], NOWHERE)
    late = newcomer(world, timeline, answers=False)
    late.step(EventReceived(change(world, made), is_vouched=True))
    late.wait(late.now + HOUR_MS)
    assert not dict(late.state.entries)


def test_an_anchor_by_somebody_who_has_left_is_not_taken(seed: int) -> None:
    world, timeline = play(FIGURE_1[0], seed)
    made = lie(world, members(world)[0], NOWHERE)
    late = newcomer(world, timeline, answers=False)
    late.step(RoomStateChanged(2, None, {made.event.sender: None}))
    late.step(EventReceived(made.event, is_vouched=True))
    late.wait(late.now + HOUR_MS)
    assert not dict(late.state.entries)


def test_a_liar_alone_plants_nothing(seed: int) -> None:
    world, timeline = play(S2, seed)
    user, *others = members(world)
    made = lie(world, user, NOWHERE)
    tree = made.staged.state.public.tree
    late = newcomer(world, timeline, answers=False)
    late.see(made.event, vote_for(world, user, made.ref, tree))
    # A vote that another user's homeserver did not send is not that user's.
    stolen = vote_for(world, others[0], made.ref, tree)
    late.see(replace(stolen, sender=user))
    late.wait(late.now + HOUR_MS)
    assert not dict(late.state.entries)
    assert not [item for item in late.sent if isinstance(item, EventToSend)]


def test_two_liars_do_not_outweigh_three_who_tell_the_truth(seed: int) -> None:
    world, timeline = play(S2, seed)
    users = members(world)
    head = world.service("hs1").engine.state.head
    assert head is not None
    assert len(users) >= 5
    tree = world.service("hs1").engine.state.entries[head].group.tree
    truth = [vote_for(world, user, head, tree) for user in users[2:]]
    made = lie(world, users[0], NOWHERE)
    lies = [made.event, vote_for(world, users[1], made.ref, made.staged.state.public.tree)]
    late = newcomer(world, timeline)
    late.see(*lies)
    late.wait(late.now + 2_000)
    assert late.state.head == made.ref
    late.see(*timeline[-3:], *truth)
    late.wait(late.now + HOUR_MS)
    assert late.state.head == head
    # Nor if the truth came first.
    later = newcomer(world, timeline)
    later.see(*timeline, *truth, *lies)
    later.wait(later.now + HOUR_MS)
    assert later.state.head == head
    assert made.ref not in later.state.entries


@pytest.mark.parametrize("reloads", [False, True])
def test_when_the_named_parent_comes_an_anchor_that_is_none_of_its_children_goes_with_all_below(
    seed: int, *, reloads: bool
) -> None:
    world, timeline = play(S2, seed)
    everything = newcomer(world, timeline)
    everything.see(*timeline)
    users = members(world)
    state = world.service("hs1").engine.state
    assert state.head is not None
    # It was made on the head, and names the head's grandparent.
    chain = state.graph.chain(state.head)
    made = lie(world, users[0], chain[-3])
    late = newcomer(world, timeline, reloads=reloads)
    late.answers = False
    late.see(made.event, vote_for(world, users[1], made.ref, made.staged.state.public.tree))
    late.wait(late.now + 2_000)
    assert late.state.head == made.ref
    late.answers = True
    late.see(*timeline)
    late.wait(late.now + HOUR_MS)
    assert made.ref not in late.state.entries
    result = late.step(EventReceived(made.event)).result
    assert result is not None
    assert result.outcome == IngestOutcome.REJECTED
    assert late.state.head == everything.state.head
    assert set(late.state.entries) == set(everything.state.entries)
    assert {key for table, key in late.records if table == "node"} == set(late.state.entries)
