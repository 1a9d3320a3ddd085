"""Hold `dmls/mls` to its share of executed lines and branches, after a test run with coverage."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

__all__ = ["FLOOR", "shares"]

FLOOR = 95.0
"""Percent of lines, and percent of branches, that the tests must execute."""

_PACKAGE = "dmls/mls/"


def shares(files: Mapping[str, Mapping[str, Any]], package: str = _PACKAGE) -> tuple[float, float]:
    """Return the percentages of lines and of branches executed in `package`, from the `files` of `coverage json`."""
    summaries = [file["summary"] for name, file in files.items() if name.startswith(package)]
    if not summaries:
        raise ValueError(f"no file of {package} was measured")

    def percent(covered: str, total: str) -> float:
        whole = sum(summary[total] for summary in summaries)
        return 100.0 * sum(summary[covered] for summary in summaries) / whole if whole else 100.0

    return percent("covered_lines", "num_statements"), percent("covered_branches", "num_branches")


def main() -> None:
    """Print both shares; exit non-zero when one is under the floor, naming the files with the most left."""
    report = subprocess.run(
        [sys.executable, "-m", "coverage", "json", "-q", "-o", "-"], capture_output=True, text=True, check=True
    )
    files: dict[str, Any] = json.loads(report.stdout)["files"]
    lines, branches = shares(files)
    print(f"coverage of {_PACKAGE} lines {lines:.1f} %, branches {branches:.1f} % (at least {FLOOR:.0f} %)")
    if min(lines, branches) >= FLOOR:
        return
    own = {name: file for name, file in files.items() if name.startswith(_PACKAGE)}
    left = {name: len(file["missing_lines"]) + len(file["missing_branches"]) for name, file in own.items()}
    for name in sorted(left, key=lambda name: -left[name])[:5]:
        lines_left, branches_left = files[name]["missing_lines"], files[name]["missing_branches"]
        print(f"  {name}: {len(lines_left)} lines left {lines_left[:12]}, {len(branches_left)} branches left {branches_left[:6]}")
    sys.exit(1)


if __name__ == "__main__":
    main()
