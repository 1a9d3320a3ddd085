"""A name for each call, by which the caller's and the service's logs find each other."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

from dmls.service.interceptors.around import AroundInterceptor, Call

__all__ = ["KEY", "RequestIdInterceptor", "current_request_id"]

KEY = "x-request-id"
"""Metadata key of the id, in calls and in answers."""

_USABLE = re.compile(r"[0-9A-Za-z._-]{1,64}")
_current: ContextVar[str] = ContextVar("request_id", default="")


def current_request_id() -> str:
    """The id of the call that runs now. Empty outside of a call."""
    return _current.get()


class RequestIdInterceptor(AroundInterceptor):
    """Takes the caller's `x-request-id` if it is 1 to 64 of `0-9A-Za-z._-`, else makes one, and sends it back."""

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Sets the id for the time of the call."""
        given = call.metadata(KEY)
        request_id = given if _USABLE.fullmatch(given) else uuid.uuid4().hex
        _current.set(request_id)  # each call has its own task, and its own context with it
        call.context.set_trailing_metadata(((KEY, request_id),))
        yield
