"""Where recorded rooms are found: those of the repository, and any more that lie beside it."""

from __future__ import annotations

from pathlib import Path

__all__ = ["FIGURE_1", "ROOM_LOGS"]

_REPOSITORY = Path(__file__).resolve().parents[2]
_EXAMPLES = _REPOSITORY / "examples" / "room-logs"
_MORE = _REPOSITORY.parent / "shared" / "room-logs"

FIGURE_1 = (_EXAMPLES / "S1-figure1-v10", _EXAMPLES / "S1-figure1-v12")
"""The two folders that are always there."""

ROOM_LOGS = tuple(
    sorted(
        {folder.name: folder for parent in (_MORE, _EXAMPLES) for folder in parent.glob("S*-v*")}.values(),
        key=lambda path: path.name,
    )
)
"""All folders, each name once."""
