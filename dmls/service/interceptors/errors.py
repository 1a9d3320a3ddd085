"""Exceptions become statuses, and nothing else of them leaves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from dmls.service.defects import log_defect
from dmls.service.interceptors.around import AroundInterceptor, Call
from dmls.service.interceptors.request_id import KEY, current_request_id
from dmls.service.status import answer, to_status

__all__ = ["ErrorInterceptor"]

_DETAILS_KEY = "grpc-status-details-bin"


class ErrorInterceptor(AroundInterceptor):
    """Ends a call whose handler raised with the status of the exception."""

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Turns every exception but a cancellation into a status."""
        try:
            yield
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001 - nothing that a handler raises may reach the caller as text
            request_id = current_request_id()
            told = answer(error)
            if told.code is grpc.StatusCode.INTERNAL:
                log_defect(error, method=call.method, request_id=request_id)
            details = to_status(error, request_id).SerializeToString()
            try:
                await call.context.abort(told.code, told.message, ((_DETAILS_KEY, details), (KEY, request_id)))
            except grpc.aio.AbortError as abort:
                raise abort from None  # whoever logs the abort must not find the error behind it
