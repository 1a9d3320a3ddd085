"""Who did what, for operators, deleted when its time is over."""

from __future__ import annotations

from sqlalchemy import Connection, delete

from devicestore.models import Audit

__all__ = ["purge"]


def purge(conn: Connection, *, before_ms: int) -> int:
    """Delete the entries from before a time and return how many there were."""
    return conn.execute(delete(Audit).where(Audit.at_ms < before_ms)).rowcount
