"""What the service does by itself: rooms wake up in time, hosted devices stay stocked, what is over is deleted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from functools import partial

import structlog

from devicestore import Connection, idempotency, key_package_secrets, key_packages, outbox
from dmls.service.calls import Calls
from dmls.service.core import Core
from dmls.service.defects import log_defect
from dmls.service.signals import Signal
from dmls.service.stock import refill, refill_all

__all__ = ["Workers", "purge"]

_PAUSE_AFTER_FAILURE_S = 1.0
_LONGEST_SLEEP_S = 60.0
_UPKEEP_EVERY_S = 600.0
_ACKED_FOR_MS = 7 * 86_400_000
"""How long an acknowledged outbox item is remembered, so that another answer to it is noticed, in milliseconds."""

_log = structlog.get_logger("dmls.service.workers")


def purge(core: Core) -> int:
    """Delete what is over: expired key packages, used private halves, old answers and acknowledged items; return how many.

    Raises:
        StoreError: the store cannot be written.
    """

    def work(conn: Connection) -> int:
        now_ms = core.now_ms()
        return (
            key_packages.purge_expired(conn, now_ms=now_ms)
            + key_package_secrets.purge(conn, now_ms=now_ms)
            + idempotency.purge_expired(conn, now_ms=now_ms)
            + outbox.purge(conn, acked_before_ms=now_ms - _ACKED_FOR_MS)
        )

    return core.store.write(work).result()


class Workers:
    """The tasks of one service."""

    def __init__(self, calls: Calls, *, rooms_changed: Signal) -> None:
        """Work for the service of `calls`.

        Args:
            calls: runs the work.
            rooms_changed: fired when a room may want to be woken at another time.
        """
        self._calls = calls
        self._rooms_changed = rooms_changed
        self._claimed: set[tuple[str, str]] = set()
        self._was_claimed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start the tasks."""
        for work in (self._wake_rooms, self._keep_stock, self._purge):
            self._tasks.append(asyncio.create_task(work(), name=work.__name__))

    async def stop(self) -> None:
        """End the tasks; what they are in the middle of is finished by its thread."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def note_claims(self, names: Iterable[tuple[str, str]]) -> None:
        """Note that key packages of devices, by user id and device id, were given out."""
        self._claimed |= set(names)
        self._was_claimed.set()

    async def _wake_rooms(self) -> None:
        core = self._calls.core
        while True:
            changed = self._rooms_changed.next
            for room_id in core.keeper.due(core.now_ms()):
                await self._guarded(partial(core.keeper.wake, room_id))
            at_ms = core.keeper.next_wake_ms()
            sleep_s = _LONGEST_SLEEP_S if at_ms is None else min((at_ms - core.now_ms()) / 1_000, _LONGEST_SLEEP_S)
            await _wait(changed, max(sleep_s, 0.0))

    async def _keep_stock(self) -> None:
        while True:
            await self._guarded(partial(refill_all, self._calls.core))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_UPKEEP_EVERY_S):
                    await self._refill_claimed()

    async def _refill_claimed(self) -> None:
        while True:
            await self._was_claimed.wait()
            self._was_claimed.clear()
            names, self._claimed = self._claimed, set()
            await self._guarded(partial(refill, self._calls.core, names))

    async def _purge(self) -> None:
        while True:
            await self._guarded(partial(purge, self._calls.core))
            await asyncio.sleep(_UPKEEP_EVERY_S)

    async def _guarded(self, work: Callable[[], object]) -> None:
        """Run blocking work; if it fails, say so and pause, and leave it to its next turn."""
        try:
            await self._calls.run(work)
        except Exception as error:  # noqa: BLE001 - a worker outlives whatever one turn meets
            log_defect(error)
            await asyncio.sleep(_PAUSE_AFTER_FAILURE_S)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
