"""WatchDevices: devices as they are added, changed and removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from google.protobuf.message import Message

from devicestore import counters, devices
from devicestore.counters import CounterName
from devicestore.devices import DeviceRecord
from dmls.service.core import Core
from dmls.service.handlers.devices import to_device
from dmls.service.streams import Position, Source, read_cursor
from dmls.v1 import device_pb2

__all__ = ["device_changes"]

_PAGE = 100


def device_changes(core: Core, request: device_pb2.WatchDevicesRequest) -> Source:
    """Return the source of a stream: without a cursor the present devices first, then what changes of them."""
    user_ids = tuple(request.user_ids)

    def open_stream() -> Position:
        number = read_cursor(core, request.cursor)
        last = core.store.read(lambda conn: counters.current(conn, CounterName.DEVICE))
        # Numbers that the store has not reached are of a time that it has lost.
        return Position(number) if 0 < number <= last else Position(0, last)

    def read(position: Position) -> Sequence[tuple[int, Mapping[str, Message] | None]]:
        records = core.store.read(lambda conn: devices.list_changed(conn, position.number, _PAGE, user_ids))
        return [(record.version, _change(record, position)) for record in records]

    return Source(open_stream, read)


def _change(record: DeviceRecord, position: Position) -> Mapping[str, Message] | None:
    if record.deleted_at_ms is not None:
        if record.version <= position.present_until:
            return None
        kind = device_pb2.DEVICE_CHANGE_KIND_REMOVED
    elif record.first_version > position.number:
        kind = device_pb2.DEVICE_CHANGE_KIND_ADDED
    else:
        kind = device_pb2.DEVICE_CHANGE_KIND_CHANGED
    return {"change": device_pb2.DeviceChange(kind=kind, device=to_device(record))}
