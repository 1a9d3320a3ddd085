"""The sealed records of a room: epochs and private keys.

Every version of an epoch's row is sealed under a random data key of its own, and the data key under the store's root in a row
of `epoch_key`. Writing an epoch again replaces both, deleting it deletes both; the secrets that a step of the engine gave up,
a punctured node or a used ratchet key, then cannot be read from a copy of the old value that remains anywhere else.
A private key's row is sealed under the root: it is written once and deleted whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

from sqlalchemy import Connection, and_, bindparam, delete, select

from devicestore.errors import SealBroken
from devicestore.models import Epoch, EpochKey, PrivateKey
from devicestore.sealing import KEY_LENGTH, row_sealing
from devicestore.statements import upsert

__all__ = ["SEALED_TABLES", "delete_sealed", "load_sealed", "put_sealed"]

SEALED_TABLES: Mapping[str, type[Epoch | PrivateKey]] = {"epoch": Epoch, "private_key": PrivateKey}
"""The record tables whose values are sealed, by the name that a record gives."""

_KEY = ("room_id", "key")
_VALUES = ("version", "sealed")


def put_sealed(conn: Connection, table: str, room_id: str, items: Iterable[tuple[bytes, bytes]]) -> None:
    """Seal and store values by key in `table`, one of `SEALED_TABLES`; a key occurs once. The room exists."""
    model, sealing = SEALED_TABLES[table], row_sealing(conn)
    rows: list[dict[str, object]] = []
    data_keys: list[dict[str, object]] = []
    for key, value in items:
        place = (room_id.encode(), key)
        version = _next_version(conn, model, room_id, key)
        row_key = {"room_id": room_id, "key": key, "version": version}
        if model is Epoch:
            data_key = os.urandom(KEY_LENGTH)
            rows.append({**row_key, "sealed": sealing.under(data_key).seal(table, place, version, value)})
            data_keys.append({**row_key, "sealed": sealing.seal(EpochKey.__tablename__, place, version, data_key)})
        else:
            rows.append({**row_key, "sealed": sealing.seal(table, place, version, value)})
    if rows:
        conn.execute(upsert(conn, model, _KEY, _VALUES), rows)
    if data_keys:
        conn.execute(upsert(conn, EpochKey, _KEY, _VALUES), data_keys)


def delete_sealed(conn: Connection, table: str, room_id: str, keys: Sequence[bytes]) -> None:
    """Delete values by key from `table`; the data keys of epochs go with them."""
    if keys:
        model = SEALED_TABLES[table]
        statement = delete(model).where(model.room_id == room_id, model.key == bindparam("record_key"))
        conn.execute(statement, [{"record_key": key} for key in keys])


def load_sealed(conn: Connection, table: str, room_id: str) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and opened values of `table` for one room, ordered by key.

    Raises:
        SealBroken: a row was altered or moved.
    """
    if SEALED_TABLES[table] is Epoch:
        yield from _load_epochs(conn, room_id)
    else:
        yield from _load_private_keys(conn, room_id)


def _load_epochs(conn: Connection, room_id: str) -> Iterator[tuple[bytes, bytes]]:
    sealing = row_sealing(conn)
    matching = and_(EpochKey.room_id == Epoch.room_id, EpochKey.key == Epoch.key, EpochKey.version == Epoch.version)
    rows = conn.execute(
        select(Epoch.key, Epoch.version, Epoch.sealed, EpochKey.sealed.label("sealed_data_key"))
        .outerjoin(EpochKey, matching)
        .where(Epoch.room_id == room_id)
        .order_by(Epoch.key)
    )
    for row in rows:
        if row.sealed_data_key is None:
            raise SealBroken("an epoch has no data key")
        place = (room_id.encode(), row.key)
        data_key = sealing.unseal(EpochKey.__tablename__, place, row.version, row.sealed_data_key)
        yield row.key, sealing.under(data_key).unseal(Epoch.__tablename__, place, row.version, row.sealed)


def _load_private_keys(conn: Connection, room_id: str) -> Iterator[tuple[bytes, bytes]]:
    sealing = row_sealing(conn)
    rows = conn.execute(
        select(PrivateKey.key, PrivateKey.version, PrivateKey.sealed)
        .where(PrivateKey.room_id == room_id)
        .order_by(PrivateKey.key)
    )
    for row in rows:
        yield row.key, sealing.unseal(PrivateKey.__tablename__, (room_id.encode(), row.key), row.version, row.sealed)


def _next_version(conn: Connection, model: type[Epoch | PrivateKey], room_id: str, key: bytes) -> int:
    present = conn.execute(select(model.version).where(model.room_id == room_id, model.key == key)).scalar_one_or_none()
    return 1 if present is None else present + 1
