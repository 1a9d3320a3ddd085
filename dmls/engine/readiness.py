"""Whether own devices can send in a room now, and if not, what must come before."""

from __future__ import annotations

from enum import StrEnum

from dmls.engine.planning import Plan, can_found
from dmls.engine.state import RoomState

__all__ = ["SendState", "send_state"]


class SendState(StrEnum):
    """Whether own devices can send."""

    NOBODY = "nobody"
    """No own device is in the room, or it is not encrypted."""
    OPEN = "open"
    COMMIT_FIRST = "commit_first"
    """After a commit that the next message brings about."""
    NO_SECRETS = "no_secrets"
    UNVOUCHED = "unvouched"


def send_state(state: RoomState, plan: Plan | None, now_ms: int) -> SendState:
    """Tell whether own devices can send; `plan` is what the group is about to do, None before its genesis."""
    joined = state.membership.joined()
    own = [device for device in state.agent.devices if device.user_id in joined]
    if not own or state.membership.facts.encryption_algorithm is None:
        return SendState.NOBODY
    if plan is None:
        founder = can_found(state, now_ms, wants_to_send=True)
        return SendState.NO_SECRETS if founder is None else SendState.COMMIT_FIRST
    if plan.held is None or not plan.survey.committers:
        return SendState.NO_SECRETS
    if plan.survey.removals or plan.survey.needs_merge:
        return SendState.COMMIT_FIRST
    return SendState.UNVOUCHED if plan.survey.unvouched else SendState.OPEN
