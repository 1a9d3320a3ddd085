"""`dmls room graph` on the store of rooms in which something happened."""

from __future__ import annotations

import shutil
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from devicestore import Sealing, Store
from dmls.cli.app import app
from dmls.engine.state import RoomState
from dmls.matrix.events import Membership
from dmls.rooms.public import CLIENT_DATABASE, SERVICE_DATABASE, read_room
from tests.rooms.homes import ROOM, World


def run(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(app, ["room", "graph", *map(str, arguments)], env={"COLUMNS": "200"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RoomState]:
    """The database of hs1's service, stopped, and its state before: alice has added bob and carol, and removed carol."""
    world = World(tmp_path_factory.mktemp("world"), 4)
    for server, name in (("hs1", "alice"), ("hs2", "bob"), ("hs1", "carol")):
        world.home(server).add_device(name)
    for user in ("@alice:hs1", "@bob:hs2", "@carol:hs1"):
        world.join(user)
        world.settle()
        world.let_time_pass(5)
    world.set_membership("@carol:hs1", Membership.LEAVE)
    world.settle()
    world.let_time_pass(30)
    state = world.home("hs1").state()
    world.close()
    return world.home("hs1").path, state


@pytest.fixture
def data(played: tuple[Path, RoomState], tmp_path: Path) -> Path:
    """The directory of hs1's service. There is no key file in it."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    shutil.copy(played[0], folder / SERVICE_DATABASE)
    return folder


def test_the_graph_is_that_of_the_service_and_needs_no_key(played: tuple[Path, RoomState], data: Path) -> None:
    state, room = played[1], read_room(data, ROOM)
    assert room.state.graph == state.graph
    assert room.state.head == state.head
    assert room.held == frozenset(state.epochs)
    assert (len(room.state.epochs), len(room.state.ring.keys), len(room.state.plaintexts)) == (0, 0, 0)
    shown = run(ROOM, "--data", data, "--format", "mermaid").stdout
    assert shown.count("members: ") == len(state.graph) > 3
    assert shown.count("● retained") == len(state.epochs) > 0
    assert "adds @bob:hs2/D1" in shown
    assert "removes @carol:hs1/D1" in shown
    assert state.head is not None
    assert f"HEAD<br/>{state.head[:4].hex()}" in shown


@pytest.mark.parametrize(
    ("name", "begins"),
    [("g.svg", b"<?xml"), ("g.png", b"\x89PNG"), ("g.dot", b"digraph"), ("g.MMD", b"flowchart"), ("g", b"<?xml")],
)
def test_the_name_of_the_output_says_how_it_is_written(data: Path, tmp_path: Path, name: str, begins: bytes) -> None:
    assert run(ROOM, "--data", data, "--output", tmp_path / name).exit_code == 0
    assert (tmp_path / name).read_bytes().startswith(begins)
    assert run(ROOM, "--data", data, "--output", tmp_path / name, "--format", "dot").exit_code == 0
    assert (tmp_path / name).read_bytes().startswith(b"digraph")


def test_standard_output_gets_an_svg_and_nothing_else(data: Path) -> None:
    assert ET.fromstring(run(ROOM, "--data", data).stdout_bytes).tag.endswith("svg")


def test_the_store_is_left_as_it_was(data: Path) -> None:
    before = (data / SERVICE_DATABASE).read_bytes()
    assert run(ROOM, "--data", data, "--newest", "2").exit_code == 0
    assert (data / SERVICE_DATABASE).read_bytes() == before


def test_the_store_of_a_client_device_is_read_too(data: Path) -> None:
    (data / SERVICE_DATABASE).rename(data / CLIENT_DATABASE)
    assert run(ROOM, "--data", data).exit_code == 0


def test_a_running_service_is_not_disturbed(data: Path) -> None:
    with Store.open(f"sqlite:///{data / SERVICE_DATABASE}", Sealing(b"k" * 32), migrate=False):
        refused = run(ROOM, "--data", data)
    assert refused.exit_code == 1
    assert "open in another process" in refused.stderr
    assert "hint: stop the service" in refused.stderr
    assert run(ROOM, "--data", data).exit_code == 0


def test_a_room_that_the_store_does_not_know_is_named_by_those_it_knows(data: Path) -> None:
    refused = run("!other:hs1", "--data", data)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert f"it knows 1: {ROOM}" in refused.stderr


def test_a_directory_without_a_store_is_refused(tmp_path: Path) -> None:
    refused = run(ROOM, "--data", tmp_path)
    assert refused.exit_code == 1
    assert "neither dmls.sqlite3 nor device.db" in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / SERVICE_DATABASE).touch(mode=0o600)
    (tmp_path / SERVICE_DATABASE).write_bytes(b"nothing of the kind" * 100)
    refused = run(ROOM, "--data", tmp_path)
    assert refused.exit_code == 1
    assert "not a database" in refused.stderr


def test_without_pygraphviz_it_says_what_to_install(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    refused = run(ROOM, "--data", data)
    assert refused.exit_code == 1
    assert "dmls[pictures]" in refused.stderr


def test_what_cannot_be_written_is_said(data: Path, tmp_path: Path) -> None:
    refused = run(ROOM, "--data", data, "--output", tmp_path / "nowhere" / "g.dot")
    assert refused.exit_code == 2
    assert "No such file or directory" in refused.stderr
