"""Which of the proposals that wait a commit holds (RFC 9420, Sections 12.2 and 12.4)."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from dmls.errors import InvalidProposalError
from dmls.ids import LeafIndex
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.group.external_proposal import append_external_sender, propose_as_external_sender, propose_own_addition
from dmls.mls.group.follower import PublicGroup
from dmls.mls.group.policy import OpenPolicy
from dmls.mls.group.psks import PSKKeeper, name_psk
from dmls.mls.group.selection import select_proposals
from dmls.mls.limits import Limits
from dmls.mls.messages.commit import ProposalReference
from dmls.mls.messages.extensions import Extension, ExternalSender, RequiredCapabilities, make_extension
from dmls.mls.messages.leaf_node import Lifetime
from dmls.mls.messages.proposal import (
    Add,
    ExternalInit,
    GroupContextExtensions,
    PreSharedKey,
    ProposalBody,
    ReInit,
    Remove,
)
from dmls.mls.messages.psk import ExternalPSK, PreSharedKeyID
from dmls.mls.messages.registry import ExtensionType
from tests.support.forge import forge_key_package, forge_message
from tests.support.groups import Party, Room, fresh_update, parties, refusing, room_of
from tests.support.refusals import spoilt_update

SUITE = cipher_suite(1)
REQUIRED = GroupContextExtensions((make_extension(ExtensionType.REQUIRED_CAPABILITIES, RequiredCapabilities((), (), (1,))),))
PSK = PreSharedKey(PreSharedKeyID(ExternalPSK(b"name"), bytes(range(32))))


def select(party: Party, **options: Any) -> tuple[ProposalReference, ...]:
    """What a member would commit; a commit of it can be made."""
    chosen = select_proposals(party.state.public, party.leaf, **options)
    known: dict[str, Any] = {"psks": lambda _: b"key"}
    party.stage(*chosen, **{**known, **options})
    return chosen


def hear(room: Room, sender: Party, body: ProposalBody) -> ProposalReference:
    """Let everybody remember a proposal that a careful sender would not make."""
    message = forge_message(sender, body)
    before = set(sender.state.public.proposals)
    for party in room.members:
        party.receive(message)
    (ref,) = set(sender.state.public.proposals) - before
    return ProposalReference(ref)


@pytest.mark.keeps("PL-18")
def test_all_that_is_valid_is_committed_in_the_order_in_which_it_came(rng: random.Random) -> None:
    room, (alice, bob, carol, dan) = room_of(rng)
    newcomer, asking = parties(SUITE, "na", rng)
    addition = propose_own_addition(room.follower.context, asking.key_package(), asking.client.signature_private_key)
    waiting = [
        room.propose(bob, PSK),
        room.propose(bob, Add(newcomer.key_package())),
        room.propose(carol, fresh_update(carol)),
        room.hear(addition),
        room.propose(alice, Remove(dan.leaf)),
        room.propose(alice, REQUIRED),
    ]
    chosen = select(alice)
    assert list(chosen) == waiting
    known: dict[str, Any] = {"psks": lambda _: b"key"}
    committed = room.commit(
        alice, *chosen, joiners=[newcomer, asking], leavers=[dan], process_options=known, join_options=known, **known
    )
    assert len(committed.applied.added) == 2
    room.talk()


def test_where_nothing_waits_nothing_is_chosen(room: Room) -> None:
    assert select(room.members[0]) == ()


@pytest.mark.keeps("PL-05")
def test_a_remove_goes_before_updates_and_the_latest_update_before_earlier_ones(room: Room) -> None:
    alice, bob, carol, dan = room.members
    room.propose(bob, fresh_update(bob))
    room.propose(carol, fresh_update(carol))
    latest = room.propose(carol, fresh_update(carol))
    removal = room.propose(dan, Remove(bob.leaf))
    room.propose(carol, Remove(bob.leaf))
    room.propose(bob, fresh_update(bob))
    assert select(alice) == (latest, removal)
    # The one who is removed cannot commit that, but all else.
    assert select(bob) == (latest,)


@pytest.mark.keeps("PL-05")
def test_the_order_of_arrival_outlives_a_restart(room: Room) -> None:
    alice, bob, *_ = room.members
    updates = [room.propose(bob, fresh_update(bob)) for _ in range(5)]
    room.settle()
    again = room.propose(bob, fresh_update(bob))
    assert select(alice) == (again,)
    assert [alice.state.public.proposals[entry.reference].arrival for entry in (*updates, again)] == [0, 1, 2, 3, 4, 5]  # type: ignore[index]


@pytest.mark.breaks("PL-02", "PL-03")
def test_a_committer_neither_updates_nor_removes_itself(room: Room) -> None:
    alice, bob, *_ = room.members
    update = room.propose(alice, fresh_update(alice))
    removal = room.propose(bob, Remove(alice.leaf))
    assert select(alice) == ()
    assert select(bob) == (removal,)
    room.commit(bob, removal, leavers=[alice])
    assert update != removal


@pytest.mark.keeps("PL-11")
def test_a_reinit_waits_until_nothing_else_does(room: Room, newcomer: Party) -> None:
    alice, bob, *_ = room.members
    closing = room.propose(bob, ReInit(b"s", 1, 1, ()))
    room.propose(bob, ReInit(b"t", 1, 1, ()))
    assert select(alice) == (closing,)
    addition = room.propose(bob, Add(newcomer.key_package(Lifetime(0, 10))))
    assert select(alice, now=10) == (addition,)
    # What cannot be committed does not hold it up.
    assert select(alice, now=11) == (closing,)


def test_a_reinit_that_is_invalid_is_not_chosen_and_one_that_waits_behind_it_is(room: Room) -> None:
    alice, bob, *_ = room.members
    room.propose(bob, ReInit(b"s", 0, 1, ()))
    closing = room.propose(bob, ReInit(b"s", 1, 1, ()))
    assert select(alice) == (closing,)


@pytest.mark.breaks("PL-01")
def test_what_is_invalid_is_left_out(room: Room, rng: random.Random) -> None:
    alice, bob, carol, _ = room.members
    good, twin, late, spoilt, foreign, shared = parties(SUITE, ["good", "twin", "late", "spoilt", "foreign", "shared"], rng)
    twin.client = good.client
    first = room.propose(bob, Add(good.key_package()))
    hear(room, bob, Add(twin.key_package()))
    hear(room, bob, Add(late.key_package(Lifetime(0, 1))))
    hear(room, bob, Add(replace(spoilt.key_package(), signature=bytes(64))))
    hear(room, bob, Add(replace(foreign.key_package(), cipher_suite=3)))
    key = alice.state.public.tree.leaf(LeafIndex(2)).encryption_key  # type: ignore[union-attr]
    hear(room, bob, Add(forge_key_package(shared, alter_leaf=partial(replace, encryption_key=key))))
    hear(room, bob, Remove(LeafIndex(7)))
    hear(room, bob, Add(bob.key_package()))
    hear(room, carol, spoilt_update(carol, lambda leaf: replace(leaf, encryption_key=b"")))
    hear(room, bob, GroupContextExtensions((Extension(0xF123, b""),)))
    hear(room, bob, ExternalInit(bytes(32)))
    hear(room, bob, PreSharedKey(replace(PSK.psk, psk_nonce=bytes(31))))
    last = room.propose(carol, PSK)
    assert select(alice, now=10**6) == (first, last)
    room.commit(alice, first, joiners=[good])


def test_a_pre_shared_key_that_is_not_known_is_left_out(room: Room, rng: random.Random) -> None:
    alice, bob, *_ = room.members
    keeper = PSKKeeper().add_external(b"known", b"key")
    known, unknown = (
        room.propose(bob, PreSharedKey(name_psk(SUITE, ExternalPSK(name), rng.randbytes))) for name in (b"known", b"unknown")
    )
    assert select(alice, psks=keeper) == (known,)
    assert select(alice) == (known, unknown)


@pytest.mark.keeps("PL-07")
def test_what_is_valid_together_only_is_chosen_together(room: Room, rng: random.Random) -> None:
    alice, bob, carol, _ = room.members
    again = Party(SUITE, "bob", rng.randbytes)
    again.client = bob.client
    back = room.propose(alice, Add(again.key_package()))
    removal = room.propose(carol, Remove(bob.leaf))
    bad = hear(room, carol, Remove(LeafIndex(9)))
    assert select(alice) == (back, removal)
    assert bad not in select(alice)
    room.commit(alice, *select(alice), joiners=[again], leavers=[bob])


def test_the_latest_extensions_win_and_the_first_addition(room: Room, newcomer: Party) -> None:
    alice, bob, *_ = room.members
    room.propose(bob, GroupContextExtensions(()))
    latest = room.propose(bob, REQUIRED)
    first = room.propose(bob, Add(newcomer.key_package()))
    room.propose(bob, Add(newcomer.key_package()))
    assert select(alice) == (latest, first)


def test_proposals_of_external_senders_are_chosen(room: Room, rng: random.Random) -> None:
    alice, bob, *_ = room.members
    (guard,) = parties(SUITE, "g", rng)
    sender = ExternalSender(guard.client.signature_key, guard.client.credential)
    room.commit(alice, append_external_sender((), sender))
    context, key = room.follower.context, guard.client.signature_private_key
    removal = room.hear(propose_as_external_sender(context, Remove(bob.leaf), key))
    room.hear(propose_as_external_sender(context, Remove(alice.leaf), key))
    assert select(alice) == (removal,)


class NoRemovals(OpenPolicy):
    """An application in which nobody is removed, and of other changes one is made at a time."""

    def check_proposals(self, group: PublicGroup, proposals: Any, committer: LeafIndex | None) -> None:
        if any(isinstance(item.body, Remove) for item in proposals) or len(proposals) > 1:
            raise InvalidProposalError("not here")


@pytest.mark.breaks("PL-17")
def test_what_the_application_refuses_is_left_out(room: Room) -> None:
    alice, bob, carol, dan = room.members
    removal = room.propose(bob, Remove(dan.leaf))
    one = room.propose(bob, fresh_update(bob))
    other = room.propose(carol, fresh_update(carol))
    assert select(alice, policy=NoRemovals()) == (other,)
    with refusing("PL-17", alice):
        alice.stage(removal, policy=NoRemovals())
    assert one != other


class Counting(OpenPolicy):
    """An application that counts what it is asked."""

    def __init__(self) -> None:
        self.judged = 0

    def check_proposals(self, group: PublicGroup, proposals: Any, committer: LeafIndex | None) -> None:
        self.judged += len(proposals)


def test_a_flood_of_proposals_that_do_not_fit_costs_no_more_than_it_should(room: Room) -> None:
    alice, bob, *_ = room.members
    for index in range(10, 70):
        hear(room, bob, Remove(index))
    wanted = [hear(room, bob, PreSharedKey(replace(PSK.psk, psk_nonce=number.to_bytes(32, "big")))) for number in range(150)]
    policy = Counting()
    assert select(alice, policy=policy) == tuple(wanted)
    # All at once, each by itself, and then no more than the effort that is made, but for the last list and the commit.
    assert policy.judged <= 210 + 210 + 4_096 + 8 * 210 + 210 + 150


@pytest.mark.breaks("PL-06", "PL-07")
def test_many_additions_of_one_client_leave_one(room: Room, rng: random.Random) -> None:
    alice, bob, *_ = room.members
    (spare,) = parties(SUITE, "s", rng)
    additions = []
    for number in range(20):
        twin = Party(SUITE, f"twin{number}", rng.randbytes)
        twin.client = spare.client if number % 2 else bob.client
        additions.append(hear(room, bob, Add(twin.key_package())))
    assert select(alice) == (additions[1],)
    assert select_proposals(alice.state.public, alice.leaf, Refusing()) == ()


class Refusing(OpenPolicy):
    """An application that allows nothing."""

    def check_proposals(self, group: PublicGroup, proposals: Any, committer: LeafIndex | None) -> None:
        raise InvalidProposalError("not here")


def test_a_commit_holds_no_more_than_the_limit(room: Room) -> None:
    alice, bob, *_ = room.members
    waiting = [room.propose(bob, PreSharedKey(replace(PSK.psk, psk_nonce=bytes([number]) * 32))) for number in range(5)]
    assert select(alice, limits=Limits(max_proposals=3)) == tuple(waiting[:3])


def test_every_member_chooses_the_same_from_the_same(room: Room, newcomer: Party) -> None:
    alice, bob, carol, dan = room.members
    room.propose(bob, Add(newcomer.key_package()))
    room.propose(carol, PSK)
    assert {select(party) for party in (alice, bob, carol, dan)} == {select(alice)}
