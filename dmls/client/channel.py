"""The connection to one service: calls by their request messages, repeated under one request id until there is an answer.

A request message belongs to one RPC only, so it names the call. A call that finds no service, or loses it half way, is made
again with the same `request_id`, and so happens once, however often it was sent.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Generator
from threading import Event
from types import TracebackType
from typing import Self, TypeVar

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from dmls.client.failures import from_rpc_error, read_rpc_error
from dmls.errors import InvalidArgumentError, UsageError
from dmls.v1 import admin_pb2, device_pb2, encryption_pb2, key_package_pb2, room_pb2

__all__ = ["PATIENCE_S", "ServiceChannel", "method_of", "with_request_id"]

PATIENCE_S = 30.0
"""How long a call waits for a service that cannot be reached, in seconds."""

_PIECE = 256 * 1024
_RETRY_S = 0.25
_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
)
_A = TypeVar("_A", bound=Message)

_METHODS: dict[str, MethodDescriptor] = {
    method.input_type.full_name: method
    for module in (admin_pb2, device_pb2, encryption_pb2, key_package_pb2, room_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}


def method_of(request: Message) -> MethodDescriptor:
    """Gives the RPC that takes this request.

    Raises:
        UsageError: it is no request of dmls.v1.
    """
    method = _METHODS.get(request.DESCRIPTOR.full_name)
    if method is None:
        raise UsageError(f"{request.DESCRIPTOR.full_name} is no request")
    return method


def _path(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


class ServiceChannel:
    """A channel to the service at `address`, `host:port` or `unix:path`.

    Without `credentials` it is plaintext, which a service takes on its own machine only.
    """

    def __init__(
        self, address: str, *, credentials: grpc.ChannelCredentials | None = None, patience_s: float = PATIENCE_S
    ) -> None:
        """Make the channel; it connects when it is first used."""
        self.address = address
        self._patience_s = patience_s
        if credentials is None:
            self._channel = grpc.insecure_channel(address, options=_OPTIONS)
        else:
            self._channel = grpc.secure_channel(address, credentials, options=_OPTIONS)

    def close(self) -> None:
        """Close the channel; calls under way fail."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def call(self, request: Message, answer: type[_A]) -> _A:
        """Make a call and return its answer. `answer` is the RPC's response class.

        A mutation without a `request_id` gets one; the request itself is not changed.

        Raises:
            DMLSError: what the service refused, or CallError once it could not be reached for `patience_s`.
        """
        named = with_request_id(request)
        end = time.monotonic() + self._patience_s
        while True:
            try:
                return self._unary(named, answer)(named, timeout=max(end - time.monotonic(), 0.001), wait_for_ready=True)
            except grpc.RpcError as error:
                failure = read_rpc_error(error)
                left = end - time.monotonic()
                if failure.code != grpc.StatusCode.UNAVAILABLE.name or left <= 0:
                    raise from_rpc_error(error) from error
            if failure.retry_after_ms is not None:
                _pause(min(failure.retry_after_ms / 1_000, left))

    def attempt(self, request: Message, answer: type[_A], wait_s: float) -> _A | None:
        """Send a request once and wait for `wait_s` seconds at most; None if there was no answer by then, or a refusal."""
        future = self._unary(request, answer).future(request, timeout=self._patience_s, wait_for_ready=True)
        try:
            return future.result(timeout=wait_s)
        except (grpc.RpcError, grpc.FutureTimeoutError):
            return None

    def _unary(self, request: Message, answer: type[_A]) -> grpc.UnaryUnaryMultiCallable[Message, _A]:
        return self._channel.unary_unary(
            _path(method_of(request)), request_serializer=type(request).SerializeToString, response_deserializer=answer.FromString
        )

    def stream(self, request: Message, answer: type[_A], *, timeout_s: float | None = None) -> Generator[_A, None, None]:
        """Make a call that answers with a stream; closing the iterator ends the call.

        A broken stream is not repeated here: its caller knows the cursor from which to go on.

        Raises:
            DMLSError: what the service refused, or CallError when the stream broke or `timeout_s` was over.
        """
        multi: grpc.UnaryStreamMultiCallable[Message, _A] = self._channel.unary_stream(
            _path(method_of(request)), request_serializer=type(request).SerializeToString, response_deserializer=answer.FromString
        )
        call = multi(request, timeout=timeout_s, wait_for_ready=True)
        try:
            yield from call
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
        finally:
            call.cancel()

    def get_blob(self, room_id: str, sha256: bytes) -> bytes:
        """Return a blob of a room from the service; `sha256` has 32 bytes.

        Raises:
            NotFoundError: the service does not have it.
            InvalidArgumentError: what came is another blob.
        """
        request = room_pb2.GetBlobRequest(room_id=room_id, sha256=sha256)
        pieces = self.stream(request, room_pb2.GetBlobResponse, timeout_s=self._patience_s)
        data = b"".join(piece.data for piece in pieces)
        if hashlib.sha256(data).digest() != sha256:
            raise InvalidArgumentError("the service gave another blob than was asked for")
        return data

    def put_blob(self, room_id: str, data: bytes) -> bool:
        """Give the service a blob of a room; return False if it had it.

        Raises:
            DMLSError: what the service refused, or CallError when it could not be reached.
        """
        multi: grpc.StreamUnaryMultiCallable[room_pb2.PutBlobRequest, room_pb2.PutBlobResponse] = self._channel.stream_unary(
            _path(method_of(room_pb2.PutBlobRequest())),
            request_serializer=room_pb2.PutBlobRequest.SerializeToString,
            response_deserializer=room_pb2.PutBlobResponse.FromString,
        )
        pieces = _pieces(room_id, data)
        try:
            return multi(iter(pieces), timeout=self._patience_s, wait_for_ready=True).created
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error


def _pause(seconds: float) -> None:
    Event().wait(max(seconds, 0.0) or _RETRY_S)


def with_request_id(request: _A) -> _A:
    """Return a request that has a `request_id`, if its call takes one; `request` itself is not changed."""
    if "request_id" not in request.DESCRIPTOR.fields_by_name or getattr(request, "request_id"):  # noqa: B009
        return request
    named = type(request)()
    named.CopyFrom(request)
    setattr(named, "request_id", uuid.uuid4().hex)  # noqa: B010
    return named


def _pieces(room_id: str, data: bytes) -> list[room_pb2.PutBlobRequest]:
    first = room_pb2.PutBlobRequest(
        request_id=uuid.uuid4().hex,
        room_id=room_id,
        sha256=hashlib.sha256(data).digest(),
        size=len(data),
        data=data[:_PIECE],
    )
    rest = (room_pb2.PutBlobRequest(data=data[start : start + _PIECE]) for start in range(_PIECE, len(data), _PIECE))
    return [first, *rest]
