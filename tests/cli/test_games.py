"""`dmls games`."""

from __future__ import annotations

from typer.testing import CliRunner

from dmls.cli.app import app


def test_games_are_counted_and_one_is_told_step_by_step() -> None:
    played = CliRunner().invoke(app, ["games", "--count", "2", "--jobs", "1"])
    assert played.exit_code == 0, played.output
    assert "attackers lost 2 of 2 games" in " ".join(played.output.split())
    told = CliRunner().invoke(app, ["games", "--replay", "1"])
    assert told.exit_code == 0
    assert "Attack(name=" in told.output
    assert told.output.rstrip().endswith("the attacker has lost")
