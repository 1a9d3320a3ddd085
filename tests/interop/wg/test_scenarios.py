"""Scenario files are read as the working group's own runner reads them, and a little more generously."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.interop.proto import mls_client_pb2 as pb
from tests.interop.wg.runner.scenarios import ScenarioError, Script, Step, read_scenarios
from tests.support.scenarios import SHA256, scenario_file


def _write(folder: Path, content: object) -> Path:
    path = folder / "some.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize("name", ["externalTree", "external_tree", "ExternalTree", "EXTERNALTREE"])
def test_names_are_compared_without_case_and_underscores(name: str) -> None:
    assert Step.read({name: True}).flag("external_tree")
    assert not Step.read({}).flag("external_tree")


def test_the_data_of_extensions_is_base64() -> None:
    step = Step.read({"extensions": [{"extension_type": 3, "extension_data": "AAAA"}]})
    assert step.extensions() == [pb.Extension(extension_type=3, extension_data=bytes(3))]


def test_actors_stand_in_the_order_of_first_mention() -> None:
    steps: list[dict[str, Any]] = [
        {"action": "createGroup", "actor": "alice", "members": ["bob"]},
        {"action": "externalJoin", "actor": "bob", "joiner": "carol"},
        {"action": "addExternalSigner", "actor": "alice", "signer": "ds"},
        {"action": "reinit", "proposer": "alice", "committer": "dan", "welcomer": "bob", "members": ["carol"]},
    ]
    script = Script(Path("some.json"), "long", tuple(Step.read(step) for step in steps))
    assert script.actors == ("alice", "bob", "carol", "ds", "dan")
    assert script.title == "some/long"


@pytest.mark.parametrize(
    "read",
    [
        lambda step: step.text("nobody"),
        lambda step: step.text("number"),
        lambda step: step.number("flag"),
        lambda step: step.flag("number"),
        lambda step: step.names("number"),
        lambda step: step.names("numbers"),
        lambda step: step.numbers("flags"),
        lambda step: step.part("nobody"),
        lambda step: step.extensions(),
    ],
)
def test_a_member_of_another_type_is_refused(read: Any) -> None:
    step = Step.read(
        {
            "number": 1,
            "flag": True,
            "numbers": [1],
            "flags": [True],
            "extensions": [{"extension_type": 3, "extension_data": "not base64"}],
        }
    )
    with pytest.raises(ScenarioError):
        read(step)


def test_one_name_in_two_spellings_is_refused() -> None:
    with pytest.raises(ScenarioError):
        Step.read({"forcePath": True, "force_path": False})


@pytest.mark.parametrize(
    "content", ["{", "[]", {}, {"scripts": []}, {"scripts": {"a": 1}}, {"scripts": {"a": [1]}}, {"scripts": {"a": {}}}]
)
def test_a_file_that_holds_no_scripts_is_refused(content: object, tmp_path: Path) -> None:
    with pytest.raises(ScenarioError):
        read_scenarios(_write(tmp_path, content))


@pytest.mark.parametrize("config", sorted(SHA256))
def test_the_files_name_known_actions_only(config: str) -> None:
    from tests.interop.wg.runner.play import ACTIONS

    for script in read_scenarios(scenario_file(config)):
        assert {step.text("action") for step in script.steps} <= ACTIONS.keys()


def test_the_long_script_has_its_many_actors() -> None:
    (script,) = read_scenarios(scenario_file("deep_random.json"))
    assert len(script.steps) == 1670
    assert len(script.actors) == 841
