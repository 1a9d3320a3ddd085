"""The life of a group in every suite: all members, and a follower without secrets, agree after each step."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from dmls.errors import DMLSError, EvictedError, NotAMemberError, StateError
from dmls.ids import LeafIndex
from dmls.mls.codec import decode
from dmls.mls.crypto.suites import CIPHER_SUITES, CipherSuite, cipher_suite
from dmls.mls.framing.padding import pad_to_multiple
from dmls.mls.group.leaf import default_capabilities
from dmls.mls.group.process import open_message, process_handshake
from dmls.mls.messages.commit import ProposalReference
from dmls.mls.messages.extensions import Extension, ExternalSenders, RequiredCapabilities, find_extension, make_extension
from dmls.mls.messages.leaf_node import CommitSource
from dmls.mls.messages.message import MLSMessage, PrivateMessage, PublicMessage
from dmls.mls.messages.proposal import Add, GroupContextExtensions, PreSharedKey, ProposalBody, ReInit, Remove
from dmls.mls.messages.psk import ExternalPSK, PreSharedKeyID, ResumptionPSK, ResumptionPSKUsage
from dmls.mls.messages.registry import ExtensionType, WireFormat
from tests.support.groups import Party, Room, fingerprint, fresh_update, parties, room_of

BY_SUITE = pytest.mark.parametrize("suite", CIPHER_SUITES, ids=lambda suite: f"suite{suite.id}")
BY_FORMAT = pytest.mark.parametrize(
    "wire_format", [WireFormat.PUBLIC_MESSAGE, WireFormat.PRIVATE_MESSAGE], ids=["public", "private"]
)
SUITE = cipher_suite(1)
APP_EXTENSION = 0xF123
CAPABLE = default_capabilities((1,), extensions=(APP_EXTENSION,))


@BY_SUITE
@BY_FORMAT
def test_a_group_lives(suite: CipherSuite, wire_format: WireFormat, rng: random.Random) -> None:
    alice, bob, carol, dan, erin = parties(suite, ["alice", "bob", "carol", "dan", "erin"], rng)
    room = Room(alice)
    form: dict[str, Any] = {"wire_format": wire_format}
    room.commit(alice, **form)  # alone, the path is empty
    room.add(alice, bob, **form)
    room.add(bob, carol, dan, tree_in_welcome=False, force_path=True, **form)
    room.talk()
    room.commit(dan, **form)

    removal = room.propose(carol, Remove(bob.leaf), **form)
    update = room.propose(dan, fresh_update(dan), **form)
    addition = room.propose(dan, Add(erin.key_package()), **form)
    with pytest.raises(StateError):
        alice.send(b"too early")
    room.commit(alice, removal, update, addition, joiners=[erin], leavers=[bob], **form)
    room.talk()

    room.join_externally(bob)
    room.talk()
    room.join_externally(dan, replaces=dan)
    room.commit(bob, **form)
    room.talk()

    psk, psk_id = b"shared", PreSharedKeyID(ExternalPSK(b"name"), rng.randbytes(suite.hash_size))
    known: dict[str, Any] = {"psks": lambda wanted: psk if wanted == psk_id else None}
    room.commit(erin, PreSharedKey(psk_id), process_options=known, **known, **form)
    epoch = room.follower.context.epoch - 2
    resumption = ResumptionPSK(ResumptionPSKUsage.APPLICATION, room.follower.context.group_id, epoch)
    nonces = (rng.randbytes(suite.hash_size) for _ in range(2))
    longest = [party for party in room.members if epoch in party.state.resumption_psks]
    assert len(longest) == len(room.members)
    room.commit(bob, *(PreSharedKey(PreSharedKeyID(resumption, nonce)) for nonce in nonces), **form)
    room.commit(bob, GroupContextExtensions((make_extension(ExtensionType.EXTERNAL_SENDERS, ExternalSenders(())),)), **form)
    assert find_extension(room.follower.context.extensions, ExtensionType.EXTERNAL_SENDERS) == b"\x00"
    room.talk()
    for leaver in (carol, dan, erin, bob):
        room.commit(alice, Remove(leaver.leaf), leavers=[leaver], **form)
    assert room.follower.tree.width == 1
    room.commit(alice, **form)


@BY_FORMAT
def test_handshakes_go_in_the_format_that_was_asked_for(wire_format: WireFormat, rng: random.Random) -> None:
    _, (alice, *_) = room_of(rng)
    kind = PublicMessage if wire_format is WireFormat.PUBLIC_MESSAGE else PrivateMessage
    assert isinstance(decode(MLSMessage, alice.stage(wire_format=wire_format, padding=pad_to_multiple(256)).message).body, kind)


def test_a_commit_changes_no_state_until_it_is_entered(rng: random.Random) -> None:
    room, (alice, bob, *_) = room_of(rng)
    before = fingerprint(alice.state)
    mine = alice.stage(Remove(LeafIndex(3)))
    assert fingerprint(alice.state) == before
    theirs = bob.stage()
    # Another commit wins: the pending one is left lying.
    room.members = room.members[:3]
    for party in (alice, room.members[2]):
        party.receive(theirs.message)
    bob.enter(theirs)
    room.follow(theirs.message, theirs)
    room.settle()
    with pytest.raises(DMLSError, match="FRM-12"):
        bob.process(mine.message)


def test_a_joiner_of_each_place_learns_what_it_should(rng: random.Random) -> None:
    names = [f"member{number}" for number in range(17)]
    first, *others = parties(SUITE, names, rng)
    room = Room(first)
    for joiner in others:
        room.add(rng.choice(room.members), joiner, tree_in_welcome=bool(rng.getrandbits(1)), force_path=True)
    assert room.follower.tree.width == 32
    for party in room.members:
        room.commit(party)
    room.talk()


def test_many_join_by_one_welcome_and_each_finds_its_own(rng: random.Random) -> None:
    first, *others = parties(SUITE, [f"member{number}" for number in range(10)], rng)
    room = Room(first)
    staged = room.add(first, *others, force_path=True)
    assert staged.welcome is not None
    assert len(staged.welcome.secrets) == 9
    assert {index for index, _ in staged.applied.added} == set(range(1, 10))
    for party in room.members:
        room.commit(party)


def test_adds_take_their_slots_in_the_order_of_the_list(rng: random.Random) -> None:
    room, (alice, bob, carol, dan) = room_of(rng)
    eve, fay, gus = parties(SUITE, "efg", rng)
    removals = [Remove(bob.leaf), Remove(carol.leaf)]
    additions = [Add(party.key_package()) for party in (eve, fay, gus)]
    # Removes come first, wherever they stand.
    proposals: list[ProposalBody] = [additions[0], removals[1], additions[1], removals[0], additions[2]]
    room.commit(alice, *proposals, joiners=[eve, fay, gus], leavers=[bob, carol])
    assert (eve.leaf, fay.leaf, gus.leaf) == (1, 2, 4)
    assert dan.leaf == 3
    room.talk()


@pytest.mark.keeps("TR-22")
def test_a_leaf_whose_subtree_was_emptied_commits(rng: random.Random) -> None:
    room, members = room_of(rng, "abcdefgh")
    for party in members:
        room.commit(party)
    # The whole left half goes: the topmost node of the filtered path is not the root.
    room.commit(members[7], *(Remove(party.leaf) for party in members[:4]), leavers=members[:4])
    room.commit(members[6])
    (joiner,) = parties(SUITE, "z", rng)
    room.add(members[5], joiner, tree_in_welcome=False)
    assert joiner.leaf == 0
    room.commit(joiner)
    room.talk()


@pytest.mark.keeps("CC-16")
def test_the_signature_key_rotates_in_the_path(rng: random.Random) -> None:
    room, (alice, bob, *_) = room_of(rng)
    old, new = alice.client, parties(SUITE, ["alice"], rng)[0].client
    (joiner,) = parties(SUITE, "z", rng)
    alice.client = new
    # Not in the tree yet, so it signs nothing but the leaf and the GroupInfo of the new epoch.
    with pytest.raises(NotAMemberError):
        alice.stage()
    with pytest.raises(NotAMemberError):
        alice.stage(Add(joiner.key_package()), signature_private_key=old.signature_private_key)
    room.add(alice, joiner, signature_private_key=old.signature_private_key, force_path=True)
    leaf = room.follower.tree.leaf(alice.leaf)
    assert leaf is not None
    assert leaf.signature_key == new.signature_key != old.signature_key
    room.talk()
    room.commit(alice)
    alice.client = old
    with pytest.raises(NotAMemberError):
        alice.stage()
    with pytest.raises(NotAMemberError):
        alice.send(b"x")
    alice.client = new
    room.commit(bob, Remove(alice.leaf), leavers=[alice])


@pytest.mark.keeps("CP-15")
def test_an_update_that_is_committed_counts_and_one_that_is_not_does_not(rng: random.Random) -> None:
    room, (alice, bob, carol, dan) = room_of(rng)
    first = room.propose(bob, fresh_update(bob))
    second = room.propose(bob, fresh_update(bob))
    third = room.propose(carol, fresh_update(carol))
    assert first != second
    room.commit(alice, second, third)
    assert len(room.follower.proposals) == 0
    held = [leaf.encryption_key in bob.ring for index, leaf in room.follower.tree.members() if index == bob.leaf]
    assert held == [True]
    room.commit(dan)
    room.talk()


def test_only_what_a_state_needs_is_kept_of_the_key_ring(rng: random.Random) -> None:
    room, members = room_of(rng, "abcdefgh")
    for party in members:
        room.commit(party)
    for party in members:
        assert len(party.ring) == 4


@pytest.mark.breaks("CP-09", "ST-14")
def test_who_is_removed_learns_it_and_can_do_no_more(rng: random.Random) -> None:
    _, (alice, bob, *_) = room_of(rng)
    pending = bob.stage()
    staged = alice.stage(Remove(bob.leaf))
    before = fingerprint(bob.state)
    with pytest.raises(EvictedError, match="CP-09"):
        bob.receive(staged.message)
    assert fingerprint(bob.state) == before
    assert pending.state.public.context.epoch == bob.epoch + 1
    alice.enter(staged)
    with pytest.raises(DMLSError, match="FRM-12"):
        alice.process(pending.message)


@pytest.mark.breaks("CP-12", "RB-06", "SQ-02")
def test_a_reinit_closes_the_group(rng: random.Random) -> None:
    room, members = room_of(rng)
    alice, *_ = members
    room.commit(alice, ReInit(b"successor", 1, 1, ()))
    for party in members:
        assert party.state.closed_by == ReInit(b"successor", 1, 1, ())
        with pytest.raises(StateError, match="CP-12"):
            party.send(b"x")
        with pytest.raises(StateError, match="CP-12"):
            party.propose(Remove(LeafIndex(0)))
        with pytest.raises(StateError, match="CP-12"):
            party.stage()


def test_extensions_of_the_group_are_replaced_as_a_whole(rng: random.Random) -> None:
    alice, bob, carol = parties(SUITE, "abc", rng, CAPABLE)
    room = Room(alice, extensions=(Extension(APP_EXTENSION, b"one"),))
    room.add(alice, bob)
    senders = make_extension(ExtensionType.EXTERNAL_SENDERS, ExternalSenders(()))
    required = make_extension(ExtensionType.REQUIRED_CAPABILITIES, RequiredCapabilities((APP_EXTENSION, 1), (1,), (1,)))
    room.commit(bob, GroupContextExtensions((required, senders)))
    assert list(room.follower.context.extensions) == [required, senders]
    room.add(bob, carol)
    room.commit(carol, GroupContextExtensions(()))
    assert not room.follower.context.extensions


def test_what_a_leaf_supports_may_change_with_its_path(rng: random.Random) -> None:
    """What counts is the tree after the commit: the one member that lacks a capability brings it along."""
    alice, bob = parties(SUITE, "ab", rng, CAPABLE)
    (old,) = parties(SUITE, "c", rng)
    room = Room(alice)
    room.add(alice, bob, old)
    extension = GroupContextExtensions((Extension(APP_EXTENSION, b""),))
    with pytest.raises(DMLSError, match="LN-04"):
        alice.stage(extension)
    with pytest.raises(DMLSError, match="LN-04"):
        old.stage(extension)
    old.client = replace(old.client, capabilities=CAPABLE)
    room.commit(old, extension)
    room.talk()


@pytest.mark.keeps("LN-22")
def test_a_member_and_its_replacement_pass_on_keys_in_one_commit(rng: random.Random) -> None:
    """Uniqueness is judged after the whole list: a removed client's key may come back with it, and two members may swap."""
    room, (alice, bob, carol, dan) = room_of(rng)
    again = Party(SUITE, "bob", rng.randbytes)
    again.client = bob.client
    room.commit(alice, Remove(bob.leaf), Add(again.key_package()), joiners=[again], leavers=[bob])
    room.talk()
    carols, dans = carol.client, dan.client
    updates: list[ProposalReference] = []
    for party, old, new in ((carol, carols, dans), (dan, dans, carols)):
        party.client = new
        update = fresh_update(party)
        party.client = old
        updates.append(room.propose(party, update))
    carol.client, dan.client = dans, carols
    room.commit(alice, *updates)
    room.talk()


def test_a_commit_is_processed_without_the_generation_being_used_up_by_looking(rng: random.Random) -> None:
    _, (alice, bob, *_) = room_of(rng)
    staged = alice.stage(wire_format=WireFormat.PRIVATE_MESSAGE)
    content, after = open_message(bob.state, decode(MLSMessage, staged.message))
    assert fingerprint(after) != fingerprint(bob.state)
    processed = process_handshake(bob.state, content, bob.ring.keys)
    assert processed.state.secrets.epoch_authenticator == staged.state.secrets.epoch_authenticator


def test_the_committers_leaf_carries_the_parent_hash_of_its_path(rng: random.Random) -> None:
    room, (alice, *_) = room_of(rng)
    staged = room.commit(alice)
    leaf = staged.state.public.tree.leaf(alice.leaf)
    assert leaf is not None
    assert isinstance(leaf.source, CommitSource)
    assert len(leaf.source.parent_hash) == SUITE.hash_size
