"""WatchRoom: what happens in rooms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from google.protobuf.message import Message

from devicestore import room_changes
from devicestore.room_changes import ChangeRow
from dmls.engine.agent import devices_of
from dmls.engine.effects import NoticeKind
from dmls.engine.state import RoomState
from dmls.forks.graph import Device
from dmls.ids import CommitRef, RoomId
from dmls.rooms.changes import (
    FORK_RESOLVED,
    FORKED,
    LAST_RESORT_USED,
    NO_KEY_PACKAGE,
    HeadChanged,
    NodeAdded,
    Noticed,
    SendStateChanged,
    Unparked,
    decode_change,
)
from dmls.service.convert import device_ref, pointer, to_timestamp
from dmls.service.core import Core
from dmls.service.handlers.ingest import to_ingest_result
from dmls.service.handlers.plans import to_send_state
from dmls.service.handlers.views import RoomView, to_node
from dmls.service.streams import Position, Source, read_cursor
from dmls.v1 import common_pb2, room_pb2

__all__ = ["happenings"]

_PAGE = 100
_NOTICES = {
    NoticeKind.NEEDS_READMISSION.value: room_pb2.NOTICE_KIND_NEEDS_READMISSION,
    NoticeKind.NEEDS_NEW_KEY.value: room_pb2.NOTICE_KIND_NEEDS_NEW_KEY,
    FORKED: room_pb2.NOTICE_KIND_FORKED,
    FORK_RESOLVED: room_pb2.NOTICE_KIND_FORK_RESOLVED,
    NoticeKind.FORK_ALARM.value: room_pb2.NOTICE_KIND_FORK_ALARM,
    NoticeKind.COMMIT_FAILED.value: room_pb2.NOTICE_KIND_COMMIT_FAILED,
    NoticeKind.EQUIVOCATION.value: room_pb2.NOTICE_KIND_EQUIVOCATION,
    NoticeKind.FAILURE_REPORTED.value: room_pb2.NOTICE_KIND_FAILURE_REPORTED,
    NoticeKind.REJOINED.value: room_pb2.NOTICE_KIND_REJOINED,
    NO_KEY_PACKAGE: room_pb2.NOTICE_KIND_NO_KEY_PACKAGE,
    LAST_RESORT_USED: room_pb2.NOTICE_KIND_LAST_RESORT_USED,
    NoticeKind.ROLLED_BACK.value: room_pb2.NOTICE_KIND_ROLLED_BACK,
    NoticeKind.PARKED_EVENT_DROPPED.value: room_pb2.NOTICE_KIND_PARKED_EVENT_DROPPED,
}


def happenings(core: Core, request: room_pb2.WatchRoomRequest) -> Source:
    """Return the source of a stream: from a cursor on, or from now."""
    room_ids = tuple(request.room_ids)

    def open_stream() -> Position:
        last = core.store.read(room_changes.last)
        # Without a cursor, and with one of a time that the store has lost, from now on.
        return Position(min(read_cursor(core, request.cursor) or last, last))

    def read(position: Position) -> Sequence[tuple[int, Mapping[str, Message] | None]]:
        rows = core.store.read(lambda conn: room_changes.read_after(conn, position.number, _PAGE, room_ids))
        views: dict[str, RoomView | None] = {}
        for row in rows:
            if row.room_id not in views:
                state = core.keeper.state(RoomId(row.room_id))
                views[row.room_id] = None if state is None else RoomView(state, core.now_ms())
        return [(row.seq, _frame(row, views[row.room_id])) for row in rows]

    return Source(open_stream, read)


def _frame(row: ChangeRow, view: RoomView | None) -> Mapping[str, Message] | None:
    """Return the field of a frame; None for what cannot be told any more, since the room was forgotten or the node is gone."""
    if view is None:
        return None
    told = room_pb2.RoomChange(room_id=row.room_id, time=to_timestamp(row.at_ms))
    match decode_change(row):
        case NodeAdded(ref):
            if ref not in view.state.entries:
                return None
            told.node.CopyFrom(to_node(view, view.state.entries[ref].node))
        case HeadChanged(old, new, depth):
            told.head.CopyFrom(_head(view.state, old, new, depth))
        case Unparked(event_id, result):
            told.unparked.event_id = event_id
            told.unparked.result.CopyFrom(to_ingest_result(view.state, event_id, result))
        case Noticed() as notice:
            told.notice.CopyFrom(_notice(notice))
        case SendStateChanged(state):
            told.send_state.state = to_send_state(state)
    return {"change": told}


def _head(state: RoomState, old: CommitRef, new: CommitRef, depth: int) -> room_pb2.HeadChange:
    before, after = _members(state, old), _members(state, new)
    told = room_pb2.HeadChange(
        new_head=_pointer(state, new),
        depth=depth,
        added=map(device_ref, sorted(after - before)),
        removed=map(device_ref, sorted(before - after)),
    )
    if old:
        told.old_head.CopyFrom(_pointer(state, old))
    return told


def _pointer(state: RoomState, ref: CommitRef) -> common_pb2.EpochPointer:
    return pointer(state, ref) if ref in state.entries else common_pb2.EpochPointer(commit_ref=ref)


def _members(state: RoomState, ref: CommitRef) -> set[Device]:
    return set(devices_of(state.entries[ref].group.tree).values()) if ref in state.entries else set()


def _notice(change: Noticed) -> room_pb2.RoomNotice:
    told = room_pb2.RoomNotice(kind=_NOTICES[change.kind], commit_ref=change.commit_ref)
    if change.user_id:
        told.device.CopyFrom(common_pb2.DeviceRef(user_id=change.user_id, device_id=change.device_id))
    if change.text:
        told.failure.CopyFrom(common_pb2.Failure(reason=change.kind.upper(), message=change.text))
    return told
