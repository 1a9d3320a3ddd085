"""Parent hashes: what ties each key of the tree to the signature of the member who put it there (RFC 9420, Section 7.9)."""

from __future__ import annotations

from collections.abc import Sequence

from dmls.errors import InvalidTreeError
from dmls.mls.codec import encode_opaque
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.messages.leaf_node import CommitSource
from dmls.mls.tree.hashes import original_tree_hash, tree_hash
from dmls.mls.tree.math import leaf_to_node
from dmls.mls.tree.nodes import Leaf, Node, Parent, ParentNode, between, find_node, in_order, resolution

__all__ = ["check_parent_hashes", "make_path_nodes", "parent_hash"]


def parent_hash(suite: CipherSuite, parent: ParentNode, sibling_hash: bytes) -> bytes:
    """Return the hash of ParentHashInput: a node, and the original tree hash of its child on the copath (rule TR-20)."""
    content = (parent.encryption_key, parent.parent_hash, sibling_hash)
    return suite.hash(b"".join(map(encode_opaque, content)))  # TR-20


def make_path_nodes(
    suite: CipherSuite, siblings: Sequence[Node], public_keys: Sequence[bytes]
) -> tuple[tuple[ParentNode, ...], bytes]:
    """Make the nodes of a new path (RFC 9420, Section 7.9).

    Args:
        suite: the tree's.
        siblings: the copath children of the filtered direct path, lowest first.
        public_keys: the new keys of the filtered direct path, lowest first.

    Returns:
        The nodes, lowest first, and the parent hash of the leaf below them, empty where there are none.
    """
    nodes: list[ParentNode] = []
    # The topmost node has none above it, whether or not it is the root (rules TR-22 and TR-23).
    above = b""  # TR-22
    for sibling, public_key in zip(reversed(siblings), reversed(public_keys), strict=True):  # TR-23
        node = ParentNode(public_key, above, ())
        nodes.append(node)
        # New nodes have no unmerged leaves, so the sibling counts as it is.
        above = parent_hash(suite, node, tree_hash(suite, sibling))
    return tuple(reversed(nodes)), above


def check_parent_hashes(suite: CipherSuite, root: Node) -> None:
    """Check that every parent that is not blank is parent-hash valid (RFC 9420, Section 7.9.2).

    The lists of unmerged leaves must have been checked before.

    Raises:
        InvalidTreeError: no descendant vouches for some node (rules TR-24 to TR-28).
    """
    for node in in_order(root):  # TR-28
        if not isinstance(node, Parent) or node.node is None:
            continue
        # No more than one side can vouch: each would have to hold a hash of the other.
        if not (_vouches(suite, node.node, node.left, node.right) or _vouches(suite, node.node, node.right, node.left)):
            raise InvalidTreeError(f"node {node.index} is not parent-hash valid", rule="TR-24")


def _vouches(suite: CipherSuite, parent: ParentNode, child: Node, sibling: Node) -> bool:
    """Return whether the node that `child` leads to holds the hash of `parent`, which is above `child` and `sibling`."""
    held = _held_hash(child, between(parent.unmerged_leaves, child))
    # An empty hash is that of no node (rule TR-27).
    if not held:  # TR-27
        return False
    removed = between(parent.unmerged_leaves, sibling)
    return held == parent_hash(suite, parent, original_tree_hash(suite, sibling, removed))


def _held_hash(child: Node, unmerged: Sequence[int]) -> bytes:
    """Return the parent hash in the one node of the resolution of `child` that is not in `unmerged`, else b"" (rule TR-25)."""
    # The lists were checked: all of `unmerged` are in the resolution. If a parent is in it, the rest are that parent's own list.
    if child.resolution_size != len(unmerged) + 1:  # TR-25
        return b""
    node = child
    if isinstance(child, Parent) and child.node is None:
        node = find_node(child, set(resolution(child)).difference(map(leaf_to_node, unmerged)).pop())
    if isinstance(node, Parent) and node.node is not None:
        return node.node.parent_hash
    # Leaves of sources key_package and update vouch for nothing (rule TR-26).
    if isinstance(node, Leaf) and isinstance(node.leaf_node.source, CommitSource):  # TR-26
        return node.leaf_node.source.parent_hash
    return b""
