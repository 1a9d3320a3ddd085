"""The figures that are kept in the repository, and what the documentation says of them."""

from __future__ import annotations

from pathlib import Path

from benchmarks.group_operations.report import make_sheets, to_markdown
from benchmarks.group_operations.results import read_results

DOCS = Path(__file__).parents[2] / "docs"


def test_the_tables_are_those_of_the_kept_run() -> None:
    """Else: `python -m benchmarks show docs/benchmarks/results.json --markdown > docs/benchmarks/tables.md`."""
    sheets = list(make_sheets(read_results(DOCS / "benchmarks" / "results.json")))
    assert (DOCS / "benchmarks" / "tables.md").read_text() == to_markdown(sheets)
    summary = to_markdown(sheets[:1]).split("\n", 2)[2]
    assert summary in (DOCS / "benchmarks.md").read_text()


def test_what_the_page_shows_is_there() -> None:
    page = (DOCS / "benchmarks.md").read_text()
    pictures = sorted(path.name for path in (DOCS / "benchmarks").glob("*.svg"))
    assert pictures == ["fresh-tree.svg", "full-tree.svg", "no-tree.svg"]
    assert all(f"(benchmarks/{name})" in page for name in pictures)
