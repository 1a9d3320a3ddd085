"""Leaves that do not fit their group, and trees with leaves that break one rule, are refused."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from dmls.mls.codec import decode, encode, encode_as
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.group.external import create_external_commit
from dmls.mls.group.follower import follow
from dmls.mls.group.leaf import default_capabilities
from dmls.mls.group.state import create_group
from dmls.mls.messages.credential import Credential, X509Credential
from dmls.mls.messages.extensions import Extension, RequiredCapabilities, make_extension
from dmls.mls.messages.group_context import GroupContext
from dmls.mls.messages.leaf_node import Capabilities, LeafNode, Lifetime
from dmls.mls.messages.proposal import Add, GroupContextExtensions, Remove
from dmls.mls.messages.registry import ExtensionType
from tests.support.breaches import APP, APP_PROPOSAL, BREACHES, HARMLESS, Breach, capable, keyed, registered, same
from tests.support.certificates import self_signed
from tests.support.forge import (
    TreeNode,
    forge_commit,
    forge_external_commit,
    forge_welcome,
    nodes_of,
    sign_group_info,
    sign_leaf,
    tree_of,
)
from tests.support.groups import ALWAYS, Party, Room, parties, refusing
from tests.support.refusals import refuse_commit, refuse_update, spoilt_update

SUITE = cipher_suite(1)
BY_BREACH = pytest.mark.parametrize(("rule", "breach"), [pytest.param(*BREACHES[name], id=name) for name in BREACHES])
BY_HARMLESS = pytest.mark.parametrize("alteration", list(HARMLESS.values()), ids=list(HARMLESS))


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    with registered():
        yield


# What leaves must support


FULL = Capabilities((1,), (1,), (APP,), (APP_PROPOSAL,), (1, 2))
REQUIRED = make_extension(ExtensionType.REQUIRED_CAPABILITIES, RequiredCapabilities((APP, 1), (APP_PROPOSAL, 1), (1, 2)))


@pytest.mark.breaks("LN-03")
@pytest.mark.parametrize(
    "missing", [{"extensions": ()}, {"proposals": ()}, {"credentials": (1,)}], ids=["extension", "proposal", "credential"]
)
def test_leaves_support_what_the_group_requires(rng: random.Random, missing: dict[str, tuple[int, ...]]) -> None:
    members = parties(SUITE, "abc", rng, FULL)
    room = Room(members[0], extensions=(REQUIRED,))
    room.add(members[0], *members[1:])
    refuse_lacking_leaf(room, rng, missing, "LN-03")
    refuse_tree_with_lacking_leaf(rng, REQUIRED, missing, "LN-03")
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


@pytest.mark.breaks("LN-04", "EX-03", "EX-04")
def test_leaves_support_the_extensions_of_the_group(rng: random.Random) -> None:
    members = parties(SUITE, "abc", rng, FULL)
    room = Room(members[0], extensions=(Extension(APP, b"data"),))
    room.add(members[0], *members[1:])
    refuse_lacking_leaf(room, rng, {"extensions": ()}, "LN-04")
    refuse_tree_with_lacking_leaf(rng, Extension(APP, b"data"), {"extensions": ()}, "LN-04")
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


def refuse_tree_with_lacking_leaf(
    rng: random.Random, extension: Extension, missing: dict[str, tuple[int, ...]], rule: str
) -> None:
    """Nobody joins a group of which some other member lacks what all must support."""
    *members, newcomer = parties(SUITE, "abcn", rng, FULL)
    room = Room(members[0], extensions=(extension,))
    room.add(members[0], *members[1:])
    staged = members[0].stage(Add(newcomer.key_package()))
    assert staged.welcome is not None
    welcome = forge_welcome(newcomer, members[0], staged.welcome, alter_nodes=at_carol(room, capable(**missing)))
    with refusing(rule):
        newcomer.join(welcome)
    newcomer.join(forge_welcome(newcomer, members[0], staged.welcome, alter_nodes=at_carol(room, same)))


def sample_leaf(room: Room) -> LeafNode:
    return next(leaf for _, leaf in room.follower.tree.members())


@pytest.mark.breaks("CRD-01")
@pytest.mark.parametrize("number", [0, 3, 0x0A0A, 0xF000, 0xFFFF])
def test_a_credential_of_an_unknown_type_does_not_decode(newcomer: Party, number: int) -> None:
    """Nothing tells where it ends."""
    leaf = newcomer.key_package().leaf_node
    credential = encode_as(Credential, leaf.credential)
    data = encode(leaf)
    assert decode(LeafNode, data) == leaf
    assert data.count(credential) == 1
    with refusing("CRD-01"):
        decode(LeafNode, data.replace(credential, number.to_bytes(2, "big") + credential[2:]))


BOTH = default_capabilities((1,), credentials=(1, 2))


@pytest.fixture
def modern(rng: random.Random) -> Party:
    """Somebody with a certificate."""
    (party,) = parties(SUITE, "m", rng, BOTH)
    chain = X509Credential((self_signed(SUITE, party.client.signature_private_key, "m"),))
    party.client = replace(party.client, credential=chain)
    return party


@pytest.mark.breaks("LN-10", "CRD-08", "PL-14")
def test_every_member_supports_the_credential_of_a_newcomer(room: Room, modern: Party, rng: random.Random) -> None:
    alice = room.members[0]
    addition = Add(modern.key_package())
    with refusing("LN-10", alice):
        alice.stage(addition)
    refuse_commit(room, forge_commit(alice, addition), "LN-10")
    info, chain = alice.group_info(), modern.client.credential
    message = forge_external_commit(modern, room.follower, info, alter_leaf=lambda leaf: replace(leaf, credential=chain))
    refuse_commit(room, message, "LN-10")
    with refusing("LN-10"):
        create_external_commit(room.follower, info, modern.client, rng.randbytes)


@pytest.mark.breaks("LN-11", "CRD-08")
def test_a_newcomer_supports_every_credential_in_use(modern: Party, rng: random.Random) -> None:
    mixed = Room(parties(SUITE, "a", rng, BOTH)[0])
    mixed.add(mixed.members[0], modern)
    (plain,) = parties(SUITE, "p", rng)
    with refusing("LN-10"):
        mixed.members[0].stage(Add(plain.key_package()))
    with refusing("LN-10", modern):
        modern.receive(forge_commit(mixed.members[0], Add(plain.key_package())))
    # Nor does a member give up what others use.
    with refusing("LN-10", modern):
        modern.receive(forge_commit(mixed.members[0], alter_leaf=capable(credentials=(1,))))
    mixed.commit(mixed.members[0], Remove(modern.leaf), Add(plain.key_package()), leavers=[modern], joiners=[plain])


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


@pytest.mark.breaks("LN-28")
@BY_BREACH
def test_a_tree_with_such_a_leaf_is_refused(room: Room, invitation: Callable[..., None], rule: str, breach: Breach) -> None:
    # What a leaf says of credentials is compared with all others first.
    invitation(at_carol(room, breach), "LN-10" if rule in {"LN-06", "CRD-03"} else rule)
    invitation(at_carol(room, same), None)


@pytest.mark.breaks("LN-28", "XC-12")
@BY_BREACH
def test_nobody_joins_externally_where_there_is_such_a_leaf(room: Room, rule: str, breach: Breach) -> None:
    alice = room.members[0]
    info = alice.group_info()
    for alteration, refusal in ((breach, "LN-10" if rule in {"LN-06", "CRD-03"} else rule), (same, None)):
        tree = tree_of(SUITE, at_carol(room, alteration)(nodes_of(room.follower.tree)))
        told = replace(info, group_context=replace(info.group_context, tree_hash=tree.tree_hash))
        signed = sign_group_info(SUITE, told, alice.client)
        if refusal is None:
            follow(SUITE, signed, tree)
        else:
            with refusing(refusal):
                follow(SUITE, signed, tree)


@pytest.mark.keeps("LN-09")
@BY_HARMLESS
def test_a_tree_with_such_a_leaf_is_accepted(room: Room, invitation: Callable[..., None], alteration: Breach) -> None:
    invitation(at_carol(room, alteration), None)


@pytest.mark.breaks("LN-02")
def test_leaves_of_a_tree_are_signed_by_their_owners(room: Room, invitation: Callable[..., None]) -> None:
    invitation(at_carol(room, same, signer=room.members[1]), "LN-02")


@pytest.mark.breaks("TR-31", "TR-32")
def test_keys_of_a_tree_are_unique(room: Room, invitation: Callable[..., None]) -> None:
    bob = room.follower.tree.leaf(room.members[1].leaf)
    assert bob is not None
    invitation(at_carol(room, keyed(encryption_key=bob.encryption_key)), "TR-31")
    with_bobs_key = at_carol(room, keyed(signature_key=bob.signature_key), signer=room.members[1])
    invitation(with_bobs_key, "TR-32")


@pytest.mark.breaks("LN-13", "LN-14")
def test_lifetimes_of_a_tree_are_checked_where_a_time_is_given(room: Room, invitation: Callable[..., None]) -> None:
    def expire(leaf: LeafNode) -> LeafNode:
        return replace(leaf, source=Lifetime(1000, 2000))

    invitation(at_carol(room, expire), "LN-13", now=2001 + 3600)
    invitation(at_carol(room, expire), "LN-13", now=999 - 3600)
    invitation(at_carol(room, lambda leaf: replace(leaf, source=Lifetime(2, 1))), "LN-14")
    invitation(at_carol(room, expire), None, now=2000 + 3600)


@pytest.mark.breaks("LN-03", "LN-04")
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
