"""ForgetRoom."""

from __future__ import annotations

from devicestore import Connection
from dmls.ids import RoomId
from dmls.service.core import Core, Record, no_record
from dmls.v1 import room_pb2

__all__ = ["forget_room"]


def forget_room(core: Core, request: room_pb2.ForgetRoomRequest, record: Record = no_record) -> room_pb2.ForgetRoomResponse:
    """Delete all that is known of a room; what comes of it later is ignored until its full state is told again."""
    room_id = RoomId(request.room_id)

    def finish(conn: Connection, was_known: bool) -> room_pb2.ForgetRoomResponse:
        answer = room_pb2.ForgetRoomResponse(forgotten=was_known)
        record(conn, answer)
        return answer

    answer = core.keeper.forget(room_id, finish)
    core.staged.pop(room_id, None)
    return answer
