"""WatchOutbox: what waits, that all of it has been sent, and then what comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial

from devicestore.errors import Closed
from dmls.service.calls import Calls
from dmls.service.convert import to_timestamp
from dmls.service.handlers.outbox import open_outbox, read_outbox, to_cursor
from dmls.service.signals import Signal
from dmls.v1 import common_pb2, room_pb2

__all__ = ["OutboxStream"]


class OutboxStream:
    """The streams of all who watch the outbox."""

    def __init__(self, calls: Calls, changed: Signal, *, keepalive_s: float) -> None:
        """Watch the outbox of `calls`; `changed` is fired when there is something new in it."""
        self._calls = calls
        self._changed = changed
        self._keepalive_s = keepalive_s
        self._is_stopping = False

    def stop(self) -> None:
        """End all streams: the service is shutting down."""
        self._is_stopping = True
        self._changed.fire()

    async def watch(self, request: room_pb2.WatchOutboxRequest) -> AsyncIterator[room_pb2.WatchOutboxResponse]:
        """Yield the frames of one stream.

        Raises:
            InvalidRequestError: the cursor is none.
            Closed: the service is shutting down.
        """
        core = self._calls.core
        position = await self._calls.run(partial(open_outbox, core, request.cursor))
        yield room_pb2.WatchOutboxResponse(cursor=to_cursor(core, position), started=self._started())
        is_caught_up = False
        while not self._is_stopping:
            changed = self._changed.next
            items = await self._calls.run(partial(read_outbox, core, position))
            for item in items:
                position = item.sequence
                yield room_pb2.WatchOutboxResponse(cursor=to_cursor(core, position), item=item)
            if items:
                continue
            if not is_caught_up:
                is_caught_up = True
                yield room_pb2.WatchOutboxResponse(cursor=to_cursor(core, position), caught_up=common_pb2.CaughtUp())
            try:
                await asyncio.wait_for(changed.wait(), self._keepalive_s)
            except TimeoutError:
                yield room_pb2.WatchOutboxResponse(cursor=to_cursor(core, position), keepalive=common_pb2.Keepalive())
        raise Closed("the service is shutting down")

    def _started(self) -> common_pb2.Started:
        core = self._calls.core
        started = common_pb2.Started(incarnation=core.identity.incarnation, start_time=to_timestamp(core.now_ms()))
        started.keepalive_interval.FromMilliseconds(int(self._keepalive_s * 1_000))
        return started
