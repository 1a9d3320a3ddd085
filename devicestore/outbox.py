"""What the homeserver must do for a room: numbered in the order of commits, kept unchanged until it is acknowledged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, insert, select, update

from devicestore import counters
from devicestore.counters import CounterName
from devicestore.errors import Conflict, NotFound
from devicestore.models import Outbox

__all__ = ["NewItem", "OutboxItem", "ack", "append", "last_seq", "pending", "purge", "read_after"]


@dataclass(frozen=True, slots=True)
class NewItem:
    """Something to do."""

    room_id: str
    kind: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class OutboxItem:
    """Something to do, as it was stored."""

    seq: int
    room_id: str
    kind: str
    payload: bytes
    created_at_ms: int


def append(conn: Connection, items: Sequence[NewItem], *, now_ms: int) -> list[int]:
    """Store items in order and return their numbers, which are greater than all that were given before."""
    if not items:
        return []
    last = counters.take(conn, CounterName.OUTBOX, len(items))
    seqs = list(range(last - len(items) + 1, last + 1))
    conn.execute(
        insert(Outbox),
        [
            {"seq": seq, "room_id": item.room_id, "kind": item.kind, "payload": item.payload, "created_at_ms": now_ms}
            for seq, item in zip(seqs, items, strict=True)
        ],
    )
    return seqs


def last_seq(conn: Connection) -> int:
    """Return the greatest number that was given to an item, 0 before the first."""
    return counters.current(conn, CounterName.OUTBOX)


def read_after(
    conn: Connection, cursor: int, limit: int, *, room_id: str | None = None, kind: str | None = None
) -> list[OutboxItem]:
    """Return at most `limit` items that are not acknowledged and whose number is greater than `cursor`, in order."""
    statement = _select_pending().where(Outbox.seq > cursor).limit(limit)
    if room_id is not None:
        statement = statement.where(Outbox.room_id == room_id)
    if kind is not None:
        statement = statement.where(Outbox.kind == kind)
    return [_to_item(row) for row in conn.execute(statement)]


def pending(conn: Connection, room_id: str) -> list[OutboxItem]:
    """Return a room's items that are not acknowledged, in order."""
    return [_to_item(row) for row in conn.execute(_select_pending().where(Outbox.room_id == room_id))]


def ack(conn: Connection, seq: int, answer: bytes, *, now_ms: int) -> tuple[OutboxItem, bool]:
    """Store the homeserver's answer to an item; return the item, and False if it had the same answer before.

    Raises:
        NotFound: there is no item of this number, or it was answered and purged.
        Conflict: the item has another answer.
    """
    row = conn.execute(select(*_COLUMNS, Outbox.acked_at_ms, Outbox.answer).where(Outbox.seq == seq)).one_or_none()
    if row is None:
        raise NotFound("no such outbox item")
    if row.acked_at_ms is not None:
        if row.answer != answer:
            raise Conflict("the outbox item was answered differently before")
        return _to_item(row), False
    changed = conn.execute(
        update(Outbox).where(Outbox.seq == seq, Outbox.acked_at_ms.is_(None)).values(acked_at_ms=now_ms, answer=answer)
    ).rowcount
    if not changed:
        raise Conflict("the outbox item was answered at the same time")
    return _to_item(row), True


def purge(conn: Connection, *, acked_before_ms: int) -> int:
    """Delete the items that were acknowledged before a time and return how many there were."""
    return conn.execute(delete(Outbox).where(Outbox.acked_at_ms < acked_before_ms)).rowcount


_COLUMNS = (Outbox.seq, Outbox.room_id, Outbox.kind, Outbox.payload, Outbox.created_at_ms)


def _select_pending() -> Select[*tuple[Any, ...]]:
    return select(*_COLUMNS).where(Outbox.acked_at_ms.is_(None)).order_by(Outbox.seq)


def _to_item(row: Row[*tuple[Any, ...]]) -> OutboxItem:
    return OutboxItem(row.seq, row.room_id, row.kind, row.payload, row.created_at_ms)
