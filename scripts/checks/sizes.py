"""Modules stay small enough to be one idea."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scripts.checks.files import repository_files
from scripts.proto import is_generated

__all__ = ["LONG", "TOO_LONG", "problems", "remarks"]

LONG = 400
"""Lines from which a module deserves a second look."""

TOO_LONG = 600
"""Lines from which a module is a defect."""


def _lengths(root: Path) -> Iterator[tuple[Path, int]]:
    for path in repository_files(root, "*.py"):
        if not is_generated(path):
            yield path, len((root / path).read_bytes().splitlines())


def problems(root: Path) -> list[str]:
    """Name the modules that are too long."""
    return [f"{path}: {length} lines, the limit is {TOO_LONG}" for path, length in _lengths(root) if length > TOO_LONG]


def remarks(root: Path) -> list[str]:
    """Name the modules that are long."""
    return [f"long: {path}, {length} lines" for path, length in _lengths(root) if LONG < length <= TOO_LONG]
