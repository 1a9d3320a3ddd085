"""What stays of a room that is forgotten: that no vote_seq is ever used twice, and which devices are finally gone."""

from __future__ import annotations

from dmls.engine.effects import StoreChange
from dmls.engine.records import put_meta, put_vote_floor
from dmls.engine.state import Draft, RoomState, no_random
from dmls.engine.voting import vote_floor

__all__ = ["kept_records"]


def kept_records(state: RoomState) -> list[StoreChange]:
    """Return the records of a room of which nothing else is known any more."""
    # Never 0: whoever sees no nodes and this number knows that there was a group.
    reserved = max(state.vote_seq_reserved, 1)
    bare = RoomState(state.room_id, state.agent, vote_seq=reserved, vote_seq_reserved=reserved, gone=state.gone)
    draft = Draft(bare, 0, no_random, {})
    put_meta(draft)
    for device in {*state.agent.devices, *state.vote_floors}:
        floor = vote_floor(state, device)
        if floor > reserved:
            put_vote_floor(draft, device, floor)
    return draft.changes
