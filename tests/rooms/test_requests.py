"""What a homeserver is asked for waits once, however long it gives no answer."""

from __future__ import annotations

from dmls.engine.effects import ClaimWanted
from dmls.matrix.events import Membership
from dmls.rooms.outbox import StoredItem
from tests.rooms.homes import ROOM, Home, World

ALICE, DAN = "@alice:hs1", "@dan:hs2"


def claims(home: Home) -> list[StoredItem]:
    return [item for item in home.pending() if isinstance(item.action, ClaimWanted)]


def let_minutes_pass(world: World, home: Home) -> None:
    for _ in range(5):
        world.clock.now_ms += 60_000
        home.keeper.wake(ROOM)


def test_a_claim_that_is_not_answered_waits_once_and_is_made_anew_after_an_answer(world: World) -> None:
    (hs1, hs2) = world.homes.values()
    hs1.add_device("alice")
    hs2.add_device("dan", stock=0)
    world.set_membership(ALICE, Membership.JOIN)
    world.settle()
    world.set_membership(DAN, Membership.JOIN)
    for item in hs1.pending():
        world.perform(hs1, item)
    let_minutes_pass(world, hs1)
    (waiting,) = claims(hs1)
    hs1.restart()
    let_minutes_pass(world, hs1)
    assert claims(hs1) == [waiting]
    world.perform(hs1, waiting)
    let_minutes_pass(world, hs1)
    (again,) = claims(hs1)
    assert again.action == waiting.action
    assert again.seq > waiting.seq
