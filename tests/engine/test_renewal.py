"""Keys are renewed: after a fork that lost them, by time, by number of messages, and after a last resort was used."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dmls.engine.survey import survey
from dmls.forks.graph import Device
from dmls.forks.renewal import RenewalRules
from dmls.ids import CommitRef, DeviceId, ServerName, UserId
from dmls.mls.group.leaf import create_key_package
from dmls.mls.messages.extensions import LAST_RESORT
from dmls.mls.messages.leaf_node import Lifetime
from dmls.mls.messages.message import encode_message
from dmls.simulation.driver import Driver
from dmls.simulation.memory import MemoryDriver
from dmls.simulation.schedule import LogIn
from tests.support.small_rooms import DAY_MS, MINUTE_MS, SmallRoom


def debtors(room: SmallRoom) -> dict[Device, Driver]:
    """Own devices that owe the head fresh keys, with their agents."""
    found = {}
    for driver in room.drivers:
        for committer in survey(driver.state, room.agenda.now_ms).committers:
            if committer.is_debtor:
                found[committer.own.device] = driver
    return found


def forked(seed: int) -> tuple[SmallRoom, Device, Driver]:
    """A room in which client `B:s2` has renewed its keys on a branch that lost."""
    room = SmallRoom("a:s1", "c:s1", "d:s1", "b:s2", "B:s2", seed=seed)
    device = room.device("B:s2")
    driver = room.directory.owner(device)
    room.cut()
    for server, users in (("s1", ("a:s1", "c:s1", "d:s1")), ("s2", ("b:s2", "B:s2"))):
        room.do(LogIn(UserId(f"@{users[0]}"), DeviceId("E"), hosted=True))
        room.rest(5_000)
        assert room.device(users[0], "E") in room.state(server).graph.leaf_origins(room.state(server).head or CommitRef(b""))
        for user in users:
            room.say(user)
    agent = driver.agent
    driver.set_agent(replace(agent, rules=RenewalRules(after_messages=1)))
    room.say("B:s2")
    driver.set_agent(agent)
    room.heal()
    room.rest(2_000)
    assert set(debtors(room)) == {device}
    return room, device, driver


def test_keys_that_a_fork_lost_are_renewed_within_ten_minutes(seed: int) -> None:
    room, device, driver = forked(seed)
    assert set(driver.state.debts) == {device}
    before = len(room.requests.commit_events)
    room.rest(10 * MINUTE_MS)
    assert debtors(room) == {}
    assert not driver.state.debts
    head = room.heads()
    renewal = driver.state.graph.leaf_renewal(head.commit_ref, device)
    assert renewal is not None
    assert driver.state.graph.node(renewal).author == device
    assert len(room.requests.commit_events) - before == 1


def test_a_debtor_pays_before_it_speaks(seed: int) -> None:
    room, device, driver = forked(seed)
    message = room.say("B:s2")
    assert message.commit_ref is not None
    graph = driver.state.graph
    renewal = graph.leaf_renewal(message.commit_ref, device)
    assert renewal is not None
    assert graph.node(renewal).author == device
    assert debtors(room) == {}


def test_a_debt_outlives_a_crash(seed: int) -> None:
    room, _, driver = forked(seed)
    before = driver.state.debts
    due = survey(driver.state, room.agenda.now_ms).renewal
    assert due is not None
    driver.crash()
    driver.restart()
    assert driver.state.debts == before
    after = survey(driver.state, room.agenda.now_ms).renewal
    assert after is not None
    assert (after[0].leaf_index, after[1]) == (due[0].leaf_index, due[1])


def test_every_device_renews_its_keys_within_seven_days(seed: int) -> None:
    users = ["a:s1", "b:s2", "C:s2", "d:s3"]
    room = SmallRoom(*users, seed=seed)
    for _ in range(3):
        before = len(room.requests.commit_events)
        room.rest(7 * DAY_MS)
        now_ms = room.agenda.now_ms
        assert all(room.renewed_at_ms(user) > now_ms - 7 * DAY_MS - MINUTE_MS for user in users)
        assert len(users) <= len(room.requests.commit_events) - before <= 2 * len(users)


def test_a_device_renews_its_keys_after_so_many_messages(seed: int) -> None:
    room = SmallRoom("a:s1", "b:s2", seed=seed, rules=RenewalRules(after_messages=4))
    authors = []
    for _ in range(12):
        message = room.say("b:s2")
        assert message.commit_ref is not None
        graph = room.state("s2").graph
        authors.append(graph.leaf_renewal(message.commit_ref, room.device("b:s2")))
    uses = [authors.count(ref) for ref in dict.fromkeys(authors)]
    assert max(uses) <= 4
    assert len(uses) <= 12 // 3 + 1


def test_the_number_of_messages_is_known_after_a_crash(seed: int) -> None:
    room = SmallRoom("a:s1", "b:s2", seed=seed)
    for _ in range(3):
        room.say("b:s2")
    driver = room.services[ServerName("s2")]
    before = driver.state.sent
    assert before[room.device("b:s2")][1] == 3
    driver.crash()
    driver.restart()
    assert driver.state.sent == before


class _LastResort(SmallRoom):
    """Nobody has anything but a key package of last resort to give."""

    def do(self, act: object) -> None:
        self.directory.key_package = self._last_resort  # type: ignore[method-assign]
        super().do(act)  # type: ignore[arg-type]

    def _last_resort(self, device: Device) -> bytes:
        now = self.agenda.now_ms // 1_000
        client = self.directory.own[device].client
        lifetime = Lifetime(now - 3_600, now + 7 * 86_400)
        bundle = create_key_package(self.suite, client, lifetime, self.directory.random, extensions=(LAST_RESORT,))
        owner = self.directory.owner(device)
        assert isinstance(owner, MemoryDriver)
        owner.bundles[bundle.ref] = bundle
        return encode_message(bundle.key_package)


@pytest.mark.parametrize("speaks", [True, False])
def test_who_was_added_by_a_last_resort_renews_its_keys_first(seed: int, *, speaks: bool) -> None:
    room = _LastResort("a:s1", "B:s1", seed=seed)
    client = room.device("B:s1")
    added = [node for node in map(room.state("s1").graph.node, room.state("s1").graph) if client in node.adds]
    assert [node.is_external for node in added] == [False]
    if speaks:
        message = room.say("B:s1")
        assert message.commit_ref is not None
        renewal = room.state("s1").graph.leaf_renewal(message.commit_ref, client)
    else:
        room.rest(10 * MINUTE_MS)
        renewal = room.state("s1").graph.leaf_renewal(room.heads().commit_ref, client)
    assert renewal is not None
    assert renewal != added[0].commit_ref
