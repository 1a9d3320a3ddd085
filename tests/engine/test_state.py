from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest

from dmls.engine.agent import Agent
from dmls.engine.state import RoomState
from dmls.errors import UsageError
from dmls.ids import RoomId, ServerName


def test_fields_are_replaced_as_by_replace() -> None:
    state = RoomState(RoomId("!room:hs1"), Agent(ServerName("hs1"), is_service=True))
    changed = state.with_fields({"vote_seq": 7, "head_since_ms": 9})
    assert changed == replace(state, vote_seq=7, head_since_ms=9)
    assert changed.memo is state.memo
    assert state.vote_seq == 0
    with pytest.raises(FrozenInstanceError):
        changed.vote_seq = 8  # type: ignore[misc]


def test_there_are_no_other_fields() -> None:
    state = RoomState(RoomId("!room:hs1"), Agent(ServerName("hs1"), is_service=True))
    with pytest.raises(UsageError):
        state.with_fields({"vote": 7})
