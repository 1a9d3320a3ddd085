"""What the commands that play many seeds share: one seed that tells what happens, and many under a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Verdict", "play_many", "play_one"]


class Verdict(Protocol):
    """What came of a seed."""

    @property
    def seed(self) -> int:
        """The seed."""

    @property
    def violations(self) -> Sequence[str]:
        """What is not as it must be."""


V = TypeVar("V", bound=Verdict)


def play_one(console: Console, play: Callable[[Callable[[int, str], None]], Verdict], *, failed: str, passed: str) -> bool:
    """Play one seed and print what happens, and its violations or that there are none; tell whether there are any."""
    from dmls.simulation.network import START_MS

    def tell(now_ms: int, line: str) -> None:
        console.print(f"{(now_ms - START_MS) / 1_000:10.3f} s  {line}", markup=False)

    violations = play(tell).violations
    for violation in violations:
        console.print(f"[red]{failed}:[/] {violation}")
    if not violations:
        console.print(f"[green]{passed}[/]")
    return bool(violations)


def play_many(console: Console, name: str, verdicts: Iterable[V], total: int) -> list[V]:
    """Return the outcomes of many seeds under a progress bar called `name`; violations are printed as they come."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    found = []
    with Progress(name, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task(name, total=total)
        for verdict in verdicts:
            found.append(verdict)
            progress.advance(task)
            for violation in verdict.violations:
                console.print(f"[red]seed {verdict.seed}:[/] {violation}")
    return found
