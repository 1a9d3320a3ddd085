"""Leaves that break one rule are refused wherever they come from: key package, Update, path, external commit or tree."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from dmls.ids import LeafIndex
from dmls.mls.codec import decode
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.group.external import create_external_commit
from dmls.mls.group.follower import open_public_message
from dmls.mls.group.leaf import create_key_package, default_capabilities
from dmls.mls.group.policy import Limits
from dmls.mls.group.state import create_group
from dmls.mls.group.transition import follow_commit
from dmls.mls.group.validation import check_key_package
from dmls.mls.messages.commit import Commit, UpdatePath
from dmls.mls.messages.credential import X509Credential
from dmls.mls.messages.extensions import Extension, RequiredCapabilities, make_extension
from dmls.mls.messages.group_context import GroupContext
from dmls.mls.messages.leaf_node import Capabilities, CommitSource, LeafNode, Lifetime, UpdateSource
from dmls.mls.messages.message import MLSMessage, PublicMessage
from dmls.mls.messages.proposal import Add, GroupContextExtensions, Remove, Update
from dmls.mls.messages.registry import GREASE_VALUES, ExtensionType
from tests.support.forge import (
    TreeNode,
    forge_commit,
    forge_external_commit,
    forge_key_package,
    forge_message,
    forge_welcome,
    sign_leaf,
)
from tests.support.groups import ALWAYS, ANYBODY, Party, Room, fresh_update, parties, refusing, room_of

SUITE = cipher_suite(1)
APP = 0xF123
Breach = Callable[[LeafNode], LeafNode]


def capable(**changes: tuple[int, ...]) -> Breach:
    return lambda leaf: replace(leaf, capabilities=replace(leaf.capabilities, **changes))


def keyed(**keys: bytes) -> Breach:
    return lambda leaf: replace(leaf, **keys)  # type: ignore[arg-type]


def extended(*numbers: int, listed: tuple[int, ...] = ()) -> Breach:
    return lambda leaf: replace(
        leaf,
        extensions=tuple(Extension(number, b"") for number in numbers),
        capabilities=replace(leaf.capabilities, extensions=listed),
    )


def same(leaf: LeafNode) -> LeafNode:
    return leaf


BREACHES: dict[str, tuple[str, Breach]] = {
    "unlisted extension": ("LN-05", extended(APP)),
    "credential type not listed": ("LN-06", capable(credentials=())),
    "only another credential type listed": ("LN-06", capable(credentials=(2, 3))),
    "no version": ("LN-07", capable(versions=())),
    "only another version": ("LN-07", capable(versions=(0, 2))),
    "no cipher suite": ("LN-07", capable(cipher_suites=())),
    "only another cipher suite": ("LN-07", capable(cipher_suites=(2, 3))),
    "extension twice": ("LN-23", extended(APP, APP, listed=(APP,))),
    "application_id twice": ("LN-23", extended(1, 1)),
    "ratchet_tree in a leaf": ("LN-24", extended(ExtensionType.RATCHET_TREE)),
    "required_capabilities in a leaf": ("LN-24", extended(ExtensionType.REQUIRED_CAPABILITIES)),
    "external_pub in a leaf": ("LN-24", extended(ExtensionType.EXTERNAL_PUB, listed=(4,))),
    "external_senders in a leaf": ("LN-24", extended(ExtensionType.EXTERNAL_SENDERS)),
    "short encryption key": ("LN-25", lambda leaf: replace(leaf, encryption_key=leaf.encryption_key[:-1])),
    "no encryption key": ("LN-25", keyed(encryption_key=b"")),
    "encryption key of small order": ("LN-25", keyed(encryption_key=bytes(32))),
    "empty certificate chain": (
        "CRD-03",
        lambda leaf: capable(credentials=(1, 2))(replace(leaf, credential=X509Credential(()))),
    ),
}
HARMLESS: dict[str, Breach] = {
    "nothing altered": same,
    "GREASE everywhere": capable(
        versions=(1, 0x0A0A),
        cipher_suites=(1, 0x1A1A),
        extensions=tuple(sorted(GREASE_VALUES)),
        proposals=(0xEAEA,),
        credentials=(1, 0x2A2A),
    ),
    "listed extension of no known meaning": extended(0x3A3A, APP, listed=(APP, 0x3A3A)),
    "application_id": extended(ExtensionType.APPLICATION_ID),
    "default types listed": capable(extensions=(1, 2, 3, 4, 5), proposals=(1, 2, 3, 4, 5, 6, 7)),
}
BY_BREACH = pytest.mark.parametrize(("rule", "breach"), [pytest.param(*BREACHES[name], id=name) for name in BREACHES])
BY_HARMLESS = pytest.mark.parametrize("alteration", list(HARMLESS.values()), ids=list(HARMLESS))


@pytest.fixture
def newcomer(rng: random.Random) -> Party:
    return Party(SUITE, "newcomer", rng.randbytes)


@pytest.fixture
def room(rng: random.Random) -> Room:
    return room_of(rng)[0]


def refuse_commit(room: Room, message: bytes, rule: str, **options: object) -> None:
    """Every receiver refuses a commit, the follower too; nobody changes."""
    receivers = room.members[1:]
    for party in receivers:
        with refusing(rule, party):
            party.receive(message, **options)
    with refusing(rule):
        content = open_public_message(room.follower, decode(MLSMessage, message))
        follow_commit(room.follower, content, ANYBODY, **options)  # type: ignore[arg-type]


# Key packages


@BY_BREACH
def test_a_key_package_with_such_a_leaf_is_refused(room: Room, newcomer: Party, rule: str, breach: Breach) -> None:
    package = forge_key_package(newcomer, alter_leaf=breach)
    with refusing(rule):
        check_key_package(SUITE, package)
    with refusing(rule, room.members[0]):
        room.members[0].stage(Add(package))
    refuse_commit(room, forge_commit(room.members[0], Add(package)), rule)


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


def test_a_key_package_with_an_unsound_signature_key_is_refused(room: Room, newcomer: Party) -> None:
    for key in (b"", newcomer.client.signature_key + b"\x00", bytes(32)):
        package = forge_key_package(newcomer, alter_leaf=keyed(signature_key=key))
        refuse_commit(room, forge_commit(room.members[0], Add(package)), "LN-25")


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


def spoilt_update(party: Party, breach: Breach, *, group_id: bytes | None = None, index: int | None = None) -> Update:
    made = fresh_update(party).leaf_node
    group = party.state.public.context.group_id if group_id is None else group_id
    return Update(sign_leaf(party.suite, breach(made), party.client, group, party.leaf if index is None else index))


def refuse_update(room: Room, update: Update, rule: str) -> None:
    """A proposal is only remembered; neither committing it nor a commit of it goes through."""
    alice, bob, *_ = room.members
    reference = room.propose(bob, update)
    with refusing(rule, alice):
        alice.stage(reference)
    # Nothing can be sealed to an unsound key.
    excluded = frozenset({bob.leaf}) if rule == "LN-25" else None
    refuse_commit(room, forge_commit(alice, reference, excluded=excluded), rule)


@BY_BREACH
def test_an_update_with_such_a_leaf_is_refused(room: Room, rule: str, breach: Breach) -> None:
    refuse_update(room, spoilt_update(room.members[1], breach), rule)


@BY_HARMLESS
def test_an_update_with_such_a_leaf_is_accepted(room: Room, alteration: Breach) -> None:
    alice, bob, *others = room.members
    reference = room.propose(bob, spoilt_update(bob, alteration))
    message = forge_commit(alice, reference)
    for party in (bob, *others):
        party.receive(message)


def test_an_update_is_signed_for_its_group_and_place(room: Room) -> None:
    bob = room.members[1]
    refuse_update(room, spoilt_update(bob, same, group_id=b"another group"), "LN-02")
    refuse_update(room, spoilt_update(bob, same, index=2), "LN-02")


def test_an_update_has_its_source_and_a_fresh_key(room: Room) -> None:
    bob = room.members[1]
    old = room.follower.tree.leaf(bob.leaf)
    assert old is not None
    refuse_update(room, spoilt_update(bob, lambda leaf: replace(leaf, source=ALWAYS)), "LN-16")
    refuse_update(room, spoilt_update(bob, lambda leaf: replace(leaf, source=CommitSource(b""))), "LN-16")
    refuse_update(room, spoilt_update(bob, keyed(encryption_key=old.encryption_key)), "LN-18")


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


# Paths


@BY_BREACH
def test_a_path_with_such_a_leaf_is_refused(room: Room, rule: str, breach: Breach) -> None:
    refuse_commit(room, forge_commit(room.members[0], alter_leaf=breach), rule)


@BY_HARMLESS
def test_a_path_with_such_a_leaf_is_accepted(room: Room, alteration: Breach) -> None:
    message = forge_commit(room.members[0], alter_leaf=alteration)
    for party in room.members[1:]:
        party.receive(message)


@BY_BREACH
def test_an_external_commit_with_such_a_leaf_is_refused(room: Room, newcomer: Party, rule: str, breach: Breach) -> None:
    info = room.members[0].group_info()
    refuse_commit(room, forge_external_commit(newcomer, room.follower, info, alter_leaf=breach), rule)


@BY_HARMLESS
def test_an_external_commit_with_such_a_leaf_is_accepted(room: Room, newcomer: Party, alteration: Breach) -> None:
    message = forge_external_commit(newcomer, room.follower, room.members[0].group_info(), alter_leaf=alteration)
    for party in room.members:
        party.receive(message)


@pytest.mark.parametrize("source", [ALWAYS, UpdateSource()], ids=repr)
def test_a_path_has_its_source(room: Room, newcomer: Party, source: UpdateSource) -> None:
    def breach(leaf: LeafNode) -> LeafNode:
        return replace(leaf, source=source)

    refuse_commit(room, forge_commit(room.members[0], alter_leaf=breach), "LN-17")
    info = room.members[0].group_info()
    refuse_commit(room, forge_external_commit(newcomer, room.follower, info, alter_leaf=breach), "LN-17")


def test_a_path_needs_a_fresh_encryption_key(room: Room) -> None:
    alice, bob, *_ = room.members
    own, other = room.follower.tree.leaf(alice.leaf), room.follower.tree.leaf(bob.leaf)
    assert own is not None
    assert other is not None
    refuse_commit(room, forge_commit(alice, alter_leaf=keyed(encryption_key=own.encryption_key)), "LN-19")
    refuse_commit(room, forge_commit(alice, alter_leaf=keyed(encryption_key=other.encryption_key)), "UP-11")


def test_a_path_is_signed_for_its_group_and_place(room: Room, newcomer: Party) -> None:
    alice = room.members[0]
    info = alice.group_info()
    for group_id, index in ((b"another group", 0), (room.follower.context.group_id, 1)):

        def breach(path: UpdatePath, group_id: bytes = group_id, index: int = index) -> UpdatePath:
            return replace(path, leaf_node=sign_leaf(SUITE, path.leaf_node, alice.client, group_id, index))

        refuse_commit(room, forge_commit(alice, alter_path=breach), "LN-02")
    refuse_commit(room, forge_external_commit(newcomer, room.follower, info, place=LeafIndex(5)), "LN-02")


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


# What leaves must support


FULL = Capabilities((1,), (1,), (APP,), (0xF00D,), (1, 0xF00E))
REQUIRED = make_extension(ExtensionType.REQUIRED_CAPABILITIES, RequiredCapabilities((APP, 1), (0xF00D, 1), (1, 0xF00E)))


@pytest.mark.parametrize(
    "missing", [{"extensions": ()}, {"proposals": ()}, {"credentials": (1,)}], ids=["extension", "proposal", "credential"]
)
def test_leaves_support_what_the_group_requires(rng: random.Random, missing: dict[str, tuple[int, ...]]) -> None:
    members = parties(SUITE, "abc", rng, FULL)
    room = Room(members[0], extensions=(REQUIRED,))
    room.add(members[0], *members[1:])
    refuse_lacking_leaf(room, rng, missing, "LN-03")
    # The group may also come to require it later, and then of everybody who stays.
    room = Room(parties(SUITE, "a", rng, FULL)[0])
    lacking = parties(SUITE, "b", rng, replace(FULL, **missing))[0]
    room.add(room.members[0], lacking)
    change = GroupContextExtensions((REQUIRED,))
    with refusing("LN-03", lacking):
        lacking.receive(forge_commit(room.members[0], change))
    with refusing("LN-03"):
        room.members[0].stage(change)
    room.commit(room.members[0], change, Remove(lacking.leaf), leavers=[lacking])


def test_leaves_support_the_extensions_of_the_group(rng: random.Random) -> None:
    members = parties(SUITE, "abc", rng, FULL)
    room = Room(members[0], extensions=(Extension(APP, b"data"),))
    room.add(members[0], *members[1:])
    refuse_lacking_leaf(room, rng, {"extensions": ()}, "LN-04")
    with refusing("LN-04"):
        create_group(SUITE, b"g", parties(SUITE, "n", rng)[0].client, ALWAYS, rng.randbytes, extensions=(Extension(APP, b""),))


def refuse_lacking_leaf(room: Room, rng: random.Random, missing: dict[str, tuple[int, ...]], rule: str) -> None:
    """Whoever lacks something cannot be added, update, commit or join."""
    breach = capable(**missing)
    (newcomer,) = parties(SUITE, "n", rng, breach(sample_leaf(room)).capabilities)
    alice, bob, *_ = room.members
    package = newcomer.key_package()
    with refusing(rule, alice):
        alice.stage(Add(package))
    refuse_commit(room, forge_commit(alice, Add(package)), rule)
    refuse_commit(room, forge_commit(alice, alter_leaf=breach), rule)
    refuse_update(room, spoilt_update(bob, breach), rule)
    room.commit(alice)
    info = alice.group_info()
    refuse_commit(room, forge_external_commit(newcomer, room.follower, info), rule)
    with refusing(rule):
        create_external_commit(room.follower, info, newcomer.client, rng.randbytes)


def sample_leaf(room: Room) -> LeafNode:
    return next(leaf for _, leaf in room.follower.tree.members())


def test_every_member_supports_every_credential_type_in_use(rng: random.Random) -> None:
    both = default_capabilities((1,), credentials=(1, 2))
    chain = X509Credential((b"certificate",))
    (modern,) = parties(SUITE, "m", rng, both)
    modern.client = replace(modern.client, credential=chain)
    room, (alice, *_) = room_of(rng)
    refuse_commit(room, forge_commit(alice, Add(modern.key_package())), "LN-10")
    info = alice.group_info()
    refuse_commit(
        room, forge_external_commit(modern, room.follower, info, alter_leaf=lambda leaf: replace(leaf, credential=chain)), "LN-10"
    )
    with refusing("LN-10"):
        create_external_commit(room.follower, info, modern.client, rng.randbytes)
    # The other way round: who knows basic credentials only cannot join those who use others.
    mixed = Room(parties(SUITE, "a", rng, both)[0])
    mixed.add(mixed.members[0], modern)
    (plain,) = parties(SUITE, "p", rng)
    with refusing("LN-10"):
        mixed.members[0].stage(Add(plain.key_package()))
    with refusing("LN-10", modern):
        modern.receive(forge_commit(mixed.members[0], Add(plain.key_package())))


# Trees


@pytest.fixture
def invitation(room: Room, newcomer: Party) -> Callable[..., None]:
    """Try to join with the Welcome of a commit whose tree was altered; nothing may be left of it."""
    alice = room.members[0]
    # Without a path, so that no parent hash covers the leaves that will be altered.
    staged = alice.stage(Add(newcomer.key_package()))

    def attempt(alter: Callable[[list[TreeNode]], list[TreeNode]], rule: str | None, **options: object) -> None:
        assert staged.welcome is not None
        welcome = forge_welcome(newcomer, alice, staged.welcome, alter_nodes=alter)
        if rule is None:
            newcomer.join(welcome, **options)  # type: ignore[arg-type]
            return
        bundles = dict(newcomer.bundles)
        with refusing(rule):
            newcomer.join(welcome, **options)  # type: ignore[arg-type]
        assert newcomer.bundles == bundles
        assert not newcomer.is_member

    return attempt


def at_carol(room: Room, breach: Breach, *, signer: Party | None = None) -> Callable[[list[TreeNode]], list[TreeNode]]:
    """Alter the leaf of the third member, which is still that of its key package, and let it be signed."""
    carol = room.members[2]

    def alter(nodes: list[TreeNode]) -> list[TreeNode]:
        leaf = nodes[2 * carol.leaf]
        assert isinstance(leaf, LeafNode)
        nodes[2 * carol.leaf] = sign_leaf(SUITE, breach(leaf), (signer or carol).client)
        return nodes

    return alter


@BY_BREACH
def test_a_tree_with_such_a_leaf_is_refused(room: Room, invitation: Callable[..., None], rule: str, breach: Breach) -> None:
    # What a leaf says of credentials is compared with all others first.
    invitation(at_carol(room, breach), "LN-10" if rule in {"LN-06", "CRD-03"} else rule)
    invitation(at_carol(room, same), None)


@BY_HARMLESS
def test_a_tree_with_such_a_leaf_is_accepted(room: Room, invitation: Callable[..., None], alteration: Breach) -> None:
    invitation(at_carol(room, alteration), None)


def test_leaves_of_a_tree_are_signed_by_their_owners(room: Room, invitation: Callable[..., None]) -> None:
    invitation(at_carol(room, same, signer=room.members[1]), "LN-02")


def test_keys_of_a_tree_are_unique(room: Room, invitation: Callable[..., None]) -> None:
    bob = room.follower.tree.leaf(room.members[1].leaf)
    assert bob is not None
    invitation(at_carol(room, keyed(encryption_key=bob.encryption_key)), "TR-31")
    with_bobs_key = at_carol(room, keyed(signature_key=bob.signature_key), signer=room.members[1])
    invitation(with_bobs_key, "TR-32")


def test_lifetimes_of_a_tree_are_checked_where_a_time_is_given(room: Room, invitation: Callable[..., None]) -> None:
    def expire(leaf: LeafNode) -> LeafNode:
        return replace(leaf, source=Lifetime(1000, 2000))

    invitation(at_carol(room, expire), "LN-13", now=2001 + 3600)
    invitation(at_carol(room, expire), "LN-13", now=999 - 3600)
    invitation(at_carol(room, lambda leaf: replace(leaf, source=Lifetime(2, 1))), "LN-14")
    invitation(at_carol(room, expire), None, now=2000 + 3600)


def test_what_a_newcomer_lacks_keeps_it_out(rng: random.Random) -> None:
    """Whoever added it did not care; the newcomer itself does, before it looks at anybody else's leaf."""
    members = parties(SUITE, "abc", rng, FULL)
    for extension, rule in ((REQUIRED, "LN-03"), (Extension(APP, b""), "LN-04")):
        room = Room(members[0])
        (newcomer,) = parties(SUITE, "n", rng)
        staged = members[0].stage(Add(newcomer.key_package()))
        assert staged.welcome is not None

        def require(context: GroupContext, extension: Extension = extension) -> GroupContext:
            return replace(context, extensions=(extension,))

        welcome = forge_welcome(newcomer, members[0], staged.welcome, alter_context=require)
        with refusing(rule, *room.members):
            newcomer.join(welcome)


# What one makes oneself


def test_own_leaves_and_key_packages_list_what_they_must_and_no_more(rng: random.Random) -> None:
    client = parties(SUITE, "a", rng)[0].client
    for listed in ({"extensions": (3,)}, {"proposals": (7,)}):
        spoilt = replace(client, capabilities=replace(client.capabilities, **listed))
        with refusing("LN-08"):
            create_key_package(SUITE, spoilt, ALWAYS, rng.randbytes)
    with refusing("LN-05"):
        create_key_package(SUITE, replace(client, leaf_extensions=(Extension(APP, b""),)), ALWAYS, rng.randbytes)
    with refusing("KP-07"):
        create_key_package(SUITE, client, ALWAYS, rng.randbytes, extensions=(Extension(APP, b""),))
    with refusing("LN-06"):
        unlisted = replace(client, capabilities=replace(client.capabilities, credentials=()))
        create_group(SUITE, b"g", unlisted, ALWAYS, rng.randbytes)
    with refusing("EX-05"):
        create_group(SUITE, b"g", client, ALWAYS, rng.randbytes, extensions=(Extension(0x0A0A, b""),))


def test_a_committer_holds_its_own_path_to_the_same_rules(room: Room) -> None:
    alice = room.members[0]
    alice.client = replace(alice.client, capabilities=replace(alice.client.capabilities, credentials=(2,)))
    with refusing("LN-06", alice):
        alice.stage()
