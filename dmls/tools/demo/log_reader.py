"""Reads a room-log folder and checks that it is in the format (examples/room-logs/README.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from dmls.errors import DMLSError, InvalidArgumentError
from dmls.ids import EventId, RoomId, UserId
from dmls.matrix.encoding import MAX_INTEGER, parse_json_object
from dmls.matrix.events import parse_membership
from dmls.matrix.identifiers import parse_device_id, parse_event_id, parse_room_id, parse_user_id, server_of
from dmls.matrix.records import Field, Record, boolean, integer, listed, mapping, optional, string
from dmls.tools.demo.log import (
    DeOutlierLine,
    DeviceAction,
    EventLine,
    Line,
    LogFolder,
    Note,
    OtherStateChange,
    PartitionLine,
    RoomLog,
    ServerLog,
    StateChange,
    StateOnlyLine,
    StoredEvent,
)

__all__ = ["read_log_folder"]

_MAX_LINE = 1 << 20
_MAX_FILE = 1 << 28


def read_log_folder(folder: Path) -> LogFolder:
    """Reads and checks a folder.

    Raises:
        InvalidArgumentError: a file is missing or not in the format; the message names the file and the line.
    """
    final = _read_object(folder / "members-final.json", _FINAL)
    devices = _read_object(folder / "devices.json", _DEVICES)
    timeline = _read_object(folder / "timeline.json", _TIMELINE)
    rooms = tuple(_read_room(folder, room_id, room) for room_id, room in final["rooms"].items())
    if not rooms:
        raise InvalidArgumentError(f"{folder}: no room")
    listed_devices = {user: frozenset(ids) for user, ids in devices["final_devices"].items()}
    log = LogFolder(final["scenario"], rooms, devices["log"], listed_devices, timeline["notes"])
    servers = {server.server_name for room in rooms for server in room.servers.values()}
    for action in log.devices:
        if server_of(action.user_id) not in servers:
            raise InvalidArgumentError(f"{folder / 'devices.json'}: a user of a homeserver that has no log")
    return log


def _read_room(folder: Path, room_id: RoomId, content: Mapping[str, Any]) -> RoomLog:
    servers: dict[str, ServerLog] = {}
    try:
        room = _ROOM_FINAL.read(content)
        names = {file: file.removesuffix(".jsonl").partition("-")[0] for file in room["files"]}
        final = {file: _SERVER_FINAL.read(content.get(name)) for file, name in names.items()}
        if not names or len(set(names.values())) < len(names):
            raise InvalidArgumentError("each homeserver must have one file in a room")
    except DMLSError as error:
        raise InvalidArgumentError(f"{folder / 'members-final.json'}: {error.message}") from None
    for file, told in final.items():
        path, name = folder / file, names[file]
        lines = tuple(_read_lines(path, room_id))
        streams = [line.stream for line in lines if not isinstance(line, PartitionLine)]
        stored = {line.event_id for line in lines if isinstance(line, EventLine)}
        if any(later <= earlier for earlier, later in pairwise(streams)):
            raise InvalidArgumentError(f"{path}: the lines are not in stream order")
        if any(line.event_id not in stored for line in lines if isinstance(line, DeOutlierLine)):
            raise InvalidArgumentError(f"{path}: a de_outlier line of an event that was not stored")
        servers[name] = ServerLog(name, server_of(told["asked_as"]), lines, told["members"])
    return RoomLog(room_id, room["room_version"], servers)


def _read_lines(path: Path, room_id: RoomId) -> Iterator[Line]:
    stored: set[EventId] = set()
    for number, data in enumerate(_read_bytes(path).splitlines(), start=1):
        try:
            content = parse_json_object(data, limit=_MAX_LINE)
            marker = content.get("marker")
            record = _LINES.get(marker) if marker is None or isinstance(marker, str) else None
            if record is None:
                raise InvalidArgumentError("unknown marker")
            line: Line = record.read(content)
            if not isinstance(line, PartitionLine) and line.room_id != room_id:
                raise InvalidArgumentError("an event of another room")
            if isinstance(line, EventLine):
                if line.event_id in stored:
                    raise InvalidArgumentError("an event that was stored before")
                stored.add(line.event_id)
                _ = line.member_event  # checked here, so that it is a value ever after
        except DMLSError as error:
            raise InvalidArgumentError(f"{path}:{number}: {error.message}") from None
        yield line


def _read_object(path: Path, record: Record[dict[str, Any]]) -> dict[str, Any]:
    try:
        return record.read(parse_json_object(_read_bytes(path), limit=_MAX_FILE))
    except DMLSError as error:
        raise InvalidArgumentError(f"{path}: {error.message}") from None


def _read_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise InvalidArgumentError(f"{path}: {error.strerror}") from None
    if len(data) > _MAX_FILE:
        raise InvalidArgumentError(f"{path}: more than {_MAX_FILE} bytes")
    return data


def _read_stream(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value == 0:
        raise InvalidArgumentError("not a stream number")
    return value


def _read_final(content: Any) -> Mapping[UserId, StateChange]:
    """Reads final members, whose user is the name and not a field."""
    members: Mapping[str, Mapping[str, Any]] = _MEMBERS.read(content)
    return {parse_user_id(user): _STATE_CHANGE.read({**member, "user_id": user}) for user, member in members.items()}


_TEXT = string(r"[^\0]*")
_NAME = string(r"[0-9a-z]+")
_STREAM = Field(_read_stream)
_TIME = integer(MAX_INTEGER)
_FLAG = boolean()
_USER = Field(parse_user_id)
_EVENT = Field(parse_event_id)
_ROOM = Field(parse_room_id)
_DEVICE = Field(parse_device_id)
_MEMBERS = mapping(parse_user_id, mapping())

_STATE_CHANGE = Record(
    StateChange, {"user_id": _USER, "membership": optional(Field(parse_membership)), "event_id": optional(_EVENT)}
)
_OTHER_CHANGE = Record(OtherStateChange, {"type": _TEXT, "state_key": _TEXT, "event_id": optional(_EVENT)})
_STORED_EVENT = Record(
    StoredEvent,
    {
        "type": _TEXT,
        "sender": _USER,
        "content": mapping(),
        "auth_events": listed(_EVENT),
        "prev_events": listed(_EVENT),
        "origin_server_ts": _TIME,
        "depth": _TIME,
        "state_key": optional(_TEXT),
    },
)
_CHANGES = listed(_STATE_CHANGE.field)
_PARTITION = Record(
    PartitionLine,
    {
        "marker": _TEXT,
        "episode": _TIME,
        "blocked": listed(string(r"[0-9a-z]+->[0-9a-z]+")),
        "after_stream": _TIME,
        "ts": _TIME,
    },
)
_LINES: dict[str | None, Record[Any]] = {
    None: Record(
        EventLine,
        {
            "stream": _STREAM,
            "event_id": _EVENT,
            "room_id": _ROOM,
            "outlier": _FLAG,
            "soft_failed": _FLAG,
            "rejected": _FLAG,
            "received_ts": _TIME,
            "state_change": _CHANGES,
            "event": _STORED_EVENT.field,
            "device_id": optional(_DEVICE),
            "was_outlier": optional(_FLAG),
            "out_of_band_membership": optional(_FLAG),
            "state_change_other": optional(listed(_OTHER_CHANGE.field)),
        },
    ),
    "de_outlier": Record(DeOutlierLine, {"stream": _STREAM, "event_id": _EVENT, "room_id": _ROOM, "state_change": _CHANGES}),
    "state_only": Record(StateOnlyLine, {"stream": _STREAM, "room_id": _ROOM, "state_change": _CHANGES}),
    "partition_start": _PARTITION,
    "partition_heal": _PARTITION,
}
_DEVICE_ACTION = Record(
    DeviceAction,
    {
        "seq": _TIME,
        "user_id": _USER,
        "action": string("login|logout"),
        "device_id": _DEVICE,
        "ts": _TIME,
        "after_stream": mapping(_NAME.read, _TIME),
    },
)
_DEVICES = Record(
    dict[str, Any],
    {"log": listed(_DEVICE_ACTION.field), "final_devices": mapping(parse_user_id, listed(_DEVICE))},
)
_TIMELINE = Record(dict[str, Any], {"notes": listed(Record(Note, {"ts": _TIME, "note": _TEXT}).field)})
_FINAL = Record(dict[str, Any], {"scenario": _TEXT, "rooms": mapping(parse_room_id, mapping())})
_ROOM_FINAL = Record(dict[str, Any], {"room_version": _TEXT, "files": listed(string(r"[0-9a-z]+(-[0-9a-z]+)?\.jsonl"))})
_SERVER_FINAL = Record(dict[str, Any], {"asked_as": _USER, "members": Field(_read_final)})
