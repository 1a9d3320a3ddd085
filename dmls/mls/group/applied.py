"""Applying a list of proposals to a group (RFC 9420, Section 12.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dmls.errors import InvalidLeafNodeError, InvalidProposalError
from dmls.ids import LeafIndex
from dmls.mls.crypto.parallel import spread
from dmls.mls.group.follower import PublicGroup
from dmls.mls.group.judgement import (
    check_added_clients,
    check_credential,
    check_custom_proposal,
    check_external_senders,
    check_replacement,
)
from dmls.mls.group.policy import GroupPolicy
from dmls.mls.group.proposals import ResolvedProposal, bodies_of
from dmls.mls.group.validation import check_group_extensions, check_key_package, check_leaf_node
from dmls.mls.limits import DEFAULT_LIMITS, Limits
from dmls.mls.messages.custom import CustomProposal
from dmls.mls.messages.extensions import Extension
from dmls.mls.messages.key_package import KeyPackage
from dmls.mls.messages.leaf_node import LeafNode, UpdateSource
from dmls.mls.messages.message import Member, SenderBody
from dmls.mls.messages.proposal import Add, ExternalInit, GroupContextExtensions, PreSharedKey, ReInit, Remove, Update
from dmls.mls.messages.psk import PreSharedKeyID
from dmls.mls.tree.leaves import check_leaf_signature
from dmls.mls.tree.ratchet_tree import RatchetTree

__all__ = ["AppliedProposals", "apply_proposals", "check_signature_key"]


@dataclass(frozen=True, slots=True)
class AppliedProposals:
    """What a list of proposals makes of a group, before any path.

    Whether all members support what the group then asks of them is judged on the tree with the path in it, since a path may
    change what its committer supports.
    """

    tree: RatchetTree
    extensions: tuple[Extension, ...]
    added: tuple[tuple[LeafIndex, KeyPackage], ...]
    removed: tuple[tuple[LeafIndex, LeafNode], ...]
    updated: tuple[tuple[LeafIndex, LeafNode], ...]
    psk_ids: tuple[PreSharedKeyID, ...]
    kem_output: bytes | None
    reinit: ReInit | None
    custom: tuple[tuple[SenderBody, CustomProposal], ...] = ()
    """Proposals of the application's own types and who made them, in the order of the list: the application carries them out."""


def apply_proposals(
    group: PublicGroup,
    proposals: Sequence[ResolvedProposal],
    policy: GroupPolicy,
    *,
    now: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
    is_sending: bool = False,
) -> AppliedProposals:
    """Apply a judged list: extensions, updates, removes, then adds (RFC 9420, Section 12.3; AP-01, AP-02).

    Args:
        group: the epoch in which the commit is sent. It stays as it is (AP-05).
        proposals: a list that `check_proposal_list` accepts.
        policy: asked about every credential that is new in the group, and which leaves are of one client.
        now: seconds since the epoch; turns lifetime checks of added key packages on.
        limits: the bounds to keep.
        is_sending: whether the commit is one's own (LN-12).

    Raises:
        InvalidProposalError, InvalidLeafNodeError, InvalidKeyPackageError, InvalidCredentialError, SignatureError: a proposal
            is invalid here.
    """
    extensions = group.context.extensions
    if not proposals:
        return AppliedProposals(group.tree, extensions, (), (), (), (), None, None)
    for change in bodies_of(proposals, GroupContextExtensions):
        check_group_extensions(change.extensions)
        check_external_senders(policy, group.suite, change.extensions, group.context.extensions, limits)
        extensions = change.extensions  # PR-13
    updated = _judge_updates(group, proposals, policy, limits)
    removed = _find_removed(group, proposals)
    custom = _judge_custom(group, proposals, removed, policy)
    key_packages = [add.key_package for add in bodies_of(proposals, Add)]

    def check_addition(key_package: KeyPackage) -> None:
        check_key_package(group.suite, key_package, now=now, limits=limits, is_sending=is_sending)  # PR-03

    spread(check_addition, key_packages)
    for key_package in key_packages:
        check_credential(policy, key_package.leaf_node.credential, key_package.leaf_node.signature_key)
    check_added_clients(policy, group.tree, [index for index, _ in removed], key_packages)
    _check_init_keys(key_packages)

    tree = group.tree  # AP-05
    for index, leaf in updated:
        tree = tree.update(index, leaf)
    tree = tree.remove_all([index for index, _ in removed])  # AP-01
    added = [key_package.leaf_node for key_package in key_packages]
    # Keys are unique after the whole list, however its parts pass them on (LN-22).
    others = tree.remove_all([index for index, _ in updated]) if updated else tree  # LN-22
    _check_keys(others, [*(leaf for _, leaf in updated), *added])
    tree, indices = tree.add_all(added)  # AP-02
    return AppliedProposals(
        tree,
        extensions,
        tuple(zip(indices, key_packages, strict=True)),
        removed,
        updated,
        tuple(proposal.psk for proposal in bodies_of(proposals, PreSharedKey)),
        next((proposal.kem_output for proposal in bodies_of(proposals, ExternalInit)), None),
        next(bodies_of(proposals, ReInit), None),
        custom,
    )


def _judge_updates(
    group: PublicGroup, proposals: Sequence[ResolvedProposal], policy: GroupPolicy, limits: Limits
) -> tuple[tuple[LeafIndex, LeafNode], ...]:
    updated = []
    for item in proposals:
        if not isinstance(item.body, Update) or not isinstance(item.sender, Member):
            continue
        index, leaf = LeafIndex(item.sender.leaf_index), item.body.leaf_node
        check_leaf_node(group.suite, leaf, UpdateSource, limits=limits)
        check_leaf_signature(group.suite, leaf, group.context.group_id, index)
        replaced = group.tree.member(index)
        if leaf.encryption_key == replaced.encryption_key:
            raise InvalidProposalError("an update needs a fresh encryption key", rule="LN-18")
        check_replacement(policy, replaced, leaf)
        updated.append((index, leaf))
    return tuple(updated)


def _find_removed(group: PublicGroup, proposals: Sequence[ResolvedProposal]) -> tuple[tuple[LeafIndex, LeafNode], ...]:
    removed = []
    for remove in bodies_of(proposals, Remove):
        index = LeafIndex(remove.removed)
        removed.append((index, group.tree.member(index)))
    return tuple(removed)


def _judge_custom(
    group: PublicGroup,
    proposals: Sequence[ResolvedProposal],
    removed: Sequence[tuple[LeafIndex, LeafNode]],
    policy: GroupPolicy,
) -> tuple[tuple[SenderBody, CustomProposal], ...]:
    """Return the proposals of the application's own types, which all must support who process the commit."""
    custom = tuple((item.sender, item.body) for item in proposals if isinstance(item.body, CustomProposal))
    supported = group.tree.remove_all([index for index, _ in removed]).supported_proposals if custom else frozenset()
    for sender, proposal in custom:
        if proposal.proposal_type not in supported:
            raise InvalidProposalError("a member does not support a proposal's type", rule="PL-13")
        check_custom_proposal(policy, group, sender, proposal)
    return custom


def _check_init_keys(key_packages: Sequence[KeyPackage]) -> None:
    if len({key_package.init_key for key_package in key_packages}) != len(key_packages):
        raise InvalidProposalError("two additions have one init key", rule="KP-14")


def check_signature_key(tree: RatchetTree, leaf: LeafNode, own: LeafIndex | None = None) -> None:
    """Check that no other leaf of a tree has a leaf's signature key; `own` is the place that the leaf is for.

    Raises:
        InvalidLeafNodeError: one has it (LN-20).
    """
    if tree.find_signature_key(leaf.signature_key) not in (None, own):
        raise InvalidLeafNodeError("the signature key belongs to another member", rule="LN-20")


def _check_keys(others: RatchetTree, leaves: Sequence[LeafNode]) -> None:
    """Check that the keys of new leaves stand nowhere else in the new tree; `others` is that tree without them."""
    signature_keys: set[bytes] = set()
    encryption_keys: set[bytes] = set()
    for leaf in leaves:
        check_signature_key(others, leaf)
        if leaf.signature_key in signature_keys:
            raise InvalidLeafNodeError("two new leaves have one signature key", rule="LN-20")
        if leaf.encryption_key in encryption_keys or others.has_encryption_key(leaf.encryption_key):
            raise InvalidProposalError("the encryption key stands in the tree already", rule="LN-21")
        signature_keys.add(leaf.signature_key)
        encryption_keys.add(leaf.encryption_key)
