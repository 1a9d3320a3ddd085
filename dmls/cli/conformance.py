"""`dmls conformance`: run known-answer files of the MLS working group's format."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from dmls.tools.conformance.runner import Report, VectorFile

__all__ = ["app", "parse_time"]

app = typer.Typer(add_completion=False)

_NOTICE: Final = "Lifetimes of received leaves are not checked; --now TIME checks them as of that time."


def parse_time(text: str) -> int:
    """Return an ISO 8601 time, UTC where it names no zone, or a number of seconds since 1970, in such seconds.

    Raises:
        BadParameter: it is neither.
    """
    try:
        if text.isascii() and text.isdigit():
            return int(text)
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter("neither an ISO 8601 time nor seconds since 1970") from error
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp())


@app.command()
def conformance(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of vector files: .json, .json.gz or .json.xz.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    now: Annotated[
        int | None,
        typer.Option(
            metavar="TIME",
            parser=parse_time,
            help="Check the lifetimes of received leaves as of this time (ISO 8601, or seconds since 1970).",
        ),
    ] = None,
) -> None:
    """Run known-answer files of the MLS working group's format.

    A file's kind is what its name starts with: crypto-basics, deserialization, key-schedule, message-protection, messages,
    passive-client, psk_secret, secret-tree, transcript-hashes, tree-math, tree-operations, tree-validation, treekem, welcome.
    Lifetimes of received leaves are not checked without --now. Exits with 1 if anything failed.
    """
    from rich.console import Console

    from dmls.errors import InvalidArgumentError
    from dmls.tools.conformance.runner import load_files

    errors = Console(stderr=True, highlight=False)
    if now is None:
        errors.print(_NOTICE, soft_wrap=True)
    try:
        files = list(load_files(folder))
    except InvalidArgumentError as error:
        errors.print(f"dmls: {error.message}", markup=False, soft_wrap=True)
        raise typer.Exit(2) from error
    report = _run(files, now, errors)
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=2))
    else:
        _show(report)
    raise typer.Exit(1 if report.failed else 0)


def _run(files: list[VectorFile], now: int | None, errors: Console) -> Report:
    """Run all cases, with a progress bar on a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from dmls.tools.conformance.runner import Report, run_file

    columns = (TextColumn("{task.description:<32}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task("", total=sum(len(file.cases) for file in files))
        reports = []
        for file in files:
            progress.update(task, description=file.name)
            reports.append(run_file(file, now=now, advance=lambda: progress.advance(task)))
    return Report(tuple(reports))


def _show(report: Report) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table("file", box=None, pad_edge=False)
    for heading in ("passed", "failed", "skipped"):
        table.add_column(heading, justify="right")
    for file in report.files:
        table.add_row(file.name, str(file.passed), str(file.failed), str(file.skipped), style="red" if file.failed else "")
    table.add_section()
    table.add_row("total", str(report.passed), str(report.failed), str(report.skipped))
    console.print(table)
    for file in report.files:
        for failure in file.failures:
            where = file.name if failure.case is None else f"{file.name}, case {failure.case}"
            console.print(f"{where}: {failure.check}: {failure.reason}", style="red", markup=False, soft_wrap=True)
