from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dmls.errors import InvalidArgumentError
from dmls.ids import EventId, UserId
from dmls.matrix.events import MemberEvent, Membership
from dmls.matrix.identifiers import server_of
from dmls.tools.demo.log import DeOutlierLine, DeviceAction, EventLine, LogFolder, PartitionLine, StateChange
from dmls.tools.demo.log_reader import read_log_folder
from tests.support.room_logs import FIGURE_1, ROOM_LOGS

ALL = pytest.mark.parametrize("folder", ROOM_LOGS, ids=lambda folder: folder.name)
BOTH = pytest.mark.parametrize("folder", FIGURE_1, ids=lambda folder: folder.name)

CREATE = EventId("$MP4WLrCzYzmQT7DFdzGAUlq1F8iw6979yEkUfiXYNP0")
DAN_INVITED_AGAIN = EventId("$o40s7uk65uKVwBoLv5VSMZ_6qJGrt0mo-j_PCBnA3Og")
DAN_BACK = EventId("$5Qn9d5MFyDeAYdvFz5C6-G48HqjXekBXURNcNypmrEI")
BOB_BANNED = EventId("$hplooizceRtZkg2B2uRmzCuLMzdupRpR-vSukM0trvM")


@BOTH
def test_figure_1_is_one_room_of_two_servers(folder: Path) -> None:
    log = read_log_folder(folder)
    assert log.scenario == "S1-figure1"
    [room] = log.rooms
    assert room.room_version == folder.name.removeprefix("S1-figure1-v")
    assert {name: server.server_name for name, server in room.servers.items()} == {
        "hs1": "127.0.0.1:18441",
        "hs2": "127.0.0.1:18442",
    }
    assert [len(server.lines) for server in room.servers.values()] == [35, 36]
    assert len(room.events) == 35
    assert len(room.member_events) == 14
    assert sum(line.event.type == "m.room.message" for line in room.events.values()) == 15
    assert len(log.notes) == 26


@BOTH
def test_state_that_was_fetched_is_not_timeline(folder: Path) -> None:
    [room] = read_log_folder(folder).rooms
    fetched = [line for line in room.servers["hs2"].events.values() if not line.is_timeline]
    assert len(fetched) == 14
    assert all(line.outlier or line.was_outlier for line in fetched)
    assert all(line.is_timeline for line in room.servers["hs1"].events.values())


def test_event_that_got_its_place_later_stands_at_its_marker() -> None:
    log = read_log_folder(FIGURE_1[0])
    steps = [step for step in log.steps() if step.server == "hs2"]
    [marker] = [number for number, step in enumerate(steps) if isinstance(step.what, DeOutlierLine)]
    before, after = steps[marker - 1].what, steps[marker + 1].what
    assert isinstance(before, EventLine)
    assert isinstance(after, EventLine)
    assert (before.event_id, before.is_timeline, before.out_of_band_membership) == (DAN_INVITED_AGAIN, False, True)
    assert after.event_id == DAN_BACK
    assert steps[marker].ts == before.received_ts


def test_fields_of_a_member_event() -> None:
    [room] = read_log_folder(FIGURE_1[0]).rooms
    alice, bob = UserId("@alice:127.0.0.1:18441"), UserId("@bob:127.0.0.1:18441")
    line = room.events[BOB_BANNED]
    assert room.member_events[BOB_BANNED] == MemberEvent(BOB_BANNED, bob, alice, Membership.BAN, line.event.auth_events)
    assert CREATE in line.event.auth_events
    assert room.events[CREATE].member_event is None


def test_room_event_keeps_its_id_with_other_content() -> None:
    [room] = read_log_folder(FIGURE_1[0]).rooms
    line = next(line for line in room.events.values() if line.event.type == "m.room.message")
    event = line.room_event({"algorithm": "org.dmls.v1"}, before_departure=True)
    assert (event.event_id, event.sender, event.content) == (line.event_id, line.event.sender, {"algorithm": "org.dmls.v1"})
    assert (event.origin_server_ts_ms, event.before_departure, event.soft_failed) == (line.event.origin_server_ts, True, False)
    assert line.room_event().content == line.event.content


def test_stored_tells_when_each_server_had_an_event() -> None:
    [room] = read_log_folder(FIGURE_1[0]).rooms
    assert room.stored(BOB_BANNED) == {"hs1": 1795378242327, "hs2": 1795378242448}
    assert room.stored(CREATE) == {"hs1": 1795378223860, "hs2": 1795378224752}
    assert room.stored(EventId("$unknown")) == {}


def test_arrival_is_the_next_recorded_one() -> None:
    [room] = read_log_folder(FIGURE_1[0]).rooms
    banned = room.stored(BOB_BANNED)
    assert room.arrival("hs1", "hs2", banned["hs1"]) == banned["hs2"]
    assert room.arrival("hs1", "hs2", banned["hs1"] + 1) == 1795378244403
    assert room.arrival("hs2", "hs1", 1795378244348) == 1795378244567
    assert room.arrival("hs2", "hs1", 1795378250000) is None


def test_causal_past_follows_the_graph() -> None:
    [room] = read_log_folder(FIGURE_1[0]).rooms
    past = room.causal_past(BOB_BANNED)
    assert CREATE in past
    assert DAN_BACK in past
    assert BOB_BANNED not in past
    assert all(room.events[event_id].event.depth < room.events[BOB_BANNED].event.depth for event_id in past)
    assert room.causal_past(CREATE) == frozenset()


@ALL
def test_steps_are_in_time_order_and_keep_each_servers_order(folder: Path) -> None:
    log = read_log_folder(folder)
    steps = log.steps()
    assert [step.ts for step in steps] == sorted(step.ts for step in steps)
    assert len(steps) == len(log.devices) + sum(len(server.lines) for room in log.rooms for server in room.servers.values())
    for room in log.rooms:
        for name, server in room.servers.items():
            own = {id(line) for line in server.lines}
            played = [step.what for step in steps if id(step.what) in own]
            assert len(played) == len(server.lines)
            forward = [line for line in server.lines if isinstance(line, PartitionLine) or line.stream > 0]
            assert [line for line in played if isinstance(line, (PartitionLine,)) or not is_fetched(line)] == forward
            assert all(step.server == name for step in steps if id(step.what) in own)


def is_fetched(what: object) -> bool:
    return not isinstance(what, (PartitionLine, DeviceAction)) and getattr(what, "stream", 1) < 0


@ALL
def test_only_member_events_reach_the_other_server_first(folder: Path) -> None:
    for room in read_log_folder(folder).rooms:
        names = {server.server_name: name for name, server in room.servers.items()}
        for event_id, line in room.events.items():
            stored = room.stored(event_id)
            if line.member_event is None:
                assert min(stored, key=stored.__getitem__) == names[server_of(line.event.sender)]


@ALL
def test_state_changes_end_in_the_final_members(folder: Path) -> None:
    for room in read_log_folder(folder).rooms:
        for server in room.servers.values():
            members: dict[UserId, StateChange] = {}
            for line in server.lines:
                for change in () if isinstance(line, PartitionLine) else line.state_change:
                    if change.event_id is None:
                        del members[change.user_id]
                    else:
                        members[change.user_id] = change
            assert members == server.final_members


@ALL
def test_every_reference_is_to_an_event_of_the_log(folder: Path) -> None:
    for room in read_log_folder(folder).rooms:
        for server in room.servers.values():
            assert set(server.events) == set(room.events)
        for line in room.events.values():
            assert {*line.event.prev_events, *line.event.auth_events} <= set(room.events)
            assert (line.member_event is None) == (line.event_id not in room.member_events)


@ALL
def test_logins_and_logouts_end_in_the_final_devices(folder: Path) -> None:
    log = read_log_folder(folder)
    devices: dict[UserId, set[str]] = {}
    for action in log.devices:
        if action.action == "login":
            devices.setdefault(action.user_id, set()).add(action.device_id)
        else:
            devices[action.user_id].remove(action.device_id)
    assert devices == log.final_devices
    assert [action.seq for action in log.devices] == list(range(1, len(log.devices) + 1))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FIGURE_1[0], tmp_path / "log"))


def change_line(folder: Path, number: int, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "hs1.jsonl"
    lines = path.read_text().splitlines()
    content = json.loads(lines[number])
    change(content)
    lines[number] = json.dumps(content)
    path.write_text("\n".join(lines) + "\n")


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"members-final\.json"):
        read_log_folder(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["hs1.jsonl", "hs2.jsonl", "devices.json", "timeline.json", "members-final.json"])
def test_missing_file_is_refused_by_name(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(InvalidArgumentError, match=name):
        read_log_folder(copy)


@pytest.mark.parametrize("name", ["hs1.jsonl", "devices.json", "timeline.json", "members-final.json"])
@pytest.mark.parametrize("data", [b"{", b"[]", b"{}", b"\xff", b'"a"', b'{"log":{},"rooms":[],"notes":1,"scenario":1}'])
def test_file_in_another_format_is_refused_by_name(copy: Path, name: str, data: bytes) -> None:
    (copy / name).write_bytes(data)
    with pytest.raises(InvalidArgumentError, match=name):
        read_log_folder(copy)


CHANGES: list[Callable[[dict[str, Any]], object]] = [
    lambda line: line.pop("stream"),
    lambda line: line.update(stream=0),
    lambda line: line.update(stream=True),
    lambda line: line.update(stream="3"),
    lambda line: line.update(event_id="3"),
    lambda line: line.update(room_id="!other:127.0.0.1:18441"),
    lambda line: line.update(outlier=None),
    lambda line: line.update(received_ts=-1),
    lambda line: line.update(marker="something"),
    lambda line: line.update(marker=["de_outlier"]),
    lambda line: line.update(state_change=[{"membership": "join"}]),
    lambda line: line.update(state_change={}),
    lambda line: line["state_change"][0].update(membership="joined"),
    lambda line: line.pop("event"),
    lambda line: line["event"].update(sender="alice"),
    lambda line: line["event"].update(auth_events="none"),
    lambda line: line["event"].update(auth_events=[f"${number}" for number in range(11)]),
    lambda line: line["event"]["content"].pop("membership"),
    lambda line: line["event"].update(state_key="alice"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_malformed_line_is_refused_by_number(copy: Path, change: Callable[[dict[str, Any]], object]) -> None:
    change_line(copy, 1, change)
    with pytest.raises(InvalidArgumentError, match=r"hs1\.jsonl:2: "):
        read_log_folder(copy)


def test_lines_out_of_stream_order_are_refused(copy: Path) -> None:
    change_line(copy, 1, lambda line: line.update(stream=7))
    with pytest.raises(InvalidArgumentError, match="stream order"):
        read_log_folder(copy)


def test_event_stored_twice_is_refused(copy: Path) -> None:
    change_line(copy, 0, lambda line: line.update(event_id="$fLR0ogP3rr91myaObqvx0JJ_FjVfX_GqENbKEjMMhj8"))
    with pytest.raises(InvalidArgumentError, match="stored before"):
        read_log_folder(copy)


def test_marker_of_an_unknown_event_is_refused(copy: Path) -> None:
    path = copy / "hs2.jsonl"
    path.write_text(path.read_text().replace('"marker":"de_outlier","event_id":"$o', '"marker":"de_outlier","event_id":"$x'))
    with pytest.raises(InvalidArgumentError, match="de_outlier"):
        read_log_folder(copy)


def test_file_outside_of_the_folder_is_refused(copy: Path) -> None:
    path = copy / "members-final.json"
    path.write_text(path.read_text().replace('"hs1.jsonl"', '"../log/hs1.jsonl"'))
    with pytest.raises(InvalidArgumentError, match=r"members-final\.json"):
        read_log_folder(copy)


@pytest.mark.parametrize("files", ['"hs1.jsonl",\n    "hs2.jsonl"', '"hs3.jsonl"', ""])
def test_room_needs_one_file_per_server(copy: Path, files: str) -> None:
    path = copy / "members-final.json"
    old = '"hs1.jsonl",\n    "hs2.jsonl"'
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, files if files != old else '"hs1.jsonl", "hs1-new.jsonl"'))
    with pytest.raises(InvalidArgumentError, match=r"members-final\.json"):
        read_log_folder(copy)


def test_devices_of_an_unknown_server_are_refused(copy: Path) -> None:
    path = copy / "devices.json"
    path.write_text(path.read_text().replace('"user_id": "@erin:127.0.0.1:18442"', '"user_id": "@erin:example.org"'))
    with pytest.raises(InvalidArgumentError, match=r"devices\.json"):
        read_log_folder(copy)


def test_reading_twice_gives_equal_logs(copy: Path) -> None:
    first: LogFolder = read_log_folder(copy)
    assert first == read_log_folder(FIGURE_1[0])
