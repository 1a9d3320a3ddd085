"""Proposals (RFC 9420, Section 12.1)."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from dmls.mls.codec import OpenCase, Tagged, bounded, opaque, struct, uint16, uint32
from dmls.mls.messages.custom import CustomProposal, find_proposal_content, find_proposal_type
from dmls.mls.messages.extensions import Extension
from dmls.mls.messages.key_package import KeyPackage
from dmls.mls.messages.leaf_node import LeafNode
from dmls.mls.messages.psk import PreSharedKeyID
from dmls.mls.messages.registry import ProposalType

__all__ = [
    "Add",
    "ExternalInit",
    "GroupContextExtensions",
    "PreSharedKey",
    "Proposal",
    "ProposalBody",
    "ReInit",
    "Remove",
    "Update",
    "is_open_to_external_senders",
    "requires_path",
]


@struct
class Add:
    """Adds a client."""

    key_package: KeyPackage


@struct
class Update:
    """Replaces the sender's leaf."""

    leaf_node: LeafNode


@struct
class Remove:
    """Removes the member at a leaf."""

    removed: uint32


@struct
class PreSharedKey:
    """Injects a pre-shared key."""

    psk: PreSharedKeyID


@struct
class ReInit:
    """Closes the group in favour of a successor."""

    group_id: opaque
    version: uint16
    cipher_suite: uint16
    extensions: bounded[Extension]


@struct
class ExternalInit:
    """Carries the KEM output of an external commit."""

    kem_output: opaque


@struct
class GroupContextExtensions:
    """Replaces the group's extensions."""

    extensions: bounded[Extension]


ProposalBody: TypeAlias = Add | Update | Remove | PreSharedKey | ReInit | ExternalInit | GroupContextExtensions | CustomProposal

Proposal: TypeAlias = Annotated[
    ProposalBody,
    Tagged(
        2,
        {
            ProposalType.ADD: Add,
            ProposalType.UPDATE: Update,
            ProposalType.REMOVE: Remove,
            ProposalType.PSK: PreSharedKey,
            ProposalType.REINIT: ReInit,
            ProposalType.EXTERNAL_INIT: ExternalInit,
            ProposalType.GROUP_CONTEXT_EXTENSIONS: GroupContextExtensions,
        },
        rule="ENC-16",
        open_case=OpenCase(CustomProposal, "proposal_type", "content", find_proposal_content),
    ),
]


# What the columns of the registry say (RFC 9420, Section 17.4), and a registration of its own types.


def is_open_to_external_senders(body: object) -> bool:
    """Return whether a content is a proposal that external senders may make."""
    if isinstance(body, CustomProposal):
        kind = find_proposal_type(body.proposal_type)
        return kind is not None and kind.allows_external_senders
    return isinstance(body, Add | Remove | PreSharedKey | ReInit | GroupContextExtensions)  # EX-11, PSK-10


def requires_path(body: ProposalBody) -> bool:
    """Return whether a commit of a proposal needs a path."""
    if isinstance(body, CustomProposal):
        kind = find_proposal_type(body.proposal_type)
        return kind is None or kind.requires_path  # PR-17
    return isinstance(body, Update | Remove | ExternalInit | GroupContextExtensions)  # EX-11
