"""The wheel holds the two packages, file for file, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from scripts.checks.files import repository_files

__all__ = ["contents", "problems"]

_PACKAGES = ("dmls", "devicestore")


def contents(root: Path) -> set[str]:
    """Build the wheel and return the names in it, its own metadata left out.

    Raises:
        RuntimeError: the wheel cannot be built; the message is the end of what the builder said.
    """
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", scratch, str(root)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError("\n".join((done.stdout + done.stderr).strip().splitlines()[-5:]))
        (wheel,) = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            return {name for name in archive.namelist() if ".dist-info/" not in name}


def problems(root: Path) -> list[str]:
    """Name files that are in the wheel and should not be, or the other way round."""
    try:
        built = contents(root)
    except RuntimeError as error:
        return str(error).splitlines()
    wanted = {path.as_posix() for path in repository_files(root, *_PACKAGES)}
    wanted |= {f"{package}/py.typed" for package in _PACKAGES}
    return [f"missing in the wheel: {name}" for name in sorted(wanted - built)] + [
        f"should not be in the wheel: {name}" for name in sorted(built - wanted)
    ]
