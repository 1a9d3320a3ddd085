"""Leaves whose devices do not renew their keys any more (docs/protocol.md, Section 8)."""

from __future__ import annotations

from collections.abc import Collection
from itertools import takewhile

from dmls.engine.state import NodeEntry, RoomState
from dmls.forks.graph import Device
from dmls.forks.reconcile import HeadLeaf, LeafRemoval, RemovalReason, Situation
from dmls.forks.renewal import eviction_ms, is_dormant

__all__ = ["is_asleep", "stale_leaves"]


def is_asleep(state: RoomState, device: Device) -> bool:
    """Tell whether a device that has no leaf was removed as stale, and has to show by itself that it lives.

    Own devices live, and a device that has made a node since does.
    """
    if state.stand is None or device in state.agent.devices:
        return False
    return is_dormant(state.graph, state.stand, device, lambda ref: state.entries[ref].received_at_ms)


def stale_leaves(
    state: RoomState, entry: NodeEntry, situation: Situation, going: Collection[LeafRemoval]
) -> tuple[tuple[LeafRemoval, ...], int | None]:
    """Return the stale leaves of other agents that do not go for another reason, and when the next leaf becomes stale."""
    rules, room_id, now_ms = state.agent.rules, state.room_id, situation.now_ms
    by_age = _by_age(state, entry, situation)
    stale, later = [], []
    for renewed_at_ms, leaf in takewhile(lambda item: eviction_ms(rules, room_id, item[0]) <= now_ms, by_age):
        # Who has renewed the leaf on another branch lives, and owes it here.
        own = state.graph.authored(leaf.device)
        alive_at_ms = max(renewed_at_ms, state.entries[own[-1]].received_at_ms if own else 0)
        at_ms = eviction_ms(rules, room_id, alive_at_ms)
        if at_ms > now_ms:
            later.append(at_ms)
        elif leaf.device not in state.agent.devices:
            stale.append(leaf)
    after = (eviction_ms(rules, room_id, renewed_at_ms) for renewed_at_ms, _ in by_age)
    later += [at_ms for at_ms in [next((at_ms for at_ms in after if at_ms > now_ms), None)] if at_ms is not None]
    indices = {removal.leaf.leaf_index for removal in going}
    found = tuple(LeafRemoval(leaf, RemovalReason.STALE) for leaf in stale if leaf.leaf_index not in indices)
    return found, min(later, default=None)


def _by_age(state: RoomState, entry: NodeEntry, situation: Situation) -> tuple[tuple[int, HeadLeaf], ...]:
    """Return when the keys of each leaf came, oldest first; a leaf from before an anchor is as old as that."""
    head = entry.node.commit_ref
    renewals = state.graph.leaf_renewals(head)
    parts = (renewals, situation.leaves)
    known: tuple[tuple[int, HeadLeaf], ...] | None = state.memo.recall("ages", parts)
    if known is not None:
        return known
    top = state.entries[state.graph.top(head)].received_at_ms if len(renewals) < len(situation.leaves) else 0
    aged = [
        (top if leaf.device not in renewals else state.entries[renewals[leaf.device]].received_at_ms, leaf)
        for leaf in situation.leaves
    ]
    made = tuple(sorted(aged, key=lambda item: (item[0], item[1].leaf_index)))
    state.memo.keep("ages", parts, made)
    return made
