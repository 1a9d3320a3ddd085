"""Proposal and extension types that an application registers (RFC 9420, Sections 12.1, 13.2, 13.4 and 17)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from dmls.errors import InvalidProposalError, UsageError
from dmls.ids import LeafIndex
from dmls.mls.codec import decode, decode_as, encode, encode_as, opaque, struct, uint8, vector
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.group.commit import CommitOptions
from dmls.mls.group.external_proposal import propose_as_external_sender
from dmls.mls.group.follower import PublicGroup, cache_proposal
from dmls.mls.group.leaf import Client, default_capabilities
from dmls.mls.group.policy import OpenPolicy
from dmls.mls.group.process import open_message, receive_proposal
from dmls.mls.group.selection import select_proposals
from dmls.mls.messages.commit import Commit, ProposalReference
from dmls.mls.messages.credential import BasicCredential
from dmls.mls.messages.custom import (
    CustomExtensionType,
    CustomProposal,
    CustomProposalType,
    Place,
    find_extension_type,
    find_proposal_type,
    register,
)
from dmls.mls.messages.extensions import Extension, ExternalSender, ExternalSenders, make_extension
from dmls.mls.messages.leaf_node import LeafNode
from dmls.mls.messages.message import ExternalSenderIndex, Member, MLSMessage, SenderBody
from dmls.mls.messages.proposal import Add, GroupContextExtensions, Proposal, ReInit, Remove
from dmls.mls.messages.registry import GREASE_VALUES, ExtensionType, WireFormat
from tests.support.forge import forge_commit, forge_external_commit, forge_key_package, forge_message, sign_group_info
from tests.support.groups import Party, Room, Store, parties, refusing, room_of
from tests.support.refusals import refuse_commit, refuse_update, spoilt_update

SUITE = cipher_suite(1)
VOTE, MOTTO, SEAL = 0xF0A1, 0xFAFA, 0xFFFF


@struct
class Vote:
    """A proposal of the application."""

    motion: opaque
    choices: vector[uint8]


@struct
class Motto:
    """Another, of which external senders may make use."""

    text: opaque


@struct
class Seal:
    """An extension."""

    colour: uint8
    motto: Motto


KINDS = (
    CustomProposalType(number=VOTE, content=Vote, requires_path=True),
    CustomProposalType(number=MOTTO, content=Motto, requires_path=False, allows_external_senders=True),
    CustomExtensionType(number=SEAL, content=Seal, places=frozenset({Place.GROUP_CONTEXT, Place.LEAF_NODE})),
)
BALLOT = CustomProposal(VOTE, Vote(b"motion", (1, 2, 3)))
WORDS = CustomProposal(MOTTO, Motto(b"festina lente"))
STAMP = make_extension(SEAL, Seal(7, Motto(b"x")))
SKILLED = default_capabilities((1,), extensions=(SEAL,), proposals=(VOTE, MOTTO))


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    registrations = [register(kind) for kind in KINDS]
    yield
    for registration in registrations:
        registration.revoke()
    assert find_proposal_type(VOTE) is None
    assert find_extension_type(SEAL) is None


@pytest.fixture
def skilled(rng: random.Random) -> Room:
    """Four members who know the types."""
    alice, *others = parties(SUITE, "abcd", rng, SKILLED)
    room = Room(alice)
    room.add(alice, *others)
    return room


@pytest.fixture
def erin(rng: random.Random) -> Party:
    """Somebody who knows the types and is not a member."""
    return Party(SUITE, "erin", rng.randbytes, capabilities=SKILLED)


# Registering


@pytest.mark.breaks("EX-12", "EX-05")
@pytest.mark.parametrize("number", [0, -1, 0x10000, *range(1, 8), *sorted(GREASE_VALUES)])
def test_what_has_a_meaning_or_means_nothing_is_no_proposal_type(number: int) -> None:
    with pytest.raises(UsageError) as raised:
        register(CustomProposalType(number=number, content=Vote, requires_path=False))
    assert raised.value.rule == "EX-12"


@pytest.mark.breaks("EX-12")
@pytest.mark.parametrize("number", [0, -1, 0x10000, *range(1, 6), ExtensionType.LAST_RESORT, *sorted(GREASE_VALUES)])
def test_what_has_a_meaning_or_means_nothing_is_no_extension_type(number: int) -> None:
    with pytest.raises(UsageError) as raised:
        register(CustomExtensionType(number=number, content=None, places=frozenset(Place)))
    assert raised.value.rule == "EX-12"


@pytest.mark.keeps("EX-12")
@pytest.mark.parametrize("number", [0xF000, 0xF0F0, 0xFFFE, 8, 0x0A0B])
def test_private_use_and_unassigned_code_points_are_open(number: int) -> None:
    with register(CustomProposalType(number=number, content=Vote, requires_path=False)):
        pass
    with register(CustomExtensionType(number=number, content=None, places=frozenset(Place))):
        assert find_extension_type(number) is not None
    assert find_extension_type(number) is None


def test_a_code_point_has_one_meaning_and_a_content_is_a_struct() -> None:
    with pytest.raises(UsageError):
        register(CustomProposalType(number=VOTE, content=Motto, requires_path=False))
    with pytest.raises(UsageError):
        register(CustomProposalType(number=0xF0A2, content=bytes, requires_path=False))
    assert find_proposal_type(VOTE) == KINDS[0]
    late = register(CustomProposalType(number=0xF0A2, content=Motto, requires_path=False))
    late.revoke()
    with register(CustomProposalType(number=0xF0A2, content=Vote, requires_path=False)):
        late.revoke()
        assert find_proposal_type(0xF0A2) is not None


# The wire


@pytest.mark.breaks("ENC-16")
@pytest.mark.keeps("ENC-14")
def test_a_proposal_decodes_where_its_type_is_registered() -> None:
    data = encode_as(Proposal, BALLOT)
    assert data == VOTE.to_bytes(2, "big") + encode(BALLOT.content)
    assert decode_as(Proposal, data) == BALLOT
    commit = Commit((BALLOT, Remove(1), WORDS), None)
    assert decode(Commit, encode(commit)) == commit
    for number in (0xF0A2, 0x0A0A, 8, 0):
        with refusing("ENC-16"):
            decode_as(Proposal, number.to_bytes(2, "big") + data[2:])
    for end in range(2, len(data)):
        with refusing("ENC-04"):
            decode_as(Proposal, data[:end])


def test_only_what_is_registered_is_encoded() -> None:
    for proposal in (CustomProposal(0xF0A2, BALLOT.content), CustomProposal(VOTE, WORDS.content), CustomProposal(VOTE, b"")):
        with pytest.raises(UsageError):
            encode_as(Proposal, proposal)


# Committing


@pytest.mark.keeps("PL-13", "PR-17", "EX-12")
@pytest.mark.parametrize("wire_format", [WireFormat.PUBLIC_MESSAGE, WireFormat.PRIVATE_MESSAGE])
def test_members_commit_custom_proposals(skilled: Room, wire_format: WireFormat) -> None:
    alice, bob, carol, _ = skilled.members
    by_value = skilled.commit(alice, WORDS, wire_format=wire_format)
    assert by_value.applied.custom == ((Member(alice.leaf), WORDS),)
    commit = by_value.content.content.content
    assert isinstance(commit, Commit)
    assert commit.path is None
    reference = skilled.propose(bob, BALLOT, wire_format=wire_format)
    by_reference = carol.stage(WORDS, reference, WORDS, wire_format=wire_format)
    processed = alice.process(by_reference.message)
    expected = ((Member(carol.leaf), WORDS), (Member(bob.leaf), BALLOT), (Member(carol.leaf), WORDS))
    assert processed.transition.applied.custom == expected
    assert processed.transition.commit.path is not None


@pytest.mark.breaks("PR-17", "CC-01")
def test_a_type_that_needs_a_path_gets_one(skilled: Room) -> None:
    alice = skilled.members[0]
    refuse_commit(skilled, forge_commit(alice, BALLOT, with_path=False), "CP-05")
    refuse_commit(skilled, forge_commit(alice, WORDS, BALLOT, with_path=False), "CP-05")
    for party in skilled.members[1:]:
        party.process(forge_commit(alice, WORDS, with_path=False))
        party.process(forge_commit(alice, BALLOT))


@pytest.mark.breaks("PL-13", "PR-17")
def test_all_who_process_a_commit_support_its_proposals(skilled: Room, erin: Party, rng: random.Random) -> None:
    alice, bob, *_ = skilled.members
    (plain,) = parties(SUITE, ["plain"], rng)
    # Those who are added need not.
    skilled.commit(alice, WORDS, Add(plain.key_package()), joiners=[plain])
    with refusing("PL-13", alice):
        alice.stage(WORDS)
    refuse_commit(skilled, forge_commit(alice, WORDS), "PL-13")
    refuse_commit(skilled, forge_commit(alice, skilled.propose(bob, WORDS)), "PL-13")
    with refusing("PL-13", plain):
        plain.stage(WORDS)
    # Nor need those who are removed.
    skilled.commit(alice, WORDS, Remove(plain.leaf), leavers=[plain])


@pytest.mark.breaks("XC-06")
def test_joiners_bring_no_custom_proposals(skilled: Room, erin: Party) -> None:
    info = skilled.members[0].group_info()
    refuse_commit(skilled, forge_external_commit(erin, skilled.follower, info, WORDS), "XC-06", by=skilled.members)


@pytest.mark.breaks("PL-10")
def test_a_re_init_is_not_mixed_with_custom_proposals(skilled: Room) -> None:
    alice = skilled.members[0]
    refuse_commit(skilled, forge_commit(alice, WORDS, ReInit(b"next", 1, 1, ())), "PL-10")


class Quorum(OpenPolicy):
    """Wants some choices in a vote."""

    def check_custom_proposal(self, group: PublicGroup, sender: SenderBody, proposal: CustomProposal) -> None:
        if proposal.proposal_type == VOTE and (not proposal.content.choices or sender == Member(3)):
            raise InvalidProposalError("no choice, or not by the fourth member")


@pytest.mark.breaks("PL-17")
def test_the_application_judges_what_its_proposals_say(skilled: Room) -> None:
    alice, bob, _, dave = skilled.members
    empty = CustomProposal(VOTE, Vote(b"motion", ()))
    theirs = skilled.propose(dave, BALLOT)
    for proposal in (empty, theirs):
        with refusing("PL-17", alice):
            alice.stage(proposal, policy=Quorum())
        with refusing("PL-17", bob):
            bob.receive(forge_commit(alice, proposal), policy=Quorum())
    bob.process(forge_commit(alice, BALLOT, WORDS), policy=Quorum())


@pytest.mark.breaks("FRM-06", "PR-17")
def test_external_senders_propose_what_is_open_to_them(skilled: Room, rng: random.Random) -> None:
    alice, bob, *_ = skilled.members
    server = Client.create(SUITE, BasicCredential(b"server"), rng.randbytes)
    senders = ExternalSenders((ExternalSender(server.signature_key, server.credential),))
    skilled.commit(alice, GroupContextExtensions((make_extension(ExtensionType.EXTERNAL_SENDERS, senders),)))
    key, context = server.signature_private_key, alice.state.public.context
    with refusing("FRM-06"):
        propose_as_external_sender(context, BALLOT, key)
    forged = forge_message(alice, BALLOT, sender=ExternalSenderIndex(0), signature_key=key)
    with refusing("FRM-06", bob):
        open_message(bob.state, decode(MLSMessage, forged))
    sent = propose_as_external_sender(context, WORDS, key)
    for party in skilled.members:
        content, after = open_message(party.state, decode(MLSMessage, sent.message))
        party.state = receive_proposal(after, content)
    skilled.follower = cache_proposal(skilled.follower, sent.content)
    staged = skilled.commit(alice, ProposalReference(sent.ref))
    assert staged.applied.custom == ((ExternalSenderIndex(0), WORDS),)


@pytest.mark.keeps("PL-18", "PL-13")
def test_a_committer_selects_the_custom_proposals_that_all_support(skilled: Room, rng: random.Random) -> None:
    alice, bob, carol, _ = skilled.members
    words, ballot = skilled.propose(bob, WORDS), skilled.propose(carol, BALLOT)
    assert select_proposals(alice.state.public, alice.leaf) == (words, ballot)
    empty = skilled.propose(carol, CustomProposal(VOTE, Vote(b"motion", ())))
    assert select_proposals(alice.state.public, alice.leaf, Quorum()) == (words, ballot)
    assert select_proposals(alice.state.public, alice.leaf) == (words, ballot, empty)
    (plain,) = parties(SUITE, ["plain"], rng)
    skilled.commit(alice, Add(plain.key_package()), joiners=[plain])
    skilled.propose(bob, WORDS)
    assert select_proposals(alice.state.public, alice.leaf) == ()


def test_a_waiting_custom_proposal_survives_a_restart_that_registers_its_type(skilled: Room) -> None:
    alice, bob, *_ = skilled.members
    reference = skilled.propose(bob, BALLOT)
    store = Store()
    alice.state = store.revive(alice.state)
    assert alice.stage(reference).applied.custom == ((Member(bob.leaf), BALLOT),)


# Extensions


@pytest.mark.keeps("EX-12", "LN-05", "EX-10")
def test_registered_extensions_stand_where_they_belong(skilled: Room, rng: random.Random) -> None:
    alice = skilled.members[0]
    skilled.commit(alice, GroupContextExtensions((STAMP,)))
    alice.client = replace(alice.client, leaf_extensions=(STAMP,))
    skilled.commit(alice)
    for party in skilled.members:
        leaf = party.state.public.tree.leaf(LeafIndex(0))
        assert leaf is not None
        assert leaf.extensions == (STAMP,)
        assert party.state.public.context.extensions == (STAMP,)


def stamped(extension: Extension) -> Callable[[LeafNode], LeafNode]:
    return lambda leaf: replace(leaf, extensions=(extension,))


LONG = Extension(SEAL, STAMP.extension_data + b"\x00")
SHORT = Extension(SEAL, STAMP.extension_data[:-1])


@pytest.mark.breaks("ENC-09")
@pytest.mark.parametrize(("rule", "extension"), [("ENC-09", LONG), ("ENC-04", SHORT)])
def test_registered_extensions_hold_exactly_their_struct(skilled: Room, erin: Party, rule: str, extension: Extension) -> None:
    alice = skilled.members[0]
    refuse_commit(skilled, forge_commit(alice, GroupContextExtensions((extension,))), rule)
    refuse_commit(skilled, forge_commit(alice, ReInit(b"next", 1, 1, (extension,)), with_path=False), rule)
    refuse_commit(skilled, forge_commit(alice, Add(forge_key_package(erin, alter_leaf=stamped(extension)))), rule)
    refuse_commit(skilled, forge_commit(alice, alter_leaf=stamped(extension)), rule)
    refuse_update(skilled, spoilt_update(skilled.members[1], stamped(extension)), rule)


@pytest.mark.breaks("EX-10", "LN-24", "GC-09")
def test_registered_extensions_are_refused_elsewhere(skilled: Room, erin: Party) -> None:
    alice, bob, *_ = skilled.members

    def put(package: Any) -> Any:
        return replace(package, extensions=(STAMP,))

    refuse_commit(skilled, forge_commit(alice, Add(forge_key_package(erin, put))), "EX-10")
    info = sign_group_info(SUITE, put(alice.group_info(with_external_pub=False)), alice.client)
    with refusing("EX-10"):
        erin.join_externally(skilled.follower, info, options=CommitOptions())
    with register(CustomExtensionType(number=0xF0A5, content=None, places=frozenset({Place.GROUP_INFO}))):
        seal = Extension(0xF0A5, b"any bytes")
        listed = replace(SKILLED, extensions=(SEAL, 0xF0A5))
        refuse_commit(
            skilled,
            forge_commit(alice, alter_leaf=lambda leaf: replace(leaf, extensions=(seal,), capabilities=listed)),
            "LN-24",
        )
        refuse_commit(skilled, forge_commit(alice, GroupContextExtensions((seal,))), "GC-09")
        opened = sign_group_info(SUITE, replace(info, extensions=(seal,)), alice.client)
        with refusing("XC-01"):
            erin.join_externally(skilled.follower, opened)
    bob.process(forge_commit(alice, alter_leaf=lambda leaf: replace(leaf, extensions=(seal,), capabilities=listed)))


def test_groups_that_know_nothing_of_it_are_not_concerned(rng: random.Random) -> None:
    room, (alice, *_) = room_of(rng)
    refuse_commit(room, forge_commit(alice, BALLOT), "PL-13")
    refuse_commit(room, forge_commit(alice, GroupContextExtensions((STAMP,))), "LN-04")
    room.talk()
