"""Ratchet trees described and drawn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dmls.mls.messages.credential import BasicCredential
from dmls.mls.messages.leaf_node import LeafNode
from dmls.mls.tree.math import leaves_below
from dmls.mls.tree.nodes import Leaf, Node, Parent, in_order
from dmls.mls.tree.ratchet_tree import RatchetTree
from dmls.tools.inspect.values import Drawing, Octets, Record, Text, Value

__all__ = ["describe_tree", "draw_tree"]

_KEY_OCTETS: Final = 4


def describe_tree(tree: RatchetTree, *, with_hash: bool) -> Record:
    """Describe a tree; its hash depends on a cipher suite, which a tree does not name."""
    nodes = list(in_order(tree.root))
    filled = sum(isinstance(node, Parent) and node.node is not None for node in nodes)
    record = Record("RatchetTree", {"members": tree.member_count, "leaves": tree.width, "filled_parents": filled})
    if with_hash:
        record.parts["tree_hash"] = Octets(tree.tree_hash)
    described = [found for node in nodes if (found := _describe_node(node)) is not None]
    record.parts["nodes"] = Drawing(described, tuple(draw_tree(tree.root)))
    return record


def _describe_node(node: Node) -> Record | None:
    if isinstance(node, Leaf):
        leaf = node.leaf_node
        parts: dict[str, Value] = {
            "node": int(node.index),
            "leaf": int(node.index >> 1),
            "identity": _identity(leaf),
            "source": type(leaf.source).__name__,
            "encryption_key": Octets(leaf.encryption_key),
            "signature_key": Octets(leaf.signature_key),
        }
        return Record("Leaf", parts)
    if isinstance(node, Parent) and node.node is not None:
        held = node.node
        return Record(
            "Parent",
            {
                "node": int(node.index),
                "encryption_key": Octets(held.encryption_key),
                "parent_hash": Octets(held.parent_hash),
                "unmerged_leaves": list(held.unmerged_leaves),
            },
        )
    return None


def _identity(leaf: LeafNode) -> Value:
    credential = leaf.credential
    return Text(credential.identity) if isinstance(credential, BasicCredential) else type(credential).__name__


def draw_tree(root: Node) -> Iterator[str]:
    """Yield the lines of a drawing, the root first; what is blank throughout is one line."""
    waiting: list[tuple[Node, str, str]] = [(root, "", "")]
    while waiting:
        node, first, rest = waiting.pop()
        yield first + _caption(node)
        if isinstance(node, Parent):
            waiting.append((node.right, f"{rest}`-- ", f"{rest}    "))
            waiting.append((node.left, f"{rest}|-- ", f"{rest}|   "))


def _caption(node: Node) -> str:
    if isinstance(node, Leaf):
        name = _identity(node.leaf_node)
        shown = f'"{name.read() or name.data.hex()}"' if isinstance(name, Text) else str(name)
        return f"leaf {node.index >> 1}: {shown}, key {_short(node.leaf_node.encryption_key)}"
    if isinstance(node, Parent):
        if node.node is None:
            return f"node {node.index}: blank"
        unmerged = f", unmerged leaves {', '.join(map(str, node.node.unmerged_leaves))}" if node.node.unmerged_leaves else ""
        return f"node {node.index}: key {_short(node.node.encryption_key)}{unmerged}"
    first, end = leaves_below(node.index)
    return f"leaf {first}: blank" if end - first == 1 else f"node {node.index}: leaves {first} to {end - 1} are blank"


def _short(key: bytes) -> str:
    return f"{key[:_KEY_OCTETS].hex()}.." if len(key) > _KEY_OCTETS else key.hex() or "empty"
