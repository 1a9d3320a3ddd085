"""Leaves that break one rule are refused wherever they come from: key package, Update, path, external commit or tree."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial

import pytest

from dmls.ids import LeafIndex
from dmls.mls.codec import decode
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.group.follower import follow
from dmls.mls.group.leaf import Client, create_key_package
from dmls.mls.group.state import create_group
from dmls.mls.group.validation import check_key_package
from dmls.mls.limits import Limits
from dmls.mls.messages.commit import Commit, UpdatePath
from dmls.mls.messages.extensions import Extension
from dmls.mls.messages.key_package import KeyPackage
from dmls.mls.messages.key_package import encode_tbs as encode_package_tbs
from dmls.mls.messages.leaf_node import CommitSource, LeafNode, Lifetime, UpdateSource
from dmls.mls.messages.leaf_node import encode_tbs as encode_leaf_tbs
from dmls.mls.messages.message import ApplicationData, MLSMessage, PublicMessage, encode_message
from dmls.mls.messages.proposal import Add, Remove, Update
from dmls.mls.messages.registry import DEFAULT_EXTENSION_TYPES, DEFAULT_PROPOSAL_TYPES, WireFormat
from tests.support.breaches import APP, APP_PROPOSAL, BREACHES, HARMLESS, Breach, keyed, registered, same
from tests.support.forge import (
    forge_commit,
    forge_external_commit,
    forge_key_package,
    forge_message,
    sign_group_info,
    sign_leaf,
)
from tests.support.groups import ALWAYS, Party, Room, fresh_update, parties, refusing, room_of
from tests.support.refusals import refuse_commit, refuse_update, spoilt_update

SUITE = cipher_suite(1)
BY_BREACH = pytest.mark.parametrize(("rule", "breach"), [pytest.param(*BREACHES[name], id=name) for name in BREACHES])
BY_HARMLESS = pytest.mark.parametrize("alteration", list(HARMLESS.values()), ids=list(HARMLESS))


# Key packages


@pytest.mark.breaks("KP-02")
@BY_BREACH
def test_a_key_package_with_such_a_leaf_is_refused(room: Room, newcomer: Party, rule: str, breach: Breach) -> None:
    package = forge_key_package(newcomer, alter_leaf=breach)
    with refusing(rule):
        check_key_package(SUITE, package)
    with refusing(rule, room.members[0]):
        room.members[0].stage(Add(package))
    refuse_commit(room, forge_commit(room.members[0], Add(package)), rule)


@pytest.mark.keeps("LN-09", "EX-02")
@BY_HARMLESS
def test_a_key_package_with_such_a_leaf_is_accepted(room: Room, newcomer: Party, alteration: Breach) -> None:
    message = forge_commit(room.members[0], Add(forge_key_package(newcomer, alter_leaf=alteration)))
    for party in room.members[1:]:
        party.receive(message)
        assert party.state.public.tree.member_count == 5


@pytest.mark.parametrize(
    ("rule", "source"), [("LN-15", UpdateSource()), ("LN-15", CommitSource(b"")), ("LN-14", Lifetime(2, 1))], ids=repr
)
def test_a_key_package_with_another_source_is_refused(room: Room, newcomer: Party, rule: str, source: UpdateSource) -> None:
    package = forge_key_package(newcomer, alter_leaf=lambda leaf: replace(leaf, source=source))
    refuse_commit(room, forge_commit(room.members[0], Add(package)), rule)


@pytest.mark.breaks("LN-25")
def test_a_key_package_with_an_unsound_signature_key_is_refused(room: Room, newcomer: Party) -> None:
    for key in (b"", newcomer.client.signature_key + b"\x00", bytes(32)):
        package = forge_key_package(newcomer, alter_leaf=keyed(signature_key=key))
        refuse_commit(room, forge_commit(room.members[0], Add(package)), "LN-25")


@pytest.mark.breaks("LN-25", "KP-06")
@pytest.mark.parametrize("number", [2, 5, 7])
def test_nist_keys_must_be_uncompressed_points_on_the_curve(number: int, rng: random.Random) -> None:
    suite = cipher_suite(number)
    room, (alice, bob) = room_of(rng, "ab", suite)
    newcomer = Party(suite, "newcomer", rng.randbytes)

    def compressed(key: bytes) -> bytes:
        half = (len(key) - 1) // 2
        return bytes((2 + (key[-1] & 1),)) + key[1 : 1 + half]

    def moved(key: bytes) -> bytes:
        return key[:-1] + bytes((key[-1] ^ 1,))

    key = newcomer.key_package().init_key
    for spoilt in (compressed(key), moved(key), b"\x04" + bytes(len(key) - 1), key[1:]):
        with refusing("LN-25", bob):
            bob.receive(forge_commit(alice, Add(forge_key_package(newcomer, alter_leaf=keyed(encryption_key=spoilt)))))
        package = forge_key_package(newcomer, partial(replace, init_key=spoilt))
        with refusing("KP-06", bob):
            bob.receive(forge_commit(alice, Add(package)))
    assert room.follower.tree.member_count == 2


@pytest.mark.breaks("LN-02", "KP-03")
def test_signatures_of_key_packages_and_of_their_leaves_are_checked(room: Room, newcomer: Party, rng: random.Random) -> None:
    alice = room.members[0]
    made, other = newcomer.key_package(), Party(SUITE, "other", rng.randbytes)
    # A leaf that somebody else signed, in a package that its owner signed.
    stolen = forge_key_package(newcomer, lambda made: replace(made, leaf_node=sign_leaf(SUITE, made.leaf_node, other.client)))
    refuse_commit(room, forge_commit(alice, Add(stolen)), "LN-02")
    for spoilt in (
        replace(made, init_key=other.key_package().init_key),
        replace(made, signature=b""),
        replace(made, signature=made.signature[:-1]),
        replace(made, extensions=(Extension(APP, b""),)),
    ):
        refuse_commit(room, forge_commit(alice, Add(spoilt)), "KP-03")


@pytest.mark.breaks("ENC-13", "LN-09", "LN-02")
def test_unknown_capabilities_are_kept_as_they_came(room: Room, newcomer: Party) -> None:
    """Whoever leaves out what it does not know has another leaf in its tree, which its owner never signed."""
    alice = room.members[0]
    package = forge_key_package(newcomer, alter_leaf=HARMLESS["GREASE everywhere"])
    listed = package.leaf_node.capabilities
    for changes in (
        {"versions": (1,)},
        {"cipher_suites": (1,)},
        {"extensions": ()},
        {"proposals": ()},
        {"credentials": (1,)},
        {"extensions": listed.extensions[::-1]},
    ):
        leaf = replace(package.leaf_node, capabilities=replace(listed, **changes))
        refuse_commit(room, forge_commit(alice, Add(replace(package, leaf_node=leaf))), "LN-02")
    room.members[1].process(forge_commit(alice, Add(package)))


@pytest.mark.breaks("KP-08", "KP-03")
def test_unknown_extensions_of_a_key_package_are_kept_as_they_came(room: Room, newcomer: Party) -> None:
    alice = room.members[0]
    extensions = (Extension(0x0A0A, b"grease"), Extension(APP, b""))
    package = forge_key_package(newcomer, partial(replace, extensions=extensions))
    for kept in ((), extensions[:1], extensions[::-1]):
        refuse_commit(room, forge_commit(alice, Add(replace(package, extensions=kept))), "KP-03")
    room.members[1].process(forge_commit(alice, Add(package)))


@pytest.mark.breaks("EX-14", "LN-02", "KP-03")
@pytest.mark.parametrize(
    "label",
    ["LeafNodeTBS", "KeyPackageTBS", "GroupInfoTBS", "FramedContentTBS", "", "LeafNode", "KeyPackage", "MLS 1.0 LeafNodeTBS"],
)
def test_what_is_signed_under_another_label_is_not_signed(room: Room, newcomer: Party, label: str) -> None:
    alice, bob, *_ = room.members
    made, key = newcomer.key_package(), newcomer.client.signature_private_key

    def sign(used: str, content: bytes) -> bytes:
        return SUITE.sign_with_label(key, used, content)

    unsigned = encode_leaf_tbs(made.leaf_node, b"", LeafIndex(0))
    leaf = replace(made.leaf_node, signature=sign(label, unsigned))
    package = forge_key_package(newcomer, partial(replace, leaf_node=leaf, init_key=made.init_key))
    if label == "LeafNodeTBS":
        bob.process(forge_commit(alice, Add(package)))
    else:
        refuse_commit(room, forge_commit(alice, Add(package)), "LN-02")
    package = replace(made, signature=sign(label, encode_package_tbs(made)))
    if label == "KeyPackageTBS":
        bob.process(forge_commit(alice, Add(package)))
    else:
        refuse_commit(room, forge_commit(alice, Add(package)), "KP-03")


@pytest.mark.breaks("KP-05")
def test_a_key_package_is_of_the_version_of_its_message(newcomer: Party) -> None:
    package = forge_key_package(newcomer, partial(replace, version=2))
    for version, expected in ((b"\x00\x02", "ENC-11"), (b"\x00\x01", "KP-01")):
        with refusing(expected):
            body = decode(MLSMessage, version + encode_message(package)[2:]).body
            assert isinstance(body, KeyPackage)
            check_key_package(SUITE, body)


@pytest.mark.breaks("LN-12")
@pytest.mark.parametrize(
    ("now", "rule", "creating"),
    [
        (999 - 3600, "LN-13", "LN-12"),
        (1000 - 3600, None, None),
        (1000, None, None),
        (2000, None, None),
        (2001, None, "LN-12"),
        (2000 + 3600, None, "LN-12"),
        (2001 + 3600, "LN-13", "LN-12"),
    ],
)
def test_lifetimes_of_added_leaves(room: Room, newcomer: Party, now: int, rule: str | None, creating: str | None) -> None:
    """Receivers allow for clocks that differ; who adds sees the end for itself."""
    package = newcomer.key_package(Lifetime(1000, 2000))
    alice, bob, *_ = room.members
    message = forge_commit(alice, Add(package))
    if rule is None:
        assert bob.process(message, now=now).state.public.tree.member_count == 5
    else:
        refuse_commit(room, message, rule, now=now)
    if creating is None:
        alice.stage(Add(package), now=now)
    else:
        with refusing(creating, alice):
            alice.stage(Add(package), now=now)
    assert bob.process(message).state.public.tree.member_count == 5


@pytest.mark.breaks("LN-14")
def test_lifetimes_that_are_too_long_are_refused(room: Room, newcomer: Party) -> None:
    limits = Limits(max_lifetime=1000)
    alice, bob, *_ = room.members
    for lifetime, is_good in ((Lifetime(5, 1005), True), (Lifetime(5, 1006), False), (ALWAYS, False)):
        message = forge_commit(alice, Add(newcomer.key_package(lifetime)))
        if is_good:
            bob.process(message, limits=limits)
        else:
            refuse_commit(room, message, "LN-14", limits=limits)


# Updates


@BY_BREACH
def test_an_update_with_such_a_leaf_is_refused(room: Room, rule: str, breach: Breach) -> None:
    refuse_update(room, spoilt_update(room.members[1], breach), rule)


@pytest.mark.keeps("LN-09", "EX-02")
@BY_HARMLESS
def test_an_update_with_such_a_leaf_is_accepted(room: Room, alteration: Breach) -> None:
    alice, bob, *others = room.members
    reference = room.propose(bob, spoilt_update(bob, alteration))
    message = forge_commit(alice, reference)
    for party in (bob, *others):
        party.receive(message)


@pytest.mark.breaks("LN-02")
def test_an_update_is_signed_for_its_group_and_place(room: Room) -> None:
    bob = room.members[1]
    refuse_update(room, spoilt_update(bob, same, group_id=b"another group"), "LN-02")
    refuse_update(room, spoilt_update(bob, same, index=2), "LN-02")


@pytest.mark.breaks("LN-16", "LN-18")
def test_an_update_has_its_source_and_a_fresh_key(room: Room) -> None:
    bob = room.members[1]
    old = room.follower.tree.leaf(bob.leaf)
    assert old is not None
    refuse_update(room, spoilt_update(bob, lambda leaf: replace(leaf, source=ALWAYS)), "LN-16")
    refuse_update(room, spoilt_update(bob, lambda leaf: replace(leaf, source=CommitSource(b""))), "LN-16")
    refuse_update(room, spoilt_update(bob, keyed(encryption_key=old.encryption_key)), "LN-18")


@pytest.mark.breaks("LN-20", "LN-21")
def test_an_update_takes_nobodys_keys(room: Room, newcomer: Party) -> None:
    alice, bob, carol, dan = room.members
    room.commit(dan)
    others = room.follower.tree.leaf(carol.leaf)
    parent = room.follower.tree.parent(room.follower.tree.filtered_direct_path(dan.leaf)[0])
    assert others is not None
    assert parent is not None
    for key in (others.encryption_key, parent.encryption_key):
        refuse_update(room, spoilt_update(bob, keyed(encryption_key=key)), "LN-21")
    own, bob.client = bob.client, carol.client
    update = spoilt_update(bob, same)
    bob.client = own
    refuse_update(room, update, "LN-20")
    # Two leaves of one list may not share a key either.
    reference = room.propose(bob, fresh_update(bob))
    taken = alice.state.public.proposals[reference.reference].body  # type: ignore[index]
    assert isinstance(taken, Update)
    package = forge_key_package(newcomer, alter_leaf=keyed(encryption_key=taken.leaf_node.encryption_key))
    refuse_commit(room, forge_commit(alice, reference, Add(package)), "LN-21")


@pytest.mark.breaks("LN-20")
def test_an_update_and_an_addition_bring_two_signature_keys(room: Room, newcomer: Party) -> None:
    alice, bob, *_ = room.members
    own, bob.client = bob.client, newcomer.client
    update = fresh_update(bob)
    bob.client = own
    reference = room.propose(bob, update)
    addition = Add(newcomer.key_package())
    with refusing("LN-20", alice):
        alice.stage(reference, addition)
    refuse_commit(room, forge_commit(alice, reference, addition), "LN-20")
    alice.stage(reference)


@pytest.mark.breaks("LN-22", "LN-20")
def test_a_key_is_free_only_where_its_holder_gives_it_up_in_the_same_commit(room: Room) -> None:
    alice, bob, carol, _ = room.members
    bobs, carols = bob.client, carol.client
    bob.client = carols
    taken = fresh_update(bob)
    bob.client = bobs
    takes = room.propose(bob, taken)
    keeps = room.propose(carol, fresh_update(carol))
    carol.client = bobs
    swapped = fresh_update(carol)
    carol.client = carols
    swaps = room.propose(carol, swapped)
    leaves = room.propose(alice, Remove(carol.leaf))
    for proposals in ([takes], [takes, keeps]):
        with refusing("LN-20", alice):
            alice.stage(*proposals)
        refuse_commit(room, forge_commit(alice, *proposals), "LN-20")
    for proposals in ([takes, swaps], [takes, leaves], [keeps]):
        alice.stage(*proposals)


# Paths


@BY_BREACH
def test_a_path_with_such_a_leaf_is_refused(room: Room, rule: str, breach: Breach) -> None:
    refuse_commit(room, forge_commit(room.members[0], alter_leaf=breach), rule)


@pytest.mark.keeps("LN-09", "EX-02")
@BY_HARMLESS
def test_a_path_with_such_a_leaf_is_accepted(room: Room, alteration: Breach) -> None:
    message = forge_commit(room.members[0], alter_leaf=alteration)
    for party in room.members[1:]:
        party.receive(message)


@BY_BREACH
def test_an_external_commit_with_such_a_leaf_is_refused(room: Room, newcomer: Party, rule: str, breach: Breach) -> None:
    info = room.members[0].group_info()
    refuse_commit(room, forge_external_commit(newcomer, room.follower, info, alter_leaf=breach), rule)


@pytest.mark.keeps("LN-09", "EX-02")
@BY_HARMLESS
def test_an_external_commit_with_such_a_leaf_is_accepted(room: Room, newcomer: Party, alteration: Breach) -> None:
    message = forge_external_commit(newcomer, room.follower, room.members[0].group_info(), alter_leaf=alteration)
    for party in room.members:
        party.receive(message)


@pytest.mark.breaks("LN-17")
@pytest.mark.parametrize("source", [ALWAYS, UpdateSource()], ids=repr)
def test_a_path_has_its_source(room: Room, newcomer: Party, source: UpdateSource) -> None:
    def breach(leaf: LeafNode) -> LeafNode:
        return replace(leaf, source=source)

    refuse_commit(room, forge_commit(room.members[0], alter_leaf=breach), "LN-17")
    info = room.members[0].group_info()
    refuse_commit(room, forge_external_commit(newcomer, room.follower, info, alter_leaf=breach), "LN-17")


@pytest.mark.breaks("LN-19", "UP-02", "UP-11")
def test_a_path_needs_a_fresh_encryption_key(room: Room) -> None:
    alice, bob, *_ = room.members
    own, other = room.follower.tree.leaf(alice.leaf), room.follower.tree.leaf(bob.leaf)
    assert own is not None
    assert other is not None
    refuse_commit(room, forge_commit(alice, alter_leaf=keyed(encryption_key=own.encryption_key)), "LN-19")
    staged = [alice.stage(force_path=True).state.public.tree.leaf(alice.leaf) for _ in range(2)]
    assert len({own.encryption_key, *(leaf.encryption_key for leaf in staged if leaf is not None)}) == 3
    refuse_commit(room, forge_commit(alice, alter_leaf=keyed(encryption_key=other.encryption_key)), "UP-11")


@pytest.mark.breaks("LN-02")
def test_a_path_is_signed_for_its_group_and_place(room: Room, newcomer: Party) -> None:
    alice = room.members[0]
    info = alice.group_info()
    for group_id, index in ((b"another group", 0), (room.follower.context.group_id, 1)):

        def breach(path: UpdatePath, group_id: bytes = group_id, index: int = index) -> UpdatePath:
            return replace(path, leaf_node=sign_leaf(SUITE, path.leaf_node, alice.client, group_id, index))

        refuse_commit(room, forge_commit(alice, alter_path=breach), "LN-02")
    refuse_commit(room, forge_external_commit(newcomer, room.follower, info, place=LeafIndex(5)), "LN-02")


@pytest.mark.breaks("LN-20")
def test_a_path_takes_nobodys_signature_key(room: Room) -> None:
    alice, bob, *_ = room.members
    own = alice.client
    alice.client = bob.client
    message = forge_commit(alice)
    with refusing("LN-20", alice):
        alice.stage(signature_private_key=own.signature_private_key)
    alice.client = own
    # The content itself is signed with the key of the leaf that sends it.
    with refusing("FRM-09", bob):
        bob.receive(message)
    opened = decode(MLSMessage, message).body
    assert isinstance(opened, PublicMessage)
    assert isinstance(opened.content.content, Commit)
    resigned = forge_message(alice, opened.content.content)
    refuse_commit(room, resigned, "LN-20")


@pytest.mark.breaks("LN-26")
def test_a_path_with_a_leaf_that_was_changed_after_it_was_signed_is_refused(room: Room) -> None:
    alice = room.members[0]

    def after(change: Breach) -> bytes:
        return forge_commit(alice, alter_path=lambda path: replace(path, leaf_node=change(path.leaf_node)))

    refuse_commit(room, after(partial(replace, source=CommitSource(bytes(32)))), "LN-02")
    refuse_commit(room, after(partial(replace, extensions=(Extension(1, b"me"),))), "LN-02")
    refuse_commit(room, after(partial(replace, signature=bytes(64))), "LN-02")


@pytest.mark.breaks("LN-27")
def test_after_a_path_with_a_new_signature_key_the_old_one_signs_nothing(room: Room, rng: random.Random) -> None:
    alice, bob, *_ = room.members
    old = alice.client
    alice.client = Party(SUITE, "a", rng.randbytes).client
    room.commit(alice, signature_private_key=old.signature_private_key)
    key = old.signature_private_key
    for body in (ApplicationData(b"hello"), Remove(LeafIndex(2))):
        with refusing("FRM-09", bob):
            bob.receive(forge_message(alice, body, signature_key=key, wire_format=WireFormat.PRIVATE_MESSAGE))
    with refusing("FRM-09", bob):
        bob.receive(forge_message(alice, Remove(LeafIndex(2)), signature_key=key))
    info = sign_group_info(SUITE, alice.group_info(), old)
    with refusing("WL-08"):
        follow(SUITE, info, room.follower.tree)
    follow(SUITE, alice.group_info(), room.follower.tree)
    room.talk()


# What one makes oneself


@pytest.fixture
def client(rng: random.Random) -> Client:
    return parties(SUITE, "a", rng)[0].client


def listing(client: Client, **listed: tuple[int, ...]) -> Client:
    return replace(client, capabilities=replace(client.capabilities, **listed))


@pytest.mark.breaks("LN-08")
@pytest.mark.parametrize("listed", [{"extensions": (3,)}, {"proposals": (7,)}, {"extensions": (APP, 1)}], ids=repr)
def test_what_goes_without_saying_is_not_listed(client: Client, rng: random.Random, listed: dict[str, tuple[int, ...]]) -> None:
    with refusing("LN-08"):
        create_key_package(SUITE, listing(client, **listed), ALWAYS, rng.randbytes)
    own = create_key_package(SUITE, client, ALWAYS, rng.randbytes).key_package.leaf_node.capabilities
    assert DEFAULT_EXTENSION_TYPES.isdisjoint(own.extensions)
    assert DEFAULT_PROPOSAL_TYPES.isdisjoint(own.proposals)


@pytest.mark.breaks("LN-05", "KP-07")
def test_own_extensions_are_listed(client: Client, rng: random.Random) -> None:
    extensions = (Extension(APP, b""),)
    with refusing("LN-05"):
        create_key_package(SUITE, replace(client, leaf_extensions=extensions), ALWAYS, rng.randbytes)
    with refusing("KP-07"):
        create_key_package(SUITE, client, ALWAYS, rng.randbytes, extensions=extensions)
    capable = listing(client, extensions=(APP,))
    create_key_package(SUITE, replace(capable, leaf_extensions=extensions), ALWAYS, rng.randbytes, extensions=extensions)


@pytest.mark.breaks("KP-10")
@pytest.mark.parametrize(
    "listed",
    [
        {"versions": (1, 2)},
        {"cipher_suites": (1, 0x00FF)},
        {"credentials": (1, 0xF00E)},
        {"credentials": (1, 0)},
        {"proposals": (APP_PROPOSAL,)},
    ],
    ids=repr,
)
def test_nobody_promises_what_is_not_implemented(client: Client, rng: random.Random, listed: dict[str, tuple[int, ...]]) -> None:
    with refusing("KP-10"):
        create_key_package(SUITE, listing(client, **listed), ALWAYS, rng.randbytes)
    # GREASE promises nothing.
    harmless = listing(client, cipher_suites=(*range(1, 8), 0x0A0A), credentials=(1, 2, 0x1A1A))
    create_key_package(SUITE, harmless, ALWAYS, rng.randbytes)
    with registered():
        create_key_package(SUITE, listing(client, proposals=(APP_PROPOSAL, 0x2A2A)), ALWAYS, rng.randbytes)


@pytest.mark.keeps("KP-06")
def test_no_init_key_is_made_twice(client: Client, rng: random.Random) -> None:
    packages = [create_key_package(SUITE, client, ALWAYS, rng.randbytes).key_package for _ in range(300)]
    assert len({key for made in packages for key in (made.init_key, made.leaf_node.encryption_key)}) == 600


@pytest.mark.breaks("LN-06")
def test_nobody_creates_a_group_without_listing_its_own_credential_type(client: Client, rng: random.Random) -> None:
    with refusing("LN-06"):
        create_group(SUITE, b"g", listing(client, credentials=()), ALWAYS, rng.randbytes)


@pytest.mark.breaks("LN-06")
def test_a_committer_holds_its_own_path_to_the_same_rules(room: Room) -> None:
    alice = room.members[0]
    alice.client = replace(alice.client, capabilities=replace(alice.client.capabilities, credentials=(2,)))
    with refusing("LN-06", alice):
        alice.stage()
