"""Play scenario files on servers of the MLSClient interface: `python -m tests.interop.wg.runner`."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TextIO

import grpc
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from tests.interop.wg.runner.matrix import Plan, plans
from tests.interop.wg.runner.play import play_plan
from tests.interop.wg.runner.report import describe_plan, repeat_options
from tests.interop.wg.runner.run import Failure, Peer
from tests.interop.wg.runner.scenarios import ScenarioError, read_scenarios

__all__ = ["Handshake", "main"]


class Handshake(StrEnum):
    """How members send their handshake messages."""

    PUBLIC = "public"
    PRIVATE = "private"
    BOTH = "both"

    @property
    def flags(self) -> tuple[bool, ...]:
        """The values of encrypt_handshake."""
        return {Handshake.PUBLIC: (False,), Handshake.PRIVATE: (True,)}.get(self, (True, False))


def _hexadecimal(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError as error:
        raise typer.BadParameter("not a hexadecimal number") from error


def main(
    config: Annotated[list[Path], typer.Option(metavar="FILE", help="Scenario file; may be given several times.")],
    client: Annotated[list[str], typer.Option(metavar="HOST:PORT", help="Server that plays along; may be given several times.")],
    script: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Play only scripts of this name.")] = None,
    suite: Annotated[
        list[int] | None, typer.Option(metavar="N", help="Play only in this cipher suite; all that any server has.")
    ] = None,
    handshake: Annotated[Handshake, typer.Option(help="How members send proposals and commits.")] = Handshake.BOTH,
    at_random: Annotated[
        bool, typer.Option("--random", help="One random assignment of servers to actors, not all; prints its seed.")
    ] = False,
    seed: Annotated[int | None, typer.Option(metavar="N", help="The seed of --random, which it implies.")] = None,
    assignment: Annotated[
        int | None, typer.Option(metavar="HEX", parser=_hexadecimal, help="One assignment, as a failed run names it.")
    ] = None,
    deadline: Annotated[float, typer.Option(metavar="SECONDS", help="How long a call may take.")] = 120.0,
    log: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write every run with its calls there, a line of JSON each.")
    ] = None,
) -> None:
    """Play scenario files of the MLS working group on servers of its MLSClient interface, whoever made them.

    Every script is played in every cipher suite, with private and with public handshake messages, and with every assignment of
    the servers to the script's actors. Exits with 1 if a run failed, with 2 if there is nothing to play.
    """
    errors = Console(stderr=True, highlight=False)
    if at_random and seed is None:
        seed = secrets.randbits(32)
        typer.echo(f"seed {seed}")
    chosen = [] if assignment is None else [assignment]
    with ExitStack() as stack:
        try:
            scripts = [found for path in config for found in read_scenarios(path) if not script or found.name in script]
            peers = [stack.enter_context(Peer.connect(address)) for address in client]
            file = None if log is None else stack.enter_context(log.open("w"))
        except (ScenarioError, OSError) as error:
            errors.print(str(error), markup=False, soft_wrap=True)
            raise typer.Exit(2) from error
        except grpc.RpcError as error:
            errors.print(f"a server does not answer: {error.details()}", markup=False, soft_wrap=True)
            raise typer.Exit(2) from error
        runs = list(plans(scripts, peers, suites=suite or (), handshakes=handshake.flags, seed=seed, assignments=chosen))
        if not runs:
            errors.print("nothing to play: no such script, or no server with that cipher suite", soft_wrap=True)
            raise typer.Exit(2)
        failed = _play_all(runs, deadline, file, errors)
    raise typer.Exit(1 if failed else 0)


def _play_all(runs: Sequence[Plan], deadline: float, log: TextIO | None, errors: Console) -> int:
    """Play all runs, with a progress bar on a terminal; print what came out, and return how many failed."""
    began = time.monotonic()
    columns = (TextColumn("{task.description:<40}"), BarColumn(), TimeElapsedColumn())
    played, failed = Counter[str](), Counter[str]()
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task("", total=sum(len(plan.script.steps) for plan in runs))
        for number, plan in enumerate(runs, start=1):
            title = plan.script.title
            progress.update(task, description=f"{title} ({number} of {len(runs)})")
            failure = play_plan(plan, deadline, log=log, advance=lambda: progress.advance(task))
            played[title] += 1
            if failure is not None:
                failed[title] += 1
                _show_failure(plan, failure)
                progress.advance(task, len(plan.script.steps) - failure.step)
    for title, count in played.items():
        typer.echo(f"{title:<48} {count:>6} runs {failed[title]:>6} failed")
    typer.echo(f"{played.total()} runs, {failed.total()} failed, {time.monotonic() - began:.1f} s")
    return failed.total()


def _show_failure(plan: Plan, failure: Failure) -> None:
    typer.echo(f"FAILED {describe_plan(plan)}")
    typer.echo(f"  step {failure.step} ({failure.action}): {failure.error}")
    typer.echo(f"  repeat with {repeat_options(plan)}")


if __name__ == "__main__":
    typer.run(main)
