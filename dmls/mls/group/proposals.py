"""Lists of proposals: looking references up, judging the list, applying it (RFC 9420, Sections 12.2 and 12.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from dmls.errors import InvalidCommitError, InvalidProposalError
from dmls.ids import LeafIndex, ProposalRef
from dmls.mls.group.follower import PublicGroup
from dmls.mls.group.policy import DEFAULT_LIMITS, CredentialPolicy, Limits
from dmls.mls.group.validation import (
    check_group_extensions,
    check_group_members,
    check_key_package,
    check_leaf_node,
    check_leaf_signature,
)
from dmls.mls.messages.commit import Commit, ProposalReference
from dmls.mls.messages.extensions import Extension
from dmls.mls.messages.key_package import KeyPackage
from dmls.mls.messages.leaf_node import LeafNode, UpdateSource
from dmls.mls.messages.message import Member, NewMemberCommit, SenderBody
from dmls.mls.messages.proposal import (
    Add,
    ExternalInit,
    GroupContextExtensions,
    PreSharedKey,
    ProposalBody,
    ReInit,
    Remove,
    Update,
)
from dmls.mls.messages.psk import PreSharedKeyID, ResumptionPSK, ResumptionPSKUsage
from dmls.mls.messages.registry import ProtocolVersion
from dmls.mls.tree.ratchet_tree import RatchetTree

__all__ = [
    "AppliedProposals",
    "ResolvedProposal",
    "apply_proposals",
    "check_proposal_list",
    "check_replacement",
    "is_path_required",
    "resolve_proposals",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ResolvedProposal:
    """A proposal of a commit's list and who made it."""

    body: ProposalBody
    sender: SenderBody


@dataclass(frozen=True, slots=True)
class AppliedProposals:
    """What a list of proposals makes of a group, before any path."""

    tree: RatchetTree
    extensions: tuple[Extension, ...]
    added: tuple[tuple[LeafIndex, KeyPackage], ...]
    removed: tuple[tuple[LeafIndex, LeafNode], ...]
    updated: tuple[tuple[LeafIndex, LeafNode], ...]
    psk_ids: tuple[PreSharedKeyID, ...]
    kem_output: bytes | None
    reinit: ReInit | None


def resolve_proposals(
    group: PublicGroup, commit: Commit, sender: SenderBody, limits: Limits = DEFAULT_LIMITS
) -> tuple[ResolvedProposal, ...]:
    """Replace the references of a commit by what they name, in the order of the list (AP-04).

    Raises:
        InvalidCommitError: a reference is unknown, or stands twice, or a list is too long.
    """
    if len(commit.proposals) > limits.max_proposals:
        raise InvalidCommitError("too many proposals in one commit", rule="ENC-17")
    resolved = []
    seen = set()
    for entry in commit.proposals:
        if not isinstance(entry, ProposalReference):
            resolved.append(ResolvedProposal(entry, sender))
            continue
        if isinstance(sender, NewMemberCommit):
            raise InvalidCommitError("an external commit cannot refer to proposals", rule="XC-03")
        if entry.reference in seen:
            raise InvalidCommitError("one reference stands twice", rule="PL-16")
        seen.add(entry.reference)
        cached = group.proposals.get(ProposalRef(entry.reference))
        if cached is None:
            raise InvalidCommitError("unknown proposal reference", rule="PL-15")
        content = cached.content.content
        body = content.content
        if not isinstance(body, ProposalBody):
            raise InvalidCommitError("the reference names no proposal", rule="PL-15")
        resolved.append(ResolvedProposal(body, content.sender))
    return tuple(resolved)


def is_path_required(proposals: Sequence[ResolvedProposal]) -> bool:
    """Tell whether a commit of these proposals must have a path (RFC 9420, Section 12.4; CC-01, AMB-01)."""
    if not proposals:
        return True
    return any(isinstance(item.body, Update | Remove | ExternalInit | GroupContextExtensions) for item in proposals)


def _bodies(proposals: Sequence[ResolvedProposal], kind: type[T]) -> Iterator[T]:
    return (item.body for item in proposals if isinstance(item.body, kind))


def check_proposal_list(group: PublicGroup, proposals: Sequence[ResolvedProposal], committer: LeafIndex | None) -> None:
    """Judge a list as a whole; `committer` is None for an external commit (RFC 9420, Section 12.2).

    Raises:
        InvalidProposalError: a rule is broken.
    """
    _check_targets(proposals, committer)
    _check_psks(group, tuple(_bodies(proposals, PreSharedKey)))
    if sum(1 for _ in _bodies(proposals, GroupContextExtensions)) > 1:
        raise InvalidProposalError("two GroupContextExtensions", rule="PL-09")
    external_inits = sum(1 for _ in _bodies(proposals, ExternalInit))
    if committer is None:
        _check_external_list(proposals, external_inits)
    elif external_inits:
        raise InvalidProposalError("ExternalInit outside an external commit", rule="PL-12")
    for reinit in _bodies(proposals, ReInit):
        if len(proposals) > 1:
            raise InvalidProposalError("ReInit stands alone", rule="PL-10")
        if reinit.version < ProtocolVersion.MLS10:
            raise InvalidProposalError("ReInit to a lower version", rule="PR-09")


def _check_external_list(proposals: Sequence[ResolvedProposal], external_inits: int) -> None:
    if external_inits != 1:
        raise InvalidProposalError("an external commit has exactly one ExternalInit", rule="XC-04")
    if sum(1 for _ in _bodies(proposals, Remove)) > 1:
        raise InvalidProposalError("an external commit removes at most one leaf", rule="XC-05")
    if not all(isinstance(item.body, ExternalInit | Remove | PreSharedKey) for item in proposals):
        raise InvalidProposalError("an external commit cannot carry this proposal", rule="XC-06")


def _check_targets(proposals: Sequence[ResolvedProposal], committer: LeafIndex | None) -> None:
    targets = set()
    for item in proposals:
        if isinstance(item.body, Update):
            if not isinstance(item.sender, Member):
                raise InvalidProposalError("only members update", rule="PR-05")
            target = item.sender.leaf_index
            if target == committer:
                raise InvalidProposalError("the committer updates by its path", rule="PL-02")
        elif isinstance(item.body, Remove):
            target = item.body.removed
            if target == committer:
                raise InvalidProposalError("the committer cannot remove itself", rule="PL-03")
        else:
            continue
        if target in targets:
            raise InvalidProposalError("two updates or removes of one leaf", rule="PL-04")
        targets.add(target)


def _check_psks(group: PublicGroup, proposals: Sequence[PreSharedKey]) -> None:
    seen = set()
    for proposal in proposals:
        psk = proposal.psk
        if len(psk.psk_nonce) != group.suite.hash_size:
            raise InvalidProposalError("psk_nonce has another length than the KDF's output", rule="PSK-01")
        if isinstance(psk.source, ResumptionPSK) and psk.source.usage != ResumptionPSKUsage.APPLICATION:
            raise InvalidProposalError("reinit and branch PSKs open a successor only", rule="PSK-07")
        if psk in seen:
            raise InvalidProposalError("one PSK stands twice", rule="PSK-08")
        seen.add(psk)


def apply_proposals(
    group: PublicGroup,
    proposals: Sequence[ResolvedProposal],
    policy: CredentialPolicy,
    *,
    now: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> AppliedProposals:
    """Apply a judged list: extensions, updates, removes, then adds (RFC 9420, Section 12.3; AP-01, AP-02).

    Raises:
        InvalidProposalError, InvalidLeafNodeError, InvalidKeyPackageError, SignatureError: a proposal is invalid here.
    """
    extensions = group.context.extensions
    for change in _bodies(proposals, GroupContextExtensions):
        check_group_extensions(change.extensions)
        extensions = change.extensions
    tree, updated = _apply_updates(group, proposals, policy)
    removals = [LeafIndex(remove.removed) for remove in _bodies(proposals, Remove)]
    removed = []
    for index in removals:
        leaf = tree.leaf(index)
        if leaf is None:
            raise InvalidProposalError("the removed leaf is blank", rule="PR-07")
        removed.append((index, leaf))
    tree = tree.remove_all(removals)
    key_packages = [add.key_package for add in _bodies(proposals, Add)]
    _check_additions(group, tree, key_packages, policy, now, limits)
    tree, indices = tree.add_all([key_package.leaf_node for key_package in key_packages])
    if tree.width > limits.max_leaves:
        raise InvalidProposalError("the group is full", rule="ENC-17")
    check_group_members(tree, extensions)
    return AppliedProposals(
        tree,
        extensions,
        tuple(zip(indices, key_packages, strict=True)),
        tuple(removed),
        updated,
        tuple(proposal.psk for proposal in _bodies(proposals, PreSharedKey)),
        next((proposal.kem_output for proposal in _bodies(proposals, ExternalInit)), None),
        next(_bodies(proposals, ReInit), None),
    )


def _apply_updates(
    group: PublicGroup, proposals: Sequence[ResolvedProposal], policy: CredentialPolicy
) -> tuple[RatchetTree, tuple[tuple[LeafIndex, LeafNode], ...]]:
    tree = group.tree
    updated = []
    for item in proposals:
        if not isinstance(item.body, Update) or not isinstance(item.sender, Member):
            continue
        index, leaf = LeafIndex(item.sender.leaf_index), item.body.leaf_node
        check_leaf_node(group.suite, leaf, UpdateSource)
        check_leaf_signature(group.suite, leaf, group.context.group_id, index)
        replaced = tree.leaf(index)
        if replaced is None:
            raise InvalidProposalError("the updated leaf is blank", rule="PR-05")
        if leaf.encryption_key == replaced.encryption_key:
            raise InvalidProposalError("an update needs a fresh encryption key", rule="LN-18")
        if tree.find_signature_key(leaf.signature_key) not in (None, index):
            raise InvalidProposalError("the signature key belongs to another member", rule="LN-20")
        if tree.has_encryption_key(leaf.encryption_key):
            raise InvalidProposalError("the encryption key stands in the tree already", rule="LN-21")
        check_replacement(policy, replaced, leaf)
        tree = tree.update(index, leaf)
        updated.append((index, leaf))
    return tree, tuple(updated)


def check_replacement(policy: CredentialPolicy, old: LeafNode, new: LeafNode) -> None:
    """Ask the policy about a leaf that takes another's place, where anything it judges has changed (CRD-04, CRD-05)."""
    if (old.credential, old.signature_key) != (new.credential, new.signature_key):
        policy.check_credential(new.credential, new.signature_key)
        policy.check_succession(old.credential, new.credential)


def _check_additions(
    group: PublicGroup,
    tree: RatchetTree,
    key_packages: Sequence[KeyPackage],
    policy: CredentialPolicy,
    now: int | None,
    limits: Limits,
) -> None:
    """Judge additions against the tree they enter, updates and removes done (PL-06, PL-07, LN-20 to LN-22)."""
    signature_keys: set[bytes] = set()
    encryption_keys: set[bytes] = set()
    for key_package in key_packages:
        check_key_package(group.suite, key_package, now=now, limits=limits)
        leaf = key_package.leaf_node
        if leaf.signature_key in signature_keys:
            raise InvalidProposalError("one client is added twice", rule="PL-06")
        if tree.find_signature_key(leaf.signature_key) is not None:
            raise InvalidProposalError("the added client is a member", rule="PL-07")
        for key in (leaf.encryption_key, key_package.init_key):
            if key in encryption_keys:
                raise InvalidProposalError("one key stands in two additions", rule="KP-14")
            encryption_keys.add(key)
        if tree.has_encryption_key(leaf.encryption_key):
            raise InvalidProposalError("the encryption key stands in the tree already", rule="LN-21")
        signature_keys.add(leaf.signature_key)
        policy.check_credential(leaf.credential, leaf.signature_key)
