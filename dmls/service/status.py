"""What a caller is told of an exception: the one table from exceptions to google.rpc.Status.

Errors of dmls.errors say themselves what may be told. Errors of the store are told by the table below, with fixed texts.
Whatever else is raised is a defect: the caller gets INTERNAL and the request id, and nothing of what went wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from devicestore import errors as store
from dmls.errors import DMLSError, InternalError, StoreBusyError, UsageError
from dmls.service.errors import InvalidRequestError, UnknownResourceError, Violation
from dmls.v1 import common_pb2

__all__ = ["DOMAIN", "Answer", "answer", "to_failure", "to_status"]

DOMAIN = "dmls"
"""`ErrorInfo.domain` of every error of this service."""

_MAX_TEXT = 500
"""Characters of a message, a hint or a name that are told. The details travel in a header, whose size is limited."""
_MAX_VIOLATIONS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is told of an exception."""

    code: grpc.StatusCode
    reason: str
    """Stable name of what went wrong, upper snake case."""
    message: str
    """One sentence; the text of the gRPC status."""
    hint: str = ""
    """What the caller can do about it. May be empty."""
    rule: str = ""
    """The numbered rule that was broken. Empty: none."""
    retry_after_ms: int | None = None
    """When the same call may succeed. None: not by itself."""
    violations: tuple[Violation, ...] = ()
    """The fields that are wrong."""
    resource: tuple[str, str] | None = None
    """Kind and name of what is missing."""


_DEFECT = Answer(
    code=grpc.StatusCode.INTERNAL, reason=InternalError.reason, message="internal error", hint=InternalError.hint
)  # fmt: skip

_TABLE: Mapping[type[BaseException], Answer] = {
    InternalError: _DEFECT,
    UsageError: _DEFECT,
    # What the generated servicers raise for an RPC that they do not implement.
    NotImplementedError: Answer(
        code=grpc.StatusCode.UNIMPLEMENTED, reason="UNIMPLEMENTED", message="this service does not offer the call"
    ),
    store.NotFound: Answer(code=grpc.StatusCode.NOT_FOUND, reason="NOT_FOUND", message="not known here"),
    store.Conflict: Answer(
        code=grpc.StatusCode.ABORTED,
        reason="CONFLICT",
        message="another change came first",
        hint="Read the present state and decide again.",
    ),
    store.Busy: Answer(
        code=grpc.StatusCode.UNAVAILABLE,
        reason=StoreBusyError.reason,
        message="the store could not take the write in time",
        hint=StoreBusyError.hint,
        retry_after_ms=250,
    ),
    store.Unavailable: Answer(
        code=grpc.StatusCode.UNAVAILABLE,
        reason="STORE_UNAVAILABLE",
        message="the store is not available",
        hint="Retry with the same request_id; the operator finds the cause in the service's log.",
        retry_after_ms=5_000,
    ),
    store.Closed: Answer(
        code=grpc.StatusCode.UNAVAILABLE,
        reason="SHUTTING_DOWN",
        message="the service is shutting down",
        hint="Retry with the same request_id.",
        retry_after_ms=1_000,
    ),
}
"""What is told of the errors that do not say it themselves, by class; subclasses are told as their nearest base."""

_RETRY_AFTER_MS: Mapping[str, int] = {StoreBusyError.reason: 250}
"""Errors of dmls.errors after which the unchanged call may succeed, by reason."""


def answer(error: BaseException) -> Answer:
    """Decides what is told of `error`. Total: what is not known here is a defect."""
    for kind in type(error).__mro__:
        if kind in _TABLE:
            return _TABLE[kind]
    code = getattr(grpc.StatusCode, error.code, None) if isinstance(error, DMLSError) else None
    if not isinstance(error, DMLSError) or not isinstance(code, grpc.StatusCode) or code is grpc.StatusCode.INTERNAL:
        return _DEFECT
    return Answer(
        code=code,
        reason=error.reason,
        message=error.message[:_MAX_TEXT],
        hint=error.hint[:_MAX_TEXT],
        rule=error.rule or "",
        retry_after_ms=_RETRY_AFTER_MS.get(error.reason),
        violations=error.violations if isinstance(error, InvalidRequestError) else (),
        resource=(error.kind, error.name) if isinstance(error, UnknownResourceError) else None,
    )


def to_status(error: BaseException, request_id: str) -> status_pb2.Status:
    """Gives the google.rpc.Status of `error`: always an ErrorInfo, and the other details where they say something."""
    told = answer(error)
    metadata = {"rule": told.rule, "hint": told.hint, "request_id": request_id}
    details: list[Message] = [
        error_details_pb2.ErrorInfo(
            reason=told.reason, domain=DOMAIN, metadata={key: value for key, value in metadata.items() if value}
        )
    ]
    if told.violations:
        details.append(
            error_details_pb2.BadRequest(
                field_violations=[
                    error_details_pb2.BadRequest.FieldViolation(field=each.field[:_MAX_TEXT], description=each.description)
                    for each in told.violations[:_MAX_VIOLATIONS]
                ]
            )
        )
    if told.retry_after_ms is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(told.retry_after_ms)
        details.append(retry)
    if told.resource is not None:
        kind, name = told.resource
        details.append(error_details_pb2.ResourceInfo(resource_type=kind, resource_name=name[:_MAX_TEXT]))
    status = status_pb2.Status(code=told.code.value[0], message=told.message)
    for detail in details:
        status.details.add().Pack(detail)
    return status


def to_failure(error: BaseException) -> common_pb2.Failure:
    """Gives what a batch's result tells of `error`, which concerns one item of it."""
    told = answer(error)
    return common_pb2.Failure(reason=told.reason, rule=told.rule, message=told.message, hint=told.hint)
