"""Connections to the two databases, each set up so that what is committed lasts and nobody waits for ever."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from devicestore.errors import Invalid, Unsafe

__all__ = [
    "READERS",
    "WRITERS",
    "check_server",
    "choose_journal_mode",
    "create_reader",
    "create_writer",
    "empty_log",
    "is_sqlite",
    "lock_schema",
    "parse_url",
]

BUSY_TIMEOUT_S: Final = 10.0
"""How long a connection waits for another's lock, or a reader for a connection."""
READERS: Final = 4
"""Reading connections that are kept; as many again are opened under load."""
WRITERS: Final = 8
"""Writing connections to PostgreSQL. SQLite has one writer."""

_OLDEST_SERVER: Final = 140_000
_SCHEMA_LOCK: Final = 0x646D6C73
"""Key of the advisory lock under which processes open, make and migrate a database one after another."""


def parse_url(url: str) -> URL:
    """Return a database URL in parts.

    Raises:
        Invalid: it is neither of a SQLite file nor of PostgreSQL.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = None
    if parsed is None or parsed.get_backend_name() not in {"sqlite", "postgresql"}:
        raise Invalid("the database URL is neither of SQLite nor of PostgreSQL")
    if is_sqlite(parsed) and parsed.database in {None, "", ":memory:"}:
        raise Invalid("the database URL names no file; a store is durable or nothing")
    return parsed if is_sqlite(parsed) else parsed.set(drivername="postgresql+psycopg")


def is_sqlite(url: URL) -> bool:
    """Tell which of the two databases a URL is of."""
    return url.get_backend_name() == "sqlite"


def choose_journal_mode(sqlite_version: tuple[int, int, int]) -> str:
    """Return "WAL" where the library has the fix for the log's reset that can lose commits, else "DELETE".

    The fix is in 3.51.3 and later, and in 3.44.6 and 3.50.7 and what follows them in their series.
    """
    has_fix = (
        sqlite_version >= (3, 51, 3) or (3, 50, 7) <= sqlite_version < (3, 51, 0) or (3, 44, 6) <= sqlite_version < (3, 45, 0)
    )
    return "WAL" if has_fix else "DELETE"


def create_writer(url: URL) -> Engine:
    """Return an engine for writing: on SQLite one connection whose every transaction takes the write lock when it begins."""
    if not is_sqlite(url):
        return _create_postgresql(url, WRITERS, isolation_level="READ COMMITTED")
    engine = _create_sqlite(url, pool_size=1, max_overflow=0)
    journal_mode = choose_journal_mode(sqlite3.sqlite_version_info)
    # Without EXTRA the deletion of the rollback journal, which is what commits, may not have reached the disk.
    synchronous = "FULL" if journal_mode == "WAL" else "EXTRA"
    _on_connect(engine, f"PRAGMA journal_mode={journal_mode}", f"PRAGMA synchronous={synchronous}")
    _on_begin(engine, "BEGIN IMMEDIATE")
    return engine


def create_reader(url: URL) -> Engine:
    """Return an engine whose connections see one state of the database in each transaction and cannot change it."""
    if not is_sqlite(url):
        engine = _create_postgresql(url, READERS, isolation_level="REPEATABLE READ")
        return engine.execution_options(postgresql_readonly=True)
    engine = _create_sqlite(url, pool_size=READERS, max_overflow=READERS)
    _on_connect(engine, "PRAGMA query_only=ON")
    _on_begin(engine, "BEGIN")
    return engine


def check_server(conn: Connection) -> None:
    """Refuse a server that may lose what it has said is committed, or that is too old.

    Raises:
        Unsafe: it does; the text says which setting.
    """
    if conn.dialect.name == "sqlite":
        return
    if int(conn.exec_driver_sql("SHOW server_version_num").scalar_one()) < _OLDEST_SERVER:
        raise Unsafe("the PostgreSQL server is older than 14")
    for setting in ("fsync", "full_page_writes", "synchronous_commit"):
        if conn.exec_driver_sql(f"SHOW {setting}").scalar_one() == "off":
            raise Unsafe(f"the PostgreSQL server has {setting} switched off: what it commits may be lost")


def lock_schema(conn: Connection) -> None:
    """Wait until no other process makes or migrates the database, and let none do so until the transaction ends."""
    if conn.dialect.name != "sqlite":
        conn.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_SCHEMA_LOCK})").close()


def empty_log(engine: Engine) -> None:
    """Move a write-ahead log into the database and cut it off: it may hold the last copy of a deleted secret."""
    if engine.dialect.name != "sqlite" or choose_journal_mode(sqlite3.sqlite_version_info) != "WAL":
        return
    # A reader that is in the way, or a failing disk, makes this fail; the next transaction tries again.
    with contextlib.suppress(SQLAlchemyError, sqlite3.Error):
        connection = engine.raw_connection()
        try:
            connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()


def _create_sqlite(url: URL, *, pool_size: int, max_overflow: int) -> Engine:
    # The driver's own transactions are off: it would begin one late, at the first change, and not for reads.
    arguments = {"isolation_level": None, "timeout": BUSY_TIMEOUT_S, "check_same_thread": False}
    engine = _create(url, arguments, pool_size=pool_size, max_overflow=max_overflow)
    _on_connect(engine, "PRAGMA foreign_keys=ON", "PRAGMA secure_delete=ON", "PRAGMA temp_store=MEMORY")
    return engine


def _create_postgresql(url: URL, pool_size: int, *, isolation_level: str) -> Engine:
    milliseconds = int(BUSY_TIMEOUT_S * 1_000)
    settings = {
        "lock_timeout": milliseconds,
        "idle_in_transaction_session_timeout": 6 * milliseconds,
        "synchronous_commit": "on",
    }
    arguments = {
        "connect_timeout": int(BUSY_TIMEOUT_S),
        "application_name": "dmls",
        "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
    }
    # A connection that died while nobody used it is replaced before anybody is given it.
    return _create(
        url, arguments, pool_size=pool_size, max_overflow=pool_size, pool_pre_ping=True, isolation_level=isolation_level
    )


def _create(url: URL, arguments: dict[str, Any], **options: Any) -> Engine:
    return create_engine(
        url, poolclass=QueuePool, pool_timeout=BUSY_TIMEOUT_S, hide_parameters=True, connect_args=arguments, **options
    )


def _on_connect(engine: Engine, *pragmas: str) -> None:
    def apply(connection: sqlite3.Connection, _record: object) -> None:
        for pragma in pragmas:
            connection.execute(pragma).close()

    event.listen(engine, "connect", apply)


def _on_begin(engine: Engine, statement: str) -> None:
    def begin(conn: Connection) -> None:
        conn.exec_driver_sql(statement)

    event.listen(engine, "begin", begin)
