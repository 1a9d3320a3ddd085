"""Rooms in real stores: two homeservers' keepers, and what survives when one of them is interrupted."""

from __future__ import annotations

from dmls.engine.agent import devices_of
from dmls.matrix.events import Membership
from tests.rooms.homes import World, heads


def test_a_room_of_two_homeservers_is_begun_joined_and_talked_in(world: World) -> None:
    hs1, hs2 = world.homes.values()
    alice, dan = hs1.add_device("alice"), hs2.add_device("dan")
    world.join("@alice:hs1")
    world.settle()
    world.join("@dan:hs2")
    world.settle()
    world.let_time_pass(5)
    assert len(heads([hs1, hs2])) == 1
    first = world.say(alice, "hello")
    second = world.say(dan, "hello yourself")
    assert world.read(dan, first) == ("ok", "hello")
    assert world.read(alice, second) == ("ok", "hello yourself")
    world.set_membership("@dan:hs2", Membership.BAN, by="@alice:hs1")
    world.settle()
    third = world.say(alice, "without dan")
    assert world.read(dan, third)[0] == "not_member_then"
    state = hs1.state()
    assert state.head is not None
    assert set(devices_of(state.entries[state.head].group.tree).values()) == {alice}
