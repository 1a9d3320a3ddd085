"""Numbers that only grow, one row each."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import Connection, select

from devicestore.models import Counter
from devicestore.statements import insert_into

__all__ = ["CounterName", "current", "take"]


class CounterName(StrEnum):
    """What is numbered."""

    DEVICE = "device"
    """Changes of devices."""
    OUTBOX = "outbox"
    """Items of the outbox."""
    ROOM = "room"
    """What happened in rooms."""
    STATUS = "status"
    """Devices whose key packages ran low."""


def take(conn: Connection, name: CounterName, count: int = 1) -> int:
    """Take the next numbers, `count` of them, and return the last.

    Whoever sees a number has seen, or can see, every smaller one that will ever exist: the row is locked until the
    transaction ends.
    """
    statement = insert_into(conn, Counter).values(name=name.value, value=count)
    raised = statement.on_conflict_do_update(index_elements=("name",), set_={"value": Counter.value + count})
    return int(conn.execute(raised.returning(Counter.value)).scalar_one())


def current(conn: Connection, name: CounterName) -> int:
    """Return the last number that was taken; 0 before the first."""
    return conn.execute(select(Counter.value).where(Counter.name == name.value)).scalar_one_or_none() or 0
