"""What the service does by itself: rooms wake up in time, hosted devices stay stocked, what is over is deleted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

import structlog

from dmls.service.calls import Calls
from dmls.service.defects import log_defect
from dmls.service.signals import Signal, wait
from dmls.service.stock import refill, refill_all
from dmls.service.upkeep import run_tasks

__all__ = ["Workers"]

_PAUSE_AFTER_FAILURE_S = 1.0
_LONGEST_SLEEP_S = 60.0
_SHARED_SLEEP_S = 5.0
"""And where other processes may note that a room is to be woken."""
_UPKEEP_EVERY_S = 600.0

T = TypeVar("T")
_log = structlog.get_logger("dmls.service.workers")


class Workers:
    """The tasks of one service."""

    def __init__(self, calls: Calls, *, rooms_changed: Signal, key_packages_changed: Signal) -> None:
        """Work for the service of `calls`.

        Args:
            calls: runs the work.
            rooms_changed: fired when a room may want to be woken at another time.
            key_packages_changed: is fired when key packages have expired.
        """
        self._calls = calls
        self._rooms_changed = rooms_changed
        self._key_packages_changed = key_packages_changed
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
            for room_id in await self._guarded(lambda: core.keeper.due(core.now_ms())) or ():
                await self._guarded(partial(core.keeper.wake, room_id))
            at_ms = await self._guarded(core.keeper.next_wake_ms)
            longest_s = _SHARED_SLEEP_S if core.store.is_shared else _LONGEST_SLEEP_S
            sleep_s = longest_s if at_ms is None else min((at_ms - core.now_ms()) / 1_000, longest_s)
            await wait(changed, max(sleep_s, 0.0))

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
            await self._guarded(partial(run_tasks, self._calls.core))
            self._key_packages_changed.fire()
            await asyncio.sleep(_UPKEEP_EVERY_S)

    async def _guarded(self, work: Callable[[], T]) -> T | None:
        """Run blocking work; if it fails, say so and pause, and leave it to its next turn."""
        try:
            return await self._calls.run(work)
        except Exception as error:  # noqa: BLE001 - a worker outlives whatever one turn meets
            log_defect(error)
            await asyncio.sleep(_PAUSE_AFTER_FAILURE_S)
            return None
