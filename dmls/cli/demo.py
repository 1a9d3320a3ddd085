"""`dmls demo`: a recorded room, played through two services."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dmls.tools.demo.recordings import Scenario, find_recording

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_KILLS = 20


@app.command()
def demo(
    scenario: Annotated[
        Scenario | None,
        typer.Option(help="A recording of the repository (examples/room-logs). [default: figure1]", show_default=False),
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A recording anywhere, instead of --scenario.", show_default=False),
    ] = None,
    kill: Annotated[bool, typer.Option("--kill", help=f"Kill the services with SIGKILL, {_KILLS} times.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the data directories, with pictures of the epoch graphs.")] = False,
    seed: Annotated[int, typer.Option(metavar="N", help="What the moments of the kills are chosen by.")] = 0,
    kills: Annotated[int, typer.Option(metavar="N", help="How often to kill, instead of 20 times.", hidden=True)] = 0,
) -> None:
    """Play a recorded room of several homeservers through their services, and check that all comes out as it must.

    Everything is real: each service is a process with a database of its own, and so is each of carol's and dan's devices, which
    keep their own keys. The homeservers alone are played, from the recording. Exits with 1 on the first difference.

    figure1: joins, leaves, a kick, a new device, a ban. upgrade: the room is replaced by another.

    In the others the link between the homeservers is cut, both sides go on, and the group forks; when the link is whole again, it
    heals. The demo shows both heads, which commits lose and what settles them. partition: each side adds and removes users. duel:
    two administrators remove each other's users. churn: three cuts and over a hundred changes of membership. rollback: the
    resolved state goes backwards.
    """
    if scenario is not None and log is not None:
        raise typer.BadParameter("give one of --scenario and --log, not both")
    from rich.console import Console

    from dmls.tools.demo.run import Options, run_demo

    options = Options(log or find_recording(scenario or Scenario.FIGURE1), kills or (_KILLS if kill else 0), keep, seed)
    run_demo(options, Console(highlight=False))
