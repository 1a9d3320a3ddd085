"""A room's records between engine and store: the same names on both sides, except for plaintexts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from devicestore import Connection, plaintexts, rooms
from dmls.engine.effects import Put, StoreChange, Table
from dmls.ids import RoomId

__all__ = ["apply_changes", "load_records"]


def load_records(conn: Connection, room_id: RoomId) -> Iterator[tuple[str, bytes, bytes]]:
    """Yield all records of a room as (table, key, value); none if the room is unknown.

    Raises:
        SealBroken: a secret record was altered or moved.
    """
    yield from rooms.load(conn, room_id)
    for name in plaintexts.list_event_ids(conn, room_id):
        yield Table.PLAINTEXT, bytes.fromhex(name), plaintexts.get(conn, room_id, name)


def apply_changes(
    conn: Connection,
    room_id: RoomId,
    changes: Iterable[StoreChange],
    *,
    fork_count: int = 0,
    wake_at_ms: int | None = None,
    expected: int | None = None,
) -> int:
    """Store the changes of a step, at most one of each record, and return the room's new version; it is made if it is new.

    Raises:
        Stale: the room has not the expected version.
    """
    puts: list[tuple[str, bytes, bytes]] = []
    deletes: list[tuple[str, bytes]] = []
    texts: list[StoreChange] = []
    for change in changes:
        if change.table is Table.PLAINTEXT:
            texts.append(change)
        elif isinstance(change, Put):
            puts.append((change.table, change.key, change.value))
        else:
            deletes.append((change.table, change.key))
    version = rooms.apply(conn, room_id, puts, deletes, fork_count=fork_count, wake_at_ms=wake_at_ms, expected=expected)
    for change in texts:
        # The store names plaintexts by text; a key is an event id, or the hash of a message whose event has not come yet.
        name = change.key.hex()
        if isinstance(change, Put):
            plaintexts.put(conn, room_id, name, change.value)
        else:
            plaintexts.remove(conn, room_id, name)
    return version
