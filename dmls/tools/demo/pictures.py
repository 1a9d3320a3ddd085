"""The epoch graphs of a run's services, beside their data directories."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from devicestore import StoreError
from dmls.errors import DMLSError, UnsupportedError
from dmls.rooms.public import SERVICE_DATABASE, list_rooms, read_room
from dmls.tools.pictures.description import describe_room
from dmls.tools.pictures.drawing import draw
from dmls.tools.pictures.formats import Format

__all__ = ["write_pictures"]


def write_pictures(data: Path) -> Iterator[str]:
    """Write the graph of each room of each service as svg and mermaid into `data`, and say what was not written and why.

    The services have ended. Without pygraphviz there is no svg.
    """
    for database in sorted(data.glob(f"*/{SERVICE_DATABASE}")):
        folder = database.parent
        try:
            _write(folder, data)
        except UnsupportedError as error:
            yield f"no svg for the rooms of {folder.name}: {error.message}"
        except (DMLSError, StoreError) as error:
            yield f"the rooms of {folder.name} are not drawn: {error}"


def _write(folder: Path, data: Path) -> None:
    rooms = list_rooms(folder)
    for number, room_id in enumerate(rooms, 1):
        picture = describe_room(read_room(folder, room_id))
        name = folder.name if len(rooms) == 1 else f"{folder.name}-{number}"
        for wanted in (Format.MERMAID, Format.SVG):
            (data / f"{name}{wanted.suffix}").write_bytes(draw(picture, wanted))
