"""Whose turn it is to commit: one commit for one change of the room, by whom it concerns most."""

from __future__ import annotations

import pytest

from dmls.ids import UserId
from dmls.matrix.events import Membership
from dmls.simulation.schedule import Change
from tests.support.small_rooms import MINUTE_MS, SmallRoom


@pytest.mark.parametrize(
    ("sender", "membership"), [("a:s1", Membership.LEAVE), ("a:s1", Membership.BAN), ("b:s2", Membership.LEAVE)]
)
def test_the_server_of_whoever_ended_a_membership_makes_the_one_commit(seed: int, sender: str, membership: Membership) -> None:
    room = SmallRoom("a:s1", "b:s2", "c:s2", "d:s3", seed=seed)
    # With everybody's votes the head does not depend on who made it.
    for user in ("a:s1", "c:s2", "d:s3"):
        room.say(user)
    before = len(room.requests.commit_events)
    room.do(Change(UserId(f"@{sender}"), UserId("@b:s2"), membership))
    room.rest(MINUTE_MS)
    head = room.heads()
    assert len(room.requests.commit_events) - before == 1
    assert head.removes == (room.device("b:s2"),)
    assert head.author.server == sender[-2:]
