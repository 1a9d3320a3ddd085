"""What a picture of an epoch graph shows, independent of how it is drawn.

All texts are short and printable: whoever sends an event chooses the ids in it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from dmls.engine.agent import devices_of
from dmls.forks.graph import VIRTUAL_ROOT, Device, EpochGraph, Node
from dmls.forks.tally import Tally
from dmls.ids import CommitRef, RoomId
from dmls.rooms.public import PublicRoom

__all__ = ["Box", "Kind", "Link", "LinkKind", "Picture", "Secrets", "Standing", "describe", "describe_room", "legible"]

_MAX_TEXT = 40
_MAX_DEVICES = 6
_REF_BYTES = 4


class Kind(StrEnum):
    """How an epoch began."""

    GENESIS = "genesis"
    REGULAR = "regular commit"
    EXTERNAL = "external commit"


class Standing(StrEnum):
    """Where an epoch is, seen from the head."""

    HEAD = "head"
    CHAIN = "on the head's chain"
    LOSING = "losing fork"


class Secrets(StrEnum):
    """What the store has of an epoch's secrets."""

    RETAINED = "secrets retained"
    EXPIRED = "secrets deleted"
    NEVER = "secrets never held"


class LinkKind(StrEnum):
    """Why an arrow leads from one epoch to another."""

    PARENT = "is the parent of"
    RESOLVES = "is resolved by"
    REJECTS = "is rejected by"


@dataclass(frozen=True, slots=True)
class Box:
    """One epoch.

    Attributes:
        name: unique in the picture, letters and digits.
        epoch: its number.
        ref: the first bytes of the commit_ref, in hexadecimal.
        author: the device that made it.
        members: devices in it; None where that is not known.
        supporters: joined users who support it.
        is_side_head: a head of its own, off the chain of the one head.
    """

    name: str
    epoch: int
    ref: str
    author: str
    members: int | None
    supporters: int
    kind: Kind
    standing: Standing
    secrets: Secrets
    is_side_head: bool


@dataclass(frozen=True, slots=True)
class Link:
    """An arrow from one box to another, by their names, with the devices that the commit at its end adds and removes."""

    start: str
    end: str
    kind: LinkKind
    adds: tuple[str, ...] = ()
    removes: tuple[str, ...] = ()
    is_losing: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """An epoch graph: each box after its parent, children in the order of their commit_refs. `hidden`: epochs left out."""

    title: str
    boxes: tuple[Box, ...]
    links: tuple[Link, ...]
    hidden: int = 0


def describe_room(room: PublicRoom, newest: int | None = None) -> Picture:
    """Describe the epoch graph of a room; `newest`: only so many epochs, those with the greatest numbers, and the head."""
    state = room.state
    members = {ref: len(devices_of(entry.group.tree)) for ref, entry in state.entries.items()}
    return describe(state.room_id, state.tally, state.head, members, room.held, state.expired, newest=newest)


def describe(
    room_id: RoomId,
    tally: Tally,
    head: CommitRef | None,
    members: Mapping[CommitRef, int],
    held: Collection[CommitRef],
    expired: Collection[CommitRef],
    *,
    newest: int | None = None,
) -> Picture:
    """Describe an epoch graph.

    Args:
        room_id: the title.
        tally: the graph and the votes in it.
        head: the head, if there is one.
        members: how many devices an epoch has.
        held: epochs whose secrets are held.
        expired: epochs whose secrets were held and are deleted.
        newest: see `describe_room`.
    """
    graph = tally.graph
    shown = _order(graph, _select(graph, head, newest))
    names = {ref: f"n{number}" for number, ref in enumerate(shown)}
    chain = frozenset(graph.chain(head)) if head is not None else frozenset()
    boxes: list[Box] = []
    links: list[Link] = []
    for ref in shown:
        node = graph.node(ref)
        standing = Standing.HEAD if ref == head else Standing.CHAIN if ref in chain else Standing.LOSING
        secrets = Secrets.RETAINED if ref in held else Secrets.EXPIRED if ref in expired else Secrets.NEVER
        boxes.append(
            Box(
                names[ref],
                node.epoch,
                ref[:_REF_BYTES].hex(),
                _device_text(node.author),
                members.get(ref),
                tally.support(ref),
                _kind(node),
                standing,
                secrets,
                standing is Standing.LOSING and not graph.children(ref),
            )
        )
        links += _links(graph.parent(ref), node, names, is_losing=standing is Standing.LOSING)
    return Picture(legible(room_id), tuple(boxes), tuple(links), len(graph) - len(shown))


def _select(graph: EpochGraph, head: CommitRef | None, newest: int | None) -> frozenset[CommitRef]:
    if newest is None or newest >= len(graph):
        return frozenset(graph)
    by_number = sorted(graph, key=lambda ref: (ref == head, graph.node(ref).epoch, ref), reverse=True)
    return frozenset(by_number[:newest])


def _order(graph: EpochGraph, shown: frozenset[CommitRef]) -> list[CommitRef]:
    """Return the nodes of a picture, each after its parent, the smaller of two siblings first."""
    found: list[CommitRef] = []
    below = list(reversed(graph.children(VIRTUAL_ROOT)))
    while below:
        ref = below.pop()
        if ref in shown:
            found.append(ref)
        below += reversed(graph.children(ref))
    return found


def _kind(node: Node) -> Kind:
    return Kind.GENESIS if node.is_genesis else Kind.EXTERNAL if node.is_external else Kind.REGULAR


def _links(parent: CommitRef, node: Node, names: Mapping[CommitRef, str], *, is_losing: bool) -> Iterable[Link]:
    end = names[node.commit_ref]
    if parent in names:
        adds, removes = _devices_text(node.adds), _devices_text(node.removes_others)
        yield Link(names[parent], end, LinkKind.PARENT, adds, removes, is_losing)
    for kind, refs in ((LinkKind.RESOLVES, node.resolves), (LinkKind.REJECTS, node.rejects)):
        for ref in dict.fromkeys(refs):
            if ref in names:
                yield Link(names[ref], end, kind)


def legible(text: str) -> str:
    """Return a text of at most 40 characters in which something like `[U+202E]` stands for what is not printable."""
    shown = "".join(c if c.isprintable() and c != "\\" else f"[U+{ord(c):04X}]" for c in text)
    return shown if len(shown) <= _MAX_TEXT else f"{shown[: _MAX_TEXT - 12]}..{shown[-10:]}"


def _device_text(device: Device) -> str:
    return f"{legible(device.user_id)}/{legible(device.device_id)}"


def _devices_text(devices: Iterable[Device]) -> tuple[str, ...]:
    texts = [_device_text(device) for device in sorted(devices)]
    more = len(texts) - _MAX_DEVICES
    return tuple(texts) if more <= 1 else (*texts[:_MAX_DEVICES], f"{more} more devices")
