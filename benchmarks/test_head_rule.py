"""Runs the benchmark of the head rule under `make bench`: what a node or a vote costs must not grow with the room's life."""

from __future__ import annotations

import pytest

from benchmarks.head_rule import measure, show


def test_head_rule(capsys: pytest.CaptureFixture[str]) -> None:
    lengths = (500, 5_000)
    found = [measure(length) for length in lengths]
    with capsys.disabled():
        print()
        show(lengths, found)
    for what in ("commit on the head", "vote for the head", "branches and retention"):
        assert found[-1][what] < 3 * found[0][what] + 0.1, what
