"""The kept inputs of each target: seeds, and what fuzzing found to reach code that nothing before it did."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

__all__ = ["CORPUS", "MOST_BYTES", "choose", "read_corpus"]

CORPUS: Final = Path(__file__).parent / "corpus"
MOST_BYTES: Final = 4096
"""Of one input."""


def read_corpus(name: str) -> list[bytes]:
    """Return the inputs of a target."""
    folder = CORPUS / name
    return [path.read_bytes() for path in sorted(folder.iterdir())] if folder.is_dir() else []


def choose(found: Iterable[bytes], most: int) -> list[bytes]:
    """Keep a few inputs of all sizes."""
    by_size = sorted(set(found), key=lambda data: (len(data), data))
    step = max(1, -(-len(by_size) // most))
    return by_size[::step]
