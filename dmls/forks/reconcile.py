"""Who should be in the group (docs/protocol.md, Section 6).

The room's state says which users (J), device lists say with which devices (D), and some leaves of the head must go (R).
None of this ever makes a commit valid or invalid. All times are in milliseconds of the caller's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Final

from dmls.forks.count import is_author_joined
from dmls.forks.graph import Device, EpochGraph
from dmls.ids import CommitRef, LeafIndex, UserId

__all__ = [
    "VOUCH_TIMEOUT_MS",
    "DeviceList",
    "HeadLeaf",
    "LeafRemoval",
    "RemovalReason",
    "Situation",
    "desired_devices",
    "devices_to_add",
    "finally_gone",
    "is_desired",
    "leaves_to_remove",
    "lists_wanted",
    "next_judgement_ms",
    "removed_last_ms",
    "unvouched_leaves",
]

VOUCH_TIMEOUT_MS: Final = 10_000
"""How long a device list is waited for before a leaf that nobody vouches for goes."""


class RemovalReason(Enum):
    """Why a leaf must go."""

    NOT_IN_ROOM = "not_in_room"
    FINALLY_GONE = "finally_gone"
    NOT_LISTED = "not_listed"
    REMOVED = "removed"
    CREDENTIAL = "credential"
    UNVOUCHED = "unvouched"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class HeadLeaf:
    """A leaf of the head.

    Attributes:
        leaf_index: its place in the head's tree.
        device: who it is.
        since_ms: when the leaf was last added or first seen here.
        vouched: its credential chains to a master key that is held, or its own server sent the event that added it. That a
            device list names it need not be said here.
        passes_policy: its credential passes the room's policy.
    """

    leaf_index: LeafIndex
    device: Device
    since_ms: int
    vouched: bool
    passes_policy: bool = True


@dataclass(frozen=True, slots=True)
class DeviceList:
    """The devices of a user that have a published credential of the room's suite, by their own server's word.

    Attributes:
        user_id: whose.
        devices: all of them.
        version: of the owner's server; greater is newer.
        taken_at_ms: when it was asked for.
        fresh: it was answered by the owner's server, not by a cache.
        is_own: the list of a user of one's own server, which is always up to date.
    """

    user_id: UserId
    devices: frozenset[Device]
    version: int
    taken_at_ms: int
    fresh: bool
    is_own: bool = False


@dataclass(frozen=True, kw_only=True)
class Situation:
    """All that D and R depend on. What follows from it is worked out once.

    Attributes:
        leaves: of the head.
        joined: J.
        invited: I; empty unless history visibility and a room option say that invited users belong in the group.
        lists: the device lists held, by user.
        gone: devices that are finally gone.
        removed_at_ms: when a removal of a device by a joined author was seen last (`removed_last_ms`).
        asked_at_ms: when a user's device list was asked for last, where no answer has come yet.
        now_ms: the time.
    """

    leaves: Sequence[HeadLeaf]
    joined: frozenset[UserId]
    now_ms: int
    invited: frozenset[UserId] = frozenset()
    lists: Mapping[UserId, DeviceList]
    gone: frozenset[Device] = frozenset()
    removed_at_ms: Mapping[Device, int]
    asked_at_ms: Mapping[UserId, int]

    @cached_property
    def _removals(self) -> tuple[LeafRemoval, ...]:
        reasons = ((leaf, _removal_reason(self, leaf)) for leaf in self.leaves)
        return tuple(LeafRemoval(leaf, reason) for leaf, reason in reasons if reason is not None)

    @cached_property
    def _unvouched(self) -> tuple[HeadLeaf, ...]:
        removed = {removal.leaf.leaf_index for removal in self._removals}
        return tuple(leaf for leaf in self.leaves if leaf.leaf_index not in removed and not _is_vouched(self, leaf))

    @cached_property
    def _desired(self) -> frozenset[Device]:
        return frozenset(
            device
            for user in self.joined | self.invited
            if user in self.lists
            for device in self.lists[user].devices
            if is_desired(self, device)
        )

    @cached_property
    def devices(self) -> frozenset[Device]:
        """The devices that have a leaf."""
        return frozenset(leaf.device for leaf in self.leaves)


@dataclass(frozen=True, slots=True)
class LeafRemoval:
    """A leaf of R."""

    leaf: HeadLeaf
    reason: RemovalReason


# Who belongs in the group


def finally_gone(graph: EpochGraph) -> frozenset[Device]:
    """Return the devices that another device of their user has removed for good, on any fork.

    A user's events are signed by the user's server, but those of other users of that server are not its word on this one.
    """
    return frozenset(graph.gone)


def removed_last_ms(
    graph: EpochGraph, device: Device, joined: Collection[UserId], seen_at_ms: Callable[[CommitRef], int | None]
) -> int | None:
    """Return when a removal of a device by somebody in J, on any fork, was seen last; None for never.

    `seen_at_ms` tells when a node was stored here; removals by nodes of which it says None are left out.
    """
    seen = (seen_at_ms(ref) for ref in graph.removals().get(device, ()) if is_author_joined(graph.node(ref), joined))
    return max((time for time in seen if time is not None), default=None)


def desired_devices(situation: Situation) -> frozenset[Device]:
    """Return D: the devices that should have a leaf."""
    return situation._desired


def is_desired(situation: Situation, device: Device) -> bool:
    """Tell whether a device is in D."""
    user = device.user_id
    return (
        (user in situation.joined or user in situation.invited)
        and _is_listed(situation, device)
        and device not in situation.gone
        and not _is_marked(situation, device)
    )


def devices_to_add(situation: Situation) -> tuple[Device, ...]:
    """Return the devices of D that have no leaf in the head, sorted."""
    return tuple(sorted(desired_devices(situation) - situation.devices))


def leaves_to_remove(situation: Situation, committer: LeafIndex | None = None) -> tuple[LeafRemoval, ...]:
    """Return R, each leaf with the first reason that applies.

    `committer`: the leaf that would commit; it cannot remove itself, so it is left out.
    """
    return tuple(removal for removal in situation._removals if removal.leaf.leaf_index != committer)


def unvouched_leaves(situation: Situation) -> tuple[HeadLeaf, ...]:
    """Return the leaves that are not in R but that nobody vouches for: nothing may be sent before their lists are known."""
    return situation._unvouched


def next_judgement_ms(situation: Situation) -> int | None:
    """Return when R changes although nothing but the time does: a list that was asked for has not come; None: never."""
    asked = [(situation.asked_at_ms.get(leaf.device.user_id), leaf.since_ms) for leaf in situation._unvouched]
    return min((at_ms + VOUCH_TIMEOUT_MS for at_ms, since_ms in asked if at_ms is not None and at_ms >= since_ms), default=None)


def lists_wanted(situation: Situation) -> frozenset[UserId]:
    """Return the users whose device list should be asked for now.

    Because none is held, because it may vouch for a leaf, because only a later one can name a removed device again, or because
    one that is older than a leaf does not name it.
    """
    entitled = situation.joined | situation.invited
    since = dict.fromkeys(entitled.difference(situation.lists), 0)
    for leaf in unvouched_leaves(situation):
        since[leaf.device.user_id] = max(leaf.since_ms, since.get(leaf.device.user_id, 0))
    for leaf in situation.leaves:
        user = leaf.device.user_id
        if user in entitled and not _is_listed(situation, leaf.device) and not _is_listed_since(situation, user, leaf.since_ms):
            since[user] = max(leaf.since_ms, since.get(user, 0))
    for device, removed in situation.removed_at_ms.items():
        user = device.user_id
        if user in entitled and device not in situation.gone and not _is_taken_after(situation.lists.get(user), removed):
            since[user] = max(removed + 1, since.get(user, 0))
    return frozenset(user for user, earliest in since.items() if situation.asked_at_ms.get(user, -1) < earliest)


def _removal_reason(situation: Situation, leaf: HeadLeaf) -> RemovalReason | None:
    device = leaf.device
    user = device.user_id
    if user not in situation.joined and user not in situation.invited:
        return RemovalReason.NOT_IN_ROOM
    if device in situation.gone:
        return RemovalReason.FINALLY_GONE
    if not _is_listed(situation, device) and _is_listed_since(situation, user, leaf.since_ms):
        return RemovalReason.NOT_LISTED
    if _is_marked(situation, device) and not _is_back(situation, leaf):
        return RemovalReason.REMOVED
    if not leaf.passes_policy:
        return RemovalReason.CREDENTIAL
    if not _is_vouched(situation, leaf) and _has_timed_out(situation, leaf):
        return RemovalReason.UNVOUCHED
    return None


def _is_listed(situation: Situation, device: Device) -> bool:
    held = situation.lists.get(device.user_id)
    return held is not None and device in held.devices


def _is_listed_since(situation: Situation, user: UserId, since_ms: int) -> bool:
    """Tell whether a fresh list of the user is held that was asked for at `since_ms` or later."""
    held = situation.lists.get(user)
    return held is not None and (held.is_own or (held.fresh and held.taken_at_ms >= since_ms))


def _is_taken_after(held: DeviceList | None, time_ms: int) -> bool:
    return held is not None and (held.is_own or held.taken_at_ms > time_ms)


def _is_marked(situation: Situation, device: Device) -> bool:
    """Tell whether the device was removed by somebody in J, and no later list names it."""
    removed = situation.removed_at_ms.get(device)
    if removed is None:
        return False
    return not (_is_listed(situation, device) and _is_taken_after(situation.lists.get(device.user_id), removed))


def _is_back(situation: Situation, leaf: HeadLeaf) -> bool:
    """Tell whether a removed device was added again, and only an answer that is under way can tell whether rightly."""
    removed = situation.removed_at_ms[leaf.device]
    return leaf.since_ms >= removed and not _is_taken_after(situation.lists.get(leaf.device.user_id), removed)


def _is_vouched(situation: Situation, leaf: HeadLeaf) -> bool:
    if _is_marked(situation, leaf.device):
        return False
    return leaf.vouched or _is_listed(situation, leaf.device)


def _has_timed_out(situation: Situation, leaf: HeadLeaf) -> bool:
    asked = situation.asked_at_ms.get(leaf.device.user_id)
    return asked is not None and asked >= leaf.since_ms and situation.now_ms >= asked + VOUCH_TIMEOUT_MS
