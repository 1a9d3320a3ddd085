"""The command line. One module a command; each is imported when it is run or when help is shown, and not before.

A command's module has an `app`, a `typer.Typer` with that one command or, as `room`, with those of one subject. What it needs
beyond the command line itself it imports inside the command, so that one command works where the requirements of another are
missing.
"""

from __future__ import annotations

import sys
from typing import Final

__all__ = ["COMMANDS", "main"]

COMMANDS: Final = {
    "demo": "dmls.cli.demo",
    "serve": "dmls.cli.serve",
    "token": "dmls.cli.token",
    "conformance": "dmls.cli.conformance",
    "inspect": "dmls.cli.inspect",
    "room": "dmls.cli.room",
    "simulate": "dmls.cli.simulate",
    "games": "dmls.cli.games",
}
"""Module of each command, in the order in which help lists them."""


def main() -> None:
    """Run `dmls`. Exits with 0, with 1 where something failed, with 2 where the command line is wrong."""
    try:
        from dmls.cli.app import run
    except ModuleNotFoundError as error:
        if error.name not in {"typer", "rich"}:
            raise
        sys.exit("dmls: the command line needs more packages: pip install 'dmls[server]'")
    run()
