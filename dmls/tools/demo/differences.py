"""What a run ends with when something is not as it must be."""

from __future__ import annotations

from dmls.errors import DMLSError

__all__ = ["DifferenceError"]


class DifferenceError(DMLSError):
    """Something is not as the recording and the protocol say that it must be."""

    reason = "DIFFERENCE"
    code = "INTERNAL"
