from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest

from dmls.ids import LeafIndex, NodeIndex
from dmls.mls.codec import decode, decode_as, encode
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite, cipher_suite
from dmls.mls.messages.commit import UpdatePath
from dmls.mls.messages.group_context import GroupContext
from dmls.mls.messages.leaf_node import CommitSource, LeafNode, encode_tbs
from dmls.mls.messages.proposal import Add, Proposal, Remove, Update
from dmls.mls.messages.registry import ProtocolVersion
from dmls.mls.tree.hashes import tree_hash
from dmls.mls.tree.math import common_ancestor
from dmls.mls.tree.nodes import Blank, find_node
from dmls.mls.tree.ratchet_tree import RatchetTree
from dmls.mls.tree.treekem import merge_path, open_path, seal_path, stage_path
from dmls.mls.tree.validation import validate_tree
from tests.support.tree import sign_leaf
from tests.support.vectors import load_vectors

OPERATIONS = load_vectors("tree-operations.json")
VALIDATION = load_vectors("tree-validation.json")
TREEKEM = load_vectors("treekem.json")
NOBODY: frozenset[LeafIndex] = frozenset()


def load(case: dict[str, Any], name: str = "tree") -> RatchetTree:
    return RatchetTree.decode(cipher_suite(case["cipher_suite"]), bytes.fromhex(case[name]))


@pytest.mark.parametrize("case", OPERATIONS, ids=[str(number) for number in range(len(OPERATIONS))])
def test_tree_operations(case: dict[str, Any]) -> None:
    before = load(case, "tree_before")
    assert before.tree_hash.hex() == case["tree_hash_before"]
    proposal = decode_as(Proposal, bytes.fromhex(case["proposal"]))
    match proposal:
        case Add():
            after, _ = before.add(proposal.key_package.leaf_node)
        case Update():
            after = before.update(LeafIndex(case["proposal_sender"]), proposal.leaf_node)
        case Remove():
            after = before.remove(LeafIndex(proposal.removed))
        case _:
            pytest.fail(f"unexpected {type(proposal).__name__}")
    assert after.encode().hex() == case["tree_after"]
    assert after.tree_hash.hex() == case["tree_hash_after"]
    assert before.encode().hex() == case["tree_before"]


@pytest.mark.parametrize(
    "case", VALIDATION, ids=[f"{number}-suite{case['cipher_suite']}" for number, case in enumerate(VALIDATION)]
)
def test_tree_validation(case: dict[str, Any]) -> None:
    tree = load(case)
    assert tree.encode().hex() == case["tree"]
    assert 2 * tree.width - 1 == len(case["resolutions"]) == len(case["tree_hashes"])
    for number, (resolution, digest) in enumerate(zip(case["resolutions"], case["tree_hashes"], strict=True)):
        index = NodeIndex(number)
        assert tree.resolution(index) == tuple(resolution)
        node = find_node(tree.root, index)
        # A node inside a blank subtree is a blank subtree itself.
        assert tree_hash(tree.suite, Blank(index) if isinstance(node, Blank) else node).hex() == digest
    validate_tree(tree, bytes.fromhex(case["group_id"]))


def treekem_context(case: dict[str, Any], tree: RatchetTree) -> bytes:
    return encode(
        GroupContext(
            ProtocolVersion.MLS10,
            case["cipher_suite"],
            bytes.fromhex(case["group_id"]),
            case["epoch"],
            tree.tree_hash,
            bytes.fromhex(case["confirmed_transcript_hash"]),
            (),
        )
    )


def private_keys(suite: CipherSuite, tree: RatchetTree, member: dict[str, Any]) -> Mapping[bytes, Secret]:
    """Check a member's private half of the tree and return it by public key."""
    leaf = tree.leaf(member["index"])
    assert leaf is not None
    encryption_key = Secret(bytes.fromhex(member["encryption_priv"]))
    assert suite.public_key(encryption_key) == leaf.encryption_key
    assert suite.signature_public_key(bytes.fromhex(member["signature_priv"])) == leaf.signature_key
    keys = {leaf.encryption_key: encryption_key}
    for entry in member["path_secrets"]:
        pair = suite.derive_key_pair(suite.derive_secret(bytes.fromhex(entry["path_secret"]), "node"))
        assert pair.public_key == tree.encryption_key(entry["node"])
        keys[pair.public_key] = pair.private_key
    return keys


@pytest.mark.parametrize("case", TREEKEM, ids=[f"{number}-suite{case['cipher_suite']}" for number, case in enumerate(TREEKEM)])
def test_treekem(case: dict[str, Any], rng: random.Random) -> None:
    suite = cipher_suite(case["cipher_suite"])
    tree = load(case, "ratchet_tree")
    group_id = bytes.fromhex(case["group_id"])
    validate_tree(tree, group_id)
    keys = {member["index"]: private_keys(suite, tree, member) for member in case["leaves_private"]}
    signing = {member["index"]: bytes.fromhex(member["signature_priv"]) for member in case["leaves_private"]}

    for update in case["update_paths"]:
        sender = LeafIndex(update["sender"])
        path = decode(UpdatePath, bytes.fromhex(update["update_path"]))
        assert encode(path).hex() == update["update_path"]
        nodes = tree.filtered_direct_path(sender)
        assert len(path.nodes) == len(nodes)
        leaf = path.leaf_node
        suite.verify_with_label(leaf.signature_key, "LeafNodeTBS", encode_tbs(leaf, group_id, sender), leaf.signature)
        merged = merge_path(tree, sender, path, excluded=NOBODY)
        assert merged.tree_hash.hex() == update["tree_hash_after"]
        context = treekem_context(case, merged)
        assert len(update["path_secrets"]) == tree.width
        for number, expected in enumerate(update["path_secrets"]):
            receiver = LeafIndex(number)
            if expected is None:
                assert receiver == sender or tree.leaf(receiver) is None
                continue
            opened = open_path(tree, merged, sender, path, NOBODY, keys[receiver], (receiver,), context)
            assert opened.commit_secret.hex() == update["commit_secret"]
            lowest = nodes.index(common_ancestor(sender, receiver))
            assert len(opened.private_keys) == len(nodes) - lowest
            secret: bytes = bytes.fromhex(expected)
            for above in nodes[lowest:]:
                pair = suite.derive_key_pair(suite.derive_secret(secret, "node"))
                assert opened.private_keys[merged.encryption_key(above)] == pair.private_key
                assert opened.last_path_secret == secret or above != nodes[-1]
                secret = suite.derive_secret(secret, "path")

        old = tree.leaf(sender)
        assert old is not None

        def renew(encryption_key: bytes, parent_hash: bytes, old: LeafNode = old, sender: LeafIndex = sender) -> LeafNode:
            leaf = LeafNode(
                encryption_key,
                old.signature_key,
                old.credential,
                old.capabilities,
                CommitSource(parent_hash),
                old.extensions,
                b"",
            )
            return sign_leaf(suite, leaf, signing[sender], group_id, sender)

        staged = stage_path(tree, sender, renew, rng.randbytes)
        own_context = treekem_context(case, staged.tree)
        sealed = seal_path(tree, staged, NOBODY, own_context, rng.randbytes)
        received = decode(UpdatePath, encode(sealed))
        own_merged = merge_path(tree, sender, received, excluded=NOBODY)
        assert own_merged == staged.tree
        validate_tree(own_merged, group_id)
        for receiver, held in keys.items():
            if receiver != sender:
                opened = open_path(tree, own_merged, sender, received, NOBODY, held, (receiver,), own_context)
                assert opened.commit_secret == staged.commit_secret
                assert opened.last_path_secret == staged.last_path_secret
