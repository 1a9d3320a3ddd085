"""One log line for each call: what, how it ended, how long it took. No content, no names of users or rooms."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import structlog

from dmls.service.interceptors.around import AroundInterceptor, Call
from dmls.service.interceptors.request_id import current_request_id

__all__ = ["AccessLogInterceptor"]

_log = structlog.get_logger("dmls.service.access")


class AccessLogInterceptor(AroundInterceptor):
    """Logs each call when it ends."""

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Measures the call and logs its end."""
        began = time.monotonic()
        code: grpc.StatusCode | None = grpc.StatusCode.OK
        try:
            yield
        except grpc.aio.AbortError:
            code = call.context.code()
            raise
        except asyncio.CancelledError:
            code = grpc.StatusCode.CANCELLED
            raise
        except BaseException:
            code = grpc.StatusCode.UNKNOWN
            raise
        finally:
            elapsed = round((time.monotonic() - began) * 1000, 1)
            name = code.name if isinstance(code, grpc.StatusCode) else str(code)
            _log.info("call", method=call.method, code=name, ms=elapsed, request_id=current_request_id())
