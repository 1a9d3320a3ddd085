"""The head's members and branches, compared with what is wanted (docs/protocol.md, Sections 6 and 8).

A survey costs a look at every member, so it is made once and kept for as long as nothing it depends on has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dmls.engine.agent import device_of
from dmls.engine.committers import Committer, find_committers, first_renewal, turn_delay_ms
from dmls.engine.leaves import find_usable_leaf, is_barred
from dmls.engine.refusals import free_at_ms
from dmls.engine.staleness import is_asleep, stale_leaves
from dmls.engine.standing import pending_rejects
from dmls.engine.state import NodeEntry, RoomState
from dmls.engine.voting import needs_new_key
from dmls.forks.committer import (
    able_servers,
    needs_merge,
    readd_delay_ms,
    responsible_servers,
    times_removed,
    unresolved_side_heads,
)
from dmls.forks.graph import Device
from dmls.forks.reconcile import (
    HeadLeaf,
    LeafRemoval,
    RemovalReason,
    Situation,
    desired_devices,
    devices_to_add,
    finally_gone,
    leaves_to_remove,
    lists_wanted,
    next_judgement_ms,
    unvouched_leaves,
)
from dmls.forks.renewal import DAY_MS, eviction_ms, may_evict
from dmls.ids import CommitRef, ServerName, UserId
from dmls.matrix.identifiers import server_of

__all__ = ["Survey", "known_survey", "survey"]


@dataclass(frozen=True, slots=True)
class Survey:
    """What the head lacks, and how far this agent is from being the one to mend it."""

    situation: Situation
    desired: frozenset[Device]
    removals: tuple[LeafRemoval, ...]
    additions: tuple[Device, ...]
    unvouched: tuple[HeadLeaf, ...]
    side_heads: tuple[CommitRef, ...]
    needs_merge: bool
    rejects: tuple[CommitRef, ...]
    """Failed commits that the head is computed without, and that no node on its chain rejects yet."""
    committers: tuple[Committer, ...]
    """Own leaves that may commit, lowest first: held, their user joined, and not about to go."""
    renewal: tuple[Committer, int] | None
    """Who makes the next commit, since their keys are to be renewed first, and when; None where there is no committer."""
    free_ms: int
    """From when on the homeserver may be expected to take a commit of that one."""
    shut_out: tuple[Device, ...]
    """Own devices that are members and have no leaf they can use: what they miss they get by joining again, the first first."""
    evictions: tuple[LeafRemoval, ...]
    """Stale leaves that this agent may remove, with nothing else that is removed; they hold no message up."""
    evict_at_ms: int | None
    """When it does so if nobody else has; None where it does not."""
    able: frozenset[ServerName]
    """Servers with a leaf that can commit."""
    delay_ms: int
    """How long this agent leaves it to others to commit; without meaning where it has no committer."""
    lists_wanted: frozenset[UserId]
    until_ms: int | None
    """When something here changes although nothing but the time does; None: never."""

    @property
    def is_dirty(self) -> bool:
        """Whether the members are not those wanted, or a side branch waits to be resolved, or a commit to be rejected."""
        return bool(self.removals or self.additions or self.needs_merge or self.rejects)


def survey(state: RoomState, now_ms: int) -> Survey:
    """Look at the head; at no leaf at all while there is none."""
    known = known_survey(state, now_ms)
    if known is None:
        known = _survey(state, now_ms)
        state.memo.keep("survey", _parts(state), known)
    return known


def known_survey(state: RoomState, now_ms: int) -> Survey | None:
    """Return the survey if it was made already, and neither the state nor the time has changed anything in it."""
    known: Survey | None = state.memo.recall("survey", _parts(state))
    if known is None or known.situation.now_ms > now_ms or (known.until_ms is not None and known.until_ms <= now_ms):
        return None
    return known


def _parts(state: RoomState) -> tuple[object, ...]:
    """Return all of a state that a survey depends on."""
    held = None if state.stand is None else state.epochs.get(state.stand)
    return (
        state.stand,
        state.shunned,
        state.away_since_ms,
        state.barred,
        state.spoilt,
        state.vote_floors,
        state.failed,
        state.removed_at_ms,
        None if held is None else held.state.own_leaves,
        state.graph,
        state.membership,
        state.lists,
        state.list_requests,
        state.gone,
        state.seen_at_ms,
        state.member_since_ms,
        state.agent,
        state.debts,
        state.refusals,
        state.head_since_ms,
        state.ring,
    )


def _survey(state: RoomState, now_ms: int) -> Survey:
    head = state.stand
    entry = None if head is None else state.entries[head]
    situation = _situation(state, now_ms, entry)
    removals = leaves_to_remove(situation)
    additions, may_add_ms = _additions(state, situation, now_ms)
    side_heads = () if head is None else unresolved_side_heads(state.tally, head)
    merge = head is not None and needs_merge(state.tally, head)
    if state.away_since_ms:
        # While the head is waited for, the branch that is probably left gets nothing that can wait.
        additions, side_heads, merge = (), (), False
    committers = find_committers(state, entry, situation, removals)
    desired = desired_devices(situation)
    renewal = first_renewal(state, situation, committers)
    able = able_servers(situation)
    changes_ms = [free_at_ms(state, user) for user in state.refusals]
    evictions: tuple[LeafRemoval, ...] = ()
    evict_at_ms = None
    if entry is not None:
        evictions, evict_at_ms, stale_ms = _evictions(state, entry, situation, removals, committers, able)
        times = (next_judgement_ms(situation), may_add_ms, stale_ms)
        changes_ms += [at_ms for at_ms in times if at_ms is not None]
    return Survey(
        situation,
        desired,
        removals,
        additions,
        unvouched_leaves(situation),
        side_heads,
        merge,
        pending_rejects(state),
        committers,
        renewal,
        0 if renewal is None else free_at_ms(state, renewal[0].own.device.user_id),
        _shut_out(state, situation, desired, removals),
        evictions,
        evict_at_ms,
        able,
        _delay_ms(state, situation, removals, additions, committers, able) if committers else 0,
        lists_wanted(situation),
        min((at_ms for at_ms in changes_ms if at_ms > now_ms), default=None),
    )


def _situation(state: RoomState, now_ms: int, entry: NodeEntry | None) -> Situation:
    joined = state.membership.joined()
    return Situation(
        leaves=() if entry is None else _head_leaves(state, entry),
        joined=joined,
        now_ms=now_ms,
        invited=state.membership.invited(),
        lists=state.lists,
        gone=finally_gone(state.graph) | frozenset(state.gone),
        removed_at_ms=state.removed_at_ms,
        asked_at_ms=state.list_requests,
    )


def _head_leaves(state: RoomState, entry: NodeEntry) -> tuple[HeadLeaf, ...]:
    origins = state.graph.leaf_origins(entry.node.commit_ref)
    parts = (entry.group, origins, state.seen_at_ms)
    known: tuple[HeadLeaf, ...] | None = state.memo.recall("leaves", parts)
    if known is not None:
        return known
    leaves = []
    for index, leaf in entry.group.tree.members():
        device = device_of(leaf)
        origin = origins.get(device)
        # Who was added by a node of the own server is vouched for by it: only that server's users can have sent the event.
        vouched = origin is not None and state.graph.node(origin).author.server == device.server
        # Nodes of other branches that add the device too say nothing of this leaf.
        since_ms = state.seen_at_ms.get(device, 0) if origin is None else state.entries[origin].received_at_ms
        leaves.append(HeadLeaf(index, device, since_ms, vouched))
    made = tuple(leaves)
    state.memo.keep("leaves", parts, made)
    return made


def _additions(state: RoomState, situation: Situation, now_ms: int) -> tuple[tuple[Device, ...], int | None]:
    """Return the devices to add, and when the next of those that have to wait is among them.

    A device that was removed again and again under its user's present membership has to.
    """
    wanted, waits = [], []
    for device in devices_to_add(situation):
        if is_asleep(state, device):
            continue
        removed = situation.removed_at_ms.get(device)
        since = state.member_since_ms.get(device.user_id)
        if state.stand is not None and removed is not None and since is not None and removed >= since:
            at_ms = removed + readd_delay_ms(times_removed(state.graph, state.stand, device, state.agent.server_name))
            if at_ms > now_ms:
                waits.append(at_ms)
                continue
        wanted.append(device)
    return tuple(wanted), min(waits, default=None)


def _is_barred(state: RoomState, device: Device) -> bool:
    return state.stand is not None and is_barred(state, state.stand, device)


def _shut_out(
    state: RoomState, situation: Situation, desired: frozenset[Device], removals: tuple[LeafRemoval, ...]
) -> tuple[Device, ...]:
    going = {removal.leaf.device for removal in removals if removal.reason is not RemovalReason.NOT_LISTED}
    return tuple(
        device
        for device in sorted(state.agent.devices, key=lambda device: (not _is_barred(state, device), device))
        if device in situation.devices
        and device in desired
        and device not in going
        and state.stand is not None
        and find_usable_leaf(state, state.stand, device) is None
        and not needs_new_key(state, device)
    )


def _evictions(
    state: RoomState,
    entry: NodeEntry,
    situation: Situation,
    removals: tuple[LeafRemoval, ...],
    committers: tuple[Committer, ...],
    able: frozenset[ServerName],
) -> tuple[tuple[LeafRemoval, ...], int | None, int | None]:
    """Return the stale leaves to remove, when, and when there may be others."""
    stale, next_ms = stale_leaves(state, entry, situation, removals)
    if not stale or not committers:
        return (), None, next_ms
    now_ms, rules = situation.now_ms, state.agent.rules
    windows = [may_evict(rules, committer.renewed_at_ms) for committer in committers]
    if not any(begin <= now_ms < end for begin, end in windows):
        changes = [begin for begin, _ in windows if begin > now_ms] + ([] if next_ms is None else [next_ms])
        return (), None, min(changes, default=None)
    # The last moment at which leaves became stale.
    began = max(eviction_ms(rules, state.room_id, now_ms + 1 - rules.stale_after_ms) - DAY_MS, state.head_since_ms)
    return stale, began + turn_delay_ms(state, situation, committers, able, is_responsible=False), next_ms


def _delay_ms(
    state: RoomState,
    situation: Situation,
    removals: tuple[LeafRemoval, ...],
    additions: tuple[Device, ...],
    committers: tuple[Committer, ...],
    able: frozenset[ServerName],
) -> int:
    responsible = responsible_servers(additions, removals, _departed_by(state, removals), able)
    is_responsible = state.agent.server_name in responsible
    return turn_delay_ms(state, situation, committers, able, is_responsible=is_responsible)


def _departed_by(state: RoomState, removals: tuple[LeafRemoval, ...]) -> Mapping[UserId, ServerName]:
    membership = state.membership
    departed = {}
    for user in {removal.leaf.device.user_id for removal in removals} - membership.joined():
        event = membership.departure(user)
        if event is not None:
            departed[user] = server_of(event.sender)
    return departed
