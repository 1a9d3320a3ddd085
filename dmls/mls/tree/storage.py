"""A tree as rows for a store: each subtree under its tree hash.

Versions of a tree share the rows of what they have in common, so that a commit adds one row for each node from the committer's
leaf to the root. A row is the TreeHashInput that its key is the hash of (RFC 9420, Section 7.8), and one octet that says which
children of a parent are blank throughout: those have no rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from dmls.errors import InvalidTreeError, UsageError
from dmls.ids import NodeIndex
from dmls.mls.codec import decode
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.tree.hashes import LEAF, PARENT, LeafNodeHashInput, ParentNodeHashInput, tree_hash, tree_hash_input
from dmls.mls.tree.math import MAX_LEVEL, leaf_to_node, left, level, right, root
from dmls.mls.tree.nodes import Blank, Leaf, Node, Parent
from dmls.mls.tree.places import Places
from dmls.mls.tree.ratchet_tree import RatchetTree
from dmls.mls.tree.wire import check_sorted

__all__ = ["LoadedTrees", "load_tree", "new_nodes", "reachable"]

_LEFT_BLANK: Final = 1
_RIGHT_BLANK: Final = 2
"""Octets before a leaf node: node type, leaf index, presence."""


class LoadedTrees:
    """Subtrees loaded before, by tree hash: given to each `load_tree` of a group, its versions share them in memory too."""

    __slots__ = ("nodes", "places")

    def __init__(self) -> None:
        self.nodes: dict[bytes, Node] = {}
        self.places = Places()


def reachable(tree: RatchetTree, known: Callable[[bytes], bool] | None = None) -> Iterator[bytes]:
    """Yield the key of each row that a tree needs, an ancestor before what is below it.

    Args:
        tree: the tree.
        known: skips a row and all below it, where true.
    """
    return (tree_hash(tree.suite, node) for node in _rows(tree, known))


def new_nodes(tree: RatchetTree, known: Callable[[bytes], bool]) -> Iterator[tuple[bytes, bytes]]:
    """Yield key and content of the rows that a store lacks.

    Args:
        tree: the tree.
        known: says whether a row is in the store, which then holds all rows below it too.
    """
    for node in _rows(tree, known):
        blank = b"\x00"
        if isinstance(node, Parent):
            blank = bytes((_LEFT_BLANK * isinstance(node.left, Blank) + _RIGHT_BLANK * isinstance(node.right, Blank),))
        yield tree_hash(tree.suite, node), tree_hash_input(tree.suite, node) + blank


def _rows(tree: RatchetTree, known: Callable[[bytes], bool] | None) -> Iterator[Leaf | Parent]:
    waiting = [tree.root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Blank) or (known is not None and known(tree_hash(tree.suite, node))):
            continue
        yield node
        if isinstance(node, Parent):
            waiting += (node.right, node.left)


def load_tree(
    suite: CipherSuite, root_hash: bytes, width: int, fetch: Callable[[bytes], bytes], loaded: LoadedTrees | None = None
) -> RatchetTree:
    """Read a tree back.

    Args:
        suite: the group's.
        root_hash: tree hash of the whole tree.
        width: number of leaf slots, a power of two.
        fetch: returns the row of a key.
        loaded: what earlier calls read, extended by this one.

    Raises:
        CodecError: a row is not an encoded node.
        InvalidTreeError: a row is not what its key says.
        UsageError: `width` is no power of two, or too large.
    """
    top = root(width)
    if level(top) > MAX_LEVEL:
        raise UsageError(f"a tree has no {width} leaves")
    loaded = LoadedTrees() if loaded is None else loaded
    fresh: list[Node] = []
    node = _Loader(suite, fetch, loaded.nodes, fresh).load(root_hash, top)
    loaded.places.add(fresh)
    return RatchetTree(suite, node, loaded.places)


class _Loader:
    """Reads subtrees; deep as the tree is high."""

    def __init__(self, suite: CipherSuite, fetch: Callable[[bytes], bytes], nodes: dict[bytes, Node], fresh: list[Node]) -> None:
        self._suite = suite
        self._fetch = fetch
        self._nodes = nodes
        self._fresh = fresh

    def load(self, key: bytes, index: NodeIndex) -> Node:
        node = self._nodes.get(key)
        if node is None:
            row = self._fetch(key)
            if not row or self._suite.hash(row[:-1]) != key:
                raise InvalidTreeError("a stored node is not what its key says")
            node = self._read_parent(row, index) if index & 1 else self._read_leaf(row, index)
            node.tree_hash = key
            self._nodes[key] = node
            self._fresh.append(node)
        if node.index != index:
            raise InvalidTreeError("a stored node is of another place")
        return node

    def _read_leaf(self, row: bytes, index: NodeIndex) -> Leaf:
        content = decode(LeafNodeHashInput, _body(row, LEAF))
        if content.leaf_node is None or leaf_to_node(content.leaf_index) != index:
            raise InvalidTreeError("a stored leaf is blank or of another place")
        return Leaf(index, content.leaf_node)

    def _read_parent(self, row: bytes, index: NodeIndex) -> Parent:
        content = decode(ParentNodeHashInput, _body(row, PARENT))
        if content.parent_node is not None:
            check_sorted(content.parent_node)
        blank = row[-1]
        return Parent(
            index,
            self._child(content.left_hash, left(index), blank & _LEFT_BLANK != 0),
            self._child(content.right_hash, right(index), blank & _RIGHT_BLANK != 0),
            content.parent_node,
        )

    def _child(self, key: bytes, index: NodeIndex, is_blank: bool) -> Node:
        if not is_blank:
            return self.load(key, index)
        node = Blank(index)
        if tree_hash(self._suite, node) != key:
            raise InvalidTreeError("a stored node says that members are blank")
        return node


def _body(row: bytes, kind: int) -> bytes:
    if row[0] != kind:
        raise InvalidTreeError("a stored node is of the wrong type for its place")
    return row[1:-1]
