"""States as bytes: what is written comes back, with everything that was used up still used up."""

from __future__ import annotations

import random

import pytest

from dmls.errors import CodecError, DecryptionError, DMLSError, UsageError
from dmls.ids import LeafIndex
from dmls.mls.crypto.suites import CIPHER_SUITES, CipherSuite, cipher_suite
from dmls.mls.group.application import encrypt
from dmls.mls.group.keyring import KeyRing
from dmls.mls.group.process import process_handshake
from dmls.mls.group.snapshot import decode_public, decode_state, encode_public, encode_state
from dmls.mls.limits import Limits
from dmls.mls.messages.message import PrivateMessage
from dmls.mls.messages.proposal import ReInit, Remove
from dmls.mls.messages.registry import WireFormat
from dmls.mls.schedule.key_schedule import RFC9420_RULE
from tests.support.groups import Party, Room, Store, body_of, fresh_update, refusing, room_of

SUITE = cipher_suite(1)


@pytest.mark.parametrize("suite", CIPHER_SUITES, ids=lambda suite: f"suite{suite.id}")
def test_a_state_with_everything_in_it_comes_back(suite: CipherSuite, rng: random.Random) -> None:
    room, (alice, bob, _) = room_of(rng, "abc", suite)
    for number in range(3):
        message = bob.send(str(number).encode())
        if number != 1:
            alice.receive(message)
    room.propose(bob, Remove(LeafIndex(2)))
    room.propose(bob, fresh_update(bob), wire_format=WireFormat.PRIVATE_MESSAGE)
    revived = room.store.revive(alice.state)
    assert revived.public.proposals == alice.state.public.proposals
    assert len(revived.public.proposals) == 2
    assert revived.own_leaves == alice.state.own_leaves
    assert revived.resumption_psks == alice.state.resumption_psks
    assert revived.secrets == alice.state.secrets
    room.commit(alice, ReInit(b"successor", 1, suite.id, ()))
    assert room.store.revive(alice.state).closed_by == ReInit(b"successor", 1, suite.id, ())


def test_a_generation_is_not_used_again_after_a_restart(room: Room) -> None:
    alice = room.members[0]
    seen = set()
    for _ in range(5):
        seen.add(body_of(alice.send(b"same"), PrivateMessage).ciphertext)
        alice.state = room.store.revive(alice.state)
    assert len(seen) == 5
    assert room.members[1].receive(alice.send(b"next")) == b"next"


def test_forks_share_their_trees_in_the_store(room: Room) -> None:
    alice, bob, *_ = room.members
    store = Store()
    store.keep(alice.state.public.tree)
    before = len(store.rows)
    for party in (alice, bob):
        store.revive(party.stage().state)
    # A commit in a tree of four writes its leaf and the two nodes above it.
    assert len(store.rows) == before + 2 * 3


def test_what_was_not_written_here_is_refused(room: Room) -> None:
    alice = room.members[0]
    state, public = encode_state(alice.state), encode_public(alice.state.public)
    room.store.keep(alice.state.public.tree)
    with pytest.raises(UsageError):
        decode_public(b"\x02" + public[1:], room.store.load)
    for data in (b"", public[:-1], public + b"\x00", state):
        with pytest.raises(CodecError):
            decode_public(data, room.store.load)
    for data in (b"", state[:-1], state + b"\x00"):
        with pytest.raises(CodecError):
            decode_state(data, RFC9420_RULE, room.store.load)


def test_a_state_can_be_made_to_forget_its_message_secrets(room: Room) -> None:
    alice, bob, carol, _ = room.members
    message = bob.send(b"text")
    alice.state = alice.state.without_message_secrets()
    with pytest.raises(DMLSError):
        alice.receive(message)
    with pytest.raises(DMLSError):
        encrypt(alice.state, alice.client, alice.leaf, b"x", alice.random)
    alice.state = room.store.revive(alice.state)
    staged = carol.stage()
    alice.receive(staged.message)
    assert alice.state.secrets.epoch_authenticator == staged.state.secrets.epoch_authenticator


def test_a_state_can_be_made_to_forget_its_external_secret(room: Room, rng: random.Random) -> None:
    alice, bob, *_ = room.members
    outsider = Party(SUITE, "outsider", rng.randbytes)
    staged = outsider.join_externally(room.follower, bob.group_info())
    regular = bob.stage()
    alice.state = alice.state.without_external_secret()
    with pytest.raises(DecryptionError):
        alice.process(staged.message)
    alice.process(regular.message)


def test_so_many_resumption_psks_are_kept(room: Room) -> None:
    alice, bob, *_ = room.members
    limits = Limits(resumption_psks=2)
    for _ in range(3):
        staged = alice.stage(limits=limits)
        assert set(bob.process(staged.message, limits=limits).state.resumption_psks) == set(staged.state.resumption_psks)
        assert len(staged.state.resumption_psks) == 2
        alice.enter(staged)
        bob.receive(staged.message, limits=limits)
    assert min(alice.state.resumption_psks) == alice.epoch - 1


def test_a_ring_keeps_and_drops_keys() -> None:
    pairs = [SUITE.derive_key_pair(bytes([number]) * 32) for number in range(3)]
    ring = KeyRing().add({pair.public_key: pair.private_key for pair in pairs})
    assert len(ring) == 3
    assert pairs[0].public_key in ring
    smaller = ring.discard([pairs[0].public_key, b"unknown"])
    assert len(smaller) == 2
    assert pairs[0].public_key not in smaller
    assert len(ring) == 3
    assert repr(ring) == "KeyRing(3 keys)"


def test_a_commit_that_was_opened_can_be_processed_after_a_restart(room: Room) -> None:
    alice, bob, *_ = room.members
    staged = alice.stage()
    bob.state = room.store.revive(bob.state)
    processed = process_handshake(bob.state, staged.content, bob.ring.keys)
    assert processed.state.secrets == staged.state.secrets
    bob.state = processed.state
    with refusing("FRM-12", bob):
        bob.receive(staged.message)
