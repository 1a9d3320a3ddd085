"""The working group's scenarios, played by two servers around our own core."""

from __future__ import annotations

import os
from typing import Final

import pytest

from dmls.mls.crypto.suites import CIPHER_SUITES
from tests.interop.wg.runner.matrix import plans
from tests.interop.wg.runner.play import play_plan
from tests.interop.wg.runner.report import describe_plan
from tests.interop.wg.runner.run import Peer
from tests.interop.wg.runner.scenarios import read_scenarios
from tests.support.scenarios import SHA256, scenario_file

_IS_SOAK: Final = bool(os.environ.get("DMLS_SOAK"))
_SUITES: Final = [suite.id for suite in CIPHER_SUITES]
_LONG: Final = "deep_random.json"
_SCRIPTS: Final = {
    "application.json": 3,
    "branch.json": 4,
    "commit.json": 9,
    "deep_random.json": 1,
    "external_join.json": 5,
    "external_proposals.json": 8,
    "reinit.json": 6,
    "welcome_join.json": 4,
}


@pytest.mark.parametrize("config", sorted(SHA256))
def test_a_file_holds_the_scripts_that_are_played(config: str) -> None:
    assert len(read_scenarios(scenario_file(config))) == _SCRIPTS[config]


@pytest.mark.parametrize("suite", _SUITES)
@pytest.mark.parametrize("config", sorted(SHA256.keys() - {_LONG}))
def test_every_script_passes_with_both_kinds_of_handshake(config: str, suite: int, peers: list[Peer], seed: int) -> None:
    for repetition in range(2 if _IS_SOAK else 1):
        for plan in plans(read_scenarios(scenario_file(config)), peers, suites=[suite], seed=seed + repetition):
            assert play_plan(plan) is None, describe_plan(plan)


@pytest.mark.timeout(0 if _IS_SOAK else 300)
@pytest.mark.parametrize("handshake", ["private", "public"])
@pytest.mark.parametrize("suite", _SUITES if _IS_SOAK else _SUITES[:2])
def test_the_long_random_script_passes(suite: int, handshake: str, peers: list[Peer], seed: int) -> None:
    flags = [handshake == "private"]
    for plan in plans(read_scenarios(scenario_file(_LONG)), peers, suites=[suite], handshakes=flags, seed=seed):
        assert play_plan(plan) is None, describe_plan(plan)
