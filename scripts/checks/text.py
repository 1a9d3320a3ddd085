"""Text that must not be committed: paths of one machine, hosts of package registries, work left undone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from scripts.checks.files import repository_files
from scripts.proto import is_generated

__all__ = ["problems"]

_EVERYWHERE = {
    "absolute path": re.compile(r"(?<![\w.$}*)])/(?:work|root|home|farm|Users)/"),
    "host of a package registry": re.compile(r"\b(?:pypi|pythonhosted|npmjs|yarnpkg)\.(?:org|com|io)\b"),
}
_PYTHON = {
    "work left undone": re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b|\braise NotImplemented"),
    "skipped test": re.compile(r"\bpytest\.(?:skip|importorskip|xfail)\(|\bmark\.(?:skip|skipif|xfail)\b|\bunittest\.skip"),
}
_RECORDED = Path("examples") / "room-logs"
# The implementations of others may not be installed; then, and there only, tests are skipped.
_MAY_SKIP = Path("tests") / "interop" / "peers" / "conftest.py"


def _text_of(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def problems(root: Path) -> Iterator[str]:
    """Name file, line and kind of each piece of text that must not be there. Recorded logs and binary files are left out."""
    for path in repository_files(root):
        text = None if path.is_relative_to(_RECORDED) else _text_of(root / path)
        if text is None:
            continue
        written = path.suffix == ".py" and not is_generated(path)
        patterns = _EVERYWHERE | _PYTHON if written else _EVERYWHERE
        for number, line in enumerate(text.splitlines(), start=1):
            for kind, pattern in patterns.items():
                if pattern.search(line) and not (path == _MAY_SKIP and kind == "skipped test"):
                    yield f"{path}:{number}: {kind}"
