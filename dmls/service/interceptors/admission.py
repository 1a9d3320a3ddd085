"""No handler sees a request that is malformed or that its caller may not make."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar

from google.protobuf.message import Message

from dmls.errors import PermissionDeniedError, UnauthenticatedError
from dmls.ids import ServerName
from dmls.service.auth import ANONYMOUS, Caller, Decision, Resource, decide
from dmls.service.interceptors.around import AroundInterceptor, Call
from dmls.service.limits import Limits
from dmls.service.resources import resource_of
from dmls.service.validation import check

__all__ = ["AdmissionInterceptor", "Authenticate", "current_caller"]

Authenticate = Callable[[Call], Awaitable[Caller]]
"""Says who makes a call; what it raises is told as of any call."""

_PACKAGE = "/dmls.v1."
_current: ContextVar[Caller] = ContextVar("caller", default=ANONYMOUS)


def current_caller() -> Caller:
    """Who makes the call that runs now. Anonymous outside of a call."""
    return _current.get()


class AdmissionInterceptor(AroundInterceptor):
    """Finds out who calls, then checks the request's form, then whether the caller may make it.

    A caller who may not call the method at all learns nothing about the form of the request.
    """

    def __init__(self, server_name: ServerName, limits: Limits, authenticate: Authenticate) -> None:
        self._server_name = server_name
        self._limits = limits
        self._authenticate = authenticate

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Sets the caller for the time of the call."""
        caller = await self._authenticate(call)
        _current.set(caller)
        decision = decide(caller, call.method, Resource(server_name=self._server_name))
        if decision is not Decision.NOT_OWNER:  # whose it is, the request will tell
            _enforce(decision)
        yield

    def check(self, call: Call, request: Message, position: int) -> None:
        """Checks a request message. Of a stream only the first one has more than data."""
        if call.method.startswith(_PACKAGE) and position == 0:
            check(request, self._limits)
            _enforce(decide(current_caller(), call.method, resource_of(request, self._server_name)))


def _enforce(decision: Decision) -> None:
    if decision is Decision.NO_IDENTITY:
        raise UnauthenticatedError(decision.value)
    if decision is not Decision.ALLOWED:
        raise PermissionDeniedError(decision.value)
