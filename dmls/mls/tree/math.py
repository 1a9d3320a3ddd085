"""Where nodes are in the array representation of a full binary tree (RFC 9420, Appendix C).

Leaf `i` is node `2 * i`, parents are odd, and a node's index lies between those of its left and right subtree:

                         7
               3                    11
          1         5          9         13
        0   2     4   6      8  10     12  14

The level of a node is the number of trailing one bits of its index, so a node's place says all about its subtree and nothing
about the width of the tree it is in; only the root depends on that.
"""

from __future__ import annotations

from dmls.errors import UsageError
from dmls.ids import NodeIndex

__all__ = [
    "MAX_LEVEL",
    "ancestor",
    "common_ancestor",
    "covers",
    "leaf_to_node",
    "leaves_below",
    "left",
    "level",
    "parent",
    "right",
    "root",
    "sibling",
]

MAX_LEVEL = 31
"""Level of the highest root: node indices are of 32 bits, with the last leaf at 2^32 - 2."""


def level(node: int) -> int:
    """Return the height of a node above the leaves, 0 for a leaf."""
    return (~node & (node + 1)).bit_length() - 1  # TR-01


def leaf_to_node(leaf: int) -> NodeIndex:
    """Return the node index of a leaf."""
    return NodeIndex(leaf << 1)


def leaves_below(node: int) -> tuple[int, int]:
    """Return the first leaf below a node, or the leaf itself, and the one after the last."""
    width = ~node & (node + 1)
    first = (node + 1 - width) >> 1
    return first, first + width


def covers(node: int, leaf: int) -> bool:
    """Return whether a leaf is a node or below it."""
    height = level(node)
    return node >> (height + 1) == leaf >> height


def ancestor(leaf: int, height: int) -> NodeIndex:
    """Return the node at level `height` on the way from a leaf up, the leaf's own at 0."""
    return NodeIndex((leaf >> height << (height + 1)) + (1 << height) - 1)


def common_ancestor(leaf: int, other: int) -> NodeIndex:
    """Return the lowest node above two leaves."""
    return ancestor(leaf, (leaf ^ other).bit_length())


def root(width: int) -> NodeIndex:
    """Return the root of a tree of `width` leaves, a power of two.

    Raises:
        UsageError: `width` is no power of two.
    """
    if width < 1 or width & (width - 1):
        raise UsageError(f"{width} is no power of two")
    return NodeIndex(width - 1)


def left(node: int) -> NodeIndex:
    """Return the left child of a parent.

    Raises:
        UsageError: the node is a leaf.
    """
    return NodeIndex(node ^ (1 << _above_leaves(node) - 1))


def right(node: int) -> NodeIndex:
    """Return the right child of a parent.

    Raises:
        UsageError: the node is a leaf.
    """
    return NodeIndex(node ^ (3 << _above_leaves(node) - 1))


def parent(node: int, width: int) -> NodeIndex:
    """Return the parent of a node in a tree of `width` leaves.

    Raises:
        UsageError: the node is the root, or not in the tree.
    """
    if not 0 <= node < 2 * width - 1 or node == root(width):
        raise UsageError(f"node {node} has no parent among {width} leaves")
    height = level(node)
    return NodeIndex((node | 1 << height) & ~(1 << (height + 1)))


def sibling(node: int, width: int) -> NodeIndex:
    """Return the other child of a node's parent, in a tree of `width` leaves.

    Raises:
        UsageError: the node is the root, or not in the tree.
    """
    above = parent(node, width)
    return right(above) if node < above else left(above)


def _above_leaves(node: int) -> int:
    height = level(node)
    if height == 0:
        raise UsageError(f"node {node} is a leaf")
    return height
