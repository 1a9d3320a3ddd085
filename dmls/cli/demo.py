"""`dmls demo`: a recorded room, played through two services."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_KILLS = 20


@app.command()
def demo(
    log: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A recording. [default: the repository's example]", show_default=False),
    ] = None,
    kill: Annotated[bool, typer.Option("--kill", help=f"Kill the services with SIGKILL, {_KILLS} times.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the data directories, with pictures of the epoch graphs.")] = False,
    seed: Annotated[int, typer.Option(metavar="N", help="What the moments of the kills are chosen by.")] = 0,
    kills: Annotated[int, typer.Option(metavar="N", help="How often to kill, instead of 20 times.", hidden=True)] = 0,
) -> None:
    """Play a recorded room of several homeservers through their services, and check that all comes out as it must.

    Everything is real: each service is a process with a database of its own, and so is each of carol's and dan's devices, which
    keep their own keys. The homeservers alone are played, from the recording. Exits with 1 on the first difference.
    """
    from rich.console import Console

    from dmls.tools.demo.run import Options, default_log, run_demo

    options = Options(log or default_log(), kills or (_KILLS if kill else 0), keep, seed)
    run_demo(options, Console(highlight=False))
