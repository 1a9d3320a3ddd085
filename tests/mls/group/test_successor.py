"""Successors of groups that a ReInit has closed (RFC 9420, Section 11.2)."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from dmls.errors import DecryptionError, NotAMemberError, StateError, UnsupportedError
from dmls.ids import LeafIndex
from dmls.mls.codec import decode
from dmls.mls.crypto.suites import CIPHER_SUITES, CipherSuite, cipher_suite
from dmls.mls.group.leaf import Client, default_capabilities
from dmls.mls.group.process import open_message, process_handshake
from dmls.mls.group.psks import PSKKeeper, name_psk
from dmls.mls.group.successor import create_successor
from dmls.mls.messages.credential import BasicCredential
from dmls.mls.messages.extensions import Extension
from dmls.mls.messages.group_context import GroupContext
from dmls.mls.messages.message import MLSMessage
from dmls.mls.messages.proposal import Add, PreSharedKey, Remove
from dmls.mls.messages.psk import ResumptionPSK, ResumptionPSKUsage
from dmls.mls.messages.registry import ExtensionType
from dmls.mls.messages.welcome import GroupSecrets
from tests.support.forge import forge_commit, forge_message
from tests.support.groups import ALWAYS, GROUP_ID, Room, parties, refusing, room_of
from tests.support.successors import (
    REQUIRED,
    SUITE,
    Closed,
    Open,
    agree,
    branch,
    deviating,
    forged,
    heirs_of,
    key_packages,
    reinit,
    succeed,
    welcome_of,
)

APP = 0xF123


# A group goes on in its successor


@pytest.mark.parametrize("old", [CIPHER_SUITES[0], CIPHER_SUITES[4]], ids=lambda suite: f"from{suite.id}")
@pytest.mark.parametrize("new", CIPHER_SUITES, ids=lambda suite: f"to{suite.id}")
@pytest.mark.keeps("RB-01", "RB-02", "RB-03", "RB-08", "RB-09", "WL-04")
def test_a_group_continues_with_another_suite(old: CipherSuite, new: CipherSuite, rng: random.Random) -> None:
    closed = Closed(rng, reinit(new, b"successor", (REQUIRED,)), old=old)
    founder = closed.heirs[1]
    staged = succeed(closed.members[1].state, founder, closed.heirs)
    closed.enter(staged, founder)
    context = founder.state.public.context
    assert (context.group_id, context.cipher_suite, context.extensions) == (b"successor", new.id, (REQUIRED,))
    assert context.epoch == 1
    (link,) = staged.applied.psk_ids
    assert len(link.psk_nonce) == new.hash_size
    assert link.source == ResumptionPSK(ResumptionPSKUsage.REINIT, GROUP_ID, closed.state.public.context.epoch)
    agree(closed.heirs)


@pytest.mark.parametrize("place", range(4))
@pytest.mark.keeps("RB-07", "CC-13")
def test_any_member_founds_the_successor(closed: Closed, place: int) -> None:
    founder = closed.heirs[place]
    closed.enter(succeed(closed.members[place].state, founder, closed.heirs), founder)
    agree(closed.heirs)


@pytest.mark.parametrize("options", [{"force_path": True}, {"welcome_with_tree": False}], ids=["path", "tree apart"])
def test_a_successor_comes_in_all_forms(closed: Closed, options: dict[str, Any]) -> None:
    founder = closed.heirs[0]
    staged = succeed(closed.state, founder, closed.heirs, **options)
    closed.enter(staged, founder, with_tree=options.get("welcome_with_tree", True))
    agree(closed.heirs)


def test_a_predecessor_may_come_from_the_store_and_without_its_message_secrets(closed: Closed) -> None:
    closed.room.settle()
    for member in closed.members:
        member.state = member.state.without_message_secrets()
    founder = closed.heirs[3]
    closed.enter(succeed(closed.members[3].state, founder, closed.heirs), founder)
    agree(closed.heirs)


def test_a_lone_member_continues_alone(rng: random.Random) -> None:
    room, (alice,) = room_of(rng, "a")
    room.commit(alice, reinit())
    (heir,) = heirs_of([alice], SUITE, rng)
    staged = succeed(alice.state, heir, [heir])
    assert staged.welcome is None
    assert heir.epoch == 1
    heir.enter(heir.stage())


def test_other_keys_may_be_injected_beside_the_link(closed: Closed, rng: random.Random) -> None:
    """A founder's further keys are named by proposals of its own; the first commit has none, the second does."""
    founder = closed.heirs[0]
    closed.enter(succeed(closed.state, founder, closed.heirs), founder)
    old = closed.state.public.context
    psk_id = name_psk(SUITE, ResumptionPSK(ResumptionPSKUsage.APPLICATION, old.group_id, old.epoch), rng.randbytes)
    staged = founder.stage(PreSharedKey(psk_id), psks=PSKKeeper().add_group(closed.state))
    for member, heir in zip(closed.members[1:], closed.heirs[1:], strict=True):
        heir.receive(staged.message, psks=PSKKeeper().add_group(member.state))
        assert heir.state.secrets.epoch_authenticator == staged.state.secrets.epoch_authenticator


@pytest.mark.keeps("RB-14", "WL-09")
def test_a_successor_may_keep_the_id_of_its_group(rng: random.Random) -> None:
    closed = Closed(rng, reinit(group_id=GROUP_ID))
    founder = closed.heirs[2]
    closed.enter(succeed(closed.members[2].state, founder, closed.heirs), founder, open_groups={GROUP_ID})
    agree(closed.heirs)


@pytest.mark.keeps("RB-01", "RB-05", "RB-07")
def test_groups_continue_through_many_generations(rng: random.Random) -> None:
    """Each group closes for one of another suite, or some of its members branch off: whoever founds it, and however."""
    members = parties(SUITE, "abcdef", rng)
    Room(members[0]).add(members[0], *members[1:])
    for generation in range(12):
        name, old, suite = f"generation {generation}".encode(), members, members[0].suite
        if rng.getrandbits(1) or len(members) == 2:
            suite = rng.choice(CIPHER_SUITES)
            closer = rng.choice(old)
            closing = closer.stage(reinit(suite, name))
            for party in old:
                party.enter(closing) if party is closer else party.receive(closing.message)
        else:
            old = rng.sample(members, len(members) - 1)
        members = heirs_of(old, suite, rng)
        place = rng.randrange(len(members))
        found = succeed if old[place].state.closed_by else partial(branch, group_id=name)
        options: dict[str, Any] = {"force_path": bool(rng.getrandbits(1)), "welcome_with_tree": bool(rng.getrandbits(1))}
        staged = found(old[place].state, members[place], members, **options)
        tree = None if options["welcome_with_tree"] else staged.state.public.tree.encode()
        for party, heir in zip(old, members, strict=True):
            if heir is not members[place]:
                heir.join(welcome_of(staged), tree, predecessors=[party.state], open_groups={GROUP_ID})
        agree(members)


# What a successor owes its group


@pytest.mark.breaks("RB-01")
@pytest.mark.parametrize("changes", [{"group_id": b"another"}, {"extensions": (REQUIRED,)}, {"extensions": ()}])
def test_a_successor_is_what_the_reinit_asked_for(rng: random.Random, changes: dict[str, Any]) -> None:
    had = () if changes.get("extensions") else (Extension(ExtensionType.EXTERNAL_SENDERS, b"\x00"),)
    closed = Closed(rng, reinit(extensions=had))
    closed.refuse("RB-01", welcome_of(deviating(closed, **changes)), closed.heirs[1])


@pytest.mark.breaks("RB-01")
def test_a_successor_has_the_suite_that_the_reinit_asked_for(rng: random.Random) -> None:
    closed = Closed(rng, reinit(cipher_suite(3)))
    closed.heirs = heirs_of(closed.members, SUITE, rng)
    closed.refuse("RB-01", welcome_of(deviating(closed, cipher_suite=1)), closed.heirs[1])


@pytest.mark.breaks("RB-01")
def test_a_successor_has_the_version_that_the_reinit_asked_for(closed: Closed) -> None:
    welcome = welcome_of(deviating(closed))
    later = replace(closed.members[1].state, closed_by=replace(closed.asked, version=2))
    closed.refuse("RB-01", welcome, closed.heirs[1], predecessors=[later])
    with pytest.raises(UnsupportedError):
        create_successor(later, closed.heirs[1].client, [], ALWAYS, closed.heirs[1].random)


@pytest.mark.breaks("RB-02")
@pytest.mark.parametrize("epoch", [2, 2**64 - 1])
def test_others_see_a_successor_first_at_epoch_1(closed: Closed, epoch: int) -> None:
    def alter(context: GroupContext) -> GroupContext:
        return replace(context, epoch=epoch)

    staged = succeed(closed.state, closed.heirs[0], closed.heirs)
    heir = closed.heirs[1]
    closed.refuse("RB-02", forged(heir, closed.heirs[0], staged, closed.state, alter_context=alter), heir)
    heir.join(forged(heir, closed.heirs[0], staged, closed.state), predecessors=[closed.members[1].state])


@pytest.mark.breaks("RB-03", "RB-16")
def test_a_successor_names_the_epoch_after_the_reinit(closed: Closed) -> None:
    too_early = replace(closed.before, closed_by=closed.asked)
    welcome = welcome_of(succeed(too_early, closed.heirs[0], closed.heirs))
    closed.refuse("RB-03", welcome, closed.heirs[1])


@pytest.mark.breaks("RB-03", "RB-16")
def test_a_successor_is_joined_after_the_reinit_was_processed_and_not_before(rng: random.Random) -> None:
    room, (alice, bob, *others) = room_of(rng)
    staged = alice.stage(reinit())
    alice.enter(staged)
    heirs = heirs_of([alice, bob, *others], SUITE, rng)
    welcome = welcome_of(succeed(alice.state, heirs[0], heirs))
    with refusing("RB-03", bob):
        heirs[1].join(welcome, predecessors=[bob.state])
    bob.receive(staged.message)
    heirs[1].join(welcome, predecessors=[bob.state])
    assert heirs[1].state.secrets.epoch_authenticator == heirs[0].state.secrets.epoch_authenticator
    assert room.follower.context.epoch == bob.epoch - 1


@pytest.mark.breaks("RB-03")
def test_a_group_that_names_no_predecessor_is_no_successor(closed: Closed, rng: random.Random) -> None:
    founder, heir, *_ = closed.heirs
    founder.create(b"successor")
    staged = founder.stage(*(Add(package) for package in key_packages(founder, closed.heirs)))
    closed.refuse("RB-03", welcome_of(staged), heir)
    # Whoever did not ask for a successor joins it as any group.
    heir.join(welcome_of(staged))


@pytest.mark.breaks("RB-03")
def test_a_closed_group_is_not_branched_from(closed: Closed) -> None:
    with pytest.raises(StateError):
        branch(closed.state, closed.heirs[0], closed.heirs)
    welcome = welcome_of(branch(replace(closed.state, closed_by=None), closed.heirs[0], closed.heirs))
    closed.refuse("RB-03", welcome, closed.heirs[1])


@pytest.mark.breaks("RB-04", "CC-13")
def test_only_a_closed_group_has_a_successor(opened: Open, rng: random.Random) -> None:
    heirs = heirs_of(opened.members, SUITE, rng)
    with refusing("CC-13", opened.members[0]):
        succeed(opened.state, heirs[0], heirs)
    welcome = welcome_of(succeed(replace(opened.state, closed_by=reinit()), heirs[0], heirs))
    bob = opened.members[1]
    with refusing("RB-04", bob):
        heirs[1].join(welcome, predecessors=[bob.state])


@pytest.mark.breaks("RB-05")
def test_everybody_is_in_the_successor(closed: Closed) -> None:
    founder, bob, carol, dan = closed.heirs
    with refusing("RB-05"):
        succeed(closed.state, founder, [founder, bob, carol])
    # A founder that forgot somebody.
    tree = closed.state.public.tree.remove_all([LeafIndex(3)])
    forgetful = replace(closed.state, public=replace(closed.state.public, tree=tree))
    closed.refuse("RB-05", welcome_of(succeed(forgetful, founder, [founder, bob, carol])), bob)
    # Somebody who comes twice is not somebody else.
    again = heirs_of([closed.members[2]], SUITE, random.Random(7))
    closed.refuse("RB-05", welcome_of(succeed(forgetful, founder, [founder, bob, carol, *again])), bob)
    assert not dan.bundles


@pytest.mark.breaks("RB-06")
def test_nothing_is_sent_in_a_closed_group(closed: Closed) -> None:
    alice, bob, *_ = closed.members
    deviant = alice
    deviant.state = replace(alice.state, closed_by=None)
    said, proposed, committed = deviant.send(b"text"), forge_message(deviant, Remove(LeafIndex(2))), deviant.stage().message
    for message in (said, proposed, committed, forge_commit(deviant)):
        with refusing("RB-06", bob):
            bob.receive(message)
    # What was opened before the group was closed is too late as well.
    content, _ = open_message(replace(bob.state, closed_by=None), decode(MLSMessage, committed))
    with refusing("RB-06", bob):
        process_handshake(bob.state, content, bob.ring.keys)


@pytest.mark.breaks("SQ-02", "CP-12")
def test_a_member_of_a_closed_group_sends_nothing(closed: Closed) -> None:
    alice = closed.members[0]
    for send in (lambda: alice.send(b"x"), lambda: alice.propose(Remove(LeafIndex(1))), alice.stage):
        with refusing("CP-12", alice):
            send()


@pytest.mark.breaks("RB-07")
def test_somebody_who_was_no_member_founds_no_successor(closed: Closed) -> None:
    founder = closed.heirs[0]
    with pytest.raises(NotAMemberError, match="RB-07"):
        succeed(replace(closed.state, own_leaves=frozenset()), founder, closed.heirs)
    # All of the group is public but its keys.
    guess = replace(closed.state, secrets=replace(closed.state.secrets, resumption_psk=closed.before.secrets.resumption_psk))
    with pytest.raises(DecryptionError):
        closed.heirs[1].join(welcome_of(succeed(guess, founder, closed.heirs)), predecessors=[closed.members[1].state])


@pytest.mark.breaks("RB-08")
def test_the_nonce_of_the_link_is_as_long_as_the_new_suite_wants_it(rng: random.Random) -> None:
    closed = Closed(rng, reinit(cipher_suite(5)))
    founder, heir, *_ = closed.heirs
    staged = succeed(closed.state, founder, closed.heirs)

    def shorten(secrets: GroupSecrets) -> GroupSecrets:
        return replace(secrets, psks=tuple(replace(psk, psk_nonce=psk.psk_nonce[:32]) for psk in secrets.psks))

    closed.refuse("WL-06", forged(heir, founder, staged, closed.state, alter_secrets=shorten), heir)


@pytest.mark.breaks("RB-09", "KP-01")
def test_keys_of_the_old_suite_do_not_serve_in_the_new_one(rng: random.Random) -> None:
    closed = Closed(rng, reinit(cipher_suite(2)))
    founder, *_ = closed.heirs
    with refusing("RB-09", closed.members[0]):
        create_successor(closed.state, closed.members[0].client, [], ALWAYS, founder.random)
    old = [member.key_package() for member in closed.members[1:]]
    with refusing("KP-01"):
        create_successor(closed.state, founder.client, old, ALWAYS, founder.random)


@pytest.mark.breaks("RB-15")
def test_everybody_supports_what_the_reinit_asks_for(rng: random.Random) -> None:
    closed = Closed(rng, reinit(extensions=(Extension(APP, b""),)))
    founder, bob, carol, dan = closed.heirs
    with refusing("LN-04"):
        succeed(closed.state, founder, closed.heirs)
    capable = default_capabilities((1,), extensions=(APP,))
    for heir in (founder, bob, carol):
        heir.client = replace(heir.client, capabilities=capable)
    with refusing("LN-04"):
        succeed(closed.state, founder, closed.heirs)
    dan.client = replace(dan.client, capabilities=capable)
    for heir in closed.heirs:
        heir.bundles.clear()
    closed.enter(succeed(closed.state, founder, closed.heirs), founder)
    agree(closed.heirs)


@pytest.mark.breaks("RB-15")
def test_who_does_not_support_a_successor_does_not_join_it(rng: random.Random) -> None:
    closed = Closed(rng, reinit(extensions=(Extension(APP, b""),)))
    staged = deviating(closed, extensions=())
    heir = closed.heirs[1]
    welcome = forged(
        heir,
        closed.heirs[0],
        staged,
        closed.state,
        alter_context=lambda context: replace(context, extensions=(Extension(APP, b""),)),
    )
    closed.refuse("LN-04", welcome, heir)


def test_a_founder_who_cannot_sign_for_its_leaf_founds_nothing(closed: Closed, rng: random.Random) -> None:
    client = closed.heirs[0].client
    other = Client.create(SUITE, BasicCredential(b"a"), rng.randbytes)
    muddled = replace(client, signature_private_key=other.signature_private_key)
    welcome = create_successor(closed.state, muddled, key_packages(closed.heirs[0], closed.heirs), ALWAYS, rng.randbytes)
    closed.refuse("WL-08", welcome_of(welcome), closed.heirs[1])
