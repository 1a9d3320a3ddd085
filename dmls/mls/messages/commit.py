"""Commits and update paths (RFC 9420, Sections 7.6 and 12.4)."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from dmls.mls.codec import Tagged, bounded, lazy, opaque, optional, struct
from dmls.mls.messages.leaf_node import LeafNode
from dmls.mls.messages.proposal import Proposal

__all__ = ["Commit", "HPKECiphertext", "ProposalOrRef", "ProposalReference", "UpdatePath", "UpdatePathNode"]


@struct
class HPKECiphertext:
    """A message sealed to one public key (RFC 9420, Section 7.6)."""

    kem_output: opaque
    ciphertext: opaque


@struct
class UpdatePathNode:
    """A node's new public key, and its path secret for each node of the copath's resolution."""

    encryption_key: opaque
    encrypted_path_secret: lazy[HPKECiphertext]


@struct
class UpdatePath:
    """The committer's new leaf and the nodes of its filtered direct path, lowest first."""

    leaf_node: LeafNode
    nodes: bounded[UpdatePathNode]


@struct
class ProposalReference:
    """Names a proposal sent earlier in the epoch."""

    reference: opaque


ProposalOrRef: TypeAlias = Annotated[Proposal | ProposalReference, Tagged(1, {1: Proposal, 2: ProposalReference})]


@struct
class Commit:
    """A list of proposals and, unless only additions are made, a path."""

    proposals: bounded[ProposalOrRef]
    path: optional[UpdatePath]
