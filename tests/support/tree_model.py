"""A ratchet tree as RFC 9420 tells it: one array, whole copies, everything computed anew. Slow, and simple enough to trust."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import TypeAlias

from dmls.mls.codec import encode, encode_as, encode_opaque, uint32, vector
from dmls.mls.messages.leaf_node import LeafNode
from dmls.mls.tree.nodes import ParentNode

__all__ = ["ParentHash", "TreeModel"]

Content = LeafNode | ParentNode | None
ParentHash: TypeAlias = "Callable[[TreeModel, int, int], bytes]"
"""How the hash of a parent is made, from its index and that of its child on the copath."""


def _is_leaf(index: int) -> bool:
    return index % 2 == 0


def _level(index: int) -> int:
    level = 0
    while index & 1:
        index >>= 1
        level += 1
    return level


def _children(index: int) -> tuple[int, int]:
    step = 1 << (_level(index) - 1)
    return index - step, index + step


def _below(index: int) -> range:
    """All node indices of a subtree."""
    reach = (1 << _level(index)) - 1
    return range(index - reach, index + reach + 1)


class TreeModel:
    """The tree of a group with SHA-256."""

    def __init__(self, nodes: Sequence[Content]) -> None:
        self.nodes = list(nodes)

    @property
    def root(self) -> int:
        return len(self.nodes) // 2

    def copy(self) -> TreeModel:
        return TreeModel(self.nodes)

    def leaf(self, index: int) -> LeafNode:
        node = self.nodes[2 * index]
        assert isinstance(node, LeafNode)
        return node

    def parent(self, index: int) -> ParentNode:
        node = self.nodes[index]
        assert isinstance(node, ParentNode)
        return node

    # Section 4

    def direct_path(self, index: int) -> list[int]:
        path: list[int] = []
        node = self.root
        while node != index:
            path.append(node)
            left, right = _children(node)
            node = left if index in _below(left) else right
        return path[::-1]

    def resolution(self, index: int) -> list[int]:
        node = self.nodes[index]
        if isinstance(node, ParentNode):
            return [index, *(2 * leaf for leaf in node.unmerged_leaves)]
        if node is not None:
            return [index]
        if _is_leaf(index):
            return []
        left, right = _children(index)
        return self.resolution(left) + self.resolution(right)

    def copath_child(self, parent: int, index: int) -> int:
        left, right = _children(parent)
        return right if index in _below(left) else left

    def filtered_direct_path(self, leaf: int) -> list[int]:
        path = self.direct_path(2 * leaf)
        return [node for node in path if self.resolution(self.copath_child(node, 2 * leaf))]

    # Sections 7.8 and 7.9

    def tree_hash(self, index: int | None = None, without: frozenset[int] = frozenset()) -> bytes:
        index = self.root if index is None else index
        node = self.nodes[index]
        if _is_leaf(index):
            present = b"\x00" if node is None or index // 2 in without else b"\x01" + encode(node)
            return sha256(b"\x01" + (index // 2).to_bytes(4, "big") + present).digest()
        present = b"\x00"
        if isinstance(node, ParentNode):
            unmerged = tuple(leaf for leaf in node.unmerged_leaves if leaf not in without)
            present = b"\x01" + encode_opaque(node.encryption_key) + encode_opaque(node.parent_hash)
            present += encode_as(vector[uint32], unmerged)
        left, right = (encode_opaque(self.tree_hash(child, without)) for child in _children(index))
        return sha256(b"\x02" + present + left + right).digest()

    def parent_hash(self, parent: int, copath_child: int) -> bytes:
        node = self.parent(parent)
        sibling_hash = self.tree_hash(copath_child, frozenset(node.unmerged_leaves))
        parts = (node.encryption_key, node.parent_hash, sibling_hash)
        return sha256(b"".join(map(encode_opaque, parts))).digest()

    def is_parent_hash_valid(self, parent: int) -> bool:
        node = self.parent(parent)
        left, right = _children(parent)
        found = 0
        for child, sibling in ((left, right), (right, left)):
            resolution = self.resolution(child)
            for descendant in resolution:
                held = self.nodes[descendant]
                if isinstance(held, ParentNode):
                    parent_hash = held.parent_hash
                else:
                    assert held is not None
                    parent_hash = getattr(held.source, "parent_hash", b"")
                unmerged = {2 * leaf for leaf in node.unmerged_leaves} & set(_below(child))
                rest = set(resolution) - {descendant}
                found += parent_hash == self.parent_hash(parent, sibling) and unmerged == rest
        return found == 1

    def put_path(
        self,
        leaf: int,
        new_key: Callable[[], bytes],
        *,
        unmerged: Mapping[int, tuple[int, ...]] | None = None,
        keys: Mapping[int, bytes] | None = None,
        parent_hash: ParentHash | None = None,
    ) -> bytes:
        """Put new parents above a leaf, with lists of unmerged leaves and keys as wanted; return the hash for the leaf."""
        above = b""
        path = self.filtered_direct_path(leaf)
        for index in self.direct_path(2 * leaf):
            self.nodes[index] = None
        for index in reversed(path):
            key = (keys or {}).get(index) or new_key()
            self.nodes[index] = ParentNode(key, above, (unmerged or {}).get(index, ()))
            child = self.copath_child(index, 2 * leaf)
            above = self.parent_hash(index, child) if parent_hash is None else parent_hash(self, index, child)
        return above

    # Sections 7.5, 7.7 and 12.1

    def add(self, leaf_node: LeafNode) -> int:
        if None not in self.nodes[::2]:
            self.nodes += [None] * (len(self.nodes) + 1)
        leaf = self.nodes[::2].index(None)
        self.nodes[2 * leaf] = leaf_node
        for index in self.direct_path(2 * leaf):
            node = self.nodes[index]
            if isinstance(node, ParentNode):
                unmerged = tuple(sorted((*node.unmerged_leaves, leaf)))
                self.nodes[index] = ParentNode(node.encryption_key, node.parent_hash, unmerged)
        return leaf

    def update(self, leaf: int, leaf_node: LeafNode | None) -> None:
        self.nodes[2 * leaf] = leaf_node
        for index in self.direct_path(2 * leaf):
            self.nodes[index] = None

    def remove(self, leaf: int) -> None:
        self.update(leaf, None)
        while len(self.nodes) > 1 and not any(self.nodes[self.root + 1 :: 2]):
            del self.nodes[self.root :]

    def apply_path(self, leaf: int, public_keys: Sequence[bytes]) -> bytes:
        """Put new keys onto a member's filtered direct path; return the parent hash for its leaf, which it still lacks."""
        path = self.filtered_direct_path(leaf)
        assert len(path) == len(public_keys)
        for index in self.direct_path(2 * leaf):
            self.nodes[index] = None
        parent_hash = b""
        for index, public_key in zip(path[::-1], public_keys[::-1], strict=True):
            self.nodes[index] = ParentNode(public_key, parent_hash, ())
            parent_hash = self.parent_hash(index, self.copath_child(index, 2 * leaf))
        return parent_hash

    # Section 12.4.3.3

    def encode(self) -> bytes:
        nodes = list(self.nodes)
        while nodes and nodes[-1] is None:
            nodes.pop()
        kinds = {LeafNode: b"\x01", ParentNode: b"\x02"}
        body = b"".join(b"\x00" if node is None else b"\x01" + kinds[type(node)] + encode(node) for node in nodes)
        return encode_opaque(body)
