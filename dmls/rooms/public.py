"""What a store tells of a room without its key: everything public, and of which epochs there are secrets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devicestore import Connection, read_unsealed, rooms
from dmls.engine.agent import Agent
from dmls.engine.effects import Table
from dmls.engine.room import RoomEngine
from dmls.engine.state import RoomState
from dmls.errors import CodecError, InternalError, NotFoundError
from dmls.ids import CommitRef, RoomId, ServerName

__all__ = ["CLIENT_DATABASE", "SERVICE_DATABASE", "PublicRoom", "list_rooms", "read_room"]

SERVICE_DATABASE: Final = "dmls.sqlite3"
"""Name of the database in a service's directory."""
CLIENT_DATABASE: Final = "device.db"
"""Name of the database in a client device's directory."""


@dataclass(frozen=True, slots=True)
class PublicRoom:
    """A room as read without the store's key.

    Attributes:
        state: without secrets, without plaintexts and with an agent that holds no devices.
        held: the epochs whose secrets the store holds.
    """

    state: RoomState
    held: frozenset[CommitRef]


def list_rooms(folder: Path) -> list[RoomId]:
    """Return the rooms of the store in the directory of a service or of a client device, in order.

    Raises:
        NotFoundError: there is no database in it.
        StoreError: it cannot be read, or somebody has it open.
    """
    return [RoomId(room_id) for room_id in read_unsealed(_find_database(folder), rooms.list_rooms)]


def read_room(folder: Path, room_id: RoomId) -> PublicRoom:
    """Read a room from the store in the directory of a service or of a client device.

    Raises:
        NotFoundError: there is no database in it, or no such room in the database.
        InternalError: a record was not written by an engine.
        StoreError: the store cannot be read, or somebody has it open.
    """

    def read(conn: Connection) -> tuple[bool, list[tuple[str, bytes, bytes]], list[bytes]]:
        records = list(rooms.load_plain(conn, room_id))
        return room_id in rooms.list_rooms(conn), records, rooms.list_keys(conn, Table.EPOCH, room_id)

    is_known, records, held = read_unsealed(_find_database(folder), read)
    if not is_known:
        raise NotFoundError("the store does not know this room")
    try:
        state = RoomEngine.load(room_id, Agent(ServerName(""), is_service=True), records).state
    except CodecError as error:
        raise InternalError("a record of the room does not decode") from error
    return PublicRoom(state, frozenset(map(CommitRef, held)))


def _find_database(folder: Path) -> str:
    for name in (SERVICE_DATABASE, CLIENT_DATABASE):
        if (folder / name).exists():
            return f"sqlite:///{(folder / name).absolute()}"
    raise NotFoundError(f"there is neither {SERVICE_DATABASE} nor {CLIENT_DATABASE} in {folder}")
