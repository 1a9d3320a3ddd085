"""What is kept of a room that is forgotten."""

from __future__ import annotations

from dataclasses import replace

from dmls.engine.effects import Put
from dmls.engine.forgetting import kept_records
from dmls.engine.planning import can_found
from dmls.engine.room import RoomEngine
from dmls.engine.state import RoomState
from dmls.engine.voting import vote_floor
from tests.support.hall import ROOM, Hall, Service


def forget(service: Service) -> RoomState:
    """Forget the room, and return what is left of it."""
    rows = [(change.table, change.key, change.value) for change in kept_records(service.state) if isinstance(change, Put)]
    return RoomEngine.load(ROOM, service.agent, rows).state


def test_no_vote_seq_is_used_twice_and_nothing_else_is_known(seed: int) -> None:
    hall = Hall(seed, "one", "two")
    alice, bob = hall.add_device("@alice:one"), hall.add_device("@bob:two")
    hall.join("@alice:one", "@bob:two")
    hall.wait(60)
    hall.say(alice, "hello")
    hall.say(bob, "hello")
    one = hall["one"]
    before = one.state
    after = forget(one)
    left = (after.entries, after.epochs, after.votes, after.lists, after.outcomes, after.parked, after.ring.keys)
    assert not any(left)
    assert (after.state_version, after.head, after.membership.users()) == (0, None, frozenset())
    assert max(after.vote_seq, vote_floor(after, alice)) >= max(before.vote_seq, vote_floor(before, alice)) > 0


def test_the_floor_of_a_device_that_is_ahead_is_kept(seed: int) -> None:
    hall = Hall(seed, "one")
    alice = hall.add_device("@alice:one")
    hall.join("@alice:one")
    hall.wait(60)
    one = hall["one"]
    ahead = replace(one.state, vote_floors=one.state.vote_floors.set(alice, 70_000))
    rows = [(change.table, change.key, change.value) for change in kept_records(ahead) if isinstance(change, Put)]
    assert vote_floor(RoomEngine.load(ROOM, one.agent, rows).state, alice) == 70_000


def test_a_group_that_was_forgotten_is_not_begun_again_by_itself(seed: int) -> None:
    hall = Hall(seed, "one")
    hall.add_device("@alice:one")
    hall.join("@alice:one")
    hall.wait(60)
    one = hall["one"]
    left = forget(one)
    told = replace(left, membership=one.state.membership, lists=one.state.lists, agent=one.agent)
    assert can_found(told, hall.now, wants_to_send=False) is None
    new = RoomState(ROOM, one.agent, membership=one.state.membership, lists=one.state.lists)
    assert can_found(new, hall.now, wants_to_send=False) is not None
