"""The recorded link: nothing arrives before the recording shows that it could, and nothing crosses a cut."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from dmls.tools.demo.link import Agenda, Link, first_join
from dmls.tools.demo.log import LogFolder, PartitionLine, RoomLog, ServerLog
from dmls.tools.demo.log_reader import read_log_folder
from tests.support.room_logs import FIGURE_1

CUT = ("hs1->hs2", "hs2->hs1")


def _run(agenda: Agenda, until: int, *, early_only: bool = False) -> Iterable[int]:
    while (due := agenda.next_due(until, early_only=early_only)) is not None:
        due()
        yield agenda.now


def test_what_is_due_happens_in_order_and_lets_time_pass() -> None:
    agenda, done = Agenda(), list[str]()
    agenda.at(20, lambda: done.append("later"))
    agenda.at(10, lambda: done.append("first"))
    agenda.at(10, lambda: done.append("second"))
    agenda.at(30, lambda: done.append("too late"))
    assert (list(_run(agenda, 20)), done) == ([10, 10, 20], ["first", "second", "later"])
    assert (agenda.now, agenda.end()) == (20, 30)


def test_what_is_early_comes_before_the_recordings_own_event_and_the_rest_after_it() -> None:
    agenda, done = Agenda(), list[str]()
    agenda.at(10, lambda: done.append("after"))
    agenda.at(10, lambda: done.append("before"), is_early=True)
    agenda.at(9, lambda: done.append("long before"))
    list(_run(agenda, 10, early_only=True))
    assert done == ["long before", "before"]
    list(_run(agenda, 10))
    assert done[-1] == "after"


def test_the_past_happens_now() -> None:
    agenda = Agenda()
    agenda.now = 50
    agenda.at(10, lambda: None)
    assert list(_run(agenda, 50)) == [50]


@pytest.fixture(params=FIGURE_1, ids=lambda folder: folder.name)
def figure_1(request: pytest.FixtureRequest) -> LogFolder:
    folder: Path = request.param
    return read_log_folder(folder)


def test_what_is_sent_arrives_with_the_next_event_that_the_link_carried(figure_1: LogFolder) -> None:
    room, link = figure_1.rooms[0], Link(figure_1)
    hs1, hs2 = room.servers["hs1"], room.servers["hs2"]
    timeline = {event_id: line.received_ts for event_id, line in hs2.events.items() if line.is_timeline}
    sent = [line for line in hs1.events.values() if line.event_id in timeline and line.event.sender.endswith(hs1.server_name)]
    assert sent
    for line in sent:
        arrived = link.arrival(room, "hs1", "hs2", line.received_ts)
        assert line.received_ts < arrived <= timeline[line.event_id]
        assert arrived in timeline.values()
    after = max(line.received_ts for line in hs1.events.values()) + 1
    assert link.arrival(room, "hs1", "hs2", after) == after


def test_before_its_join_a_homeserver_gets_nothing(figure_1: LogFolder) -> None:
    room, link = figure_1.rooms[0], Link(figure_1)
    joined = first_join(room, "hs2")
    assert first_join(room, "hs1") < joined
    assert link.arrival(room, "hs1", "hs2", first_join(room, "hs1")) == joined


def test_nothing_crosses_a_cut_link() -> None:
    lines = (PartitionLine("partition_start", 1, CUT, 0, 100), PartitionLine("partition_heal", 1, CUT, 0, 900))
    servers = {name: ServerLog(name, f"{name}.example", lines, {}) for name in ("hs1", "hs2")}  # type: ignore[arg-type]
    room = RoomLog("!room:hs1", "10", servers)  # type: ignore[arg-type]
    link = Link(LogFolder("cut", (room,), (), {}, ()))
    assert (link.is_whole, link.opens("hs1", "hs2", 150)) == (True, 150)
    link.take(lines[0])
    assert not link.is_whole
    assert not link.is_open("hs1", "hs2")
    assert link.arrival(room, "hs1", "hs2", 150) == 900
    link.take(lines[1])
    assert link.is_open("hs2", "hs1")
    assert link.arrival(room, "hs1", "hs2", 950) == 950
