"""A real gRPC server and channel on loopback, for one test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import grpc

_T = TypeVar("_T")


@asynccontextmanager
async def loopback(
    *register: Callable[[grpc.aio.Server], None], interceptors: Sequence[grpc.aio.ServerInterceptor] = ()
) -> AsyncIterator[str]:
    """Serves what `register` adds; gives the address."""
    server = grpc.aio.server(interceptors=list(interceptors))
    for each in register:
        each(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


def run(main: Coroutine[Any, Any, _T]) -> _T:
    """Runs a test's coroutine."""
    return asyncio.run(main)
