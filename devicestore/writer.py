"""One thread that writes, many units of work in one transaction.

A durable commit costs several waits for the disk however little it writes, so whatever has queued up while the last one ran
is committed together. Each unit runs in a savepoint of its own: one that fails takes nothing with it but itself.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from devicestore.errors import Closed, StoreError, Unavailable, translate

__all__ = ["GROUP_LIMIT", "Writer", "run_in"]

GROUP_LIMIT = 128
"""Most units of work in one transaction: a bound on what a unit waits for others and on what a failing disk undoes."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Unit:
    work: Callable[[Connection], Any]
    future: Future[Any]


@dataclass(frozen=True, slots=True)
class _Outcome:
    value: Any
    error: BaseException | None


class Writer:
    """Runs units of work, in the order of `submit`, on a thread of its own."""

    def __init__(self, engine: Engine, after_commit: Callable[[Engine], None]) -> None:
        """Start the thread.

        Args:
            engine: begins every transaction as a writing one.
            after_commit: runs after each transaction and before the futures of its units resolve; it must not raise.
        """
        self._engine = engine
        self._after_commit = after_commit
        self._queue: queue.SimpleQueue[_Unit | None] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="devicestore-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[Connection], T]) -> Future[T]:
        """Queue a unit of work; its future resolves once the transaction that holds it is durable.

        Raises:
            Closed: `close` was called.
        """
        future: Future[T] = Future()
        with self._closing:
            if self._is_closed:
                raise Closed("the store is closed")
            self._queue.put(_Unit(work, future))
        return future

    def close(self) -> None:
        """Run what is queued, then end the thread."""
        with self._closing:
            if not self._is_closed:
                self._is_closed = True
                self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        is_open = True
        while is_open:
            units, is_open = self._take_group()
            if not units:
                continue
            outcomes = self._commit_group(units)
            self._after_commit(self._engine)
            for unit, outcome in zip(units, outcomes, strict=True):
                if outcome.error is None:
                    unit.future.set_result(outcome.value)
                else:
                    unit.future.set_exception(outcome.error)

    def _take_group(self) -> tuple[list[_Unit], bool]:
        units: list[_Unit] = []
        item = self._queue.get()
        while item is not None:
            if item.future.set_running_or_notify_cancel():
                units.append(item)
            if len(units) == GROUP_LIMIT:
                return units, True
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return units, True
        return units, False

    def _commit_group(self, units: list[_Unit]) -> list[_Outcome]:
        outcomes: list[_Outcome] = []
        lost: StoreError = Unavailable("the transaction was lost with another unit of work")
        own: BaseException | None = None
        try:
            with self._engine.begin() as conn:
                for unit in units:
                    outcomes.append(_run_unit(conn, unit.work))  # noqa: PERF401  how far it came tells whose error it is
        except SQLAlchemyError as error:
            lost = translate(error)
        except BaseException as error:  # noqa: BLE001  the thread must outlive whatever a unit raises; its future carries it
            own = error
        else:
            return outcomes
        failed = [_Outcome(None, lost)] * len(units)
        if own is not None:
            failed[len(outcomes)] = _Outcome(None, own)
        return failed


def _run_unit(conn: Connection, work: Callable[[Connection], Any]) -> _Outcome:
    savepoint = conn.begin_nested()
    try:
        value = work(conn)
        savepoint.commit()
    except BaseException as error:
        if not _is_transaction_open(conn):
            # A full or failing disk makes SQLite give up the whole transaction, and with it the units before this one.
            raise
        savepoint.rollback()
        failure = error
    else:
        return _Outcome(value, None)
    return _Outcome(None, translate(failure) if isinstance(failure, SQLAlchemyError) else failure)


def _is_transaction_open(conn: Connection) -> bool:
    if not conn.in_transaction() or conn.invalidated:
        return False
    driver = conn.connection.dbapi_connection
    return bool(getattr(driver, "in_transaction", True))


def run_in(engine: Engine, work: Callable[[Connection], T]) -> T:
    """Run `work` in a transaction of `engine` and return its value.

    Raises:
        StoreError: what the database refused, typed; every other exception of `work` as it is.
    """
    failure: StoreError
    try:
        with engine.begin() as conn:
            return work(conn)
    except SQLAlchemyError as error:
        failure = translate(error)
    raise failure
