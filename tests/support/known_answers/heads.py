"""Small epoch graphs and their heads: each clause of the rule decides once, against the tie hash wherever one is at hand."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any

from dmls.forks.graph import VIRTUAL_ROOT, Device, EpochGraph, Node, Vote
from dmls.ids import CommitRef, DeviceId, EventId, UserId
from tests.support.epoch_graphs import Story, ref_of
from tests.support.plain_dmls import tie_hash

__all__ = ["make", "read_case"]

ALICE, ALICE2, CAROL = "alice/1@hs1", "alice/2@hs1", "carol/1@hs1"
BOB, DAVE, MALLORY = "bob/1@hs2", "dave/1@hs3", "mallory/1@hs4"
ERIN = "erin/1@hs2"
"""Is in nobody's room."""
ALL = ("alice@hs1", "carol@hs1", "bob@hs2", "dave@hs3", "mallory@hs4")


def _room(p: str, *joined: str) -> Story:
    """Alice's genesis, and her commit `p`, which adds everybody; forks begin there."""
    story = Story(*(joined or ALL)).genesis("g", by=ALICE)
    return story.commit(p, "g", by=ALICE, adds=[ALICE2, CAROL, BOB, DAVE, MALLORY])


def _duel(p: str, *joined: str) -> Story:
    """Two commits of one parent: `a` by alice, `b` by bob."""
    return _room(p, *joined).commit("a", p, by=ALICE).commit("b", p, by=BOB)


def _contested(p: str) -> Story:
    """Two users for each."""
    return _duel(p).vote(MALLORY, "a").vote(DAVE, "b")


def _deep(p: str) -> Story:
    story = _duel(p).vote(DAVE, "a")
    for number in range(5):
        story.commit(f"b{number}", f"b{number - 1}" if number else "b", by=BOB)
    return story


def _twins(p: str) -> Story:
    """Two commits that differ in the confirmation tag only; `t` has the smaller commit_ref."""
    names = (f"t{number}" for number in itertools.count())
    twin = next(name for name in names if ref_of(name) < ref_of("a"))
    return _room(p).commit("a", p, by=ALICE).commit(twin, p, by=ALICE, twin_of="a")


def _continued_twin(p: str) -> Story:
    """Bob commits on `a` and takes his vote back to the fork point."""
    return _twins(p).commit("c", "a", by=BOB).vote(BOB, p)


def _continued_otherwise(p: str, by: str) -> Story:
    """Somebody else commits on the other twin, and nobody votes below the fork point."""
    story = _continued_twin(p)
    (twin,) = story.names(ref for ref in story.graph.children(ref_of(p)) if ref != ref_of("a"))
    return story.commit("d", twin, by=by).vote(by, p).vote(ALICE, p)


def _added_again(p: str, *, logout: bool) -> Story:
    """On branch `a`, alice's other device removes hers, and carol adds it again, where it votes."""
    story = _duel(p).commit("x", "a", by=ALICE2, removes=[ALICE], logout=logout).commit("y", "x", by=CAROL, adds=[ALICE])
    return story.vote(ALICE2, p).vote(ALICE, "y", seq=20).vote(DAVE, "b")


# What decides, the head, and the room; the parameter is the name of the fork point.
_CASES: list[tuple[str, str, Callable[[str], Story]]] = [
    ("more supporters", "a", lambda p: _duel(p).vote(DAVE, "a")),
    ("more supporters, whatever the depth", "a", _deep),
    ("users are counted, not devices", "b", lambda p: _duel(p).vote(ALICE2, "a").vote(DAVE, "b")),
    ("one user may support two branches", "b", lambda p: _duel(p).vote(ALICE2, "b")),
    (
        "regular before external",
        "a",
        lambda p: _room(p).commit("a", p, by=ALICE).vote(ALICE, p).commit("x", p, by="dave/2@hs3", is_external=True),
    ),
    (
        "an external commit is no vote",
        "a",
        lambda p: _duel(p).vote(DAVE, "a").commit("x", "b", by="dave/2@hs3", is_external=True),
    ),
    ("an author whom no sibling removes", "a", lambda p: _room(p).commit("a", p, by=ALICE, removes=[BOB]).commit("b", p, by=BOB)),
    (
        "supporters before removals",
        "b",
        lambda p: _room(p).commit("a", p, by=ALICE, removes=[BOB]).commit("b", p, by=BOB).vote(DAVE, "b"),
    ),
    ("the greatest vote_seq of a device", "a", lambda p: _duel(p).vote(DAVE, "a", seq=7).vote(DAVE, "b", seq=3)),
    (
        "two votes with one vote_seq are dropped, the next lower counts",
        "a",
        lambda p: _duel(p).vote(DAVE, "a", seq=4).vote(DAVE, "a", seq=9).vote(DAVE, "b", seq=9),
    ),
    (
        "a commit and a vote with one vote_seq are dropped",
        "b",
        lambda p: _room(p).commit("a", p, by=ALICE, vote_seq=5).commit("b", p, by=BOB).vote(ALICE, "b", seq=5),
    ),
    ("a vote for an unknown node is no vote", "a", lambda p: _duel(p).vote(DAVE, "a", seq=3).vote(DAVE, "unknown", seq=4)),
    ("votes of users who are not joined", "a", lambda p: _duel(p, *ALL[:3]).vote(DAVE, "b").vote(MALLORY, "b").vote(CAROL, "a")),
    (
        "a vote under a spent join",
        "a",
        lambda p: _duel(p).vote(CAROL, "a").vote(DAVE, "b", is_spent=True).vote(MALLORY, "b", is_spent=True),
    ),
    ("a node whose author has left does not count", "p", lambda p: _room(p, *ALL[:4]).commit("m", p, by=MALLORY)),
    ("unless somebody supports it", "m", lambda p: _room(p, *ALL[:4]).commit("m", p, by=MALLORY).vote(BOB, "m")),
    ("or it came before the leave", "m", lambda p: _room(p, *ALL[:4]).commit("m", p, by=MALLORY, before_departure=True)),
    ("a node under a spent join does not count", "p", lambda p: _room(p).commit("m", p, by=MALLORY, is_spent=True)),
    (
        "a device that another of its user removes has no vote",
        "x",
        lambda p: _contested(p).vote(ALICE2, "b").vote(CAROL, "a").commit("x", "a", by=ALICE, removes=[ALICE2]),
    ),
    (
        "a removal by another user takes no vote, also of the same server",
        "b",
        lambda p: _contested(p).vote(CAROL, "b").commit("x", "a", by=ALICE, removes=[CAROL]),
    ),
    ("a leaf that was added again has a vote again", "y", lambda p: _added_again(p, logout=False).vote(MALLORY, "y")),
    ("unless it is gone for good", "b", lambda p: _added_again(p, logout=True)),
    ("of twins, the vote lies in the one on which another user commits", "c", _continued_twin),
    ("the other does not count by its author", "c", lambda p: _continued_twin(p).vote(ALICE, p)),
    ("nor where its author's other device commits on it", "c", lambda p: _continued_otherwise(p, ALICE2)),
    ("nor where somebody commits on it who is not joined", "c", lambda p: _continued_otherwise(p, ERIN)),
    (
        "a commit and its twin are one vote",
        "c",
        lambda p: _twins(p).commit("c", "a", by=BOB).commit("b", p, by=DAVE),
    ),
    (
        "who replaces a leaf of their own keeps the vote",
        "x",
        lambda p: _duel(p).vote(CAROL, "a").commit("x", "a", by=ALICE, is_external=True, adds=[ALICE], removes=[ALICE]),
    ),
    (
        "a removal by a node that nobody stands for takes no vote",
        "b",
        lambda p: _duel(p).vote(DAVE, "b").commit("x", "a", by=ERIN, removes=[BOB]),
    ),
    (
        "a genesis by the room's creator, whoever supports the other",
        "g2",
        lambda p: (
            Story(*ALL).genesis("g1", by=BOB, adds=[BOB, CAROL]).vote(CAROL, "g1").genesis("g2", by=ALICE, by_create_sender=True)
        ),
    ),
]


_LEVEL_CASES: list[tuple[str, str, Callable[[str], Story]]] = [
    ("without anything else, the smaller tie hash", max("a", "b", key=ref_of), _duel),
    (
        "replacing a leaf of one's own is no removal by a sibling",
        "x",
        lambda p: (
            _room(p)
            .commit("x", p, by=DAVE, is_external=True, adds=[DAVE], removes=[DAVE])
            .commit("y", p, by=MALLORY, is_external=True)
        ),
    ),
]
"""Here the tie hash decides."""


def make() -> dict[str, Any]:
    cases = [_make_case(title, head, build) for title, head, build in _CASES]
    cases += [_make_case(title, head, build, by_tie=True) for title, head, build in _LEVEL_CASES]
    twins = _twins("p")
    (twin,) = twins.names(ref for ref in twins.graph.children(ref_of("p")) if ref != ref_of("a"))
    cases.append(_write("without anything else, the smaller commit_ref: twins", twins, twin))
    both = _room("p").commit("x1", "p", by="dave/2@hs3", is_external=True).commit("x2", "p", by="dave/2@hs3", is_external=True)
    cases.append(_write("without anything else, the smaller commit_ref: external commits", both, min("x1", "x2", key=ref_of)))
    return {"cases": cases, "tie": _tie()}


def _make_case(title: str, head: str, build: Callable[[str], Story], *, by_tie: bool = False) -> dict[str, Any]:
    """Choose the fork point's name so that the tie hash would take another child than the clause does, or the same one."""
    for number in range(50):
        p = f"p{number}"
        story = build(p)
        wanted = p if head == "p" else head
        rivals = _rivals(story.graph, ref_of(wanted))
        if len(rivals) < 2 or (_by_tie(rivals)[0].commit_ref in story.graph.chain(ref_of(wanted))) == by_tie:
            return _write(title, story, wanted)
    raise AssertionError(f"no fork point lets the tie hash disagree: {title}")


def _rivals(graph: EpochGraph, head: CommitRef) -> list[Node]:
    """Return the children of the fork that the head's chain leaves last."""
    for ref in (*graph.path_up(head), VIRTUAL_ROOT):
        above = VIRTUAL_ROOT if ref == VIRTUAL_ROOT else graph.parent(ref)
        siblings = graph.children(above)
        if len(siblings) > 1 and len({graph.node(item).author for item in siblings}) > 1:
            return [graph.node(item) for item in siblings]
    return []


def _by_tie(nodes: Iterable[Node]) -> list[Node]:
    return sorted(nodes, key=lambda node: tie_hash(node.parent_ref, node.author.user_id, node.author.signature_key))


def _tie() -> dict[str, Any]:
    """Six regular commits of one parent, each supported by its author: the order in which the rule prefers them."""
    users = ["alice@hs1", "bob@hs2", "carol@hs1", "dave@hs3", "mallory@hs4", "erin@hs5"]
    story = Story(*users).genesis("g", by=ALICE)
    names = {}
    for user in users:
        name, _, server = user.partition("@")
        names[name] = story.commit(name, "g", by=f"{name}/1@{server}")
    order: list[CommitRef] = []
    while len(order) < len(users):
        head = story.tally.head(without=order)
        assert head is not None
        order.append(head)
    return {"room": _write("", story, story.names(order)[0]), "order": story.names(order)}


def _write(title: str, story: Story, head: str) -> dict[str, Any]:
    nodes = [story.graph.node(ref) for ref in story.graph]
    names = dict(zip(story.graph, story.names(story.graph), strict=True))
    return {
        "title": title,
        "joined": sorted(story.joined),
        "nodes": [_write_node(names[node.commit_ref], node) for node in nodes],
        "votes": [
            {"device": _write_device(vote.device), "commit_ref": vote.commit_ref.hex(), "vote_seq": vote.vote_seq}
            | ({"is_spent": True} if vote.is_spent else {})
            for vote in story.votes
        ],
        "supporters": {names[node.commit_ref]: len(story.tally.supporters(node.commit_ref)) for node in nodes},
        "head": head,
    }


def _write_device(device: Device) -> list[str]:
    return [device.user_id, device.device_id, device.signature_key.hex()]


_FLAGS = ("is_genesis", "is_external", "by_create_sender", "logout", "before_departure", "is_spent")


def _write_node(name: str, node: Node) -> dict[str, Any]:
    written: dict[str, Any] = {
        "name": name,
        "commit_ref": node.commit_ref.hex(),
        "parent_ref": node.parent_ref.hex(),
        "author": _write_device(node.author),
        "vote_seq": node.vote_seq,
        "content_hash": node.content_hash.hex(),
    }
    for field in ("adds", "removes"):
        if devices := getattr(node, field):
            written[field] = [_write_device(device) for device in devices]
    return written | {flag: True for flag in _FLAGS if getattr(node, flag)}


def _read_device(device: list[str]) -> Device:
    return Device(UserId(device[0]), DeviceId(device[1]), bytes.fromhex(device[2]))


def read_case(case: dict[str, Any]) -> tuple[list[Node], list[Vote], set[UserId]]:
    """Read a case from its file: nodes, votes and joined users. Flags that are not written are false."""
    nodes = []
    for item in case["nodes"]:
        author = _read_device(item["author"])
        nodes.append(
            Node(
                commit_ref=CommitRef(bytes.fromhex(item["commit_ref"])),
                parent_ref=CommitRef(bytes.fromhex(item["parent_ref"])),
                event_id=EventId(f"${item['name']}"),
                sender=author.user_id,
                author=author,
                epoch=0,
                vote_seq=item["vote_seq"],
                content_hash=bytes.fromhex(item["content_hash"]),
                adds=tuple(map(_read_device, item.get("adds", ()))),
                removes=tuple(map(_read_device, item.get("removes", ()))),
                **{flag: item.get(flag, False) for flag in _FLAGS},
            )
        )
    votes = [
        Vote(
            _read_device(vote["device"]),
            CommitRef(bytes.fromhex(vote["commit_ref"])),
            vote["vote_seq"],
            vote.get("is_spent", False),
        )
        for vote in case["votes"]
    ]
    return nodes, votes, {UserId(user) for user in case["joined"]}
