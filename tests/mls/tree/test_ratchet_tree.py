from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

import pytest

from dmls.errors import InvalidProposalError, InvalidTreeError, UsageError
from dmls.ids import LeafIndex, NodeIndex
from dmls.mls.codec import encode, encode_as, encode_opaque
from dmls.mls.crypto import signing
from dmls.mls.crypto.aead import AES_128_GCM
from dmls.mls.crypto.kdf import Kdf
from dmls.mls.crypto.kem import X25519, DhKem
from dmls.mls.crypto.suites import CipherSuite, cipher_suite
from dmls.mls.messages.credential import BasicCredential, Credential, X509Credential
from dmls.mls.messages.leaf_node import Capabilities, LeafNode
from dmls.mls.tree.nodes import ParentNode
from dmls.mls.tree.ratchet_tree import RatchetTree
from dmls.mls.tree.treekem import merge_path, seal_path, stage_path
from tests.support.tree import full_tree, leaf_maker, make_member, make_tree
from tests.support.tree_model import TreeModel

SUITE = cipher_suite(1)
NODES = [NodeIndex(number) for number in range(5)]


def indices(*numbers: int) -> list[LeafIndex]:
    return [LeafIndex(number) for number in numbers]


@pytest.mark.breaks("PR-07", "TR-34")
@pytest.mark.parametrize("index", [1, 4, 7, 8, 2**31, 2**32 - 1, -1])
@pytest.mark.parametrize("operation", ["remove", "update"])
def test_a_leaf_that_is_blank_or_outside_is_neither_removed_nor_updated(operation: str, index: int, rng: random.Random) -> None:
    tree, members = make_tree(SUITE, rng, 6)
    tree = tree.remove_all(indices(1, 4))
    before = tree.encode()
    calls: dict[str, Callable[[], RatchetTree]] = {
        "remove": lambda: tree.remove(LeafIndex(index)),
        "update": lambda: tree.update(LeafIndex(index), members[0].leaf_node),
    }
    with pytest.raises(InvalidProposalError) as caught:
        calls[operation]()
    assert caught.value.rule == "PR-07"
    assert tree.encode() == before
    assert tree.leaf(LeafIndex(index)) is None


@pytest.mark.breaks("PR-07")
def test_a_leaf_is_removed_once(rng: random.Random) -> None:
    tree, _ = make_tree(SUITE, rng, 4)
    with pytest.raises(InvalidProposalError) as caught:
        tree.remove_all(indices(1, 2, 1))
    assert caught.value.rule == "PR-07"


@pytest.mark.parametrize("node", [-1, 7, 2**32])
def test_what_is_asked_of_a_node_outside_the_tree_is_refused(node: int, rng: random.Random) -> None:
    tree, _ = make_tree(SUITE, rng, 4)
    for ask in (tree.is_blank, tree.resolution, tree.parent, tree.encryption_key):
        with pytest.raises(UsageError):
            ask(NodeIndex(node))
    with pytest.raises(UsageError):
        tree.filtered_direct_path(LeafIndex(4))


def test_a_leaf_holds_no_parent_and_a_blank_node_no_key(rng: random.Random) -> None:
    tree, _ = make_tree(SUITE, rng, 4)
    with pytest.raises(UsageError):
        tree.parent(NodeIndex(2))
    with pytest.raises(UsageError):
        tree.encryption_key(NodeIndex(3))


@pytest.mark.keeps("TR-07")
def test_an_addition_takes_the_leftmost_blank_leaf(rng: random.Random) -> None:
    tree, _ = make_tree(SUITE, rng, 8)
    tree = tree.remove_all(indices(5, 2))
    newcomers = [make_member(SUITE, rng, f"new {number}").leaf_node for number in range(4)]
    tree, places = tree.add_all(newcomers)
    assert places == (2, 5, 8, 9)
    assert tree.width == 16
    assert tree.is_blank(NodeIndex(15))


@pytest.mark.breaks("TR-06", "TR-05")
def test_unmerged_leaves_stay_in_order_when_a_hole_on_their_left_is_filled(rng: random.Random) -> None:
    leaves = [make_member(SUITE, rng, f"user {number}").leaf_node for number in range(4)]
    key = rng.randbytes(32)
    model = TreeModel([leaves[0], None, None, ParentNode(key, b"", (3,)), leaves[2], None, leaves[3]])
    tree = RatchetTree.decode(SUITE, model.encode())
    tree, index = tree.add(leaves[1])
    assert index == 1
    assert tree.parent(NodeIndex(3)) == ParentNode(key, b"", (1, 3))
    # Whoever appends has a tree that nobody takes.
    model.nodes[2] = leaves[1]
    model.nodes[3] = ParentNode(key, b"", (3, 1))
    with pytest.raises(InvalidTreeError, match="TR-05"):
        RatchetTree.decode(SUITE, model.encode())


@pytest.mark.keeps("TR-08")
def test_a_wider_tree_has_a_blank_root_over_the_old_one(rng: random.Random) -> None:
    tree, _, _ = full_tree(SUITE, rng, 4)
    wider, index = tree.add(make_member(SUITE, rng, "fifth").leaf_node)
    assert index == 4
    assert wider.is_blank(NodeIndex(7))
    assert wider.parent(NodeIndex(3)) == tree.parent(NodeIndex(3)) is not None


@pytest.mark.keeps("TR-09", "TR-10")
def test_removing_truncates_as_far_as_the_right_half_is_blank(rng: random.Random) -> None:
    tree, _, _ = full_tree(SUITE, rng, 9)
    assert tree.width == 16
    assert tree.remove(LeafIndex(8)).width == 8
    assert tree.remove_all(indices(4, 5, 6, 7)).width == 16
    assert tree.remove_all(indices(4, 5, 6, 7)).remove(LeafIndex(8)).width == 4
    assert tree.remove_all(indices(8, 7, 6, 5, 4, 3, 2, 1)).width == 1


@pytest.mark.keeps("TR-07", "TR-11")
def test_removing_and_adding_in_one_commit_reuses_the_slots_that_are_left(rng: random.Random) -> None:
    tree, _ = make_tree(SUITE, rng, 9)
    tree = tree.remove_all(indices(8, 1))
    tree, places = tree.add_all(make_member(SUITE, rng, f"new {number}").leaf_node for number in range(2))
    assert places == (1, 8)
    assert tree.width == 16


@pytest.mark.keeps("TR-33")
def test_the_only_member_can_replace_itself(rng: random.Random) -> None:
    tree, _ = make_tree(SUITE, rng, 1)
    empty = tree.remove(LeafIndex(0))
    assert (empty.width, empty.member_count, list(empty.members())) == (1, 0, [])
    assert empty.supported_extensions == frozenset()
    newcomer = make_member(SUITE, rng, "again").leaf_node
    tree, index = empty.add(newcomer)
    assert (index, tree.width) == (0, 1)
    assert tree == RatchetTree.create(SUITE, newcomer)


@pytest.mark.keeps("TR-14", "TR-33")
def test_a_lone_leaf_hashes_as_leaf(rng: random.Random) -> None:
    leaf = make_member(SUITE, rng, "alone").leaf_node
    assert RatchetTree.create(SUITE, leaf).tree_hash == sha256(b"\x01\x00\x00\x00\x00\x01" + encode(leaf)).digest()


@pytest.mark.keeps("TR-07", "TR-09", "TR-15")
def test_wide_trees_agree_with_the_model(rng: random.Random) -> None:
    leaves = [make_member(SUITE, rng, f"user {number}").leaf_node for number in range(300)]
    tree, _ = RatchetTree.create(SUITE, leaves[0]).add_all(leaves[1:250])
    model = TreeModel([leaves[0]])
    for leaf in leaves[1:250]:
        model.add(leaf)
    gone = rng.sample(range(250), 120)
    tree = tree.remove_all(map(LeafIndex, gone))
    for index in gone:
        model.remove(index)
    tree, _ = tree.add_all(leaves[250:])
    for leaf in leaves[250:]:
        model.add(leaf)
    assert tree.encode() == model.encode()
    assert tree.tree_hash == model.tree_hash()


@pytest.mark.breaks("TR-15")
@pytest.mark.parametrize("last", [1, 3, 5, 9, 40, 100])
def test_blank_halves_count_however_high_they_are(last: int, rng: random.Random) -> None:
    leaves = [make_member(SUITE, rng, name).leaf_node for name in ("first", "last")]
    model = TreeModel([leaves[0], *[None] * (2 * last - 1), leaves[1]])
    width = 1 << last.bit_length()
    model.nodes += [None] * (2 * width - 1 - len(model.nodes))
    tree = RatchetTree.decode(SUITE, model.encode())
    assert tree.tree_hash == model.tree_hash()
    # Neither narrower nor wider trees hash to the same.
    narrow = RatchetTree.decode(SUITE, TreeModel([leaves[0], None, leaves[1]]).encode())
    wide = TreeModel([*model.nodes, *[None] * (2 * width)])
    hashes = {tree.tree_hash, wide.tree_hash(), *(() if last == 1 else (narrow.tree_hash,))}
    assert len(hashes) == (2 if last == 1 else 3)


def test_trees_are_equal_as_their_hashes_are(rng: random.Random) -> None:
    tree, _, _ = full_tree(SUITE, rng, 3)
    again = RatchetTree.decode(SUITE, tree.encode())
    assert tree == again
    assert hash(tree) == hash(again)
    assert tree != tree.remove(LeafIndex(1))
    assert RatchetTree.decode(cipher_suite(3), tree.encode()) != tree
    assert tree != "tree"
    assert repr(tree) == "RatchetTree(3 members, 4 leaves)"


def test_credentials_in_use_and_in_common_follow_the_members(rng: random.Random) -> None:
    def member(credential: Credential, extensions: tuple[int, ...]) -> LeafNode:
        leaf = make_member(SUITE, rng, "", Capabilities((1,), (1,), extensions, (), (1, 2))).leaf_node
        return replace(leaf, credential=credential)

    shared = X509Credential((b"certificate",))
    tree = RatchetTree.create(SUITE, member(BasicCredential(b"basic"), (7, 8)))
    tree, (one, two, three) = tree.add_all(
        [member(shared, (8, 9)), member(shared, tuple(range(6, 200))), member(BasicCredential(b"other"), (9,))]
    )
    assert tree.credential_types == {1, 2}
    assert tree.supported_extensions == frozenset()
    assert tree.supported_credentials == {1, 2}
    assert tree.find_credential(encode_as(Credential, shared)) == (one, two)
    tree = tree.remove(three)
    assert tree.supported_extensions == {8}
    tree = tree.remove_all([one, two])
    assert tree.credential_types == {1}
    assert tree.supported_extensions == {7, 8}
    assert tree.find_credential(encode_as(Credential, shared)) == ()


def test_keys_are_found_in_every_version_though_the_index_is_begun_anew(rng: random.Random) -> None:
    tree, members, _ = full_tree(SUITE, rng, 3)
    first = tree
    forks = []
    for number in range(120):
        index = LeafIndex(number % 3)
        tree = stage_path(tree, index, leaf_maker(SUITE, members[index], index), rng.randbytes).tree
        if number % 40 == 0:
            forks.append(tree)
    assert len(tree._places.encryption_keys) < 150
    for version in (first, *forks, tree):
        for other in (first, *forks, tree):
            for node in NODES:
                key = other.encryption_key(node)
                held = {version.encryption_key(node) for node in NODES}
                assert version.has_encryption_key(key) == (key in held)
    for fork in forks:
        newcomer = make_member(SUITE, rng, "new").leaf_node
        grown, index = fork.add(newcomer)
        assert grown.find_signature_key(newcomer.signature_key) == index
        assert grown.has_encryption_key(fork.encryption_key(NodeIndex(3)))
        assert fork.find_signature_key(newcomer.signature_key) is None


def test_versions_that_outgrew_their_index_share_the_next(rng: random.Random) -> None:
    tree, members, _ = full_tree(SUITE, rng, 3)
    newcomer = make_member(SUITE, rng, "new").leaf_node
    forks = [tree.remove(LeafIndex(1)), tree.remove(LeafIndex(2))]
    for _ in range(40):
        # All from one version, whose index they outgrow.
        stage_path(tree, LeafIndex(0), leaf_maker(SUITE, members[0], LeafIndex(0)), rng.randbytes)
    grown = [fork.add(newcomer)[0] for fork in forks]
    assert grown[0]._places is grown[1]._places
    assert len(grown[0]._places.encryption_keys) < 100
    for fork, after in zip(forks, grown, strict=True):
        for version in (fork, after):
            present = {leaf.signature_key for _, leaf in version.members()}
            for member in (*members, make_member(SUITE, rng, "nobody")):
                key = member.leaf_node.signature_key
                assert (version.find_signature_key(key) is not None) == (key in present)


class Counter:
    """SHA-256 that counts."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, data: bytes) -> object:
        self.calls += 1
        return sha256(data)

    def of(self, action: Callable[[], object]) -> int:
        before = self.calls
        action()
        return self.calls - before


def test_hashing_is_lazy_and_logarithmic(rng: random.Random) -> None:
    counter = Counter()
    kdf = Kdf(1, "sha256", digest=counter)
    suite = CipherSuite(1, "counting", DhKem(0x0020, X25519, kdf), kdf, AES_128_GCM, signing.ED25519)
    tree, members, _ = full_tree(suite, rng, 64)
    assert counter.of(lambda: tree.tree_hash) == 7
    maker = leaf_maker(suite, members[9], LeafIndex(9))
    staged = stage_path(tree, LeafIndex(9), maker, rng.randbytes)
    path = seal_path(tree, staged, frozenset(), b"context", rng.randbytes)
    # Six parent hashes, then the tree hashes of six parents and a leaf.
    assert counter.of(lambda: merge_path(tree, LeafIndex(9), path).tree_hash) == 13
    assert counter.of(lambda: tree.tree_hash) == 0
    newcomers = [make_member(suite, rng, f"new {number}").leaf_node for number in range(10)]

    def add_one_by_one() -> RatchetTree:
        grown = tree
        for leaf in newcomers:
            grown, _ = grown.add(leaf)
        return grown

    assert counter.of(add_one_by_one) == 0
    assert counter.of(lambda: tree.remove_all(indices(1, 2, 3, 60)).add_all(newcomers)) == 0
    assert counter.of(lambda: tree.remove(LeafIndex(5)).tree_hash) <= 8


def test_a_credential_is_found_by_its_encoding(rng: random.Random) -> None:
    tree, _ = make_tree(SUITE, rng, 2)
    assert tree.find_credential(b"\x00\x01" + encode_opaque(b"user 1")) == (1,)
