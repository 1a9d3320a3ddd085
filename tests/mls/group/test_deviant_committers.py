"""Committers that do one thing another way than RFC 9420, Sections 12.3 and 12.4.1, have it: nobody follows them.

The deviant runs this very code with one step exchanged; the receivers run it as it is.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from dmls.errors import StaleEpochError
from dmls.ids import LeafIndex
from dmls.mls.codec import decode
from dmls.mls.framing.signing import sign_content
from dmls.mls.group import commit as commits
from dmls.mls.group.application import frame
from dmls.mls.group.applied import AppliedProposals, apply_proposals
from dmls.mls.group.commit import StagedCommit, leaf_maker
from dmls.mls.group.welcome import make_group_info, make_welcome
from dmls.mls.messages.commit import Commit, ProposalReference
from dmls.mls.messages.extensions import Extension
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.key_package import KeyPackage
from dmls.mls.messages.leaf_node import LeafNode, UpdateSource
from dmls.mls.messages.message import MLSMessage, PublicMessage, encode_message
from dmls.mls.messages.proposal import Add, ExternalInit, GroupContextExtensions, PreSharedKey, ProposalBody, Remove
from dmls.mls.messages.psk import ExternalPSK, PreSharedKeyID
from dmls.mls.messages.registry import WireFormat
from dmls.mls.messages.welcome import Welcome
from tests.support.breaches import APP, capable, extended
from tests.support.forge import forge_commit, forge_external_commit, forge_message
from tests.support.groups import Party, Room, disagreeing, fingerprint, fresh_update, parties, refusing, room_of

Exchange = Callable[..., Any]


@contextmanager
def deviation(monkeypatch: pytest.MonkeyPatch, **exchanges: Exchange) -> Iterator[None]:
    """Exchange functions that committers call, and nobody else."""
    with monkeypatch.context() as patch:
        for name, exchange in exchanges.items():
            patch.setattr(commits, name, exchange)
        yield


def stage_deviantly(
    monkeypatch: pytest.MonkeyPatch,
    party: Party,
    *proposals: ProposalBody | ProposalReference,
    exchanges: dict[str, Exchange],
    **options: Any,
) -> StagedCommit:
    with deviation(monkeypatch, **exchanges):
        return party.stage(*proposals, **options)


def refuse_all(room: Room, message: bytes, **options: Any) -> None:
    for party in room.members[1:]:
        with disagreeing(party):
            party.receive(message, **options)


# Applying proposals


def reapplied(change: Callable[[AppliedProposals, Any], AppliedProposals]) -> Exchange:
    """Apply proposals as one should, and then make something else of it."""

    def exchange(group: Any, *args: Any, **options: Any) -> AppliedProposals:
        return change(apply_proposals(group, *args, **options), group)

    return exchange


@pytest.mark.breaks("AP-01")
def test_members_are_removed_before_others_are_added(room: Room, newcomer: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    def add_first(applied: AppliedProposals, group: Any) -> AppliedProposals:
        packages = [package for _, package in applied.added]
        tree, indices = group.tree.add_all([package.leaf_node for package in packages])
        tree = tree.remove_all([index for index, _ in applied.removed])
        return replace(applied, tree=tree, added=tuple(zip(indices, packages, strict=True)))

    alice, bob, *_ = room.members
    proposals = (Add(newcomer.key_package()), Remove(bob.leaf))
    assert [index for index, _ in alice.stage(*proposals).applied.added] == [bob.leaf]
    staged = stage_deviantly(monkeypatch, alice, *proposals, exchanges={"apply_proposals": reapplied(add_first)})
    assert [index for index, _ in staged.applied.added] == [4]
    for party in room.members[2:]:
        with disagreeing(party):
            party.receive(staged.message)
        party.process(alice.stage(*reversed(proposals)).message)


@pytest.mark.breaks("AP-02")
def test_members_are_added_in_the_order_of_the_list(room: Room, rng: random.Random, monkeypatch: pytest.MonkeyPatch) -> None:
    def reverse(applied: AppliedProposals, group: Any) -> AppliedProposals:
        packages: list[KeyPackage] = [package for _, package in reversed(applied.added)]
        tree, indices = group.tree.add_all([package.leaf_node for package in packages])
        return replace(applied, tree=tree, added=tuple(zip(indices, packages, strict=True)))

    alice, *_ = room.members
    proposals = [Add(party.key_package()) for party in parties(room.suite, "yz", rng)]
    staged = stage_deviantly(monkeypatch, alice, *proposals, exchanges={"apply_proposals": reapplied(reverse)})
    refuse_all(room, staged.message)


@pytest.mark.breaks("AP-03", "PR-04")
def test_who_is_added_supports_the_extensions_that_come_with_it(rng: random.Random) -> None:
    capable = replace(parties(room_of(rng)[0].suite, "x", rng)[0].client.capabilities, extensions=(APP,))
    room, (alice, _) = room_of(rng, "ab")
    room = Room(parties(room.suite, "a", rng, capable)[0])
    alice = room.members[0]
    room.add(alice, *parties(room.suite, "b", rng, capable))
    (newcomer,) = parties(room.suite, "n", rng)
    proposals = (GroupContextExtensions((Extension(APP, b""),)), Add(newcomer.key_package()))
    with refusing("LN-04", alice):
        alice.stage(*proposals)
    with refusing("LN-04", room.members[1]):
        room.members[1].receive(forge_commit(alice, *proposals))


@pytest.mark.breaks("AP-05")
def test_a_list_takes_effect_as_a_whole_or_not_at_all(room: Room, newcomer: Party) -> None:
    alice, bob, carol, dan = room.members
    good, bad = room.propose(bob, fresh_update(bob)), room.propose(carol, Remove(63))
    package = Add(newcomer.key_package())
    for party in (bob, carol, dan):
        with refusing("PR-07", *room.members):
            party.receive(forge_commit(alice, good, package, bad))
        party.process(forge_commit(alice, good, package))


@pytest.mark.breaks("PR-11", "PR-12")
def test_what_a_group_comes_to_require_all_who_stay_support(room: Room) -> None:
    alice, bob, *_ = room.members
    for number, rule in ((APP, "LN-04"), (0x0A0A, "LN-04")):
        with refusing(rule, bob):
            bob.receive(forge_commit(alice, GroupContextExtensions((Extension(number, b""),))))
    required = Extension(3, bytes((2, APP >> 8, APP & 255, 0, 0)))
    with refusing("LN-03", bob):
        bob.receive(forge_commit(alice, GroupContextExtensions((required,))))


@pytest.mark.breaks("PR-13")
def test_extensions_are_replaced_and_not_added_to(rng: random.Random, monkeypatch: pytest.MonkeyPatch) -> None:
    room, (alice, *_) = room_of(rng)
    senders, required = Extension(5, b"\x00"), Extension(3, bytes(3))
    room.commit(alice, GroupContextExtensions((senders,)))

    def merge(applied: AppliedProposals, group: Any) -> AppliedProposals:
        return replace(applied, extensions=(*group.context.extensions, *applied.extensions))

    staged = stage_deviantly(
        monkeypatch, alice, GroupContextExtensions((required,)), exchanges={"apply_proposals": reapplied(merge)}
    )
    refuse_all(room, staged.message)


@pytest.mark.breaks("PR-18")
def test_what_somebody_proposed_who_was_removed_since_is_not_committed(room: Room) -> None:
    alice, bob, carol, _ = room.members
    reference = room.propose(bob, Remove(carol.leaf))
    room.commit(alice, Remove(bob.leaf), leavers=[bob])
    with refusing("PL-15", alice):
        alice.stage(reference)
    with refusing("PL-15", carol):
        carol.receive(forge_commit(alice, reference))


# Making the commit


@pytest.mark.breaks("CC-03")
def test_a_commit_is_signed_with_the_context_of_the_old_epoch(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    alice = room.members[0]

    def sign_ahead(suite: Any, wire_format: Any, content: Any, context: Any, key: Any) -> bytes:
        return sign_content(suite, wire_format, content, replace(context, epoch=context.epoch + 1), key)

    staged = stage_deviantly(monkeypatch, alice, exchanges={"sign_content": sign_ahead})
    for party in room.members[1:]:
        with refusing("FRM-09", party):
            party.receive(staged.message)


@pytest.mark.breaks("CC-04")
def test_a_commit_is_protected_with_the_keys_of_the_old_epoch(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob, *_ = room.members
    later = alice.stage().state

    def frame_ahead(state: Any, *arguments: Any) -> Any:
        return frame(replace(state, secrets=later.secrets, secret_tree=later.secret_tree), *arguments)

    staged = stage_deviantly(monkeypatch, alice, exchanges={"frame": frame_ahead})
    with refusing("PUB-03", bob):
        bob.receive(staged.message)
    staged = stage_deviantly(monkeypatch, alice, exchanges={"frame": frame_ahead}, wire_format=WireFormat.PRIVATE_MESSAGE)
    with disagreeing(bob):
        bob.receive(staged.message)


@pytest.mark.breaks("CC-05", "CC-06")
def test_a_commit_that_loses_leaves_no_trace(room: Room, newcomer: Party, rng: random.Random) -> None:
    """Also where the winner comes from outside."""
    alice, bob, carol, _ = room.members
    before = fingerprint(alice.state)
    pending = alice.stage(Add(newcomer.key_package()), Remove(carol.leaf))
    assert fingerprint(alice.state) == before
    (outsider,) = parties(room.suite, "o", rng)
    winner = outsider.join_externally(room.follower, bob.group_info())
    for party in (alice, bob):
        party.receive(winner.message)
    assert alice.state.public == bob.state.public
    with refusing("FRM-12", bob):
        bob.receive(pending.message)
    assert carol.leaf in {index for index, _ in alice.state.public.tree.members()}
    with pytest.raises(StaleEpochError):
        alice.process(pending.message)


@pytest.mark.breaks("CC-07")
def test_the_leaf_of_a_path_is_signed_anew_for_its_place(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob, *_ = room.members
    make = leaf_maker

    def keep_signature(*args: Any) -> Callable[[bytes, bytes], LeafNode]:
        return lambda key, parent_hash: replace(make(*args)(key, parent_hash), signature=make(*args)(key, b"").signature)

    def sign_elsewhere(group: Any, client: Any, index: Any) -> Callable[[bytes, bytes], LeafNode]:
        return make(group, client, LeafIndex(index + 1))

    for exchange in (keep_signature, sign_elsewhere):
        staged = stage_deviantly(monkeypatch, alice, exchanges={"leaf_maker": exchange})
        with refusing("LN-02", bob):
            bob.receive(staged.message)


@pytest.mark.breaks("CC-16")
def test_a_new_signature_key_counts_from_the_new_epoch_on(
    room: Room, newcomer: Party, rng: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob, *_ = room.members
    old, new = alice.client, parties(room.suite, "a", rng)[0].client
    addition = Add(newcomer.key_package())
    options: dict[str, Any] = {"signature_private_key": old.signature_private_key, "force_path": True}

    def sign_with_new(suite: Any, wire_format: Any, content: Any, context: Any, _key: Any) -> bytes:
        return sign_content(suite, wire_format, content, context, new.signature_private_key)

    def inform_with_old(state: Any, _client: Any, index: Any, **extra: Any) -> GroupInfo:
        return make_group_info(state, old, index, **extra)

    alice.client = new
    hasty = stage_deviantly(monkeypatch, alice, addition, exchanges={"sign_content": sign_with_new}, **options)
    with refusing("FRM-09", bob):
        bob.receive(hasty.message)
    late = stage_deviantly(monkeypatch, alice, addition, exchanges={"make_group_info": inform_with_old}, **options)
    bob.process(late.message)
    assert late.welcome is not None
    with refusing("WL-08"):
        newcomer.join(late.welcome)


@pytest.mark.breaks("CC-15")
def test_an_own_proposal_counts_by_value_or_once_others_have_it(room: Room, newcomer: Party) -> None:
    alice, bob, *_ = room.members
    sent = alice.propose(Add(newcomer.key_package()))
    assert sent.ref is not None
    by_reference = alice.stage(ProposalReference(sent.ref))
    with refusing("PL-15", bob):
        bob.receive(by_reference.message)
    bob.process(alice.stage(Add(newcomer.key_package())).message)
    bob.receive(sent.message)
    bob.process(by_reference.message)


@pytest.mark.breaks("CP-06")
def test_a_path_that_nobody_asked_for_is_judged_like_any_other(room: Room, newcomer: Party) -> None:
    alice, bob, *_ = room.members
    addition = Add(newcomer.key_package())
    bob.process(forge_commit(alice, addition))
    with refusing("UP-03", bob):
        bob.receive(forge_commit(alice, addition, alter_path=lambda path: replace(path, nodes=path.nodes[1:])))


@pytest.mark.breaks("CC-14")
def test_proposals_are_committed_before_more_is_said(room: Room) -> None:
    alice, bob, carol, _ = room.members
    room.propose(bob, Remove(carol.leaf))
    with refusing("CC-14", alice):
        alice.send(b"not yet")


@pytest.mark.breaks("CP-15")
def test_an_update_that_is_committed_brings_its_private_key(room: Room) -> None:
    alice, bob, *_ = room.members
    ring = bob.ring
    reference = room.propose(bob, fresh_update(bob))
    updated = bob.ring
    room.commit(alice, reference)
    key = room.follower.tree.leaf(bob.leaf)
    assert key is not None
    assert key.encryption_key in bob.ring
    following = alice.stage()
    bob.process(following.message)
    bob.ring = ring
    assert key.encryption_key not in ring.keys
    assert key.encryption_key in updated.keys
    with disagreeing(bob):
        bob.receive(following.message)


# Reading the commit


@pytest.mark.breaks("CP-02")
def test_a_commit_is_opened_and_verified_before_anything_of_it_counts(room: Room) -> None:
    alice, bob, *_ = room.members
    good = decode(MLSMessage, alice.stage().message)
    assert isinstance(good.body, PublicMessage)
    for forged, rule in (
        (replace(good.body, membership_tag=bytes(32)), "PUB-03"),
        (replace(good.body, signature=bytes(64)), "PUB-03"),
    ):
        with refusing(rule, bob):
            bob.receive(encode_message(forged))
    unsigned = forge_message(alice, Commit((), None), alter_signature=lambda made: bytes(len(made)))
    with refusing("FRM-09", bob):
        bob.receive(unsigned)


@pytest.mark.breaks("CP-03")
def test_a_list_that_its_sender_may_not_commit_is_refused(room: Room, rng: random.Random) -> None:
    """What is right in one kind of commit is wrong in the other."""
    alice, bob, *_ = room.members
    outsider = Party(room.suite, "outsider", rng.randbytes)
    with refusing("PL-12", bob):
        bob.receive(forge_commit(alice, ExternalInit(bytes(32))))
    with refusing("XC-06", bob):
        bob.receive(forge_external_commit(outsider, room.follower, alice.group_info(), GroupContextExtensions(())))


@pytest.mark.breaks("CP-07")
def test_the_leaf_of_a_path_is_held_to_the_rules_of_leaves(room: Room) -> None:
    alice, bob, *_ = room.members
    for rule, breach in (("LN-05", extended(APP)), ("LN-07", capable(versions=())), ("LN-06", capable(credentials=()))):
        with refusing(rule, bob):
            bob.receive(forge_commit(alice, alter_leaf=breach))
    with refusing("LN-17", bob):
        bob.receive(forge_commit(alice, alter_leaf=lambda leaf: replace(leaf, source=UpdateSource())))


@pytest.mark.breaks("SQ-01")
def test_what_is_said_belongs_to_the_epoch_of_the_last_handshake(room: Room) -> None:
    alice, bob, carol, dan = room.members
    commit = alice.stage()
    late = bob.send(b"before the commit came")
    for party in (carol, dan):
        party.receive(commit.message)
        with refusing("FRM-12", party):
            party.receive(late)
    bob.receive(commit.message)
    assert carol.receive(bob.send(b"after it")) == b"after it"


# Letting newcomers in


def welcome_of(staged: StagedCommit) -> Welcome:
    assert staged.welcome is not None
    return staged.welcome


@pytest.mark.breaks("CC-08", "WL-29")
def test_the_group_info_is_that_of_the_epoch_that_the_commit_makes(
    room: Room, newcomer: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = room.members[0]
    addition = Add(newcomer.key_package())

    def exchange(**changes: Any) -> Exchange:
        def inform(state: Any, client: Any, index: Any, **extra: Any) -> GroupInfo:
            return make_group_info(replace(state, public=replace(state.public, **changes)), client, index, **extra)

        return inform

    public = room.follower
    for inform in (
        exchange(confirmation_tag=public.confirmation_tag),
        exchange(context=public.context),
        exchange(tree=public.tree),
    ):
        staged = stage_deviantly(monkeypatch, alice, addition, exchanges={"make_group_info": inform})
        with disagreeing():
            newcomer.join(welcome_of(staged))
    newcomer.join(welcome_of(alice.stage(addition)))


@pytest.mark.breaks("CC-09", "WL-30")
def test_everybody_who_is_added_finds_an_entry_of_its_own(room: Room, rng: random.Random) -> None:
    first, second, third = parties(room.suite, "xyz", rng)
    staged = room.members[0].stage(*(Add(party.key_package()) for party in (first, second, third)))
    welcome = welcome_of(staged)
    assert len(welcome.secrets) == 3
    for party, number in ((first, 1), (second, 2), (third, 0)):
        (bundle,) = party.bundles.values()
        own = next(entry for entry in welcome.secrets if entry.new_member == bundle.ref)
        others = replace(welcome, secrets=tuple(entry for entry in welcome.secrets if entry is not own))
        with pytest.raises(ValueError, match="not enough values"):
            party.join(others)
        renamed = replace(welcome, secrets=(replace(others.secrets[number % 2], new_member=bundle.ref),))
        with disagreeing():
            party.join(renamed)
        party.join(replace(welcome, secrets=(own,)))
        assert party.state.secrets.epoch_authenticator == staged.state.secrets.epoch_authenticator


@pytest.mark.breaks("CC-11", "PSK-05")
def test_a_welcome_lists_the_pre_shared_keys_of_the_commit_in_its_order(
    room: Room, newcomer: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = room.members[0]
    names = [PreSharedKey(PreSharedKeyID(ExternalPSK(name), bytes(32))) for name in (b"one", b"two")]

    def find(psk_id: PreSharedKeyID) -> bytes:
        assert isinstance(psk_id.source, ExternalPSK)
        return psk_id.source.psk_id

    def listing(change: Callable[[tuple[PreSharedKeyID, ...]], tuple[PreSharedKeyID, ...]]) -> Exchange:
        def welcome(child: Any, applied: AppliedProposals, *args: Any) -> Welcome:
            return make_welcome(child, replace(applied, psk_ids=change(applied.psk_ids)), *args)

        return welcome

    changes: tuple[Callable[[tuple[PreSharedKeyID, ...]], tuple[PreSharedKeyID, ...]], ...] = (
        lambda ids: ids[::-1],
        lambda ids: ids[:1],
        lambda ids: (ids[0], replace(ids[1], psk_nonce=bytes(31) + b"\x01")),
    )
    for change in changes:
        staged = stage_deviantly(
            monkeypatch, alice, *names, Add(newcomer.key_package()), exchanges={"make_welcome": listing(change)}, psks=find
        )
        with disagreeing():
            newcomer.join(welcome_of(staged), psks=find)
    newcomer.join(welcome_of(alice.stage(*names, Add(newcomer.key_package()), psks=find)), psks=find)


def test_a_deviant_that_changes_nothing_is_followed(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    staged = stage_deviantly(
        monkeypatch, room.members[0], exchanges={"apply_proposals": reapplied(lambda applied, _group: applied)}
    )
    for party in room.members[1:]:
        party.process(staged.message)
