"""When the secrets of an epoch go (docs/protocol.md, Section 12).

An epoch is retained so that a rival commit on it can still be followed and late messages of it be read. Each rule below ends that
for a reason of its own; the first that applies decides. All times are in milliseconds of the caller's clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from dmls.forks.graph import Device, EpochGraph
from dmls.forks.tally import Tally
from dmls.ids import CommitRef

__all__ = ["MAX_RIVAL_HEADS", "Expiry", "RetainedEpoch", "expired_epochs"]

MAX_RIVAL_HEADS: Final = 16
"""How many losing branches keep secrets."""

_HOUR_MS: Final = 3_600_000
_CLOSING_USERS: Final = 2


@dataclass(frozen=True, slots=True)
class RetainedEpoch:
    """An epoch whose secrets are held.

    Attributes:
        commit_ref: of its node, which is in the graph.
        succeeded_at_ms: on the head's chain, when its child there was processed; elsewhere, when the head left its branch, or
            when it was processed if the head never was there. Without meaning for the head.
        has_message_secrets: keys of its application messages are held.
        has_external_key: the private key that external commits encapsulate to is held.
    """

    commit_ref: CommitRef
    succeeded_at_ms: int
    has_message_secrets: bool = True
    has_external_key: bool = True


@dataclass(frozen=True, slots=True)
class Expiry:
    """What to delete now, each sorted, and when to look again (None: not before something happens)."""

    epochs: tuple[CommitRef, ...]
    """All secrets."""
    message_secrets: tuple[CommitRef, ...]
    external_keys: tuple[CommitRef, ...]
    look_again_ms: int | None


def expired_epochs(
    graph: EpochGraph,
    tally: Tally,
    head: CommitRef,
    head_devices: Collection[Device],
    retained: Collection[RetainedEpoch],
    received_at_ms: Mapping[CommitRef, int],
    *,
    retain_seconds: int,
    retain_epochs: int,
    now_ms: int,
) -> Expiry:
    """Return which secrets go now. The head's never do.

    Args:
        graph: all valid nodes known.
        tally: their votes.
        head: the head.
        head_devices: all devices with a leaf in the head.
        retained: the epochs whose secrets are held.
        received_at_ms: when nodes were stored here; needed for the children of retained epochs.
        retain_seconds: parameter of the group.
        retain_epochs: parameter of the group.
        now_ms: the time.
    """
    chain = graph.chain(head)
    place = {ref: index for index, ref in enumerate(chain)}
    left_behind = _left_behind(graph, tally, place, head_devices)
    newer = _newer_epochs(graph, place)
    closed = _closed_branches(graph, tally, place)
    crowded_out = _crowded_out(graph, place, retained)
    timer = _Timer(now_ms)
    epochs, message_secrets, external_keys = [], [], []
    for epoch in sorted(retained, key=lambda epoch: epoch.commit_ref):
        ref, since = epoch.commit_ref, epoch.succeeded_at_ms
        is_losing = ref not in place
        if ref != head and (
            (ref in closed or ref in crowded_out if is_losing else place[ref] <= left_behind)
            or (newer[ref] >= retain_epochs and timer.is_over(since + _HOUR_MS))
            or timer.is_over(since + 1_000 * retain_seconds)  # ST-12
        ):
            epochs.append(ref)
            continue
        if is_losing and epoch.has_message_secrets and timer.is_over(since + _HOUR_MS):
            message_secrets.append(ref)
        if epoch.has_external_key:
            children = [received_at_ms[child] for child in graph.children(ref) if not graph.node(child).is_external]
            if children and timer.is_over(min(children) + _HOUR_MS):
                external_keys.append(ref)
    return Expiry(tuple(epochs), tuple(message_secrets), tuple(external_keys), timer.next_ms)


class _Timer:
    """Compares deadlines with the time, and remembers the first that is still to come."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self.next_ms: int | None = None

    def is_over(self, deadline_ms: int) -> bool:
        if deadline_ms <= self._now_ms:
            return True
        self.next_ms = deadline_ms if self.next_ms is None else min(self.next_ms, deadline_ms)
        return False


def _left_behind(graph: EpochGraph, tally: Tally, place: Mapping[CommitRef, int], head_devices: Iterable[Device]) -> int:
    """Return the last place on the head's chain below whose child every device of the head has voted; negative: none."""
    return min((max(_voted_below(graph, place, tally.votes.get(device, ()))) - 1 for device in head_devices), default=-1)


def _voted_below(graph: EpochGraph, place: Mapping[CommitRef, int], target: Iterable[CommitRef]) -> list[int]:
    """Return the places of the chain's nodes that the nodes voted for are closest below, -1 for none."""
    places = [-1]
    for ref in target:
        joint = next((above for above in graph.path_up(ref) if above in place), None)
        if joint is not None:
            places.append(place[joint] - (joint == ref))
    return places


def _newer_epochs(graph: EpochGraph, place: Mapping[CommitRef, int]) -> dict[CommitRef, int]:
    """Return for each node how many epochs are newer: on the head's chain, or from the fork where it left the chain.

    Off the chain those below it on its own branch are counted too, and the greater number holds.
    """
    nodes = list(graph)
    above: dict[CommitRef, int] = {}
    for ref in nodes:
        above[ref] = len(place) - 1 - place[ref] if ref in place else above.get(graph.parent(ref), len(place))
    below = dict.fromkeys(nodes, 0)
    for ref in reversed(nodes):
        parent = graph.parent(ref)
        if parent in below:
            below[parent] = max(below[parent], below[ref] + 1)
    return {ref: above[ref] if ref in place else max(above[ref], below[ref]) for ref in nodes}


def _closed_branches(graph: EpochGraph, tally: Tally, place: Mapping[CommitRef, int]) -> frozenset[CommitRef]:
    """Return the nodes off the head's chain that were resolved by a node which two users support."""
    closed: set[CommitRef] = set()
    for ref in graph:
        resolves = [side_head for side_head in graph.node(ref).resolves if side_head in graph]
        if resolves and tally.support(ref) >= _CLOSING_USERS:
            own = frozenset(graph.path_up(ref))
            for side_head in resolves:
                for above in graph.path_up(side_head):
                    if above in own or above in place:
                        break
                    closed.add(above)
    return frozenset(closed)


def _crowded_out(graph: EpochGraph, place: Mapping[CommitRef, int], retained: Iterable[RetainedEpoch]) -> frozenset[CommitRef]:
    """Return the losing epochs that are on none of the branches left last by the head, `MAX_RIVAL_HEADS` of them."""
    losing = {epoch.commit_ref: epoch.succeeded_at_ms for epoch in retained if epoch.commit_ref not in place}
    inner = {above for ref in losing for above in list(graph.path_up(ref))[1:]}
    rivals = sorted(losing.keys() - inner, key=lambda ref: (-losing[ref], ref))
    kept = {above for ref in rivals[:MAX_RIVAL_HEADS] for above in graph.path_up(ref)}
    return frozenset(losing.keys() - kept)
