"""A head on a branch of which nothing is held, while another branch is held: it is given ten minutes to go away again."""

from __future__ import annotations

import pytest

from dmls.engine.effects import Table
from dmls.forks.graph import Device
from dmls.ids import CommitRef
from dmls.matrix.events import Membership
from tests.support.hall import Hall, Service

USERS = ("@a:one", "@e:one", "@b:two", "@c:three", "@f:three")
DAY_S = 86_400


class Room:
    """Server one, cut off for so long that it holds nothing any more of where the others went another way."""

    def __init__(self, seed: int, *, reload: bool) -> None:
        hall = self.hall = Hall(seed, "one", "two", "three", reload=reload)
        self.a, self.e, self.b, self.c, self.f = (hall.add_device(user) for user in USERS)
        for user in USERS:
            hall.join(user)
            hall.wait(30)
        hall.add_device("@x:one")
        hall.join("@x:one")
        hall.wait(30)
        hall.cut(["one"], ["two", "three"])
        # Each side has commits of its own.
        hall.set_membership("@x:one", Membership.LEAVE, servers=["one"])
        hall.add_device("@b:two", "E")
        hall.wait(30)
        own = hall["one"].state.stand
        assert own is not None
        self.own = own
        # Which device of the server commits is drawn. The commit is its vote.
        author = hall["one"].state.graph.node(own).author
        (self.other,) = {self.a, self.e} - {author}
        hall.say(self.b, "on the other side")
        hall.say(self.c, "where there are three")
        hall.say(self.f, "and one more than here")
        hall.wait(4 * DAY_S)
        assert set(hall["one"].state.epochs) == {self.own}
        for name in ("two", "three"):
            hall.tell_state(name)

    def votes(self, device: Device) -> list[CommitRef]:
        """The nodes that a device has voted for, as another server saw it, by vote_seq."""
        state = self.hall["two"].state
        votes = [tracked.vote for tracked in state.votes.values() if tracked.vote.device == device]
        return [vote.commit_ref for vote in sorted(votes, key=lambda vote: vote.vote_seq)]


@pytest.fixture(params=[False, True], ids=["", "restarted after every step"])
def room(request: pytest.FixtureRequest, seed: int) -> Room:
    return Room(seed, reload=request.param)


def _joins(service: Service, device: Device) -> int:
    return sum(entry.node.is_external and entry.node.author == device for entry in service.state.entries.values())


def test_it_is_followed_after_ten_minutes_and_voted_against_once(room: Room) -> None:
    hall, one = room.hall, room.hall["one"]
    joins = _joins(one, room.a)
    assert not room.votes(room.other)
    hall.heal()
    assert one.state.head == hall["two"].state.head
    assert one.state.stand == room.own
    hall.wait(590)
    assert one.state.stand == room.own
    assert _joins(one, room.a) == joins
    assert room.votes(room.other) == [room.own]
    before = hall.say(room.a, "in the old epoch")
    hall.wait(60)
    assert one.state.stand == one.state.head
    assert _joins(one, room.a) == joins + 1
    assert hall.heads() == hall.stands()
    assert len(hall.heads()) == 1
    assert hall.read(room.b, before)[0] != "ok"
    assert hall.read(room.b, hall.say(room.a, "in the new one")) == ("ok", "in the new one")


def test_it_is_not_followed_if_it_goes_back(room: Room) -> None:
    hall, one = room.hall, room.hall["one"]
    joins = _joins(one, room.a)
    hall.heal()
    assert one.state.stand == room.own != one.state.head
    hall.wait(300)
    # Those who voted for it leave: what is left of the room stands where one stands.
    for user in USERS[2:]:
        hall.set_membership(user, Membership.LEAVE)
    assert one.state.stand == one.state.head is not None
    hall.wait(600)
    assert _joins(one, room.a) == joins
    assert room.own in one.state.graph.chain(one.state.stand)
    assert (Table.EPOCH, bytes(room.own)) in one.records


def test_a_newcomer_whose_join_lost_follows_at_once(seed: int) -> None:
    hall = Hall(seed, "one", "two")
    hall.add_device("@a:one")
    hall.join("@a:one")
    hall.wait(30)
    hall.cut(["one"], ["two"])
    late = hall.add_device("@b:two")
    hall.add_device("@b:two", "E")
    hall.add_device("@a:one", "E")
    hall.wait(30)
    # Server two joins on the genesis, of which it holds nothing, and meanwhile server one goes on.
    two = hall["two"]
    for event in list(hall.timeline)[:1]:
        hall.deliver("two", event)
    hall.set_membership("@b:two", Membership.JOIN, servers=["two"])
    assert two.state.graph.node(two.state.graph.authored(late)[0]).is_external
    hall.tell_state("one")
    hall.heal()
    hall.wait(90)
    assert len(hall.stands()) == 1
    assert hall["one"].members() == {"@a:one", "@b:two"}
