"""All negative vectors in an interpreter without asserts: `python -O -m tests.support.negative.optimised`.

A check of the library that were an `assert` would be gone there. Nothing here and in the player is one either.
"""

from __future__ import annotations

import json
import sys

from tests.support.negative.areas import AREAS, area_file
from tests.support.negative.player import Player

__all__ = ["main"]


def main() -> int:
    """Play every scene; print how many controls and cases there were, and what came out otherwise than the files say."""
    if __debug__:
        print("asserts are still there: run this with python -O")
        return 2
    wrong: list[str] = []
    controls = cases = 0
    for area in AREAS:
        for scene in json.loads(area_file(area).read_text())["scenes"]:
            player = Player(scene)
            for attempt in scene["good"]:
                player.accept(attempt)
                controls += 1
            for case in scene["cases"]:
                name = f"{area}: {scene['name']}: {case['name']}"
                cases += 1
                try:
                    error = player.refuse(case["bad"])
                except AssertionError as unexpected:
                    wrong.append(f"{name}: {unexpected}")
                    continue
                if {"rule": error.rule, "reason": error.reason} != case["noticed"]:
                    wrong.append(f"{name}: {error}")
    print(json.dumps({"controls": controls, "cases": cases, "wrong": wrong}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
