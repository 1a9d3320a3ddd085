"""Lists of proposals that break one rule: neither made by a committer nor accepted from one (RFC 9420, Section 12.2)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pytest

from dmls.ids import LeafIndex
from dmls.mls.codec import decode
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.group.applied import apply_proposals
from dmls.mls.group.follower import cache_proposal, sender_key
from dmls.mls.group.process import open_message, receive_proposal
from dmls.mls.group.proposals import ResolvedProposal
from dmls.mls.limits import Limits
from dmls.mls.messages.commit import ProposalReference
from dmls.mls.messages.extensions import Extension, ExternalSender, ExternalSenders, make_extension
from dmls.mls.messages.key_package import KeyPackage
from dmls.mls.messages.message import ExternalSenderIndex, Member, MLSMessage, NewMemberProposal
from dmls.mls.messages.proposal import (
    Add,
    ExternalInit,
    GroupContextExtensions,
    PreSharedKey,
    ProposalBody,
    ReInit,
    Remove,
)
from dmls.mls.messages.psk import ExternalPSK, PreSharedKeyID, ResumptionPSK, ResumptionPSKUsage
from dmls.mls.messages.registry import ExtensionType
from tests.support.forge import forge_commit, forge_key_package, forge_message
from tests.support.groups import ANYBODY, Party, Room, fresh_update, refusing
from tests.support.refusals import refuse_commit, spoilt_update

SUITE = cipher_suite(1)
NONCE = bytes(range(32))
PSK = PreSharedKey(PreSharedKeyID(ExternalPSK(b"name"), NONCE))


def refuse(room: Room, proposals: Sequence[ProposalBody | ProposalReference], rule: str, *, with_path: bool = True) -> None:
    """Neither make nor accept a commit of a list by the first member."""
    alice = room.members[0]
    with refusing(rule, alice):
        alice.stage(*proposals, psks=lambda _: b"key")
    psks = [(entry.psk, b"key") for entry in proposals if isinstance(entry, PreSharedKey) and len(entry.psk.psk_nonce) == 32]
    message = forge_commit(alice, *proposals, psks=psks, with_path=with_path)
    refuse_commit(room, message, rule, psks=lambda _: b"key")


def accept(room: Room, proposals: Sequence[ProposalBody | ProposalReference], *leavers: Party) -> None:
    """Make and accept a commit of a list, without entering it."""
    alice, *others = room.members
    staged = alice.stage(*proposals, psks=lambda _: b"key")
    for party in set(others).difference(leavers):
        assert party.process(staged.message, psks=lambda _: b"key").state.public.context == staged.state.public.context


# Who may be touched


@pytest.mark.breaks("PL-02")
def test_the_committer_does_not_update_by_proposal(room: Room) -> None:
    alice = room.members[0]
    refuse(room, [fresh_update(alice)], "PL-02")
    refuse(room, [room.propose(alice, fresh_update(alice))], "PL-02")


@pytest.mark.breaks("PL-02", "PR-06")
def test_nobody_updates_by_value(room: Room) -> None:
    """An Update in a commit is the committer's own, whoever's leaf it shows."""
    refuse(room, [fresh_update(room.members[1])], "PL-02")


@pytest.mark.breaks("PL-03", "PL-19")
def test_the_committer_is_not_removed(room: Room) -> None:
    alice, bob, *_ = room.members
    refuse(room, [Remove(alice.leaf)], "PL-03")
    refuse(room, [room.propose(bob, Remove(alice.leaf))], "PL-03")


@pytest.mark.breaks("PL-04")
def test_a_leaf_is_touched_once(room: Room) -> None:
    _, bob, carol, _ = room.members
    update, other = room.propose(bob, fresh_update(bob)), room.propose(bob, fresh_update(bob))
    removal = room.propose(carol, Remove(bob.leaf))
    refuse(room, [update, other], "PL-04")
    refuse(room, [update, removal], "PL-04")
    refuse(room, [Remove(bob.leaf), Remove(bob.leaf)], "PL-04")
    refuse(room, [Remove(bob.leaf), removal], "PL-04")
    accept(room, [update])
    accept(room, [removal], bob)


@pytest.mark.breaks("PR-07")
@pytest.mark.parametrize("index", [4, 5, 63, 2**31, 2**32 - 1])
def test_only_members_are_removed(room: Room, index: int) -> None:
    refuse(room, [Remove(index)], "PR-07")


@pytest.mark.breaks("PR-07")
def test_a_blank_leaf_is_not_removed(room: Room) -> None:
    alice, bob, *_ = room.members
    room.commit(alice, Remove(bob.leaf), leavers=[bob])
    refuse(room, [Remove(LeafIndex(1))], "PR-07")


# Who may be added


@pytest.mark.breaks("PL-06")
def test_a_client_is_added_once(room: Room, newcomer: Party) -> None:
    refuse(room, [Add(newcomer.key_package()), Add(newcomer.key_package())], "PL-06")


@pytest.mark.breaks("PL-07")
def test_a_member_is_added_only_where_it_is_removed(room: Room) -> None:
    bob = room.members[1]
    again = Add(bob.key_package())
    refuse(room, [again], "PL-07")
    # An Update does not make a client leave.
    refuse(room, [again, room.propose(bob, fresh_update(bob))], "PL-07")
    accept(room, [again, Remove(bob.leaf)], bob)


@pytest.mark.breaks("KP-14", "LN-21")
def test_two_additions_share_no_key(room: Room, newcomer: Party, rng: random.Random) -> None:
    first, other = newcomer.key_package(), Party(SUITE, "other", rng.randbytes)
    twin = forge_key_package(other, partial(replace, init_key=first.init_key))
    refuse(room, [Add(first), Add(twin)], "KP-14")
    key = first.leaf_node.encryption_key
    twin = forge_key_package(other, alter_leaf=partial(replace, encryption_key=key))
    refuse(room, [Add(first), Add(twin)], "LN-21")


@pytest.mark.breaks("LN-21", "PL-14")
def test_an_addition_takes_no_key_of_the_tree(room: Room, newcomer: Party) -> None:
    room.commit(room.members[3])
    tree = room.follower.tree
    leaf, parent = tree.leaf(LeafIndex(1)), tree.parent(tree.filtered_direct_path(LeafIndex(3))[0])
    assert leaf is not None
    assert parent is not None
    for key in (leaf.encryption_key, parent.encryption_key):
        package = forge_key_package(newcomer, alter_leaf=partial(replace, encryption_key=key))
        refuse(room, [Add(package)], "LN-21")


PACKAGES: dict[str, tuple[str, dict[str, object]]] = {
    "another version": ("KP-01", {"version": 2}),
    "version 0": ("KP-01", {"version": 0}),
    "another suite": ("KP-01", {"cipher_suite": 3}),
    "an unknown suite": ("KP-01", {"cipher_suite": 0x0A0A}),
    "short init key": ("KP-06", {"init_key": bytes(31)}),
    "init key of small order": ("KP-06", {"init_key": bytes(32)}),
    "extension twice": ("KP-09", {"extensions": (Extension(0xF123, b""), Extension(0xF123, b"x"))}),
    "ratchet_tree": ("EX-10", {"extensions": (Extension(ExtensionType.RATCHET_TREE, b""),)}),
    "application_id": ("EX-10", {"extensions": (Extension(ExtensionType.APPLICATION_ID, b""),)}),
}


@pytest.mark.parametrize(("rule", "changes"), list(PACKAGES.values()), ids=list(PACKAGES))
def test_a_key_package_that_breaks_a_rule_is_not_added(
    room: Room, newcomer: Party, rule: str, changes: dict[str, object]
) -> None:
    def alter(package: KeyPackage) -> KeyPackage:
        return replace(package, **changes)  # type: ignore[arg-type]

    refuse(room, [Add(forge_key_package(newcomer, alter))], rule)


@pytest.mark.breaks("KP-04", "PR-03", "PL-01")
def test_init_and_encryption_key_of_a_package_differ(room: Room, newcomer: Party) -> None:
    package = forge_key_package(newcomer, lambda made: replace(made, init_key=made.leaf_node.encryption_key))
    refuse(room, [Add(package)], "KP-04")


@pytest.mark.keeps("KP-08", "EX-02")
def test_unknown_extensions_of_a_key_package_are_ignored(room: Room, newcomer: Party) -> None:
    extensions = (Extension(0x0A0A, b"grease"), Extension(0xF123, b""))
    accept(room, [Add(forge_key_package(newcomer, partial(replace, extensions=extensions)))])


# Pre-shared keys


@pytest.mark.breaks("PSK-01", "PR-08")
@pytest.mark.parametrize("size", [0, 31, 33])
def test_the_nonce_of_a_psk_has_the_hash_size(room: Room, size: int) -> None:
    refuse(room, [PreSharedKey(PreSharedKeyID(ExternalPSK(b"name"), bytes(size)))], "PSK-01")


@pytest.mark.breaks("PSK-07", "RB-13")
@pytest.mark.parametrize("usage", [ResumptionPSKUsage.REINIT, ResumptionPSKUsage.BRANCH])
def test_psks_that_open_a_successor_are_not_injected(room: Room, usage: ResumptionPSKUsage) -> None:
    psk = PreSharedKeyID(ResumptionPSK(usage, room.follower.context.group_id, 0), NONCE)
    refuse(room, [PreSharedKey(psk)], "PSK-07")


@pytest.mark.breaks("PSK-08", "PL-08")
def test_a_psk_stands_once_but_may_return_with_another_nonce(room: Room) -> None:
    refuse(room, [PSK, PSK], "PSK-08")
    other = PreSharedKey(replace(PSK.psk, psk_nonce=bytes(32)))
    accept(room, [PSK, other])


@pytest.mark.breaks("CP-04", "PSK-06")
def test_unknown_psks_are_refused(room: Room) -> None:
    alice, bob, *_ = room.members
    with refusing("CP-04", alice):
        alice.stage(PSK)
    message = forge_commit(alice, PSK, psks=[(PSK.psk, b"key")])
    with refusing("CP-04", bob):
        bob.receive(message)
    with refusing("CP-04", bob):
        bob.receive(message, psks=lambda _: None)
    with refusing("CP-10", bob):
        bob.receive(message, psks=lambda _: b"another key")
    bob.receive(message, psks=lambda _: b"key")
    # Of the group's own epochs only those count that were lived through.
    resumption = PreSharedKeyID(ResumptionPSK(ResumptionPSKUsage.APPLICATION, room.follower.context.group_id, 99), NONCE)
    with refusing("CP-04", alice):
        alice.stage(PreSharedKey(resumption))


@pytest.mark.breaks("PSK-03", "AP-04")
def test_psks_count_in_the_order_of_the_list(room: Room) -> None:
    alice, bob, *_ = room.members
    keys = {bytes((number,)): bytes((number, 0)) for number in range(3)}
    proposals = [PreSharedKey(PreSharedKeyID(ExternalPSK(name), NONCE)) for name in keys]

    def find(psk_id: PreSharedKeyID) -> bytes | None:
        return keys[psk_id.source.psk_id] if isinstance(psk_id.source, ExternalPSK) else None

    reference = room.propose(bob, proposals[1])
    staged = alice.stage(proposals[0], reference, proposals[2], psks=find)
    assert [psk.source for psk in staged.applied.psk_ids] == [proposal.psk.source for proposal in proposals]
    assert bob.process(staged.message, psks=find).state.secrets == staged.state.secrets
    shuffled = forge_commit(alice, *proposals, psks=[(entry.psk, find(entry.psk) or b"") for entry in reversed(proposals)])
    with refusing("CP-10", bob):
        bob.receive(shuffled, psks=find)


# Group context extensions, ReInit, ExternalInit


@pytest.mark.breaks("PL-09")
def test_group_context_extensions_stand_once(room: Room) -> None:
    refuse(room, [GroupContextExtensions(()), GroupContextExtensions(())], "PL-09")


EXTENSIONS: dict[str, tuple[str, tuple[Extension, ...]]] = {
    "twice": ("GC-05", (Extension(ExtensionType.EXTERNAL_SENDERS, b"\x00"),) * 2),
    "application_id": ("GC-09", (Extension(ExtensionType.APPLICATION_ID, b""),)),
    "ratchet_tree": ("GC-09", (Extension(ExtensionType.RATCHET_TREE, b""),)),
    "external_pub": ("GC-09", (Extension(ExtensionType.EXTERNAL_PUB, b"\x00"),)),
    "trailing bytes in external_senders": ("ENC-09", (Extension(ExtensionType.EXTERNAL_SENDERS, b"\x00\x00"),)),
    "trailing bytes in required_capabilities": ("ENC-09", (Extension(ExtensionType.REQUIRED_CAPABILITIES, bytes(4)),)),
    "cut required_capabilities": ("ENC-04", (Extension(ExtensionType.REQUIRED_CAPABILITIES, bytes(2)),)),
    "odd list in required_capabilities": ("ENC-07", (Extension(ExtensionType.REQUIRED_CAPABILITIES, b"\x01\x00\x00\x00"),)),
    "unsupported": ("LN-04", (Extension(0xF123, b""),)),
}


@pytest.mark.parametrize(("rule", "extensions"), list(EXTENSIONS.values()), ids=list(EXTENSIONS))
def test_extensions_that_break_a_rule_do_not_enter_the_group(room: Room, rule: str, extensions: tuple[Extension, ...]) -> None:
    refuse(room, [GroupContextExtensions(extensions)], rule)


def test_grease_is_not_given_to_a_group(room: Room) -> None:
    alice, bob, *_ = room.members
    proposal = GroupContextExtensions((Extension(0x0A0A, b""),))
    with refusing("EX-05", alice):
        alice.stage(proposal)
    # To a receiver it is an unknown extension like any other.
    with refusing("LN-04", bob):
        bob.receive(forge_commit(alice, proposal))


@pytest.mark.breaks("PL-10", "PR-09")
def test_a_reinit_stands_alone(room: Room, newcomer: Party) -> None:
    reinit = ReInit(b"successor", 1, 1, ())
    refuse(room, [reinit, reinit], "PL-10")
    refuse(room, [reinit, Add(newcomer.key_package())], "PL-10")
    refuse(room, [replace(reinit, version=0)], "PR-09")
    refuse(room, [replace(reinit, extensions=(Extension(3, bytes(3)), Extension(3, bytes(3))))], "GC-05")
    accept(room, [reinit])
    accept(room, [replace(reinit, version=2, cipher_suite=0x0A0A)])


@pytest.mark.breaks("PL-12", "PR-10")
def test_external_init_is_for_external_commits(room: Room) -> None:
    refuse(room, [ExternalInit(bytes(32))], "PL-12")
    refuse(room, [room.propose(room.members[1], ExternalInit(bytes(32)))], "PL-12")


# References


@pytest.mark.breaks("PL-15", "PL-16")
def test_unknown_references_and_double_ones_are_refused(room: Room) -> None:
    bob = room.members[1]
    reference = room.propose(bob, PSK)
    refuse(room, [ProposalReference(bytes(32))], "PL-15")
    refuse(room, [ProposalReference(b"")], "PL-15")
    refuse(room, [reference, reference], "PL-16")
    refuse(room, [reference, PSK], "PSK-08")
    accept(room, [reference])


@pytest.mark.breaks("PR-02", "CP-16")
def test_references_end_with_the_epoch(room: Room) -> None:
    _, bob, *_ = room.members
    reference = room.propose(bob, PSK)
    room.commit(bob)
    assert len(room.follower.proposals) == 0
    refuse(room, [reference], "PL-15")


@pytest.mark.breaks("PR-01")
def test_a_proposal_that_is_not_genuine_cannot_be_referred_to(room: Room) -> None:
    alice, bob, *_ = room.members
    proposal = Remove(LeafIndex(3))
    forged = {
        "FRM-09": forge_message(bob, proposal, alter_signature=lambda signature: bytes(len(signature))),
        "PUB-03": forge_message(bob, proposal, membership_key=bytes(32)),
        "FRM-12": forge_message(bob, proposal, alter=lambda content: replace(content, epoch=content.epoch - 1)),
        "FRM-11": forge_message(bob, proposal, alter=lambda content: replace(content, group_id=b"another")),
    }
    for rule, message in forged.items():
        with refusing(rule, alice):
            alice.receive(message)
    assert len(alice.state.public.proposals) == 0


@pytest.mark.breaks("PR-01", "ENC-17")
def test_only_proposals_are_remembered_and_only_so_many(room: Room) -> None:
    alice, bob, *_ = room.members
    content, _ = open_message(alice.state, decode(MLSMessage, bob.stage().message))
    with refusing("PR-01", alice):
        receive_proposal(alice.state, content)
    proposals = [open_message(alice.state, decode(MLSMessage, forge_message(bob, Remove(index))))[0] for index in (2, 3)]
    group = cache_proposal(alice.state.public, proposals[0], Limits(max_proposals=1))
    assert cache_proposal(group, proposals[0], Limits(max_proposals=1)) == group
    with refusing("ENC-17"):
        cache_proposal(group, proposals[1], Limits(max_proposals=1))


@pytest.mark.breaks("ENC-17")
def test_a_list_has_a_bound(room: Room) -> None:
    alice, bob, *_ = room.members
    proposals = [PreSharedKey(replace(PSK.psk, psk_nonce=bytes(31) + bytes((number,)))) for number in range(3)]
    message = forge_commit(alice, *proposals, psks=[(entry.psk, b"key") for entry in proposals])
    with refusing("ENC-17", bob):
        bob.receive(message, psks=lambda _: b"key", limits=Limits(max_proposals=2))
    with refusing("ENC-17", alice):
        alice.stage(*proposals, psks=lambda _: b"key", limits=Limits(max_proposals=2))
    bob.process(message, psks=lambda _: b"key", limits=Limits(max_proposals=3))


@pytest.mark.breaks("ENC-17")
def test_a_group_has_a_bound(room: Room, newcomer: Party) -> None:
    alice, bob, *_ = room.members
    addition = Add(newcomer.key_package())
    with refusing("ENC-17", alice):
        alice.stage(addition, limits=Limits(max_leaves=4))
    with refusing("ENC-17", bob):
        bob.receive(forge_commit(alice, addition), limits=Limits(max_leaves=4))
    bob.process(forge_commit(alice, addition), limits=Limits(max_leaves=8))


# Senders that are not members


@pytest.fixture
def guarded(room: Room, rng: random.Random) -> tuple[Room, Party]:
    """A room with an external sender."""
    guard = Party(SUITE, "guard", rng.randbytes)
    sender = ExternalSender(guard.client.signature_key, guard.client.credential)
    extension = make_extension(ExtensionType.EXTERNAL_SENDERS, ExternalSenders((sender,)))
    room.commit(room.members[0], GroupContextExtensions((extension,)))
    guard.state = room.members[0].state
    return room, guard


def as_guard(guard: Party, body: ProposalBody, index: int = 0) -> bytes:
    return forge_message(guard, body, sender=ExternalSenderIndex(index))


def test_an_external_sender_proposes_what_it_may(guarded: tuple[Room, Party], newcomer: Party) -> None:
    room, guard = guarded
    alice, bob, *others = room.members
    bodies: list[ProposalBody] = [
        Add(newcomer.key_package()),
        Remove(bob.leaf),
        PSK,
        GroupContextExtensions(()),
        ReInit(b"s", 1, 1, ()),
    ]
    for body in bodies:
        message = as_guard(guard, body)
        for party in room.members:
            content, _ = open_message(party.state, decode(MLSMessage, message))
            assert content.content.content == body
    message = as_guard(guard, Remove(bob.leaf))
    for party in room.members:
        party.receive(message)
    (reference,) = alice.state.public.proposals
    staged = alice.stage(ProposalReference(reference))
    for party in others:
        assert party.process(staged.message).state.public.tree.leaf(bob.leaf) is None
    with refusing("CP-09", bob):
        bob.receive(staged.message)


@pytest.mark.breaks("FRM-05", "FRM-06", "PR-14")
def test_an_external_sender_does_no_more(guarded: tuple[Room, Party]) -> None:
    room, guard = guarded
    alice, bob, *_ = room.members
    bodies: tuple[ProposalBody, ...] = (fresh_update(bob), ExternalInit(bytes(32)))
    for body in bodies:
        with refusing("FRM-06", alice):
            alice.receive(as_guard(guard, body))
    for index in (1, 2**32 - 1):
        with refusing("FRM-05", alice):
            alice.receive(as_guard(guard, Remove(bob.leaf), index))
    with refusing("FRM-09", alice):
        alice.receive(forge_message(bob, Remove(bob.leaf), sender=ExternalSenderIndex(0)))


@pytest.mark.breaks("FRM-05")
def test_a_group_without_external_senders_has_none(room: Room) -> None:
    alice, bob, *_ = room.members
    with refusing("FRM-05", alice):
        alice.receive(forge_message(bob, Remove(bob.leaf), sender=ExternalSenderIndex(0)))


@pytest.mark.breaks("FRM-08")
def test_a_newcomer_proposes_itself_and_nothing_else(room: Room, newcomer: Party, rng: random.Random) -> None:
    alice, bob, *_ = room.members
    newcomer.state = alice.state
    message = forge_message(newcomer, Add(newcomer.key_package()), sender=NewMemberProposal())
    for party in room.members:
        party.receive(message)
    (reference,) = alice.state.public.proposals
    staged = alice.stage(ProposalReference(reference))
    assert bob.process(staged.message).state.public.tree.member_count == 5
    other = Party(SUITE, "other", rng.randbytes)
    with refusing("FRM-09", bob):
        bob.receive(forge_message(newcomer, Add(other.key_package()), sender=NewMemberProposal()))
    for body in (Remove(bob.leaf), PSK, fresh_update(bob)):
        with refusing("FRM-08", bob):
            bob.receive(forge_message(newcomer, body, sender=NewMemberProposal()))


def test_the_key_of_a_sender_is_that_of_its_place(room: Room) -> None:
    content = open_message(room.members[0].state, decode(MLSMessage, forge_message(room.members[1], PSK)))[0].content
    assert sender_key(room.follower, content) == room.members[1].client.signature_key


@pytest.mark.breaks("PR-07")
def test_an_update_of_a_blank_leaf_is_refused_whoever_let_it_pass(room: Room) -> None:
    """A genuine proposal cannot come from a blank leaf; one that was never verified can."""
    alice, bob, *_ = room.members
    room.commit(alice, Remove(bob.leaf), leavers=[bob])
    update = spoilt_update(room.members[1], lambda leaf: leaf, index=1)
    with refusing("PR-07"):
        apply_proposals(room.follower, [ResolvedProposal(update, Member(1))], ANYBODY)
