"""Joining by external commit, with pauses (docs/protocol.md, Section 8)."""

from __future__ import annotations

from dmls.engine.committing import send_external_commit
from dmls.engine.effects import NoticeKind
from dmls.engine.planning import Plan, join_due_ms
from dmls.engine.state import Draft, RoomState
from dmls.errors import DMLSError
from dmls.ids import CommitRef

__all__ = ["MAX_REJOIN_PAUSE_MS", "REJOIN_PAUSE_MS", "join_if_due", "next_join_ms"]

REJOIN_PAUSE_MS = 60_000
"""Least time between two external commits, unless another commit won against the first, in milliseconds."""
MAX_REJOIN_PAUSE_MS = 3_600_000
"""The pause doubles with each that came to nothing, up to this, in milliseconds."""
_LOST_RACE_PAUSE_MS = 500
_RACES_REMEMBERED_MS = 600_000


def join_if_due(draft: Draft, plan: Plan) -> bool:
    """Join with an own device if one has to and may; tell whether that was done."""
    due = join_due_ms(draft.state, plan, draft.now_ms)
    if due is None or max(due[1], _pause_ends_ms(draft.state, plan, draft.now_ms)) > draft.now_ms:
        return False
    own = due[0]
    failures = _failures(draft, plan)
    state, marks = draft.state, draft.marks()
    try:
        ref = send_external_commit(draft, plan, own)
    except DMLSError as error:
        # A head that nobody can join must not stop everything else.
        draft.state = state
        draft.truncate(marks)
        draft.update(last_join_ms=draft.now_ms, join_failures=failures + 1)
        draft.notify(NoticeKind.COMMIT_FAILED, plan.head, error.reason)
        return False
    draft.update(join_failures=failures)
    if own.device in plan.survey.shut_out:
        draft.notify(NoticeKind.REJOINED, ref, f"{own.device.user_id} {own.device.device_id}")
    return True


def next_join_ms(state: RoomState, plan: Plan, now_ms: int) -> int | None:
    """Return when an own device joins if nothing else happens, None if none has to."""
    due = join_due_ms(state, plan, now_ms)
    return None if due is None else max(due[1], _pause_ends_ms(state, plan, now_ms))


def _joins_since(state: RoomState, since_ms: int) -> list[CommitRef]:
    """Return the nodes that own devices have joined by, of those that were made at a time or later."""
    made = [ref for device in state.agent.devices for ref in state.graph.authored(device)]
    return [ref for ref in made if state.graph.node(ref).is_external and state.entries[ref].received_at_ms >= since_ms]


def _last_joins(state: RoomState) -> list[CommitRef]:
    """Return the nodes of the last join; none if it failed or was refused."""
    return _joins_since(state, state.last_join_ms)


def _has_lost_race(state: RoomState, plan: Plan) -> bool:
    return any(not state.graph.is_ancestor(ref, plan.head) for ref in _last_joins(state))


def _lost_races(state: RoomState, plan: Plan, now_ms: int) -> int:
    """Return how many joins of own devices have lost lately.

    Each doubles the wait, or who joins and who resolves what has lost would outrun each other for ever.
    """
    lately = _joins_since(state, now_ms - _RACES_REMEMBERED_MS + 1)
    return sum(not state.graph.is_ancestor(ref, plan.head) for ref in lately)


def _pause_ends_ms(state: RoomState, plan: Plan, now_ms: int) -> int:
    if not state.last_join_ms:
        return 0
    if _has_lost_race(state, plan):
        races = _lost_races(state, plan, now_ms)
        # One lost race is nothing unusual when a room begins.
        return state.last_join_ms + min(_LOST_RACE_PAUSE_MS << min(races, 8), REJOIN_PAUSE_MS) if races > 1 else 0
    return state.last_join_ms + min(REJOIN_PAUSE_MS << min(state.join_failures, 6), MAX_REJOIN_PAUSE_MS)


def _failures(draft: Draft, plan: Plan) -> int:
    """Return how often in a row joining has come to nothing, the last time included; a lost race changes nothing."""
    state = draft.state
    if not _last_joins(state) or _has_lost_race(state, plan):
        return state.join_failures
    is_again = bool(plan.survey.shut_out) and draft.now_ms < state.last_join_ms + 2 * MAX_REJOIN_PAUSE_MS
    return state.join_failures + 1 if is_again else 0
