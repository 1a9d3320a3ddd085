"""Where the recorded rooms are."""

from __future__ import annotations

from pathlib import Path

__all__ = ["FIGURE_1", "ROOM_LOGS"]

_EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "room-logs"

FIGURE_1 = (_EXAMPLES / "S1-figure1-v10", _EXAMPLES / "S1-figure1-v12")
"""One room, in two room versions, in which the link is never cut."""

ROOM_LOGS = tuple(sorted(_EXAMPLES.glob("S*-v*")))
"""All folders."""
