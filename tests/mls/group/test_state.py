"""How a group begins (RFC 9420, Section 11)."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial

import pytest

from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.group.follower import follow
from dmls.mls.group.leaf import default_capabilities
from dmls.mls.group.state import create_group
from dmls.mls.messages.extensions import Extension, ExternalSenders, RequiredCapabilities, make_extension
from dmls.mls.messages.proposal import GroupContextExtensions, ReInit
from dmls.mls.messages.registry import ExtensionType
from dmls.mls.schedule.transcript import interim_transcript_hash
from dmls.mls.tree.ratchet_tree import RatchetTree
from tests.support.breaches import APP
from tests.support.forge import forge_commit, forge_external_commit, sign_group_info
from tests.support.groups import ALWAYS, GROUP_ID, Party, Room, parties, refusing, room_of
from tests.support.refusals import refuse_commit

SUITE = cipher_suite(1)


@pytest.mark.keeps("GC-01", "GC-02", "TR-33")
@pytest.mark.parametrize("number", range(1, 8))
def test_a_group_begins_with_its_creator_alone(number: int, rng: random.Random) -> None:
    suite = cipher_suite(number)
    (alice,) = parties(suite, "a", rng)
    alice.create()
    public = alice.state.public
    assert (public.context.epoch, public.context.confirmed_transcript_hash, public.tree.width) == (0, b"", 1)
    assert public.context.tree_hash == public.tree.tree_hash
    assert public.interim_transcript_hash == interim_transcript_hash(suite, b"", public.confirmation_tag)
    assert len(public.confirmation_tag) == suite.hash_size
    (other,) = parties(suite, "a", rng)
    other.create()
    assert other.state.secrets.epoch_authenticator != alice.state.secrets.epoch_authenticator


@pytest.mark.breaks("GC-01")
def test_a_first_epoch_with_a_past_or_with_two_members_is_none(rng: random.Random) -> None:
    room, (alice, _) = room_of(rng, "ab")
    info = alice.group_info()
    first = sign_group_info(SUITE, replace(info, group_context=replace(info.group_context, epoch=0)), alice.client)
    assert first.group_context.confirmed_transcript_hash
    no_past = replace(first.group_context, confirmed_transcript_hash=b"")
    crowded = sign_group_info(SUITE, replace(first, group_context=no_past), alice.client)
    (carol,) = parties(SUITE, "c", rng)
    carol.create()
    alone = carol.group_info()
    begun = replace(alone.group_context, confirmed_transcript_hash=bytes(32))
    past = sign_group_info(SUITE, replace(alone, group_context=begun), carol.client)
    for spoilt, tree in ((first, room.follower.tree), (crowded, room.follower.tree), (past, carol.state.public.tree)):
        with refusing("GC-01"):
            follow(SUITE, spoilt, RatchetTree.decode(SUITE, tree.encode()))
    follow(SUITE, alone, carol.state.public.tree)


@pytest.mark.breaks("GC-02")
def test_whoever_lets_the_transcript_begin_empty_is_alone(rng: random.Random) -> None:
    """The interim hash of epoch 0 holds the epoch's tag, whatever the recursion's first line says."""
    room, (alice,) = room_of(rng, "a")
    outsider = Party(SUITE, "outsider", rng.randbytes)
    for interim in (b"", SUITE.hash(b""), interim_transcript_hash(SUITE, b"", b"")):
        message = forge_external_commit(outsider, replace(room.follower, interim_transcript_hash=interim), alice.group_info())
        with refusing("CP-10", alice):
            alice.receive(message)
    alice.process(forge_external_commit(outsider, room.follower, alice.group_info()))


# What the creator looks after


@pytest.mark.breaks("GC-03")
def test_nobody_is_talked_into_a_worse_cipher_suite(rng: random.Random) -> None:
    def packages(*offers: tuple[int, ...]) -> list[Party]:
        return [Party(SUITE, "x", rng.randbytes, capabilities=default_capabilities(listed)) for listed in offers]

    (creator,) = packages((1, 2, 3))
    create = partial(create_group, SUITE, GROUP_ID, creator.client, ALWAYS, rng.randbytes)
    both, first = packages((1, 3), (3, 2, 1, 0x0A0A)), packages((1, 3), (1,))
    with refusing("GC-03"):
        create(invitees=[party.key_package() for party in both], preferred_suites=(5, 3, 1))
    with refusing("GC-03"):
        create(preferred_suites=(2, 1))
    # One of the invitees cannot use the better one, or the creator cannot, or does not find it better.
    for invitees, preferred in ((first, (3, 1)), (both, (5, 2, 1)), (both, (1, 3)), (both, ())):
        create(invitees=[party.key_package() for party in invitees], preferred_suites=preferred)
    # Nor is there a group in a suite that an invitee does not use.
    (stranger,) = packages((1, 2))
    package = stranger.key_package()
    listed = replace(package.leaf_node.capabilities, cipher_suites=(2,))
    lacking = replace(package, leaf_node=replace(package.leaf_node, capabilities=listed))
    with refusing("GC-03"):
        create(invitees=[lacking])
    other_version = replace(package.leaf_node.capabilities, versions=(2,))
    with refusing("GC-03"):
        create(invitees=[replace(package, leaf_node=replace(package.leaf_node, capabilities=other_version))])


REQUIRED = make_extension(ExtensionType.REQUIRED_CAPABILITIES, RequiredCapabilities((APP,), (), ()))


@pytest.mark.breaks("GC-04")
@pytest.mark.parametrize(("refusal", "extension"), [("LN-04", Extension(APP, b"")), ("LN-03", REQUIRED)])
def test_a_creator_supports_its_own_group(refusal: str, extension: Extension, rng: random.Random) -> None:
    (lacking,), (capable,) = (
        parties(SUITE, "a", rng),
        parties(SUITE, "a", rng, default_capabilities((1,), extensions=(APP,))),
    )
    with refusing(refusal):
        lacking.create(extensions=(extension,))
    Room(capable, extensions=(extension,))


@pytest.mark.breaks("GC-07")
@pytest.mark.parametrize(
    ("refusal", "data"),
    [("ENC-04", bytes(2)), ("ENC-09", bytes(4)), ("ENC-07", b"\x01\x00\x00\x00"), ("ENC-02", b"\x40\x00\x00\x00")],
    ids=["cut", "trailing", "half a type", "long length"],
)
def test_required_capabilities_are_well_formed(refusal: str, data: bytes, rng: random.Random) -> None:
    (alice,) = parties(SUITE, "a", rng)
    with refusing(refusal):
        alice.create(extensions=(Extension(ExtensionType.REQUIRED_CAPABILITIES, data),))
    room = Room(alice)
    room.add(alice, *parties(SUITE, "b", rng))
    for proposal in (
        GroupContextExtensions((Extension(ExtensionType.REQUIRED_CAPABILITIES, data),)),
        ReInit(b"s", 1, 1, (Extension(ExtensionType.REQUIRED_CAPABILITIES, data),)),
    ):
        refuse_commit(room, forge_commit(alice, proposal), refusal)
    alice.create(extensions=(Extension(ExtensionType.REQUIRED_CAPABILITIES, bytes(3)),))


@pytest.mark.keeps("EX-15")
def test_a_group_may_have_an_empty_list_of_external_senders(rng: random.Random) -> None:
    room = Room(parties(SUITE, "a", rng)[0], extensions=(make_extension(ExtensionType.EXTERNAL_SENDERS, ExternalSenders(())),))
    room.add(room.members[0], *parties(SUITE, "b", rng))
