"""Something happened: said by any thread, heard by the tasks of one event loop."""

from __future__ import annotations

import asyncio
import contextlib

__all__ = ["Signal"]


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
