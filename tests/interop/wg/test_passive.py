"""A runner's log holds all that a passive client needs to come to the same epochs again."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from dmls.tools.conformance.runner import load_files, run_file
from tests.interop.wg.runner.matrix import plans
from tests.interop.wg.runner.passive import main, passive_cases
from tests.interop.wg.runner.play import play_plan
from tests.interop.wg.runner.run import Peer
from tests.interop.wg.runner.scenarios import read_scenarios
from tests.support.scenarios import scenario_file


def _log(peers: list[Peer], config: str, seed: int) -> list[str]:
    log = io.StringIO()
    for plan in plans(read_scenarios(scenario_file(config)), peers, suites=[1, 2], seed=seed):
        assert play_plan(plan, log=log) is None
    return log.getvalue().splitlines()


@pytest.mark.parametrize(
    "config",
    ["application.json", "commit.json", "external_join.json", "external_proposals.json", "reinit.json", "welcome_join.json"],
)
def test_what_was_logged_passes_as_known_answers(config: str, peers: list[Peer], seed: int, tmp_path: Path) -> None:
    log, cases = tmp_path / "log.jsonl", tmp_path / "cases" / "passive-client-logged.json"
    lines = _log(peers, config, seed)
    log.write_text("\n".join(lines) + "\n")
    cases.parent.mkdir()
    main(log, cases)
    (file,) = load_files(cases.parent)
    report = run_file(file)
    joins = sum(call["rpc"] == "JoinGroup" for line in lines for call in json.loads(line)["calls"])
    assert report.failures == []
    assert 0 < report.passed <= joins


def test_a_member_is_followed_until_it_sends_a_handshake_message(peers: list[Peer], seed: int) -> None:
    runs = [json.loads(line) for line in _log(peers, "commit.json", seed)]
    epochs: dict[str, set[int]] = {}
    for run in runs:
        epochs.setdefault(run["script"], set()).update(len(case["epochs"]) for case in passive_cases(run))
    assert epochs["empty"] == {1}
    assert epochs["update"] == {0}
    assert epochs["group_context_extensions"] == {1}


def test_a_changed_log_gives_failing_cases(peers: list[Peer], seed: int, tmp_path: Path) -> None:
    changed: list[dict[str, Any]] = [json.loads(line) for line in _log(peers, "welcome_join.json", seed)]
    for run in changed:
        for call in run["calls"]:
            if call["rpc"] == "JoinGroup":
                call["response"]["epoch_authenticator"] = "AAAA"
    cases = [case for run in changed for case in passive_cases(run)]
    (tmp_path / "passive-client-changed.json").write_text(json.dumps(cases))
    (file,) = load_files(tmp_path)
    assert len(run_file(file).failures) == len(cases) > 0
