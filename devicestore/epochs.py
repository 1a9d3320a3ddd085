"""The sealed records of a room: epochs and private keys.

Every version of a row is sealed under a data key of its own (`devicestore.data_keys`). Writing a row again destroys the data key
of the version before, deleting it destroys its data key; the secrets that a step of the engine gave up, a punctured node or
a used ratchet key, then cannot be read from a copy of the old value that remains anywhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from sqlalchemy import Connection, bindparam, delete, select

from devicestore import data_keys
from devicestore.data_keys import Sealed, Unsealed
from devicestore.models import DataKey, Epoch, PrivateKey
from devicestore.sealing import row_sealing
from devicestore.statements import upsert

__all__ = ["SEALED_TABLES", "delete_sealed", "load_sealed", "put_sealed"]

SEALED_TABLES: Mapping[str, type[Epoch | PrivateKey]] = {"epoch": Epoch, "private_key": PrivateKey}
"""The record tables whose values are sealed, by the name that a record gives."""


def put_sealed(conn: Connection, table: str, room_id: str, items: Iterable[tuple[bytes, bytes]]) -> None:
    """Seal and store values by key in `table`, one of `SEALED_TABLES`; a key occurs once. The room exists."""
    model = SEALED_TABLES[table]
    values = []
    for key, value in items:
        present = conn.execute(select(model.version, model.slot).where(model.room_id == room_id, model.key == key)).one_or_none()
        version, slot = (1, None) if present is None else (present.version + 1, present.slot)
        values.append(Unsealed((room_id.encode(), key), version, value, slot))
    rows = [
        {"room_id": room_id, "key": value.place[-1], "version": value.version, "slot": sealed.slot, "sealed": sealed.sealed}
        for value, sealed in zip(values, data_keys.seal(conn, table, values), strict=True)
    ]
    if rows:
        conn.execute(upsert(conn, model, ("room_id", "key"), ("version", "slot", "sealed")), rows)


def delete_sealed(conn: Connection, table: str, room_id: str, keys: Sequence[bytes]) -> None:
    """Delete values by key from `table`, and destroy their data keys."""
    model = SEALED_TABLES[table]
    for key in keys:
        data_keys.shred(conn, select(model.slot).where(model.room_id == room_id, model.key == key))
    if keys:
        statement = delete(model).where(model.room_id == room_id, model.key == bindparam("record_key"))
        conn.execute(statement, [{"record_key": key} for key in keys])


def load_sealed(conn: Connection, table: str, room_id: str) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and opened values of `table` for one room, ordered by key.

    Raises:
        SealBroken: a row was altered or moved.
    """
    model, sealing = SEALED_TABLES[table], row_sealing(conn)
    rows = conn.execute(
        select(model.key, model.version, model.slot, model.sealed, DataKey.sealed.label("wrapped"))
        .outerjoin(DataKey, DataKey.id == model.slot)
        .where(model.room_id == room_id)
        .order_by(model.key)
    )
    for row in rows:
        place, sealed = (room_id.encode(), row.key), Sealed(row.slot, row.sealed)
        yield row.key, data_keys.unseal(sealing, table, place, row.version, sealed, row.wrapped)
