"""Marks of tests, as pytest collects them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.ledger.plugin import OUTPUT

__all__ = ["Trials", "collect_tests"]


@dataclass(slots=True)
class Trials:
    """The tests of one rule, as pytest's node ids."""

    breaks: list[str] = field(default_factory=list)
    keeps: list[str] = field(default_factory=list)


def collect_tests(root: Path, arguments: Sequence[str] = ("tests",)) -> dict[str, Trials]:
    """Collect all tests in a process of its own, and return those of each rule.

    Raises:
        RuntimeError: the tests cannot be collected, for instance because a mark names a rule that does not exist.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "marks.json"
        options = ["--collect-only", "-q", "-p", "no:cacheprovider", "-p", "scripts.ledger.plugin"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *arguments],
            cwd=root,
            env={**_plain_environment(), OUTPUT: str(output)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"the tests cannot be collected\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
        collected = json.loads(output.read_text(encoding="utf-8"))
    tests: dict[str, Trials] = {}
    for name, kinds in collected.items():
        for kind, ids in kinds.items():
            for rule in ids:
                getattr(tests.setdefault(rule, Trials()), kind).append(name)
    return tests


def _plain_environment() -> dict[str, str]:
    """The environment without what a test run that we may be part of has put there."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
