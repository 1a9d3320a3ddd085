"""Branches, and what links a group to the one it continues (RFC 9420, Sections 11.3 and 12.4.3.1)."""

from __future__ import annotations

import random
from collections.abc import Hashable
from dataclasses import replace
from typing import Any

import pytest

from dmls.mls.crypto.suites import CIPHER_SUITES, CipherSuite, cipher_suite
from dmls.mls.group.policy import OpenPolicy
from dmls.mls.group.predecessor import check_successor
from dmls.mls.messages.credential import BasicCredential
from dmls.mls.messages.leaf_node import LeafNode
from dmls.mls.messages.proposal import Add, PreSharedKey
from dmls.mls.messages.psk import PreSharedKeyID, ResumptionPSK, ResumptionPSKUsage
from dmls.mls.messages.welcome import GroupSecrets
from tests.support.forge import forge_commit, forge_message
from tests.support.groups import GROUP_ID, Room, parties, refusing, room_of
from tests.support.successors import (
    REQUIRED,
    SUITE,
    Closed,
    Open,
    agree,
    branch,
    forged,
    heirs_of,
    key_packages,
    succeed,
    welcome_of,
)

BY_SUITE = pytest.mark.parametrize("suite", CIPHER_SUITES, ids=lambda suite: f"suite{suite.id}")


@BY_SUITE
@pytest.mark.keeps("RB-10", "RB-11", "RB-12")
def test_some_members_branch_off(suite: CipherSuite, rng: random.Random) -> None:
    room, members = room_of(rng, "abcd", suite)
    heirs = heirs_of(members[:3], suite, rng)
    staged = branch(members[1].state, heirs[1], heirs, extensions=[REQUIRED], force_path=True)
    for member, heir in zip(members, heirs, strict=False):
        if heir is not heirs[1]:
            heir.join(welcome_of(staged), predecessors=[member.state], open_groups={GROUP_ID})
    assert heirs[0].state.public.context.extensions == (REQUIRED,)
    (link,) = staged.applied.psk_ids
    assert link.source == ResumptionPSK(ResumptionPSKUsage.BRANCH, GROUP_ID, room.follower.context.epoch)
    agree(heirs)
    # The group itself goes on.
    room.commit(members[3])
    room.talk()


@pytest.mark.keeps("RB-11")
def test_a_branch_may_grow_from_any_epoch_that_is_kept(opened: Open) -> None:
    kept = [[member.state] for member in opened.members]
    for _ in range(3):
        opened.room.commit(opened.members[3])
        for states, member in zip(kept, opened.members, strict=True):
            states.append(member.state)
    founder, bob, carol = opened.heirs
    welcome = welcome_of(branch(kept[0][1], founder, opened.heirs))
    bob.join(welcome, predecessors=kept[1])
    opened.refuse("RB-11", welcome, carol)
    carol.join(welcome, predecessors=[kept[2][1]])
    agree(opened.heirs)


@pytest.mark.breaks("RB-11")
def test_a_branch_names_the_group_that_it_was_asked_for_from(opened: Open, rng: random.Random) -> None:
    founder, bob, _ = opened.heirs
    founder.create(b"branch")
    plain = founder.stage(*(Add(package) for package in key_packages(founder, opened.heirs)))
    opened.refuse("RB-11", welcome_of(plain), bob)
    other, _ = room_of(rng, "abc")
    welcome = welcome_of(branch(other.members[0].state, founder, opened.heirs))
    opened.room.commit(opened.members[0])
    opened.refuse("RB-11", welcome, bob)


@pytest.mark.breaks("RB-11")
def test_a_branch_of_another_group_is_refused(opened: Open, rng: random.Random) -> None:
    members = parties(SUITE, "abc", rng)
    other = Room(members[0])
    other.add(members[0], *members[1:])
    public = members[0].state.public
    elsewhere = replace(members[0].state, public=replace(public, context=replace(public.context, group_id=b"elsewhere")))
    assert public.context.epoch == opened.state.public.context.epoch
    welcome = welcome_of(branch(elsewhere, opened.heirs[0], opened.heirs))
    opened.refuse("RB-11", welcome, opened.heirs[1])


@pytest.mark.breaks("RB-10")
def test_a_branch_keeps_the_suite(opened: Open, rng: random.Random) -> None:
    public = opened.state.public
    moved = replace(
        opened.state,
        public=replace(public, suite=cipher_suite(2), context=replace(public.context, cipher_suite=2)),
    )
    opened.heirs = heirs_of(opened.members[:3], cipher_suite(2), rng)
    opened.refuse("RB-10", welcome_of(branch(moved, opened.heirs[0], opened.heirs)), opened.heirs[1])


@pytest.mark.breaks("RB-12")
def test_only_members_branch_off(opened: Open, rng: random.Random) -> None:
    founder, bob, _ = opened.heirs
    (stranger,) = parties(SUITE, "s", rng)
    public = opened.state.public
    with refusing("RB-12", opened.members[0]):
        branch(opened.state, founder, [founder, bob, stranger])
    # A founder that takes somebody for a member who is none.
    tree, _ = public.tree.add(stranger.key_package().leaf_node)
    deceived = replace(opened.state, public=replace(public, tree=tree))
    welcome = welcome_of(branch(deceived, founder, [founder, bob, stranger]))
    opened.refuse("RB-12", welcome, bob)
    (twin,) = heirs_of([opened.members[1]], SUITE, rng)
    tree, _ = public.tree.add(twin.key_package().leaf_node)
    deceived = replace(opened.state, public=replace(public, tree=tree))
    opened.refuse("RB-12", welcome_of(branch(deceived, founder, [founder, bob, twin])), bob)


class Families(OpenPolicy):
    """Clients are known by the first letter of their name."""

    def client_of(self, leaf_node: LeafNode) -> Hashable | None:
        assert isinstance(leaf_node.credential, BasicCredential)
        return leaf_node.credential.identity[:1]


@pytest.mark.keeps("RB-05", "RB-12")
def test_the_application_says_who_is_the_same_client(rng: random.Random) -> None:
    room, members = room_of(rng, "ab")
    renamed = parties(SUITE, ["a2", "b2"], rng)
    with refusing("RB-12"):
        branch(members[0].state, renamed[0], renamed)
    welcome = welcome_of(branch(members[0].state, renamed[0], renamed, policy=Families()))
    with refusing("RB-12"):
        renamed[1].join(welcome, predecessors=[members[1].state])
    renamed[1].join(welcome, predecessors=[members[1].state], policy=Families())
    agree(renamed)
    room.talk()


@pytest.mark.breaks("RB-02")
def test_others_see_a_branch_first_at_epoch_1(opened: Open) -> None:
    staged = branch(opened.state, opened.heirs[0], opened.heirs)
    welcome = forged(
        opened.heirs[1], opened.heirs[0], staged, opened.state, alter_context=lambda context: replace(context, epoch=2)
    )
    opened.refuse("RB-02", welcome, opened.heirs[1])


# What links two groups, and where it may stand


@pytest.mark.breaks("WL-04")
def test_a_group_that_continues_another_is_not_joined_as_any_group(closed: Closed, opened: Open) -> None:
    everything: dict[str, Any] = {"psks": lambda _: bytes(closed.state.secrets.resumption_psk)}
    welcome = welcome_of(succeed(closed.state, closed.heirs[0], closed.heirs))
    closed.refuse("WL-04", welcome, closed.heirs[1], predecessors=[], **everything)
    welcome = welcome_of(branch(opened.state, opened.heirs[0], opened.heirs))
    opened.refuse("WL-04", welcome, opened.heirs[1], predecessors=[], **everything)


@pytest.mark.breaks("WL-05")
@pytest.mark.parametrize("usage", [ResumptionPSKUsage.REINIT, ResumptionPSKUsage.BRANCH])
def test_a_group_continues_one_group_at_most(closed: Closed, usage: ResumptionPSKUsage) -> None:
    staged = succeed(closed.state, closed.heirs[0], closed.heirs)
    (link,) = staged.applied.psk_ids
    epoch = closed.state.public.context.epoch
    other = PreSharedKeyID(ResumptionPSK(usage, GROUP_ID, epoch), bytes(32))
    psk = closed.state.secrets.resumption_psk

    def both(secrets: GroupSecrets) -> GroupSecrets:
        return replace(secrets, psks=(link, other))

    heir = closed.heirs[1]
    welcome = forged(heir, closed.heirs[0], staged, closed.state, alter_secrets=both, psks=[(link, psk), (other, psk)])
    closed.refuse("WL-05", welcome, heir)


@pytest.mark.breaks("RB-13", "PSK-07")
@pytest.mark.parametrize("usage", [ResumptionPSKUsage.REINIT, ResumptionPSKUsage.BRANCH])
def test_a_link_is_injected_by_founders_only(room: Room, usage: ResumptionPSKUsage) -> None:
    alice, bob, *_ = room.members
    context = room.follower.context
    link = PreSharedKey(PreSharedKeyID(ResumptionPSK(usage, context.group_id, context.epoch), bytes(32)))
    key = alice.state.secrets.resumption_psk
    with refusing("RB-13", alice):
        alice.propose(link)
    with refusing("RB-13", bob):
        bob.receive(forge_message(alice, link))
    everything: dict[str, Any] = {"psks": lambda _: key}
    forced: tuple[dict[str, Any], ...] = ({}, {"link": link.psk})
    for options in forced:
        with refusing("PSK-07", alice):
            alice.stage(link, **everything, **options)
    with refusing("PSK-07", bob):
        bob.receive(forge_commit(alice, link, psks=[(link.psk, key)]), **everything)


@pytest.mark.breaks("PSK-07")
def test_a_founders_first_commit_holds_one_link_only(opened: Open) -> None:
    alice = opened.heirs[0]
    alice.create(b"branch")
    context = opened.state.public.context
    one, other = (
        PreSharedKeyID(ResumptionPSK(ResumptionPSKUsage.BRANCH, context.group_id, context.epoch), bytes((number,)) * 32)
        for number in (1, 2)
    )
    with refusing("PSK-07", alice):
        alice.stage(PreSharedKey(one), PreSharedKey(other), psks=lambda _: b"key", link=one)


@pytest.mark.breaks("WL-09", "RB-14")
def test_a_new_group_has_an_id_of_its_own(opened: Open, rng: random.Random) -> None:
    founder, bob, _ = opened.heirs
    with refusing("WL-09", opened.members[0]):
        branch(opened.state, founder, opened.heirs, GROUP_ID)
    welcome = welcome_of(branch(opened.state, founder, opened.heirs))
    opened.refuse("WL-09", welcome, bob, open_groups={b"branch"})
    # A founder that does not care.
    public = opened.state.public
    staged = branch(opened.state, founder, opened.heirs)
    bold = forged(
        bob, founder, staged, opened.state, alter_context=lambda context: replace(context, group_id=public.context.group_id)
    )
    opened.refuse("WL-09", bold, bob)
    stranger, newcomer = parties(SUITE, "sn", rng)
    stranger.create(GROUP_ID)
    plain = stranger.stage(Add(newcomer.key_package()))
    with refusing("WL-09"):
        newcomer.join(welcome_of(plain), open_groups={GROUP_ID})
    newcomer.join(welcome_of(plain), open_groups={b"another"})


@pytest.mark.breaks("WL-09")
def test_a_successors_id_is_taken_where_it_is_that_of_a_third_group(closed: Closed) -> None:
    welcome = welcome_of(succeed(closed.state, closed.heirs[0], closed.heirs))
    closed.refuse("WL-09", welcome, closed.heirs[1], open_groups={b"successor"})


def test_a_group_is_checked_against_its_predecessor_by_anybody_who_follows_both(opened: Open) -> None:
    staged = branch(opened.state, opened.heirs[0], opened.heirs)
    check_successor(OpenPolicy(), opened.state, staged.state.public)
