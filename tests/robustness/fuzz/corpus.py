"""The kept inputs of each target: seeds, and what fuzzing found to reach code that nothing before it did."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["CORPUS", "MOST_BYTES", "read_corpus"]

CORPUS: Final = Path(__file__).parent / "corpus"
MOST_BYTES: Final = 4096
"""Of one input."""


def read_corpus(name: str) -> list[bytes]:
    """Return the inputs of a target."""
    folder = CORPUS / name
    return [path.read_bytes() for path in sorted(folder.iterdir())] if folder.is_dir() else []
