"""How a picture may be written: a module of its own, which says so without what draws."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Format"]


class Format(StrEnum):
    """How a picture may be written."""

    SVG = "svg"
    PNG = "png"
    DOT = "dot"
    MERMAID = "mermaid"

    @property
    def suffix(self) -> str:
        """What the names of such files end with."""
        return ".mmd" if self is Format.MERMAID else f".{self}"
