"""What the homeserver finally refuses: how long an own user makes no further nodes (docs/protocol.md, Section 8).

It is the user who is refused, for want of a power level or of the membership that the agent believes in: another user's devices
may well be listened to.
"""

from __future__ import annotations

from dmls.engine.effects import NoticeKind
from dmls.engine.nodes import drop_node, refresh_head
from dmls.engine.records import put_refusal
from dmls.engine.state import Draft, Refusal, RoomState
from dmls.ids import CommitRef, UserId

__all__ = ["FIRST_BACK_OFF_MS", "LONGEST_BACK_OFF_MS", "free_at_ms", "note_acceptance", "take_refusal"]

FIRST_BACK_OFF_MS = 1_000
"""How long a user makes no further node after the first refusal, in milliseconds; twice as long after each further one."""
LONGEST_BACK_OFF_MS = 3_600_000


def free_at_ms(state: RoomState, user: UserId) -> int:
    """Return from when on a user may make nodes again, in milliseconds; 0 for one who was not refused."""
    refusal = state.refusals.get(user)
    return 0 if refusal is None else refusal.at_ms + _back_off_ms(refusal.times)


def _back_off_ms(times: int) -> int:
    return min(FIRST_BACK_OFF_MS << min(times - 1, 20), LONGEST_BACK_OFF_MS)


def note_acceptance(draft: Draft, user: UserId) -> None:
    """Forget a user's refusals: a node of theirs was sent."""
    if user in draft.state.refusals:
        draft.update(refusals=draft.state.refusals.delete(user))
        put_refusal(draft, user, None)


def take_refusal(draft: Draft, ref: CommitRef) -> None:
    """Forget an own node whose event was finally refused, with all that was made on it, and let its author's user wait.

    Where somebody else has made a commit below it, or an event below it was sent, the node's event exists whatever was said of
    it, and everything stays.
    """
    state = draft.state
    below = list(state.graph.subtree(ref))
    if any(_is_known_elsewhere(state, each) for each in below):
        return
    user = state.graph.node(ref).author.user_id
    for each in reversed(below):
        drop_node(draft, each)
    if state.graph.node(ref).is_external:
        draft.update(join_failures=draft.state.join_failures + 1)
    before = state.refusals.get(user)
    refusal = Refusal(1 if before is None else before.times + 1, draft.now_ms)
    draft.update(refusals=draft.state.refusals.set(user, refusal))
    put_refusal(draft, user, refusal)
    wait_s = _back_off_ms(refusal.times) // 1_000
    draft.notify(NoticeKind.COMMIT_REFUSED, ref, f"refused {refusal.times} times in a row; {user} tries again in {wait_s} s")
    refresh_head(draft)


def _is_known_elsewhere(state: RoomState, ref: CommitRef) -> bool:
    node = state.graph.node(ref)
    return bool(node.event_id) or node.author not in state.agent.devices
