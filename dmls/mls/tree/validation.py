"""What a newcomer checks of a whole tree (RFC 9420, Sections 7.3, 7.9.2 and 12.4.3.1)."""

from __future__ import annotations

from collections.abc import Sequence

from dmls.errors import InvalidTreeError
from dmls.ids import LeafIndex
from dmls.mls.crypto.parallel import spread
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.tree.leaves import check_key, check_leaf_signature
from dmls.mls.tree.nodes import Blank, Leaf, Node, Parent, between, in_order, node_key
from dmls.mls.tree.parent_hash import check_parent_hashes
from dmls.mls.tree.ratchet_tree import RatchetTree

__all__ = ["validate_tree"]


def validate_tree(tree: RatchetTree, group_id: bytes) -> None:
    """Check everything of a received tree that the tree alone tells; the signatures, which cost most, come last.

    Its hash must be compared with the group's (rule TR-19), and what leaves say in the group's terms be judged, by the caller.

    Raises:
        InvalidTreeError: rules TR-24 to TR-32, LN-25.
        SignatureError: rule LN-02.
    """
    _check_unmerged_leaves(tree.root)
    _check_keys(tree.suite, tree.root)
    check_parent_hashes(tree.suite, tree.root)

    def check_signature(leaf: Leaf) -> None:
        check_leaf_signature(tree.suite, leaf.leaf_node, group_id, LeafIndex(leaf.index >> 1))

    spread(check_signature, [node for node in in_order(tree.root) if isinstance(node, Leaf)])


def _check_keys(suite: CipherSuite, root: Node) -> None:
    """Check that all keys are valid, and none stands in two places (rules TR-31, TR-32, LN-25)."""
    encryption_keys: set[bytes] = set()
    signature_keys: set[bytes] = set()
    for node in in_order(root):
        key = node_key(node)
        if key is None:
            continue
        if key in encryption_keys:
            raise InvalidTreeError("an encryption key stands in two nodes", rule="TR-31")
        encryption_keys.add(key)
        check_key(suite.check_encryption_key, key, InvalidTreeError)
        if isinstance(node, Leaf):
            if node.leaf_node.signature_key in signature_keys:
                raise InvalidTreeError("a signature key stands in two leaves", rule="TR-32")
            signature_keys.add(node.leaf_node.signature_key)


def _check_unmerged_leaves(root: Node) -> None:
    """Check that each unmerged leaf is a member below its node, known to all nodes between (rules TR-29, TR-30)."""
    for node in in_order(root):
        if isinstance(node, Parent) and node.node is not None and node.node.unmerged_leaves:
            unmerged = node.node.unmerged_leaves
            if len(between(unmerged, node)) != len(unmerged):
                raise InvalidTreeError(f"node {node.index} lists an unmerged leaf that is not below it", rule="TR-29")
            _check_listed(node.left, between(unmerged, node.left))
            _check_listed(node.right, between(unmerged, node.right))


def _check_listed(node: Node, leaves: Sequence[int]) -> None:
    """Check that leaves below `node` are members, and listed by the highest nodes that are not blank."""
    if not leaves or isinstance(node, Leaf):
        return
    if isinstance(node, Blank):
        raise InvalidTreeError(f"unmerged leaf {leaves[0]} is blank", rule="TR-29")
    if node.node is None:
        _check_listed(node.left, between(leaves, node.left))
        _check_listed(node.right, between(leaves, node.right))
    elif not set(leaves).issubset(node.node.unmerged_leaves):
        raise InvalidTreeError(f"node {node.index} misses an unmerged leaf that a node above lists", rule="TR-30")
