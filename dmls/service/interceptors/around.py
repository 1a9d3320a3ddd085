"""Interceptors as one context manager around a call, the same for unary and streaming calls.

grpc.aio hands an interceptor a method's handler in one of four shapes. Here every shape becomes a coroutine in which the
handler runs to its end, so that a context manager around it sees every exception, the whole duration, and every cancellation.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import grpc
from google.protobuf.message import Message

__all__ = ["AroundInterceptor", "Call", "Context"]

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of one RPC."""

    method: str
    """Full name, `/dmls.v1.RoomService/GetRoom`."""
    context: Context

    def metadata(self, key: str) -> str:
        """The first value of the text metadata `key`. Empty: there is none."""
        for name, value in self.context.invocation_metadata() or ():
            if name == key and isinstance(value, str):
                return value
        return ""


class AroundInterceptor(grpc.aio.ServerInterceptor, ABC):
    """An interceptor that is a context manager around each call."""

    @abstractmethod
    def around(self, call: Call) -> AbstractAsyncContextManager[None]:
        """Gives what is entered before the handler and left after it."""

    def check(self, call: Call, request: Message, position: int) -> None:
        """Sees each request message before the handler does; `position` counts those of a stream from 0."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler | None:
        """Wraps the handler of the called method; gRPC itself answers for a method that does not exist."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler
        return _wrap(self, handler_call_details.method, handler)


def _wrap(interceptor: AroundInterceptor, method: str, handler: _Handler) -> _Handler:
    codecs = {"request_deserializer": handler.request_deserializer, "response_serializer": handler.response_serializer}
    behaviors = (handler.unary_unary, handler.unary_stream, handler.stream_unary, handler.stream_stream)
    behavior: Callable[[Any, Context], Any] = next(cast("Any", each) for each in behaviors if each is not None)

    async def run(request: Any, context: Context) -> Any:
        call = Call(method, context)
        async with interceptor.around(call):
            if handler.request_streaming:
                request = _checked(interceptor, call, request)
            else:
                interceptor.check(call, request, 0)
            answer = behavior(request, context)
            if not handler.response_streaming:
                return await answer
            if inspect.isawaitable(answer):
                return await answer
            async for response in answer:
                await context.write(response)
            return None

    if handler.request_streaming and handler.response_streaming:
        return grpc.stream_stream_rpc_method_handler(run, **codecs)
    if handler.request_streaming:
        return grpc.stream_unary_rpc_method_handler(run, **codecs)
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler(run, **codecs)
    return grpc.unary_unary_rpc_method_handler(run, **codecs)


async def _checked(interceptor: AroundInterceptor, call: Call, requests: AsyncIterator[Message]) -> AsyncIterator[Message]:
    position = 0
    async for request in requests:
        interceptor.check(call, request, position)
        yield request
        position += 1
