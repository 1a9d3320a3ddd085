"""Who did what, for operators: written with what was done, and deleted when its time is over."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert

from devicestore.models import Audit

__all__ = ["purge", "write"]


def write(conn: Connection, *, at_ms: int, caller: str, action: str, subject: str, outcome: str) -> None:
    """Note that `caller` did `action` to `subject`, and what came of it; none of these may be a secret."""
    conn.execute(insert(Audit).values(at_ms=at_ms, caller=caller, action=action, subject=subject, outcome=outcome))


def purge(conn: Connection, *, before_ms: int) -> int:
    """Delete the entries from before a time and return how many there were."""
    return conn.execute(delete(Audit).where(Audit.at_ms < before_ms)).rowcount
