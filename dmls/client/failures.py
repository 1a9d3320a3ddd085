"""What went wrong on the other side: gRPC errors and the failures of batch items as exceptions of dmls.errors.

The service is trusted for nothing here: an answer with malformed or missing details still becomes a typed error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from dmls import errors
from dmls.errors import DMLSError
from dmls.v1 import common_pb2

__all__ = ["CallError", "CallFailure", "from_failure", "from_rpc_error", "read_rpc_error", "to_exception"]

_DOMAIN = "dmls"
_DETAILS_KEY = "grpc-status-details-bin"

_Detail = TypeVar("_Detail", bound=Message)


class CallError(DMLSError):
    """The call failed below the service: no connection, a deadline, a cancellation, an RPC that is not there.

    `code` and `reason` of the instance are the name of the gRPC code.
    """

    reason = "CALL_FAILED"
    code = "UNKNOWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFailure:
    """What the other side told of a failed call."""

    code: str
    """Name of the gRPC code."""
    reason: str
    """The service's stable name of what went wrong. Empty: the service told none."""
    message: str
    rule: str | None = None
    """The numbered rule that was broken, if one was."""
    hint: str = ""
    """What can be done about it. May be empty."""
    request_id: str = ""
    """Names the call in the service's log."""
    retry_after_ms: int | None = None
    """When the same call may succeed. None: not told."""
    violations: tuple[tuple[str, str], ...] = ()
    """Path of each wrong field of the request, and what is wrong with it."""
    resource: tuple[str, str] | None = None
    """Kind and name of what is missing."""


def _own_reasons() -> dict[str, type[DMLSError]]:
    """The most general class of each reason."""
    classes = [value for name in errors.__all__ if issubclass(value := getattr(errors, name), DMLSError)]
    return {each.reason: each for each in classes if "reason" in vars(each)}


_BY_REASON: Mapping[str, type[DMLSError]] = _own_reasons()

_BY_CODE: Mapping[str, type[DMLSError]] = {
    "INVALID_ARGUMENT": errors.ValidationError,
    "NOT_FOUND": errors.NotFoundError,
    "ALREADY_EXISTS": errors.AlreadyExistsError,
    "FAILED_PRECONDITION": errors.StateError,
    "ABORTED": errors.ConflictError,
    "RESOURCE_EXHAUSTED": errors.LimitError,
    "UNAUTHENTICATED": errors.UnauthenticatedError,
    "PERMISSION_DENIED": errors.PermissionDeniedError,
    "INTERNAL": errors.InternalError,
}
"""The class of a reason that this version does not know, by the code."""


def read_rpc_error(error: grpc.RpcError) -> CallFailure:
    """Reads what the other side told. Never raises: details that do not decode are as if absent."""
    code, text = grpc.StatusCode.UNKNOWN, ""
    trailers: Iterable[tuple[str, str | bytes]] = ()
    if isinstance(error, grpc.aio.AioRpcError | grpc.Call):
        code, text, trailers = error.code(), error.details() or "", error.trailing_metadata() or ()
    status = status_pb2.Status()
    for key, value in trailers:
        if key == _DETAILS_KEY and isinstance(value, bytes):
            status = _decode(value)
    info = _unpack(status, error_details_pb2.ErrorInfo())
    if info.domain != _DOMAIN:
        return CallFailure(code=code.name, reason="", message=text)
    retry = _unpack(status, error_details_pb2.RetryInfo())
    bad = _unpack(status, error_details_pb2.BadRequest())
    missing = _unpack(status, error_details_pb2.ResourceInfo())
    return CallFailure(
        code=code.name,
        reason=info.reason,
        message=text,
        rule=info.metadata.get("rule") or None,
        hint=info.metadata.get("hint", ""),
        request_id=info.metadata.get("request_id", ""),
        retry_after_ms=retry.retry_delay.ToMilliseconds() if retry.HasField("retry_delay") else None,
        violations=tuple((each.field, each.description) for each in bad.field_violations),
        resource=(missing.resource_type, missing.resource_name) if missing.resource_type else None,
    )


def to_exception(failure: CallFailure) -> DMLSError:
    """Gives the exception of a failed call: the class of its reason, else of its code, with the reason and hint told.

    The class is the most general one with that reason: the service tells RULE_VIOLATION, not where in the code it was found.
    """
    if not failure.reason:
        return _with(CallError(failure.message or failure.code), reason=failure.code, code=failure.code, hint="")
    kind = _BY_REASON.get(failure.reason) or _BY_CODE.get(failure.code, CallError)
    error = _with(
        kind(failure.message, rule=failure.rule), reason=failure.reason, code=failure.code, hint=failure.hint or kind.hint
    )
    if failure.request_id:
        error.add_note(f"request id: {failure.request_id}")
    for field, description in failure.violations:
        error.add_note(f"{field}: {description}")
    return error


def from_rpc_error(error: grpc.RpcError) -> DMLSError:
    """Gives the exception of a gRPC error; raise it `from` that error."""
    return to_exception(read_rpc_error(error))


def from_failure(failure: common_pb2.Failure) -> DMLSError:
    """Gives the exception of a batch item's failure."""
    kind = _BY_REASON.get(failure.reason, DMLSError)
    return _with(
        kind(failure.message, rule=failure.rule or None),
        reason=failure.reason or kind.reason,
        code=kind.code,
        hint=failure.hint or kind.hint,
    )


def _with(error: DMLSError, **told: str) -> DMLSError:
    """Sets what was told on the instance, over what its class says."""
    vars(error).update(told)
    return error


def _decode(value: bytes) -> status_pb2.Status:
    try:
        return status_pb2.Status.FromString(value)
    except DecodeError:
        return status_pb2.Status()


def _unpack(status: status_pb2.Status, into: _Detail) -> _Detail:
    """Reads the first detail of the type of `into`; leaves it empty when there is none or it does not decode."""
    for detail in status.details:
        try:
            if detail.Unpack(into):
                break
        except DecodeError:
            into.Clear()
    return into
