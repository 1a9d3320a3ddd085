"""Lists of proposals: looking references up and judging the list as a whole (RFC 9420, Section 12.2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from dmls.errors import InvalidCommitError, InvalidProposalError
from dmls.ids import LeafIndex, ProposalRef
from dmls.mls.group.follower import PublicGroup
from dmls.mls.group.judgement import check_application_rules, check_outside_proposal
from dmls.mls.group.policy import GroupPolicy
from dmls.mls.group.validation import check_group_extensions
from dmls.mls.limits import DEFAULT_LIMITS, Limits
from dmls.mls.messages.commit import Commit, ProposalReference
from dmls.mls.messages.message import Member, NewMemberCommit, SenderBody
from dmls.mls.messages.proposal import (
    ExternalInit,
    GroupContextExtensions,
    PreSharedKey,
    ProposalBody,
    ReInit,
    Remove,
    Update,
    requires_path,
)
from dmls.mls.messages.psk import PreSharedKeyID, opens_successor
from dmls.mls.messages.registry import ProtocolVersion
from dmls.mls.schedule.psk import check_unique_psks

__all__ = ["ResolvedProposal", "bodies_of", "check_proposal_list", "is_path_required", "resolve_proposals"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ResolvedProposal:
    """A proposal of a commit's list and who made it."""

    body: ProposalBody
    sender: SenderBody


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
        resolved.append(ResolvedProposal(cached.body, cached.content.content.sender))  # AP-04, CC-15
    return tuple(resolved)


def is_path_required(proposals: Sequence[ResolvedProposal]) -> bool:
    """Tell whether a commit of these proposals must have a path (RFC 9420, Section 12.4; CC-01, AMB-01)."""
    if not proposals:
        return True
    return any(requires_path(item.body) for item in proposals)  # CC-01, CC-02


def bodies_of(proposals: Sequence[ResolvedProposal], kind: type[T]) -> Iterator[T]:
    """Yield the proposals of one type, in the order of the list."""
    return (item.body for item in proposals if isinstance(item.body, kind))


def check_proposal_list(
    group: PublicGroup,
    proposals: Sequence[ResolvedProposal],
    committer: LeafIndex | None,
    policy: GroupPolicy,
    *,
    link: PreSharedKeyID | None = None,
) -> None:
    """Judge a list as a whole; `committer` is None for an external commit (RFC 9420, Section 12.2).

    `link` is what a group's founder may put into its first commit, and nobody else anywhere: the key of the group it continues.

    Raises:
        InvalidProposalError, InvalidGroupInfoError: a rule is broken.
    """
    if not proposals and committer is not None:
        check_application_rules(policy, group, proposals, committer)
        return
    for item in proposals:
        check_outside_proposal(policy, group, item.sender, item.body)
    _check_targets(proposals, committer)
    _check_psks(group, tuple(bodies_of(proposals, PreSharedKey)), link)  # PR-08, PL-08
    if sum(1 for _ in bodies_of(proposals, GroupContextExtensions)) > 1:
        raise InvalidProposalError("two GroupContextExtensions", rule="PL-09")
    external_inits = sum(1 for _ in bodies_of(proposals, ExternalInit))
    if committer is None:
        _check_external_list(proposals, external_inits)
    elif external_inits:
        raise InvalidProposalError("ExternalInit outside an external commit", rule="PL-12")  # PR-10
    for reinit in bodies_of(proposals, ReInit):
        if len(proposals) > 1:
            raise InvalidProposalError("ReInit stands alone", rule="PL-10")
        if reinit.version < ProtocolVersion.MLS10:
            raise InvalidProposalError("ReInit to a lower version", rule="PR-09")
        check_group_extensions(reinit.extensions)
    check_application_rules(policy, group, proposals, committer)


def _check_external_list(proposals: Sequence[ResolvedProposal], external_inits: int) -> None:
    if external_inits != 1:
        raise InvalidProposalError("an external commit has exactly one ExternalInit", rule="XC-04")
    if sum(1 for _ in bodies_of(proposals, Remove)) > 1:
        raise InvalidProposalError("an external commit removes at most one leaf", rule="XC-05")
    if not all(isinstance(item.body, ExternalInit | Remove | PreSharedKey) for item in proposals):
        raise InvalidProposalError("an external commit cannot carry this proposal", rule="XC-06")


def _check_targets(proposals: Sequence[ResolvedProposal], committer: LeafIndex | None) -> None:
    targets = set()
    for item in proposals:
        if isinstance(item.body, Update):
            if not isinstance(item.sender, Member):
                raise InvalidProposalError("only members update", rule="PR-05")
            target = item.sender.leaf_index  # PR-06
            if target == committer:
                raise InvalidProposalError("the committer updates by its path", rule="PL-02")
        elif isinstance(item.body, Remove):
            target = item.body.removed
            if target == committer:
                raise InvalidProposalError("the committer cannot remove itself", rule="PL-03")  # PL-19
        else:
            continue
        if target in targets:
            raise InvalidProposalError("two updates or removes of one leaf", rule="PL-04")
        targets.add(target)


def _check_psks(group: PublicGroup, proposals: Sequence[PreSharedKey], link: PreSharedKeyID | None) -> None:
    for proposal in proposals:
        psk = proposal.psk
        if len(psk.psk_nonce) != group.suite.hash_size:
            raise InvalidProposalError("psk_nonce has another length than the KDF's output", rule="PSK-01")
        if opens_successor(psk) and (psk != link or group.context.epoch > 0):
            raise InvalidProposalError("reinit and branch PSKs open a successor only", rule="PSK-07")
    check_unique_psks([proposal.psk for proposal in proposals], InvalidProposalError)
