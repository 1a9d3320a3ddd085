"""`Store`: a database with its sealing, its writers and several readers.

SQLite: one process owns the file and one thread of it writes. Writes begin with BEGIN IMMEDIATE, because a transaction that reads
first and writes later is refused at once, whatever the busy timeout, when another wrote in between. PostgreSQL: several processes
may have the database open, and several threads of each write. Reading connections cannot write.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from sqlalchemy import Connection, Engine

from devicestore import meta, migrations
from devicestore.connections import (
    check_server,
    create_reader,
    create_writer,
    empty_log,
    is_sqlite,
    lock_schema,
    parse_url,
)
from devicestore.errors import Closed, NotFound, StoreError, Unavailable
from devicestore.files import FileLock, open_private
from devicestore.pool import PoolWriter
from devicestore.sealing import SEALING_OPTION, RowSealing, Sealing
from devicestore.writer import Writer, run_in

__all__ = ["Store", "read_unsealed", "rekey", "write_beside"]

T = TypeVar("T")


class Store:
    """A database and the key that opens its secrets."""

    def __init__(self, writer: Engine, reader: Engine, sealing: RowSealing, lock: FileLock | None) -> None:
        """Take over open engines and the lock; `Store.open` is what callers use."""
        options = {SEALING_OPTION: sealing}
        self._engines = (writer, reader)
        self._reader = reader.execution_options(**options)
        self._lock = lock
        self._is_closed = False
        self.is_shared = lock is None
        """Other processes may have the database open, too."""
        sealed = writer.execution_options(**options)
        self._writer = PoolWriter(sealed) if self.is_shared else Writer(sealed, empty_log)

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
            Unsafe: the server may lose what it has committed.
            NotFound: there is no SQLite file and `migrate` is not set.
            Unavailable, Busy, Corrupt: the database cannot be used.
            Invalid: the URL is not one of the above.
        """
        with contextlib.ExitStack() as undo:
            parsed = parse_url(url)
            lock = None
            if is_sqlite(parsed):
                lock = _own_file(Path(parsed.database or ""), create=migrate)
                undo.callback(lock.release)
            writer, reader = create_writer(parsed), create_reader(parsed)
            undo.callback(writer.dispose)
            undo.callback(reader.dispose)
            row_sealing = run_in(writer, lambda conn: _prepare(conn, sealing, migrate=migrate))
            empty_log(writer)
            store = cls(writer, reader, row_sealing, lock)
            undo.pop_all()
        return store

    def write(self, work: Callable[[Connection], T]) -> Future[T]:
        """Run `work` on a writing thread; the future resolves when its changes are durable.

        A unit of work changes everything or nothing. It must not commit, and must not wait for another unit. It may be run again
        from its beginning, when another process or thread was in its way. Its exception becomes the future's, what the database
        refused as a `StoreError`.

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
        parsed = parse_url(url)
        if is_sqlite(parsed):
            undo.callback(_own_file(Path(parsed.database or ""), create=False).release)
        reader = create_reader(parsed)
        undo.callback(reader.dispose)
        return run_in(reader, check_and_work)


def write_beside(url: str, work: Callable[[Connection], T]) -> T:
    """Run `work` in a transaction of a database that a service may have open: nothing in it may be what the service remembers.

    Raises:
        Insecure, SchemaMismatch, NotFound, Unavailable, Busy, Corrupt, Invalid: see `Store.open`; nothing is migrated.
        StoreError: also where `work` asks for a sealed value.
    """

    def check_and_work(conn: Connection) -> T:
        migrations.check(conn)
        return work(conn)

    with contextlib.ExitStack() as undo:
        parsed = parse_url(url)
        if is_sqlite(parsed):
            _check_present(Path(parsed.database or ""))
            _check_file(Path(parsed.database or ""), create=False)
        writer = create_writer(parsed)
        undo.callback(writer.dispose)
        return run_in(writer, check_and_work)


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
        parsed = parse_url(url)
        if is_sqlite(parsed):
            undo.callback(_own_file(Path(parsed.database or ""), create=False).release)
        writer = create_writer(parsed)
        undo.callback(writer.dispose)
        run_in(writer, check_and_rotate)
        empty_log(writer)


def _own_file(path: Path, *, create: bool) -> FileLock:
    if not create:
        _check_present(path)
    try:
        lock = FileLock(path.with_name(path.name + ".lock"))
    except OSError as error:
        raise _unopened(error) from None
    try:
        _check_file(path, create=create)
    except StoreError:
        lock.release()
        raise
    return lock


def _check_present(path: Path) -> None:
    if not os.path.lexists(path):
        raise NotFound("there is no database file; make one with migrate")


def _check_file(path: Path, *, create: bool) -> None:
    """Refuse a database file that others may read or replace; one that is not there is made if it may be."""
    try:
        # SQLite would make the file, and the journal after its example, with the permissions that the umask leaves.
        os.close(open_private(path, os.O_RDWR | (os.O_CREAT if create else 0), "database file"))
    except OSError as error:
        raise _unopened(error) from None


def _unopened(error: OSError) -> Unavailable:
    return Unavailable(f"the database file cannot be opened: {error.strerror or type(error).__name__}")


def _prepare(conn: Connection, sealing: Sealing, *, migrate: bool) -> RowSealing:
    # One transaction: a wrong key, found last, leaves even an older schema as it was.
    check_server(conn)
    lock_schema(conn)
    if migrate:
        migrations.upgrade(conn)
    migrations.check(conn)
    if meta.identity(conn) is None:
        meta.create(conn, sealing)
    return meta.open_sealing(conn, sealing)
