"""The negative vectors once more where asserts are compiled away: no check of the library is one."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.negative.areas import AREAS, area_file
from tests.support.negative.player import Player

RUN = ("-m", "tests.support.negative.optimised")


def test_every_case_is_refused_without_asserts_too() -> None:
    done = subprocess.run([sys.executable, "-O", *RUN], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    scenes = [scene for area in AREAS for scene in json.loads(area_file(area).read_text())["scenes"]]
    assert found["wrong"] == []
    assert found["cases"] == sum(len(scene["cases"]) for scene in scenes) >= 700
    assert found["controls"] == sum(len(scene["good"]) for scene in scenes)


def test_with_asserts_it_says_that_it_shows_nothing() -> None:
    done = subprocess.run([sys.executable, *RUN], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "asserts are still there: run this with python -O\n")


def test_what_is_accepted_is_not_taken_for_refused() -> None:
    scene = json.loads(area_file("framing").read_text())["scenes"][0]
    with pytest.raises(AssertionError, match="was accepted"):
        Player(scene).refuse(scene["good"][0])
