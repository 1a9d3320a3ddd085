"""Whose turn it is to mend what a room's group lacks, and when (docs/protocol.md, Section 8)."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from dmls.engine.agent import OwnDevice
from dmls.engine.committers import Committer
from dmls.engine.nodes import find_leaf
from dmls.engine.refusals import free_at_ms
from dmls.engine.state import HeldEpoch, NodeEntry, RoomState
from dmls.engine.survey import Survey, survey
from dmls.engine.voting import needs_new_key
from dmls.forks.committer import commit_delay_ms
from dmls.forks.graph import Device
from dmls.forks.reconcile import RemovalReason
from dmls.ids import CommitRef, UserId
from dmls.matrix.identifiers import server_of

__all__ = ["CLAIM_PATIENCE_MS", "MERGE_PAUSE_MS", "Plan", "can_found", "join_due_ms", "make_plan", "wanted_device_lists"]

CLAIM_PATIENCE_MS = 5_000
"""How long additions wait for one another's key packages, in milliseconds."""
WELCOME_PATIENCE_MS = 30_000
"""How long an entitled device waits for a Welcome before it joins by itself, in milliseconds."""
MERGE_PAUSE_MS = 60_000
"""How long there is between two commits that do nothing but resolve branches, in milliseconds."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The head as it is, what it should be, and when this agent sees to it."""

    head: CommitRef
    """As far as this agent follows it (`dmls.engine.standing`)."""
    entry: NodeEntry
    held: HeldEpoch | None
    survey: Survey
    due_ms: int | None
    """When this agent mends the head if nobody else has, None if there is nothing to mend or nobody here can."""

    def committer_of(self, device: Device) -> Committer | None:
        """Return the leaf of an own device if it may commit."""
        return next((committer for committer in self.survey.committers if committer.own.device == device), None)

    @property
    def bereaved(self) -> Committer | None:
        """Return an own leaf of a user of whom a device is gone for good, which only that user's devices can say."""
        gone = {item.leaf.device.user_id for item in self.survey.removals if item.reason is RemovalReason.FINALLY_GONE}
        return next((committer for committer in self.survey.committers if committer.own.device.user_id in gone), None)


def wanted_device_lists(state: RoomState, now_ms: int) -> frozenset[UserId]:
    """Return the users of other servers whose device lists are to be asked for now."""
    wanted = survey(state, now_ms).lists_wanted
    if not state.agent.is_service:
        return wanted
    return frozenset(user for user in wanted if server_of(user) != state.agent.server_name)


def make_plan(state: RoomState, now_ms: int) -> Plan | None:
    """Compare the head with what is wanted; None while there is no head."""
    if state.stand is None:
        return None
    seen = survey(state, now_ms)
    return Plan(state.stand, state.entries[state.stand], state.epochs.get(state.stand), seen, _due_ms(state, seen, now_ms))


def _due_ms(state: RoomState, seen: Survey, now_ms: int) -> int | None:
    if not seen.is_dirty or not seen.committers:
        return None
    due = (state.dirty_since_ms or now_ms) + seen.delay_ms
    if not (seen.removals or seen.additions or seen.rejects):
        due = max(due, state.last_merge_ms + MERGE_PAUSE_MS)
    return max(due, seen.free_ms)


def join_due_ms(state: RoomState, plan: Plan, now_ms: int) -> tuple[OwnDevice, int] | None:
    """Return an own device that is to join by external commit, and when; None where a regular commit or nobody is due."""
    found = _find_joiner(state, plan, now_ms)
    if found is None:
        return None
    device, at_ms = found
    return state.agent.devices[device], max(at_ms, free_at_ms(state, device.user_id))


def _find_joiner(state: RoomState, plan: Plan, now_ms: int) -> tuple[Device, int] | None:
    seen = plan.survey
    if seen.shut_out:
        device = seen.shut_out[0]
        is_barred = plan.held is not None and find_leaf(plan.entry.group.tree, device) in plan.held.state.own_leaves
        since = state.locked_out_since_ms or now_ms
        return device, 0 if is_barred else since + WELCOME_PATIENCE_MS
    if plan.held is not None and seen.committers:
        return None
    going = {removal.leaf.device for removal in seen.removals if removal.reason is not RemovalReason.NOT_LISTED}
    own = [
        device
        for device in state.agent.devices
        if device in seen.desired and device not in going and not needs_new_key(state, device)
    ]
    if not own or any(device in seen.situation.devices for device in own):
        return None
    # Whoever was refused goes after the others.
    own.sort(key=lambda device: (max(free_at_ms(state, device.user_id), now_ms), device))
    return own[0], _join_turn_ms(state, plan, own[0])


def _join_turn_ms(state: RoomState, plan: Plan, device: Device) -> int:
    """Return when an own device without a leaf joins the head."""
    seen = plan.survey
    if state.agent.is_service:
        return 0
    server = state.agent.server_name
    if server in seen.able:
        return state.head_since_ms + WELCOME_PATIENCE_MS
    rivals = sorted(
        (rival for rival in seen.desired if rival.server == server),
        key=lambda rival: sha256(plan.head + rival.signature_key).digest(),
    )
    delay = commit_delay_ms(plan.head, server, (server,), is_responsible=True, position=rivals.index(device))
    return state.head_since_ms + delay if delay else 0


def can_found(state: RoomState, now_ms: int, *, wants_to_send: bool) -> OwnDevice | None:
    """Return the own device that may begin the group: the room creator's, or any where the creator's has no device."""
    membership = state.membership
    creator = membership.facts.create_sender
    seen = survey(state, now_ms)
    free = (device for device in state.agent.devices if free_at_ms(state, device.user_id) <= now_ms)
    own = sorted(device for device in free if device in seen.desired)
    of_creator = [device for device in own if device.user_id == creator]
    # Where there were votes and no node is known, the room was forgotten: its group is there, and will be told of.
    is_new = not state.vote_seq
    if of_creator and ((state.agent.is_service and is_new) or wants_to_send):
        return state.agent.devices[of_creator[0]]
    if not own or not wants_to_send or creator is None:
        return None
    tracked = state.lists.get(creator)
    creator_is_out = creator not in seen.situation.joined or (tracked is not None and not tracked.devices)
    return state.agent.devices[own[0]] if creator_is_out else None
