"""What happened in rooms, for those who watch: numbered in the order of commits, and kept for a while."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from devicestore import counters
from devicestore.counters import CounterName
from devicestore.models import RoomChange

__all__ = ["ChangeRow", "NewChange", "append", "last", "purge", "read_after"]


@dataclass(frozen=True, slots=True)
class NewChange:
    """Something that happened."""

    room_id: str
    kind: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """Something that happened, as it was stored."""

    seq: int
    room_id: str
    kind: str
    payload: bytes
    at_ms: int


def append(conn: Connection, changes: Sequence[NewChange], *, now_ms: int) -> None:
    """Store changes in order, under numbers that are greater than all before."""
    if not changes:
        return
    first = counters.take(conn, CounterName.ROOM, len(changes)) - len(changes) + 1
    rows = [
        {"seq": seq, "room_id": change.room_id, "kind": change.kind, "payload": change.payload, "at_ms": now_ms}
        for seq, change in enumerate(changes, first)
    ]
    conn.execute(insert(RoomChange), rows)


def last(conn: Connection) -> int:
    """Return the greatest number that was given to a change, 0 before the first."""
    return counters.current(conn, CounterName.ROOM)


def read_after(conn: Connection, after: int, limit: int, room_ids: Collection[str] = ()) -> list[ChangeRow]:
    """Return at most `limit` changes after a number, in order; of these rooms, or of all where none are named."""
    columns = (RoomChange.seq, RoomChange.room_id, RoomChange.kind, RoomChange.payload, RoomChange.at_ms)
    statement = select(*columns).where(RoomChange.seq > after).order_by(RoomChange.seq).limit(limit)
    if room_ids:
        statement = statement.where(RoomChange.room_id.in_(room_ids))
    return [ChangeRow(*row) for row in conn.execute(statement)]


def purge(conn: Connection, *, before_ms: int) -> int:
    """Delete the changes from before a time and return how many there were."""
    return conn.execute(delete(RoomChange).where(RoomChange.at_ms < before_ms)).rowcount
