"""Recorded rooms of two real homeservers, played through engines in one process."""

from __future__ import annotations

from pathlib import Path

import pytest

from dmls.engine.agent import devices_of
from dmls.tools.demo.log_reader import read_log_folder
from tests.support.room_logs import FIGURE_1, ROOM_LOGS
from tests.support.world import World

_CLIENTS = frozenset({"@carol", "@dan"})
_ONE_ROOM = tuple(folder for folder in ROOM_LOGS if not folder.name.startswith("S5"))


def _play(folder: Path, seed: int, *, reload_every: int = 0) -> World:
    world = World(read_log_folder(folder), clients=_CLIENTS, seed=seed, reload_every=reload_every)
    world.run()
    return world


def _readers(world: World) -> dict[str, frozenset[str]]:
    return {item.body: frozenset(device.device_id for device in item.readers) for item in world.messages.values()}


def _check_members(world: World) -> None:
    """Both services stand on one head, whose users are those the homeservers name at the end."""
    heads = {party.engine.state.head for party in world.parties if party.is_service}
    assert len(heads) == 1
    for name, log in world.room.servers.items():
        state = world.service(name).engine.state
        assert state.head is not None
        users = {device.user_id for device in devices_of(state.entries[state.head].group.tree).values()}
        entitled = {user for user, change in log.final_members.items() if change.membership == "join"}
        entitled -= state.membership.needs_readmission()
        assert users == {user for user in entitled if world.devices.get(user)}


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


@pytest.mark.parametrize("folder", _ONE_ROOM, ids=lambda folder: folder.name)
def test_both_servers_converge_and_exactly_the_members_read(folder: Path, seed: int) -> None:
    world = _play(folder, seed)
    _check_members(world)
    _check_readers(world)


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
