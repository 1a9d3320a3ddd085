"""Choosing what the next commit holds out of the proposals that wait (RFC 9420, Sections 12.2 and 12.4)."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from dmls.errors import CodecError, CryptoError, LimitError, ValidationError
from dmls.ids import LeafIndex, ProposalRef
from dmls.mls.group.applied import apply_proposals
from dmls.mls.group.follower import CachedProposal, PublicGroup
from dmls.mls.group.policy import GroupPolicy, OpenPolicy, PSKLookup
from dmls.mls.group.proposals import ResolvedProposal, check_proposal_list
from dmls.mls.group.validation import check_group_members
from dmls.mls.limits import DEFAULT_LIMITS, Limits
from dmls.mls.messages.commit import ProposalReference
from dmls.mls.messages.message import Member
from dmls.mls.messages.proposal import Add, GroupContextExtensions, PreSharedKey, ReInit, Remove, Update

__all__ = ["select_proposals"]

_Waiting = tuple[ProposalRef, CachedProposal]

# Who leaves and who changes decides what the group may be, and that decides who may come.
_RANKS: dict[type, int] = {Remove: 0, Update: 1, GroupContextExtensions: 2, Add: 3, PreSharedKey: 4}
_LATEST_FIRST = (Update, GroupContextExtensions)
_LEAST_EFFORT, _EFFORT_EACH = 4_096, 8
"""How many judgements of one proposal are spent on finding those that fit, in all and for each that waits."""


def select_proposals(
    group: PublicGroup,
    committer: LeafIndex,
    policy: GroupPolicy = OpenPolicy(),
    *,
    psks: PSKLookup | None = None,
    now: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> tuple[ProposalReference, ...]:
    """Return references to the waiting proposals that a member can commit together, in the order in which they came.

    Where proposals exclude each other, a Remove goes before Updates of its leaf and the latest Update before earlier ones, the
    latest GroupContextExtensions before earlier ones, the first Add of a client before later ones, and all before a ReInit. What
    cannot be committed is left out, also where only the committer's path would make it fit. What can is chosen, unless so much of
    the rest cannot that finding it would take too long.

    Args:
        group: the epoch, with the proposals that wait in it.
        committer: who is going to commit; its own Updates and removals of it are left out.
        policy: the application's rules, as they will be for the commit.
        psks: finds pre-shared keys; proposals of those it does not know are left out. None asks nobody.
        now: seconds since the epoch; turns lifetime checks of added key packages on (LN-12).
        limits: the bounds to keep.
    """

    def fit(chosen: Sequence[_Waiting]) -> bool:
        return len(chosen) <= limits.max_proposals and _is_valid(group, chosen, committer, policy, now, limits)

    waiting = sorted(group.proposals.items(), key=lambda item: _precedence(item[1]))
    waiting = [item for item in waiting if psks is None or _is_known(item, psks)]
    others = [item for item in waiting if not isinstance(item[1].body, ReInit)]
    closing = [item for item in waiting if isinstance(item[1].body, ReInit)]
    chosen = _without_rivals(others, committer)
    if not fit(chosen):
        sound = [item for item in others if fit([item])]
        refs = {ref for ref, _ in sound}
        doubtful = [item for item in others if item[0] not in refs]
        chosen = _largest(_without_rivals([*sound, *doubtful], committer), fit)
    if not chosen:
        chosen = next(([item] for item in closing if fit([item])), [])  # PL-11
    return tuple(ProposalReference(ref) for ref, _ in sorted(chosen, key=lambda item: item[1].arrival))  # PL-18


def _precedence(cached: CachedProposal) -> tuple[int, int]:
    kind = type(cached.body)
    return _RANKS.get(kind, len(_RANKS)), -cached.arrival if kind in _LATEST_FIRST else cached.arrival


def _is_known(item: _Waiting, psks: PSKLookup) -> bool:
    body = item[1].body
    return not isinstance(body, PreSharedKey) or psks(body.psk) is not None


def _without_rivals(waiting: Sequence[_Waiting], committer: LeafIndex) -> list[_Waiting]:
    """Return the proposals that take nothing that one before them takes: a leaf, a client's place, a key."""
    taken: set[Hashable] = {committer}
    chosen = []
    for item in waiting:
        wanted = _claims(item[1])
        if taken.isdisjoint(wanted):
            taken |= wanted
            chosen.append(item)  # PL-05
    return chosen


def _claims(cached: CachedProposal) -> set[Hashable]:
    body, sender = cached.body, cached.content.content.sender
    if isinstance(body, Remove):
        return {LeafIndex(body.removed)}
    if isinstance(body, Update) and isinstance(sender, Member):
        return {LeafIndex(sender.leaf_index), body.leaf_node.encryption_key}
    if isinstance(body, Add):
        leaf = body.key_package.leaf_node
        return {leaf.signature_key, leaf.encryption_key, body.key_package.init_key}
    if isinstance(body, PreSharedKey):
        return {body.psk}
    return {GroupContextExtensions.__name__} if isinstance(body, GroupContextExtensions) else set()


def _largest(candidates: Sequence[_Waiting], fit: Callable[[Sequence[_Waiting]], bool]) -> list[_Waiting]:
    """Return what fits of a list, each item judged with those before it that do; a part that fits as a whole is judged once."""
    effort = _LEAST_EFFORT + _EFFORT_EACH * len(candidates)
    chosen: list[_Waiting] = []
    parts = [list(candidates)]
    while parts and effort > 0:
        part = parts.pop()
        effort -= len(chosen) + len(part)
        if fit([*chosen, *part]):
            chosen += part
        elif len(part) > 1:
            half = len(part) // 2
            parts += [part[half:], part[:half]]
    return chosen


def _is_valid(
    group: PublicGroup,
    chosen: Sequence[_Waiting],
    committer: LeafIndex,
    policy: GroupPolicy,
    now: int | None,
    limits: Limits,
) -> bool:
    resolved = [ResolvedProposal(cached.body, cached.content.content.sender) for _, cached in chosen]
    try:
        check_proposal_list(group, resolved, committer, policy)
        applied = apply_proposals(group, resolved, policy, now=now, limits=limits, is_sending=True)
        check_group_members(applied.tree, applied.extensions, limits)
    except (ValidationError, CryptoError, CodecError, LimitError):
        return False
    return True
