"""Recorded rooms of two real homeservers, played through engines in one process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dmls.engine.agent import devices_of
from dmls.forks.graph import Device
from dmls.ids import UserId
from dmls.tools.demo.log import PartitionLine
from dmls.tools.demo.log_reader import read_log_folder
from tests.support.room_logs import FIGURE_1, ROOM_LOGS
from tests.support.world import World

_CLIENTS = frozenset({"@carol", "@dan"})
_ROOMS = [(folder, number) for folder in ROOM_LOGS for number in range(len(read_log_folder(folder).rooms))]
EVERY = pytest.mark.parametrize(
    ("folder", "room"), _ROOMS, ids=[f"{folder.name}{'-new' if number else ''}" for folder, number in _ROOMS]
)


def _play(folder: Path, seed: int, *, reload_every: int = 0, room: int = 0) -> World:
    world = World(read_log_folder(folder), clients=_CLIENTS, seed=seed, reload_every=reload_every, room=room)
    world.run()
    return world


def _readers(world: World) -> dict[str, frozenset[str]]:
    return {item.body: frozenset(device.device_id for device in item.readers) for item in world.messages.values()}


def _check_members(world: World) -> None:
    """Both services stand on one head, whose users are those the homeservers name at the end, with all their devices."""
    heads = {party.engine.state.head for party in world.parties if party.is_service}
    assert len(heads) == 1
    for name, log in world.room.servers.items():
        state = world.service(name).engine.state
        assert state.head is not None
        members = set(devices_of(state.entries[state.head].group.tree).values())
        entitled = log.final_joined() - state.membership.needs_readmission()
        assert members == {device for user in entitled for device in world.devices.get(user, {}).values()}
        assert not state.parked


def _check_readers(world: World) -> None:
    """Every message is read by exactly the devices that have a leaf in its epoch."""
    for message in world.messages.values():
        for party in world.parties:
            for device in party.agent.devices:
                outcome, body = world.read(party, device, message.event_id)
                if device in message.readers and outcome == "expired":
                    # On a branch that went on after its rival had won and two users had voted there.
                    assert world.folder.scenario == "S4-churn"
                elif device in message.readers:
                    assert (outcome, body) == ("ok", message.body), (message.body, device.user_id)
                else:
                    assert outcome != "ok", (message.body, device.user_id)


def _recorded(world: World) -> Iterator[str]:
    """Give the texts of the recorded messages."""
    return (str(line.event.content["body"]) for line in world.room.events.values() if line.event.type == "m.room.message")


def _soft_failed_messages(world: World) -> int:
    """Count the messages that a server took from the other one and soft-failed, of those that could be sent."""
    return sum(
        line.soft_failed and line.event_id in world.plaintexts
        for log in world.room.servers.values()
        for line in log.events.values()
    )


def _is_cut(world: World) -> bool:
    return any(isinstance(line, PartitionLine) for log in world.room.servers.values() for line in log.lines)


@EVERY
def test_both_servers_converge_and_exactly_the_members_read(folder: Path, room: int, seed: int) -> None:
    world = _play(folder, seed, room=room)
    _check_members(world)
    _check_readers(world)
    assert {message.body for message in world.messages.values()} == set(_recorded(world))
    assert world.soft_failed == _soft_failed_messages(world)
    if _is_cut(world):
        # Each side commits and talks while it is cut off; at least one of them then goes over to the other's branch.
        assert world.cut_off == {(server, what) for server in world.room.servers for what in ("commit", "message")}
        assert world.switches() > 0
        # The churn soft-fails nothing but member events.
        assert (world.soft_failed > 0) == (world.folder.scenario != "S4-churn")
    else:
        assert world.cut_off == set()


def test_of_a_state_that_goes_backwards_nobody_stays_who_was_let_in_by_what_is_gone(seed: int) -> None:
    [folder] = [folder for folder in ROOM_LOGS if folder.name.startswith("S6")]
    world = _play(folder, seed)
    mallory = UserId("@mallory:127.0.0.1:18442")
    assert any(
        change.user_id == mallory and change.membership is None
        for line in world.room.servers["hs2"].lines
        if not isinstance(line, PartitionLine)
        for change in line.state_change
    )
    assert all(device.user_id != mallory for device in _members(world))
    # Whom the state brings back after a removal comes in again only when somebody lets them.
    back = world.service("hs1").engine.state.membership.needs_readmission()
    assert back == world.service("hs2").engine.state.membership.needs_readmission() != frozenset()
    assert back <= world.room.servers["hs1"].final_joined()
    assert not {device.user_id for device in _members(world)} & back


def _members(world: World) -> frozenset[Device]:
    state = world.service("hs1").engine.state
    assert state.head is not None
    return frozenset(devices_of(state.entries[state.head].group.tree).values())


@pytest.mark.parametrize("folder", FIGURE_1, ids=lambda folder: folder.name)
def test_every_message_of_figure_1_is_sent_and_read(folder: Path, seed: int) -> None:
    world = _play(folder, seed)
    assert len(world.messages) == 15
    assert {message.outcome for message in world.messages.values()} == {"ok"}
    assert not any(party.engine.state.parked for party in world.parties)


@pytest.mark.parametrize("folder", FIGURE_1, ids=lambda folder: folder.name)
def test_an_engine_rebuilt_from_its_records_after_every_step_does_the_same(folder: Path, seed: int) -> None:
    straight, rebuilt = _play(folder, seed), _play(folder, seed, reload_every=1)
    # A restart skips to the next block of vote_seq, so bytes, and with them hashes and ranks, differ; what is read does not.
    assert _readers(rebuilt) == _readers(straight)
    _check_members(rebuilt)
    _check_readers(rebuilt)
