"""Write docs/rfc9420-ledger.md anew; with `--open`, print which rules lack what instead."""

from __future__ import annotations

import sys

from rich.console import Console

from scripts.ledger.code import code_marks
from scripts.ledger.collected import collect_tests
from scripts.ledger.gaps import gaps
from scripts.ledger.page import PAGE, render
from scripts.ledger.rules import read_rules
from scripts.proto import ROOT


def main() -> None:
    """Collect the marks and write the page, or print the gaps of all areas or of those named."""
    with Console(stderr=True).status("collecting the tests"):
        tests = collect_tests(ROOT)
    rules, marks = read_rules(), code_marks(ROOT)
    if sys.argv[1:2] == ["--open"]:
        areas = sys.argv[2:]
        for rule, missing in gaps(rules.values(), marks, tests).items():
            if not areas or rule.partition("-")[0] in areas:
                print(f"{rule}: {'; '.join(missing)}")
        return
    (ROOT / PAGE).write_text(render(rules.values(), marks, tests), encoding="utf-8")
    print(f"{PAGE} written")


if __name__ == "__main__":
    main()
