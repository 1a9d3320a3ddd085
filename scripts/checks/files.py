"""The files of the repository: those tracked, and those that would be."""

from __future__ import annotations

import subprocess
from pathlib import Path

__all__ = ["repository_files"]


def repository_files(root: Path, *folders: str) -> list[Path]:
    """Return the files under `folders` (default: all) that are tracked or not ignored, relative to `root`, sorted."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *folders]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return sorted(path for name in set(listed.split("\0")) if name and (root / (path := Path(name))).is_file())
