"""The coverage gate counts lines and branches of one package only."""

from __future__ import annotations

import pytest

from scripts.coverage_gate import shares


def _file(lines: tuple[int, int], branches: tuple[int, int]) -> dict[str, dict[str, int]]:
    names = ("covered_lines", "num_statements", "covered_branches", "num_branches")
    return {"summary": dict(zip(names, (*lines, *branches), strict=True))}


def test_files_are_summed_and_other_packages_left_out() -> None:
    files = {
        "dmls/mls/a.py": _file((9, 10), (1, 4)),
        "dmls/mls/tree/b.py": _file((10, 10), (4, 4)),
        "dmls/forks/c.py": _file((0, 100), (0, 100)),
    }
    assert shares(files) == (95.0, 62.5)


def test_a_package_without_branches_is_whole() -> None:
    assert shares({"dmls/mls/a.py": _file((1, 2), (0, 0))}) == (50.0, 100.0)


def test_a_report_without_the_package_is_refused() -> None:
    with pytest.raises(ValueError, match="no file of dmls/mls/"):
        shares({"dmls/forks/c.py": _file((1, 1), (0, 0))})
