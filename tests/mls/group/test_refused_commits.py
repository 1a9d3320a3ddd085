"""Commits that break one rule are refused by all, and change nothing (RFC 9420, Sections 7.6 and 12.4)."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from dmls.errors import DecryptionError, EvictedError
from dmls.ids import LeafIndex
from dmls.mls.codec import Lazy, decode, encode
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.group.follower import PublicGroup, open_public_message
from dmls.mls.group.process import open_message, process_commit, process_handshake
from dmls.mls.group.transition import follow_commit
from dmls.mls.messages.commit import Commit, HPKECiphertext, UpdatePath
from dmls.mls.messages.group_context import GroupContext
from dmls.mls.messages.leaf_node import CommitSource
from dmls.mls.messages.message import AuthenticatedContent, ExternalSenderIndex, FramedContent, Member, MLSMessage
from dmls.mls.messages.proposal import Add, GroupContextExtensions, PreSharedKey, ProposalBody, ReInit, Remove
from dmls.mls.messages.psk import ExternalPSK, PreSharedKeyID
from dmls.mls.messages.registry import WireFormat
from dmls.mls.tree.treekem import StagedPath
from tests.support.forge import forge_commit, forge_message, sign_leaf
from tests.support.groups import ANYBODY, Party, Room, fresh_update, refusing, room_of
from tests.support.refusals import refuse_commit

SUITE = cipher_suite(1)
PATHS = Callable[[UpdatePath], UpdatePath]


@pytest.fixture
def room(rng: random.Random) -> Room:
    """Eight members, each of whom has committed: all parents hold keys."""
    room, members = room_of(rng, "abcdefgh")
    for party in members:
        room.commit(party)
    return room


def test_what_is_forged_without_a_breach_is_accepted(room: Room, newcomer: Party) -> None:
    alice = room.members[0]
    for proposals in ((), (Add(newcomer.key_package()),), (GroupContextExtensions(()),)):
        for wire_format in (WireFormat.PUBLIC_MESSAGE, WireFormat.PRIVATE_MESSAGE):
            message = forge_commit(alice, *proposals, wire_format=wire_format)
            for party in room.members[1:]:
                party.process(message)


# Where a path must be


@pytest.mark.breaks("CP-05", "CC-01", "CC-02")
@pytest.mark.parametrize("kind", ["nothing", "update", "remove", "extensions", "remove and psk"])
def test_a_path_is_there_where_it_must_be(room: Room, kind: str) -> None:
    alice, bob, *_ = room.members
    psk = PreSharedKey(PreSharedKeyID(ExternalPSK(b"name"), bytes(32)))
    lists: dict[str, list[ProposalBody]] = {
        "nothing": [],
        "remove": [Remove(LeafIndex(1))],
        "extensions": [GroupContextExtensions(())],
        "remove and psk": [psk, Remove(LeafIndex(1))],
    }
    psks = [(psk.psk, b"key")] if kind == "remove and psk" else []
    proposals = [room.propose(bob, fresh_update(bob))] if kind == "update" else lists[kind]
    refuse_commit(room, forge_commit(alice, *proposals, with_path=False, psks=psks), "CP-05")
    assert alice.stage(*proposals, psks=lambda _: b"key").applied is not None
    sent = decode(MLSMessage, alice.stage(*proposals, psks=lambda _: b"key").message)
    commit = open_public_message(room.follower, sent).content.content
    assert isinstance(commit, Commit)
    assert commit.path is not None


@pytest.mark.keeps("CC-02", "CP-06")
def test_a_path_need_not_be_there_otherwise_and_may(room: Room, newcomer: Party) -> None:
    alice, bob, *_ = room.members
    psk = PreSharedKey(PreSharedKeyID(ExternalPSK(b"name"), bytes(32)))
    for proposals in ([Add(newcomer.key_package())], [psk], [ReInit(b"s", 1, 1, ())], [Add(newcomer.key_package()), psk]):
        for force in (False, True):
            staged = alice.stage(*proposals, psks=lambda _: b"key", force_path=force)
            commit = staged.content.content.content
            assert isinstance(commit, Commit)
            assert (commit.path is not None) is force
            bob.process(staged.message, psks=lambda _: b"key")


# Paths


def in_node(number: int, **changes: object) -> PATHS:
    def alter(path: UpdatePath) -> UpdatePath:
        nodes = list(path.nodes)
        nodes[number] = replace(nodes[number], **changes)  # type: ignore[arg-type]
        return replace(path, nodes=tuple(nodes))

    return alter


def with_ciphertexts(number: int, alter: Callable[[list[HPKECiphertext]], list[HPKECiphertext]]) -> PATHS:
    def change(path: UpdatePath) -> UpdatePath:
        packed = Lazy.pack(HPKECiphertext, alter(list(path.nodes[number].encrypted_path_secret)))
        return in_node(number, encrypted_path_secret=packed)(path)

    return change


BREACHES: dict[str, tuple[str, PATHS]] = {
    "a node too few": ("UP-03", lambda path: replace(path, nodes=path.nodes[:-1])),
    "a node too many": ("UP-03", lambda path: replace(path, nodes=(*path.nodes, path.nodes[-1]))),
    "no nodes": ("UP-03", lambda path: replace(path, nodes=())),
    "a ciphertext too few": ("UP-04", with_ciphertexts(0, lambda sealed: sealed[:-1])),
    "a ciphertext too many": ("UP-04", with_ciphertexts(2, lambda sealed: sealed * 2)),
    "a short ciphertext": (
        "UP-04",
        with_ciphertexts(1, lambda sealed: [replace(sealed[0], ciphertext=sealed[0].ciphertext[1:])]),
    ),
    "no ciphertexts": ("UP-04", with_ciphertexts(1, lambda sealed: [])),
    "a short public key": ("LN-25", in_node(1, encryption_key=bytes(31))),
    "a public key of small order": ("LN-25", in_node(1, encryption_key=bytes(32))),
    "another public key at the bottom": ("UP-09", in_node(0, encryption_key=bytes(31) + b"\x55")),
    "another public key at the top": ("UP-09", in_node(2, encryption_key=bytes(31) + b"\x55")),
}


@pytest.mark.breaks("CP-08")
@pytest.mark.parametrize(("rule", "breach"), list(BREACHES.values()), ids=list(BREACHES))
def test_a_path_that_breaks_a_rule_is_refused(room: Room, rule: str, breach: PATHS) -> None:
    refuse_commit(room, forge_commit(room.members[0], alter_path=breach), rule)


@pytest.mark.breaks("UP-11")
def test_a_path_brings_keys_that_stand_nowhere(room: Room) -> None:
    alice = room.members[0]
    tree = room.follower.tree
    leaf, own = tree.leaf(LeafIndex(5)), tree.parent(tree.filtered_direct_path(alice.leaf)[1])
    other = tree.parent(tree.filtered_direct_path(LeafIndex(7))[0])
    assert leaf is not None
    assert own is not None
    assert other is not None
    for key in (leaf.encryption_key, own.encryption_key, other.encryption_key):
        refuse_commit(room, forge_commit(alice, alter_path=in_node(1, encryption_key=key)), "UP-11")
    refuse_commit(
        room, forge_commit(alice, alter_path=lambda path: in_node(1, encryption_key=path.nodes[0].encryption_key)(path)), "UP-11"
    )
    refuse_commit(
        room,
        forge_commit(alice, alter_path=lambda path: in_node(0, encryption_key=path.leaf_node.encryption_key)(path)),
        "UP-11",
    )


@pytest.mark.breaks("UP-09")
def test_the_leaf_holds_the_parent_hash_of_the_path(room: Room) -> None:
    alice = room.members[0]
    for wrong in (b"", bytes(32)):
        refuse_commit(room, forge_commit(alice, alter_leaf=partial(replace, source=CommitSource(wrong))), "UP-09")


@pytest.mark.breaks("UP-10")
def test_path_secrets_are_those_of_the_public_keys(room: Room, rng: random.Random) -> None:
    alice, *others = room.members
    wrong = Secret(rng.randbytes(32))

    def at(number: int) -> Callable[[StagedPath], StagedPath]:
        def alter(staged: StagedPath) -> StagedPath:
            secrets = list(staged.path_secrets)
            secrets[number] = wrong
            return replace(staged, path_secrets=tuple(secrets))

        return alter

    for number, touched in ((0, {1}), (1, {2, 3}), (2, {4, 5, 6, 7})):
        message = forge_commit(alice, alter_sealed=at(number))
        for party in others:
            if party.leaf in touched:
                with refusing("UP-10", party):
                    party.receive(message)
            else:
                party.process(message)


@pytest.mark.breaks("UP-06")
def test_path_secrets_are_sealed_with_the_context_of_the_new_epoch(room: Room) -> None:
    alice, bob, *_ = room.members

    def alter(**changes: object) -> Callable[[bytes], bytes]:
        return lambda context: encode(replace(decode(GroupContext, context), **changes))  # type: ignore[arg-type]

    old = room.follower.context
    for breach in (alter(epoch=old.epoch), alter(tree_hash=old.tree_hash), alter(confirmed_transcript_hash=bytes(32))):
        message = forge_commit(alice, alter_sealing=breach)
        with refusing(None, bob):
            bob.receive(message)
    bob.receive(forge_commit(alice, alter_sealing=alter(extensions=old.extensions)))


@pytest.mark.breaks("UP-04", "UP-05")
def test_the_path_is_not_sealed_to_those_that_the_commit_adds(room: Room, newcomer: Party) -> None:
    alice, bob, *_ = room.members
    room.commit(alice, Remove(bob.leaf), leavers=[bob])
    addition = Add(newcomer.key_package())
    staged = alice.stage(addition)
    assert [index for index, _ in staged.applied.added] == [1]
    # All other members fill their subtrees, so the lowest node has only the newcomer below its other child: no ciphertext at all.
    content = alice.stage(addition, force_path=True).content.content.content
    assert isinstance(content, Commit)
    assert content.path is not None
    assert [len(list(node.encrypted_path_secret)) for node in content.path.nodes] == [0, 1, 1]
    # That node is in the path all the same.
    refuse_commit(room, forge_commit(alice, addition, alter_path=lambda path: replace(path, nodes=path.nodes[1:])), "UP-03")
    message = forge_commit(alice, addition, excluded=frozenset())
    for party in room.members[1:]:
        with refusing("UP-04", party):
            party.receive(message)
    room.commit(alice, addition, joiners=[newcomer], force_path=True)
    room.talk()


def test_whoever_is_unmerged_opens_the_path_with_its_leaf_key(room: Room, newcomer: Party) -> None:
    alice, bob, *_ = room.members
    room.commit(alice, Remove(bob.leaf), leavers=[bob])
    room.commit(alice)
    room.add(room.members[5], newcomer)
    parent = room.follower.tree.parent(room.follower.tree.filtered_direct_path(newcomer.leaf)[1])
    assert parent is not None
    assert parent.unmerged_leaves == (1,)
    room.commit(room.members[4])
    room.talk()


# Commits as a whole


@pytest.mark.breaks("CP-10", "CP-11")
def test_the_confirmation_tag_is_that_of_the_new_epoch(room: Room) -> None:
    alice = room.members[0]
    refuse_commit(room, forge_commit(alice, alter_tag=lambda tag: bytes(32)), "CP-10", in_public=False)
    refuse_commit(room, forge_commit(alice, alter_tag=lambda tag: tag[:-1]), "CRY-13")
    refuse_commit(room, forge_commit(alice, alter_tag=lambda tag: tag + b"\x00"), "CRY-13")
    refuse_commit(room, forge_commit(alice, alter_tag=lambda tag: b""), "CRY-13")


@pytest.mark.breaks("CP-01", "FRM-12")
@pytest.mark.parametrize("step", [-1, 1])
def test_a_commit_is_of_the_current_epoch(room: Room, step: int) -> None:
    message = forge_commit(room.members[0], alter_content=lambda content: replace(content, epoch=content.epoch + step))
    for party in room.members[1:]:
        with refusing("FRM-12", party):
            party.receive(message)


@pytest.mark.breaks("CP-13", "SQ-05")
def test_a_second_commit_of_an_epoch_comes_too_late(room: Room) -> None:
    alice, bob, carol, *_ = room.members
    first, second = alice.stage(), bob.stage()
    carol.receive(first.message)
    for message in (first.message, second.message):
        with refusing("FRM-12", carol):
            carol.receive(message)


@pytest.mark.breaks("CP-18", "FRM-10")
def test_only_members_and_joiners_commit(room: Room) -> None:
    alice, bob, *_ = room.members
    commit = alice.stage().content.content.content
    assert isinstance(commit, Commit)
    with refusing("FRM-06", bob):
        bob.receive(forge_message(alice, commit, sender=ExternalSenderIndex(0)))
    framed = FramedContent(b"", 0, ExternalSenderIndex(0), b"", commit)
    with refusing("CP-18"):
        follow_commit(room.follower, AuthenticatedContent(WireFormat.PUBLIC_MESSAGE, framed, b"", bytes(32)), ANYBODY)
    proposal, _ = open_message(bob.state, decode(MLSMessage, forge_message(alice, Remove(LeafIndex(2)))))
    content = alice.stage().content
    for unsound in (proposal, replace(proposal, confirmation_tag=bytes(32)), replace(content, confirmation_tag=None)):
        with refusing("FRM-10"):
            follow_commit(room.follower, unsound, ANYBODY)
    with refusing("FRM-10"):
        process_handshake(bob.state, proposal, bob.ring.keys)


@pytest.mark.breaks("CP-17", "FRM-04")
def test_a_committer_has_a_leaf(room: Room) -> None:
    alice, bob, carol, *_ = room.members
    room.commit(alice, Remove(bob.leaf), leavers=[bob])
    bob.state = carol.state
    framed = forge_message(bob, Commit((), None), alter=lambda content: replace(content, sender=Member(1)))
    with refusing("FRM-04", carol):
        carol.receive(framed)
    # Whoever skips the question of who signed is stopped all the same.
    content = alice.stage().content
    commit = content.content.content
    assert isinstance(commit, Commit)
    assert commit.path is not None
    for index in (1, 99):
        leaf = sign_leaf(SUITE, commit.path.leaf_node, alice.client, room.follower.context.group_id, index)
        body = replace(commit, path=replace(commit.path, leaf_node=leaf))
        unverified = replace(content, content=replace(content.content, sender=Member(index), content=body))
        with refusing("LN-20"):
            follow_commit(carol.state.public, unverified, ANYBODY)
        leaf = sign_leaf(
            SUITE, replace(leaf, signature_key=bob.client.signature_key), bob.client, room.follower.context.group_id, index
        )
        body = replace(commit, path=replace(commit.path, leaf_node=leaf))
        unverified = replace(content, content=replace(content.content, sender=Member(index), content=body))
        with refusing("CP-17"):
            follow_commit(carol.state.public, unverified, ANYBODY)


@pytest.mark.breaks("KS-05")
def test_an_epoch_that_cannot_be_numbered_is_refused(room: Room) -> None:
    """The group begins at the end of the numbers, as only a hostile creator would have it."""
    alice, bob, *_ = room.members

    def move(group: PublicGroup) -> PublicGroup:
        return replace(group, context=replace(group.context, epoch=2**64 - 1))

    for party in (alice, bob):
        party.state = replace(party.state, public=move(party.state.public))
    with refusing("KS-05", alice):
        alice.stage()
    with refusing("KS-05", alice):
        alice.stage(force_path=False)
    content, _ = open_message(bob.state, decode(MLSMessage, forge_message(alice, Commit((), None))))
    framed = replace(content.content, content=Commit((ReInit(b"s", 1, 1, ()),), None))
    with refusing("KS-05"):
        follow_commit(bob.state.public, replace(content, content=framed), ANYBODY)


@pytest.mark.breaks("UP-12", "UP-18")
def test_a_receiver_without_the_keys_says_so(room: Room) -> None:
    alice, bob, *_ = room.members
    message = alice.stage().message
    content, _ = open_message(bob.state, decode(MLSMessage, message))
    with refusing("UP-12", bob):
        process_handshake(bob.state, content, {})
    transition = follow_commit(bob.state.public, content, ANYBODY)
    wrong = dict.fromkeys(bob.ring.keys, Secret(bytes(32)))
    with pytest.raises(DecryptionError):
        process_commit(bob.state, transition, wrong)
    # A committer cannot open its own path.
    with refusing("UP-12", alice):
        alice.process(message)


@pytest.mark.breaks("CP-09")
def test_removed_members_need_not_open_the_path(room: Room) -> None:
    alice, bob, *_ = room.members
    message = forge_commit(alice, Remove(bob.leaf))
    with pytest.raises(EvictedError):
        bob.receive(message)


def test_a_commit_is_framed_as_public_or_private(room: Room) -> None:
    alice = room.members[0]
    with refusing(None, alice):
        alice.stage(wire_format=WireFormat.WELCOME)


def test_followers_are_told_of_everything_that_does_not_need_a_secret(room: Room) -> None:
    """A path that nobody can open is followed all the same, and only members find out."""
    alice, bob, *_ = room.members

    def garble(sealed: list[HPKECiphertext]) -> list[HPKECiphertext]:
        return [replace(entry, ciphertext=bytes(len(entry.ciphertext))) for entry in sealed]

    garbled = forge_commit(alice, alter_path=with_ciphertexts(0, garble))
    with refusing(None, bob):
        bob.receive(garbled)
    for party in room.members[2:]:
        party.process(garbled)
    content = open_public_message(room.follower, decode(MLSMessage, garbled))
    assert follow_commit(room.follower, content, ANYBODY).group.context.epoch == room.follower.context.epoch + 1
