"""Joining by Welcome, and what of it is refused (RFC 9420, Sections 7.9.2 and 12.4.3.1)."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dmls.errors import CodecError, DecryptionError, InvalidLeafNodeError
from dmls.ids import LeafIndex
from dmls.mls.codec import decode, encode
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.group.commit import StagedCommit
from dmls.mls.group.follower import follow
from dmls.mls.group.leaf import KeyPackageBundle, default_capabilities
from dmls.mls.group.policy import OpenPolicy
from dmls.mls.group.welcome import join
from dmls.mls.messages.credential import BasicCredential, X509Credential
from dmls.mls.messages.extensions import LAST_RESORT, Extension, find_extension
from dmls.mls.messages.group_context import GroupContext
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.key_package import is_last_resort
from dmls.mls.messages.leaf_node import CommitSource, LeafNode
from dmls.mls.messages.proposal import Add, PreSharedKey, Remove
from dmls.mls.messages.psk import ExternalPSK, PreSharedKeyID, ResumptionPSK, ResumptionPSKUsage
from dmls.mls.messages.registry import ExtensionType
from dmls.mls.messages.welcome import GroupSecrets, PathSecret, Welcome
from dmls.mls.schedule.psk import derive_psk_secret
from dmls.mls.tree.nodes import ParentNode
from dmls.mls.tree.ratchet_tree import RatchetTree
from tests.support.forge import TreeNode, forge_welcome, nodes_of, sign_group_info, sign_leaf, tree_of
from tests.support.groups import Party, Room, parties, refusing, room_of

SUITE = cipher_suite(1)
NONCE = bytes(range(32))
PSK_ID = PreSharedKeyID(ExternalPSK(b"name"), NONCE)


class Scene:
    """A group of four that adds a fifth, who has not joined yet."""

    def __init__(self, rng: random.Random, *, with_path: bool = True, all_have_committed: bool = True) -> None:
        self.room, self.members = room_of(rng)
        if all_have_committed:
            for party in self.members:
                self.room.commit(party)
        self.committer = self.members[1]
        self.newcomer = Party(SUITE, "newcomer", rng.randbytes)
        self.addition = Add(self.newcomer.key_package())
        self.staged: StagedCommit = self.committer.stage(self.addition, force_path=with_path)
        assert self.staged.welcome is not None
        self.welcome = self.staged.welcome

    def forge(self, **alterations: Any) -> Welcome:
        return forge_welcome(self.newcomer, self.committer, self.welcome, **alterations)

    def refuse(self, rule: str | None, welcome: Welcome, tree: bytes | None = None, **options: Any) -> None:
        """A failed join leaves nothing behind, and the key package for another try."""
        bundles = dict(self.newcomer.bundles)
        with refusing(rule, *self.room.members):
            self.newcomer.join(welcome, tree, **options)
        assert self.newcomer.bundles == bundles
        assert not self.newcomer.is_member

    def accept(self, welcome: Welcome, tree: bytes | None = None, **options: Any) -> None:
        self.newcomer.join(welcome, tree, **options)
        assert self.newcomer.state.public.context.epoch == self.staged.state.public.context.epoch


@pytest.fixture
def scene(rng: random.Random) -> Scene:
    return Scene(rng)


@pytest.fixture
def fresh(rng: random.Random) -> Scene:
    """The same without any parent that holds a key, before or after: no parent hash covers the leaves."""
    return Scene(rng, with_path=False, all_have_committed=False)


def test_what_is_forged_without_a_breach_is_accepted(scene: Scene, fresh: Scene) -> None:
    scene.accept(scene.forge())
    fresh.accept(fresh.forge())


@pytest.mark.breaks("WL-28", "WL-19")
def test_a_failed_join_does_not_use_up_the_key_package(scene: Scene) -> None:
    scene.refuse("WL-19", scene.forge(alter_tag=lambda tag: bytes(32)))
    scene.accept(scene.welcome)
    with pytest.raises(ValueError, match="not enough values"):
        scene.newcomer.join(scene.welcome)


@pytest.mark.keeps("KP-12")
def test_a_last_resort_lets_its_client_into_several_groups(rng: random.Random) -> None:
    capable = default_capabilities((1,), extensions=(ExtensionType.LAST_RESORT,))
    (guest,) = parties(SUITE, "g", rng, capable)
    key_package = guest.key_package(extensions=(LAST_RESORT,))
    assert is_last_resort(key_package)
    (bundle,) = guest.bundles.values()
    for number in range(3):
        room, (host, *_) = room_of(rng)
        staged = room.commit(host, Add(key_package))
        assert staged.welcome is not None
        joined = join(SUITE, staged.welcome, bundle)
        assert joined.state.secrets.epoch_authenticator == host.state.secrets.epoch_authenticator, number
    (careless,) = parties(SUITE, "c", rng)
    assert not is_last_resort(careless.key_package())
    with refusing("KP-07"):
        careless.key_package(extensions=(LAST_RESORT,))


# The Welcome itself


@pytest.mark.breaks("WL-01")
def test_a_welcome_names_the_key_package_once(scene: Scene, rng: random.Random) -> None:
    stranger = Party(SUITE, "stranger", rng.randbytes)
    stranger.key_package()
    (bundle,) = stranger.bundles.values()
    with refusing("WL-01"):
        join(SUITE, scene.welcome, bundle)
    (entry,) = scene.welcome.secrets
    scene.refuse("WL-01", replace(scene.welcome, secrets=(entry, entry)))


@pytest.mark.breaks("WL-02")
def test_a_welcome_is_of_the_key_packages_suite(scene: Scene) -> None:
    scene.refuse("WL-02", replace(scene.welcome, cipher_suite=3))
    (bundle,) = scene.newcomer.bundles.values()
    with refusing("WL-02"):
        join(cipher_suite(3), replace(scene.welcome, cipher_suite=3), bundle)


@pytest.mark.breaks("WL-03")
def test_the_group_secrets_open_with_the_init_key_and_the_group_info_beside_them(scene: Scene) -> None:
    (bundle,) = scene.newcomer.bundles.values()
    (entry,) = scene.welcome.secrets
    other = SUITE.derive_key_pair(bytes(32))
    wrong_key = KeyPackageBundle(bundle.key_package, bundle.ref, other.private_key, bundle.encryption_private_key)
    sealed = entry.encrypted_group_secrets
    cut = replace(entry, encrypted_group_secrets=replace(sealed, ciphertext=sealed.ciphertext[:-1]))
    for welcome, used in (
        (scene.welcome, wrong_key),
        (replace(scene.welcome, secrets=(cut,)), bundle),
        (replace(scene.welcome, encrypted_group_info=scene.welcome.encrypted_group_info + b"\x00"), bundle),
        (replace(scene.welcome, encrypted_group_info=b""), bundle),
    ):
        with pytest.raises(DecryptionError):
            join(SUITE, welcome, used)


# Pre-shared keys


@pytest.fixture
def keyed(rng: random.Random) -> Scene:
    """A group whose commit injects a pre-shared key."""
    scene = Scene(rng)
    scene.staged = scene.committer.stage(scene.addition, PreSharedKey(PSK_ID), psks=lambda _: b"key")
    assert scene.staged.welcome is not None
    scene.welcome = scene.staged.welcome
    return scene


@pytest.mark.breaks("WL-04")
def test_pre_shared_keys_of_a_welcome_must_be_known(keyed: Scene) -> None:
    keyed.refuse("WL-04", keyed.welcome)
    keyed.refuse("WL-04", keyed.welcome, psks=lambda _: None)
    with pytest.raises(DecryptionError):
        keyed.newcomer.join(keyed.welcome, psks=lambda _: b"another key")
    keyed.accept(keyed.welcome, psks=lambda psk_id: b"key" if psk_id == PSK_ID else None)


@pytest.mark.breaks("WL-05", "WL-06", "RB-02")
def test_pre_shared_keys_of_a_welcome_keep_the_rules(keyed: Scene) -> None:
    group_id = keyed.room.follower.context.group_id
    secret = derive_psk_secret(SUITE, [(PSK_ID, b"key")])
    branch = PreSharedKeyID(ResumptionPSK(ResumptionPSKUsage.BRANCH, group_id, 0), NONCE)
    reinit = PreSharedKeyID(ResumptionPSK(ResumptionPSKUsage.REINIT, group_id, 0), NONCE)

    def name(*psk_ids: PreSharedKeyID) -> Welcome:
        known = [(psk_id, b"key") for psk_id in psk_ids if len(psk_id.psk_nonce) == 32]
        return keyed.forge(alter_secrets=lambda secrets: replace(secrets, psks=psk_ids), psks=known, psk_secret=secret)

    find: dict[str, Any] = {"psks": lambda _: b"key"}
    keyed.refuse("WL-06", name(replace(PSK_ID, psk_nonce=bytes(31))), **find)
    keyed.refuse("WL-06", name(replace(PSK_ID, psk_nonce=b"")), **find)
    keyed.refuse("PSK-08", name(PSK_ID, PSK_ID), **find)
    keyed.refuse("WL-05", name(branch, reinit), **find)
    keyed.refuse("WL-04", name(branch), **find)
    keyed.refuse("WL-04", name(PSK_ID, reinit), **find)
    keyed.accept(name(PSK_ID), **find)


# The GroupInfo


@pytest.mark.breaks("WL-08")
def test_the_group_info_is_signed_by_a_member_that_it_names(scene: Scene) -> None:
    def signed_by(signer: int) -> Callable[[GroupInfo], GroupInfo]:
        return lambda info: replace(info, signer=signer)

    scene.refuse("WL-08", scene.forge(alter_info=signed_by(0)))
    for nobody in (5, 8, 2**32 - 1):
        scene.refuse("WL-08", scene.forge(alter_info=signed_by(nobody)))


@pytest.mark.breaks("WL-27")
def test_the_newcomer_does_not_sign_for_itself(scene: Scene, fresh: Scene) -> None:
    for one in (scene, fresh):
        welcome = forge_welcome(one.newcomer, one.newcomer, one.welcome, alter_info=lambda info: replace(info, signer=4))
        one.refuse("WL-27", welcome)


CONTEXTS: dict[str, tuple[str, Callable[[GroupContext], GroupContext]]] = {
    "another suite": ("WL-10", lambda context: replace(context, cipher_suite=3)),
    "another tree hash": ("WL-11", lambda context: replace(context, tree_hash=bytes(32))),
    "no tree hash": ("WL-11", lambda context: replace(context, tree_hash=b"")),
    "extension twice": ("GC-05", lambda context: replace(context, extensions=(Extension(5, b"\x00"),) * 2)),
    "external_pub in the context": ("GC-09", lambda context: replace(context, extensions=(Extension(4, b"\x00"),))),
    "unsupported extension": ("LN-04", lambda context: replace(context, extensions=(Extension(0xF123, b""),))),
    "GREASE extension": ("LN-04", lambda context: replace(context, extensions=(Extension(0x0A0A, b""),))),
    "trailing bytes in an extension": ("ENC-09", lambda context: replace(context, extensions=(Extension(3, bytes(4)),))),
    "another group": ("LN-02", lambda context: replace(context, group_id=b"another")),
}


@pytest.mark.parametrize(("rule", "alter"), list(CONTEXTS.values()), ids=list(CONTEXTS))
def test_a_group_context_that_breaks_a_rule_is_refused(
    scene: Scene, rule: str, alter: Callable[[GroupContext], GroupContext]
) -> None:
    scene.refuse(rule, scene.forge(alter_context=alter))


INFOS: dict[str, tuple[str, tuple[Extension, ...]]] = {
    "extension twice": ("WL-23", (Extension(0xF123, b""), Extension(0xF123, b""))),
    "required_capabilities": ("EX-10", (Extension(ExtensionType.REQUIRED_CAPABILITIES, bytes(3)),)),
    "external_senders": ("EX-10", (Extension(ExtensionType.EXTERNAL_SENDERS, b"\x00"),)),
    "application_id": ("EX-10", (Extension(ExtensionType.APPLICATION_ID, b""),)),
}


@pytest.mark.parametrize(("rule", "extensions"), list(INFOS.values()), ids=list(INFOS))
def test_extensions_of_a_group_info_keep_the_rules(scene: Scene, rule: str, extensions: tuple[Extension, ...]) -> None:
    welcome = scene.forge(alter_info=lambda info: replace(info, extensions=(*info.extensions, *extensions)))
    scene.refuse(rule, welcome)


def test_trailing_bytes_in_external_pub_are_refused(scene: Scene) -> None:
    def lengthen(info: GroupInfo) -> GroupInfo:
        return replace(
            info,
            extensions=tuple(
                replace(item, extension_data=item.extension_data + b"\x00") if item.extension_type == 4 else item
                for item in info.extensions
            ),
        )

    scene.refuse("ENC-09", scene.forge(alter_info=lengthen))


@pytest.mark.keeps("WL-22")
def test_unknown_extensions_of_a_group_info_are_ignored(scene: Scene) -> None:
    extra = (Extension(0x0A0A, b"grease"), Extension(0xF123, b""))
    scene.accept(scene.forge(alter_info=lambda info: replace(info, extensions=(*info.extensions, *extra))))


def test_a_group_info_without_its_last_octet_does_not_decode(scene: Scene) -> None:
    with pytest.raises(CodecError):
        decode(GroupInfo, encode(scene.staged.group_info)[:-1])


@pytest.mark.breaks("WL-19")
def test_the_confirmation_tag_is_checked(scene: Scene) -> None:
    for spoil in (lambda tag: bytes(32), lambda tag: b"", lambda tag: tag[:-1], lambda tag: tag + b"\x00"):
        scene.refuse("WL-19", scene.forge(alter_tag=spoil))


# The tree


@pytest.mark.breaks("WL-25", "WL-11")
def test_the_tree_comes_with_the_welcome_or_another_way(scene: Scene, rng: random.Random) -> None:
    tree = scene.staged.state.public.tree.encode()
    bare = scene.committer.stage(scene.addition, welcome_with_tree=False, force_path=True).welcome
    assert bare is not None
    scene.refuse("WL-25", bare)
    scene.refuse("WL-25", scene.welcome, scene.room.follower.tree.encode())
    scene.refuse("WL-11", bare, scene.room.follower.tree.encode())
    scene.accept(scene.welcome, tree)
    again = Scene(rng)
    bare_commit = again.committer.stage(again.addition, welcome_with_tree=False, force_path=True)
    assert bare_commit.welcome is not None
    again.staged = bare_commit
    again.accept(bare_commit.welcome, bare_commit.state.public.tree.encode())


@pytest.mark.parametrize(
    ("rule", "spoil"),
    [
        ("TR-18", lambda tree: b"\x00"),
        ("ENC-04", lambda tree: tree[:-1]),
        ("ENC-08", lambda tree: tree + b"\x00"),
        ("ENC-04", lambda tree: b""),
    ],
)
def test_a_tree_that_is_none_is_refused(scene: Scene, rule: str, spoil: Callable[[bytes], bytes]) -> None:
    def alter(info: GroupInfo) -> GroupInfo:
        tree = find_extension(info.extensions, ExtensionType.RATCHET_TREE)
        assert tree is not None
        others = [item for item in info.extensions if item.extension_type != ExtensionType.RATCHET_TREE]
        return replace(info, extensions=(*others, Extension(ExtensionType.RATCHET_TREE, spoil(tree))))

    scene.refuse(rule, scene.forge(alter_info=alter))


@pytest.mark.breaks("WL-11")
def test_a_tree_that_was_followed_need_not_be_judged_again(scene: Scene) -> None:
    bare = scene.committer.stage(scene.addition, welcome_with_tree=False, force_path=True)
    assert bare.welcome is not None
    followed = bare.state.public
    scene.refuse("WL-11", bare.welcome, followed=scene.room.follower)
    scene.refuse("WL-11", bare.welcome, followed=replace(followed, confirmation_tag=bytes(32)))
    scene.staged = bare
    scene.accept(bare.welcome, followed=followed)


@pytest.mark.breaks("WL-10")
def test_a_followed_group_of_another_cipher_suite_is_not_joined(scene: Scene) -> None:
    infos: list[GroupInfo] = []

    def note(info: GroupInfo) -> GroupInfo:
        infos.append(info)
        return info

    # Suites 1 and 3 differ in nothing but their AEAD: signature and confirmation tag verify under either.
    welcome = scene.forge(alter_context=lambda context: replace(context, cipher_suite=3), alter_info=note)
    followed = replace(
        scene.staged.state.public,
        suite=cipher_suite(3),
        context=infos[0].group_context,
        confirmation_tag=infos[0].confirmation_tag,
    )
    scene.refuse("WL-10", welcome, followed=followed)


def in_parent(number: int, **changes: object) -> Callable[[list[TreeNode]], list[TreeNode]]:
    def alter(nodes: list[TreeNode]) -> list[TreeNode]:
        node = nodes[number]
        assert isinstance(node, ParentNode)
        nodes[number] = replace(node, **changes)  # type: ignore[arg-type]
        return nodes

    return alter


@pytest.mark.breaks("TR-24", "WL-12")
def test_every_parent_is_vouched_for(scene: Scene) -> None:
    # Five members: nodes 1, 3 and 7 are new with the commit of leaf 1, node 5 is older, 9, 11, 13 are blank.
    tree = scene.staged.state.public.tree
    assert [node for node in range(1, 15, 2) if not tree.is_blank(node)] == [1, 3, 5, 7]  # type: ignore[arg-type]
    key = SUITE.derive_key_pair(bytes(32)).public_key
    for number in (1, 3, 5, 7):
        scene.refuse("TR-24", scene.forge(alter_nodes=in_parent(number, encryption_key=key)))
        scene.refuse("TR-24", scene.forge(alter_nodes=in_parent(number, parent_hash=bytes(32))))
    for number in (1, 3, 5):
        scene.refuse("TR-24", scene.forge(alter_nodes=in_parent(number, parent_hash=b"")))


@pytest.mark.breaks("TR-24")
def test_a_parent_that_nobody_put_there_is_noticed(fresh: Scene) -> None:
    key = SUITE.derive_key_pair(bytes(32)).public_key

    def invent(nodes: list[TreeNode]) -> list[TreeNode]:
        nodes[3] = ParentNode(key, b"", ())
        return nodes

    fresh.refuse("TR-24", fresh.forge(alter_nodes=invent))


@pytest.mark.breaks("TR-24", "TR-27")
def test_a_leaf_of_a_key_package_or_an_update_vouches_for_nothing(scene: Scene) -> None:
    committer = scene.committer

    def drop(nodes: list[TreeNode]) -> list[TreeNode]:
        leaf = nodes[2]
        assert isinstance(leaf, LeafNode)
        assert isinstance(leaf.source, CommitSource)
        nodes[2] = sign_leaf(
            SUITE, replace(leaf, source=CommitSource(b"")), committer.client, scene.room.follower.context.group_id, 1
        )
        return nodes

    scene.refuse("TR-24", scene.forge(alter_nodes=drop))


@pytest.mark.breaks("TR-05", "TR-29", "TR-30")
def test_unmerged_leaves_are_members_below_and_known_between(rng: random.Random) -> None:
    scene = Scene(rng, with_path=False)
    # The newcomer, leaf 4, is unmerged nowhere: no parent above it holds a key but the root.
    tree = scene.staged.state.public.tree
    assert [node for node in range(1, 15, 2) if not tree.is_blank(node)] == [1, 3, 5]  # type: ignore[arg-type]
    for unmerged in ((4,), (0, 7), (2**32 - 1,)):
        scene.refuse("TR-29", scene.forge(alter_nodes=in_parent(3, unmerged_leaves=unmerged)))
    scene.refuse("TR-30", scene.forge(alter_nodes=in_parent(3, unmerged_leaves=(2,))))
    scene.refuse("TR-24", scene.forge(alter_nodes=in_parent(1, unmerged_leaves=(0,))))
    with refusing("TR-05"):
        scene.forge(alter_nodes=in_parent(3, unmerged_leaves=(2, 1)))
    with refusing("TR-05"):
        scene.forge(alter_nodes=in_parent(3, unmerged_leaves=(2, 2)))


@pytest.mark.breaks("TR-29")
def test_a_blank_leaf_is_not_unmerged(scene: Scene) -> None:
    scene.refuse("TR-29", scene.forge(alter_nodes=in_parent(7, unmerged_leaves=(5,))))


@pytest.mark.breaks("TR-31", "LN-25")
def test_keys_of_parents_stand_in_one_node(scene: Scene) -> None:
    tree = scene.staged.state.public.tree
    parent, leaf = tree.parent(5), tree.leaf(LeafIndex(0))  # type: ignore[arg-type]
    assert parent is not None
    assert leaf is not None
    for key in (parent.encryption_key, leaf.encryption_key):
        scene.refuse("TR-31", scene.forge(alter_nodes=in_parent(3, encryption_key=key)))
    scene.refuse("LN-25", scene.forge(alter_nodes=in_parent(3, encryption_key=bytes(32))))


@pytest.mark.breaks("WL-15")
def test_the_newcomers_leaf_is_that_of_its_key_package(fresh: Scene, rng: random.Random) -> None:
    newcomer = fresh.newcomer

    def altered(**changes: object) -> Callable[[list[TreeNode]], list[TreeNode]]:
        def alter(nodes: list[TreeNode]) -> list[TreeNode]:
            leaf = nodes[8]
            assert isinstance(leaf, LeafNode)
            nodes[8] = sign_leaf(SUITE, replace(leaf, **changes), newcomer.client)  # type: ignore[arg-type]
            return nodes

        return alter

    fresh.refuse("WL-15", fresh.forge(alter_nodes=altered(credential=BasicCredential(b"somebody"))))
    fresh.refuse("WL-15", fresh.forge(alter_nodes=altered(encryption_key=SUITE.derive_key_pair(bytes(32)).public_key)))

    def remove(nodes: list[TreeNode]) -> list[TreeNode]:
        nodes[8] = None
        return nodes

    fresh.refuse("WL-15", fresh.forge(alter_nodes=remove))
    fresh.accept(fresh.forge(alter_nodes=altered()))


# The path secret


@pytest.mark.breaks("WL-16", "CC-10")
def test_the_path_secret_is_that_of_the_nodes_above(scene: Scene) -> None:
    wrong = PathSecret(bytes(32))
    scene.refuse("WL-16", scene.forge(alter_secrets=lambda secrets: replace(secrets, path_secret=wrong)))
    scene.refuse("WL-16", scene.forge(alter_secrets=lambda secrets: replace(secrets, path_secret=PathSecret(b""))))


@pytest.mark.breaks("WL-17", "WL-18")
def test_there_is_no_path_secret_for_a_blank_node(rng: random.Random) -> None:
    scene = Scene(rng, with_path=False)
    welcome = scene.forge(alter_secrets=lambda secrets: replace(secrets, path_secret=PathSecret(bytes(32))))
    scene.refuse("WL-17", welcome)


@pytest.mark.keeps("WL-18")
def test_a_welcome_has_a_path_secret_iff_the_commit_has_a_path(rng: random.Random) -> None:
    for with_path in (False, True):
        scene = Scene(rng, with_path=with_path)
        seen: list[GroupSecrets] = []

        def look(secrets: GroupSecrets, seen: list[GroupSecrets] = seen) -> GroupSecrets:
            seen.append(secrets)
            return secrets

        scene.forge(alter_secrets=look)
        assert (seen[0].path_secret is not None) is with_path
        assert seen[0].psks == ()


def test_a_newcomer_that_is_not_told_its_path_secret_lives_with_its_leaf_key(scene: Scene) -> None:
    """It cannot know that something was left out, and the next commit heals it."""
    scene.accept(scene.forge(alter_secrets=lambda secrets: replace(secrets, path_secret=None)))
    assert len(scene.newcomer.ring) == 1


# Policy


class Doorman(OpenPolicy):
    """Asked about everybody who is there."""

    def __init__(self) -> None:
        self.asked: list[BasicCredential | X509Credential] = []

    def check_credential(self, credential: BasicCredential | X509Credential, signature_key: bytes) -> None:
        self.asked.append(credential)
        if credential == BasicCredential(b"c"):
            raise InvalidLeafNodeError("not this one", rule="CRD-04")


@pytest.mark.breaks("CRD-04", "WL-13")
def test_the_policy_is_asked_about_all_members(scene: Scene) -> None:
    doorman = Doorman()
    scene.refuse("CRD-04", scene.welcome, policy=doorman)
    assert doorman.asked == [BasicCredential(name) for name in (b"a", b"b", b"c")]


# Following from a GroupInfo


@pytest.mark.breaks("WL-08", "WL-10", "WL-11")
def test_anybody_may_follow_from_a_group_info_and_the_tree(scene: Scene) -> None:
    info, tree = scene.staged.group_info, scene.staged.state.public.tree
    assert info is not None
    assert follow(SUITE, info, RatchetTree.decode(SUITE, tree.encode())) == scene.staged.state.public
    with refusing("WL-10"):
        follow(cipher_suite(3), info, tree)
    with refusing("WL-11"):
        follow(SUITE, info, scene.room.follower.tree)
    with refusing("WL-08"):
        follow(SUITE, replace(info, signer=9), tree)
    with refusing("WL-08"):
        follow(SUITE, replace(info, signature=b""), tree)


@pytest.mark.keeps("WL-29")
def test_a_group_info_made_by_any_member_is_good(scene: Scene) -> None:
    for party in scene.room.members:
        for with_tree in (False, True):
            info = party.group_info(with_tree=with_tree)
            assert info.signer == party.leaf
            assert (find_extension(info.extensions, ExtensionType.RATCHET_TREE) is not None) is with_tree
            follow(SUITE, decode(GroupInfo, encode(info)), scene.room.follower.tree)
            assert sign_group_info(SUITE, info, party.client) == info


def test_trees_of_the_forge_are_trees(scene: Scene) -> None:
    tree = scene.staged.state.public.tree
    assert tree_of(SUITE, nodes_of(tree)) == tree


def test_a_room_of_one_adds_many(rng: random.Random) -> None:
    first, *others = parties(SUITE, "abcdefg", rng)
    room = Room(first)
    staged = room.add(first, *others, force_path=False)
    assert staged.applied.added[-1][0] == 6
    room.commit(others[3], Remove(first.leaf), leavers=[first])
    room.talk()
