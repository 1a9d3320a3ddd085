"""What a group is about to do, and whether hosted devices can send before it has."""

from __future__ import annotations

from dmls.engine.planning import Plan, can_found, join_due_ms
from dmls.engine.readiness import SendState
from dmls.engine.state import RoomState
from dmls.service.convert import device_ref, to_timestamp
from dmls.v1 import room_pb2

__all__ = ["pending_changes", "to_send_state"]

_SEND_STATES = {
    SendState.NOBODY: room_pb2.SEND_STATE_UNSPECIFIED,
    SendState.OPEN: room_pb2.SEND_STATE_OPEN,
    SendState.COMMIT_FIRST: room_pb2.SEND_STATE_COMMIT_FIRST,
    SendState.NO_SECRETS: room_pb2.SEND_STATE_NO_SECRETS,
    SendState.UNVOUCHED: room_pb2.SEND_STATE_UNVOUCHED,
}


def to_send_state(state: SendState) -> room_pb2.SendState:
    """Return whether hosted devices can send as callers see it."""
    return _SEND_STATES[state]


def pending_changes(state: RoomState, plan: Plan | None, now_ms: int) -> list[room_pb2.PendingChange]:
    """Return what the group is about to do, each with the time at which this service does it if nobody else has."""
    if plan is None:
        founder = can_found(state, now_ms, wants_to_send=False)
        if founder is None:
            return []
        return [room_pb2.PendingChange(kind=room_pb2.PENDING_KIND_GENESIS, device=device_ref(founder.device))]
    due_time = None if plan.due_ms is None else to_timestamp(plan.due_ms)
    pending = [
        room_pb2.PendingChange(kind=room_pb2.PENDING_KIND_ADD, device=device_ref(device), due_time=due_time)
        for device in plan.survey.additions
    ]
    pending += [
        room_pb2.PendingChange(kind=room_pb2.PENDING_KIND_REMOVE, device=device_ref(removal.leaf.device), due_time=due_time)
        for removal in plan.survey.removals
    ]
    if plan.survey.needs_merge:
        pending += [
            room_pb2.PendingChange(kind=room_pb2.PENDING_KIND_MERGE, commit_ref=ref, due_time=due_time)
            for ref in plan.survey.side_heads
        ]
    join = join_due_ms(state, plan, now_ms)
    if join is not None:
        own, at_ms = join
        at = to_timestamp(max(at_ms, now_ms))
        pending.append(room_pb2.PendingChange(kind=room_pb2.PENDING_KIND_JOIN, device=device_ref(own.device), due_time=at))
    return pending
