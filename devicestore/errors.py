"""Everything the store raises on purpose.

Texts are fixed: no error quotes a column, a parameter or a row, because any of them may be a secret. `is_retryable` tells a
caller whether the same unit of work may succeed when it is sent again unchanged.
"""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import exc

__all__ = [
    "Busy",
    "Closed",
    "Conflict",
    "Corrupt",
    "Insecure",
    "Invalid",
    "Locked",
    "NotFound",
    "Raced",
    "SchemaMismatch",
    "SealBroken",
    "Stale",
    "StoreError",
    "Unavailable",
    "Unsafe",
    "translate",
]


class StoreError(Exception):
    """Root of every error of the store."""

    is_retryable: ClassVar[bool] = False


class NotFound(StoreError):
    """The named row does not exist."""


class Conflict(StoreError):
    """The name is taken by something else, or another change came first."""


class Raced(Conflict):
    """A uniqueness or reference rule of the database was about to be broken: another transaction may have come first."""


class Stale(Conflict):
    """What was changed is not any more what was read: another process has changed it since."""


class Invalid(StoreError):
    """An argument that no row can hold: an unknown table, a key both put and deleted, a digest of the wrong length."""


class Busy(StoreError):
    """A lock could not be had in time; nothing was changed."""

    is_retryable = True


class Unavailable(StoreError):
    """The disk is full or failing, the file cannot be written, or the database is gone."""

    is_retryable = True


class Corrupt(StoreError):
    """The database file is damaged or not a database."""


class SealBroken(StoreError):
    """A sealed value does not open: another key, or a value that was altered or moved."""


class SchemaMismatch(StoreError):
    """The database has another schema than this code."""


class Locked(StoreError):
    """Another process, or another `Store` of this one, has the database open."""


class Insecure(StoreError):
    """A file that others can read or replace: loose permissions, a symbolic link, a foreign owner."""


class Unsafe(StoreError):
    """The database server is set up, or too old, so that it may lose what it has committed."""


class Closed(StoreError):
    """The store has been closed."""


_BUSY_STATES = frozenset({"40001", "40P01", "55P03"})
"""PostgreSQL: serialization failure, deadlock, lock not available."""


def translate(error: exc.SQLAlchemyError) -> StoreError:
    """Return the typed error for what the database said, without anything that it quoted.

    Raise the result outside of the `except` block, so that the original, whose text may hold a row, is not its context.
    """
    if isinstance(error, exc.IntegrityError):
        return Raced("the database refused the change: a uniqueness or reference rule")
    if isinstance(error, exc.DataError):
        return Invalid("the database refused a value")
    if isinstance(error, exc.TimeoutError):
        return Busy("no connection became free in time")
    original = error.orig if isinstance(error, exc.DBAPIError) else None
    sqlite_name = str(getattr(original, "sqlite_errorname", ""))
    if sqlite_name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) or getattr(original, "sqlstate", None) in _BUSY_STATES:
        return Busy("the database is locked")
    if sqlite_name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return Corrupt("the database file is damaged or not a database")
    if isinstance(error, exc.OperationalError):
        return Unavailable(f"the database is unavailable ({sqlite_name or type(original).__name__})")
    return StoreError(f"the database refused the operation ({sqlite_name or type(original or error).__name__})")
