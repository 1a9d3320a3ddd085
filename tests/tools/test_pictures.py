"""Pictures of epoch graphs: what they show, how they are written, and that ids cannot break out of them."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmls.errors import LimitError, UnsupportedError
from dmls.forks.graph import VIRTUAL_ROOT, Device, EpochGraph, Node
from dmls.forks.tally import Tally
from dmls.ids import CommitRef, DeviceId, EventId, RoomId, UserId
from dmls.tools.pictures.description import Kind, LinkKind, Picture, Secrets, Standing, describe, legible
from dmls.tools.pictures.dot import to_dot
from dmls.tools.pictures.drawing import MAX_DRAWN, draw
from dmls.tools.pictures.formats import Format
from dmls.tools.pictures.mermaid import to_mermaid
from tests.support.epoch_graphs import Story, ref_of

GOLDEN = Path(__file__).parent / "pictures"
HOSTILE = (
    'a"]; evil [label="x',
    "b>];</td></tr>]]><script>alert(1)</script>",
    "c\\N\\G %1 \\",
    "d\n}\ndigraph {",
    "e`|-->#quot;#35;%%{init}%%",
    "f&#34;&lt;&amp;",
    "g\u202e\u0000\x1b[31m\ud800",
    "- h\n1. i",
)


def forked() -> Story:
    """Two branches: one adds dave, the other removes carol, who comes back by an external commit; a merge resolves that."""
    story = Story("alice@hs1", "bob@hs2", "carol@hs1")
    story.genesis("g", "alice/1@hs1")
    story.commit("a", "g", "alice/1@hs1", adds=["bob/1@hs2", "carol/1@hs1"])
    story.commit("b", "a", "bob/1@hs2", adds=["dave/1@hs2"]).commit("c", "a", "alice/1@hs1", removes=["carol/1@hs1"])
    story.commit("x", "c", "carol/2@hs1", is_external=True, adds=["carol/2@hs1"])
    story.commit("d", "b", "bob/1@hs2", resolves=["x"], removes=["carol/1@hs1"])
    return story.commit("e", "d", "alice/1@hs1", rejects=["x"])


def refs(*names: str) -> set[CommitRef]:
    return {ref_of(name) for name in names}


def picture_of(story: Story, newest: int | None = None) -> Picture:
    members = {ref_of(name): number for number, name in enumerate("gabcxde", 1)}
    head = story.head
    return describe(
        RoomId("!room:hs1"),
        story.tally,
        None if head is None else ref_of(head),
        members,
        refs("d", "e", "x"),
        refs("g", "a"),
        newest=newest,
    )


def hostile_picture(texts: Iterable[str] = HOSTILE) -> Picture:
    """Return a chain in which the ids of users and devices, and of the room, are these."""
    nodes: list[Node] = []
    for number, text in enumerate(texts):
        device = Device(UserId(f"@{text}"), DeviceId(text), b"k")
        parent = nodes[-1].commit_ref if nodes else VIRTUAL_ROOT
        made = Node(
            commit_ref=CommitRef(bytes([number])),
            parent_ref=parent,
            event_id=EventId("$e"),
            sender=device.user_id,
            author=device,
            epoch=number,
            vote_seq=number,
            content_hash=bytes([number]),
            is_genesis=not nodes,
        )
        nodes.append(replace(made, adds=(device,), removes=(replace(device, signature_key=b"other"),)) if nodes else made)
    graph = EpochGraph.build(nodes)
    return describe(RoomId("".join(texts)[:60]), Tally.build(graph), nodes[-1].commit_ref, {}, (), ())


# What is shown


def test_heads_chains_and_losing_forks_are_told_apart() -> None:
    boxes = {box.ref: box for box in picture_of(forked()).boxes}
    found = {name: boxes[ref_of(name)[:4].hex()] for name in "gabcxde"}
    assert [name for name, box in found.items() if box.standing is Standing.HEAD] == ["e"]
    assert [name for name, box in found.items() if box.standing is Standing.CHAIN] == ["g", "a", "b", "d"]
    assert [name for name, box in found.items() if box.is_side_head] == ["x"]
    assert {name: box.kind for name, box in found.items() if box.kind is not Kind.REGULAR} == {
        "g": Kind.GENESIS,
        "x": Kind.EXTERNAL,
    }
    assert [found[name].secrets for name in "gbd"] == [Secrets.EXPIRED, Secrets.NEVER, Secrets.RETAINED]
    assert (found["c"].author, found["c"].members, found["c"].epoch) == ("@alice:hs1/1", 4, 2)
    assert (found["d"].supporters, found["e"].supporters, found["x"].supporters) == (2, 1, 0)


def test_links_say_what_a_commit_changes_resolves_and_rejects() -> None:
    picture = picture_of(forked())
    names = {box.ref: box.name for box in picture.boxes}
    c, x, d, e = (names[ref_of(name)[:4].hex()] for name in "cxde")
    links = {(link.start, link.end, link.kind): link for link in picture.links}
    assert links[c, x, LinkKind.PARENT].adds == ("@carol:hs1/2",)
    assert [link.removes for link in picture.links if link.end == d and link.kind is LinkKind.PARENT] == [("@carol:hs1/1",)]
    assert (x, d, LinkKind.RESOLVES) in links
    assert (x, e, LinkKind.REJECTS) in links
    assert [link.end for link in picture.links if link.is_losing] == [c, x]


def test_the_newest_epochs_are_shown_and_always_the_head() -> None:
    picture = picture_of(forked(), newest=2)
    assert ([box.epoch for box in picture.boxes], picture.hidden) == ([3, 4], 5)
    story = Story("alice@hs1").genesis("g", "alice/1@hs1")
    for number in range(5):
        story.commit(f"l{number}", f"l{number - 1}" if number else "g", "mallory/1@hs9")
    assert [box.standing for box in picture_of(story, newest=1).boxes] == [Standing.HEAD]
    assert "5 older epochs are not shown" in to_dot(picture_of(story, newest=1))
    assert "5 older epochs are not shown" in to_mermaid(picture_of(story, newest=1))


def test_many_devices_on_one_arrow_are_counted() -> None:
    story = Story("alice@hs1").genesis("g", "alice/1@hs1")
    story.commit("a", "g", "alice/1@hs1", adds=[f"bob/{number}@hs2" for number in range(20)])
    (link,) = picture_of(story).links
    assert (len(link.adds), link.adds[-1]) == (7, "14 more devices")


def test_a_room_without_epochs_is_a_picture() -> None:
    empty = picture_of(Story())
    assert empty.boxes == ()
    assert ET.fromstring(draw(empty, Format.SVG)).tag.endswith("svg")


# How it is written


@pytest.mark.parametrize(("wanted", "golden"), [(Format.MERMAID, "forked.mmd"), (Format.DOT, "forked.dot")])
def test_the_text_of_a_forked_graph_is_known(wanted: Format, golden: str) -> None:
    assert draw(picture_of(forked()), wanted).decode() == (GOLDEN / golden).read_text()


def test_an_svg_holds_every_epoch_and_arrow() -> None:
    root = ET.fromstring(draw(picture_of(forked()), Format.SVG))
    kinds = [element.get("class") for element in root.iter()]
    assert (kinds.count("node"), kinds.count("edge")) == (7 + 1, 6 + 2)
    texts = ["".join(element.itertext()).strip() for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"epoch 4 HEAD", "removes @carol:hs1/1", "adds @dave:hs2/1", "resolves", "rejects", "!room:hs1"} <= {
        " ".join(text.split()) for text in texts
    }


def test_a_png_is_one() -> None:
    assert draw(picture_of(forked()), Format.PNG).startswith(b"\x89PNG\r\n\x1a\n")


def test_more_epochs_than_can_be_laid_out_are_refused_and_written_as_text() -> None:
    story = Story("alice@hs1").genesis("g", "alice/1@hs1")
    picture = picture_of(story)
    many = replace(picture, boxes=picture.boxes * (MAX_DRAWN + 1))
    with pytest.raises(LimitError, match="501 epochs"):
        draw(many, Format.SVG)
    assert draw(many, Format.DOT).count(b"penwidth") == MAX_DRAWN + 1


def test_without_pygraphviz_text_is_still_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    picture = picture_of(forked())
    with pytest.raises(UnsupportedError, match="pygraphviz"):
        draw(picture, Format.PNG)
    assert draw(picture, Format.MERMAID).startswith(b"flowchart TD\n")


# Hostile ids


def test_hostile_ids_draw_as_text_and_as_nothing_else() -> None:
    picture = hostile_picture()
    root = ET.fromstring(draw(picture, Format.SVG))
    kinds = [element.get("class") for element in root.iter()]
    assert (kinds.count("node"), kinds.count("edge")) == (len(HOSTILE) + 1, len(HOSTILE) - 1)
    assert {element.tag.rpartition("}")[2] for element in root.iter()} <= {
        *("svg", "g", "title", "text", "polygon", "path", "ellipse", "polyline")
    }
    shown = ["".join(element.itertext()).strip() for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert [box.author for box in picture.boxes if box.author not in shown] == []


def test_hostile_ids_leave_the_lines_of_mermaid_as_they_are() -> None:
    written = to_mermaid(hostile_picture())
    plain = to_mermaid(hostile_picture("abcdefgh"))
    assert len(written.splitlines()) == len(plain.splitlines())

    def skeleton(text: str) -> str:
        return re.sub(r'"[^"\n]*"', '""', text)

    assert skeleton(written) == skeleton(plain)


@given(st.lists(st.text(max_size=60), min_size=1, max_size=4))
def test_no_id_adds_a_line_or_leaves_its_quotes(texts: list[str]) -> None:
    picture, plain = hostile_picture(texts), hostile_picture("a" * len(texts))
    for write in (to_dot, to_mermaid):
        written = write(picture)
        assert len(written.split("\n")) == len(write(plain).split("\n"))
        assert [written.count(sign) for sign in '"<>[]{}|`\\'] == [write(plain).count(sign) for sign in '"<>[]{}|`\\']


@given(st.text())
def test_a_legible_text_is_short_and_printable(text: str) -> None:
    shown = legible(text)
    assert len(shown) <= 40
    assert shown.isprintable()
    assert "\\" not in shown
