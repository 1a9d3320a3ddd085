"""Trees that are wrong in one way and right, signatures and hashes included, in all others."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest

from dmls.errors import DMLSError, InvalidTreeError, SignatureError
from dmls.ids import LeafIndex
from dmls.mls.codec import encode_opaque
from dmls.mls.crypto.suites import CipherSuite, cipher_suite
from dmls.mls.messages.leaf_node import CommitSource, LeafNodeSource, Lifetime, UpdateSource
from dmls.mls.tree.ratchet_tree import RatchetTree
from dmls.mls.tree.validation import validate_tree
from tests.support.tree import GROUP_ID, Member, full_tree, make_member, make_tree, renew_leaf, sign_leaf
from tests.support.tree_model import TreeModel

SUITE = cipher_suite(1)


@dataclass
class Forge:
    """A tree under construction by somebody who holds all signature keys."""

    rng: random.Random
    model: TreeModel
    members: list[Member]

    @classmethod
    def fresh(cls, rng: random.Random, size: int) -> Forge:
        tree, members = make_tree(SUITE, rng, size)
        return cls(rng, as_model(tree), members)

    @classmethod
    def full(cls, rng: random.Random, size: int) -> Forge:
        tree, members, _ = full_tree(SUITE, rng, size)
        return cls(rng, as_model(tree), members)

    def key(self) -> bytes:
        return SUITE.derive_key_pair(self.rng.randbytes(32)).public_key

    def sign(
        self, leaf: int, source: LeafNodeSource, encryption_key: bytes | None = None, signature_key: bytes | None = None
    ) -> None:
        """Put a new version of a member's leaf into its place."""
        old = self.model.leaf(leaf)
        member = replace(self.members[leaf], leaf_node=replace(old, signature_key=signature_key or old.signature_key))
        key = old.encryption_key if encryption_key is None else encryption_key
        self.model.nodes[2 * leaf] = renew_leaf(SUITE, member, key, source, LeafIndex(leaf))

    def commit(
        self,
        leaf: int,
        unmerged: Mapping[int, tuple[int, ...]] | None = None,
        keys: Mapping[int, bytes] | None = None,
        source: LeafNodeSource | None = None,
    ) -> None:
        """Put a path above a leaf, with lists of unmerged leaves and keys as wanted and all hashes to match."""
        above = self.model.put_path(leaf, self.key, unmerged=unmerged, keys=keys)
        self.sign(leaf, source or CommitSource(above), encryption_key=self.key())

    def refused(self, rule: str, error: type[DMLSError] = InvalidTreeError, group_id: bytes = GROUP_ID) -> None:
        """Check that the tree is refused for one rule, and that its bytes are fine."""
        tree = RatchetTree.decode(SUITE, self.model.encode())
        assert tree.tree_hash == self.model.tree_hash()
        with pytest.raises(error) as caught:
            validate_tree(tree, group_id)
        assert caught.value.rule == rule

    def accepted(self) -> None:
        validate_tree(RatchetTree.decode(SUITE, self.model.encode()), GROUP_ID)


def as_model(tree: RatchetTree) -> TreeModel:
    model = TreeModel([None] * (2 * tree.width - 1))
    for index in range(len(model.nodes)):
        node = tree.parent(index) if index % 2 else tree.leaf(index // 2)  # type: ignore[arg-type]
        model.nodes[index] = node
    return model


# Parent hashes


@pytest.mark.keeps("TR-20", "TR-24")
def test_what_the_forge_makes_by_the_rules_is_accepted(rng: random.Random) -> None:
    forge = Forge.full(rng, 8)
    forge.accepted()
    forge.commit(3)
    forge.accepted()


@pytest.mark.breaks("TR-24")
@pytest.mark.parametrize("index", [1, 3, 5, 7, 9, 11, 13])
def test_a_parent_key_that_nobody_vouches_for_is_refused(index: int, rng: random.Random) -> None:
    forge = Forge.full(rng, 8)
    forge.model.nodes[index] = replace(forge.model.parent(index), encryption_key=forge.key())
    forge.refused("TR-24")


@pytest.mark.breaks("TR-24")
@pytest.mark.parametrize("index", [1, 3, 5, 7, 9, 11, 13])
def test_a_parent_hash_that_is_another_or_empty_is_refused(index: int, rng: random.Random) -> None:
    forge = Forge.full(rng, 8)
    held = forge.model.parent(index)
    for parent_hash in (b"", b"h" * 32):
        # Where the top node's is empty already, a made-up one is still not what the nodes below vouch for.
        forge.model.nodes[index] = replace(held, parent_hash=parent_hash)
        if forge.model.nodes[index] != held:
            forge.refused("TR-24")


@pytest.mark.breaks("TR-24", "TR-27")
@pytest.mark.parametrize("parent_hash", [b"", b"h" * 32])
def test_a_leaf_that_drops_or_changes_its_parent_hash_is_refused(parent_hash: bytes, rng: random.Random) -> None:
    forge = Forge.full(rng, 2)
    forge.sign(1, CommitSource(parent_hash))
    forge.refused("TR-24")


@pytest.mark.breaks("TR-26")
@pytest.mark.parametrize("source", [Lifetime(0, 2**64 - 1), UpdateSource()])
def test_only_a_leaf_that_came_with_a_commit_vouches(source: LeafNodeSource, rng: random.Random) -> None:
    forge = Forge.fresh(rng, 2)
    forge.commit(0, source=source)
    forge.refused("TR-24")


@pytest.mark.breaks("TR-28")
@pytest.mark.parametrize("index", [1, 3, 5])
def test_all_parents_are_checked(index: int, rng: random.Random) -> None:
    forge = Forge.full(rng, 4)
    forge.commit(0)
    forge.commit(3)
    forge.model.nodes[index] = replace(forge.model.parent(index), encryption_key=forge.key())
    valid = [forge.model.is_parent_hash_valid(node) for node in (1, 3, 5)]
    # Node 1 is in what node 3 was vouched for with; the last one is bad alone.
    assert valid == {1: [False, False, True], 3: [True, False, True], 5: [True, True, False]}[index]
    forge.refused("TR-24")


@pytest.mark.keeps("TR-21", "TR-25")
def test_a_leaf_added_later_does_not_undo_what_was_vouched(rng: random.Random) -> None:
    forge = Forge.full(rng, 7)
    assert forge.model.add(make_member(SUITE, rng, "eighth").leaf_node) == 7
    forge.accepted()
    assert forge.model.parent(11).unmerged_leaves == (7,)


@pytest.mark.keeps("TR-21")
def test_an_unmerged_leaf_is_taken_out_of_the_hash_below_blank_nodes_too(rng: random.Random) -> None:
    forge = Forge.fresh(rng, 8)
    forge.commit(6, unmerged={13: (7,)})
    forge.model.nodes[11] = None
    forge.commit(0, unmerged={7: (7,)})
    assert forge.model.parent(13).unmerged_leaves == forge.model.parent(7).unmerged_leaves == (7,)
    forge.accepted()
    forge.model.nodes[7] = replace(forge.model.parent(7), unmerged_leaves=())
    forge.refused("TR-24")


@pytest.mark.breaks("TR-25")
def test_a_list_of_unmerged_leaves_that_leaves_one_out_is_refused(rng: random.Random) -> None:
    forge = Forge.full(rng, 4)
    forge.model.nodes[2] = None
    forge.commit(0, unmerged={})
    forge.model.nodes[2] = forge.members[1].leaf_node
    # Leaf 1 is unmerged at node 1, yet node 3 claims to have been set when it was there.
    forge.commit(0, unmerged={1: (1,), 3: ()})
    forge.refused("TR-24")
    forge.commit(0, unmerged={1: (1,), 3: (1,)})
    forge.accepted()


@pytest.mark.breaks("TR-25")
def test_a_leaf_that_lists_itself_as_unmerged_vouches_for_nothing(rng: random.Random) -> None:
    forge = Forge.fresh(rng, 4)
    forge.commit(0, unmerged={1: (0,), 3: (0,)})
    forge.refused("TR-24")


@pytest.mark.breaks("TR-25")
def test_under_a_blank_node_all_but_the_vouching_one_must_be_unmerged(rng: random.Random) -> None:
    forge = Forge.fresh(rng, 4)
    forge.commit(0, unmerged={1: (1,), 3: (1,)})
    forge.accepted()
    forge = Forge.fresh(rng, 4)
    # As leaf 0 commits while leaf 1 is blank: node 1 is not in its path.
    newcomer, forge.model.nodes[2] = forge.model.nodes[2], None
    forge.commit(0)
    assert forge.model.nodes[1] is None
    forge.model.nodes[2] = newcomer
    forge.refused("TR-24")
    forge.model.nodes[3] = replace(forge.model.parent(3), unmerged_leaves=(1,))
    forge.accepted()
    forge.model.nodes[3] = replace(forge.model.parent(3), unmerged_leaves=(0, 1))
    forge.refused("TR-24")


@pytest.mark.keeps("TR-22")
def test_the_top_of_a_path_need_not_be_the_root(rng: random.Random) -> None:
    forge = Forge.full(rng, 8)
    for index in range(4):
        forge.model.remove(index)
    forge.commit(5)
    assert forge.model.nodes[7] is None
    assert forge.model.parent(11).parent_hash == b""
    forge.accepted()


class WithoutParent(TreeModel):
    """Leaves the node's own parent hash out of ParentHashInput."""

    def parent_hash(self, parent: int, copath_child: int) -> bytes:
        node = self.parent(parent)
        sibling_hash = self.tree_hash(copath_child, frozenset(node.unmerged_leaves))
        return SUITE.hash(encode_opaque(node.encryption_key) + encode_opaque(sibling_hash))


class OwnChild(TreeModel):
    """Takes the tree hash of the child that it comes from."""

    def parent_hash(self, parent: int, copath_child: int) -> bytes:
        return super().parent_hash(parent, 2 * parent - copath_child)


class AsItIs(TreeModel):
    """Takes the copath child's tree hash with the unmerged leaves in it."""

    def tree_hash(self, index: int | None = None, without: frozenset[int] = frozenset()) -> bytes:
        return super().tree_hash(index)


class OnlyBlanked(TreeModel):
    """Blanks the unmerged leaves, and leaves them in the lists of the nodes below."""

    def tree_hash(self, index: int | None = None, without: frozenset[int] = frozenset()) -> bytes:
        nodes = [None if index // 2 in without and not index % 2 else node for index, node in enumerate(self.nodes)]
        return TreeModel(nodes).tree_hash(index)


class StopsAtBlanks(TreeModel):
    """Looks for unmerged leaves below nodes that are not blank only."""

    def tree_hash(self, index: int | None = None, without: frozenset[int] = frozenset()) -> bytes:
        index = self.root if index is None else index
        return super().tree_hash(index, without if self.nodes[index] is not None else frozenset())


@pytest.mark.parametrize(("rule", "model"), [("TR-20", WithoutParent), ("TR-20", OwnChild)], ids=["no parent", "own child"])
def test_another_parent_hash_vouches_for_nothing(rule: str, model: type[TreeModel], rng: random.Random) -> None:
    forge = Forge.fresh(rng, 8)
    forge.commit(0)
    forge.accepted()
    forge.model = model(forge.model.nodes)
    forge.commit(0)
    forge.refused("TR-24")


@pytest.mark.parametrize(
    ("rule", "model"),
    [("TR-21", AsItIs), ("TR-21", OnlyBlanked), ("TR-21", StopsAtBlanks)],
    ids=["as it is", "only blanked", "stops at blanks"],
)
def test_another_original_tree_hash_vouches_for_nothing(rule: str, model: type[TreeModel], rng: random.Random) -> None:
    for kind in (TreeModel, model):
        forge = Forge.fresh(rng, 8)
        forge.commit(6, unmerged={13: (7,)})
        forge.model.nodes[11] = None
        forge.model = kind(forge.model.nodes)
        # Leaf 7 came later than the commit of leaf 0, to below nodes that were not in its path.
        forge.commit(0, unmerged={7: (7,)})
        if kind is TreeModel:
            forge.accepted()
        else:
            forge.refused("TR-24")


# Unmerged leaves


@pytest.mark.breaks("TR-29", "TR-34")
@pytest.mark.parametrize("unmerged", [(2,), (1, 2), (4,), (2**31,), (2**32 - 1,)])
def test_an_unmerged_leaf_is_below_its_node(unmerged: tuple[int, ...], rng: random.Random) -> None:
    forge = Forge.full(rng, 4)
    forge.commit(0, unmerged={1: unmerged})
    forge.refused("TR-29")


@pytest.mark.breaks("TR-29")
def test_an_unmerged_leaf_of_the_root_is_in_the_tree(rng: random.Random) -> None:
    forge = Forge.full(rng, 4)
    forge.commit(0, unmerged={3: (4,)})
    forge.refused("TR-29")


@pytest.mark.breaks("TR-29", "TR-13")
@pytest.mark.parametrize("unmerged", [{3: (1,)}, {7: (5,)}, {3: (1,), 7: (1, 4)}])
def test_an_unmerged_leaf_is_not_blank(unmerged: dict[int, tuple[int, ...]], rng: random.Random) -> None:
    forge = Forge.full(rng, 7)
    for index in (1, 4, 5):
        forge.model.remove(index)
    forge.commit(0, unmerged=unmerged)
    forge.refused("TR-29")


@pytest.mark.breaks("TR-30")
def test_the_nodes_between_list_an_unmerged_leaf_too(rng: random.Random) -> None:
    forge = Forge.full(rng, 8)
    forge.commit(0, unmerged={7: (6,)})
    forge.refused("TR-30")
    # Node 11 blank: node 13 is the next that must list it.
    forge.model.nodes[11] = None
    forge.commit(0, unmerged={7: (6,)})
    forge.refused("TR-30")


# Keys


@pytest.mark.breaks("TR-31")
def test_a_key_stands_in_one_node_only(rng: random.Random) -> None:
    forge = Forge.full(rng, 4)
    forge.commit(0, keys={3: forge.model.parent(5).encryption_key})
    forge.refused("TR-31")
    forge = Forge.full(rng, 4)
    forge.commit(0, keys={1: forge.model.leaf(3).encryption_key})
    forge.refused("TR-31")
    forge = Forge.fresh(rng, 4)
    forge.sign(2, UpdateSource(), encryption_key=forge.model.leaf(0).encryption_key)
    forge.refused("TR-31")


@pytest.mark.breaks("TR-32")
def test_a_signature_key_stands_in_one_leaf_only(rng: random.Random) -> None:
    forge = Forge.fresh(rng, 4)
    forge.members[2] = replace(forge.members[2], signing_key=forge.members[0].signing_key)
    forge.sign(2, UpdateSource(), signature_key=forge.model.leaf(0).signature_key)
    forge.refused("TR-32")


BAD_KEYS = [b"", b"\x00" * 32, b"\x01" + b"\x00" * 31, b"k" * 31, b"k" * 33]


@pytest.mark.breaks("LN-25")
@pytest.mark.parametrize("key", BAD_KEYS, ids=["empty", "zero", "small-order", "short", "long"])
def test_keys_that_are_not_valid_are_refused(key: bytes, rng: random.Random) -> None:
    forge = Forge.fresh(rng, 2)
    forge.sign(1, UpdateSource(), encryption_key=key)
    forge.refused("LN-25")
    if key:
        forge = Forge.fresh(rng, 2)
        forge.commit(0, keys={1: key})
        forge.refused("LN-25")


@pytest.mark.breaks("LN-25")
@pytest.mark.parametrize("suite", [cipher_suite(2), cipher_suite(5), cipher_suite(7)], ids=["P-256", "P-521", "P-384"])
def test_a_point_off_the_curve_is_refused(suite: CipherSuite, rng: random.Random) -> None:
    tree, members = make_tree(suite, rng, 2)
    key = bytearray(members[1].leaf_node.encryption_key)
    key[-1] ^= 1
    tree = tree.update(LeafIndex(1), renew_leaf(suite, members[1], bytes(key), UpdateSource(), LeafIndex(1)))
    with pytest.raises(InvalidTreeError) as caught:
        validate_tree(tree, GROUP_ID)
    assert caught.value.rule == "LN-25"


# Signatures


@pytest.mark.breaks("LN-02")
def test_a_leaf_of_another_group_or_place_is_refused(rng: random.Random) -> None:
    forge = Forge.full(rng, 4)
    forge.accepted()
    forge.refused("LN-02", SignatureError, b"!another:example.org")
    forge = Forge.fresh(rng, 4)
    forge.sign(1, UpdateSource())
    forge.accepted()
    forge.model.nodes[2], forge.model.nodes[4] = forge.model.nodes[4], forge.model.nodes[2]
    forge.refused("LN-02", SignatureError)


def test_a_leaf_of_a_key_package_is_signed_for_any_place(rng: random.Random) -> None:
    forge = Forge.fresh(rng, 4)
    forge.model.nodes[2], forge.model.nodes[4] = forge.model.nodes[4], forge.model.nodes[2]
    forge.accepted()


@pytest.mark.breaks("LN-02")
@pytest.mark.parametrize("leaf", [0, 3, 6])
def test_every_signature_is_verified(leaf: int, rng: random.Random) -> None:
    forge = Forge.fresh(rng, 7)
    forge.model.nodes[2 * leaf] = replace(forge.model.leaf(leaf), signature=bytes(64))
    forge.refused("LN-02", SignatureError)
    other = make_member(SUITE, rng, "other")
    forge.model.nodes[2 * leaf] = sign_leaf(SUITE, forge.members[leaf].leaf_node, other.signing_key, b"", LeafIndex(0))
    forge.refused("LN-02", SignatureError)


@pytest.mark.keeps("TR-24")
@pytest.mark.parametrize("number", range(1, 8))
def test_full_trees_of_every_suite_are_accepted(number: int, rng: random.Random) -> None:
    tree, _, _ = full_tree(cipher_suite(number), rng, 3)
    validate_tree(tree, GROUP_ID)
