"""The nodes of a ratchet tree as they are held in memory.

A node is never changed once made, except that it remembers what was derived from it alone. An operation on a tree makes new
nodes from the leaves it touches up to the root and shares all others with the version before, so that a version more costs as
much as what is new in it. Whatever has neither members nor keys below it is one `Blank`, of any height.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

from dmls.ids import LeafIndex, NodeIndex
from dmls.mls.codec import bounded, opaque, struct, uint32
from dmls.mls.messages.leaf_node import LeafNode
from dmls.mls.tree.math import leaf_to_node, leaves_below, left, right
from dmls.mls.tree.support import NO_MEMBERS, Support, combine, leaf_support

__all__ = [
    "Blank",
    "Content",
    "Leaf",
    "Node",
    "Parent",
    "ParentNode",
    "Slot",
    "between",
    "blank_leaves",
    "children",
    "find_node",
    "in_order",
    "members_support",
    "node_key",
    "resolution",
    "rewrite",
]


@struct
class ParentNode:
    """The content of a parent that is not blank (RFC 9420, Section 7.1)."""

    encryption_key: opaque
    parent_hash: opaque
    unmerged_leaves: bounded[uint32]


class Leaf:
    """A member's leaf.

    Attributes:
        index: its node index, twice the leaf index.
        tree_hash: None until asked for.
    """

    __slots__ = ("index", "leaf_node", "tree_hash")
    members: Final = 1
    resolution_size: Final = 1

    def __init__(self, index: NodeIndex, leaf_node: LeafNode) -> None:
        self.index = index
        self.leaf_node = leaf_node
        self.tree_hash: bytes | None = None

    @classmethod
    def at(cls, leaf: LeafIndex, leaf_node: LeafNode) -> Leaf:
        """Put a leaf node at a leaf index."""
        return cls(leaf_to_node(leaf), leaf_node)


class Blank:
    """A blank leaf, or a subtree of blank nodes only, known by its topmost node."""

    __slots__ = ("index", "tree_hash")
    members: Final = 0
    resolution_size: Final = 0

    def __init__(self, index: NodeIndex) -> None:
        self.index = index
        self.tree_hash: bytes | None = None


class Parent:
    """A parent node, blank where `node` is None, over at least one node that is not.

    Attributes:
        members: leaves below that are not blank.
        resolution_size: length of the resolution.
        tree_hash, support, original: None until asked for; `original` is the last list of leaves that the tree hash was
            computed without, with that hash.
    """

    __slots__ = ("index", "left", "members", "node", "original", "resolution_size", "right", "support", "tree_hash")

    def __init__(self, index: NodeIndex, left: Node, right: Node, node: ParentNode | None) -> None:
        self.index = index
        self.left = left
        self.right = right
        self.node = node
        self.members: int = left.members + right.members
        self.resolution_size: int = (
            left.resolution_size + right.resolution_size if node is None else 1 + len(node.unmerged_leaves)
        )
        self.tree_hash: bytes | None = None
        self.support: Support | None = None
        self.original: tuple[Sequence[int], bytes] | None = None


Slot: TypeAlias = Leaf | Blank
"""What stands at a leaf index."""

Node: TypeAlias = Leaf | Blank | Parent

Content: TypeAlias = Callable[[NodeIndex, ParentNode | None, Sequence[Slot]], ParentNode | None]
"""Says what a parent holds after leaves below it changed, from its index, what it held and the new leaves below it."""


def children(node: Parent | Blank) -> tuple[Node, Node]:
    """Return the left and right subtree of a node above the leaves."""
    if isinstance(node, Parent):
        return node.left, node.right
    return Blank(left(node.index)), Blank(right(node.index))


def rewrite(node: Node, slots: Sequence[Slot], content: Content) -> Node:
    """Return a subtree with some of its leaves replaced; deep as the tree is high.

    Args:
        node: the subtree.
        slots: at least one, ascending, all below `node`.
        content: asked for each parent above a replaced leaf.
    """
    if isinstance(node, Leaf) or not node.index & 1:
        return slots[0]
    index = node.index
    first, second = children(node)
    # The index of a parent lies between those of its subtrees.
    if slots[-1].index < index:
        first = rewrite(first, slots, content)
    elif slots[0].index > index:
        second = rewrite(second, slots, content)
    else:
        middle = bisect_left(slots, index, key=_index)
        first = rewrite(first, slots[:middle], content)
        second = rewrite(second, slots[middle:], content)
    held = content(index, node.node if isinstance(node, Parent) else None, slots)
    if held is None and isinstance(first, Blank) and isinstance(second, Blank):
        return Blank(index)
    return Parent(index, first, second, held)


def _index(node: Slot) -> NodeIndex:
    return node.index


def find_node(root: Node, index: int) -> Node:
    """Return the node at an index below `root`; the whole blank subtree where it is part of one."""
    node = root
    while isinstance(node, Parent) and node.index != index:
        node = node.left if index < node.index else node.right
    return node


def node_key(node: Node) -> bytes | None:
    """Return the encryption key that a node holds, None where it is blank."""
    if isinstance(node, Leaf):
        return node.leaf_node.encryption_key
    return node.node.encryption_key if isinstance(node, Parent) and node.node is not None else None


def in_order(root: Node) -> Iterator[Node]:
    """Yield all nodes from left to right; a blank subtree counts as one."""
    waiting: list[Parent] = []
    node = root
    while True:
        while isinstance(node, Parent):
            waiting.append(node)
            node = node.left
        yield node
        if not waiting:
            return
        above = waiting.pop()
        yield above
        node = above.right


def blank_leaves(root: Node) -> Iterator[LeafIndex]:
    """Yield the blank leaves from left to right, visiting nothing that is full."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        first, end = leaves_below(node.index)
        if isinstance(node, Blank):
            yield from map(LeafIndex, range(first, end))
        elif isinstance(node, Parent) and node.members < end - first:
            waiting += (node.right, node.left)


def resolution(node: Node) -> Iterator[NodeIndex]:
    """Yield the resolution of a node (RFC 9420, Section 4.1.1; rule TR-02)."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Leaf):
            yield node.index
        elif isinstance(node, Parent):
            if node.node is None:
                waiting += (node.right, node.left)
            else:
                yield node.index
                yield from map(leaf_to_node, node.node.unmerged_leaves)  # TR-02


def between(leaves: Sequence[int], node: Node) -> Sequence[int]:
    """Return those of the ascending `leaves` that are below a node."""
    if not leaves:
        return leaves
    first, end = leaves_below(node.index)
    if first <= leaves[0] and leaves[-1] < end:
        return leaves
    at = bisect_left(leaves, first)
    return leaves[at : bisect_left(leaves, end, lo=at)]


def members_support(node: Node) -> Support:
    """Return what the members below a node have in common; deep as the subtree is high."""
    if isinstance(node, Leaf):
        return leaf_support(node.leaf_node)
    if isinstance(node, Blank):
        return NO_MEMBERS
    if node.support is None:
        if not (node.left.members and node.right.members):
            node.support = members_support(node.left if node.left.members else node.right)
        else:
            node.support = combine(members_support(node.left), members_support(node.right))
    return node.support
