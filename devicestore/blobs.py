"""Content addressed by its SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

from sqlalchemy import Connection, delete, select

from devicestore.errors import Corrupt, NotFound
from devicestore.models import Blob
from devicestore.statements import upsert

__all__ = ["get", "has", "purge", "put"]


def put(conn: Connection, data: bytes, *, now_ms: int) -> bytes:
    """Store content and return its SHA-256; content that is there already stays for longer."""
    sha256 = hashlib.sha256(data).digest()
    row = {"sha256": sha256, "size": len(data), "data": data, "created_at_ms": now_ms}
    conn.execute(upsert(conn, Blob, ("sha256",), ("created_at_ms",)), row)
    return sha256


def get(conn: Connection, sha256: bytes) -> bytes:
    """Return the content with this SHA-256.

    Raises:
        NotFound: it is not stored.
        Corrupt: what is stored under this hash has another.
    """
    data = conn.execute(select(Blob.data).where(Blob.sha256 == sha256)).scalar_one_or_none()
    if data is None:
        raise NotFound("no such blob")
    if hashlib.sha256(data).digest() != sha256:
        raise Corrupt("a blob is not what its hash says")
    return data


def has(conn: Connection, sha256: bytes) -> bool:
    """Tell whether the content with this SHA-256 is stored."""
    return conn.execute(select(Blob.sha256).where(Blob.sha256 == sha256)).one_or_none() is not None


def purge(conn: Connection, *, before_ms: int, keep: Collection[bytes]) -> int:
    """Delete the content that came last before a time, but what is to be kept, and return how many there were."""
    old = conn.execute(select(Blob.sha256).where(Blob.created_at_ms < before_ms)).scalars()
    over = [sha256 for sha256 in old if sha256 not in keep]
    for sha256 in over:
        conn.execute(delete(Blob).where(Blob.sha256 == sha256))
    return len(over)
