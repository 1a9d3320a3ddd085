"""Pictures drawn by Graphviz."""

from __future__ import annotations

from typing import Final

from dmls.errors import InternalError, LimitError, UnsupportedError
from dmls.tools.pictures.description import Picture
from dmls.tools.pictures.dot import to_dot
from dmls.tools.pictures.formats import Format
from dmls.tools.pictures.mermaid import to_mermaid

__all__ = ["MAX_DRAWN", "draw"]

MAX_DRAWN: Final = 500
"""How many epochs are laid out: the time for it grows faster than their number."""


def draw(picture: Picture, wanted: Format) -> bytes:
    """Return a picture in a format; text is UTF-8.

    Raises:
        UnsupportedError: svg or png is wanted, and pygraphviz is not installed.
        LimitError: svg or png of more than `MAX_DRAWN` epochs is wanted.
        InternalError: Graphviz does not draw it.
    """
    if wanted is Format.DOT:
        return to_dot(picture).encode()
    if wanted is Format.MERMAID:
        return to_mermaid(picture).encode()
    if len(picture.boxes) > MAX_DRAWN:
        raise LimitError(f"{len(picture.boxes)} epochs are more than can be laid out, which are {MAX_DRAWN}")
    try:
        import pygraphviz
    except ModuleNotFoundError as error:
        raise UnsupportedError("svg and png need pygraphviz; dot and mermaid do not") from error
    graph = pygraphviz.AGraph(string=to_dot(picture))
    drawn = graph.draw(format=str(wanted), prog="dot", args="-Gdpi=144" if wanted is Format.PNG else "")
    if not isinstance(drawn, bytes) or not drawn:
        raise InternalError("Graphviz does not draw the picture")
    return drawn
