"""`Store`: a database with its sealing, one writer and several readers.

SQLite: one process owns the file. Writes begin with BEGIN IMMEDIATE, because a transaction that reads first and writes later
is refused at once, whatever the busy timeout, when another wrote in between. Reading connections cannot write.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from devicestore import meta, migrations
from devicestore.errors import Closed, Invalid, NotFound, StoreError, Unavailable
from devicestore.files import FileLock, open_private
from devicestore.sealing import SEALING_OPTION, RowSealing, Sealing
from devicestore.writer import Writer, run_in

__all__ = ["Store", "choose_journal_mode", "create_reader", "create_writer", "read_unsealed", "rekey"]

BUSY_TIMEOUT_S = 10.0
"""How long a connection waits for another's lock, or a reader for a connection."""
READERS = 4
"""Reading connections that are kept; as many again are opened under load."""

T = TypeVar("T")


def choose_journal_mode(sqlite_version: tuple[int, int, int]) -> str:
    """Return "WAL" where the library has the fix for the log's reset that can lose commits, else "DELETE".

    The fix is in 3.51.3 and later, and in 3.44.6 and 3.50.7 and what follows them in their series.
    """
    has_fix = (
        sqlite_version >= (3, 51, 3) or (3, 50, 7) <= sqlite_version < (3, 51, 0) or (3, 44, 6) <= sqlite_version < (3, 45, 0)
    )
    return "WAL" if has_fix else "DELETE"


def create_writer(url: URL) -> Engine:
    """Return an engine with one connection whose every transaction takes the write lock when it begins."""
    engine = _create_engine(url, pool_size=1, max_overflow=0)
    if _is_sqlite(url):
        journal_mode = choose_journal_mode(sqlite3.sqlite_version_info)
        # Without EXTRA the deletion of the rollback journal, which is what commits, may not have reached the disk.
        synchronous = "FULL" if journal_mode == "WAL" else "EXTRA"
        _on_connect(engine, f"PRAGMA journal_mode={journal_mode}", f"PRAGMA synchronous={synchronous}")
        _on_begin(engine, "BEGIN IMMEDIATE")
    return engine


def create_reader(url: URL) -> Engine:
    """Return an engine whose connections see one state of the database in each transaction and cannot change it."""
    engine = _create_engine(url, pool_size=READERS, max_overflow=READERS)
    if _is_sqlite(url):
        _on_connect(engine, "PRAGMA query_only=ON")
        _on_begin(engine, "BEGIN")
    else:
        _on_begin(engine, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    return engine


class Store:
    """A database and the key that opens its secrets."""

    def __init__(self, writer: Engine, reader: Engine, sealing: RowSealing, lock: FileLock | None) -> None:
        """Take over open engines and the lock; `Store.open` is what callers use."""
        options = {SEALING_OPTION: sealing}
        self._engines = (writer, reader)
        self._reader = reader.execution_options(**options)
        self._lock = lock
        self._is_closed = False
        self._writer = Writer(writer.execution_options(**options), _empty_log)

    @classmethod
    def open(cls, url: str, sealing: Sealing, *, migrate: bool) -> Self:
        """Open a database, and make it first if `migrate` is set and there is none.

        Args:
            url: `sqlite:////path/to/file` or `postgresql+psycopg://...`.
            sealing: the key-encryption key; a new database is bound to it.
            migrate: bring an older schema up to date instead of refusing it.

        Raises:
            Locked: another process or store has the SQLite file open.
            Insecure: others may read or replace the SQLite file.
            SchemaMismatch: the schema is newer, or older and `migrate` is not set.
            SealBroken: the store was made with another key; nothing was changed.
            NotFound: there is no SQLite file and `migrate` is not set.
            Unavailable, Busy, Corrupt: the database cannot be used.
            Invalid: the URL is not one of the above.
        """
        with contextlib.ExitStack() as undo:
            parsed = _parse(url)
            lock = None
            if _is_sqlite(parsed):
                lock = _own_file(Path(parsed.database or ""), create=migrate)
                undo.callback(lock.release)
            writer, reader = create_writer(parsed), create_reader(parsed)
            undo.callback(writer.dispose)
            undo.callback(reader.dispose)
            row_sealing = run_in(writer, lambda conn: _prepare(conn, sealing, migrate=migrate))
            _empty_log(writer)
            store = cls(writer, reader, row_sealing, lock)
            undo.pop_all()
        return store

    def write(self, work: Callable[[Connection], T]) -> Future[T]:
        """Run `work` on the writing thread; the future resolves when its changes are durable.

        A unit of work changes everything or nothing. It must not commit, and must not wait for another unit. Its exception
        becomes the future's, what the database refused as a `StoreError`.

        Raises:
            Closed: the store is closed.
        """
        return self._writer.submit(work)

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on a reading connection and return its value, which must not hold on to the connection.

        Raises:
            Closed: the store is closed.
            StoreError: what the database refused; other exceptions of `work` pass as they are.
        """
        if self._is_closed:
            raise Closed("the store is closed")
        return run_in(self._reader, work)

    def close(self) -> None:
        """Finish the queued writes, close all connections, give the file up. A second call does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        self._writer.close()
        for engine in self._engines:
            engine.dispose()
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def read_unsealed(url: str, work: Callable[[Connection], T]) -> T:
    """Run `work` on a database whose key is not at hand: nothing can be changed, and no sealed value opens.

    Raises:
        Locked, Insecure, SchemaMismatch, NotFound, Unavailable, Busy, Corrupt, Invalid: see `Store.open`; nothing is migrated.
        StoreError: also where `work` asks for a sealed value.
    """

    def check_and_work(conn: Connection) -> T:
        migrations.check(conn)
        return work(conn)

    with contextlib.ExitStack() as undo:
        parsed = _parse(url)
        if _is_sqlite(parsed):
            undo.callback(_own_file(Path(parsed.database or ""), create=False).release)
        reader = create_reader(parsed)
        undo.callback(reader.dispose)
        return run_in(reader, check_and_work)


def rekey(url: str, old: Sealing, new: Sealing) -> None:
    """Give a database another key-encryption key and another root key, in one transaction, while nobody has it open.

    Once `old` is destroyed, nothing that was deleted before can be opened any more, wherever a copy of it remains.

    Raises:
        Locked, Insecure, SchemaMismatch, SealBroken, NotFound, Unavailable, Busy, Corrupt, Invalid: see `Store.open`.
    """

    def check_and_rotate(conn: Connection) -> None:
        migrations.check(conn)
        meta.rotate_root(conn, old, new)

    with contextlib.ExitStack() as undo:
        parsed = _parse(url)
        if _is_sqlite(parsed):
            undo.callback(_own_file(Path(parsed.database or ""), create=False).release)
        writer = create_writer(parsed)
        undo.callback(writer.dispose)
        run_in(writer, check_and_rotate)
        _empty_log(writer)


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = None
    if parsed is None or parsed.get_backend_name() not in {"sqlite", "postgresql"}:
        raise Invalid("the database URL is neither of SQLite nor of PostgreSQL")
    if _is_sqlite(parsed) and parsed.database in {None, "", ":memory:"}:
        raise Invalid("the database URL names no file; a store is durable or nothing")
    return parsed


def _is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _own_file(path: Path, *, create: bool) -> FileLock:
    if not create and not os.path.lexists(path):
        raise NotFound("there is no database file; make one with migrate")
    lock: FileLock | None = None
    try:
        lock = FileLock(path.with_name(path.name + ".lock"))
        # SQLite would make the file, and the journal after its example, with the permissions that the umask leaves.
        os.close(open_private(path, os.O_RDWR | (os.O_CREAT if create else 0), "database file"))
    except OSError as error:
        reason = error.strerror or type(error).__name__
    except StoreError:
        if lock is not None:
            lock.release()
        raise
    else:
        return lock
    if lock is not None:
        lock.release()
    raise Unavailable(f"the database file cannot be opened: {reason}")


def _prepare(conn: Connection, sealing: Sealing, *, migrate: bool) -> RowSealing:
    # One transaction: a wrong key, found last, leaves even an older schema as it was.
    if migrate:
        migrations.upgrade(conn)
    migrations.check(conn)
    if meta.identity(conn) is None:
        meta.create(conn, sealing)
    return meta.open_sealing(conn, sealing)


def _create_engine(url: URL, *, pool_size: int, max_overflow: int) -> Engine:
    arguments: dict[str, Any] = {}
    if _is_sqlite(url):
        # The driver's own transactions are off: it would begin one late, at the first change, and not for reads.
        arguments = {"isolation_level": None, "timeout": BUSY_TIMEOUT_S, "check_same_thread": False}
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_timeout=BUSY_TIMEOUT_S,
        hide_parameters=True,
        connect_args=arguments,
    )
    if _is_sqlite(url):
        _on_connect(engine, "PRAGMA foreign_keys=ON", "PRAGMA secure_delete=ON", "PRAGMA temp_store=MEMORY")
    return engine


def _on_connect(engine: Engine, *pragmas: str) -> None:
    def apply(connection: sqlite3.Connection, _record: object) -> None:
        for pragma in pragmas:
            connection.execute(pragma).close()

    event.listen(engine, "connect", apply)


def _on_begin(engine: Engine, statement: str) -> None:
    def begin(conn: Connection) -> None:
        conn.exec_driver_sql(statement)

    event.listen(engine, "begin", begin)


def _empty_log(engine: Engine) -> None:
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
