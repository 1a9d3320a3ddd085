"""A pytest plugin that writes down which test carries which ids, for `pytest --collect-only`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

__all__ = ["OUTPUT", "pytest_collection_finish"]

OUTPUT = "DMLS_TEST_MARKS"
"""The environment variable that names the file to write."""


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write the marks of all collected tests."""
    marks: dict[str, dict[str, list[str]]] = {}
    for item in session.items:
        for kind in ("breaks", "keeps"):
            ids = [rule for mark in item.iter_markers(kind) for rule in mark.args]
            if ids:
                marks.setdefault(item.nodeid, {})[kind] = ids
    Path(os.environ[OUTPUT]).write_text(json.dumps(marks), encoding="utf-8")
