"""Data keys: one for each version of each sealed value. Whoever destroys the data key has destroyed every copy of the value.

Deleting a row does not destroy it. SQLite overwrites what it frees, but copies of a row stay behind in pages from which it was
moved to balance the tree; PostgreSQL keeps old rows until they are vacuumed. Therefore a data key lies in a slot: a row of
constant length in a table from which nothing is ever deleted. SQLite overwrites such a row where it lies, and moves none of
its neighbours. A slot that is not needed any more is overwritten with zeros, and used again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, bindparam, insert, select, update

from devicestore.errors import SealBroken
from devicestore.models import DataKey
from devicestore.sealing import KEY_LENGTH, OVERHEAD, RowSealing, row_sealing

__all__ = ["Sealed", "Unsealed", "rewrap", "seal", "shred", "unseal"]

_TABLE = DataKey.__tablename__
_EMPTY = bytes(KEY_LENGTH + OVERHEAD)
_VERSION = 1
"""A data key is told from the one before it in its slot by what it opens."""


class Unsealed(NamedTuple):
    """A value to be sealed for one version of one row; `slot` is that of the version before, None for a new row."""

    place: tuple[bytes, ...]
    version: int
    value: bytes
    slot: int | None


class Sealed(NamedTuple):
    """What a row holds of a value."""

    slot: int
    sealed: bytes


def seal(conn: Connection, table: str, values: Sequence[Unsealed]) -> list[Sealed]:
    """Seal values for rows of `table`, each under a new data key, which takes the place of the one before it."""
    sealing = row_sealing(conn)
    free = iter(_find_free(conn, sum(value.slot is None for value in values)))
    sealed, rows = [], []
    for value in values:
        slot = next(free) if value.slot is None else value.slot
        data_key = os.urandom(KEY_LENGTH)
        sealed.append(Sealed(slot, sealing.under(data_key).seal(table, value.place, value.version, value.value)))
        rows.append({"slot": slot, "wrapped": sealing.seal(_TABLE, _place(slot), _VERSION, data_key)})
    if rows:
        fill = update(DataKey).where(DataKey.id == bindparam("slot"))
        conn.execute(fill.values(sealed=bindparam("wrapped"), is_free=False), rows)
    return sealed


def unseal(
    sealing: RowSealing, table: str, place: tuple[bytes, ...], version: int, sealed: Sealed, wrapped: bytes | None
) -> bytes:
    """Return what `seal` was given; `wrapped` is what the slot holds.

    Raises:
        SealBroken: a row was altered or moved, or the data key is gone.
    """
    if wrapped is None:
        raise SealBroken(f"a sealed value of table {table} has no data key")
    data_key = sealing.unseal(_TABLE, _place(sealed.slot), _VERSION, wrapped)
    return sealing.under(data_key).unseal(table, place, version, sealed.sealed)


def shred(conn: Connection, slots: Select[Any]) -> None:
    """Destroy the data keys in slots; NULL among them names none."""
    conn.execute(update(DataKey).where(DataKey.id.in_(slots)).values(sealed=_EMPTY, is_free=True))


def rewrap(conn: Connection, old: RowSealing, new: RowSealing) -> None:
    """Seal all data keys under another root key.

    Raises:
        SealBroken: one was altered or moved.
    """
    rows = conn.execute(select(DataKey.id, DataKey.sealed).where(~DataKey.is_free)).all()
    wrapped = []
    for row in rows:
        data_key = old.unseal(_TABLE, _place(row.id), _VERSION, row.sealed)
        wrapped.append({"slot": row.id, "wrapped": new.seal(_TABLE, _place(row.id), _VERSION, data_key)})
    if wrapped:
        conn.execute(update(DataKey).where(DataKey.id == bindparam("slot")).values(sealed=bindparam("wrapped")), wrapped)


def _find_free(conn: Connection, count: int) -> list[int]:
    """Return slots that nothing uses, new ones if need be."""
    if not count:
        return []
    # Another process of the service, on PostgreSQL, takes others.
    unused = select(DataKey.id).where(DataKey.is_free).order_by(DataKey.id).limit(count).with_for_update(skip_locked=True)
    found = list(conn.execute(unused).scalars())
    missing = count - len(found)
    if missing:
        empty = [{"is_free": True, "sealed": _EMPTY}] * missing
        found += conn.execute(insert(DataKey).returning(DataKey.id), empty).scalars()
    return found


def _place(slot: int) -> tuple[bytes]:
    return (slot.to_bytes(8, "big"),)
