"""Which private keys a member has in which epoch: those of its leaf and of the nodes above it, and none of the epochs before."""

from __future__ import annotations

import random

import pytest

from dmls.mls.codec import decode
from dmls.mls.group.keyring import KeyRing, keys_in_use
from dmls.mls.group.process import open_message, process_handshake
from dmls.mls.messages.message import MLSMessage
from dmls.mls.messages.proposal import Update
from dmls.mls.tree.math import ancestor, leaf_to_node
from tests.support.groups import Party, Room, fresh_update, refusing, room_of


@pytest.fixture
def room(rng: random.Random) -> Room:
    """Four members, each of whom has committed."""
    room, members = room_of(rng)
    for party in members:
        room.commit(party)
    return room


def leaf_key(party: Party) -> bytes:
    leaf = party.state.public.tree.leaf(party.leaf)
    assert leaf is not None
    return leaf.encryption_key


def refuse_with(party: Party, keys: KeyRing, message: bytes) -> None:
    """The path of a commit does not open with these keys."""
    content, after = open_message(party.state, decode(MLSMessage, message))
    with refusing("UP-12", party):
        process_handshake(after, content, keys.keys)


@pytest.mark.breaks("TR-04")
def test_a_key_of_a_node_that_is_not_above_the_leaf_is_not_kept(room: Room) -> None:
    alice, bob, *_ = room.members
    foreign = set(alice.ring.keys) - set(bob.ring.keys)
    assert len(foreign) == 1
    bob.ring = bob.ring.add(alice.ring.keys)
    room.commit(room.members[3])
    assert foreign <= {room.follower.tree.encryption_key(leaf_to_node(alice.leaf))}
    assert not foreign & set(bob.ring.keys)


@pytest.mark.keeps("TR-04")
def test_a_member_has_the_keys_on_its_way_up_and_no_others(room: Room) -> None:
    for party in room.members:
        above = {party.state.public.tree.encryption_key(ancestor(party.leaf, height)) for height in range(3)}
        assert set(party.ring.keys) == keys_in_use(party.state.public.tree, party.state.own_leaves) == above


@pytest.mark.breaks("UP-14")
def test_of_two_updates_that_wait_the_one_that_is_committed_gives_the_leaf_its_key(room: Room) -> None:
    alice, bob, *_ = room.members
    before = leaf_key(bob)
    updates: list[Update] = []
    references = []
    for _ in range(2):
        updates.append(fresh_update(bob))
        references.append(room.propose(bob, updates[-1]))
    first, second = (update.leaf_node.encryption_key for update in updates)
    message = alice.stage(references[1]).message
    # Neither the old key nor that of the Update that was not committed opens the path.
    refuse_with(bob, bob.ring.discard([second]), message)
    room.commit(alice, references[1])
    assert leaf_key(bob) == second
    assert second in bob.ring
    assert first not in bob.ring
    assert before not in bob.ring
    room.commit(alice)


@pytest.mark.breaks("UP-16")
def test_keys_of_an_epoch_that_is_over_are_gone(room: Room) -> None:
    alice, bob, _, dan = room.members
    lost = dan.stage().message
    old, keys = bob.state, bob.ring
    room.commit(alice)
    content, after = open_message(old, decode(MLSMessage, lost))
    with refusing("UP-12"):
        process_handshake(after, content, bob.ring.keys)
    # With the keys that were, it would have opened.
    process_handshake(after, content, keys.keys)


@pytest.mark.breaks("UP-17")
def test_a_committer_that_keeps_its_old_leaf_key_opens_no_further_commit(room: Room) -> None:
    alice, bob, *_ = room.members
    before = alice.ring
    key = leaf_key(alice)
    room.commit(alice)
    assert key not in alice.ring
    refuse_with(alice, before, bob.stage().message)
    room.commit(bob)
