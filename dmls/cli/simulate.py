"""`dmls simulate`: rooms that fork and heal, by the thousand."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from dmls.cli.seeds import play_many, play_one
from dmls.simulation.runner import Crypto, run_room, run_seeds

if TYPE_CHECKING:
    from rich.console import Console

    from dmls.simulation.run import Outcome

__all__ = ["app"]

app = typer.Typer(add_completion=False)


@app.command()
def simulate(
    count: Annotated[int, typer.Option(metavar="N", min=1, help="How many rooms.")] = 200,
    first: Annotated[int, typer.Option(metavar="SEED", min=0, help="The seed of the first room; the others follow it.")] = 0,
    crypto: Annotated[Crypto, typer.Option(help="symbolic: a suite that costs nothing and protects nothing.")] = Crypto.SYMBOLIC,
    files: Annotated[bool, typer.Option("--files", help="A database file for each agent; takes --crypto real.")] = False,
    jobs: Annotated[int, typer.Option(metavar="N", min=0, help="Processes. [default: one a core]", show_default=False)] = 0,
    replay: Annotated[
        int | None, typer.Option(metavar="SEED", min=0, help="Play one room and tell what happens.", show_default=False)
    ] = None,
) -> None:
    """Play made-up rooms through real engines, and check that all of them heal.

    Each room has 2 to 5 homeservers that federate over links which are cut, slow, lossy and double what they carry; its services
    and devices crash and start again; users join, leave, are kicked and banned, log in and out, and talk. When the schedule is
    over and the links are whole, every agent must come to one head with the right members, and every message must have been read
    by the members of its epoch and by nobody else. Time is virtual and everything follows from the seed, so that a room which
    does not heal can be played again with --replay. Exits with 1 if there is one.
    """
    from rich.console import Console

    if files and crypto is not Crypto.REAL:
        raise typer.BadParameter("a store keeps no secrets of a suite that has none: give --crypto real with --files")
    console = Console(highlight=False)
    seeds = range(first, first + count)
    if _replay(console, replay, crypto, files) if replay is not None else _run(console, seeds, crypto, files, jobs):
        raise typer.Exit(1)


def _replay(console: Console, seed: int, crypto: Crypto, files: bool) -> bool:
    return play_one(console, lambda tell: run_room(seed, crypto, in_files=files, log=tell), failed="violated", passed="healed")


def _run(console: Console, seeds: range, crypto: Crypto, files: bool, jobs: int) -> bool:
    outcomes = run_seeds(seeds, crypto, jobs or os.cpu_count() or 1, in_files=files)
    found = play_many(console, "rooms", outcomes, len(seeds))
    _summarise(console, found, crypto, files)
    return any(outcome.violations for outcome in found)


def _summarise(console: Console, outcomes: list[Outcome], crypto: Crypto, files: bool) -> None:
    healed = sum(not outcome.violations for outcome in outcomes)
    console.print(
        f"{healed} of {len(outcomes)} rooms healed: {sum(o.agents for o in outcomes)} agents, {sum(o.steps for o in outcomes)} "
        f"steps, {sum(o.commits for o in outcomes)} commits, {sum(o.forks for o in outcomes)} changes of branch, "
        f"{sum(o.messages for o in outcomes)} messages, {sum(o.crashes for o in outcomes)} crashes"
    )
    failed = sorted(outcome.seed for outcome in outcomes if outcome.violations)
    if failed:
        options = f"--crypto {crypto}{' --files' if files else ''}"
        console.print(f"play one again with: dmls simulate {options} --replay {failed[0]}")
