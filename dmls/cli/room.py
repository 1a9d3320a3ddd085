"""`dmls room`: rooms as a store has them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from dmls.tools.pictures.formats import Format

__all__ = ["app"]

app = typer.Typer(add_completion=False, no_args_is_help=True)


_ENDINGS = {known.suffix: known for known in Format} | {".gv": Format.DOT}


@app.callback()
def _rooms() -> None:
    """Look at rooms as the store of a service or of a client device has them."""


@app.command()
def graph(
    room: Annotated[str, typer.Argument(metavar="ROOM", help="Room id, such as '!abc:example.org'; quote it for the shell.")],
    data: Annotated[
        Path, typer.Option("--data", metavar="DIR", help="Directory of the service or client device.", envvar="DMLS_DATA")
    ],
    written: Annotated[
        Format | None, typer.Option("--format", help="Instead of what the name of --output ends with, or svg.")
    ] = None,
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Where to write; - is standard output.")] = "-",
    newest: Annotated[
        int | None, typer.Option("--newest", metavar="N", min=1, help="Show the head and the newest epochs only, N in all.")
    ] = None,
) -> None:
    """Draw the epoch graph of a room: its epochs, forks and heads, who was added and removed, what heals what.

    Shown of each epoch: its number, the first digits of its commit_ref, who made it, how many devices are in it, how many users
    support it, and whether its secrets are retained. Nothing secret is read and the key file is not needed, but the service must
    not be running: stop it, or copy its directory. Exits with 1 if there is nothing to draw, with 2 if it cannot be written.
    """
    from devicestore.errors import Locked, StoreError
    from dmls.errors import LimitError, NotFoundError, UnsupportedError
    from dmls.ids import RoomId
    from dmls.rooms.public import list_rooms, read_room
    from dmls.tools.pictures.description import describe_room, legible
    from dmls.tools.pictures.drawing import draw

    chosen = written or _ENDINGS.get(Path(output).suffix.lower(), Format.SVG)
    try:
        known = list_rooms(data)
        if room not in known:
            names = ", ".join(map(legible, known[:5])) or "none"
            _fail("the store does not know this room", f"it knows {len(known)}: {names}" + (", ..." if len(known) > 5 else ""))
        picture = describe_room(read_room(data, RoomId(room)), newest)
        drawn = draw(picture, chosen)
    except Locked as error:
        _fail(str(error), "stop the service, or copy its directory and draw from the copy")
    except NotFoundError as error:
        _fail(error.message, "--data names the directory that dmls serve was given, or that of a client device")
    except LimitError as error:
        _fail(error.message, "--newest N leaves the older ones out; dot and mermaid have no bound")
    except UnsupportedError as error:
        _fail(error.message, "pip install 'dmls[pictures]'")
    except StoreError as error:
        _fail(str(error), "--data names the directory of a service or client device, and the user that runs it may read it")
    if output == "-":
        if chosen is Format.PNG and sys.stdout.isatty():
            _fail("a terminal does not show png", "--output FILE writes a file", status=2)
        typer.get_binary_stream("stdout").write(drawn)
        return
    try:
        Path(output).write_bytes(drawn)
    except OSError as error:
        _fail(f"{output} cannot be written: {error.strerror}", "--output names a file in a directory that exists", status=2)


def _fail(message: str, hint: str, *, status: int = 1) -> NoReturn:
    typer.echo(f"dmls: {message}", err=True)
    typer.echo(f"hint: {hint}", err=True)
    raise typer.Exit(status)
