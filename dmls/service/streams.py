"""Streams that resume: what has happened, that all of it has been sent, and then what comes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from google.protobuf.message import Message

from devicestore.errors import Closed
from dmls.service.calls import Calls
from dmls.service.convert import to_timestamp
from dmls.service.core import Core
from dmls.service.errors import InvalidRequestError, Violation
from dmls.service.signals import Signal, wait
from dmls.v1 import common_pb2

__all__ = ["Position", "Source", "Streams", "read_cursor", "to_cursor"]

_POLL_S = 1.0
"""How often a store is looked at that other processes have open, too."""

F = TypeVar("F", bound=Message)


@dataclass(frozen=True, slots=True)
class Position:
    """How far a stream has come: the number of what was sent last, and up to which number it only tells what is there now."""

    number: int
    present_until: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """Where the frames of a stream come from; both functions block."""

    open: Callable[[], Position]
    """Returns where the stream begins; may refuse the request."""
    read: Callable[[Position], Sequence[tuple[int, Mapping[str, Message] | None]]]
    """Returns what comes next, in order, or nothing: the number and the field of each frame, None for what is not to be told."""


class Streams:
    """All streams of one kind."""

    def __init__(self, calls: Calls, changed: Signal, *, keepalive_s: float) -> None:
        """Serve streams of `calls`; `changed` is fired when there may be something new for them."""
        self._calls = calls
        self._changed = changed
        self._keepalive_s = keepalive_s
        self._is_stopping = False

    def stop(self) -> None:
        """End all streams: the service is shutting down."""
        self._is_stopping = True
        self._changed.fire()

    async def watch(self, frame: type[F], source: Source) -> AsyncIterator[F]:
        """Yield the frames of one stream.

        Raises:
            Closed: the service is shutting down.
            DMLSError: the source refuses the request.
        """
        core = self._calls.core
        position = await self._calls.run(source.open)

        def make(**field: Any) -> F:
            return frame(cursor=to_cursor(core, position.number), **field)

        yield make(started=self._started())
        is_caught_up, told_at = False, time.monotonic()
        while not self._is_stopping:
            changed = self._changed.next
            found = await self._calls.run(partial(source.read, position))
            for number, field in found:
                position = replace(position, number=number)
                if field is not None:
                    yield make(**field)
            if found:
                told_at = time.monotonic()
                continue
            if not is_caught_up:
                is_caught_up = True
                yield make(caught_up=common_pb2.CaughtUp())
            await self._wait(changed, told_at + self._keepalive_s)
            if time.monotonic() >= told_at + self._keepalive_s:
                told_at = time.monotonic()
                yield make(keepalive=common_pb2.Keepalive())
        raise Closed("the service is shutting down")

    async def _wait(self, changed: asyncio.Event, until: float) -> None:
        """Wait until there may be something new, or a sign of life is due."""
        seconds = max(until - time.monotonic(), 0.0)
        if self._calls.core.store.is_shared:
            # What other processes of the service do is not signalled here.
            seconds = min(seconds, _POLL_S)
        await wait(changed, seconds)

    def _started(self) -> common_pb2.Started:
        core = self._calls.core
        started = common_pb2.Started(incarnation=core.identity.incarnation, start_time=to_timestamp(core.now_ms()))
        started.keepalive_interval.FromMilliseconds(int(self._keepalive_s * 1_000))
        return started


def to_cursor(core: Core, number: int) -> str:
    """Return the cursor after what has a number; it means nothing in another incarnation of the store."""
    return f"{core.identity.incarnation}:{number}"


def read_cursor(core: Core, cursor: str) -> int:
    """Return the number of that after which to go on, 0 for the beginning.

    Raises:
        InvalidRequestError: it is no cursor.
    """
    if not cursor:
        return 0
    incarnation, colon, number = cursor.partition(":")
    if not colon or not all(part.isascii() and part.isdigit() and len(part) <= 18 for part in (incarnation, number)):
        raise InvalidRequestError(Violation("cursor", "not a cursor of this stream"))
    return int(number) if int(incarnation) == core.identity.incarnation else 0
