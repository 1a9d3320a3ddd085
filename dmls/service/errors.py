"""The errors that only the service raises; all others are in dmls.errors."""

from __future__ import annotations

from dataclasses import dataclass

from dmls.errors import DMLSError, InvalidArgumentError, NotFoundError, StateError

__all__ = [
    "DeadlineError",
    "HostingDisabledError",
    "InvalidItemError",
    "InvalidRequestError",
    "RequestIdReusedError",
    "UnknownResourceError",
    "Violation",
]


@dataclass(frozen=True, slots=True)
class Violation:
    """One field of a request that is wrong."""

    field: str
    """Its path, `events[3].room_id`."""
    description: str
    """What is wrong with it, without its value."""


class InvalidRequestError(InvalidArgumentError):
    """Fields of a request are wrong; says which."""

    def __init__(self, *violations: Violation) -> None:
        first, more = violations[0], len(violations) - 1
        super().__init__(f"{first.field}: {first.description}" + (f" (and {more} more)" if more else ""))
        self.violations = violations


class InvalidItemError(InvalidRequestError):
    """One item of a batch is wrong, and the batch is refused with it; reason and rule are those of the item's error."""

    def __init__(self, field: str, error: DMLSError) -> None:
        super().__init__(Violation(field, error.message))
        self.rule = error.rule
        vars(self).update(reason=error.reason, hint=error.hint)


class RequestIdReusedError(InvalidArgumentError):
    """The request id was used for another request."""

    reason = "REQUEST_ID_REUSED"
    hint = "Take a new request_id for each new request."


class UnknownResourceError(NotFoundError):
    """A thing that a request names is not known here; says which."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"{kind} not known")
        self.kind = kind
        """What it is: `user`, `device`, `room`, `epoch`, `event`, `blob` or `claim`."""
        self.name = name
        """What the request calls it."""


class HostingDisabledError(StateError):
    """The service holds no devices' keys."""

    reason = "HOSTING_DISABLED"
    hint = "Start the service with --hosting if it shall hold devices' keys."


class DeadlineError(DMLSError):
    """The call's time is over."""

    reason = "DEADLINE"
    code = "DEADLINE_EXCEEDED"
    hint = "The call may have taken effect; repeat it with the same request_id."
