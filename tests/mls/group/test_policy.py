"""What is the application's to decide, its policy decides, wherever the question comes up (RFC 9420, Sections 5.3.1 and 12)."""

from __future__ import annotations

import random
from collections.abc import Hashable, Sequence
from dataclasses import replace

import pytest

from dmls.errors import InvalidProposalError, ValidationError
from dmls.ids import LeafIndex
from dmls.mls.codec import decode
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.group.commit import CommitOptions
from dmls.mls.group.follower import PublicGroup, cache_proposal, follow, open_public_message
from dmls.mls.group.judgement import client_across_groups
from dmls.mls.group.leaf import Client
from dmls.mls.group.policy import GroupPolicy, OpenPolicy
from dmls.mls.group.process import open_message, receive_proposal
from dmls.mls.group.proposals import ResolvedProposal
from dmls.mls.group.transition import follow_commit
from dmls.mls.messages.commit import ProposalReference
from dmls.mls.messages.credential import BasicCredential, X509Credential
from dmls.mls.messages.extensions import Extension, ExternalSender, ExternalSenders, make_extension
from dmls.mls.messages.leaf_node import LeafNode
from dmls.mls.messages.message import ExternalSenderIndex, MLSMessage, NewMemberProposal
from dmls.mls.messages.proposal import Add, GroupContextExtensions, ProposalBody, Remove, Update
from dmls.mls.messages.registry import ExtensionType
from dmls.mls.tree.ratchet_tree import RatchetTree
from tests.support.forge import forge_commit, forge_external_commit, forge_message
from tests.support.groups import Party, Room, fresh_update, parties, refusing

SUITE = cipher_suite(1)
Credential = BasicCredential | X509Credential


class House(OpenPolicy):
    """A policy that writes down what it is asked, and refuses what it is told to."""

    def __init__(self, *unwanted: bytes, refused: str | None = None) -> None:
        self.unwanted = {BasicCredential(name) for name in unwanted}
        self.refused = refused
        self.asked: list[tuple[object, ...]] = []

    def _answer(self, hook: str, *question: object) -> None:
        self.asked.append((hook, *question))
        if hook == self.refused:
            raise InvalidProposalError("the house does not want this")

    def check_credential(self, credential: Credential, signature_key: bytes) -> None:
        self._answer("credential", credential)
        if credential in self.unwanted:
            raise ValidationError("nobody of this name")

    def check_succession(self, old: Credential, new: Credential) -> None:
        self._answer("succession", old, new)

    def check_outside_proposal(
        self, group: PublicGroup, sender: ExternalSenderIndex | NewMemberProposal, proposal: ProposalBody
    ) -> None:
        self._answer("outside", sender, proposal)

    def check_external_commit(self, group: PublicGroup, leaf_node: LeafNode, replaced: LeafNode | None) -> None:
        self._answer("external commit", leaf_node.credential, None if replaced is None else replaced.credential)

    def check_proposals(self, group: PublicGroup, proposals: Sequence[ResolvedProposal], committer: LeafIndex | None) -> None:
        self._answer("proposals", [type(item.body) for item in proposals], committer)


class ByName(OpenPolicy):
    """One credential is one client."""

    def client_of(self, leaf_node: LeafNode) -> Hashable | None:
        return leaf_node.credential


def named(party: Party, name: bytes, *, signature_key: bool = False) -> Client:
    """The client of a party under another name, perhaps with another key."""
    client = party.client
    if signature_key:
        return Client.create(party.suite, BasicCredential(name), party.random, capabilities=client.capabilities)
    return replace(client, credential=BasicCredential(name))


def senders(*clients: Client) -> Extension:
    listed = tuple(ExternalSender(client.signature_key, client.credential) for client in clients)
    return make_extension(ExtensionType.EXTERNAL_SENDERS, ExternalSenders(listed))


# Credentials of leaves


@pytest.mark.breaks("CRD-04", "LN-01")
def test_a_credential_is_judged_before_its_client_is_added(room: Room, newcomer: Party) -> None:
    alice, bob, *_ = room.members
    addition = Add(newcomer.key_package())
    policy = House(b"newcomer")
    with refusing("CRD-04", alice):
        alice.stage(addition, policy=policy)
    with refusing("CRD-04", alice):
        alice.propose(addition, policy=policy)
    message = forge_commit(alice, addition)
    with refusing("CRD-04", bob):
        bob.receive(message, policy=policy)
    assert policy.asked.count(("credential", BasicCredential(b"newcomer"))) == 3
    bob.process(message, policy=House())


@pytest.mark.breaks("CRD-04", "CRD-05")
@pytest.mark.parametrize("by_path", [True, False])
def test_a_new_credential_of_a_member_and_the_succession_are_judged(room: Room, by_path: bool) -> None:
    alice, bob, carol, _ = room.members
    if by_path:
        alice.client = named(alice, b"alicia")
        message, old, new = forge_commit(alice), b"a", b"alicia"
    else:
        bob.client = named(bob, b"robert")
        message, old, new = forge_commit(alice, room.propose(bob, fresh_update(bob))), b"b", b"robert"
    with refusing("CRD-04", carol):
        carol.receive(message, policy=House(new))
    with refusing("CRD-05", carol):
        carol.receive(message, policy=House(refused="succession"))
    policy = House()
    carol.receive(message, policy=policy)
    successor = (BasicCredential(old), BasicCredential(new))
    assert [question for question in policy.asked if question[0] != "proposals"] == [
        ("credential", successor[1]),
        ("succession", *successor),
    ]


@pytest.mark.breaks("CRD-05")
def test_a_committer_is_held_to_its_own_policy(room: Room) -> None:
    alice = room.members[0]
    alice.client = named(alice, b"alicia")
    for rule, policy in (("CRD-04", House(b"alicia")), ("CRD-05", House(refused="succession"))):
        with refusing(rule, alice):
            alice.stage(policy=policy)
    alice.stage(policy=House())


@pytest.mark.keeps("CRD-06")
def test_a_credential_that_stays_is_not_judged_again(room: Room) -> None:
    alice, bob, *_ = room.members
    message = forge_commit(alice, room.propose(room.members[2], fresh_update(room.members[2])))
    bob.receive(message, policy=House(b"a", b"c", refused="succession"))


# External senders


@pytest.mark.breaks("GC-08", "CRD-04")
def test_new_external_senders_are_judged(room: Room, newcomer: Party, rng: random.Random) -> None:
    alice, bob, carol, dave = room.members
    server, other = (Client.create(SUITE, BasicCredential(name), rng.randbytes) for name in (b"server", b"other"))
    change = GroupContextExtensions((senders(server),))
    with refusing("GC-08", alice):
        alice.stage(change, policy=House(b"server"))
    message = forge_commit(alice, change)
    with refusing("GC-08", bob):
        bob.receive(message, policy=House(b"server"))
    room.commit(alice, change)
    # Those who are listed already are not asked about again; who follows them is, even with the same key.
    both = GroupContextExtensions((senders(server, other),))
    policy = House(b"server")
    alice.stage(both, policy=policy)
    assert ("credential", BasicCredential(b"other")) in policy.asked
    changed = GroupContextExtensions((senders(replace(server, credential=BasicCredential(b"renamed"))),))
    with refusing("GC-08", carol):
        carol.receive(forge_commit(alice, changed), policy=House(b"renamed"))
    # Who comes in judges all that are listed.
    staged = dave.stage(Add(newcomer.key_package()))
    assert staged.welcome is not None
    with refusing("GC-08", newcomer):
        newcomer.join(staged.welcome, policy=House(b"server"))
    newcomer.join(staged.welcome, policy=House(b"other"))


@pytest.mark.breaks("GC-08")
def test_the_creator_judges_external_senders(rng: random.Random) -> None:
    (alice,) = parties(SUITE, ["alice"], rng)
    server = Client.create(SUITE, BasicCredential(b"server"), rng.randbytes)
    with refusing("GC-08"):
        alice.create(extensions=[senders(server)], policy=House(b"server"))
    assert not alice.is_member
    alice.create(extensions=[senders(server)], policy=House(b"other"))
    info, tree = alice.group_info(), alice.state.public.tree
    with refusing("GC-08"):
        follow(SUITE, info, RatchetTree.decode(SUITE, tree.encode()), policy=House(b"server"))
    follow(SUITE, info, RatchetTree.decode(SUITE, tree.encode()), policy=House())


# Proposals from outside


def outside_proposal(room: Room, newcomer: Party, rng: random.Random, *, is_listed: bool) -> tuple[bytes, GroupPolicy]:
    """A proposal by an external sender or by a newcomer, in a group that takes both, and a policy that takes neither."""
    alice = room.members[0]
    server = Client.create(SUITE, BasicCredential(b"server"), rng.randbytes)
    room.commit(alice, GroupContextExtensions((senders(server),)))
    if is_listed:
        key, sender, body = server.signature_private_key, ExternalSenderIndex(0), Remove(3)
        return forge_message(alice, body, sender=sender, signature_key=key), House(refused="outside")
    key, addition = newcomer.client.signature_private_key, Add(newcomer.key_package())
    return forge_message(alice, addition, sender=NewMemberProposal(), signature_key=key), House(refused="outside")


@pytest.mark.breaks("PR-16")
@pytest.mark.parametrize("is_listed", [True, False])
def test_a_proposal_from_outside_needs_leave(room: Room, newcomer: Party, rng: random.Random, is_listed: bool) -> None:
    message, policy = outside_proposal(room, newcomer, rng, is_listed=is_listed)
    alice, bob, *_ = room.members
    for party in (alice, bob):
        content, after = open_message(party.state, decode(MLSMessage, message))
        with refusing("PR-16", party):
            receive_proposal(after, content, policy=policy)
        party.state = receive_proposal(after, content)
    opened = open_public_message(room.follower, decode(MLSMessage, message))
    with refusing("PR-16"):
        cache_proposal(room.follower, opened, policy=policy)
    follower = cache_proposal(room.follower, opened)

    # Where it was remembered all the same, no commit of it goes through.
    (reference,) = (ProposalReference(ref) for ref in alice.state.public.proposals)
    with refusing("PR-16", alice):
        alice.stage(reference, policy=policy)
    commit = forge_commit(alice, reference)
    with refusing("PR-16", bob):
        bob.receive(commit, policy=policy)
    with refusing("PR-16"):
        follow_commit(follower, open_public_message(follower, decode(MLSMessage, commit)), policy)
    bob.receive(commit)


@pytest.mark.keeps("PR-16")
def test_members_need_no_leave_to_propose(room: Room) -> None:
    _, bob, carol, _ = room.members
    policy = House(refused="outside")
    sent = bob.propose(Remove(3))
    content, after = open_message(carol.state, decode(MLSMessage, sent.message))
    carol.state = receive_proposal(after, content, policy=policy)
    assert policy.asked == []


# External commits


@pytest.mark.breaks("XC-15", "CRD-04", "CRD-05")
@pytest.mark.parametrize(
    ("rule", "policy"),
    [
        ("XC-15", House(refused="external commit")),
        ("CRD-04", House(b"newcomer")),
        ("CRD-05", House(refused="succession")),
    ],
)
def test_joining_by_oneself_needs_leave(room: Room, newcomer: Party, rule: str, policy: House) -> None:
    alice, bob, *_ = room.members
    info = alice.group_info()
    with refusing(rule):
        newcomer.join_externally(room.follower, info, replaces=LeafIndex(3), options=CommitOptions(policy=policy))
    message = forge_external_commit(newcomer, room.follower, info, Remove(3))
    with refusing(rule, bob):
        bob.receive(message, policy=policy)
    with refusing(rule):
        follow_commit(room.follower, open_public_message(room.follower, decode(MLSMessage, message)), policy)
    asked = House()
    bob.receive(message, policy=asked)
    assert ("external commit", BasicCredential(b"newcomer"), BasicCredential(b"d")) in asked.asked


@pytest.mark.breaks("XC-15")
def test_a_first_joiner_replaces_nobody(room: Room, newcomer: Party) -> None:
    message = forge_external_commit(newcomer, room.follower, room.members[0].group_info())
    policy = House(refused="external commit")
    with refusing("XC-15", room.members[1]):
        room.members[1].receive(message, policy=policy)
    assert policy.asked[-1] == ("external commit", BasicCredential(b"newcomer"), None)


# Rules over a list


@pytest.mark.breaks("PL-17")
def test_the_application_has_rules_over_the_whole_list(room: Room, newcomer: Party) -> None:
    alice, bob, *_ = room.members
    policy = House(refused="proposals")
    reference = room.propose(bob, fresh_update(bob))
    with refusing("PL-17", alice):
        alice.stage(Remove(3), reference, policy=policy)
    assert policy.asked[-1] == ("proposals", [Remove, Update], LeafIndex(0))
    with refusing("PL-17", bob):
        bob.receive(forge_commit(alice, Remove(3), reference), policy=policy)
    info = alice.group_info()
    with refusing("PL-17"):
        newcomer.join_externally(room.follower, info, options=CommitOptions(policy=policy))
    with refusing("PL-17", bob):
        bob.receive(forge_external_commit(newcomer, room.follower, info), policy=policy)
    assert policy.asked[-1][-1] is None


# One client


@pytest.mark.breaks("PL-06", "PL-07")
def test_the_application_says_which_leaves_are_one_client(room: Room, rng: random.Random) -> None:
    alice, bob, *_ = room.members
    first, second, another_dave = parties(SUITE, ["erin", "erin", "d"], rng)
    twins = [Add(first.key_package()), Add(second.key_package())]
    with refusing("PL-06", alice):
        alice.stage(*twins, policy=ByName())
    with refusing("PL-06", bob):
        bob.receive(forge_commit(alice, *twins), policy=ByName())
    addition = Add(another_dave.key_package())
    with refusing("PL-07", alice):
        alice.stage(addition, policy=ByName())
    with refusing("PL-07", bob):
        bob.receive(forge_commit(alice, addition), policy=ByName())
    # By signature keys they are different clients, and a client that leaves may come back.
    for proposals, policy in (((*twins, addition), OpenPolicy()), ((Remove(3), addition, twins[0]), ByName())):
        bob.process(alice.stage(*proposals, policy=policy).message, policy=policy)


@pytest.mark.keeps("RB-05", "RB-12")
def test_a_client_is_known_across_groups_by_its_credential_unless_the_application_knows_better(rng: random.Random) -> None:
    class ByKey(OpenPolicy):
        def client_of(self, leaf_node: LeafNode) -> Hashable | None:
            return leaf_node.signature_key

    first, second = parties(SUITE, ["erin", "erin"], rng)
    leaves = [party.key_package().leaf_node for party in (first, second)]
    same = [len({client_across_groups(policy, leaf) for leaf in leaves}) == 1 for policy in (OpenPolicy(), ByName(), ByKey())]
    assert same == [True, True, False]
