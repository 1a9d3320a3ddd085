"""`dmls games`: rooms with an attacker in them, by the thousand."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from dmls.cli.seeds import play_many, play_one
from dmls.simulation.runner import Crypto, play_games, suite_for

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["app"]

app = typer.Typer(add_completion=False)


@app.command()
def games(
    count: Annotated[int, typer.Option(metavar="N", min=1, help="How many games.")] = 200,
    first: Annotated[int, typer.Option(metavar="SEED", min=0, help="The seed of the first game; the others follow it.")] = 0,
    crypto: Annotated[Crypto, typer.Option(help="symbolic: a suite that costs nothing and protects nothing.")] = Crypto.SYMBOLIC,
    jobs: Annotated[int, typer.Option(metavar="N", min=0, help="Processes. [default: one a core]", show_default=False)] = 0,
    replay: Annotated[
        int | None, typer.Option(metavar="SEED", min=0, help="Play one game and tell what happens.", show_default=False)
    ] = None,
) -> None:
    """Let an attacker with a homeserver of its own play against real engines, and check that it loses.

    It is a member of the room until it is kicked or banned, and attacks before, during and after that: leaves in others' names,
    twins, forks, broken commits, floods, lies about time and place, votes of all kinds. Then it is given every event and
    everything it ever knew. It must not read a message whose sender knew that it was out, must not move a head with anything it
    sent when all knew, and everybody else must come to one head. Exits with 1 if a game is lost.
    """
    from rich.console import Console

    console = Console(highlight=False)
    lost = _replay(console, replay, crypto) if replay is not None else _run(console, range(first, first + count), crypto, jobs)
    if lost:
        raise typer.Exit(1)


def _replay(console: Console, seed: int, crypto: Crypto) -> bool:
    from dmls.simulation.games import play_game

    passed = "the attacker has lost"
    return play_one(console, lambda tell: play_game(seed, suite_for(crypto), tell), failed="lost", passed=passed)


def _run(console: Console, seeds: range, crypto: Crypto, jobs: int) -> bool:
    outcomes = play_many(console, "games", play_games(seeds, crypto, jobs or os.cpu_count() or 1), len(seeds))
    lost = sorted(outcome.seed for outcome in outcomes if outcome.violations)
    console.print(
        f"attackers lost {len(outcomes) - len(lost)} of {len(outcomes)} games: {sum(len(o.attacks) for o in outcomes)} attacks, "
        f"{sum(o.lies for o in outcomes)} events made by hand, {sum(o.unreadable for o in outcomes)} of "
        f"{sum(o.messages for o in outcomes)} messages sent by who knew that the attacker was out"
    )
    if lost:
        console.print(f"play one again with: dmls games --crypto {crypto} --replay {lost[0]}")
    return bool(lost)
