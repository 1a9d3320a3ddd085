"""The program: its commands, found by name, and how it ends."""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from dmls.cli import COMMANDS
from dmls.errors import DMLSError

if TYPE_CHECKING:
    from typer._click import Command, Context

__all__ = ["app", "run"]


class _Commands(TyperGroup):
    """Imports a command's module when the command is asked for."""

    def list_commands(self, ctx: Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = typer.main.get_command(importlib.import_module(COMMANDS[cmd_name]).app)
        command.name = cmd_name
        return command


app = typer.Typer(cls=_Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dmls {version('dmls')}")
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Decentralised MLS for Matrix rooms."""


def run() -> None:
    """Run the program with the arguments of the process."""
    try:
        app()
    except DMLSError as error:
        print(f"dmls: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in {"dmls", "devicestore"}:
            raise
        sys.exit(f"dmls: this command needs {error.name}: pip install 'dmls[server]'")
