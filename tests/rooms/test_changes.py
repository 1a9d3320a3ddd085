"""What is stored of what happens in rooms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devicestore.room_changes import ChangeRow
from dmls.engine.effects import EventKind, EventResult, IngestOutcome
from dmls.engine.readiness import SendState
from dmls.errors import CodecError
from dmls.ids import CommitRef, RoomId
from dmls.rooms.changes import (
    Change,
    HeadChanged,
    NodeAdded,
    Noticed,
    SendStateChanged,
    Unparked,
    decode_change,
    encode_change,
)

ROOM = RoomId("!room:hs1")
REFS = st.binary(max_size=64).map(CommitRef)
RESULTS = st.builds(
    EventResult, st.sampled_from(IngestOutcome), st.sampled_from(EventKind), REFS, st.text(), st.text(), st.text()
)
CHANGES: st.SearchStrategy[Change] = st.one_of(
    st.builds(NodeAdded, REFS),
    st.builds(HeadChanged, REFS, REFS, st.integers(0, 1 << 31)),
    st.builds(Unparked, st.text(), RESULTS),
    st.builds(Noticed, st.text(), st.text(), st.text(), REFS, st.text()),
    st.builds(SendStateChanged, st.sampled_from(SendState)),
)


@given(CHANGES)
def test_a_change_is_read_as_it_was_written(change: Change) -> None:
    stored = encode_change(ROOM, change)
    assert decode_change(ChangeRow(1, stored.room_id, stored.kind, stored.payload, 5)) == change


@given(CHANGES, st.sampled_from(["node", "head", "unparked", "notice", "send_state", "else"]), st.binary(max_size=9))
def test_what_was_not_written_here_is_a_codec_error(change: Change, kind: str, tail: bytes) -> None:
    stored = encode_change(ROOM, change)
    try:
        decode_change(ChangeRow(1, ROOM, kind, stored.payload[:-1] + tail, 5))
    except CodecError:
        return


@pytest.mark.parametrize("payload", [b"", b"\x02", b"\x01\xff"])
def test_another_version_or_nonsense_is_refused(payload: bytes) -> None:
    with pytest.raises(CodecError):
        decode_change(ChangeRow(1, ROOM, "head", payload, 5))
