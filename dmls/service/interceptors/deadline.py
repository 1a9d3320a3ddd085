"""No call runs for ever: it ends with the caller's patience or with the service's own limit, whichever is first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from dmls.service.errors import DeadlineError
from dmls.service.interceptors.around import AroundInterceptor, Call

__all__ = ["DEFAULT_LIMIT_S", "DeadlineInterceptor"]

DEFAULT_LIMIT_S = 30.0
"""Seconds that a call may take."""

_PACKAGE = "/dmls.v1."


class DeadlineInterceptor(AroundInterceptor):
    """Ends calls whose time is over with DEADLINE_EXCEEDED, and begins none that has no time left.

    The service's own limit holds for every RPC of dmls.v1 except the Watch streams, which last as long as the caller listens.
    """

    def __init__(self, limit_s: float = DEFAULT_LIMIT_S) -> None:
        self._limit_s = limit_s

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Cancels the handler when the time is over."""
        seconds = self._seconds(call)
        if seconds is not None and seconds <= 0:
            raise DeadlineError("no time was left when the call arrived")
        timeout = asyncio.timeout(seconds)
        try:
            async with timeout:
                yield
        except TimeoutError:
            if timeout.expired():
                raise DeadlineError("the call took too long") from None
            raise

    def _seconds(self, call: Call) -> float | None:
        """Seconds that the call has. None: it has no limit."""
        limits = [cast("float | None", call.context.time_remaining())]
        _, _, name = call.method.rpartition("/")
        if call.method.startswith(_PACKAGE) and not name.startswith("Watch"):
            limits.append(self._limit_s)
        return min((limit for limit in limits if limit is not None), default=None)
