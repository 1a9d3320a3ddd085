"""Joining by external commit, and what of it is refused (RFC 9420, Section 12.4.3.2)."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from dmls.errors import InvalidLeafNodeError, ValidationError
from dmls.ids import LeafIndex
from dmls.mls.codec import decode
from dmls.mls.crypto.suites import CIPHER_SUITES, CipherSuite, cipher_suite
from dmls.mls.group.commit import CommitOptions
from dmls.mls.group.external import create_external_commit, join_externally
from dmls.mls.group.follower import open_public_message
from dmls.mls.group.policy import OpenPolicy
from dmls.mls.group.transition import follow_commit
from dmls.mls.messages.commit import Commit, ProposalReference
from dmls.mls.messages.credential import BasicCredential, X509Credential
from dmls.mls.messages.extensions import Extension, ExternalPub, make_extension
from dmls.mls.messages.message import FramedContent, Member, MLSMessage, NewMemberCommit
from dmls.mls.messages.proposal import Add, ExternalInit, GroupContextExtensions, PreSharedKey, ReInit, Remove
from dmls.mls.messages.psk import ExternalPSK, PreSharedKeyID
from dmls.mls.messages.registry import ExtensionType
from tests.support.forge import forge_external_commit, forge_message, sign_group_info
from tests.support.groups import ANYBODY, Party, Room, fingerprint, fresh_update, parties, refusing, room_of
from tests.support.refusals import refuse_commit

SUITE = cipher_suite(1)
PSK_ID = PreSharedKeyID(ExternalPSK(b"name"), bytes(32))


class SameNamePolicy(OpenPolicy):
    """A leaf passes on to the same name only, and nobody is called mallory."""

    def check_credential(self, credential: BasicCredential | X509Credential, signature_key: bytes) -> None:
        if credential == BasicCredential(b"mallory"):
            raise InvalidLeafNodeError("not mallory", rule="CRD-04")

    def check_succession(self, old: BasicCredential | X509Credential, new: BasicCredential | X509Credential) -> None:
        if old != new:
            raise ValidationError("another name", rule="CRD-05")


@pytest.fixture
def outsider(rng: random.Random) -> Party:
    return Party(SUITE, "outsider", rng.randbytes)


@pytest.mark.keeps("XC-09", "XC-10", "XC-18")
@pytest.mark.parametrize("suite", CIPHER_SUITES, ids=lambda suite: f"suite{suite.id}")
def test_outsiders_come_in_and_members_come_back(suite: CipherSuite, rng: random.Random) -> None:
    room, members = room_of(rng, "abc", suite)
    outsiders = parties(suite, "xyz", rng)
    room.join_externally(outsiders[0])
    assert outsiders[0].leaf == 3
    room.join_externally(outsiders[1])
    assert outsiders[1].leaf == 4
    room.commit(outsiders[1], Remove(members[1].leaf), leavers=[members[1]])
    # The leftmost blank leaf is to the left of the one that is given up.
    room.join_externally(outsiders[0], replaces=outsiders[0])
    assert outsiders[0].leaf == 1
    room.talk()
    for party in room.members:
        room.commit(party)
    room.talk()


def test_a_lone_member_comes_back(rng: random.Random) -> None:
    room, (alice,) = room_of(rng, "a")
    info, old = alice.group_info(), alice.state
    staged = alice.join_externally(room.follower, info, replaces=LeafIndex(0))
    assert staged.leaf_index == 0
    assert staged.state.public.tree.width == 1
    assert old.public.context.epoch + 1 == staged.state.public.context.epoch


def test_pre_shared_keys_are_injected(room: Room, outsider: Party) -> None:
    options = {"psks": lambda psk_id: b"key" if psk_id == PSK_ID else None}
    room.join_externally(outsider, psks=[(PSK_ID, b"key")], process_options=options)
    room.talk()


def test_who_comes_back_may_bring_a_new_signature_key(room: Room, outsider: Party) -> None:
    alice, bob, *_ = room.members
    twin = Party(SUITE, "b", outsider.random)
    assert twin.client.credential == bob.client.credential
    staged = twin.join_externally(room.follower, alice.group_info(), replaces=bob.leaf)
    for party in (alice, *room.members[2:]):
        party.receive(staged.message, policy=SameNamePolicy())
    with refusing("CP-09", bob):
        bob.receive(staged.message)


def test_what_is_forged_without_a_breach_is_accepted(room: Room, outsider: Party) -> None:
    alice, bob, *_ = room.members
    psk = PreSharedKey(PSK_ID)
    for proposals in ((), (Remove(bob.leaf),), (psk,), (Remove(bob.leaf), psk)):
        psks = [(PSK_ID, b"key")] if psk in proposals else []
        message = forge_external_commit(outsider, room.follower, alice.group_info(), *proposals, psks=psks)
        for party in (alice, *room.members[2:]):
            party.process(message, psks=lambda _: b"key")


@pytest.mark.breaks("XC-04")
def test_there_is_one_external_init(room: Room, outsider: Party) -> None:
    info = room.members[0].group_info()
    for inits in (0, 2):
        refuse_commit(room, forge_external_commit(outsider, room.follower, info, inits=inits), "XC-04", by=room.members)


@pytest.mark.breaks("XC-02", "FRM-07")
def test_there_is_a_path(room: Room, outsider: Party) -> None:
    info = room.members[0].group_info()
    refuse_commit(room, forge_external_commit(outsider, room.follower, info, with_path=False), "FRM-07", by=room.members)
    # Whoever skips the question of who signed is stopped all the same.
    content = open_public_message(room.follower, decode(MLSMessage, forge_external_commit(outsider, room.follower, info)))
    commit = content.content.content
    assert isinstance(commit, Commit)
    framed = replace(content.content, content=replace(commit, path=None))
    with refusing("XC-02"):
        follow_commit(room.follower, replace(content, content=framed), ANYBODY)


@pytest.mark.breaks("XC-05")
def test_at_most_one_leaf_is_removed(room: Room, outsider: Party) -> None:
    info = room.members[0].group_info()
    message = forge_external_commit(outsider, room.follower, info, Remove(1), Remove(2))
    refuse_commit(room, message, "XC-05", by=room.members)
    refuse_commit(room, forge_external_commit(outsider, room.follower, info, Remove(9)), "PR-07", by=room.members)


@pytest.mark.breaks("XC-06", "PR-05")
def test_nothing_else_is_proposed(room: Room, outsider: Party, rng: random.Random) -> None:
    alice, bob, *_ = room.members
    info = alice.group_info()
    (other,) = parties(SUITE, "o", rng)
    for body in (Add(other.key_package()), GroupContextExtensions(()), ReInit(b"s", 1, 1, ())):
        refuse_commit(room, forge_external_commit(outsider, room.follower, info, body), "XC-06", by=room.members)
    # An Update in it would be nobody's.
    refuse_commit(room, forge_external_commit(outsider, room.follower, info, fresh_update(bob)), "PR-05", by=room.members)


@pytest.mark.breaks("XC-03")
def test_nothing_is_referred_to(room: Room, outsider: Party) -> None:
    alice, bob, *_ = room.members
    reference = room.propose(bob, Remove(LeafIndex(2)))
    info = alice.group_info()
    refuse_commit(room, forge_external_commit(outsider, room.follower, info, reference), "XC-03", by=room.members)
    refuse_commit(
        room, forge_external_commit(outsider, room.follower, info, ProposalReference(bytes(32))), "XC-03", by=room.members
    )


@pytest.mark.breaks("XC-07", "FRM-07")
def test_a_member_sends_no_external_commit_and_a_joiner_nothing_else(room: Room, outsider: Party) -> None:
    alice, bob, *_ = room.members
    commit = outsider.join_externally(room.follower, alice.group_info()).content.content.content
    assert isinstance(commit, Commit)
    with refusing("PL-12", bob):
        bob.receive(forge_message(alice, commit))
    for body in (Remove(2), ExternalInit(bytes(32))):
        with refusing("FRM-07", bob):
            bob.receive(forge_message(alice, body, sender=NewMemberCommit()))


@pytest.mark.breaks("XC-08")
def test_the_joiner_signs_with_the_key_of_its_path_and_over_the_group(room: Room, outsider: Party) -> None:
    alice, bob, *_ = room.members
    commit = outsider.join_externally(room.follower, alice.group_info()).content.content.content
    assert isinstance(commit, Commit)
    with refusing("FRM-09", bob):
        bob.receive(forge_message(alice, commit, sender=NewMemberCommit()))
    outsider.state = alice.state
    elsewhere = forge_message(
        outsider, commit, sender=NewMemberCommit(), alter_context=lambda context: replace(context, tree_hash=bytes(32))
    )
    with refusing("FRM-09", bob):
        bob.receive(elsewhere)

    def claim_a_leaf(content: FramedContent) -> FramedContent:
        return replace(content, sender=Member(0))

    with refusing("FRM-09", bob):
        bob.receive(forge_message(outsider, commit, alter=claim_a_leaf))


@pytest.mark.breaks("XC-13", "LN-20")
def test_a_member_does_not_join_again(room: Room) -> None:
    alice, bob, *_ = room.members
    info = alice.group_info()
    with refusing("XC-13", bob):
        bob.join_externally(room.follower, info)
    with refusing("XC-13", bob):
        bob.join_externally(room.follower, info, replaces=alice.leaf)
    refuse_commit(room, forge_external_commit(bob, room.follower, info), "LN-20", by=room.members)
    refuse_others = forge_external_commit(bob, room.follower, info, Remove(alice.leaf))
    for party in room.members[1:]:
        with refusing("LN-20", party):
            party.receive(refuse_others)


@pytest.mark.breaks("XC-11")
def test_who_comes_back_takes_a_fresh_encryption_key(room: Room) -> None:
    alice, bob, *others = room.members
    leaf = room.follower.tree.leaf(bob.leaf)
    assert leaf is not None
    message = forge_external_commit(
        bob,
        room.follower,
        alice.group_info(),
        Remove(bob.leaf),
        alter_leaf=lambda made: replace(made, encryption_key=leaf.encryption_key),
    )
    for party in (alice, *others):
        with refusing("XC-11", party):
            party.receive(message)


def test_the_policy_is_asked_about_joiners_and_successors(room: Room, outsider: Party, rng: random.Random) -> None:
    alice, bob, carol, _ = room.members
    info, policy = alice.group_info(), SameNamePolicy()
    mallory = Party(SUITE, "mallory", rng.randbytes)
    with refusing("CRD-04", bob):
        bob.receive(forge_external_commit(mallory, room.follower, info), policy=policy)
    with refusing("CRD-05", bob):
        bob.receive(forge_external_commit(outsider, room.follower, info, Remove(carol.leaf)), policy=policy)
    bob.process(forge_external_commit(outsider, room.follower, info), policy=policy)
    with refusing("CRD-05"):
        outsider.join_externally(room.follower, info, replaces=carol.leaf, options=CommitOptions(policy=policy))


@pytest.mark.breaks("XC-16")
def test_a_wrong_external_pub_confirms_nothing(room: Room, outsider: Party) -> None:
    other = SUITE.derive_key_pair(bytes(32)).public_key
    message = forge_external_commit(outsider, room.follower, room.members[0].group_info(), external_pub=other)
    for party in room.members:
        with refusing("CP-10", party):
            party.receive(message)


def test_a_kem_output_that_is_no_key_is_refused(room: Room, outsider: Party) -> None:
    alice, bob, *_ = room.members
    staged = outsider.join_externally(room.follower, alice.group_info())
    commit = staged.content.content.content
    assert isinstance(commit, Commit)
    outsider.state = alice.state
    for spoilt, rule in ((b"", "CRY-06"), (bytes(32), "CRY-08")):
        broken = replace(commit, proposals=(ExternalInit(spoilt),))
        with refusing(rule, bob):
            bob.receive(forge_message(outsider, broken, sender=NewMemberCommit()))


# The GroupInfo that a joiner is given


@pytest.mark.breaks("XC-12")
def test_a_joiner_wants_a_group_info_of_the_epoch_it_followed(room: Room, outsider: Party) -> None:
    alice = room.members[0]
    info = alice.group_info()
    stale = room.follower
    room.commit(alice)
    with refusing("WL-11"):
        outsider.join_externally(room.follower, info)
    with refusing("WL-11"):
        outsider.join_externally(stale, alice.group_info())
    with refusing("WL-11"):
        spoilt = replace(alice.group_info(), confirmation_tag=bytes(32))
        outsider.join_externally(room.follower, sign_group_info(SUITE, spoilt, alice.client))


@pytest.mark.breaks("XC-01", "XC-16")
def test_a_joiner_wants_an_external_pub(room: Room, outsider: Party) -> None:
    alice = room.members[0]
    with refusing("XC-01"):
        outsider.join_externally(room.follower, alice.group_info(with_external_pub=False))
    for key in (b"", bytes(32), bytes(31)):
        info = alice.group_info(
            with_external_pub=False, extensions=[make_extension(ExtensionType.EXTERNAL_PUB, ExternalPub(key))]
        )
        with refusing("XC-16"):
            outsider.join_externally(room.follower, info)
    trailing = alice.group_info(with_external_pub=False, extensions=[Extension(ExtensionType.EXTERNAL_PUB, b"\x00\x00")])
    with refusing("ENC-09"):
        outsider.join_externally(room.follower, trailing)


@pytest.mark.breaks("WL-08")
def test_a_joiner_wants_the_group_info_signed_by_its_signer(room: Room, outsider: Party) -> None:
    alice, bob, *_ = room.members
    info = alice.group_info()
    for spoilt in (
        replace(info, signature=bytes(64)),
        replace(info, signer=1),
        replace(info, extensions=(*info.extensions, Extension(0xF123, b""))),
        sign_group_info(SUITE, info, bob.client),
    ):
        with refusing("WL-08"):
            outsider.join_externally(room.follower, spoilt)
    with refusing("WL-08"):
        outsider.join_externally(room.follower, sign_group_info(SUITE, replace(info, signer=7), alice.client))
    outsider.join_externally(room.follower, sign_group_info(SUITE, replace(info, signer=1), bob.client))


@pytest.mark.keeps("XC-01", "XC-12")
@pytest.mark.parametrize("with_tree", [True, False])
def test_an_outsider_judges_and_joins_in_one_go(with_tree: bool, outsider: Party, rng: random.Random) -> None:
    room, (alice, *_) = room_of(rng, "abc", SUITE)
    info, tree = alice.group_info(with_tree=with_tree), None if with_tree else alice.state.public.tree.encode()
    joined = join_externally(SUITE, info, outsider.client, random.Random(1).randbytes, ratchet_tree=tree)
    followed = create_external_commit(room.follower, alice.group_info(), outsider.client, random.Random(1).randbytes)
    assert joined.message == followed.message
    assert fingerprint(joined.state) == fingerprint(followed.state)
    for member in room.members:
        member.receive(joined.message)
        assert member.state.public.context == joined.state.public.context
        assert member.state.secrets.epoch_authenticator == joined.state.secrets.epoch_authenticator


@pytest.mark.breaks("WL-08", "WL-11", "WL-25")
def test_an_outsider_does_not_join_what_it_cannot_judge(outsider: Party, rng: random.Random) -> None:
    room, (alice, bob, *_) = room_of(rng, "abc", SUITE)
    info, tree = alice.group_info(), alice.state.public.tree.encode()
    refused = {
        "WL-08": (replace(info, signature=bytes(64)), tree),
        "WL-11": (info, room.follower.tree.remove(bob.leaf).encode()),
        "WL-25": (info, None),
    }
    for rule, (offered, beside) in refused.items():
        with refusing(rule):
            join_externally(SUITE, offered, outsider.client, rng.randbytes, ratchet_tree=beside)
