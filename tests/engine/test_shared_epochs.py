"""Several own devices share an epoch: what one of them enters by must not be all that the others have."""

from __future__ import annotations

import pytest

from dmls.ids import UserId
from dmls.matrix.events import Membership
from tests.support.hall import Hall

A, B, C, D, E = (UserId(user) for user in ("@a:one", "@b:two", "@c:three", "@d:one", "@e:one"))
OTHERS = ("two", "three")


def hall_of_three(seed: int, *, reload: bool) -> Hall:
    """A hall of three servers with one device each, all in one epoch."""
    hall = Hall(seed, "one", "two", "three", reload=reload)
    for user in (A, B, C):
        hall.add_device(user)
        hall.join(user)
        hall.wait(30)
    return hall


@pytest.mark.parametrize("reload", [False, True], ids=["", "restarted after every step"])
def test_a_device_that_others_added_reads_on_when_the_device_it_entered_beside_is_removed(seed: int, reload: bool) -> None:
    hall = hall_of_three(seed, reload=reload)
    device = hall.add_device(D)
    # The third server's device is the only one that has the new leaf for a sibling.
    hall.refused |= {"one", "two"}
    hall.join(D)
    hall.wait(60)
    hall.refused.discard("two")
    assert hall["two"].members() == {A, B, C, D}
    hall.set_membership(A, Membership.LEAVE, servers=OTHERS)
    b = next(iter(hall.devices[B].values()))
    event = hall.say(b, "without the first one")
    assert hall["one"].members() == {B, C, D}
    assert not hall["one"].state.failed
    assert hall.read(device, event) == ("ok", "without the first one")


@pytest.mark.parametrize("reload", [False, True], ids=["", "restarted after every step"])
@pytest.mark.parametrize("is_first", [True, False], ids=["the first goes", "the second goes"])
def test_of_two_devices_added_at_once_each_reads_on_without_the_other(seed: int, reload: bool, is_first: bool) -> None:
    hall = hall_of_three(seed, reload=reload)
    devices = {user: hall.add_device(user) for user in (D, E)}
    hall.set_membership(A, Membership.LEAVE)
    hall.wait(60)
    assert hall["two"].members() == {B, C}
    hall.withheld = lambda server, _event: server == "one"
    hall.refused.add("two")
    for user in devices:
        hall.set_membership(user, Membership.JOIN, servers=OTHERS)
    hall.wait(60)
    assert hall["two"].members() == {B, C, D, E}
    hall.refused = {"one"}
    for user in devices:
        hall.set_membership(user, Membership.JOIN, servers=["one"])
    hall.heal()
    gone, left = (D, E) if is_first else (E, D)
    hall.set_membership(gone, Membership.LEAVE, servers=OTHERS)
    b = next(iter(hall.devices[B].values()))
    event = hall.say(b, "without one of them")
    assert not hall["one"].state.failed
    assert hall.read(devices[left], event) == ("ok", "without one of them")
