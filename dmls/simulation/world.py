"""A whole simulated room: homeservers that federate, agents beside them, and a schedule that is played through all of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from dmls.engine.agent import Agent, devices_of
from dmls.engine.effects import EncryptOutcome
from dmls.engine.inputs import EncryptRequested, EventReceived, MemberEventReceived, RoomStateChanged
from dmls.forks.graph import Device
from dmls.ids import CommitRef, EventId, RoomId, ServerName, UserId
from dmls.matrix.bodies import Payload
from dmls.matrix.encoding import parse_json_object
from dmls.matrix.events import MemberEvent, Membership
from dmls.matrix.membership import RoomFacts
from dmls.mls.crypto.suites import CipherSuite
from dmls.simulation.directory import Directory, server_of
from dmls.simulation.driver import CrashPoint, Driver, Surroundings
from dmls.simulation.homeserver import Arrival, Homeserver
from dmls.simulation.memory import MemoryDriver
from dmls.simulation.network import Agenda, Network
from dmls.simulation.requests import Requests
from dmls.simulation.room_graph import GraphEvent, RoomGraph
from dmls.simulation.schedule import Act, Change, Crash, Cut, Heal, LogIn, LogOut, Post, Schedule

__all__ = ["SentMessage", "World"]

_ALGORITHM = "org.dmls.v1"
_RETRY_MS = 1_000
_MOST_TRIES = 900
_LONGEST_IDLE = 10
_CATCH_UP_MS = 60_000


@dataclass
class SentMessage:
    """A message and what became of it.

    Attributes:
        readers: the members of its epoch.
        event_id, commit_ref: None while it could not be encrypted.
    """

    number: int
    sender: Device
    readers: frozenset[Device] = frozenset()
    event_id: EventId | None = None
    commit_ref: CommitRef | None = None
    tries: int = 0
    last_outcome: str = ""


@dataclass
class World:
    """One run. Everything in it follows from the schedule and its seed.

    Attributes:
        log: told in a line of whatever happens; for a reader who replays a seed.
    """

    schedule: Schedule
    suite: CipherSuite
    log: Callable[[int, str], None] = lambda _now_ms, _line: None
    make_driver: Callable[[str, ServerName, bool, Surroundings], Driver] = MemoryDriver
    messages: list[SentMessage] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        schedule = self.schedule
        self.rng = random.Random(f"world {schedule.seed}")
        self.agenda = Agenda()
        self.network = Network(self.agenda, self.rng, schedule.faults)
        self.graph = RoomGraph(schedule.power)
        self.room_id = RoomId(f"!room:{schedule.servers[0]}")
        self.facts = RoomFacts(schedule.creator, "11", "shared", _ALGORITHM)
        self.homeservers = {name: Homeserver(name, self.room_id, self.graph) for name in schedule.servers}
        self.directory = Directory(self.suite, self.rng.randbytes)
        self.requests = Requests(
            self.agenda,
            self.network,
            self.rng,
            self.directory,
            self.homeservers,
            self.publish,
            lambda line: self.log(self.agenda.now_ms, line),
        )
        self.around = Surroundings(
            self.room_id,
            self.suite.id,
            self.rng.randbytes,
            lambda: self.agenda.now_ms,
            self._crash_next,
            self._look_after,
            self._settle_soon,
            lambda line: self.log(self.agenda.now_ms, line),
        )
        self.services = {name: self._driver(f"{name}-service", name, is_service=True) for name in schedule.servers}
        self.clients: list[Driver] = []
        self.departed: list[Driver] = []
        """Agents whose device has logged out, as they were then."""
        self._is_quiet = False
        """No more crashes: the schedule is over."""
        self._planned: dict[Driver, int] = {}
        self._flushing: set[Driver] = set()
        self._settling: set[Driver] = set()
        self._idle: dict[Driver, int] = {}

    @property
    def drivers(self) -> list[Driver]:
        """All agents that are still there."""
        return [*self.services.values(), *self.clients]

    # Playing

    def play(self) -> None:
        """Play the schedule; at its end everything is whole again."""
        for gap_ms, act in self.schedule.acts:
            self.agenda.run(self.agenda.now_ms + gap_ms)
            self.log(self.agenda.now_ms, str(act))
            self.do(act)
        self.agenda.run(self.agenda.now_ms + self.rng.choice((0, 1_000, 30_000)))
        self.end()

    def end(self) -> None:
        """Let everything be whole again, and nothing crash any more."""
        self.network.heal()
        self.log(self.agenda.now_ms, "the schedule is over, all links are whole")
        self.agenda.after(_CATCH_UP_MS, self._catch_up_all)
        self._is_quiet = True

    def rest(self, duration_ms: int) -> None:
        """Let time pass with nothing scheduled."""
        self.agenda.run(self.agenda.now_ms + duration_ms)

    def do(self, act: Act) -> None:
        """Let one thing happen now."""
        match act:
            case Change():
                self._change(act)
            case LogIn():
                self._log_in(act)
            case LogOut():
                self._log_out(act)
            case Post():
                devices = sorted(self.directory.devices(act.user).values())
                if devices:
                    self.post(devices[act.choice % len(devices)])
            case Cut():
                self.network.cut(act.pairs)
            case Heal():
                self.network.heal()
            case Crash():
                service = self.services[act.server]
                if service.is_up:
                    service.crash()

    # The room

    def _change(self, change: Change) -> None:
        server = server_of(change.sender)
        homeserver = self.homeservers[server]
        if change.membership is Membership.JOIN and server not in homeserver.joined_servers():
            self._join_from_outside(change, homeserver)
            return
        event = homeserver.set_membership(change.sender, change.user, change.membership, self.agenda.now_ms)
        if event is not None:
            self.publish(server, event)

    def _join_from_outside(self, change: Change, homeserver: Homeserver) -> None:
        """Let the first user of a homeserver join, by way of one that is in the room."""
        if change.sender == self.schedule.creator and not any(other.events for other in self.homeservers.values()):
            event = homeserver.set_membership(change.sender, change.user, change.membership, self.agenda.now_ms)
            if event is not None:
                self.publish(homeserver.name, event)
            return
        for name, resident in self.homeservers.items():
            is_near = self.network.is_open(name, homeserver.name) and self.network.is_open(homeserver.name, name)
            if name in resident.joined_servers() and is_near:
                event = resident.set_membership(change.sender, change.user, change.membership, self.agenda.now_ms)
                if event is not None:
                    self.publish(name, event)
                    self._receive(homeserver.name, event.event_id)
                return

    def publish(self, server: ServerName, event: GraphEvent) -> None:
        """Have an event at one homeserver, and send it to all that are in the room before or after it."""
        homeserver = self.homeservers[server]
        before = homeserver.joined_servers()
        self._receive(server, event.event_id)
        for other in sorted((before | homeserver.joined_servers()) - {server}):
            self.network.send(server, other, lambda other=other: self._receive(other, event.event_id))  # type: ignore[misc]

    def _receive(self, server: ServerName, event_id: EventId) -> None:
        homeserver = self.homeservers[server]
        for arrival in list(homeserver.take(event_id)):
            for driver in self._audience(homeserver, arrival):
                self._tell(driver, homeserver, arrival)

    def _catch_up_all(self) -> None:
        """Let homeservers have what was sent when it was not known yet that they are in the room."""
        for name, homeserver in self.homeservers.items():
            for other in sorted(homeserver.joined_servers() - {name}):
                for event_id in homeserver.extremities:
                    self._receive(other, event_id)

    def _audience(self, homeserver: Homeserver, arrival: Arrival) -> Iterator[Driver]:
        yield self.services[homeserver.name]
        for client in list(self.clients):
            users = {device.user_id for device in client.agent.devices}
            if client.server == homeserver.name and (
                any(homeserver.membership(user) is Membership.JOIN for user in users) or users & arrival.changes.keys()
            ):
                yield client

    def _tell(self, driver: Driver, homeserver: Homeserver, arrival: Arrival) -> None:
        event = arrival.event
        joins = {user for user, member in arrival.changes.items() if member is not None and member.membership is Membership.JOIN}
        if not driver.is_service and any(device.user_id in joins for device in driver.agent.devices):
            self.catch_up(driver)
            return
        if event.member is not None:
            driver.tell(MemberEventReceived(event.member))
        if arrival.changes:
            driver.version += 1
            driver.tell(RoomStateChanged(driver.version, self.facts, arrival.changes))
        if event.member is None:
            self._pass_on(driver, homeserver, event)
        elif event.member.membership in (Membership.LEAVE, Membership.BAN):
            for earlier in homeserver.encrypted_by(event.member.user_id):
                driver.tell(EventReceived(homeserver.room_event(earlier)))

    def _pass_on(self, driver: Driver, homeserver: Homeserver, event: GraphEvent) -> None:
        kind = (event.content or {}).get("kind")
        if kind == "commit" and self.rng.random() < self.network.faults.withholding and not self._is_quiet:
            self.log(self.agenda.now_ms, f"{driver.name} is not told of {event.event_id[:8]}")
            return
        driver.tell(EventReceived(homeserver.room_event(event)))

    def catch_up(self, driver: Driver) -> None:
        """Give an agent the room's state and its timeline as its homeserver has them."""
        homeserver = self.homeservers[driver.server]
        driver.version += 1
        members = {user: homeserver.current(user) for user in homeserver.state}
        past = tuple(member for name in homeserver.events if (member := self.graph[name].member) is not None)
        driver.tell(RoomStateChanged(driver.version, self.facts, members, past, is_full=True))
        for name in list(homeserver.events):
            if self.graph[name].content is not None:
                driver.tell(EventReceived(homeserver.room_event(self.graph[name])))

    # Devices

    def _driver(self, name: str, server: ServerName, *, is_service: bool) -> Driver:
        return self.make_driver(name, server, is_service, self.around)

    def _crash_next(self) -> CrashPoint | None:
        rate = self.network.faults.crash
        if self._is_quiet or not rate or self.rng.random() >= rate:
            return None
        return self.rng.choice(tuple(CrashPoint))

    def _log_in(self, act: LogIn) -> None:
        server = server_of(act.user)
        if act.hosted:
            driver = self.services[server]
        else:
            driver = self._driver(f"{act.user}-{act.device_id}", server, is_service=False)
            self.clients.append(driver)
        own = self.directory.log_in(act.user, act.device_id, driver)
        driver.set_agent(Agent(server, driver.is_service, {**driver.agent.devices, own.device: own}))
        self._announce(act.user)
        if not driver.is_service and self.homeservers[server].membership(act.user) is Membership.JOIN:
            self.catch_up(driver)

    def _log_out(self, act: LogOut) -> None:
        device = self.directory.log_out(act.user, act.device_id)
        driver = self.directory.owner(device)
        if driver.is_service:
            kept = {other: own for other, own in driver.agent.devices.items() if other != device}
            driver.set_agent(Agent(driver.server, True, kept))
        else:
            self.clients.remove(driver)
            self.departed.append(driver)
            driver.end()
        self._announce(act.user)

    def _announce(self, user: UserId) -> None:
        """Tell the user's own service at once; the other agents when it comes to them."""
        server = server_of(user)
        now_ms = self.agenda.now_ms
        self.services[server].tell(self.directory.device_list(user, now_ms, is_own=True))
        for driver in self.drivers:
            if driver is not self.services[server]:
                self.network.send(server, driver.server, lambda driver=driver: self._tell_list(driver, user))  # type: ignore[misc]

    def _tell_list(self, driver: Driver, user: UserId) -> None:
        driver.tell(self.directory.device_list(user, self.agenda.now_ms, is_own=False))

    # Agents

    def _look_after(self, driver: Driver) -> None:
        """Plan what an agent needs next: to be started again, its outbox to be emptied, to be woken."""
        if not driver.is_up:
            self.log(self.agenda.now_ms, f"{driver.name} crashed")
            self.agenda.after(self.rng.randrange(1, self.network.faults.down_ms + 1), lambda: self._restart(driver))
            return
        if driver.has_outgoing and driver not in self._flushing:
            self._flushing.add(driver)
            self.agenda.after(self.rng.randrange(1, 20), lambda: self._flush(driver))
        at_ms = driver.wake_at_ms
        if at_ms is not None and self._planned.get(driver) != at_ms:
            self._planned[driver] = at_ms
            wait_ms = at_ms - self.agenda.now_ms
            # Due, but not to be done: no reason to ask every millisecond.
            self._idle[driver] = min(self._idle.get(driver, 0) + 1, _LONGEST_IDLE) if wait_ms <= 1 else 0
            self.agenda.after(max(wait_ms, 1 << self._idle[driver]), lambda: self._wake(driver))

    def _settle_soon(self, driver: Driver) -> None:
        """Let an agent do what is due: at once, or for all that comes in within a moment."""
        patience_ms = self.network.faults.patience_ms
        if not patience_ms and driver.is_up:
            driver.settle()
        elif patience_ms and driver not in self._settling:
            self._settling.add(driver)
            self.agenda.after(self.rng.randrange(1, patience_ms + 1), lambda: self._settle(driver))

    def _settle(self, driver: Driver) -> None:
        self._settling.discard(driver)
        if driver.is_up:
            driver.settle()

    def _restart(self, driver: Driver) -> None:
        if not driver.is_up and (driver.is_service or driver in self.clients):
            self._planned.pop(driver, None)
            driver.restart()

    def _flush(self, driver: Driver) -> None:
        self._flushing.discard(driver)
        driver.flush(self.requests)

    def _wake(self, driver: Driver) -> None:
        if driver.is_up and driver.wake_at_ms is not None and driver.wake_at_ms <= self.agenda.now_ms:
            self._planned.pop(driver, None)
            driver.settle()

    # Messages

    def post(self, sender: Device) -> SentMessage:
        """Have a device send a message, as soon as it can."""
        message = SentMessage(len(self.messages), sender)
        self.messages.append(message)
        self._try(message)
        return message

    def _try(self, message: SentMessage) -> None:
        user, driver = message.sender.user_id, self.directory.owner(message.sender)
        homeserver = self.homeservers[driver.server]
        is_there = message.sender in driver.agent.devices and message.sender in self.directory.devices(user).values()
        if not is_there or homeserver.membership(user) is not Membership.JOIN or message.tries >= _MOST_TRIES:
            return
        message.tries += 1
        payload = Payload("m.room.message", {"body": str(message.number)}, self.room_id)
        effects = driver.ask(EncryptRequested(user, message.sender.device_id, payload))
        result = None if effects is None else effects.encrypted
        if result is None or result.outcome is not EncryptOutcome.OK:
            message.last_outcome = "no answer" if result is None else result.outcome
            self._settle_soon(driver)
            self.agenda.after(_RETRY_MS, lambda: self._try(message))
            return
        self._note(message, driver, result.commit_ref)
        # What the message needs first goes out before it.
        self._flush(driver)
        event = homeserver.send_encrypted(user, parse_json_object(result.content), self.agenda.now_ms)
        if event is not None:
            message.event_id = event.event_id
            self.log(self.agenda.now_ms, f"message {message.number} by {user} in {result.commit_ref.hex()[:8]}")
            self.publish(driver.server, event)
        self._settle_soon(driver)

    def _note(self, message: SentMessage, driver: Driver, ref: CommitRef) -> None:
        message.last_outcome, message.commit_ref = EncryptOutcome.OK, ref
        message.readers = frozenset(devices_of(driver.state.entries[ref].group.tree).values())
        homeserver = self.homeservers[driver.server]
        for reader in sorted(message.readers):
            if homeserver.membership(reader.user_id) is not Membership.JOIN:
                self.violations.append(f"message {message.number} can be read by {reader.user_id}, who is not in the room")

    def member(self, user: UserId) -> MemberEvent | None:
        """Return a user's member event, as the homeservers in the room have it."""
        return next((hs.current(user) for hs in self.homeservers.values() if hs.name in hs.joined_servers()), None)
