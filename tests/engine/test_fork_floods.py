"""One member who forks more often than others enter its forks."""

from __future__ import annotations

from dmls.engine.entering import MAX_CHILDREN_OF_AUTHOR
from dmls.engine.standing import DEEP_SWITCH_MS
from dmls.ids import CommitRef
from dmls.matrix.events import Membership
from tests.support.deviant_commits import Deviant
from tests.support.hall import Hall

VICTIMS = ("two", "three", "four")
LATER_S = DEEP_SWITCH_MS / 1_000 + 60


def test_of_two_users_the_one_who_forks_may_keep_the_head_until_a_third_comes(seed: int) -> None:
    hall = Hall(seed, "one", *VICTIMS)
    mallory, alice, bob, carol = (hall.add_device(user) for user in ("@mallory:one", "@alice:two", "@bob:three", "@carol:four"))
    hall.join(mallory.user_id, alice.user_id, bob.user_id)
    hall.wait(90)
    two, four = hall["two"], hall["four"]
    parent = two.state.stand
    assert parent is not None
    # Mallory's server does what she wants, and the service there knows nothing of it.
    hall.cut(["one"], VICTIMS)
    deviant = Deviant(hall["one"].state, mallory, hall.random)
    forks: list[CommitRef] = []
    while len(forks) <= MAX_CHILDREN_OF_AUTHOR or min(forks) != forks[-1]:
        event = hall.make_event(mallory.user_id, deviant.commit(parent, vote_seq=len(forks) + 1))
        for name in VICTIMS:
            hall.deliver(name, event)
        forks.append(two.state.graph.authored(mallory)[-1])
    hall.set_membership(bob.user_id, Membership.LEAVE, servers=VICTIMS)
    assert hall.encrypt(alice, "bob is gone").outcome == "ok"
    hall.wait(LATER_S)
    # One vote each, and the least hash is that of the fork, which alice has not entered: she goes on without it.
    assert two.state.head == forks[-1]
    assert forks[-1] in two.state.failed
    assert two.state.stand in two.state.epochs
    assert two.members() == {mallory.user_id, alice.user_id}
    hall.set_membership(carol.user_id, Membership.JOIN, servers=VICTIMS)
    hall.wait(LATER_S)
    # Two users agree on one branch, whichever it is.
    assert two.state.stand == two.state.head == four.state.stand == four.state.head
    assert two.members() == {mallory.user_id, alice.user_id, carol.user_id}
    assert not two.state.tally.side_heads(two.state.head)
    assert hall.read(carol, hall.say(alice, "here")) == ("ok", "here")
    assert hall.read(alice, hall.say(carol, "and here")) == ("ok", "and here")
