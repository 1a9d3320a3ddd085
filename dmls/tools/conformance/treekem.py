"""Checks of treekem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dmls.ids import LeafIndex, NodeIndex
from dmls.mls.codec import decode, encode
from dmls.mls.crypto.randomness import Random
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.messages import leaf_node as leaf_nodes
from dmls.mls.messages.commit import UpdatePath
from dmls.mls.messages.group_context import GroupContext
from dmls.mls.messages.leaf_node import CommitSource, LeafNode
from dmls.mls.messages.registry import ProtocolVersion
from dmls.mls.tree.math import common_ancestor
from dmls.mls.tree.ratchet_tree import RatchetTree
from dmls.mls.tree.treekem import merge_path, open_path, seal_path, stage_path
from dmls.mls.tree.validation import validate_tree
from dmls.tools.conformance.fields import CheckError, Fields, checking, expect, repeating_random

__all__ = ["check_treekem"]

_NOBODY: frozenset[LeafIndex] = frozenset()


@dataclass(frozen=True, slots=True)
class _Member:
    """A member's private half of the tree."""

    private_keys: Mapping[bytes, Secret]
    signature_private_key: Secret


@dataclass(frozen=True, slots=True)
class _Epoch:
    """What the case says of its group."""

    suite: CipherSuite
    tree: RatchetTree
    context: GroupContext
    members: Mapping[LeafIndex, _Member]
    random: Random

    @classmethod
    def read(cls, case: Fields) -> _Epoch:
        suite = case.suite()
        with checking("ratchet_tree"):
            tree = RatchetTree.decode(suite, case.octets("ratchet_tree"))
            validate_tree(tree, case.octets("group_id"))
        context = GroupContext(
            ProtocolVersion.MLS10,
            suite.id,
            case.octets("group_id"),
            case.integer("epoch", 64),
            b"",
            case.octets("confirmed_transcript_hash"),
            (),
        )
        members = {}
        for entry in case.parts("leaves_private"):
            index = LeafIndex(entry.integer("index"))
            with checking(f"private keys of leaf {index}"):
                members[index] = _read_member(suite, tree, index, entry)
        return cls(suite, tree, context, members, repeating_random(tree.tree_hash))

    def sealing_context(self, merged: RatchetTree) -> bytes:
        """Return the group context that path secrets are sealed with: the tree is the one after the path."""
        return encode(replace(self.context, tree_hash=merged.tree_hash))


def _read_member(suite: CipherSuite, tree: RatchetTree, index: LeafIndex, entry: Fields) -> _Member:
    leaf = tree.leaf(index)
    if leaf is None:
        raise CheckError(f"private keys of leaf {index}", "the leaf is blank")
    encryption_key = entry.secret("encryption_priv", suite.kem.group.private_key_size)
    signature_key = entry.secret("signature_priv", suite.signature.private_key_size)
    expect(f"encryption_priv of leaf {index}", suite.public_key(encryption_key), leaf.encryption_key)
    expect(f"signature_priv of leaf {index}", suite.signature_public_key(signature_key), leaf.signature_key)
    keys = {leaf.encryption_key: encryption_key}
    for known in entry.parts("path_secrets"):
        node = NodeIndex(known.integer("node"))
        pair = suite.derive_key_pair(suite.derive_secret(known.secret("path_secret"), "node"))
        expect(f"path secret of node {node}, leaf {index}", pair.public_key, tree.encryption_key(node))
        keys[pair.public_key] = pair.private_key
    return _Member(keys, signature_key)


def check_treekem(case: Fields) -> None:
    """Check that given update paths open to the right secrets, and that own ones open (RFC 9420, Sections 7.4 to 7.6 and 7.9)."""
    epoch = _Epoch.read(case)
    for update in case.parts("update_paths"):
        sender = LeafIndex(update.integer("sender"))
        with checking(f"update path of leaf {sender}"):
            _check_given(epoch, sender, update)
            _check_own(epoch, sender)


def _check_given(epoch: _Epoch, sender: LeafIndex, update: Fields) -> None:
    suite, tree, name = epoch.suite, epoch.tree, f"update path of leaf {sender}"
    encoded = update.octets("update_path")
    path = decode(UpdatePath, encoded)
    expect(f"{name}: encoding", encode(path), encoded)
    leaf = path.leaf_node
    tbs = leaf_nodes.encode_tbs(leaf, epoch.context.group_id, sender)
    suite.verify_with_label(leaf.signature_key, "LeafNodeTBS", tbs, leaf.signature)
    merged = merge_path(tree, sender, path, excluded=_NOBODY)
    expect(f"{name}: tree_hash_after", merged.tree_hash, update.octets("tree_hash_after"))
    context = epoch.sealing_context(merged)
    path_secrets = update.optional_octet_list("path_secrets")
    expect(f"{name}: number of path secrets", len(path_secrets), tree.width)
    for number, path_secret in enumerate(path_secrets):
        receiver = LeafIndex(number)
        entitled = receiver != sender and tree.leaf(receiver) is not None
        expect(f"{name}: path secret of leaf {receiver} is given", path_secret is not None, entitled)
        if path_secret is None:
            continue
        keys = epoch.members[receiver].private_keys if receiver in epoch.members else {}
        opened = open_path(tree, merged, sender, path, _NOBODY, keys, (receiver,), context)
        expect(f"{name}: commit_secret of leaf {receiver}", opened.commit_secret, update.octets("commit_secret"))
        nodes = tree.filtered_direct_path(sender)
        wanted = _derived_keys(suite, path_secret, len(nodes) - nodes.index(common_ancestor(sender, receiver)))
        expect(f"{name}: keys of leaf {receiver}", dict(opened.private_keys), wanted)


def _derived_keys(suite: CipherSuite, path_secret: bytes, count: int) -> dict[bytes, Secret]:
    """Return the key pairs of `count` nodes, the lowest one's from its path secret."""
    keys = {}
    for _ in range(count):
        pair = suite.derive_key_pair(suite.derive_secret(path_secret, "node"))
        keys[pair.public_key] = pair.private_key
        path_secret = suite.derive_secret(path_secret, "path")
    return keys


def _check_own(epoch: _Epoch, sender: LeafIndex) -> None:
    """Make a path as the sender and let all others open it."""
    suite, tree, group_id = epoch.suite, epoch.tree, epoch.context.group_id
    name, old, member = f"own path of leaf {sender}", tree.leaf(sender), epoch.members.get(sender)
    if old is None or member is None:
        raise CheckError(name, "no private keys of the sender are given")

    def renew(encryption_key: bytes, parent_hash: bytes) -> LeafNode:
        leaf = replace(old, encryption_key=encryption_key, source=CommitSource(parent_hash))
        tbs = leaf_nodes.encode_tbs(leaf, group_id, sender)
        return replace(leaf, signature=suite.sign_with_label(member.signature_private_key, "LeafNodeTBS", tbs))

    staged = stage_path(tree, sender, renew, epoch.random)
    context = epoch.sealing_context(staged.tree)
    path = decode(UpdatePath, encode(seal_path(tree, staged, _NOBODY, context, epoch.random)))
    merged = merge_path(tree, sender, path, excluded=_NOBODY)
    expect(f"{name}: tree hash", merged.tree_hash, staged.tree.tree_hash)
    validate_tree(merged, group_id)
    for receiver, other in epoch.members.items():
        if receiver != sender:
            opened = open_path(tree, merged, sender, path, _NOBODY, other.private_keys, (receiver,), context)
            secrets = (opened.last_path_secret, opened.commit_secret)
            expect(f"{name}: secrets of leaf {receiver}", secrets, (staged.last_path_secret, staged.commit_secret))
