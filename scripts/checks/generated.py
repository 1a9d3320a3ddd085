"""The generated code is what the protos give."""

from __future__ import annotations

import tempfile
from pathlib import Path

from scripts.proto import generate, generated_files

__all__ = ["problems"]


def problems(root: Path) -> list[str]:
    """Name the generated files that are missing, left over, or differ from what the compiler makes of the sources now."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            generate(root, Path(scratch))
        except RuntimeError as error:
            return str(error).splitlines()
        made = generated_files(Path(scratch))
    kept = generated_files(root)
    return [
        f"{path}: {'missing' if path not in kept else 'left over' if path not in made else 'differs'}"
        for path in sorted(made.keys() | kept.keys())
        if made.get(path) != kept.get(path)
    ]
