"""The demonstration on real processes: what it shows, and that it notices when something is not as it must be."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

import dmls
from dmls.cli import app as program
from dmls.errors import InvalidArgumentError
from dmls.ids import CommitRef, DeviceId, EventId, RoomId, UserId
from dmls.matrix.events import RoomEvent
from dmls.tools.demo.client_device import ClientProcess, Trial
from dmls.tools.demo.differences import DifferenceError
from dmls.tools.demo.epochs import Epoch, EpochLog
from dmls.tools.demo.federation import Federation
from dmls.tools.demo.homeserver import Homeserver, Name
from dmls.tools.demo.log import Step
from dmls.tools.demo.log_reader import read_log_folder
from dmls.tools.demo.messages import Mailbox, Message
from dmls.tools.demo.recordings import Scenario, find_recording
from dmls.tools.demo.replay import Replay
from dmls.tools.demo.run import Options, run_demo
from dmls.v1 import common_pb2, device_pb2
from tests.support.room_logs import FIGURE_1, ROOM_LOGS
from tests.tools.recordings import cut_after, edit

# A partition under kills can take minutes of pauses between rejoins.
_KILLED = [FIGURE_1[1], *([find_recording(Scenario.PARTITION)] if os.environ.get("DMLS_SOAK") else [])]


def _run(options: Options) -> str:
    shown = io.StringIO()
    try:
        run_demo(options, Console(file=shown, width=200, highlight=False))
    finally:
        print(shown.getvalue())
    return shown.getvalue()


def _row(shown: str, first: str) -> list[str]:
    """Return the figures of the first line of a table that begins so."""
    found = re.search(rf"^{re.escape(first)}  +(\S.*)$", shown, re.MULTILINE)
    assert found, first
    return found[1].split()


# Runs as they should be


def test_figure_1_comes_out_as_it_must(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    shown = _run(Options(FIGURE_1[0]))
    assert list(tmp_path.iterdir()) == []
    assert "everything is as it must be" in shown
    assert _row(shown, "messages") == ["15"]
    assert _row(shown, "alice/KRMQ") == ["with", "hs1", "15", "15", "0"]
    assert _row(shown, "carol/LSBO") == ["its", "own", "10", "10", "5"]
    assert _row(shown, "dan/RHNX") == ["its", "own", "14", "14", "1"]
    assert _row(shown, "bob/TCPE") == ["with", "hs1", "11", "11", "4"]
    assert _row(shown, "erin/WCOG") == ["with", "hs2", "15", "15", "0"]
    assert _row(shown, "the service of hs1") == _row(shown, "the service of hs2")
    assert int(_row(shown, "whole stores tried on a message in vain")[0]) >= 8
    assert int(_row(shown, "the same by a member, with success")[0]) > 0
    for told in ("carol leaves", "alice removes dan", "alice invites dan", "alice bans bob", "joins by itself"):
        assert told in shown


def test_a_partition_forks_and_heals_and_the_demo_shows_it() -> None:
    shown = _run(Options(find_recording(Scenario.PARTITION)))
    assert "everything is as it must be" in shown
    cut, healed = shown.index("the link is cut"), shown.index("the link is whole again")
    # Both heads, side by side, before anything crosses the link again.
    sides = shown[cut:healed].partition("Still cut off: two heads, side by side")[2]
    heads = re.search(r"^head +epoch \d+ \((\w{8})\) +epoch \d+ \((\w{8})\)", sides, re.MULTILINE)
    assert heads
    assert heads[1] != heads[2]
    assert re.search(r"^users +alice, bob, carol, dan, frank +alice, carol, dan, erin, grace", sides, re.MULTILINE)
    assert re.search(r"^messages in them +4 +4", sides, re.MULTILINE)
    # One of them goes over to the other's branch, and there is one head with the right users. A lost branch is settled only if
    # somebody who is still in the room has committed on it.
    assert "a fork: two commits follow epoch" in shown[cut:healed]
    assert "heals: goes over from" in shown[healed:]
    fates = shown[healed:].partition("and what became of them")[2].partition("one head")[0]
    for ref in heads.groups():
        assert re.search(rf"^\d+ \({ref}\) .*(lost(, settled by \d+ \(\w{{8}}\))?|on the one branch) *$", fates, re.MULTILINE)
    assert any(re.search(rf"\({ref}\) .* lost", fates) for ref in heads.groups())
    assert "with the users of members-final.json: alice, carol, dan, frank, grace\n" in shown
    assert _row(shown, "cuts that ended with different heads") == ["1"]
    assert _row(shown, "messages") == ["26"]
    assert _row(shown, "the service of hs1") == _row(shown, "the service of hs2")


@pytest.mark.parametrize(
    ("scenario", "users"),
    [
        (Scenario.DUEL, ["alice, bob, dan"]),
        (Scenario.UPGRADE, ["alice, dan, erin", "alice, bob, carol, dan, erin"]),
        (Scenario.ROLLBACK, ["alice, carol, erin, frank, grace"]),
    ],
)
def test_a_scenario_ends_with_one_head_of_the_users_who_are_joined(scenario: Scenario, users: list[str]) -> None:
    shown = _run(Options(find_recording(scenario)))
    assert "everything is as it must be" in shown
    assert sorted(re.findall("with the users of members-final.json: ([^;\n]*)", shown)) == sorted(users)
    if scenario is not Scenario.UPGRADE:
        assert _row(shown, "cuts that ended with different heads") == ["1"]
        assert "Still cut off: two heads, side by side" in shown
        assert re.search(r"\) .* lost(, settled by|  )", shown)


# A device rejoins once a minute at most, by a real clock: on a busy machine a fork can cost several such pauses.
@pytest.mark.timeout(900)
@pytest.mark.parametrize("folder", _KILLED, ids=lambda folder: folder.name)
def test_a_recording_comes_out_as_it_must_with_services_killed_meanwhile(folder: Path, seed: int) -> None:
    shown = _run(Options(folder, kills=6, seed=seed))
    assert "everything is as it must be" in shown
    assert _row(shown, "services killed") == ["6"]
    assert shown.count("and started again") == 6
    assert _row(shown, "the service of hs1") == _row(shown, "the service of hs2")


def test_clients_that_are_killed_between_steps_miss_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play, killed = Replay.play, list[str]()

    def play_and_kill(replay: Replay, step: Step) -> None:
        play(replay, step)
        clients = [client for server in replay.homeservers.values() for client in server.clients.values()]
        if clients and replay.agenda.now % 3 == 0:
            client = clients[replay.agenda.now % len(clients)]
            client.kill()
            client.restart()
            killed.append(client.name)

    monkeypatch.setattr(Replay, "play", play_and_kill)
    assert "everything is as it must be" in _run(Options(cut_after("message 1 from alice", tmp_path)))
    assert len(killed) > 3


def test_the_data_directories_stay_if_they_are_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    recording = cut_after("message 1 from alice", tmp_path)
    shown = _run(Options(recording, keep=True))
    [data] = tmp_path.glob("dmls-demo-*")
    assert str(data) in shown
    assert {path.name.partition("-")[0] for path in data.iterdir() if path.is_dir()} == {"hs1", "hs2", "carol", "dan"}
    assert sorted(path.name for path in data.iterdir() if path.is_file()) == ["hs1.mmd", "hs1.svg", "hs2.mmd", "hs2.svg"]
    assert "HEAD" in (data / "hs1.mmd").read_text()
    assert b"HEAD" in (data / "hs2.svg").read_bytes()


# Differences


def _fails(recording: Path) -> str:
    with pytest.raises(DifferenceError) as caught:
        run_demo(Options(recording, patience_s=1), Console(file=io.StringIO()))
    return caught.value.message


def test_a_commit_that_gets_lost_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrive = Federation._arrive

    def lose(federation: Federation, server: Homeserver, event: RoomEvent) -> None:
        if server.name == "hs1" or event.content.get("kind") != "commit":
            arrive(federation, server, event)

    monkeypatch.setattr(Federation, "_arrive", lose)
    monkeypatch.setattr("dmls.tools.demo.replay.MAX_TRIES", 2)
    message = _fails(cut_after("message 1 from alice", tmp_path))
    assert "waits for the epoch" in message or "stands on epoch" in message


def test_a_device_that_nobody_knows_of_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log_in = Homeserver.log_in

    def smuggle(server: Homeserver, name: Name, client: ClientProcess | None) -> bytes:
        key = log_in(server, name, client)
        if name[0].startswith("@alice"):
            ghost = device_pb2.RegisterDeviceRequest(user_id=name[0], device_id="GHOST", custody=common_pb2.CUSTODY_HOSTED)
            server.service.call(ghost, device_pb2.RegisterDeviceResponse)
        return key

    monkeypatch.setattr(Homeserver, "log_in", smuggle)
    assert "alice/GHOS" in _fails(cut_after("message 1 from alice", tmp_path))


def test_another_text_than_the_recorded_one_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = Message.__init__

    def misread(message: Message, *args: Any, **kwargs: Any) -> None:
        make(message, *args, **kwargs)
        message.content = {**message.content, "body": "something else"}

    monkeypatch.setattr(Message, "__init__", misread)
    assert "reads something else" in _fails(cut_after("message 1 from alice", tmp_path))


@pytest.mark.parametrize(
    "lie",
    [
        lambda members: members.pop(),
        lambda members: members[0].update(membership="leave"),
    ],
    ids=["somebody is missing", "somebody has left"],
)
def test_a_recording_that_contradicts_itself_ends_with_an_error(
    tmp_path: Path, lie: Callable[[list[dict[str, Any]]], None]
) -> None:
    recording = cut_after("message 1 from alice", tmp_path)

    def change(content: dict[str, Any]) -> None:
        for room in content["rooms"].values():
            members = list(room["hs2"]["members"].items())
            values = [dict(member) for _, member in members]
            lie(values)
            room["hs2"]["members"] = {user: value for (user, _), value in zip(members, values, strict=False)}

    edit(recording / "members-final.json", change)
    command = [sys.executable, "-m", "dmls.cli", "demo", "--log", str(recording)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "members-final.json says otherwise of " in ended.stderr


def test_a_folder_without_a_recording_ends_with_an_error(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dmls.cli", "demo", "--log", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "members-final.json" in ended.stderr


def test_every_scenario_has_a_recording_and_every_recording_a_scenario() -> None:
    found = {scenario: read_log_folder(find_recording(scenario)).scenario for scenario in Scenario}
    assert found == {scenario: f"S{number}-{scenario}" for number, scenario in enumerate(Scenario, start=1)}
    assert {folder.name.rpartition("-v")[0] for folder in ROOM_LOGS} == set(found.values())


def test_without_the_recordings_the_error_says_where_they_were_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dmls, "__file__", str(tmp_path / "dmls" / "__init__.py"))
    with pytest.raises(InvalidArgumentError, match="--log DIR") as caught:
        find_recording(Scenario.DUEL)
    assert str(tmp_path / "examples" / "room-logs") in caught.value.message


def test_a_scenario_and_a_folder_exclude_each_other() -> None:
    shown = CliRunner().invoke(program.app, ["demo", "--scenario", "duel", "--log", str(FIGURE_1[0])])
    assert shown.exit_code == 2
    assert "one of --scenario and --log" in " ".join(shown.output.split())


def test_the_help_names_the_scenarios() -> None:
    shown = CliRunner().invoke(program.app, ["demo", "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert all(scenario in shown.output for scenario in Scenario)


# What a store can open

ROOM = RoomId("!room:hs1")
CAROL: Name = (UserId("@carol:hs1"), DeviceId("C1"))
EPOCH = CommitRef(b"e" * 32)


class _Client:
    """A client whose store opens with one epoch whatever it is shown, or with none."""

    def __init__(self, opened: bytes) -> None:
        self._opened = CommitRef(opened)

    def try_everything(self, _room_id: RoomId, _content: Mapping[str, Any]) -> Trial:
        return Trial(self._opened, 3)


def _log(*members: Name) -> EpochLog:
    everybody = frozenset(members)
    nothing = CommitRef(b"")
    author: Name = (UserId("@alice:hs1"), DeviceId("A1"))
    return EpochLog(ROOM, {EPOCH: Epoch(EPOCH, nothing, 0, EventId("$e"), author, everybody, frozenset(), everybody, False, ())})


def _try(mailbox: Mailbox, client: _Client, log: EpochLog) -> Message:
    message = Message(EventId("$m"), ROOM, CAROL, {"body": "hello"}, {}, EPOCH)
    mailbox.try_stores([(CAROL, client)], message, log)  # type: ignore[list-item]
    return message


def test_a_store_that_opens_a_message_of_others_is_a_difference() -> None:
    mailbox = Mailbox()
    with pytest.raises(DifferenceError, match="carol/C1 is not in the epoch of 'hello'"):
        _try(mailbox, _Client(EPOCH), _log())
    assert _try(mailbox, _Client(b""), _log()).sealed == {CAROL: 3}
    assert _try(mailbox, _Client(EPOCH), _log(CAROL)).sealed == {}
    assert (mailbox.opened, mailbox.sealed) == (1, 1)
