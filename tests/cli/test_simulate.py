"""`dmls simulate`, and what docs/simulation.md shows of it."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from dmls.cli.app import app
from scripts.proto import ROOT

_SIMULATIONS = re.compile(r"(?m)^dmls ((?:simulate|games) .+)$")
_PAGE = (ROOT / "docs" / "simulation.md").read_text()


def _run(*arguments: str) -> str:
    ran = CliRunner().invoke(app, arguments, env={"COLUMNS": "300"})
    assert ran.exit_code == 0, ran.output
    return ran.output


def test_rooms_are_counted() -> None:
    assert "2 of 2 rooms healed: " in _run("simulate", "--count", "2", "--jobs", "1")


def test_a_store_in_files_asks_for_real_cryptography() -> None:
    ran = CliRunner().invoke(app, ["simulate", "--count", "1", "--files"])
    assert ran.exit_code == 2


@pytest.mark.parametrize("command", _SIMULATIONS.findall(_PAGE))
def test_the_commands_of_the_page_run(command: str) -> None:
    # Fewer rooms than on the page, and in this process.
    shown = _run(*re.sub(r"--count \d+", "--count 1", re.sub(r" --jobs \d+", "", command)).split(), *_here(command))
    assert "healed" in shown or "lost" in shown


def _here(command: str) -> list[str]:
    return [] if "--replay" in command else ["--jobs", "1"]
