"""A look at all members is taken once, until something changes that it depends on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dmls.engine.effects import Effects
from dmls.engine.inputs import DeviceListChanged, EncryptRequested, Input, RoomStateChanged, Tick
from dmls.engine.state import Memo
from dmls.engine.survey import known_survey, survey
from dmls.ids import EventId
from dmls.matrix.bodies import Payload
from dmls.matrix.events import MemberEvent, Membership
from dmls.tools.demo.log_reader import read_log_folder
from tests.support.room_logs import FIGURE_1, ROOM_LOGS
from tests.support.world import Party, World


@pytest.fixture
def world(seed: int) -> World:
    played = World(read_log_folder(Path(FIGURE_1[0])), clients=frozenset(), seed=seed)
    played.run()
    return played


def sender_of(world: World) -> Party:
    return next(party for party in world.parties if party.engine.state.agent.devices)


def send(world: World, party: Party) -> str:
    state = party.engine.state
    own = next(device for device in state.agent.devices if device.user_id in state.membership.joined())
    payload = Payload("m.room.message", {"msgtype": "m.text", "body": "again"}, state.room_id)
    result = world.step(party, EncryptRequested(own.user_id, own.device_id, payload)).encrypted
    assert result is not None
    return result.outcome


def test_messages_and_passing_time_take_no_new_look_at_the_members(world: World) -> None:
    party = sender_of(world)
    assert send(world, party) == "ok"
    before = survey(party.engine.state, world.now)
    for _ in range(3):
        world.now += 1_000
        assert send(world, party) == "ok"
        world.step(party, Tick())
    assert survey(party.engine.state, world.now) is before
    assert survey(party.engine.state, world.now - 1_000_000) is not before


def test_what_an_input_changes_is_looked_at_when_time_passes(world: World) -> None:
    party = sender_of(world)
    state = party.engine.state
    user = next(user for user in sorted(state.membership.joined()) if user.split(":")[1] != state.agent.server_name)
    gone = MemberEvent(EventId("$gone"), user, user, Membership.LEAVE)
    change = RoomStateChanged(party.version + 1, None, {user: gone})
    effects = party.engine.step(change, world.now, party.random)
    assert effects.wake_at_ms == world.now
    assert known_survey(party.engine.state, world.now) is None
    removals = survey(party.engine.state, world.now).removals
    assert {removal.leaf.device.user_id for removal in removals} == {user}


def test_a_rebuilt_engine_sees_the_same(world: World) -> None:
    party = sender_of(world)
    before = survey(party.engine.state, world.now)
    party.reload()
    after = survey(party.engine.state, world.now)
    assert after is not before
    assert replace(after, situation=before.situation, committers=before.committers) == before


def test_a_list_that_changes_nothing_for_the_room_costs_one_look(world: World) -> None:
    party = sender_of(world)
    state = party.engine.state
    user, held = next((user, held) for user, held in sorted(state.lists.items()) if not held.is_own)
    before = survey(state, world.now)
    again = DeviceListChanged(user, held.version, world.now, tuple(sorted(held.devices)))
    world.step(party, again)
    after = survey(party.engine.state, world.now)
    assert after is not before
    assert after.situation.leaves is before.situation.leaves
    assert (after.removals, after.additions) == (before.removals, before.additions)


class _Watched(World):
    """A recording in which every survey that is kept is compared with a fresh one."""

    compared = 0

    def step(self, party: Party, happened: Input) -> Effects:
        effects = super().step(party, happened)
        state = party.engine.state
        kept = known_survey(state, self.now)
        if kept is not None:
            fresh = survey(replace(state, memo=Memo()), self.now)
            assert replace(kept, situation=replace(kept.situation, now_ms=self.now)) == fresh
            self.compared += 1
        return effects


@pytest.mark.parametrize("name", ["S2-partition-v10", "S6-rollback-v10"])
def test_a_survey_that_is_kept_is_what_a_fresh_one_would_be(seed: int, name: str) -> None:
    [folder] = [folder for folder in ROOM_LOGS if folder.name == name]
    world = _Watched(read_log_folder(folder), clients=frozenset({"@carol", "@dan"}), seed=seed)
    world.run()
    assert world.compared > world.steps / 3
