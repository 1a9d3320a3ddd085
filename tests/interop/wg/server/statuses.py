"""What an error of the core is to a caller."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import grpc

from dmls.errors import DMLSError

__all__ = ["Statuses"]

Request = TypeVar("Request")
Response = TypeVar("Response")


class Statuses(grpc.ServerInterceptor):
    """Answers an error of the core with the status code that it names, its rule in the text."""

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Request, Response] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Request, Response] | None:
        """Put the translation around a method; every method of this interface is unary."""
        handler = continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler
        answer = handler.unary_unary

        def translate(request: Request, context: grpc.ServicerContext) -> Response:
            try:
                return answer(request, context)
            except DMLSError as error:
                context.abort(grpc.StatusCode[error.code], f"{type(error).__name__}: {error}")

        return grpc.unary_unary_rpc_method_handler(translate, handler.request_deserializer, handler.response_serializer)
