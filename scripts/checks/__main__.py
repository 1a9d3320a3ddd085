"""Run the checks of the tree: all, or those named on the command line."""

from __future__ import annotations

import importlib
import sys

from scripts.proto import ROOT

HINTS = {
    "sizes": "a module is one idea: split it",
    "text": "take it out; paths are relative to the repository, work left to do is an issue",
    "generated": "make proto",
    "lock": "make lock",
    "wheel": "the wheel is dmls and devicestore, file for file: [tool.hatch] in pyproject.toml",
}


def main() -> None:
    """Print one line a check, and what to do about a failed one; exit non-zero if any failed."""
    failed = False
    for name in sys.argv[1:] or HINTS:
        check = importlib.import_module(f"scripts.checks.{name}")
        problems = list(check.problems(ROOT))
        print(f"{name:<10}{'FAILED' if problems else 'ok'}")
        for problem in problems:
            print(f"  {problem}")
        if problems:
            failed = True
            print(f"hint: {HINTS[name]}")
        for remark in getattr(check, "remarks", lambda _: [])(ROOT):
            print(f"  {remark}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
