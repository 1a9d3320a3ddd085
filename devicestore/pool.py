"""Several threads that write, for a database with many writers: each unit of work is a transaction of its own.

Units that get into each other's way are run again, from their beginning.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

from sqlalchemy import Connection, Engine

from devicestore.connections import WRITERS
from devicestore.errors import Busy, Closed, Raced
from devicestore.writer import run_in

__all__ = ["PoolWriter"]

_ATTEMPTS: Final = 4
_PAUSE_S: Final = 0.02
"""How long a unit waits at most before it is run again, doubled each time."""

T = TypeVar("T")


class PoolWriter:
    """Runs units of work on threads of its own; those that are submitted together may run in any order."""

    def __init__(self, engine: Engine) -> None:
        """Write by `engine`."""
        self._engine = engine
        self._closing = threading.Lock()
        self._is_closed = False
        self._pool = ThreadPoolExecutor(WRITERS, thread_name_prefix="devicestore-writer")

    def submit(self, work: Callable[[Connection], T]) -> Future[T]:
        """Queue a unit of work, which may be run more than once; its future resolves once its transaction is durable.

        Raises:
            Closed: `close` was called.
        """
        with self._closing:
            if self._is_closed:
                raise Closed("the store is closed")
            return self._pool.submit(_run_again, self._engine, work)

    def close(self) -> None:
        """Run what is queued, then end the threads."""
        with self._closing:
            self._is_closed = True
        self._pool.shutdown(wait=True)


def _run_again(engine: Engine, work: Callable[[Connection], T]) -> T:
    for attempt in range(1, _ATTEMPTS):
        try:
            return run_in(engine, work)
        except (Busy, Raced):
            time.sleep(random.uniform(0, _PAUSE_S * 2**attempt))  # noqa: S311 - no secret
    return run_in(engine, work)
