"""Imports point down only. The contracts are in pyproject.toml; here they are run, and shown to notice a wrong arrow."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from scripts.proto import ROOT

_LINTER = Path(sysconfig.get_path("scripts")) / "lint-imports"


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([_LINTER, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the packages and their contracts, to be spoilt."""
    for package in ("dmls", "devicestore"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_contracts_are_kept() -> None:
    linted = _lint(ROOT)
    assert linted.returncode == 0, linted.stdout


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("dmls/mls/codec/__init__.py", "import dmls.forks", "Layers of dmls"),
        ("dmls/mls/codec/__init__.py", "import dmls.mls.crypto", "Layers of dmls.mls"),
        ("dmls/forks/__init__.py", "import time", "The core does no I/O"),
        ("dmls/engine/__init__.py", "import random", "The core does no I/O"),
        ("dmls/rooms/__init__.py", "import grpc", "grpc and the generated code stay at the edge"),
        ("dmls/rooms/__init__.py", "import sqlalchemy", "sqlalchemy stays in devicestore"),
        ("devicestore/__init__.py", "import dmls.ids", "devicestore knows nothing of dmls"),
    ],
)
def test_a_wrong_arrow_is_noticed(copy: Path, module: str, line: str, contract: str) -> None:
    with (copy / module).open("a") as file:
        file.write(f"\n{line}\n")
    linted = _lint(copy)
    assert linted.returncode != 0
    assert any(contract in said and " BROKEN" in said for said in linted.stdout.splitlines()), linted.stdout
