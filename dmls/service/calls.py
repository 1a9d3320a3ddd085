"""From the event loop to the handlers and back: threads, rooms in turn, and requests that are made again."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Collection, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf.message import Message

from devicestore import Connection, idempotency
from devicestore.errors import Conflict
from dmls.service.auth import Caller, Role
from dmls.service.core import Core, Record, no_record
from dmls.service.errors import RequestIdReusedError
from dmls.service.interceptors.admission import current_caller

__all__ = ["Calls"]

THREADS = 8
"""Threads for handlers. The work is bound by one interpreter; more threads only let more calls wait for the disk together."""

_A = TypeVar("_A", bound=Message)
_R = TypeVar("_R", bound=Message)
T = TypeVar("T")


class _Turns:
    """Locks by name, made when they are needed. Tasks take them in the order in which they came."""

    def __init__(self) -> None:
        self._locks: dict[Hashable, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def take(self, name: Hashable) -> AsyncIterator[None]:
        """Wait for one's turn, and have it until the end of the block."""
        lock, waiting = self._locks.get(name, (asyncio.Lock(), 0))
        self._locks[name] = (lock, waiting + 1)
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._locks[name]
            if waiting == 1:
                del self._locks[name]
            else:
                self._locks[name] = (lock, waiting - 1)

    @asynccontextmanager
    async def take_all(self, names: Collection[str]) -> AsyncIterator[None]:
        """Take several locks, always in the same order."""
        async with AsyncExitStack() as stack:
            for name in sorted(set(names)):
                await stack.enter_async_context(self.take(name))
            yield


@dataclass(frozen=True, slots=True)
class _Request:
    """A request that is made again gets the answer that it got."""

    caller: str
    method: str
    request_id: str
    body_hash: bytes


class Calls:
    """Runs handlers on threads of their own."""

    def __init__(self, core: Core) -> None:
        """Run handlers of `core`."""
        self.core = core
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="dmls-handler")
        self._rooms = _Turns()
        self._requests = _Turns()

    def close(self) -> None:
        """Wait for what is running; what is only queued never runs."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def run(self, work: Callable[[], T]) -> T:
        """Run blocking work. It goes on to its end even if the caller goes away."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def read(self, handler: Callable[[Core, _R], _A], request: _R) -> _A:
        """Run a handler that changes nothing."""
        return await self.run(lambda: handler(self.core, request))

    async def change(
        self,
        handler: Callable[[Core, _R, Record], _A],
        request: _R,
        answer: type[_A],
        *,
        rooms: Collection[str] = (),
        keeps_answer: bool = True,
    ) -> _A:
        """Run a handler that changes something, once for each request id.

        Args:
            handler: stores its answer with the record that it is given, in the transaction of the change.
            request: what is asked.
            answer: class of the answer.
            rooms: the rooms concerned: their turn is waited for here, so that a busy room does not hold threads.
            keeps_answer: give a repeated request the stored answer; otherwise the handler answers it anew.

        Raises:
            RequestIdReusedError: the request id was used for another request.
        """
        stored: bytes | None = None
        async with AsyncExitStack() as turn:
            named = self._name(request)
            if named is not None:
                await turn.enter_async_context(self._requests.take((named.caller, named.method, named.request_id)))
                stored = await self._find(named)
                if stored is not None and keeps_answer:
                    return answer.FromString(stored)
            await turn.enter_async_context(self._rooms.take_all(rooms))
            record = no_record if named is None or stored is not None else self._recorder(named)
            try:
                return await self.run(lambda: handler(self.core, request, record))
            except Conflict:
                # The same request, given up by its caller but still running, may have been first.
                stored = None if named is None else await self._find(named)
                if stored is None or not keeps_answer:
                    raise
                return answer.FromString(stored)

    @staticmethod
    def _name(request: Any) -> _Request | None:
        if not request.request_id:
            return None
        body = hashlib.sha256(request.SerializeToString(deterministic=True)).digest()
        return _Request(_caller_name(current_caller()), request.DESCRIPTOR.name, request.request_id, body)

    async def _find(self, named: _Request) -> bytes | None:
        def read(conn: Connection) -> bytes | None:
            names = (named.caller, named.method, named.request_id)
            return idempotency.get(conn, *names, named.body_hash, now_ms=self.core.now_ms())

        try:
            return await self.run(lambda: self.core.store.read(read))
        except Conflict:
            raise RequestIdReusedError("the request id was used for another request") from None

    def _recorder(self, named: _Request) -> Record:
        window_ms = int(self.core.limits.request_id_window.total_seconds() * 1_000)

        def record(conn: Connection, answer: Message) -> None:
            now_ms = self.core.now_ms()
            names = (named.caller, named.method, named.request_id)
            data = answer.SerializeToString()
            idempotency.put(conn, *names, named.body_hash, data, now_ms=now_ms, expires_at_ms=now_ms + window_ms)

        return record


def _caller_name(caller: Caller) -> str:
    if Role.HOMESERVER in caller.roles:
        return f"homeserver {caller.server_name}"
    return f"device {caller.user_id} {caller.device_id}"
