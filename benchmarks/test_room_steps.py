"""Runs the benchmark of an engine's steps under `make bench`: what a message costs must not grow with the room."""

from __future__ import annotations

import pytest

from benchmarks.room_steps import measure, show


def test_room_steps(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = (10, 100, 1000)
    found = [measure(members) for members in sizes]
    with capsys.disabled():
        print()
        show(sizes, found)
    for what in ("send message", "receive message", "tick after message"):
        assert found[-1][what] < 3 * found[0][what] + 0.5, what
