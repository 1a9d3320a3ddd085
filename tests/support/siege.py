"""A quiet room with an attacker in it: alice made it, bob, carol and mallory are in, and everybody has said something."""

from __future__ import annotations

from collections.abc import Callable

from dmls.engine.agent import devices_of
from dmls.engine.effects import EventResult, NoticeKind
from dmls.forks.graph import Device
from dmls.ids import CommitRef, DeviceId, EventId, ServerName, UserId
from dmls.matrix.events import Membership
from dmls.simulation.attacked import VILLAIN, AttackedRoom, check_attacker
from dmls.simulation.attackers.attacker import Attacker
from dmls.simulation.driver import Driver
from dmls.simulation.network import Faults
from dmls.simulation.oracle import check_convergence
from dmls.simulation.schedule import Change, LogIn, Schedule
from dmls.simulation.symbolic import use_symbolic_suite
from dmls.simulation.world import SentMessage

__all__ = ["ALICE", "BOB", "CAROL", "EVIL", "ONE", "TWO", "Siege"]

ALICE, BOB, CAROL = UserId("@alice:one"), UserId("@bob:two"), UserId("@carol:two")
ONE, TWO, EVIL = ServerName("one"), ServerName("two"), ServerName("evil")
_MALLORY = DeviceId("MALLORY")


class Siege:
    """The room, played step by step. Alice's and bob's homeservers are honest."""

    def __init__(self, *, power: int = 0, is_stubborn: bool = False) -> None:
        schedule = Schedule(0, (ONE, TWO, EVIL), ALICE, {ALICE: 100, VILLAIN: power}, Faults(slowest_ms=50), ())
        self.room = AttackedRoom(schedule, use_symbolic_suite(), is_stubborn=is_stubborn)
        users = (ALICE, BOB, VILLAIN, CAROL)
        for user in users:
            self.room.do(LogIn(user, _MALLORY if user == VILLAIN else DeviceId("D"), hosted=True))
        for user in users:
            self.room.do(Change(user, user, Membership.JOIN))
            self.room.rest(1_000)
        for user in users:
            self.say(user)
        self.mallory: Attacker = self.room.attacker(_MALLORY)
        self.mallory.study()

    @property
    def alice(self) -> Driver:
        """The agent that holds alice's device."""
        return self.room.services[ONE]

    @property
    def bob(self) -> Driver:
        """The agent that holds bob's and carol's devices."""
        return self.room.services[TWO]

    def own(self, user: UserId) -> Device:
        """Return a user's device."""
        (device,) = self.room.directory.devices(user).values()
        return device

    def say(self, user: UserId) -> SentMessage:
        """Have a user say something, and wait until everybody has got it."""
        message = self.room.post(self.own(user))
        self.room.rest(2_000)
        return message

    def ban(self) -> None:
        """Have alice ban mallory."""
        self.room.do(Change(ALICE, VILLAIN, Membership.BAN))
        self.room.rest(5_000)

    def attack(self, what: Callable[[Attacker], None], *, rest_ms: int = 5_000) -> list[EventId]:
        """Attack, and return the events that came of it once everybody has got them."""
        before = len(self.mallory.events)
        self.mallory.study()
        what(self.mallory)
        self.room.rest(rest_ms)
        return self.mallory.events[before:]

    def heal(self) -> list[str]:
        """Let half an hour pass; return what is then not as it must be."""
        self.room.rest(30 * 60_000)
        return [*self.room.violations, *check_convergence(self.room), *check_attacker(self.room, self.mallory)]

    def heads(self) -> set[CommitRef | None]:
        """Return the heads of the honest agents."""
        return {driver.state.head for driver in self.room.honest}

    def head(self) -> CommitRef:
        """Return the one head of all honest agents."""
        (head,) = self.heads()
        assert head is not None
        return head

    def members(self) -> set[Device]:
        """Return the members of the head of all."""
        self.head()
        return self.members_for(self.alice)

    def members_for(self, driver: Driver) -> set[Device]:
        """Return the members of the head that an agent has."""
        head = driver.state.head
        assert head is not None
        return set(devices_of(driver.state.entries[head].group.tree).values())

    def users(self) -> set[UserId]:
        """Return the users of the head's members."""
        return {device.user_id for device in self.members()}

    def result(self, driver: Driver, event_id: EventId) -> EventResult | None:
        """Return what an agent made of an event."""
        return driver.state.outcomes.get(event_id.encode())

    def notices(self, kind: NoticeKind) -> int:
        """Return how many notices of a kind the honest agents gave."""
        return sum(notice.kind is kind for driver in self.room.honest for notice in driver.notices)
