"""A picture as a flowchart in the language of Mermaid."""

from __future__ import annotations

from dmls.tools.pictures.description import Box, Kind, Link, LinkKind, Picture, Secrets, Standing

__all__ = ["to_mermaid"]

_CLASSES = {Standing.HEAD: "head", Standing.CHAIN: "chain", Standing.LOSING: "losing"}
_STYLES = (
    "  classDef head fill:#cfe3ff,stroke:#1d5fd1,stroke-width:4px,color:#1f2933",
    "  classDef chain fill:#f4f8ff,stroke:#5b7fb8,color:#1f2933",
    "  classDef losing fill:#f1f2f4,stroke:#c3cad3,color:#9aa5b1",
    "  classDef external stroke-dasharray:5 3",
)
_MARKS = {Secrets.RETAINED: "● retained", Secrets.EXPIRED: "○ deleted", Secrets.NEVER: ""}


def to_mermaid(picture: Picture) -> str:
    """Return a flowchart, one statement a line."""
    hidden = f"; {picture.hidden} older epochs are not shown" if picture.hidden else ""
    losing = [number for number, link in enumerate(picture.links) if link.is_losing]
    lines = [
        "flowchart TD",
        f'  subgraph room["{_escape(picture.title)}{hidden}"]',
        *map(_box, picture.boxes),
        *map(_link, picture.links),
        "  end",
        '  subgraph legend["legend"]',
        '    l0["head"]:::head',
        '    l1["on the head#39;s chain"]:::chain',
        '    l2["losing fork"]:::losing',
        '    l3["external commit"]:::external',
        '    l4["● secrets retained, ○ deleted"]',
        "  end",
        *_STYLES,
        *([f"  linkStyle {','.join(map(str, losing))} stroke:#9aa5b1,color:#9aa5b1"] if losing else []),
    ]
    return "\n".join(lines) + "\n"


def _box(box: Box) -> str:
    members = "" if box.members is None else f"members: {box.members}, "
    badge = " HEAD" if box.standing is Standing.HEAD else ", side head" if box.is_side_head else ""
    lines = [
        f"epoch {box.epoch}{badge}",
        box.ref,
        _escape(box.author),
        f"{members}supporters: {box.supporters}",
        "" if box.kind is Kind.REGULAR else str(box.kind),
        _MARKS[box.secrets],
    ]
    label = "<br/>".join(filter(None, lines))
    shape = f'{{{{"{label}"}}}}' if box.kind is Kind.GENESIS else f'("{label}")'
    dashed = f"\n    class {box.name} external" if box.kind is Kind.EXTERNAL else ""
    return f"    {box.name}{shape}:::{_CLASSES[box.standing]}{dashed}"


def _link(link: Link) -> str:
    if link.kind is not LinkKind.PARENT:
        return f'    {link.start} -. "{"resolves" if link.kind is LinkKind.RESOLVES else "rejects"}" .-> {link.end}'
    changes = [f"adds {_escape(device)}" for device in link.adds] + [f"removes {_escape(device)}" for device in link.removes]
    label = f'|"{"<br/>".join(changes)}"|' if changes else ""
    return f"    {link.start} -->{label} {link.end}"


def _escape(text: str) -> str:
    """Return a text as it may stand between quotes: what is neither a letter nor harmless by its number."""
    return "".join(c if c.isalnum() or c in " @.:/!-_" else f"#{ord(c)};" for c in text)
