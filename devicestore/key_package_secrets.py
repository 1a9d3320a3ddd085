"""The private halves of key packages: of hosted devices, or of the one device whose own store this is."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from devicestore import data_keys
from devicestore.data_keys import Sealed, Unsealed
from devicestore.errors import NotFound
from devicestore.models import DataKey, KeyPackageSecret
from devicestore.sealing import row_sealing

__all__ = ["consume", "get", "purge", "put", "remove_of_device"]

_TABLE = "key_package_secret"
_VERSION = 1
"""A secret is written once and never rewritten."""


def put(conn: Connection, user_id: str, device_id: str, ref: bytes, secret: bytes, *, delete_after_ms: int) -> None:
    """Seal and store the private half of the key package `ref`, to be kept until `delete_after_ms` at the latest.

    Raises:
        Conflict: there is one for this ref.
    """
    ((slot, sealed),) = data_keys.seal(conn, _TABLE, [Unsealed((ref,), _VERSION, secret, None)])
    conn.execute(
        insert(KeyPackageSecret).values(
            ref=ref, user_id=user_id, device_id=device_id, slot=slot, sealed=sealed, delete_after_ms=delete_after_ms
        )
    )


def get(conn: Connection, ref: bytes, *, now_ms: int) -> bytes:
    """Return the private half of a key package.

    Raises:
        NotFound: there is none, or its time is over.
        SealBroken: the row was altered.
    """
    row = conn.execute(
        select(KeyPackageSecret.slot, KeyPackageSecret.sealed, DataKey.sealed.label("wrapped"))
        .outerjoin(DataKey, DataKey.id == KeyPackageSecret.slot)
        .where(KeyPackageSecret.ref == ref, KeyPackageSecret.delete_after_ms > now_ms)
    ).one_or_none()
    if row is None:
        raise NotFound("no private half of this key package is held")
    return data_keys.unseal(row_sealing(conn), _TABLE, (ref,), _VERSION, Sealed(row.slot, row.sealed), row.wrapped)


def consume(conn: Connection, ref: bytes, *, delete_after_ms: int) -> bool:
    """Let a secret live until `delete_after_ms` at the latest: it was used, or its key package was replaced.

    A time that is set already is never put off. Returns False if there is no such secret.
    """
    conn.execute(
        update(KeyPackageSecret)
        .where(KeyPackageSecret.ref == ref, KeyPackageSecret.delete_after_ms > delete_after_ms)
        .values(delete_after_ms=delete_after_ms)
    )
    return conn.execute(select(KeyPackageSecret.ref).where(KeyPackageSecret.ref == ref)).one_or_none() is not None


def purge(conn: Connection, *, now_ms: int) -> int:
    """Delete the secrets whose time is over and return how many there were."""
    return _delete(conn, KeyPackageSecret.delete_after_ms <= now_ms)


def remove_of_device(conn: Connection, user_id: str, device_id: str) -> int:
    """Delete the secrets of a device and return how many there were."""
    return _delete(conn, KeyPackageSecret.user_id == user_id, KeyPackageSecret.device_id == device_id)


def _delete(conn: Connection, *which: ColumnElement[bool]) -> int:
    data_keys.shred(conn, select(KeyPackageSecret.slot).where(*which))
    return conn.execute(delete(KeyPackageSecret).where(*which)).rowcount
