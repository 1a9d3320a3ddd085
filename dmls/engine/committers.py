"""The own leaves that may commit: whose keys are to be renewed first, and when it is their turn (docs/protocol.md, Section 8)."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from dmls.engine.agent import OwnDevice
from dmls.engine.leaves import find_usable_leaf
from dmls.engine.refusals import free_at_ms
from dmls.engine.standing import DEEP_SWITCH_MS
from dmls.engine.state import NodeEntry, RoomState
from dmls.forks.committer import commit_delay_ms
from dmls.forks.reconcile import LeafRemoval, Situation
from dmls.forks.renewal import debt_due_ms, owes_path, renewal_due_ms, turn_ms
from dmls.ids import CommitRef, LeafIndex, ServerName
from dmls.mls.messages.leaf_node import Lifetime

__all__ = ["Committer", "find_committers", "first_renewal", "turn_delay_ms"]


@dataclass(frozen=True, slots=True)
class Committer:
    """An own leaf that may commit.

    Attributes:
        leaf_index: its place in the head's tree.
        own: whose it is.
        renewed_by: the node that brought its keys.
        renewed_at_ms: when that came.
        old_at_ms: when its keys are old.
        is_debtor: it owes fresh keys before it says anything.
    """

    leaf_index: LeafIndex
    own: OwnDevice
    renewed_by: CommitRef
    renewed_at_ms: int
    old_at_ms: int
    is_debtor: bool


def find_committers(
    state: RoomState, entry: NodeEntry | None, situation: Situation, removals: tuple[LeafRemoval, ...]
) -> tuple[Committer, ...]:
    """Return the own leaves that may commit on the head, lowest first: held, their user joined, and not about to go."""
    if entry is None:
        return ()
    going = {removal.leaf.leaf_index for removal in removals}
    found = []
    for device, own in state.agent.devices.items():
        index = find_usable_leaf(state, entry.node.commit_ref, device)
        if index is not None and index not in going and device.user_id in situation.joined:
            found.append(_committer(state, entry, index, own))
    return tuple(sorted(found, key=lambda committer: committer.leaf_index))


def _committer(state: RoomState, entry: NodeEntry, index: LeafIndex, own: OwnDevice) -> Committer:
    head, device = entry.node.commit_ref, own.device
    renewed_by = state.graph.leaf_renewal(head, device)
    # A leaf that was there before an anchor is as old as the anchor.
    bringer = state.entries[state.graph.top(head) if renewed_by is None else renewed_by]
    leaf = entry.group.tree.member(index)
    old_at_ms = renewal_due_ms(
        state.agent.rules,
        device,
        bringer.node.commit_ref,
        bringer.received_at_ms,
        leaf.source.not_after * 1_000 if isinstance(leaf.source, Lifetime) else None,
    )
    is_lost = leaf.encryption_key not in state.ring
    is_debtor = is_lost or device in bringer.last_resorts or owes_path(state.graph, head, device)
    return Committer(index, own, bringer.node.commit_ref, bringer.received_at_ms, old_at_ms, is_debtor)


def first_renewal(state: RoomState, situation: Situation, committers: tuple[Committer, ...]) -> tuple[Committer, int] | None:
    """Return whose keys are to be renewed first, and when, in milliseconds; None where nobody may commit."""
    rules, head, since, members = state.agent.rules, state.stand or CommitRef(b""), state.head_since_ms, len(situation.leaves)
    # Keys for a branch that is probably left can wait until that is decided.
    earliest = state.away_since_ms + DEEP_SWITCH_MS if state.away_since_ms else 0

    def due_ms(committer: Committer) -> int:
        return max(earliest, _renewal_due_ms(committer))

    def _renewal_due_ms(committer: Committer) -> int:
        device = committer.own.device
        at_ms = max(committer.old_at_ms, since + turn_ms(head, device, members))
        if not committer.is_debtor:
            return at_ms
        owed_since = state.debts.get(device, situation.now_ms)
        return min(at_ms, debt_due_ms(rules, device, head, owed_since, since, members))

    dated = [(committer, due_ms(committer)) for committer in committers]

    # Whoever was refused goes after the others.
    def place(item: tuple[Committer, int]) -> tuple[int, int, int]:
        committer, at_ms = item
        return max(free_at_ms(state, committer.own.device.user_id), situation.now_ms), at_ms, committer.leaf_index

    return min(dated, key=place, default=None)


def turn_delay_ms(
    state: RoomState,
    situation: Situation,
    committers: tuple[Committer, ...],
    able: frozenset[ServerName],
    *,
    is_responsible: bool,
) -> int:
    """Return how long this agent leaves it to others to commit, in milliseconds."""
    head, server = state.stand or CommitRef(b""), state.agent.server_name
    return commit_delay_ms(
        head,
        server,
        able,
        is_responsible=is_responsible,
        position=_position(state, situation, committers),
        jitter=sha256(head + server.encode()).digest()[0] / 256,
    )


def _position(state: RoomState, situation: Situation, committers: tuple[Committer, ...]) -> int:
    """Return how many agents of the own server come first: the service, then client devices by their leaf.

    A client cannot see which leaves the service holds; where all leaves of the server are its own user's, it holds none.
    """
    if state.agent.is_service:
        return 0
    own_users = {device.user_id for device in state.agent.devices}
    neighbours = [leaf for leaf in situation.leaves if leaf.device.server == state.agent.server_name]
    before = sum(1 for leaf in neighbours if leaf.leaf_index < committers[0].leaf_index)
    return before if all(leaf.device.user_id in own_users for leaf in neighbours) else before + 1
