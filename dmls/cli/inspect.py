"""`dmls inspect`: what an MLS object is and what is in it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from dmls.tools.inspect.source import Encoding, Kind

if TYPE_CHECKING:
    from dmls.tools.inspect.kinds import Inspected

__all__ = ["app"]

app = typer.Typer(add_completion=False)


@app.command()
def inspect(
    source: Annotated[str, typer.Argument(metavar="FILE", help="File with one object; - reads standard input.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    kind: Annotated[Kind | None, typer.Option("--type", help="What it is, instead of what it looks like.")] = None,
    encoding: Annotated[Encoding | None, typer.Option("--encoding", help="How it is written, instead of how it looks.")] = None,
    suite: Annotated[
        int | None, typer.Option("--suite", min=1, max=7, help="Cipher suite of objects that do not name theirs.")
    ] = None,
    is_full: Annotated[bool, typer.Option("--full", help="Show all bytes and all elements.")] = False,
) -> None:
    """Show an MLS object as a readable tree.

    Takes any MLSMessage, and key packages, GroupInfos, Welcomes, ratchet trees, group contexts, authenticated contents, leaf
    nodes, commits and proposals by themselves, written as hexadecimal digits, base64 or raw bytes; says what it takes the input
    for. Exits with 1 if it is none of these, with 2 if it cannot be read.
    """
    from dmls.errors import InvalidArgumentError
    from dmls.mls.crypto.suites import cipher_suite
    from dmls.tools.inspect.kinds import recognise
    from dmls.tools.inspect.source import decodings, read_source
    from dmls.tools.inspect.values import printable

    try:
        candidates = list(decodings(read_source(source, sys.stdin.buffer), encoding))
    except InvalidArgumentError as error:
        typer.echo(f"dmls: {printable(error.message)}", err=True)
        raise typer.Exit(2) from error
    try:
        found = recognise(candidates, kind=kind, suite=None if suite is None else cipher_suite(suite))
    except InvalidArgumentError as error:
        typer.echo(f"dmls: {printable(str(error))}", err=True)
        typer.echo("hint: check that nothing was cut; --type and --encoding say what it is and how it is written", err=True)
        raise typer.Exit(1) from error
    _show(found, as_json=as_json, is_full=is_full)


def _show(found: Inspected, *, as_json: bool, is_full: bool) -> None:
    from dmls.tools.inspect.rendering import to_json, to_lines

    if as_json:
        taken = {"encoding": found.encoding, "bytes": found.size, "kind": found.kind, "also": list(found.also)}
        typer.echo(json.dumps({"input": taken} | {"object": to_json(found.record)}, indent=2))
        return
    also = f"; it decodes as {', '.join(found.also)} too" if found.also else ""
    typer.echo(f"taken for: {found.kind}, {found.size} bytes, written as {found.encoding}{also}")
    for line in to_lines(found.record, is_full=is_full):
        typer.echo(line)
