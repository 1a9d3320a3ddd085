"""The one row that says which store this is: its id, its incarnation, its root key."""

from __future__ import annotations

import os
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from devicestore import data_keys
from devicestore.errors import NotFound
from devicestore.models import Meta
from devicestore.sealing import KEY_LENGTH, RowSealing, Sealing

__all__ = ["Identity", "create", "identity", "open_sealing", "raise_incarnation", "rewrap_root", "rotate_root"]

STORE_ID_LENGTH = 16


@dataclass(frozen=True, slots=True)
class Identity:
    """What a store is told apart by."""

    store_id: bytes
    incarnation: int


def create(conn: Connection, sealing: Sealing) -> None:
    """Write the row of a new store: a random id and a random root key under `sealing`."""
    store_id = os.urandom(STORE_ID_LENGTH)
    sealed_root = sealing.wrap_root(store_id, 1, os.urandom(KEY_LENGTH))
    conn.execute(insert(Meta).values(id=1, store_id=store_id, incarnation=1, root_version=1, sealed_root=sealed_root))


def identity(conn: Connection) -> Identity | None:
    """Return the store's id and incarnation, or None before `create`."""
    row = conn.execute(select(Meta.store_id, Meta.incarnation)).one_or_none()
    return None if row is None else Identity(row.store_id, row.incarnation)


def open_sealing(conn: Connection, sealing: Sealing) -> RowSealing:
    """Return what seals and opens this store's rows.

    Raises:
        SealBroken: `sealing` has not the key that the store was made with.
        NotFound: the row is missing.
    """
    store_id, _, root = _unwrap(conn, sealing)
    return RowSealing(store_id, root)


def rewrap_root(conn: Connection, old: Sealing, new: Sealing) -> None:
    """Change the key-encryption key; no other row is touched.

    Raises:
        SealBroken: `old` is not the present key.
    """
    store_id, version, root = _unwrap(conn, old)
    conn.execute(update(Meta).values(root_version=version + 1, sealed_root=new.wrap_root(store_id, version + 1, root)))


def rotate_root(conn: Connection, old: Sealing, new: Sealing) -> None:
    """Change the key-encryption key and the root key; every data key is sealed anew.

    Raises:
        SealBroken: `old` is not the present key, or a data key was altered.
    """
    store_id, version, root = _unwrap(conn, old)
    fresh = os.urandom(KEY_LENGTH)
    data_keys.rewrap(conn, RowSealing(store_id, root), RowSealing(store_id, fresh))
    conn.execute(update(Meta).values(root_version=version + 1, sealed_root=new.wrap_root(store_id, version + 1, fresh)))


def raise_incarnation(conn: Connection) -> int:
    """Mark the store as restored from a copy and return its new incarnation."""
    return conn.execute(update(Meta).values(incarnation=Meta.incarnation + 1).returning(Meta.incarnation)).scalar_one()


def _unwrap(conn: Connection, sealing: Sealing) -> tuple[bytes, int, bytes]:
    row = conn.execute(select(Meta.store_id, Meta.root_version, Meta.sealed_root)).one_or_none()
    if row is None:
        raise NotFound("the store has no identity")
    return row.store_id, row.root_version, sealing.unwrap_root(row.store_id, row.root_version, row.sealed_root)
