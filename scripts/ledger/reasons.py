"""Why a rule that RFC 9420 only recommends, or leaves to the application, is not implemented."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["REASONS"]

REASONS: Mapping[str, str] = {
    "GC-06": "A group is named by the application that creates it; a room's group is named by the room.",
}
