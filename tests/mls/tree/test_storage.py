from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmls.errors import DMLSError, InvalidTreeError, UsageError
from dmls.ids import LeafIndex, NodeIndex
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.tree.nodes import find_node
from dmls.mls.tree.ratchet_tree import RatchetTree
from dmls.mls.tree.storage import LoadedTrees, load_tree, new_nodes, reachable
from dmls.mls.tree.treekem import stage_path
from tests.support.tree import full_tree, leaf_maker, make_member, make_tree

SUITE = cipher_suite(1)


def save(store: dict[bytes, bytes], tree: RatchetTree) -> dict[bytes, bytes]:
    rows = dict(new_nodes(tree, store.__contains__))
    store.update(rows)
    return rows


def load(store: dict[bytes, bytes], tree: RatchetTree, loaded: LoadedTrees | None = None) -> RatchetTree:
    return load_tree(SUITE, tree.tree_hash, tree.width, store.__getitem__, loaded)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 9, 20])
def test_a_tree_comes_back_from_its_rows(size: int, rng: random.Random) -> None:
    for tree in (make_tree(SUITE, rng, size)[0], full_tree(SUITE, rng, size)[0]):
        store: dict[bytes, bytes] = {}
        save(store, tree)
        again = load(store, tree)
        assert again == tree
        assert again.encode() == tree.encode()
        assert again.member_count == tree.member_count
        for _, leaf in tree.members():
            assert again.find_signature_key(leaf.signature_key) == tree.find_signature_key(leaf.signature_key)


def test_a_row_is_kept_under_the_hash_of_what_it_holds(rng: random.Random) -> None:
    tree, _, _ = full_tree(SUITE, rng, 5)
    store: dict[bytes, bytes] = {}
    for key, row in save(store, tree).items():
        assert SUITE.hash(row[:-1]) == key
    assert tree.tree_hash in store
    # All nodes but the three blank leaves and the one over two of them.
    assert len(store) == 15 - 4


def test_a_commit_adds_one_row_for_each_node_up_from_the_leaf(rng: random.Random) -> None:
    tree, members, _ = full_tree(SUITE, rng, 33)
    store: dict[bytes, bytes] = {}
    save(store, tree)
    index = LeafIndex(3)
    after = stage_path(tree, index, leaf_maker(SUITE, members[3], index), rng.randbytes).tree
    rows = save(store, after)
    assert len(rows) == 7
    assert sum(map(len, rows.values())) < 7 * 300
    assert save(store, after) == {}
    assert load(store, tree) == tree
    assert load(store, after) == after


def test_blank_subtrees_need_no_rows(rng: random.Random) -> None:
    tree, _ = make_tree(SUITE, rng, 17)
    store: dict[bytes, bytes] = {}
    save(store, tree)
    assert len(store) == 31 + 5 + 1
    assert load(store, tree) == tree


def test_rows_to_keep_are_those_some_tree_reaches(rng: random.Random) -> None:
    tree, members, _ = full_tree(SUITE, rng, 9)
    store: dict[bytes, bytes] = {}
    save(store, tree)
    forks = []
    for number in (1, 4, 8):
        index = LeafIndex(number)
        forks.append(stage_path(tree, index, leaf_maker(SUITE, members[number], index), rng.randbytes).tree)
        save(store, forks[-1])
    kept: set[bytes] = set()
    for fork in forks[:2]:
        kept.update(reachable(fork, kept.__contains__))
    assert kept == {*reachable(forks[0]), *reachable(forks[1])}
    store = {key: row for key, row in store.items() if key in kept}
    for fork in forks[:2]:
        assert load(store, fork) == fork
    for gone in (tree, forks[2]):
        with pytest.raises(KeyError):
            load(store, gone)


def test_versions_that_are_loaded_together_share_their_nodes(rng: random.Random) -> None:
    tree, members, _ = full_tree(SUITE, rng, 16)
    store: dict[bytes, bytes] = {}
    save(store, tree)
    index = LeafIndex(3)
    fork = stage_path(tree, index, leaf_maker(SUITE, members[3], index), rng.randbytes).tree
    save(store, fork)
    loaded = LoadedTrees()
    read: list[bytes] = []

    def fetch(key: bytes) -> bytes:
        read.append(key)
        return store[key]

    first = load_tree(SUITE, tree.tree_hash, tree.width, fetch, loaded)
    assert len(read) == 31
    second = load_tree(SUITE, fork.tree_hash, fork.width, fetch, loaded)
    assert len(read) == 31 + 5
    assert find_node(first.root, 23) is find_node(second.root, 23)
    for node in map(NodeIndex, range(31)):
        assert second.has_encryption_key(tree.encryption_key(node)) == fork.has_encryption_key(tree.encryption_key(node))
        assert first.has_encryption_key(fork.encryption_key(node)) == tree.has_encryption_key(fork.encryption_key(node))


def test_a_loaded_tree_goes_on_as_the_one_that_was_saved(rng: random.Random) -> None:
    tree, _, _ = full_tree(SUITE, rng, 6)
    store: dict[bytes, bytes] = {}
    save(store, tree)
    newcomer = make_member(SUITE, rng, "new").leaf_node
    for grown in (tree, load(store, tree)):
        assert grown.add(newcomer)[0].remove(LeafIndex(1)).tree_hash == tree.add(newcomer)[0].remove(LeafIndex(1)).tree_hash


@given(st.integers(0, 2**16), st.integers(0, 2**16), st.integers(1, 255))
def test_a_row_that_changed_is_noticed(which: int, at: int, change: int) -> None:
    tree, _, _ = full_tree(SUITE, random.Random(5), 5)
    store: dict[bytes, bytes] = {}
    save(store, tree)
    key = sorted(store)[which % len(store)]
    row = bytearray(store[key])
    row[at % len(row)] ^= change
    store[key] = bytes(row)
    try:
        again = load(store, tree)
    except (DMLSError, KeyError):
        return
    # What is left are bits of the last octet that mean nothing there.
    assert at % len(row) == len(row) - 1
    assert again == tree
    assert again.encode() == tree.encode()


def test_rows_of_another_place_kind_or_width_are_refused(rng: random.Random) -> None:
    tree, _, _ = full_tree(SUITE, rng, 4)
    store: dict[bytes, bytes] = {}
    save(store, tree)
    for width in (1, 2, 8, 2**31):
        with pytest.raises(InvalidTreeError):
            load_tree(SUITE, tree.tree_hash, width, store.__getitem__)
    loaded = LoadedTrees()
    load(store, tree, loaded)
    with pytest.raises(InvalidTreeError):
        load_tree(SUITE, tree.tree_hash, 8, store.__getitem__, loaded)
    with pytest.raises(InvalidTreeError):
        load_tree(SUITE, b"k" * 32, 4, lambda key: b"")


def test_a_leaf_row_that_is_blank_or_of_another_leaf_is_refused(rng: random.Random) -> None:
    tree, _, _ = full_tree(SUITE, rng, 2)
    store: dict[bytes, bytes] = {}
    save(store, tree)
    second = next(key for key, row in store.items() if row.startswith(b"\x01\x00\x00\x00\x01"))
    blank = b"\x01" + bytes(4) + b"\x00"
    store[SUITE.hash(blank)] = blank + b"\x00"
    for key in (second, SUITE.hash(blank)):
        with pytest.raises(InvalidTreeError):
            load_tree(SUITE, key, 1, store.__getitem__)


@pytest.mark.parametrize("width", [0, 3, -1, 2**32, 2**64])
def test_a_width_that_no_tree_has_is_refused(width: int) -> None:
    with pytest.raises(UsageError):
        load_tree(SUITE, b"k" * 32, width, lambda key: b"")
