"""Something happened: said by any thread, heard by the tasks of one event loop."""

from __future__ import annotations

import asyncio
import contextlib

__all__ = ["Signal", "wait"]


async def wait(event: asyncio.Event, seconds: float) -> None:
    """Wait until an event is set, and no longer than so many seconds.

    Not by `asyncio.wait_for`: in Python 3.11 it loses a cancellation that comes together with the event, and a task that is to
    end goes on.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


class Signal:
    """Wakes the tasks that wait. A task takes `next` before it looks at the state, so that nothing happens unnoticed between."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wake tasks of `loop`."""
        self._loop = loop
        self._event = asyncio.Event()

    @property
    def next(self) -> asyncio.Event:
        """Set once, at the next `fire`."""
        return self._event

    def fire(self) -> None:
        """Wake all that wait. From any thread; after the end of the loop nobody waits."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._fire)

    def _fire(self) -> None:
        event, self._event = self._event, asyncio.Event()
        event.set()
