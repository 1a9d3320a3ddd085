"""Groups whose members show certificates (RFC 9420, Section 5.3)."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography import x509

from dmls.mls.crypto.suites import CIPHER_SUITES, CipherSuite, cipher_suite
from dmls.mls.group.commit import CommitOptions
from dmls.mls.group.follower import follow
from dmls.mls.group.own_proposal import create_update
from dmls.mls.group.x509 import X509Policy
from dmls.mls.limits import DEFAULT_LIMITS, Limits
from dmls.mls.messages.commit import ProposalReference
from dmls.mls.messages.credential import BasicCredential, X509Credential
from dmls.mls.messages.extensions import ExternalSender, ExternalSenders, make_extension
from dmls.mls.messages.leaf_node import LeafNode
from dmls.mls.messages.proposal import Add, GroupContextExtensions
from dmls.mls.messages.registry import ExtensionType
from tests.support.breaches import Breach, capable
from tests.support.certificates import NOW, Authority, credentialed, self_signed
from tests.support.forge import TreeNode, forge_commit, forge_external_commit, forge_key_package, forge_welcome, sign_leaf
from tests.support.groups import Party, Room, parties, refusing
from tests.support.refusals import refuse_commit, refuse_update, spoilt_update

SUITE = cipher_suite(1)
ROOT = Authority.root()
MIDDLE = ROOT.authority("middle")
HOUR = 3600


def party(name: str, rng: random.Random, suite: CipherSuite = SUITE, authority: Authority = MIDDLE, **options: int) -> Party:
    """Somebody with a certificate, the anchor left out of the chain."""
    (made,) = parties(suite, [name], rng)
    without_anchor = Authority(authority.name, authority.key, authority.chain[:-1])
    made.client = credentialed(made.client, suite, without_anchor, f"{name}.example", **options)
    return made


def policy_at(now: int, *anchors: Authority) -> X509Policy:
    return X509Policy.load([anchor.chain[-1] for anchor in anchors or (ROOT,)], now)


@pytest.mark.keeps("CRD-02", "CRD-03")
@pytest.mark.parametrize("suite", CIPHER_SUITES, ids=lambda suite: f"suite{suite.id}")
def test_a_life_among_certificates(suite: CipherSuite, rng: random.Random) -> None:
    policy = policy_at(NOW)
    alice, bob, carol, dave = (party(name, rng, suite) for name in ("alice", "bob", "carol", "dave"))
    options = {"policy": policy}
    room = Room(alice)
    room.add(alice, bob, carol, policy=policy, process_options=options, join_options=options)
    room.commit(bob, policy=policy, process_options=options)
    room.join_externally(dave, process_options=options)
    room.talk()


# What holds of every chain, whoever is trusted


def for_another_key(leaf: LeafNode) -> LeafNode:
    return replace(leaf, credential=X509Credential((self_signed(SUITE, bytes(32), "other"),)))


def without_certificates(leaf: LeafNode) -> LeafNode:
    return replace(leaf, credential=X509Credential(()))


def in_disorder(leaf: LeafNode) -> LeafNode:
    """The right certificate first, and then one that has nothing to do with it."""
    assert isinstance(leaf.credential, X509Credential)
    return replace(leaf, credential=X509Credential((leaf.credential.certificates[0], Authority.root("stranger").chain[0])))


BY_BREACH = pytest.mark.parametrize(
    ("rule", "breach"), [("CRD-02", for_another_key), ("CRD-03", without_certificates), ("CRD-03", in_disorder)]
)


@pytest.fixture
def certified(rng: random.Random) -> Room:
    """Four members with certificates."""
    alice, *others = (party(name, rng) for name in "abcd")
    room = Room(alice)
    room.add(alice, *others)
    return room


@pytest.fixture
def erin(rng: random.Random) -> Party:
    """Somebody with a certificate who is not a member."""
    return party("erin", rng)


@BY_BREACH
def test_an_addition_with_such_a_chain_is_refused(certified: Room, erin: Party, rule: str, breach: Breach) -> None:
    alice = certified.members[0]
    addition = Add(forge_key_package(erin, alter_leaf=breach))
    with refusing(rule, alice):
        alice.stage(addition)
    refuse_commit(certified, forge_commit(alice, addition), rule)


@BY_BREACH
def test_an_update_to_such_a_chain_is_refused(certified: Room, rule: str, breach: Breach) -> None:
    refuse_update(certified, spoilt_update(certified.members[1], breach), rule)


@BY_BREACH
def test_a_path_with_such_a_chain_is_refused(certified: Room, erin: Party, rule: str, breach: Breach) -> None:
    alice = certified.members[0]
    refuse_commit(certified, forge_commit(alice, alter_leaf=breach), rule)
    info = alice.group_info()
    refuse_commit(certified, forge_external_commit(erin, certified.follower, info, alter_leaf=breach), rule, by=certified.members)


@BY_BREACH
def test_who_makes_a_path_is_held_to_it_too(certified: Room, erin: Party, rule: str, breach: Breach) -> None:
    alice = certified.members[0]
    leaf = certified.follower.tree.leaf(alice.leaf)
    assert leaf is not None
    alice.client = replace(alice.client, credential=breach(leaf).credential)
    with refusing(rule, alice):
        alice.stage()
    erin.client = replace(erin.client, credential=breach(erin.key_package().leaf_node).credential)
    with refusing(rule):
        erin.join_externally(certified.follower, certified.members[1].group_info())


@BY_BREACH
def test_a_tree_with_such_a_chain_is_refused(certified: Room, erin: Party, rule: str, breach: Breach) -> None:
    alice, _, carol, _ = certified.members
    staged = alice.stage(Add(erin.key_package()))
    assert staged.welcome is not None

    def at_carol(alter: Breach) -> Callable[[list[TreeNode]], list[TreeNode]]:
        def alter_nodes(nodes: list[TreeNode]) -> list[TreeNode]:
            leaf = nodes[2 * carol.leaf]
            assert isinstance(leaf, LeafNode)
            nodes[2 * carol.leaf] = sign_leaf(SUITE, alter(leaf), carol.client)
            return nodes

        return alter_nodes

    with refusing(rule, erin):
        erin.join(forge_welcome(erin, alice, staged.welcome, alter_nodes=at_carol(breach)))
    erin.join(forge_welcome(erin, alice, staged.welcome, alter_nodes=at_carol(capable(cipher_suites=(1, 2)))))


@BY_BREACH
def test_an_external_sender_with_such_a_chain_is_refused(certified: Room, erin: Party, rule: str, breach: Breach) -> None:
    alice = certified.members[0]
    leaf = erin.key_package().leaf_node

    def listing(credential: BasicCredential | X509Credential) -> GroupContextExtensions:
        senders = ExternalSenders((ExternalSender(leaf.signature_key, credential),))
        return GroupContextExtensions((make_extension(ExtensionType.EXTERNAL_SENDERS, senders),))

    change = listing(breach(leaf).credential)
    with refusing(rule, alice):
        alice.stage(change)
    refuse_commit(certified, forge_commit(alice, change), rule)
    certified.commit(alice, listing(leaf.credential))


def test_a_chain_is_as_long_as_limits_allow(certified: Room, erin: Party) -> None:
    alice, bob, *_ = certified.members
    addition = Add(erin.key_package())
    message = alice.stage(addition, limits=Limits(max_certificates=2)).message
    bob.process(message, limits=Limits(max_certificates=2))
    for limits in (Limits(max_certificates=1), Limits(max_certificate_bytes=100)):
        with refusing("ENC-17", alice):
            alice.stage(addition, limits=limits)
        with refusing("ENC-17", bob):
            bob.receive(message, limits=limits)


def test_limits_are_the_same_for_leaves_of_all_origins(rng: random.Random) -> None:
    distant = MIDDLE
    for step in range(DEFAULT_LIMITS.max_certificates):
        distant = distant.authority(f"middle {step}")
    alice, bob, carol = (party(name, rng, authority=distant) for name in ("alice", "bob", "carol"))
    limits = Limits(max_certificates=2 * DEFAULT_LIMITS.max_certificates)
    with refusing("ENC-17", alice):
        alice.create()
    alice.create(limits=limits)
    joining = alice.stage(Add(bob.key_package()), limits=limits)
    assert joining.welcome is not None
    with refusing("ENC-17", bob):
        bob.join(joining.welcome)
    bob.join(joining.welcome, limits=limits)
    alice.enter(joining)

    with refusing("ENC-17", bob):
        bob.stage()
    path = bob.stage(limits=limits)
    with refusing("ENC-17", alice):
        alice.process(path.message)
    alice.receive(path.message, limits=limits)
    bob.enter(path)

    with refusing("ENC-17", bob):
        create_update(bob.state, bob.client, bob.leaf, bob.random)
    update = create_update(bob.state, bob.client, bob.leaf, bob.random, limits=limits)
    sent = bob.propose(update.proposal)
    assert sent.ref is not None
    alice.receive(sent.message)
    with refusing("ENC-17", alice):
        alice.stage(ProposalReference(sent.ref), force_path=True)
    alice.enter(alice.stage(ProposalReference(sent.ref), limits=limits))

    group_info = alice.group_info()
    group = follow(SUITE, group_info, alice.state.public.tree, limits=limits)
    with refusing("ENC-17", carol):
        carol.join_externally(group, group_info)
    external = carol.join_externally(group, group_info, options=CommitOptions(limits=limits))
    with refusing("ENC-17", alice):
        alice.process(external.message)
    alice.process(external.message, limits=limits)


def test_a_group_is_followed_within_limits(certified: Room) -> None:
    alice = certified.members[0]
    group_info, tree = alice.group_info(), alice.state.public.tree
    follow(SUITE, group_info, tree, limits=Limits(max_leaves=tree.width))
    with refusing("ENC-17", alice):
        follow(SUITE, group_info, tree, limits=Limits(max_leaves=tree.width - 1))


# Who is trusted


@pytest.mark.breaks("CRD-04")
def test_who_shows_no_trusted_certificate_stays_out(certified: Room, rng: random.Random) -> None:
    alice, bob, *_ = certified.members
    stranger = party("stranger", rng, authority=Authority.root("stranger").authority("below"))
    expired = party("expired", rng, not_after=NOW - 1)
    (plain,) = parties(SUITE, ["plain"], rng)
    plain.client = replace(plain.client, capabilities=alice.client.capabilities)
    for outsider in (stranger, expired, plain):
        addition = Add(outsider.key_package())
        with refusing("CRD-04", alice):
            alice.stage(addition, policy=policy_at(NOW))
        message = alice.stage(addition).message
        with refusing("CRD-04", bob):
            bob.receive(message, policy=policy_at(NOW))
    # A policy trusts whom it is told to, when it is told to.
    bob.process(alice.stage(Add(stranger.key_package())).message, policy=policy_at(NOW, ROOT, Authority.root("stranger")))
    bob.process(alice.stage(Add(expired.key_package())).message, policy=policy_at(NOW - HOUR))


@pytest.mark.breaks("CRD-04")
def test_who_joins_judges_all_members(certified: Room, erin: Party, rng: random.Random) -> None:
    alice = certified.members[0]
    staged = alice.stage(Add(erin.key_package()), Add(party("expired", rng, not_after=NOW).key_package()))
    assert staged.welcome is not None
    with refusing("CRD-04", erin):
        erin.join(staged.welcome, policy=policy_at(NOW + 1))
    erin.join(staged.welcome, policy=policy_at(NOW))


@pytest.mark.breaks("CRD-05")
def test_a_leaf_passes_on_to_the_same_identities_only(certified: Room) -> None:
    alice, bob, *_ = certified.members
    renewed = credentialed(alice.client, SUITE, MIDDLE, "a.example", not_after=NOW + HOUR)
    other = credentialed(alice.client, SUITE, MIDDLE, "other.example")
    both = credentialed(alice.client, SUITE, MIDDLE, names=[x509.DNSName("a.example"), x509.DNSName("other.example")], subject="")
    for client in (other, both):
        alice.client = client
        with refusing("CRD-05", alice):
            alice.stage(policy=policy_at(NOW))
        with refusing("CRD-05", bob):
            bob.receive(forge_commit(alice), policy=policy_at(NOW))
    alice.client = renewed
    bob.receive(alice.stage(policy=policy_at(NOW)).message, policy=policy_at(NOW))


@pytest.mark.keeps("CRD-06")
@pytest.mark.breaks("CRD-06")
def test_members_with_expired_certificates_are_replaced_not_stuck(rng: random.Random) -> None:
    alice, bob, carol = (party(name, rng, not_after=NOW + HOUR) for name in "abc")
    room = Room(alice)
    room.add(alice, bob, carol, policy=policy_at(NOW))
    later = policy_at(NOW + 2 * HOUR)
    # An expired credential that stays is nobody's business; a new one has to be valid.
    room.commit(bob, policy=later, process_options={"policy": later})
    before = alice.client
    alice.client = credentialed(before, SUITE, MIDDLE, "a.example", not_after=NOW + HOUR + 1)
    with refusing("CRD-04", bob):
        bob.receive(forge_commit(alice), policy=later)
    alice.client = credentialed(before, SUITE, MIDDLE, "a.example")
    room.commit(alice, policy=later, process_options={"policy": later})
    # The expired are removed, and come back with a new certificate for their old names.
    bob.client = credentialed(bob.client, SUITE, MIDDLE, "b.example")
    room.join_externally(bob, replaces=bob, process_options={"policy": later})


@pytest.mark.breaks("PL-06", "PL-07")
def test_one_identity_is_one_client(certified: Room, rng: random.Random) -> None:
    alice, bob, *_ = certified.members
    twins = [Add(party("twin", rng).key_package()) for _ in range(2)]
    again = Add(party("b", rng).key_package())
    for rule, proposals in (("PL-06", twins), ("PL-07", [again])):
        with refusing(rule, alice):
            alice.stage(*proposals, policy=policy_at(NOW))
        with refusing(rule, bob):
            bob.receive(forge_commit(alice, *proposals), policy=policy_at(NOW))


def test_a_policy_of_certificates_judges_nothing_else() -> None:
    for credential in (BasicCredential(b"a"), X509Credential(())):
        with refusing(None):
            policy_at(NOW).check_credential(credential, b"")
        with refusing(None):
            policy_at(NOW).check_succession(credential, credential)


def test_an_anchor_has_to_be_a_certificate() -> None:
    with refusing("CRD-03"):
        X509Policy.load([b"certificate"], NOW)


def test_an_external_sender_shows_a_certificate(certified: Room, erin: Party) -> None:
    alice = certified.members[0]
    senders = ExternalSenders((ExternalSender(erin.client.signature_key, erin.client.credential),))
    change = GroupContextExtensions((make_extension(ExtensionType.EXTERNAL_SENDERS, senders),))
    with refusing("GC-08", alice):
        alice.stage(change, policy=policy_at(NOW, Authority.root("stranger")))
    alice.stage(change, policy=policy_at(NOW))
