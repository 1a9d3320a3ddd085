"""Rooms and their records.

A room is a set of records (table, key, value); what is in them is the engine's business. `apply` makes the changes of one
step, in the caller's transaction, with which it writes the outbox rows of the same step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlalchemy import Connection, bindparam, delete, select, update

from devicestore import data_keys
from devicestore.epochs import SEALED_TABLES, delete_sealed, load_sealed, put_sealed
from devicestore.errors import Invalid
from devicestore.models import PLAIN_TABLES, Epoch, Outbox, Plaintext, PrivateKey, Room
from devicestore.statements import upsert

__all__ = ["RECORD_TABLES", "apply", "find", "forget", "list_keys", "list_rooms", "load", "load_plain"]

RECORD_TABLES = (*PLAIN_TABLES, *SEALED_TABLES)
"""The names of all record tables."""


def apply(conn: Connection, room_id: str, puts: Iterable[tuple[str, bytes, bytes]], deletes: Iterable[tuple[str, bytes]]) -> int:
    """Store and delete records of a room, which is made if it is new, and return the room's new version.

    Args:
        conn: a writing connection.
        room_id: the room.
        puts: (table, key, value); of several values for one key the last is stored.
        deletes: (table, key); a key that is not there is passed over.

    Raises:
        Invalid: an unknown table, or a record that is both put and deleted.
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
    version = _raise_version(conn, room_id)
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


def list_rooms(conn: Connection) -> list[str]:
    """Return the ids of all rooms, in order."""
    return list(conn.execute(select(Room.room_id).order_by(Room.room_id)).scalars())


def find(conn: Connection, table: str, key: bytes) -> list[str]:
    """Return the ids of the rooms that have a record of this key in `table`, in order.

    Raises:
        Invalid: `table` is none of the tables whose values are stored as they are.
    """
    model = PLAIN_TABLES.get(table)
    if model is None:
        raise Invalid(f"there is no plain record table {table}")
    return list(conn.execute(select(model.room_id).where(model.key == key).order_by(model.room_id)).scalars())


def forget(conn: Connection, room_id: str) -> bool:
    """Delete a room with its records, secrets, plaintexts and outbox items. Return False if it is unknown."""
    for model in (Epoch, PrivateKey, Plaintext):
        data_keys.shred(conn, select(model.slot).where(model.room_id == room_id))
    conn.execute(delete(Outbox).where(Outbox.room_id == room_id))
    return conn.execute(delete(Room).where(Room.room_id == room_id)).rowcount > 0


def _raise_version(conn: Connection, room_id: str) -> int:
    raised = update(Room).where(Room.room_id == room_id).values(version=Room.version + 1).returning(Room.version)
    version = conn.execute(raised).scalar_one_or_none()
    if version is None:
        version = 1
        conn.execute(upsert(conn, Room, ("room_id",), ("version",)), {"room_id": room_id, "version": version})
    return version


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
