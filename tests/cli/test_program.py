"""The program around the commands."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from types import ModuleType

import pytest
import typer
from typer.testing import CliRunner

from dmls import cli
from dmls.cli import app as program
from dmls.errors import InternalError


def test_help_lists_the_commands_and_the_version_is_shown() -> None:
    shown = CliRunner().invoke(program.app, ["--help"])
    assert shown.exit_code == 0
    assert all(name in shown.output for name in cli.COMMANDS)
    assert CliRunner().invoke(program.app, ["--version"]).output.strip() == f"dmls {version('dmls')}"


def test_an_unknown_command_is_refused() -> None:
    assert CliRunner().invoke(program.app, ["fly"]).exit_code == 2


def _install(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Add a command that fails."""

    def failing() -> None:
        raise error

    module = ModuleType("failing")
    vars(module)["app"] = app = typer.Typer(add_completion=False)
    app.command()(failing)
    monkeypatch.setitem(sys.modules, "failing", module)
    monkeypatch.setitem(cli.COMMANDS, "failing", "failing")
    monkeypatch.setattr(sys, "argv", ["dmls", "failing"])


def test_an_error_of_this_project_ends_the_program_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _install(monkeypatch, InternalError("this and that"))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == "dmls: this and that\n"


def test_a_missing_package_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, ModuleNotFoundError("No module named 'grpc'", name="grpc"))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == "dmls: this command needs grpc: pip install 'dmls[server]'"


def test_a_missing_module_of_this_project_is_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, ModuleNotFoundError("No module named 'dmls.lost'", name="dmls.lost"))
    with pytest.raises(ModuleNotFoundError):
        cli.main()


def test_without_the_packages_of_the_command_line_it_says_so() -> None:
    code = "import sys; sys.modules['typer'] = None; import dmls.cli; dmls.cli.main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "dmls: the command line needs more packages: pip install 'dmls[server]'\n"
