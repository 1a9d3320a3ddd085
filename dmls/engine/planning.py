"""What a room's group lacks, and whose turn it is to mend it (docs/protocol.md, Sections 6 and 8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256

from dmls.engine.agent import OwnDevice, device_of
from dmls.engine.nodes import find_leaf
from dmls.engine.state import HeldEpoch, NodeEntry, RoomState
from dmls.forks.committer import (
    able_servers,
    commit_delay_ms,
    needs_merge,
    readd_delay_ms,
    responsible_servers,
    times_removed,
    unresolved_side_heads,
)
from dmls.forks.graph import Device
from dmls.forks.reconcile import (
    DeviceList,
    HeadLeaf,
    LeafRemoval,
    RemovalReason,
    Situation,
    desired_devices,
    devices_to_add,
    finally_gone,
    leaves_to_remove,
    lists_wanted,
    removal_marks,
    unvouched_leaves,
)
from dmls.ids import CommitRef, LeafIndex, ServerName, UserId
from dmls.matrix.identifiers import server_of

__all__ = ["CLAIM_PATIENCE_MS", "Plan", "can_found", "join_due_ms", "make_plan", "wanted_device_lists"]

CLAIM_PATIENCE_MS = 5_000
"""How long additions wait for one another's key packages, in milliseconds."""
WELCOME_PATIENCE_MS = 30_000
"""How long an entitled device waits for a Welcome before it joins by itself, in milliseconds."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The head as it is, and what it should be."""

    head: CommitRef
    entry: NodeEntry
    held: HeldEpoch | None
    situation: Situation
    desired: frozenset[Device]
    removals: tuple[LeafRemoval, ...]
    additions: tuple[Device, ...]
    unvouched: tuple[HeadLeaf, ...]
    side_heads: tuple[CommitRef, ...]
    needs_merge: bool
    committers: tuple[tuple[LeafIndex, OwnDevice], ...]
    """Own leaves that may commit, lowest first: held, their user joined, and not about to go."""
    due_ms: int | None
    """When this agent commits if nobody else has, None if there is nothing to commit or nobody here can."""

    @property
    def is_dirty(self) -> bool:
        """Whether the members are not those wanted, or a side branch waits to be resolved."""
        return bool(self.removals or self.additions or self.needs_merge)


def _situation(state: RoomState, now_ms: int, entry: NodeEntry | None) -> Situation:
    joined = state.membership.joined()
    lists = {
        user: DeviceList(user, frozenset(held.devices), held.version, held.taken_at_ms, True, held.is_own)
        for user, held in state.lists.items()
    }
    return Situation(
        leaves=() if entry is None else _head_leaves(state, entry),
        joined=joined,
        now_ms=now_ms,
        invited=state.membership.invited(),
        lists=lists,
        gone=finally_gone(state.graph) | frozenset(state.gone),
        removed_at_ms=removal_marks(state.graph, joined, lambda ref: state.entries[ref].received_at_ms),
        asked_at_ms=dict(state.list_requests),
    )


def _head_leaves(state: RoomState, entry: NodeEntry) -> tuple[HeadLeaf, ...]:
    leaves = []
    for index, leaf in entry.group.tree.members():
        device = device_of(leaf)
        origin = state.graph.leaf_origin(entry.node.commit_ref, device)
        # Who was added by a node of the own server is vouched for by it: only that server's users can have sent the event.
        vouched = origin is not None and state.graph.node(origin).author.server == device.server
        leaves.append(HeadLeaf(index, device, state.seen_at_ms.get(device, 0), vouched))
    return tuple(leaves)


def wanted_device_lists(state: RoomState, now_ms: int) -> frozenset[UserId]:
    """Return the users of other servers whose device lists are to be asked for now."""
    entry = None if state.head is None else state.entries[state.head]
    wanted = lists_wanted(_situation(state, now_ms, entry))
    if not state.agent.is_service:
        return wanted
    return frozenset(user for user in wanted if server_of(user) != state.agent.server_name)


def make_plan(state: RoomState, now_ms: int) -> Plan | None:
    """Compare the head with what is wanted; None while there is no head."""
    if state.head is None:
        return None
    entry, held = state.entries[state.head], state.epochs.get(state.head)
    situation = _situation(state, now_ms, entry)
    removals = leaves_to_remove(situation)
    additions = tuple(device for device in devices_to_add(situation) if _may_add(state, situation, device, now_ms))
    committers = _committers(state, entry, held, situation, removals)
    merge = needs_merge(state.graph, state.head, situation.joined)
    plan = Plan(
        state.head,
        entry,
        held,
        situation,
        desired_devices(situation),
        removals,
        additions,
        unvouched_leaves(situation),
        unresolved_side_heads(state.graph, state.head, situation.joined),
        merge,
        committers,
        None,
    )
    return replace(plan, due_ms=_due_ms(state, plan))


def _may_add(state: RoomState, situation: Situation, device: Device, now_ms: int) -> bool:
    """Tell whether a device may be added now, or was removed so often under this very membership that it has to wait."""
    head = state.head
    removed = situation.removed_at_ms.get(device)
    since = state.member_since_ms.get(device.user_id)
    if head is None or removed is None or since is None or removed < since:
        return True
    times = times_removed(state.graph, head, device, state.agent.server_name)
    return now_ms >= removed + readd_delay_ms(times)


def _committers(
    state: RoomState,
    entry: NodeEntry,
    held: HeldEpoch | None,
    situation: Situation,
    removals: tuple[LeafRemoval, ...],
) -> tuple[tuple[LeafIndex, OwnDevice], ...]:
    if held is None:
        return ()
    going = {removal.leaf.leaf_index for removal in removals}
    found = []
    for device, own in state.agent.devices.items():
        index = find_leaf(entry.group.tree, device)
        if index in held.state.own_leaves and index not in going and device.user_id in situation.joined:
            found.append((index, own))
    return tuple(sorted(found, key=lambda item: item[0]))


def _departed_by(state: RoomState) -> Mapping[UserId, ServerName]:
    membership = state.membership
    joined = membership.joined()
    departed = {}
    for user in membership.users() - joined:
        event = membership.member_event(user)
        if event is not None:
            departed[user] = server_of(event.sender)
    return departed


def _due_ms(state: RoomState, plan: Plan) -> int | None:
    if not plan.is_dirty or not plan.committers:
        return None
    situation, server = plan.situation, state.agent.server_name
    able = able_servers(situation)
    responsible = responsible_servers(plan.additions, plan.removals, _departed_by(state), able)
    delay = commit_delay_ms(
        plan.head,
        server,
        able,
        is_responsible=server in responsible,
        position=_position(state, plan),
        jitter=sha256(plan.head + server.encode()).digest()[0] / 256,
    )
    since = state.dirty_since_ms or situation.now_ms
    if plan.removals or plan.additions:
        return since + delay
    return max(since + delay, state.last_merge_ms + 60_000)


def _position(state: RoomState, plan: Plan) -> int:
    """Return how many agents of the own server come first: the service, then client devices by their leaf.

    A client cannot see which leaves the service holds; where all leaves of the server are its own user's, it holds none.
    """
    if state.agent.is_service:
        return 0
    own_users = {device.user_id for device in state.agent.devices}
    neighbours = [leaf for leaf in plan.situation.leaves if leaf.device.server == state.agent.server_name]
    before = sum(1 for leaf in neighbours if leaf.leaf_index < plan.committers[0][0])
    return before if all(leaf.device.user_id in own_users for leaf in neighbours) else before + 1


def join_due_ms(state: RoomState, plan: Plan) -> tuple[OwnDevice, int] | None:
    """Return an own device that is to join by external commit, and when; None where a regular commit or nobody is due."""
    if plan.held is not None and plan.committers:
        return None
    going = {removal.leaf.device for removal in plan.removals if removal.reason is not RemovalReason.NOT_LISTED}
    own = sorted(device for device in state.agent.devices if device in plan.desired and device not in going)
    if not own:
        return None
    inside = {leaf.device for leaf in plan.situation.leaves}
    if any(device in inside for device in own):
        return state.agent.devices[next(d for d in own if d in inside)], state.head_since_ms + WELCOME_PATIENCE_MS
    if state.agent.is_service:
        return state.agent.devices[own[0]], 0
    server = state.agent.server_name
    if server in able_servers(plan.situation):
        return state.agent.devices[own[0]], state.head_since_ms + WELCOME_PATIENCE_MS
    rivals = sorted(
        (device for device in plan.desired if device.server == server),
        key=lambda device: sha256(plan.head + device.signature_key).digest(),
    )
    rank = rivals.index(own[0])
    delay = commit_delay_ms(plan.head, server, (server,), is_responsible=True, position=rank)
    return state.agent.devices[own[0]], state.head_since_ms + delay if delay else 0


def can_found(state: RoomState, now_ms: int, *, wants_to_send: bool) -> OwnDevice | None:
    """Return the own device that may begin the group: the room creator's, or any where the creator's has no device."""
    membership = state.membership
    creator = membership.facts.create_sender
    situation = _situation(state, now_ms, None)
    wanted = desired_devices(situation)
    own = sorted(device for device in state.agent.devices if device in wanted)
    of_creator = [device for device in own if device.user_id == creator]
    if of_creator and (state.agent.is_service or wants_to_send):
        return state.agent.devices[of_creator[0]]
    if not own or not wants_to_send or creator is None:
        return None
    tracked = state.lists.get(creator)
    creator_is_out = creator not in situation.joined or (tracked is not None and not tracked.devices)
    return state.agent.devices[own[0]] if creator_is_out else None
