"""The ratchet tree on the wire: `optional<Node> ratchet_tree<V>` (RFC 9420, Section 12.4.3.3)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Final

from dmls.errors import InvalidTreeError, LimitError
from dmls.ids import NodeIndex
from dmls.mls.codec import Enum8, check_end, decoder_of, encode, encode_length, read_length, read_presence
from dmls.mls.messages.leaf_node import LeafNode
from dmls.mls.tree.hashes import LEAF, PARENT
from dmls.mls.tree.math import level
from dmls.mls.tree.nodes import Blank, Leaf, Node, Parent, ParentNode, in_order

__all__ = ["check_sorted", "decode_nodes", "encode_nodes"]


_BLANKS: Final = re.compile(rb"\x00*")


class _NodeType(Enum8):
    LEAF = LEAF
    PARENT = PARENT


_decode_node_type = decoder_of(_NodeType)
_decode_leaf_node = decoder_of(LeafNode)
_decode_parent_node = decoder_of(ParentNode)


def encode_nodes(root: Node) -> bytes:
    """Encode the tree below `root`, without the blank nodes at its end."""
    parts: list[bytes] = []
    for node in in_order(root):
        if isinstance(node, Leaf):
            parts += (b"\x01\x01", encode(node.leaf_node))
        elif isinstance(node, Blank):
            parts.append(bytes((2 << level(node.index)) - 1))
        else:
            parts.append(b"\x00" if node.node is None else b"\x01\x02" + encode(node.node))
    while parts and not any(parts[-1]):
        parts.pop()
    body = b"".join(parts)
    return encode_length(len(body)) + body


def decode_nodes(data: bytes, max_leaves: int) -> Node:
    """Decode a tree and return its root.

    Raises:
        CodecError: not an encoding of a tree.
        InvalidTreeError: no nodes, a node of the wrong type for its place, or a blank or parent node at the end
            (rules TR-16 to TR-18), or unsorted unmerged leaves (rule TR-05).
        LimitError: more than `max_leaves` leaves.
    """
    length, pos = read_length(data, 0, len(data))
    end = pos + length
    check_end(end, data, "the tree")
    if not length:
        raise InvalidTreeError("the tree has no nodes", rule="TR-18")
    nodes: dict[int, Leaf | ParentNode] = {}
    index, most = 0, 2 * max_leaves - 1
    while pos < end:
        # Nothing that is blank is visited by itself, or a few octets would make as much work as a full tree.
        blanks = _count_blanks(data, pos, min(end, pos + most - index + 1))
        index, pos = index + blanks, pos + blanks
        if index > most or (index == most and pos < end):
            raise LimitError(f"the tree has more than {max_leaves} leaves", rule="ENC-17")
        if pos < end:
            nodes[index], pos = _read_node(data, pos, end, index)
            index += 1
    last = nodes.get(index - 1)
    if last is None:
        raise InvalidTreeError("the last node is blank", rule="TR-16")
    if not isinstance(last, Leaf):
        raise InvalidTreeError("the last node is a parent", rule="TR-18")
    return _assemble(nodes, index)


def _count_blanks(data: bytes, pos: int, end: int) -> int:
    found = _BLANKS.match(data, pos, end)
    return 0 if found is None else found.end() - pos


def _read_node(data: bytes, pos: int, end: int, index: int) -> tuple[Leaf | ParentNode, int]:
    """Read a node that is not blank."""
    _, pos = read_presence(data, pos, end)
    kind, pos = _decode_node_type(data, pos, end)
    if (kind is _NodeType.PARENT) != index & 1:
        raise InvalidTreeError(f"node {index} is of the wrong type for its place", rule="TR-17")
    if kind is _NodeType.LEAF:
        leaf_node, after = _decode_leaf_node(data, pos, end)
        return Leaf(NodeIndex(index), leaf_node), after
    parent, pos = _decode_parent_node(data, pos, end)
    check_sorted(parent)
    return parent, pos


def check_sorted(parent: ParentNode) -> None:
    """Check that the unmerged leaves of a node that was read ascend (rule TR-05).

    Raises:
        InvalidTreeError: they do not, or one occurs twice.
    """
    leaves = parent.unmerged_leaves
    if any(leaf >= following for leaf, following in pairwise(leaves)):
        raise InvalidTreeError("unmerged leaves are not in ascending order", rule="TR-05")


def _assemble(nodes: Mapping[int, Leaf | ParentNode], size: int) -> Node:
    """Make the tree out of what is not blank of an array of `size` nodes, level by level."""
    parents: dict[int, dict[int, ParentNode]] = {}
    # Subtrees by their number within a level.
    subtrees: dict[int, Node] = {}
    for index, held in nodes.items():
        if isinstance(held, Leaf):
            subtrees[index >> 1] = held
        else:
            height = level(index)
            parents.setdefault(height, {})[index >> (height + 1)] = held
    for height in range(1, size.bit_length()):
        held_here = parents.get(height, {})
        below, subtrees = subtrees, {}
        half = 1 << (height - 1)
        for number in {number >> 1 for number in below} | held_here.keys():
            index = (number << (height + 1)) + 2 * half - 1
            subtrees[number] = Parent(
                NodeIndex(index),
                below.get(2 * number) or Blank(NodeIndex(index - half)),
                below.get(2 * number + 1) or Blank(NodeIndex(index + half)),
                held_here.get(number),
            )
    return subtrees[0]
