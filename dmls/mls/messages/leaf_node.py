"""Leaf nodes (RFC 9420, Section 7.2)."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from dmls.ids import LeafIndex
from dmls.mls.codec import Kept, Tagged, bounded, encode, encode_opaque, opaque, struct, uint16, uint64
from dmls.mls.messages.credential import Credential
from dmls.mls.messages.extensions import Extension

__all__ = [
    "Capabilities",
    "CommitSource",
    "LeafNode",
    "LeafNodeSource",
    "Lifetime",
    "UpdateSource",
    "encode_tbs",
]


@struct
class Capabilities:
    """What a client supports beside the defaults of the RFC."""

    versions: bounded[uint16]  # LN-09
    cipher_suites: bounded[uint16]  # ENC-13
    extensions: bounded[uint16]
    proposals: bounded[uint16]
    credentials: bounded[uint16]


@struct
class Lifetime:
    """Source key_package: when the leaf may be used, in seconds since the epoch."""

    not_before: uint64
    not_after: uint64


@struct
class UpdateSource:
    """Source update: nothing further."""


@struct
class CommitSource:
    """Source commit: the hash of the leaf's parent node."""

    parent_hash: opaque


LeafNodeSource: TypeAlias = Annotated[
    Lifetime | UpdateSource | CommitSource, Tagged(1, {1: Lifetime, 2: UpdateSource, 3: CommitSource})
]


@struct
class LeafNode(Kept):
    """One client's place in the tree."""

    encryption_key: opaque
    signature_key: opaque
    credential: Credential
    capabilities: Capabilities
    source: LeafNodeSource
    extensions: bounded[Extension]
    signature: opaque


def encode_tbs(leaf_node: LeafNode, group_id: bytes, leaf_index: LeafIndex) -> bytes:
    """Return LeafNodeTBS: what the leaf's signature covers.

    The group and the place count only for sources update and commit, since a key package belongs to no group yet.
    """
    unsigned = encode(leaf_node)[: -len(encode_opaque(leaf_node.signature))]
    if isinstance(leaf_node.source, Lifetime):
        return unsigned
    return unsigned + encode_opaque(group_id) + leaf_index.to_bytes(4, "big")
