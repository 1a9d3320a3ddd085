"""Where an agent stands: the node it sends in, commits on and votes for (docs/protocol.md, Section 8).

That is the head, with two exceptions. A commit that could not be processed here is left out as long as nobody but its author
votes for it. A head on a branch of which nothing is held is not followed before it has been the head for ten minutes.
"""

from __future__ import annotations

from dataclasses import dataclass

from dmls.engine.state import RoomState
from dmls.ids import CommitRef

__all__ = ["DEEP_SWITCH_MS", "Standing", "find_standing", "is_undecided", "pending_rejects"]

DEEP_SWITCH_MS = 600_000
"""How long a head on a branch of which nothing is held is not followed, in milliseconds."""
_MAX_SHUNNED = 16


@dataclass(frozen=True, slots=True)
class Standing:
    """Where to stand, without which nodes that is the head, and since when the head has been out of reach (0: it is not)."""

    ref: CommitRef | None
    shunned: tuple[CommitRef, ...] = ()
    away_since_ms: int = 0


def find_standing(state: RoomState, now_ms: int) -> Standing:
    """Return where to stand, given the head and the last standing of `state`."""
    head = state.head
    if head is None or head in state.epochs or not state.epochs:
        return Standing(head)
    candidate, failed = _without_failed(state, head)
    old = state.stand
    if old is None or old == candidate or old not in state.epochs or not _is_deep(state, candidate):
        return Standing(candidate, failed)
    since = state.away_since_ms or now_ms
    if now_ms >= since + DEEP_SWITCH_MS or _is_lost_join(state, old, candidate):
        return Standing(candidate, failed)
    stand, shunned = _own_branch(state, old, candidate, failed)
    return Standing(stand, shunned, since)


def _without_failed(state: RoomState, head: CommitRef) -> tuple[CommitRef, tuple[CommitRef, ...]]:
    """Return the head without the failed commits that nobody but their authors votes for, and those."""
    left_out: list[CommitRef] = []
    candidate = head
    while (failed := _blocking(state, candidate)) is not None and state.tally.is_alone(failed):
        if len(left_out) == _MAX_SHUNNED:
            # Somebody makes such commits in heaps.
            alone = [ref for ref in state.failed if ref in state.graph and state.tally.is_alone(ref)]
            candidate = state.tally.head(alone) or candidate
            break
        other = state.tally.head([*left_out, failed])
        if other is None:
            break
        left_out.append(failed)
        candidate = other
    return candidate, tuple(sorted(left_out))


def _blocking(state: RoomState, ref: CommitRef) -> CommitRef | None:
    """Return the failed commit that keeps this agent from an epoch: the first going up, before any epoch that is held."""
    graph = state.graph
    failed = [above for above in state.failed if graph.is_ancestor(above, ref)]
    last = max(failed, key=graph.depth, default=None)
    is_nearer = last is not None and not any(graph.is_ancestor(last, held) for held in _held_above(state, ref))
    return last if is_nearer else None


def _is_deep(state: RoomState, ref: CommitRef) -> bool:
    return not _held_above(state, ref)


def _held_above(state: RoomState, ref: CommitRef) -> list[CommitRef]:
    return [held for held in state.epochs if state.graph.is_ancestor(held, ref)]


def _is_lost_join(state: RoomState, old: CommitRef, candidate: CommitRef) -> bool:
    """Tell whether all that is held is an external commit by which an own device has joined, and own commits on it.

    It came too late for the others, and there is nothing to wait for.
    """
    own = state.agent.devices
    nodes = [state.graph.node(ref) for ref in state.graph.branch(candidate, old)]
    if not nodes or not nodes[0].is_external or any(node.author not in own for node in nodes):
        return False
    return state.tally.supporters(nodes[0].commit_ref) <= {device.user_id for device in own}


def _own_branch(
    state: RoomState, old: CommitRef, candidate: CommitRef, failed: tuple[CommitRef, ...]
) -> tuple[CommitRef, tuple[CommitRef, ...]]:
    """Return the head of what is held, and the nodes without which it is."""
    shunned = list(failed)
    for _ in range(_MAX_SHUNNED):
        branch = state.graph.branch(old, candidate)
        if not branch:
            break
        shunned.append(branch[0])
        other = state.tally.head(shunned)
        if other is None:
            break
        if other in state.epochs:
            return other, tuple(sorted(shunned))
        candidate = other
    return old, tuple(sorted(shunned))


def is_undecided(state: RoomState, ref: CommitRef) -> bool:
    """Tell whether a node is at or above a fork at which the head is not followed: a vote for it decides nothing there."""
    return any(state.graph.is_ancestor(ref, state.graph.parent(shunned)) for shunned in state.shunned)


def pending_rejects(state: RoomState) -> tuple[CommitRef, ...]:
    """Return the failed commits left out that no node on the own chain rejects yet, sorted."""
    failed = [ref for ref in state.shunned if ref in state.failed]
    if not failed or state.stand is None:
        return ()
    rejected: set[CommitRef] = set()
    for ref in state.graph.path_up(state.stand):
        if is_undecided(state, ref):
            break
        rejected.update(state.graph.node(ref).rejects)
    return tuple(ref for ref in failed if ref not in rejected)
