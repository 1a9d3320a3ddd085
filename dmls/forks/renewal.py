"""When devices renew the keys of their leaves, and when those go that do not (docs/protocol.md, Section 8).

All times are in milliseconds. What has to be spread over time is spread by hashes, so that an agent comes to the same time again
after a restart, and different agents to different ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from dmls.forks.graph import Device, EpochGraph
from dmls.ids import CommitRef, RoomId

__all__ = [
    "DAY_MS",
    "RenewalRules",
    "debt_due_ms",
    "eviction_ms",
    "is_dormant",
    "may_evict",
    "message_limit",
    "owes_path",
    "renewal_due_ms",
    "turn_ms",
]

RENEW_AFTER_MS: Final = 5 * 86_400_000
RENEW_SPREAD_MS: Final = 2 * 86_400_000
RENEW_AFTER_MESSAGES: Final = 1_000
DEBT_WITHIN_MS: Final = 600_000
STALE_AFTER_MS: Final = 30 * 86_400_000
DAY_MS: Final = 86_400_000
TURN_MS: Final = 2_000
"""How far apart the turns of two members are, who would all renew on one head."""
LONGEST_TURN_MS: Final = 3_600_000
LONGEST_DEBT_TURN_MS: Final = 30_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewalRules:
    """How long keys are used.

    Attributes:
        after_ms: a leaf's keys are renewed when they are older than this...
        spread_ms: ... plus a share of this, which depends on the device.
        after_messages: and when this many messages were sent under them, or a share of it from three quarters up.
        debt_within_ms: how long keys that the head does not have are left unpaid.
        stale_after_ms: a leaf whose keys are older than this is removed; much more than `after_ms` and `spread_ms`.
    """

    after_ms: int = RENEW_AFTER_MS
    spread_ms: int = RENEW_SPREAD_MS
    after_messages: int = RENEW_AFTER_MESSAGES
    debt_within_ms: int = DEBT_WITHIN_MS
    stale_after_ms: int = STALE_AFTER_MS


def _share(label: bytes, ref: CommitRef, device: Device) -> float:
    """Return a number from 0 on and below 1 that nobody else has."""
    digest = sha256(b"DMLS 1.0 " + label + ref + device.user_id.encode() + device.signature_key).digest()
    return int.from_bytes(digest[:6], "big") / (1 << 48)


def owes_path(graph: EpochGraph, head: CommitRef, device: Device) -> bool:
    """Tell whether a device owes the head a commit with fresh keys.

    It does if it renewed its leaf's keys by a commit that is not on the head's chain. A commit that did nothing but resolve
    branches or renew keys, and lost to another of the same parent, leaves no debt of its own. Neither does one by another leaf of
    the device than the head's, which was added with keys of its own.
    """
    leaf = graph.leaf_origin(head, device)
    lost = -1
    for node in map(graph.node, reversed(graph.authored(device))):
        if leaf is None or graph.leaf_origin(node.commit_ref, device) != leaf:
            continue
        if graph.is_ancestor(node.commit_ref, head):
            return lost > node.vote_seq
        if node.adds or node.removes or not graph.is_ancestor(graph.parent(node.commit_ref), head):
            lost = max(lost, node.vote_seq)
    return lost >= 0


def debt_due_ms(rules: RenewalRules, device: Device, head: CommitRef, since_ms: int, head_since_ms: int, members: int) -> int:
    """Return when a device pays the head what it has owed since `since_ms`, unless it sends before.

    Args:
        rules: how long it may take.
        device: the debtor.
        head: on which to commit.
        since_ms: when the debt was noticed.
        head_since_ms: when the head became the head.
        members: how many devices the head has.
    """
    share = _share(b"debt", CommitRef(b""), device)
    turn = int(_share(b"turn", head, device) * min(members * TURN_MS, LONGEST_DEBT_TURN_MS))
    return max(since_ms + int(share * (rules.debt_within_ms - LONGEST_DEBT_TURN_MS)), head_since_ms + turn)


def renewal_due_ms(
    rules: RenewalRules, device: Device, renewed_by: CommitRef, renewed_at_ms: int, expires_at_ms: int | None
) -> int:
    """Return when the keys of a leaf are old.

    Args:
        rules: how old they may get.
        device: whose leaf.
        renewed_by: the node that brought the keys.
        renewed_at_ms: when that came.
        expires_at_ms: when the lifetime of the leaf ends, None if it has none; the keys are old well before.
    """
    share = _share(b"renewal", renewed_by, device)
    due = renewed_at_ms + rules.after_ms + int(share * rules.spread_ms)
    if expires_at_ms is None:
        return due
    return min(due, renewed_at_ms + int(max(expires_at_ms - renewed_at_ms, 0) * (0.5 + share / 4)))


def turn_ms(head: CommitRef, device: Device, members: int) -> int:
    """Return how long a device whose keys are old leaves it to others to renew theirs on this head.

    All may be overdue at once, as after a long night; then one in `members` times two seconds has its turn.
    """
    return int(_share(b"turn", head, device) * min(members * TURN_MS, LONGEST_TURN_MS))


def eviction_ms(rules: RenewalRules, room_id: RoomId, alive_at_ms: int) -> int:
    """Return when a device that last showed its life at `alive_at_ms` is removed from a room.

    That is once a day, at a time of the room's own: leaves that become stale on one day go with one commit, and agents that saw
    the same things some seconds apart come to the same time.
    """
    offset = int.from_bytes(sha256(b"DMLS 1.0 eviction" + room_id.encode()).digest()[:6], "big") % DAY_MS
    return -(-(alive_at_ms + rules.stale_after_ms - offset) // DAY_MS) * DAY_MS + offset


def may_evict(rules: RenewalRules, renewed_at_ms: int) -> tuple[int, int]:
    """Return from when until when an agent that renewed its own keys at `renewed_at_ms` may remove others' stale leaves.

    One that has slept must first be told what the others have done meanwhile: it renews its own keys and waits a day.
    """
    return renewed_at_ms + DAY_MS, renewed_at_ms + rules.after_ms + rules.spread_ms + DAY_MS


def is_dormant(graph: EpochGraph, head: CommitRef, device: Device, seen_at_ms: Callable[[CommitRef], int]) -> bool:
    """Tell whether the head's chain has removed a device as stale, and no node of its own has come since.

    `seen_at_ms` tells when a node was stored here.
    """
    refs = graph.removals().get(device, ())
    evicted = [seen_at_ms(ref) for ref in refs if graph.node(ref).evicts and graph.is_ancestor(ref, head)]
    return bool(evicted) and max(map(seen_at_ms, graph.authored(device)), default=-1) <= max(evicted)


def message_limit(rules: RenewalRules, device: Device, renewed_by: CommitRef) -> int:
    """Return how many messages a device sends under the keys that a node brought."""
    return max(1, int(rules.after_messages * (0.75 + _share(b"messages", renewed_by, device) / 4)))
