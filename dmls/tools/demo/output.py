"""Shows a run on the terminal: story lines, a progress bar where there is a terminal, and the table at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

__all__ = ["Output", "Row", "open_output"]

Row = tuple[str, str]
"""A line of the table: what, and how much."""


class Output:
    """Where a run's story goes."""

    def __init__(self, console: Console, progress: Progress, task: TaskID) -> None:
        """Take over an open progress bar."""
        self._console = console
        self._progress = progress
        self._task = task

    def line(self, text: str, style: str = "") -> None:
        """Show a line of the story."""
        self._console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    def advance(self) -> None:
        """Show that one more step is done."""
        self._progress.advance(self._task)

    def table(self, title: str, head: Sequence[str], rows: Sequence[Sequence[str]], *, is_text: bool = False) -> None:
        """Show a table; the first column is text, the others are figures, or text, too."""
        table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
        table.add_column(head[0])
        for name in head[1:]:
            table.add_column(name, justify="left" if is_text else "right", overflow="fold")
        for row in rows:
            table.add_row(*row)
        self._console.print()
        self._console.print(table)


@contextmanager
def open_output(console: Console, steps: int) -> Iterator[Output]:
    """Open an output for a run of so many steps."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield Output(console, progress, progress.add_task("playing", total=steps))
