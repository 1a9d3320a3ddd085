"""Rooms and their records.

A room is a set of records (table, key, value); what is in them is the engine's business. `apply` makes the changes of one
step, in the caller's transaction, with which it writes the outbox rows of the same step.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from devicestore import data_keys
from devicestore.epochs import SEALED_TABLES, delete_sealed, load_sealed, put_sealed
from devicestore.errors import Invalid, Stale
from devicestore.models import PLAIN_TABLES, Epoch, Outbox, Plaintext, PrivateKey, Room, RoomChange
from devicestore.statements import insert_or_ignore, upsert

__all__ = [
    "RECORD_TABLES",
    "apply",
    "due",
    "find",
    "forget",
    "is_forgotten",
    "list_keys",
    "list_rooms",
    "load",
    "load_plain",
    "next_wake_ms",
    "note_wake",
    "revive",
    "versions",
]

RECORD_TABLES = (*PLAIN_TABLES, *SEALED_TABLES)
"""The names of all record tables."""


def apply(
    conn: Connection,
    room_id: str,
    puts: Iterable[tuple[str, bytes, bytes]],
    deletes: Iterable[tuple[str, bytes]],
    *,
    fork_count: int = 0,
    wake_at_ms: int | None = None,
    expected: int | None = None,
) -> int:
    """Store and delete records of a room, which is made if it is new, and return the room's new version.

    Args:
        conn: a writing connection.
        room_id: the room.
        puts: (table, key, value); of several values for one key the last is stored.
        deletes: (table, key); a key that is not there is passed over.
        fork_count: how many unresolved side heads the group has now.
        wake_at_ms: when something is due in the room of itself.
        expected: the version that the changes build on, 0 for a new room; None: whichever it is.

    Raises:
        Invalid: an unknown table, or a record that is both put and deleted.
        Stale: the room has not the expected version.
    """
    values: dict[str, dict[bytes, bytes]] = {}
    for table, key, value in puts:
        values.setdefault(table, {})[key] = value
    gone: dict[str, list[bytes]] = {}
    for table, key in deletes:
        if key in values.get(table, ()):
            raise Invalid(f"a record of table {table} is both put and deleted")
        gone.setdefault(table, []).append(key)
    for table in {*values, *gone}:
        if table not in RECORD_TABLES:
            raise Invalid(f"there is no record table {table}")
    version = _raise_version(conn, room_id, fork_count, wake_at_ms, expected)
    for table, keys in gone.items():
        _delete(conn, table, room_id, keys)
    for table, items in values.items():
        _put(conn, table, room_id, items)
    return version


def load(conn: Connection, room_id: str) -> Iterator[tuple[str, bytes, bytes]]:
    """Yield all records of a room as (table, key, value), by table and key; none if the room is unknown.

    The iterator lives no longer than the unit of work that asked for it.

    Raises:
        SealBroken: a sealed record was altered or moved.
    """
    yield from load_plain(conn, room_id)
    for table in SEALED_TABLES:
        yield from ((table, key, value) for key, value in load_sealed(conn, table, room_id))


def load_plain(conn: Connection, room_id: str) -> Iterator[tuple[str, bytes, bytes]]:
    """Yield the records of a room that are not sealed as (table, key, value), by table and key; none if the room is unknown.

    The iterator lives no longer than the unit of work that asked for it.
    """
    for table, model in PLAIN_TABLES.items():
        rows = conn.execute(select(model.key, model.value).where(model.room_id == room_id).order_by(model.key))
        yield from ((table, row.key, row.value) for row in rows)


def list_keys(conn: Connection, table: str, room_id: str) -> list[bytes]:
    """Return the keys of a room's records in one of the sealed tables, in order; the values stay sealed.

    Raises:
        Invalid: `table` is not sealed.
    """
    model = SEALED_TABLES.get(table)
    if model is None:
        raise Invalid(f"there is no sealed record table {table}")
    return list(conn.execute(select(model.key).where(model.room_id == room_id).order_by(model.key)).scalars())


def list_rooms(conn: Connection, *, after: str = "", limit: int | None = None) -> list[str]:
    """Return the ids of at most `limit` rooms that come after one, in order; forgotten ones are not among them."""
    known = select(Room.room_id).where(Room.room_id > after, Room.forgotten_at_ms.is_(None))
    return list(conn.execute(known.order_by(Room.room_id).limit(limit)).scalars())


def find(conn: Connection, table: str, key: bytes) -> list[str]:
    """Return the ids of the rooms that have a record of this key in `table`, in order.

    Raises:
        Invalid: `table` is none of the tables whose values are stored as they are.
    """
    model = PLAIN_TABLES.get(table)
    if model is None:
        raise Invalid(f"there is no plain record table {table}")
    return list(conn.execute(select(model.room_id).where(model.key == key).order_by(model.room_id)).scalars())


def forget(conn: Connection, room_id: str, *, now_ms: int, keep: Iterable[tuple[str, bytes, bytes]] = ()) -> bool:
    """Delete a room's records, secrets, plaintexts and outbox items, and keep it as a forgotten one.

    Args:
        conn: a writing connection.
        room_id: the room. One that is unknown, or forgotten already, stays what it is; then False is returned.
        now_ms: the time.
        keep: (table, key, value), all that is known of the room from now on.
    """
    version = conn.execute(select(Room.version).where(Room.room_id == room_id, Room.forgotten_at_ms.is_(None))).scalar()
    if version is None:
        return False
    for model in (Epoch, PrivateKey, Plaintext):
        data_keys.shred(conn, select(model.slot).where(model.room_id == room_id))
    conn.execute(delete(Outbox).where(Outbox.room_id == room_id))
    conn.execute(delete(RoomChange).where(RoomChange.room_id == room_id))
    conn.execute(delete(Room).where(Room.room_id == room_id))
    row = {"room_id": room_id, "version": version, "fork_count": 0, "forgotten_at_ms": now_ms}
    conn.execute(insert(Room), row)
    apply(conn, room_id, keep, ())
    return True


def is_forgotten(conn: Connection, room_id: str) -> bool:
    """Tell whether a room was forgotten."""
    return conn.execute(select(Room.forgotten_at_ms).where(Room.room_id == room_id)).scalar() is not None


def revive(conn: Connection, room_id: str) -> None:
    """Let a forgotten room be one like all others again."""
    conn.execute(update(Room).where(Room.room_id == room_id).values(forgotten_at_ms=None))


def versions(conn: Connection, room_ids: Collection[str]) -> dict[str, int]:
    """Return the versions of those rooms that are known."""
    found = conn.execute(select(Room.room_id, Room.version).where(Room.room_id.in_(room_ids)))
    return {row.room_id: row.version for row in found}


def due(conn: Connection, now_ms: int, limit: int) -> list[str]:
    """Return the ids of rooms in which something is due of itself, the one that has waited longest first."""
    is_due = (Room.wake_at_ms <= now_ms, Room.forgotten_at_ms.is_(None))
    return list(conn.execute(select(Room.room_id).where(*is_due).order_by(Room.wake_at_ms).limit(limit)).scalars())


def next_wake_ms(conn: Connection) -> int | None:
    """Return when something is due in any room of itself; None: never."""
    return conn.execute(select(func.min(Room.wake_at_ms)).where(Room.forgotten_at_ms.is_(None))).scalar_one()


def note_wake(conn: Connection, room_id: str, wake_at_ms: int | None) -> None:
    """Note when something is due in a room of which nothing else has changed."""
    conn.execute(update(Room).where(Room.room_id == room_id).values(wake_at_ms=wake_at_ms))


def _raise_version(conn: Connection, room_id: str, fork_count: int, wake_at_ms: int | None, expected: int | None) -> int:
    values = {"version": Room.version + 1, "fork_count": fork_count, "wake_at_ms": wake_at_ms}
    raised = update(Room).where(Room.room_id == room_id).values(values).returning(Room.version)
    if expected is not None:
        raised = raised.where(Room.version == expected)
    version = conn.execute(raised).scalar_one_or_none()
    if version is not None:
        return version
    if expected:
        raise Stale("another process has changed the room")
    row = {"room_id": room_id, "version": 1, "fork_count": fork_count, "wake_at_ms": wake_at_ms}
    if not conn.execute(insert_or_ignore(conn, Room, ("room_id",)), row).rowcount:
        raise Stale("another process has made the room")
    return 1


def _put(conn: Connection, table: str, room_id: str, items: dict[bytes, bytes]) -> None:
    if table in SEALED_TABLES:
        put_sealed(conn, table, room_id, items.items())
        return
    rows = [{"room_id": room_id, "key": key, "value": value} for key, value in items.items()]
    conn.execute(upsert(conn, PLAIN_TABLES[table], ("room_id", "key"), ("value",)), rows)


def _delete(conn: Connection, table: str, room_id: str, keys: list[bytes]) -> None:
    if table in SEALED_TABLES:
        delete_sealed(conn, table, room_id, keys)
        return
    model = PLAIN_TABLES[table]
    statement = delete(model).where(model.room_id == room_id, model.key == bindparam("record_key"))
    conn.execute(statement, [{"record_key": key} for key in keys])
