"""The generated code is what the protos give."""

from __future__ import annotations

import tempfile
from pathlib import Path

from scripts.proto import GENERATED, generate, generated_files

__all__ = ["problems"]


def problems(root: Path) -> list[str]:
    """Name the generated files that are missing, left over, or differ from what the compiler makes of `proto/` now."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            generate(root, Path(scratch))
        except RuntimeError as error:
            return str(error).splitlines()
        made = generated_files(Path(scratch) / GENERATED)
    kept = generated_files(root / GENERATED)
    return [
        f"{GENERATED / name}: {'missing' if name not in kept else 'left over' if name not in made else 'differs'}"
        for name in sorted(made.keys() | kept.keys())
        if made.get(name) != kept.get(name)
    ]
