"""One's own proposals until they are committed, and pre-shared keys of all kinds (RFC 9420, Sections 8.4 and 12.1)."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from dmls.errors import NotAMemberError, StateError
from dmls.mls.crypto.suites import CIPHER_SUITES, CipherSuite, cipher_suite
from dmls.mls.group.own_proposal import SentProposals, create_update
from dmls.mls.group.psks import PSKKeeper, name_psk
from dmls.mls.messages.commit import ProposalReference
from dmls.mls.messages.proposal import Add, PreSharedKey, ProposalBody, ReInit, Remove
from dmls.mls.messages.psk import ExternalPSK, PreSharedKeyID, ResumptionPSK, ResumptionPSKUsage
from dmls.mls.messages.registry import WireFormat
from tests.support.forge import forge_commit
from tests.support.groups import GROUP_ID, Room, fresh_update, parties, refusing, room_of
from tests.support.successors import Closed

SUITE = cipher_suite(1)
BY_SUITE = pytest.mark.parametrize("suite", CIPHER_SUITES, ids=lambda suite: f"suite{suite.id}")


# Updates


@pytest.mark.keeps("UP-14", "CP-15")
def test_an_updates_key_is_in_place_when_it_is_committed_and_gone_when_it_is_not(room: Room) -> None:
    alice, bob, *_ = room.members
    first, second = fresh_update(bob), fresh_update(bob)
    room.propose(bob, first)
    entry = room.propose(bob, second)
    assert first.leaf_node.encryption_key in bob.ring
    room.commit(alice, entry)
    assert second.leaf_node.encryption_key in bob.ring
    assert first.leaf_node.encryption_key not in bob.ring
    third = fresh_update(bob)
    room.propose(bob, third)
    room.commit(alice)
    assert third.leaf_node.encryption_key not in bob.ring
    room.talk()


def test_an_update_may_bring_a_new_signature_key(room: Room, rng: random.Random) -> None:
    alice, bob, *_ = room.members
    (renewed,) = parties(SUITE, "b", rng)
    made = create_update(bob.state, renewed.client, bob.leaf, bob.random)
    bob.ring = bob.ring.add(made.private_keys)
    entry = room.propose(bob, made.proposal)
    bob.client = renewed.client
    room.commit(alice, entry)
    room.talk()
    room.commit(bob)


def test_only_who_may_send_makes_an_update(room: Room) -> None:
    alice, bob, *_ = room.members
    with pytest.raises(NotAMemberError):
        create_update(alice.state, alice.client, bob.leaf, alice.random)
    incapable = replace(alice.client, capabilities=replace(alice.client.capabilities, cipher_suites=()))
    with refusing("LN-07", alice):
        create_update(alice.state, incapable, alice.leaf, alice.random)
    room.commit(alice, ReInit(b"s", 1, 1, ()))
    with pytest.raises(StateError, match="CP-12"):
        create_update(alice.state, alice.client, alice.leaf, alice.random)


# What comes back


@pytest.mark.parametrize("wire_format", [WireFormat.PUBLIC_MESSAGE, WireFormat.PRIVATE_MESSAGE], ids=["public", "private"])
@pytest.mark.keeps("FRM-15", "CC-15")
def test_own_proposals_are_known_when_they_come_back(room: Room, wire_format: WireFormat) -> None:
    alice, bob, _, dan = room.members
    sent = alice.propose(Remove(dan.leaf), wire_format=wire_format)
    record = SentProposals().add(sent)
    known = record.find(sent.message)
    assert known is not None
    assert known == sent.ref
    assert record.find(sent.message + b"\x00") is None
    for party in room.members[1:]:
        party.receive(sent.message)
    assert set(bob.state.public.proposals) == {known}
    staged = alice.stage(ProposalReference(known), wire_format=wire_format)
    bob.receive(staged.message)
    assert bob.state.secrets.epoch_authenticator == staged.state.secrets.epoch_authenticator


@pytest.mark.breaks("FRM-15")
def test_an_own_private_proposal_is_not_opened_and_harms_nothing(room: Room) -> None:
    alice, bob, *_ = room.members
    sent = alice.propose(Remove(3), wire_format=WireFormat.PRIVATE_MESSAGE)
    with refusing("ST-13", alice):
        alice.receive(sent.message)
    bob.receive(sent.message)
    bob.receive(alice.propose(Remove(2), wire_format=WireFormat.PRIVATE_MESSAGE).message)
    assert len(alice.state.public.proposals) == len(bob.state.public.proposals) == 2


def test_an_own_public_proposal_comes_back_as_itself(room: Room) -> None:
    alice = room.members[0]
    sent = alice.propose(Remove(3))
    before = alice.state.public.proposals
    alice.receive(sent.message)
    assert alice.state.public.proposals == before
    assert SentProposals().add(replace(sent, ref=None)) == SentProposals()
    assert SentProposals().find(alice.stage().message) is None


# Pre-shared keys


@BY_SUITE
@pytest.mark.keeps("PSK-02", "PSK-03", "PSK-09")
def test_keys_are_injected_in_the_order_of_the_list(suite: CipherSuite, rng: random.Random) -> None:
    """By value and by reference, of the application's, of this group's past and present, and of another group's."""
    room, (alice, bob) = room_of(rng, "ab", suite)
    other, others = room_of(rng, "ab", suite)
    other.commit(others[0])
    elsewhere = dict(zip((alice, bob), others, strict=True))
    group_id, epoch = room.follower.context.group_id, room.follower.context.epoch
    for mate in others:
        public = mate.state.public
        mate.state = replace(mate.state, public=replace(public, context=replace(public.context, group_id=b"other")))

    def resumption(of: bytes, number: int) -> PreSharedKey:
        return PreSharedKey(name_psk(suite, ResumptionPSK(ResumptionPSKUsage.APPLICATION, of, number), rng.randbytes))

    def external(name: bytes) -> PreSharedKey:
        return PreSharedKey(name_psk(suite, ExternalPSK(name), rng.randbytes))

    keepers = {
        party: PSKKeeper().add_external(b"one", b"1").add_external(b"two", b"22").add_group(elsewhere[party].state)
        for party in (alice, bob)
    }
    first = room.propose(bob, external(b"one"))
    second = room.propose(alice, resumption(group_id, epoch), wire_format=WireFormat.PRIVATE_MESSAGE)
    (newcomer,) = parties(suite, "n", rng)
    entries: list[ProposalBody | ProposalReference] = [
        external(b"two"),
        first,
        resumption(b"other", 1),
        second,
        external(b"one"),
        Add(newcomer.key_package()),
    ]
    staged = alice.stage(*entries, psks=keepers[alice])
    named = [psk_id.source for psk_id in staged.applied.psk_ids]
    assert [source.psk_id if isinstance(source, ExternalPSK) else source.psk_group_id for source in named] == [
        b"two", b"one", b"other", group_id, b"one",
    ]  # fmt: skip
    assert len({psk_id.psk_nonce for psk_id in staged.applied.psk_ids}) == 5
    assert staged.welcome is not None
    newcomer.join(staged.welcome, psks=keepers[bob].add_group(bob.state))
    bob.receive(staged.message, psks=keepers[bob])
    assert bob.state.secrets.epoch_authenticator == staged.state.secrets.epoch_authenticator
    assert newcomer.state.secrets.epoch_authenticator == staged.state.secrets.epoch_authenticator


@pytest.mark.breaks("PSK-02", "PSK-08")
def test_a_nonce_does_not_serve_twice(room: Room) -> None:
    alice, bob, *_ = room.members
    fixed = PreSharedKeyID(ExternalPSK(b"name"), bytes(32))
    keys: dict[str, Any] = {"psks": lambda _: b"key"}
    with refusing("PSK-08", bob):
        bob.receive(forge_commit(alice, PreSharedKey(fixed), PreSharedKey(fixed), psks=[(fixed, b"key")] * 2), **keys)
    fresh = [PreSharedKey(name_psk(SUITE, ExternalPSK(b"name"), alice.random)) for _ in range(2)]
    bob.process(forge_commit(alice, *fresh, psks=[(entry.psk, b"key") for entry in fresh]), **keys)


@pytest.mark.breaks("PSK-03")
def test_who_injects_in_another_order_is_not_agreed_with(room: Room) -> None:
    alice, bob, *_ = room.members
    entries = [PreSharedKey(name_psk(SUITE, ExternalPSK(name), alice.random)) for name in (b"one", b"two")]
    keys = [(entry.psk, b"key") for entry in entries]
    with refusing("CP-10", bob):
        bob.receive(forge_commit(alice, *entries, psks=keys[::-1]), psks=lambda _: b"key")
    bob.process(forge_commit(alice, *entries, psks=keys), psks=lambda _: b"key")


@pytest.mark.breaks("PSK-09", "PSK-06", "CP-04")
def test_a_key_of_a_group_that_one_is_not_in_is_not_known(room: Room) -> None:
    alice, bob, *_ = room.members
    context = room.follower.context
    for group_id, epoch in ((b"other", context.epoch), (context.group_id, context.epoch + 1)):
        source = ResumptionPSK(ResumptionPSKUsage.APPLICATION, group_id, epoch)
        entry = PreSharedKey(name_psk(SUITE, source, alice.random))
        with refusing("CP-04", bob):
            bob.receive(forge_commit(alice, entry, psks=[(entry.psk, b"key")]), psks=PSKKeeper().add_group(bob.state))


@pytest.mark.keeps("PSK-02", "PSK-09")
def test_keys_are_kept_and_named_anew_each_time(closed: Closed, rng: random.Random) -> None:
    keeper = PSKKeeper().add_external(b"name", b"key").add_group(closed.state)
    first, second = (name_psk(SUITE, ExternalPSK(b"name"), rng.randbytes) for _ in range(2))
    assert first != second
    assert keeper(first) == keeper(second) == b"key"
    assert keeper(PreSharedKeyID(ExternalPSK(b"other"), bytes(32))) is None
    for epoch, psk in closed.state.resumption_psks.items():
        for usage in ResumptionPSKUsage:
            found = keeper(name_psk(SUITE, ResumptionPSK(usage, GROUP_ID, epoch), rng.randbytes))
            assert found == (psk if usage is ResumptionPSKUsage.APPLICATION else None)
    assert keeper(name_psk(SUITE, ResumptionPSK(ResumptionPSKUsage.APPLICATION, b"other", 1), rng.randbytes)) is None
    assert "key" not in repr(keeper)
