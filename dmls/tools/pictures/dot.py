"""A picture in the language of Graphviz."""

from __future__ import annotations

from collections.abc import Iterable

from dmls.tools.pictures.description import Box, Kind, Link, LinkKind, Picture, Secrets, Standing

__all__ = ["to_dot"]

_FONT = "Helvetica,Arial,sans-serif"
_INK, _FADED, _ADDED, _REMOVED, _KEY, _RESOLVED = "#1f2933", "#7b8794", "#1a7f37", "#b42318", "#b7791f", "#7a5bb8"

_PAINT = {
    Standing.HEAD: ("#cfe3ff", "#1d5fd1", _INK, 3.0),
    Standing.CHAIN: ("#f4f8ff", "#5b7fb8", _INK, 1.4),
    Standing.LOSING: ("#f1f2f4", "#c3cad3", _FADED, 1.0),
}
"""Colours of the inside, the frame and the text of a box, and how thick its frame is."""
_SHAPES = {Kind.GENESIS: " peripheries=2", Kind.EXTERNAL: ' style="rounded,filled,dashed"'}
_MARKS = {
    Secrets.RETAINED: f'<font color="{_KEY}">&#9679; retained</font>',
    Secrets.EXPIRED: "&#9675; deleted",
    Secrets.NEVER: "",
}


def to_dot(picture: Picture) -> str:
    """Return a digraph that any Graphviz draws, one statement a line."""
    title = f"<b>{_escape(picture.title)}</b>"
    if picture.hidden:
        title += f'<br/><font point-size="10">{picture.hidden} older epochs are not shown</font>'
    lines = [
        "digraph epochs {",
        f'  graph [label=<{title}<br/>&#160;> labelloc=t fontsize=16 fontname="{_FONT}" fontcolor="{_INK}" bgcolor=white];',
        "  graph [rankdir=TB nodesep=0.5 ranksep=0.45 pad=0.3];",
        f'  node [shape=box style="rounded,filled" fontname="{_FONT}" fontsize=11 margin="0.16,0.1"];',
        f'  edge [fontname="{_FONT}" fontsize=10 arrowsize=0.7];',
        *map(_box, picture.boxes),
        *map(_link, picture.links),
        f"  legend [shape=plain style=solid label=<{_legend(picture)}>];",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _box(box: Box) -> str:
    badge = "  HEAD" if box.standing is Standing.HEAD else "  side head" if box.is_side_head else ""
    counts = [] if box.members is None else [_count(box.members, "member")]
    counts.append(_count(box.supporters, "supporter"))
    lines = [
        f'<font point-size="13"><b>epoch {box.epoch}{badge}</b></font>',
        f'<font face="Courier,monospace">{box.ref}</font>',
        _escape(box.author),
        " &#183; ".join(counts),
        "" if box.kind is Kind.REGULAR else f"<i>{box.kind}</i>",
        _MARKS[box.secrets],
    ]
    fill, frame, font, width = _PAINT[box.standing]
    look = f'fillcolor="{fill}" color="{frame}" fontcolor="{font}" penwidth={width}{_SHAPES.get(box.kind, "")}'
    return f"  {box.name} [label=<{'<br/>'.join(filter(None, lines))}> {look}];"


def _link(link: Link) -> str:
    ends = f"  {link.start} -> {link.end}"
    if link.kind is LinkKind.RESOLVES:
        return f'{ends} [style=dashed color="{_RESOLVED}" fontcolor="{_RESOLVED}" arrowhead=empty label=" resolves "];'
    if link.kind is LinkKind.REJECTS:
        return f'{ends} [style=dotted color="{_REMOVED}" fontcolor="{_REMOVED}" arrowhead=tee label=" rejects "];'
    changes = [*_changes("adds", link.adds, _ADDED), *_changes("removes", link.removes, _REMOVED)]
    label = f"label=<{'<br/>'.join(changes)}> " if changes else ""
    color, width = (_FADED, 1.0) if link.is_losing else (_INK, 1.4)
    return f'{ends} [{label}color="{color}" penwidth={width}];'


def _changes(verb: str, devices: Iterable[str], color: str) -> list[str]:
    return [f'<font color="{color}">&#160;{verb} {_escape(device)}&#160;</font>' for device in devices]


def _legend(picture: Picture) -> str:
    kinds = {link.kind for link in picture.links}
    rows = [
        _row(f'bgcolor="{fill}" border="1" color="{frame}"', "&#160;", standing)
        for standing, (fill, frame, _, _) in _PAINT.items()
    ]
    rows.append(_row("", f'<font color="{_KEY}">&#9679;</font>', "secrets of the epoch are retained"))
    rows.append(_row("", "&#9675;", "they were held and are deleted"))
    rows.append(_row("", "&#9635;", "double frame: genesis"))
    rows.append(_row("", "&#9476;&#9476;", "broken frame: external commit"))
    if LinkKind.RESOLVES in kinds:
        rows.append(_row("", f'<font color="{_RESOLVED}">&#9476;&#9655;</font>', "losing head, resolved by a commit"))
    if LinkKind.REJECTS in kinds:
        rows.append(_row("", f'<font color="{_REMOVED}">&#9476;&#9508;</font>', "commit that somebody could not process"))
    return f'<table border="0" cellborder="0" cellspacing="3" cellpadding="2">{"".join(rows)}</table>'


def _row(cell: str, sign: str, text: str) -> str:
    return f'<tr><td {cell} width="26">{sign}</td><td align="left"><font color="{_INK}" point-size="10">{text}</font></td></tr>'


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _escape(text: str) -> str:
    """Return a text as it may stand in an HTML-like label: what is neither a letter nor harmless as a character reference.

    Graphviz also replaces sequences that begin with a backslash or a percent sign.
    """
    return "".join(c if c.isalnum() or c in " @.:/!-_" else f"&#{ord(c)};" for c in text)
