"""When the secrets of an epoch go (docs/protocol.md, Section 12).

An epoch is retained so that a rival commit on it can still be followed and late messages of it be read. Each rule below ends that
for a reason of its own; the first that applies decides. All times are in milliseconds of the caller's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from dmls.forks.graph import Device, EpochGraph
from dmls.forks.tally import Tally
from dmls.ids import CommitRef, UserId

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
    tally: Tally,
    head: CommitRef,
    head_devices: Iterable[Device],
    retained: Collection[RetainedEpoch],
    received_at_ms: Callable[[CommitRef], int],
    *,
    retain_seconds: int,
    retain_epochs: int,
    now_ms: int,
) -> Expiry:
    """Return which secrets go now. The head's never do.

    Args:
        tally: all valid nodes known, and the votes in them.
        head: the head.
        head_devices: all devices with a leaf in the head; looked at as long as every one has voted.
        retained: the epochs whose secrets are held.
        received_at_ms: tells when a child of a retained epoch was stored here.
        retain_seconds: parameter of the group.
        retain_epochs: parameter of the group.
        now_ms: the time.
    """
    graph = tally.graph
    losing = {epoch.commit_ref: epoch.succeeded_at_ms for epoch in retained if not graph.is_ancestor(epoch.commit_ref, head)}
    behind = [epoch.commit_ref for epoch in retained if epoch.commit_ref not in losing and epoch.commit_ref != head]
    left_behind, users = _left_behind(tally, head, head_devices, behind)
    given_up = _crowded_out(graph, losing)
    # Who was removed, or has joined on an older epoch, may have sent something before they knew: it is waited for.
    if left_behind and users >= tally.joined:
        departed = _last_removal(graph, head, left_behind)
        given_up |= {ref for ref in left_behind if graph.depth(ref) >= departed}
    done_with = left_behind | _closed(tally, losing)
    timer = _Timer(now_ms)
    epochs, message_secrets, external_keys = [], [], []
    for epoch in sorted(retained, key=lambda epoch: epoch.commit_ref):
        ref, since = epoch.commit_ref, epoch.succeeded_at_ms
        if ref != head and (
            ref in given_up
            or ((ref in done_with or _has_newer(graph, head, ref, retain_epochs)) and timer.is_over(since + _HOUR_MS))
            or timer.is_over(since + 1_000 * retain_seconds)  # ST-12
        ):
            epochs.append(ref)
            continue
        if ref in losing and epoch.has_message_secrets and timer.is_over(since + _HOUR_MS):
            message_secrets.append(ref)
        if epoch.has_external_key:
            # An external child that the head has gone on to ends it too: where newcomers join by themselves no other child comes,
            # and all that is below could be derived again for as long as the key is held.
            children = [
                received_at_ms(child)
                for child in graph.children(ref)
                if not graph.node(child).is_external or graph.is_ancestor(child, head)
            ]
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


def _left_behind(
    tally: Tally, head: CommitRef, head_devices: Iterable[Device], behind: Collection[CommitRef]
) -> tuple[frozenset[CommitRef], frozenset[UserId]]:
    """Return those nodes of the head's chain below whose child there every device of the head has voted, and whose these are."""
    graph = tally.graph
    first = min(map(graph.depth, behind), default=0)
    least: int | None = None
    users: set[UserId] = set()
    for device in head_devices:
        users.add(device.user_id)
        voted = max((_depth_voted_below(graph, head, ref) for ref in tally.vote(device)), default=0)
        least = voted if least is None else min(least, voted)
        if least <= first:
            break
    return frozenset(ref for ref in behind if least is not None and graph.depth(ref) < least), frozenset(users)


def _last_removal(graph: EpochGraph, head: CommitRef, left_behind: Collection[CommitRef]) -> int:
    """Return the depth of the last node of the head's chain that removes somebody; 0 if none does below these."""
    first = min(map(graph.depth, left_behind), default=graph.depth(head))
    chain = takewhile(lambda ref: graph.depth(ref) > first, graph.path_up(head))
    return next((graph.depth(ref) for ref in chain if graph.node(ref).removes_others), 0)


def _depth_voted_below(graph: EpochGraph, head: CommitRef, voted: CommitRef) -> int:
    """Return the depth of the last node of the head's chain that the node voted for is below; 0 for none."""
    joint = graph.joint(voted, head)
    return graph.depth(joint) - (joint == voted)


def _has_newer(graph: EpochGraph, head: CommitRef, ref: CommitRef, number: int) -> bool:
    """Tell whether so many epochs are newer: on the head's chain, from where the node's branch left it.

    Off the chain those below it on its own branch count too.
    """
    joint = graph.joint(ref, head)
    return graph.depth(head) - graph.depth(joint) >= number or (joint != ref and graph.reaches(ref, number))


def _closed(tally: Tally, losing: Collection[CommitRef]) -> frozenset[CommitRef]:
    """Return the losing nodes that were resolved by a node which two users support, each by itself or by one below it."""
    graph = tally.graph
    below: set[CommitRef] = set()
    for ref in sorted(losing, key=graph.depth):
        if ref not in below:
            below.update(graph.subtree(ref))
    pairs = [(ref, resolver) for ref in below for resolver in graph.resolvers(ref) if tally.support(resolver) >= _CLOSING_USERS]
    return frozenset(
        ref
        for ref in losing
        if any(graph.is_ancestor(ref, resolved) and not graph.is_ancestor(ref, resolver) for resolved, resolver in pairs)
    )


def _crowded_out(graph: EpochGraph, losing: Mapping[CommitRef, int]) -> frozenset[CommitRef]:
    """Return the losing epochs that are on none of the branches left last by the head, `MAX_RIVAL_HEADS` of them.

    `losing`: with the time when the head left them.
    """
    if len(losing) <= MAX_RIVAL_HEADS:
        return frozenset()
    inner = _above(graph, (graph.parent(ref) for ref in losing), losing)
    rivals = sorted(losing.keys() - inner, key=lambda ref: (-losing[ref], ref))
    return frozenset(losing.keys() - _above(graph, rivals[:MAX_RIVAL_HEADS], losing))


def _above(graph: EpochGraph, refs: Iterable[CommitRef], losing: Collection[CommitRef]) -> set[CommitRef]:
    """Return some nodes and those above them, as far up as there is a losing epoch."""
    top = min(map(graph.depth, losing))
    found: set[CommitRef] = set()
    for ref in refs:
        found.update(takewhile(lambda above: above not in found and graph.depth(above) >= top, graph.path_up(ref)))
    return found
