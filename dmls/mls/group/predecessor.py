"""The group that another one continues, and what the new group owes it (RFC 9420, Sections 11.2, 11.3 and 12.4.3.1).

A predecessor is given as the state of its epoch that the new group names: the one that a ReInit commit closed, or any that one
branches from. Beside the key that links the two it tells who was a member.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Hashable, Sequence

from dmls.errors import InvalidWelcomeError
from dmls.mls.group.follower import PublicGroup
from dmls.mls.group.judgement import client_across_groups
from dmls.mls.group.policy import GroupPolicy
from dmls.mls.group.state import GroupState
from dmls.mls.messages.proposal import ReInit
from dmls.mls.messages.psk import PreSharedKeyID, ResumptionPSK, ResumptionPSKUsage, opens_successor
from dmls.mls.tree.ratchet_tree import RatchetTree

__all__ = ["check_group_id", "check_successor", "find_predecessor"]


def find_predecessor(psk_ids: Sequence[PreSharedKeyID], predecessors: Sequence[GroupState]) -> GroupState | None:
    """Return which of the given groups the pre-shared keys of a Welcome link its group to, or None where none is given or named.

    Raises:
        InvalidWelcomeError: there are several links (WL-05); one that was asked for is missing (RB-03, RB-11); or the group it
            names is not closed by a ReInit (RB-04), is so at another epoch (RB-03), or is not known as of the epoch that was
            branched from (RB-11).
    """
    links = [psk_id.source for psk_id in psk_ids if opens_successor(psk_id) and isinstance(psk_id.source, ResumptionPSK)]
    if len(links) > 1:
        raise InvalidWelcomeError("a group has one predecessor at most", rule="WL-05")
    closed = [state for state in predecessors if state.closed_by is not None]
    if not links:
        if closed:
            raise InvalidWelcomeError("the Welcome is not that of the closed group's successor", rule="RB-03")
        if predecessors:
            raise InvalidWelcomeError("the Welcome is not that of a branch", rule="RB-11")
        return None
    (link,) = links
    if not predecessors:
        return None
    state = _find_epoch(link, predecessors)
    if link.usage is ResumptionPSKUsage.REINIT:
        if state is None:
            raise InvalidWelcomeError("the successor names another group or epoch than the closed one", rule="RB-03")
        if state.closed_by is None:
            raise InvalidWelcomeError("the group that the successor names was not closed by a ReInit", rule="RB-04")
    elif state is None:
        raise InvalidWelcomeError("the branch names another group or epoch than those given", rule="RB-11")
    elif state.closed_by is not None:
        raise InvalidWelcomeError("a closed group is continued, not branched from", rule="RB-03")
    return state


def _find_epoch(link: ResumptionPSK, predecessors: Sequence[GroupState]) -> GroupState | None:
    for state in predecessors:
        context = state.public.context
        if (context.group_id, context.epoch) == (link.psk_group_id, link.psk_epoch):  # RB-16
            return state
    return None


def check_group_id(group_id: bytes, open_groups: Container[bytes], predecessor: GroupState | None) -> None:
    """Check that a new group is none that the client is in already; the one it continues is over, and its id is free again.

    Raises:
        InvalidWelcomeError: the client is in it.
    """
    if predecessor is not None and predecessor.public.context.group_id == group_id:
        is_taken = predecessor.closed_by is None  # RB-14
    else:
        is_taken = group_id in open_groups
    if is_taken:
        raise InvalidWelcomeError("the client is in a group of this id", rule="WL-09")


def check_successor(policy: GroupPolicy, predecessor: GroupState, successor: PublicGroup) -> None:
    """Check the first epoch that others see of a group against the group it continues.

    A group that a ReInit closed is continued as the ReInit says and with everybody in it; any other one is branched from, by
    clients that are in it.

    Raises:
        InvalidWelcomeError: a rule is broken.
    """
    old, new = predecessor.public, successor
    if new.context.epoch != 1:
        raise InvalidWelcomeError("a group that continues another begins at epoch 1", rule="RB-02")
    members, continuing = _clients(policy, old.tree), _clients(policy, new.tree)
    if predecessor.closed_by is not None:
        _check_parameters(predecessor.closed_by, new)
        if not members <= continuing:
            raise InvalidWelcomeError("a member of the closed group is not in its successor", rule="RB-05")
        return
    if (new.context.version, new.context.cipher_suite) != (old.context.version, old.context.cipher_suite):
        raise InvalidWelcomeError("a branch keeps version and cipher suite", rule="RB-10")
    if not continuing <= members:
        raise InvalidWelcomeError("a member of the branch is not in the group it comes from", rule="RB-12")


def _check_parameters(reinit: ReInit, new: PublicGroup) -> None:
    context = new.context
    asked = (reinit.group_id, reinit.version, reinit.cipher_suite, reinit.extensions)
    if (context.group_id, context.version, context.cipher_suite, context.extensions) != asked:
        raise InvalidWelcomeError("the successor is not the group that the ReInit asked for", rule="RB-01")


def _clients(policy: GroupPolicy, tree: RatchetTree) -> Counter[Hashable]:
    return Counter(client_across_groups(policy, leaf) for _, leaf in tree.members())
