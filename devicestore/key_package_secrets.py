"""The private halves of key packages: of hosted devices, or of the one device whose own store this is."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select, update

from devicestore.errors import NotFound
from devicestore.models import KeyPackageSecret
from devicestore.sealing import row_sealing

__all__ = ["consume", "get", "purge", "put"]

_TABLE = "key_package_secret"
_VERSION = 1
"""A secret is written once and never rewritten."""


def put(conn: Connection, user_id: str, device_id: str, ref: bytes, secret: bytes, *, delete_after_ms: int) -> None:
    """Seal and store the private half of the key package `ref`, to be kept until `delete_after_ms` at the latest.

    Raises:
        Conflict: there is one for this ref.
    """
    sealed = row_sealing(conn).seal(_TABLE, (ref,), _VERSION, secret)
    conn.execute(
        insert(KeyPackageSecret).values(
            ref=ref, user_id=user_id, device_id=device_id, sealed=sealed, delete_after_ms=delete_after_ms
        )
    )


def get(conn: Connection, ref: bytes, *, now_ms: int) -> bytes:
    """Return the private half of a key package.

    Raises:
        NotFound: there is none, or its time is over.
        SealBroken: the row was altered.
    """
    sealed = conn.execute(
        select(KeyPackageSecret.sealed).where(KeyPackageSecret.ref == ref, KeyPackageSecret.delete_after_ms > now_ms)
    ).scalar_one_or_none()
    if sealed is None:
        raise NotFound("no private half of this key package is held")
    return row_sealing(conn).unseal(_TABLE, (ref,), _VERSION, sealed)


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
    return conn.execute(delete(KeyPackageSecret).where(KeyPackageSecret.delete_after_ms <= now_ms)).rowcount
