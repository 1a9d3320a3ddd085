"""Checks of tree-operations and tree-validation."""

from __future__ import annotations

from dmls.ids import LeafIndex, NodeIndex
from dmls.mls.codec import decode_as
from dmls.mls.messages.proposal import Add, Proposal, Remove, Update
from dmls.mls.tree.hashes import tree_hash
from dmls.mls.tree.nodes import Blank, find_node
from dmls.mls.tree.ratchet_tree import RatchetTree
from dmls.mls.tree.validation import validate_tree
from dmls.tools.conformance.fields import CheckError, Fields, checking, expect

__all__ = ["check_tree_operations", "check_tree_validation"]


def check_tree_operations(case: Fields) -> None:
    """Check what a proposal makes of a tree (RFC 9420, Sections 7.7, 7.8 and 12.1)."""
    encoded = case.octets("tree_before")
    with checking("tree_before"):
        before = RatchetTree.decode(case.suite(), encoded)
    expect("tree_hash_before", before.tree_hash, case.octets("tree_hash_before"))
    with checking("proposal"):
        proposal = decode_as(Proposal, case.octets("proposal"))
        match proposal:
            case Add():
                after, _ = before.add(proposal.key_package.leaf_node)
            case Update():
                after = before.update(LeafIndex(case.integer("proposal_sender")), proposal.leaf_node)
            case Remove():
                after = before.remove(LeafIndex(proposal.removed))
            case _:
                raise CheckError("proposal", f"is a {type(proposal).__name__}")
    expect("tree_after", after.encode(), case.octets("tree_after"))
    expect("tree_hash_after", after.tree_hash, case.octets("tree_hash_after"))
    expect("tree_before: unchanged", before.encode(), encoded)


def check_tree_validation(case: Fields) -> None:
    """Check resolutions and hashes of all nodes, and that the tree is valid (RFC 9420, Sections 4.1.1, 7.3, 7.8 and 7.9.2)."""
    encoded = case.octets("tree")
    with checking("tree"):
        tree = RatchetTree.decode(case.suite(), encoded)
    expect("tree: encoding", tree.encode(), encoded)
    resolutions, hashes = case.integer_lists("resolutions"), case.octet_list("tree_hashes")
    expect("number of nodes", (len(resolutions), len(hashes)), (2 * tree.width - 1,) * 2)
    for number, (resolution, digest) in enumerate(zip(resolutions, hashes, strict=True)):
        index = NodeIndex(number)
        expect(f"resolution of node {number}", tree.resolution(index), resolution)
        node = find_node(tree.root, index)
        # A node inside a blank subtree is a blank subtree itself.
        expect(f"tree hash of node {number}", tree_hash(tree.suite, Blank(index) if isinstance(node, Blank) else node), digest)
    with checking("parent hashes and leaf signatures"):
        validate_tree(tree, case.octets("group_id"))
