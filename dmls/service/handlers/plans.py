"""What a group is about to do, and whether hosted devices can send before it has."""

from __future__ import annotations

from dmls.engine.planning import Plan, can_found, join_due_ms
from dmls.engine.state import RoomState
from dmls.service.convert import device_ref, to_timestamp
from dmls.v1 import room_pb2

__all__ = ["pending_changes", "send_state"]


def send_state(state: RoomState, plan: Plan | None, now_ms: int) -> room_pb2.SendState:
    """Tell whether hosted devices can send; not stated where none is in the room."""
    joined = state.membership.joined()
    own = [device for device in state.agent.devices if device.user_id in joined]
    if not own or state.membership.facts.encryption_algorithm is None:
        return room_pb2.SEND_STATE_UNSPECIFIED
    if plan is None:
        founder = can_found(state, now_ms, wants_to_send=True)
        return room_pb2.SEND_STATE_NO_SECRETS if founder is None else room_pb2.SEND_STATE_COMMIT_FIRST
    if plan.held is None or not plan.survey.committers:
        return room_pb2.SEND_STATE_NO_SECRETS
    if plan.survey.removals or plan.survey.needs_merge:
        return room_pb2.SEND_STATE_COMMIT_FIRST
    return room_pb2.SEND_STATE_UNVOUCHED if plan.survey.unvouched else room_pb2.SEND_STATE_OPEN


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
