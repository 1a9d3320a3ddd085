"""Proposals from outside a group: made, received, committed, and refused (RFC 9420, Section 12.1.8)."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from dmls.errors import InvalidKeyPackageError
from dmls.mls.codec import decode, encode
from dmls.mls.crypto.suites import CIPHER_SUITES, CipherSuite, cipher_suite
from dmls.mls.framing.signing import content_tbs
from dmls.mls.group.external_proposal import append_external_sender, propose_as_external_sender, propose_own_addition
from dmls.mls.group.follower import open_public_message
from dmls.mls.messages.extensions import (
    Extension,
    ExternalSender,
    ExternalSenders,
    RequiredCapabilities,
    make_extension,
    read_extension,
)
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.message import (
    ExternalSenderIndex,
    MLSMessage,
    NewMemberProposal,
    PublicMessage,
    encode_message,
)
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
from dmls.mls.messages.registry import ExtensionType, WireFormat
from tests.support.forge import forge_commit, forge_message
from tests.support.groups import Party, Room, body_of, fresh_update, parties, refusing, room_of

BY_SUITE = pytest.mark.parametrize("suite", CIPHER_SUITES, ids=lambda suite: f"suite{suite.id}")
SUITE = cipher_suite(1)
PSK_ID = PreSharedKeyID(ExternalPSK(b"name"), bytes(range(32)))
REQUIRED = make_extension(ExtensionType.REQUIRED_CAPABILITIES, RequiredCapabilities((), (), (1,)))


def sender_of(party: Party) -> ExternalSender:
    return ExternalSender(party.client.signature_key, party.client.credential)


def guarded_room(rng: random.Random, suite: CipherSuite = SUITE, guards: str = "g") -> tuple[Room, list[Party], list[Party]]:
    """A group of three with external senders, added one by one."""
    room, members = room_of(rng, "abc", suite)
    outsiders = parties(suite, guards, rng)
    for guard in outsiders:
        room.commit(members[0], append_external_sender(room.follower.context.extensions, sender_of(guard)))
    return room, members, outsiders


def from_guard(room: Room, guard: Party, proposal: ProposalBody) -> Any:
    return propose_as_external_sender(room.follower.context, proposal, guard.client.signature_private_key)


@BY_SUITE
@pytest.mark.keeps("FRM-05", "FRM-06", "PR-15", "PSK-10")
def test_what_external_senders_propose_is_committed(suite: CipherSuite, rng: random.Random) -> None:
    room, (alice, bob, carol), (first, second) = guarded_room(rng, suite, "gh")
    (newcomer,) = parties(suite, "n", rng)
    psk_id = PreSharedKeyID(ExternalPSK(b"name"), rng.randbytes(suite.hash_size))
    past = ResumptionPSK(ResumptionPSKUsage.APPLICATION, room.follower.context.group_id, 1)
    known: dict[str, Any] = {"psks": lambda _: b"key"}
    entries = [
        room.hear(from_guard(room, first, Add(newcomer.key_package()))),
        room.hear(from_guard(room, second, Remove(carol.leaf))),
        room.hear(from_guard(room, second, PreSharedKey(psk_id))),
        room.hear(from_guard(room, first, PreSharedKey(PreSharedKeyID(past, rng.randbytes(suite.hash_size))))),
        room.hear(from_guard(room, first, GroupContextExtensions((REQUIRED,)))),
    ]
    # The newcomer cannot know the group's past.
    room.commit(
        bob, *entries[:3], entries[4], joiners=[newcomer], leavers=[carol], process_options=known, join_options=known, **known
    )
    assert room.follower.context.extensions == (REQUIRED,)
    room.talk()
    with refusing("FRM-05", alice):
        from_guard(room, first, Remove(bob.leaf))


@pytest.mark.keeps("PSK-09", "PSK-10")
def test_an_external_sender_may_ask_for_a_past_epochs_key(rng: random.Random) -> None:
    room, (alice, *_), (guard,) = guarded_room(rng)
    past = ResumptionPSK(ResumptionPSKUsage.APPLICATION, room.follower.context.group_id, 1)
    room.commit(alice, room.hear(from_guard(room, guard, PreSharedKey(PreSharedKeyID(past, bytes(32))))))


@pytest.mark.breaks("PSK-10")
def test_who_leaves_out_the_key_that_an_external_sender_injects_is_refused(rng: random.Random) -> None:
    room, (alice, bob, carol), (guard,) = guarded_room(rng)
    entry = room.hear(from_guard(room, guard, PreSharedKey(PSK_ID)))
    for party in (bob, carol):
        with refusing("CP-10", party):
            party.receive(forge_commit(alice, entry), psks=lambda _: b"key")
        party.process(forge_commit(alice, entry, psks=[(PSK_ID, b"key")]), psks=lambda _: b"key")


@pytest.mark.keeps("PR-14")
def test_an_external_sender_may_close_the_group(rng: random.Random) -> None:
    room, (alice, bob, _), (guard,) = guarded_room(rng)
    reinit = ReInit(b"successor", 1, 1, (REQUIRED,))
    room.commit(alice, room.hear(from_guard(room, guard, reinit)))
    assert bob.state.closed_by == reinit


@BY_SUITE
@pytest.mark.keeps("FRM-08")
def test_a_client_asks_to_be_added_and_is(suite: CipherSuite, rng: random.Random) -> None:
    room, (alice, *_) = room_of(rng, "ab", suite)
    (newcomer,) = parties(suite, "n", rng)
    # A GroupInfo is all it has to know.
    info: GroupInfo = alice.group_info()
    proposal = propose_own_addition(
        info.group_context, newcomer.key_package(), newcomer.client.signature_private_key, authenticated_data=b"please"
    )
    assert proposal.content.content.authenticated_data == b"please"
    room.commit(alice, room.hear(proposal), joiners=[newcomer])
    room.talk()


def test_external_senders_are_appended_and_all_else_is_kept() -> None:
    first, second = (ExternalSender(bytes((number,)) * 32, credential_of(number)) for number in (1, 2))
    other = Extension(0xF123, b"x")
    one = append_external_sender((other, REQUIRED), first)
    assert one.extensions[:2] == (other, REQUIRED)
    two = append_external_sender((one.extensions[2], other, REQUIRED), second)
    assert two.extensions[1:] == (other, REQUIRED)
    assert read_extension(two.extensions, ExtensionType.EXTERNAL_SENDERS, ExternalSenders) == ExternalSenders((first, second))
    assert append_external_sender((Extension(5, b"\x00"),), first) == append_external_sender((), first)


def credential_of(number: int) -> Any:
    return Party(SUITE, f"party{number}", random.Random(number).randbytes).client.credential


def test_the_index_of_an_external_sender_is_that_of_its_key(rng: random.Random) -> None:
    room, _, guards = guarded_room(rng, guards="ghi")
    for index, guard in enumerate(guards):
        assert from_guard(room, guard, Remove(1)).content.content.sender == ExternalSenderIndex(index)


# What is refused before it is sent


@pytest.mark.breaks("FRM-05")
def test_only_a_listed_key_proposes_as_external_sender(rng: random.Random) -> None:
    room, (_, bob, _), _ = guarded_room(rng)
    (stranger,) = parties(SUITE, "s", rng)
    for outsider in (stranger, bob):
        with refusing("FRM-05", bob):
            from_guard(room, outsider, Remove(2))
    unguarded, _ = room_of(rng)
    with refusing("FRM-05"):
        from_guard(unguarded, stranger, Remove(2))


@pytest.mark.breaks("FRM-06", "PR-14")
def test_an_external_sender_does_not_make_what_only_members_may(rng: random.Random) -> None:
    room, (_, bob, _), (guard,) = guarded_room(rng)
    for body in (fresh_update(bob), ExternalInit(bytes(32))):
        with refusing("FRM-06", bob):
            from_guard(room, guard, body)
        guard.state = bob.state
        with refusing("FRM-06", bob):
            bob.receive(forge_message(guard, body, sender=ExternalSenderIndex(0)))


def test_a_client_asks_only_where_it_could_be_added(rng: random.Random) -> None:
    room, (alice, *_) = room_of(rng, "ab")
    (newcomer,) = parties(SUITE, "n", rng)
    (foreign,) = parties(cipher_suite(3), "f", rng)
    key = newcomer.client.signature_private_key
    context = room.follower.context
    with pytest.raises(InvalidKeyPackageError):
        propose_own_addition(context, foreign.key_package(), foreign.client.signature_private_key)
    with pytest.raises(InvalidKeyPackageError):
        propose_own_addition(context, alice.key_package(), key)
    with refusing("LN-04"):
        propose_own_addition(replace(context, extensions=(Extension(0xF123, b""),)), newcomer.key_package(), key)


# What is refused when it comes


@pytest.mark.breaks("PR-15")
def test_an_outsider_that_signs_the_group_context_too_is_refused(rng: random.Random) -> None:
    room, (_, bob, _), (guard,) = guarded_room(rng)
    (newcomer,) = parties(SUITE, "n", rng)
    context = room.follower.context
    addition = Add(newcomer.key_package())
    for made, key in (
        (from_guard(room, guard, addition), guard.client.signature_private_key),
        (
            propose_own_addition(context, addition.key_package, newcomer.client.signature_private_key),
            newcomer.client.signature_private_key,
        ),
    ):
        framed = made.content.content
        tbs = content_tbs(WireFormat.PUBLIC_MESSAGE, framed, None) + encode(room.follower.context)
        deviant = PublicMessage(framed, SUITE.sign_with_label(key, "FramedContentTBS", tbs), None, None)
        with refusing("FRM-09", bob):
            bob.receive(encode_message(deviant))
        with refusing("FRM-09"):
            open_public_message(room.follower, decode(MLSMessage, encode_message(deviant)))
        bob.receive(made.message)


@pytest.mark.breaks("PR-15", "FRM-11", "FRM-12")
def test_a_proposal_from_outside_is_of_this_group_and_epoch(rng: random.Random) -> None:
    room, (alice, bob, _), (guard,) = guarded_room(rng)
    (newcomer,) = parties(SUITE, "n", rng)
    context, key = room.follower.context, newcomer.client.signature_private_key
    for rule, changed in (
        ("FRM-11", replace(context, group_id=b"another")),
        ("FRM-12", replace(context, epoch=context.epoch - 1)),
        ("FRM-12", replace(context, epoch=context.epoch + 1)),
    ):
        asked = propose_own_addition(changed, newcomer.key_package(), key)
        told = propose_as_external_sender(changed, Remove(1), guard.client.signature_private_key)
        for proposal in (asked, told):
            with refusing(rule, bob):
                bob.receive(proposal.message)
            with refusing(rule):
                open_public_message(room.follower, decode(MLSMessage, proposal.message))
    late = from_guard(room, guard, Remove(2))
    room.commit(alice)
    with refusing("FRM-12", bob):
        bob.receive(late.message)


@pytest.mark.breaks("FRM-09")
def test_nobody_speaks_for_an_external_sender_or_a_newcomer(rng: random.Random) -> None:
    room, (_, bob, _), guards = guarded_room(rng, guards="gh")
    (newcomer, other) = parties(SUITE, "no", rng)
    key = guards[1].client.signature_private_key
    with refusing("FRM-09", bob):
        bob.receive(resigned(from_guard(room, guards[0], Remove(2)).message, key))
    asked = propose_own_addition(room.follower.context, newcomer.key_package(), newcomer.client.signature_private_key)
    with refusing("FRM-09", bob):
        bob.receive(resigned(asked.message, other.client.signature_private_key))


def resigned(message: bytes, key: bytes) -> bytes:
    """The same public message, signed by somebody else."""
    body = body_of(message, PublicMessage)
    tbs = content_tbs(WireFormat.PUBLIC_MESSAGE, body.content, None)
    return encode_message(replace(body, signature=SUITE.sign_with_label(key, "FramedContentTBS", tbs)))


@pytest.mark.breaks("FRM-08")
def test_a_newcomer_proposes_nothing_but_an_addition(rng: random.Random) -> None:
    _, (alice, bob) = room_of(rng, "ab")
    (newcomer,) = parties(SUITE, "n", rng)
    newcomer.state = alice.state
    bodies: tuple[ProposalBody, ...] = (Remove(bob.leaf), PreSharedKey(PSK_ID), fresh_update(bob), ReInit(b"s", 1, 1, ()))
    for body in bodies:
        with refusing("FRM-08", bob):
            bob.receive(forge_message(newcomer, body, sender=NewMemberProposal()))


@pytest.mark.breaks("PL-03", "PL-10")
def test_a_list_with_proposals_from_outside_keeps_the_rules(rng: random.Random) -> None:
    room, (alice, bob, _), (guard,) = guarded_room(rng)
    removal = room.hear(from_guard(room, guard, Remove(alice.leaf)))
    with refusing("PL-03", alice):
        alice.stage(removal)
    closing = room.hear(from_guard(room, guard, ReInit(b"s", 1, 1, ())))
    with refusing("PL-10", bob):
        bob.stage(closing, removal)
    room.commit(bob, removal, leavers=[alice])


def test_the_same_newcomer_may_ask_twice_but_is_added_once(rng: random.Random) -> None:
    room, (alice, *_) = room_of(rng, "ab")
    (newcomer,) = parties(SUITE, "n", rng)
    key = newcomer.client.signature_private_key
    asked = [room.hear(propose_own_addition(room.follower.context, newcomer.key_package(), key)) for _ in range(2)]
    with refusing("PL-06", alice):
        alice.stage(*asked)
    staged = alice.stage(asked[1])
    assert staged.applied.added[0][1].leaf_node.signature_key == newcomer.client.signature_key


def test_an_outsiders_proposal_carries_no_membership_tag(rng: random.Random) -> None:
    room, (_, bob, _), (guard,) = guarded_room(rng)
    assert body_of(from_guard(room, guard, Remove(1)).message, PublicMessage).membership_tag is None
    assert bob.state.public.proposals == room.follower.proposals
