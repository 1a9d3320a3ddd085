"""What comes back, comes early or comes too late: echoes of own commits, Welcomes before their commit, epochs that are over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dmls.engine.effects import IngestOutcome, Table
from dmls.engine.inputs import EventReceived, Input, Tick, ToDeviceReceived
from dmls.ids import CommitRef, DeviceId, EventId, UserId
from dmls.matrix.bodies import Inline, WelcomeBody, content_of
from dmls.matrix.events import RoomEvent
from dmls.mls.messages.message import encode_message
from dmls.mls.messages.welcome import Welcome
from dmls.tools.demo.log_reader import read_log_folder
from tests.support.room_logs import FIGURE_1
from tests.support.world import Party, World

YEAR_MS = 365 * 86_400_000


@pytest.fixture
def world(seed: int) -> World:
    played = World(read_log_folder(Path(FIGURE_1[0])), clients=frozenset(), seed=seed)
    played.run()
    return played


def taken_in(world: World, party: Party, happened: Input) -> IngestOutcome:
    result = world.step(party, happened).result
    assert result is not None
    return result.outcome


def own_commit(world: World) -> tuple[Party, RoomEvent]:
    """A service, and the event of a commit that one of its devices made."""
    for party in world.parties:
        state = party.engine.state
        for ref, entry in state.entries.items():
            event = world.timelines[party.server].get(entry.node.event_id)
            if ref in state.epochs and event is not None and party.holds(entry.node.author.user_id, entry.node.author.device_id):
                return party, event
    raise AssertionError("nobody committed")


@pytest.mark.breaks("CP-14")
def test_an_own_commit_that_comes_back_is_recognised_and_nobody_else_can_bring_it(world: World) -> None:
    party, event = own_commit(world)
    state = party.engine.state
    stranger = next(user for user in world.devices if user != event.sender)
    stolen = replace(event, event_id=EventId("$stolen"), sender=stranger)
    result = taken_in(world, party, EventReceived(stolen))
    assert result == IngestOutcome.REJECTED
    again = taken_in(world, party, EventReceived(replace(event, event_id=EventId("$again"))))
    assert again == IngestOutcome.PROCESSED
    assert party.engine.state.head == state.head
    assert set(party.engine.state.entries) == set(state.entries)
    assert set(party.engine.state.epochs) == set(state.epochs)


@pytest.mark.breaks("CC-12")
def test_a_welcome_opens_nothing_before_its_commit_is_there(world: World) -> None:
    party, event = own_commit(world)
    body = WelcomeBody(party.engine.state.room_id, Inline(encode_message(Welcome(1, (), b""))), CommitRef(bytes(range(32))))
    user, device = UserId(event.sender), DeviceId("DEVICE")
    result = taken_in(world, party, ToDeviceReceived("message", user, user, device, content_of(body)))
    assert result == IngestOutcome.PARKED
    assert CommitRef(bytes(range(32))) not in party.engine.state.epochs


@pytest.mark.breaks("SQ-04")
def test_epochs_whose_time_is_over_are_gone(world: World) -> None:
    party, _ = own_commit(world)
    before = {key for table, key in party.records if table == Table.EPOCH}
    world.now += YEAR_MS
    world.step(party, Tick())
    held = {key for table, key in party.records if table == Table.EPOCH}
    # A year is long enough for keys to be renewed, too.
    assert held - {party.engine.state.head} < before
    assert party.engine.state.expired
    assert set(party.engine.state.epochs).isdisjoint(party.engine.state.expired)
    party.reload()
    assert set(party.engine.state.epochs).isdisjoint(party.engine.state.expired)
