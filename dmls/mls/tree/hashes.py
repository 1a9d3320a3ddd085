"""Tree hashes (RFC 9420, Section 7.8) and the tree hashes that parent hashes are made of (RFC 9420, Section 7.9)."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from dmls.mls.codec import encode, encode_opaque, opaque, optional, struct, uint32
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.messages.leaf_node import LeafNode
from dmls.mls.tree.math import leaf_to_node, leaves_below, left, level, right
from dmls.mls.tree.nodes import Blank, Leaf, Node, Parent, ParentNode, between

__all__ = ["LEAF", "PARENT", "LeafNodeHashInput", "ParentNodeHashInput", "original_tree_hash", "tree_hash", "tree_hash_input"]

LEAF = 1
PARENT = 2
"""The two values of NodeType (RFC 9420, Section 7.8)."""

_FORGOTTEN_LEVELS = 3
_REMEMBERED_BLANKS = 1 << 16
"""Enough for the blank nodes above `_FORGOTTEN_LEVELS` of the largest trees that `RatchetTree.decode` takes by default, in all
cipher suites: nobody can make them be hashed twice."""


@struct
class LeafNodeHashInput:
    """What is hashed for a leaf, after its type."""

    leaf_index: uint32
    leaf_node: optional[LeafNode]


@struct
class ParentNodeHashInput:
    """What is hashed for a parent, after its type."""

    parent_node: optional[ParentNode]
    left_hash: opaque
    right_hash: opaque


def _leaf_input(index: int, encoding: bytes | None) -> bytes:
    # As LeafNodeHashInput, around a leaf node that is encoded already.
    head = b"\x01" + (index >> 1).to_bytes(4, "big")
    return head + b"\x00" if encoding is None else head + b"\x01" + encoding  # TR-14


def _parent_input(node: ParentNode | None, left_hash: bytes, right_hash: bytes) -> bytes:
    # As ParentNodeHashInput; this is the hottest place of a commit.
    if node is None:
        head = b"\x02\x00"
    elif node.unmerged_leaves:
        head = b"\x02\x01" + encode(node)
    else:
        head = b"\x02\x01" + encode_opaque(node.encryption_key) + encode_opaque(node.parent_hash) + b"\x00"
    return head + encode_opaque(left_hash) + encode_opaque(right_hash)  # TR-14


def _blank_tree_hash(suite: CipherSuite, index: int) -> bytes:
    """Return the tree hash of a subtree of blank nodes, which is the same in all groups of a suite."""
    if level(index) > _FORGOTTEN_LEVELS:
        return _high_blank_tree_hash(suite, index)
    digests = [suite.hash(_leaf_input(leaf_to_node(leaf), None)) for leaf in range(*leaves_below(index))]
    while len(digests) > 1:
        digests = [suite.hash(_parent_input(None, *pair)) for pair in zip(digests[::2], digests[1::2], strict=True)]
    return digests[0]


@functools.lru_cache(maxsize=_REMEMBERED_BLANKS)
def _high_blank_tree_hash(suite: CipherSuite, index: int) -> bytes:
    return suite.hash(_parent_input(None, _blank_tree_hash(suite, left(index)), _blank_tree_hash(suite, right(index))))  # TR-15


def tree_hash_input(suite: CipherSuite, node: Leaf | Parent) -> bytes:
    """Return TreeHashInput of a node (rule TR-14); a blank subtree below counts in full width (rule TR-15)."""
    if isinstance(node, Leaf):
        return _leaf_input(node.index, encode(node.leaf_node))
    return _parent_input(node.node, tree_hash(suite, node.left), tree_hash(suite, node.right))


def tree_hash(suite: CipherSuite, node: Node) -> bytes:
    """Return the tree hash of a subtree, suite.hash_size bytes; deep as the subtree is high, and computed once."""
    digest = node.tree_hash
    if digest is None:
        digest = _blank_tree_hash(suite, node.index) if isinstance(node, Blank) else suite.hash(tree_hash_input(suite, node))
        node.tree_hash = digest
    return digest


def original_tree_hash(suite: CipherSuite, node: Node, removed: Sequence[int]) -> bytes:
    """Return the tree hash that a subtree had before some leaves were added (RFC 9420, Section 7.9; rule TR-21).

    Args:
        suite: the tree's.
        node: the subtree.
        removed: leaf indices below `node`, ascending: counted as blank, and as absent from every list of unmerged leaves.
    """
    if not removed or isinstance(node, Blank):
        return tree_hash(suite, node)
    if isinstance(node, Leaf):
        return _blank_tree_hash(suite, node.index)
    if node.original is not None and node.original[0] == removed:
        return node.original[1]
    held = node.node
    if held is not None and held.unmerged_leaves:
        gone = set(removed)
        kept = tuple(leaf for leaf in held.unmerged_leaves if leaf not in gone)  # TR-21
        held = ParentNode(held.encryption_key, held.parent_hash, kept)
    digest = suite.hash(
        _parent_input(
            held,
            original_tree_hash(suite, node.left, between(removed, node.left)),
            original_tree_hash(suite, node.right, between(removed, node.right)),
        )
    )
    node.original = (removed, digest)
    return digest
