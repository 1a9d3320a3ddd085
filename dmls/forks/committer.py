"""Who makes the next commit, when, and what for (docs/protocol.md, Section 8).

`dmls.forks.reconcile` says which leaves come and go. Here: which side branches a commit resolves, and how agents keep out of each
other's way without talking. All times are in milliseconds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from hashlib import sha256
from itertools import chain
from typing import Final

from dmls.forks.count import is_author_joined
from dmls.forks.graph import Device, EpochGraph
from dmls.forks.reconcile import LeafRemoval, RemovalReason, Situation, leaves_to_remove
from dmls.forks.tally import Tally
from dmls.ids import CommitRef, ServerName, UserId

__all__ = [
    "able_servers",
    "commit_delay_ms",
    "needs_merge",
    "readd_delay_ms",
    "responsible_servers",
    "times_removed",
    "unresolved_side_heads",
]

_FIRST_DELAY_MS: Final = 2_000
_RANK_DELAY_MS: Final = 3_000
_MAX_RANK: Final = 8
_JITTER_MS: Final = 1_000
_READD_BASE_MS: Final = 60_000
_READD_MAX_MS: Final = 86_400_000


def unresolved_side_heads(tally: Tally, head: CommitRef) -> tuple[CommitRef, ...]:
    """Return the side heads that the next commit on the head resolves, sorted.

    Those that no node on the head's chain resolves, and of whose branch some commit has an author in J.
    """
    graph, joined = tally.graph, tally.joined
    return tuple(
        side_head
        for side_head in tally.side_heads(head)
        if any(is_author_joined(node, joined) for node in map(graph.node, graph.branch_up(head, side_head)))
    )


def needs_merge(tally: Tally, head: CommitRef) -> bool:
    """Tell whether some unresolved side head is worth a commit that does nothing else.

    A branch is not where no commit by an author in J adds, removes or joins anybody, twins of commits on the head's chain left
    out. The next commit that has another reason resolves it.
    """
    graph = tally.graph
    branches = chain.from_iterable(graph.branch_up(head, side_head) for side_head in tally.side_heads(head))
    return any(
        bool(node.adds or node.removes or node.is_external or node.is_genesis)
        and is_author_joined(node, tally.joined)
        and not any(graph.is_ancestor(twin, head) for twin in graph.twins(node.commit_ref))
        for node in map(graph.node, branches)
    )


def able_servers(situation: Situation) -> frozenset[ServerName]:
    """Return the servers with a leaf that can commit: not in R, and its user in J."""
    removed = {removal.leaf.leaf_index for removal in leaves_to_remove(situation)}
    return frozenset(
        leaf.device.server
        for leaf in situation.leaves
        if leaf.leaf_index not in removed and leaf.device.user_id in situation.joined
    )


def responsible_servers(
    adds: Collection[Device],
    removals: Collection[LeafRemoval],
    departed_by: Mapping[UserId, ServerName],
    able: Collection[ServerName],
) -> frozenset[ServerName]:
    """Return the servers that should commit at once.

    Args:
        adds: devices to add. Their own server has their key packages, and joins first where it is not in the group.
        removals: leaves to remove.
        departed_by: for each user who left the room, the server of the sender of the member event that says so.
        able: servers with a leaf that can commit (`able_servers`).
    """
    responsible = {device.server for device in adds}
    for removal in removals:
        device = removal.leaf.device
        if removal.reason is RemovalReason.NOT_IN_ROOM:
            server = departed_by.get(device.user_id)
        elif removal.reason in (RemovalReason.FINALLY_GONE, RemovalReason.NOT_LISTED):
            server = device.server
        else:
            server = None
        if server is not None and server in able:
            responsible.add(server)
    return frozenset(responsible)


def commit_delay_ms(
    head: CommitRef,
    own_server: ServerName,
    able: Collection[ServerName],
    *,
    is_responsible: bool,
    position: int = 0,
    jitter: float = 0.0,
) -> int:
    """Return how long to wait for somebody else's commit before making one; whoever sends does not wait.

    Args:
        head: on which to commit.
        own_server: the server of one's own leaves.
        able: servers with a leaf that can commit (`able_servers`).
        is_responsible: the own server is one of `responsible_servers`.
        position: number of agents of the own server that come first, such as those with a lower leaf.
        jitter: a random number, 0 <= jitter < 1.
    """
    if is_responsible and position == 0:
        return 0
    order = sorted(able, key=lambda server: sha256(head + server.encode()).digest())
    rank = 0 if is_responsible else order.index(own_server) if own_server in order else len(order)
    return _FIRST_DELAY_MS + min(rank + position, _MAX_RANK) * _RANK_DELAY_MS + int(jitter * _JITTER_MS)


def times_removed(graph: EpochGraph, head: CommitRef, device: Device, own_server: ServerName) -> int:
    """Return how often regular commits of other servers on the head's chain have removed a device, whatever its key."""
    return sum(
        not node.is_external and node.author.server != own_server and graph.is_ancestor(node.commit_ref, head)
        for node in map(graph.node, graph.removers(device.user_id, device.device_id))
    )


def readd_delay_ms(times_removed: int) -> int:
    """Return how long after its last removal a device may be added again, so that room states at odds make no storm."""
    return min(_READD_BASE_MS * 4 ** min(times_removed, 10), _READD_MAX_MS) if times_removed else 0
