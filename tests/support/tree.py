"""Members made from a seed, for tests of the ratchet tree."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from dmls.ids import LeafIndex
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.messages.credential import BasicCredential
from dmls.mls.messages.leaf_node import Capabilities, CommitSource, LeafNode, LeafNodeSource, Lifetime, UpdateSource, encode_tbs
from dmls.mls.tree.ratchet_tree import RatchetTree
from dmls.mls.tree.treekem import stage_path

__all__ = [
    "GROUP_ID",
    "Member",
    "full_tree",
    "leaf_maker",
    "make_member",
    "make_tree",
    "renew_leaf",
    "sign_leaf",
    "updated_member",
]

GROUP_ID = b"!room:example.org"


@dataclass(frozen=True)
class Member:
    """A member with its private keys; `leaf_node` is as in its key package."""

    leaf_node: LeafNode
    encryption_key: Secret
    signing_key: Secret


def sign_leaf(suite: CipherSuite, leaf: LeafNode, signing_key: bytes, group_id: bytes, index: LeafIndex) -> LeafNode:
    """Put a right signature onto a leaf, whatever else is wrong with it."""
    return replace(leaf, signature=suite.sign_with_label(signing_key, "LeafNodeTBS", encode_tbs(leaf, group_id, index)))


def make_member(suite: CipherSuite, rng: random.Random, name: str, capabilities: Capabilities | None = None) -> Member:
    """Make a member with fresh keys."""
    encryption = suite.derive_key_pair(rng.randbytes(suite.hash_size))
    signing = suite.generate_signature_key_pair(rng.randbytes)
    leaf = LeafNode(
        encryption.public_key,
        signing.public_key,
        BasicCredential(name.encode()),
        capabilities or Capabilities((1,), (suite.id,), (), (), (1,)),
        Lifetime(0, 2**64 - 1),
        (),
        b"",
    )
    return Member(sign_leaf(suite, leaf, signing.private_key, b"", LeafIndex(0)), encryption.private_key, signing.private_key)


def renew_leaf(
    suite: CipherSuite,
    member: Member,
    encryption_key: bytes,
    source: LeafNodeSource,
    index: LeafIndex,
    group_id: bytes = GROUP_ID,
) -> LeafNode:
    """Give a member's leaf a new key and source, and sign it."""
    leaf = replace(member.leaf_node, encryption_key=encryption_key, source=source)
    return sign_leaf(suite, leaf, member.signing_key, group_id, index)


def leaf_maker(
    suite: CipherSuite, member: Member, index: LeafIndex, group_id: bytes = GROUP_ID
) -> Callable[[bytes, bytes], LeafNode]:
    """Return the `make_leaf` of a member that commits."""
    return lambda encryption_key, parent_hash: renew_leaf(
        suite, member, encryption_key, CommitSource(parent_hash), index, group_id
    )


def updated_member(suite: CipherSuite, rng: random.Random, member: Member, index: LeafIndex) -> Member:
    """Give a member a new leaf as an Update proposal does."""
    pair = suite.derive_key_pair(rng.randbytes(suite.hash_size))
    return replace(
        member, leaf_node=renew_leaf(suite, member, pair.public_key, UpdateSource(), index), encryption_key=pair.private_key
    )


def make_tree(suite: CipherSuite, rng: random.Random, size: int) -> tuple[RatchetTree, list[Member]]:
    """Make a tree whose members were all added at once, so that all parents are blank."""
    members = [make_member(suite, rng, f"user {number}") for number in range(size)]
    tree, _ = RatchetTree.create(suite, members[0].leaf_node).add_all(member.leaf_node for member in members[1:])
    return tree, members


def full_tree(suite: CipherSuite, rng: random.Random, size: int) -> tuple[RatchetTree, list[Member], dict[bytes, Secret]]:
    """Make a tree in which everybody has committed once; return with it all private keys."""
    tree, members = make_tree(suite, rng, size)
    keys = {member.leaf_node.encryption_key: member.encryption_key for member in members}
    for number, member in enumerate(members):
        index = LeafIndex(number)
        staged = stage_path(tree, index, leaf_maker(suite, member, index), rng.randbytes)
        tree = staged.tree
        keys.update(staged.private_keys)
        members[number] = replace(
            member, leaf_node=staged.leaf_node, encryption_key=staged.private_keys[staged.leaf_node.encryption_key]
        )
    return tree, members, keys
