"""Every case of the negative vectors is refused for its rule, and what it spoils is accepted (docs/negative-vectors.md)."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest

from scripts.ledger.rules import read_rules
from tests.support.negative.areas import AREAS, FOLDER, area_file, make_area
from tests.support.negative.player import Player


@cache
def _scenes(area: str) -> list[dict[str, Any]]:
    content = json.loads(area_file(area).read_text())
    assert (content["format"], content["area"]) == (1, area)
    scenes: list[dict[str, Any]] = content["scenes"]
    return scenes


@cache
def _player(area: str, scene: int) -> Player:
    return Player(_scenes(area)[scene])


def _all_scenes() -> list[Any]:
    found = [(area, number, scene["name"]) for area in AREAS for number, scene in enumerate(_scenes(area))]
    return [pytest.param(area, number, id=f"{area}: {name}") for area, number, name in found]


def _all_cases() -> list[Any]:
    return [
        pytest.param(area, number, case, case["rule"], id=f"{area}: {scene['name']}: {case['name']}")
        for area in AREAS
        for number, scene in enumerate(_scenes(area))
        for case in scene["cases"]
    ]


@pytest.mark.parametrize(("area", "scene", "case", "rule"), _all_cases())
def test_what_breaks_a_rule_is_refused_for_it_and_leaves_no_trace(area: str, scene: int, case: dict[str, Any], rule: str) -> None:
    error = _player(area, scene).refuse(case["bad"])
    if {"rule": error.rule, "reason": error.reason} != case["noticed"]:
        pytest.fail(f"what breaks {rule} was refused as {error!r}")


@pytest.mark.parametrize(("area", "scene"), _all_scenes())
def test_what_breaks_no_rule_is_accepted_before_and_after(area: str, scene: int) -> None:
    content, player = _scenes(area)[scene], _player(area, scene)
    for attempt in content["good"]:
        player.accept(attempt)
    player.refuse(content["cases"][-1]["bad"])
    player.accept(content["good"][0])


@pytest.mark.parametrize("area", AREAS)
def test_the_files_are_what_is_made_from_their_seed(area: str) -> None:
    assert area_file(area).read_text() == make_area(area)


def test_the_set_is_as_large_and_as_wide_as_it_is_said_to_be() -> None:
    cases = [case for area in AREAS for scene in _scenes(area) for case in scene["cases"]]
    found = [case for case in cases if case["rule"] == case["noticed"]["rule"]]
    assert len(cases) >= 1000
    assert len({case["rule"] for case in cases}) >= 250
    assert len({case["rule"] for case in found}) >= 120
    assert {case["rule"] for case in cases} <= read_rules().keys()
    assert {path.stem for path in FOLDER.glob("*.json")} == set(AREAS)
    assert sum(path.stat().st_size for path in FOLDER.glob("*.json")) < 3_000_000


@pytest.mark.parametrize("area", AREAS)
def test_no_case_stands_twice(area: str) -> None:
    for scene in _scenes(area):
        names = [case["name"] for case in scene["cases"]]
        assert len(set(names)) == len(names), scene["name"]
        attempts = [json.dumps(attempt) for attempt in (*scene["good"], *(case["bad"] for case in scene["cases"]))]
        assert len(set(attempts)) == len(attempts), scene["name"]
