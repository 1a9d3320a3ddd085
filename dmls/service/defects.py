"""Defects in the log: where one was met, and nothing of what it was met with."""

from __future__ import annotations

import traceback

import structlog

__all__ = ["log_defect"]

_log = structlog.get_logger("dmls.service.errors")


def log_defect(error: BaseException, **about: str) -> None:
    """Log type and place of an exception that nobody expected. Not its text, and no values: they may hold what nobody may see."""
    frames = traceback.extract_tb(error.__traceback__)
    _log.error(
        "defect",
        type=type(error).__qualname__,
        frames=[f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames],
        **about,
    )
