"""Small rooms for scripted scenarios: simulated homeservers, engines with real cryptography, virtual time."""

from __future__ import annotations

from dataclasses import replace

from dmls.engine.state import RoomState
from dmls.forks.graph import Device, Node
from dmls.forks.renewal import RenewalRules
from dmls.ids import DeviceId, ServerName, UserId
from dmls.matrix.events import Membership
from dmls.mls.crypto.suites import cipher_suite
from dmls.simulation.driver import Driver
from dmls.simulation.network import Faults
from dmls.simulation.schedule import Act, Change, Cut, Heal, LogIn, Schedule
from dmls.simulation.world import SentMessage, World

__all__ = ["DAY_MS", "MINUTE_MS", "SmallRoom"]

MINUTE_MS = 60_000
DAY_MS = 86_400_000


class SmallRoom(World):
    """A room of users such as `a:s1`, each with one device `D`, all joined; the first has made it.

    Users named in capitals have a client device, the others one that their service hosts.
    """

    def __init__(self, *users: str, seed: int, rules: RenewalRules | None = None) -> None:
        self.users = [UserId(f"@{user}") for user in users]
        servers = tuple(dict.fromkeys(ServerName(user.partition(":")[2]) for user in users))
        power = dict.fromkeys(self.users, 50) | {self.users[0]: 100}
        super().__init__(Schedule(seed, servers, self.users[0], power, Faults(slowest_ms=200), ()), cipher_suite(1))
        self.rules = rules
        for user in self.users:
            self.do(LogIn(user, DeviceId("D"), hosted=user.islower()))
        for user in self.users:
            self.do(Change(user, user, Membership.JOIN))
            self.rest(1_000)
        self.rest(MINUTE_MS)
        self.heads()

    def do(self, act: Act) -> None:
        """Let something happen now."""
        super().do(act)
        if isinstance(act, LogIn) and self.rules is not None:
            owner = self.owner(act.user, act.device_id)
            owner.set_agent(replace(owner.agent, rules=self.rules))

    def cut(self) -> None:
        """Let no homeserver reach another."""
        servers = self.schedule.servers
        self.do(Cut(tuple((one, other) for one in servers for other in servers if one != other)))

    def heal(self) -> None:
        """Make every link whole."""
        self.do(Heal())

    def device(self, user: str, device_id: str = "D") -> Device:
        return self.directory.devices(UserId(f"@{user}"))[DeviceId(device_id)]

    def owner(self, user: UserId, device_id: DeviceId) -> Driver:
        return self.directory.owner(self.directory.devices(user)[device_id])

    def say(self, user: str, device_id: str = "D") -> SentMessage:
        """Have a device send a message, and a second pass."""
        message = self.post(self.device(user, device_id))
        self.rest(1_000)
        return message

    def state(self, server: str) -> RoomState:
        return self.services[ServerName(server)].state

    def heads(self) -> Node:
        """Return the head, which all agents agree on, with nobody too many or missing."""
        heads = {driver.state.head for driver in self.drivers if driver.agent.devices}
        assert len(heads) == 1, {driver.name: (driver.state.head or b"").hex()[:8] for driver in self.drivers}
        (head,) = heads
        assert head is not None
        return self.drivers[0].state.graph.node(head)

    def members(self) -> set[UserId]:
        """Return the users of the head's devices."""
        head = self.heads()
        state = self.drivers[0].state
        return {device.user_id for device in state.graph.leaf_origins(head.commit_ref)}

    def renewed_at_ms(self, user: str, device_id: str = "D") -> int:
        """Return when the keys came that a device has in the head."""
        state, device = self.drivers[0].state, self.device(user, device_id)
        ref = state.graph.leaf_renewal(self.heads().commit_ref, device)
        assert ref is not None
        return state.entries[ref].received_at_ms
