"""A small room that forks and heals, always the same: what docs/worked-fork.md and its JSON are made from."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from dmls.engine.agent import Agent, OwnDevice, make_client
from dmls.engine.effects import (
    DeviceListsWanted,
    Effects,
    EncryptOutcome,
    EventToSend,
)
from dmls.engine.inputs import (
    AgentChanged,
    DecryptRequested,
    DeviceListChanged,
    EncryptRequested,
    EventReceived,
    Input,
    OutboxAnswered,
    RoomStateChanged,
    Tick,
)
from dmls.engine.room import RoomEngine
from dmls.forks import pprf
from dmls.forks.graph import Device
from dmls.ids import CommitRef, DeviceId, EventId, RoomId, ServerName, UserId
from dmls.matrix.bodies import Payload
from dmls.matrix.events import MemberEvent, Membership, RoomEvent
from dmls.matrix.membership import RoomFacts
from dmls.mls.crypto.suites import cipher_suite
from tests.support.known_answers.recording import RecordingRule

__all__ = ["ROOM", "Home", "WorkedFork", "play"]

SUITE = cipher_suite(1)
ROOM = RoomId("!worked-fork:one.example")
START_MS = 1_700_000_000_000
ALICE, BOB, CAROL = (UserId(name) for name in ("@alice:one.example", "@bob:one.example", "@carol:two.example"))


@dataclass
class Home:
    """A homeserver and its service."""

    name: ServerName
    engine: RoomEngine
    agent: Agent
    random: Callable[[int], bytes]
    members: dict[UserId, MemberEvent] = field(default_factory=dict)
    received: list[EventId] = field(default_factory=list)
    """The events of the group that it has, in the order in which they came."""


@dataclass
class WorkedFork:
    """The room as it is being played; the fields are what the page tells."""

    homes: dict[ServerName, Home]
    rule: RecordingRule
    now_ms: int = START_MS
    is_cut: bool = False
    events: dict[EventId, RoomEvent] = field(default_factory=dict)
    servers: dict[EventId, ServerName] = field(default_factory=dict)
    member_events: list[MemberEvent] = field(default_factory=list)
    devices: dict[UserId, dict[Device, bytes]] = field(default_factory=dict)
    """Private signature keys."""
    heads: dict[str, dict[ServerName, CommitRef | None]] = field(default_factory=dict)
    """The heads at some moments."""
    plaintexts: dict[EventId, Payload] = field(default_factory=dict)
    _held_back: list[tuple[ServerName, Input]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _keys: random.Random = field(default_factory=lambda: random.Random("keys of the worked fork"))

    # Steps

    def step(self, home: Home, happened: Input) -> Effects:
        effects = home.engine.step(happened, self.now_ms, home.random, {})
        for item in effects.outbox:
            if isinstance(item, EventToSend):
                self._publish(home, item)
            elif isinstance(item, DeviceListsWanted):
                for user in item.users:
                    self.pass_on(home.name, self._list(user, is_own=False), to=home.name)
            else:
                raise AssertionError(f"{home.name} wants what this room does not need: {item}")
        return effects

    def pass_on(self, source: ServerName, happened: Input, *, to: ServerName) -> None:
        """Let something happen at a server, once the link is whole if it comes from the other."""
        if self.is_cut and source != to:
            self._held_back.append((to, happened))
            return
        if isinstance(happened, EventReceived):
            self.homes[to].received.append(happened.event.event_id)
        self.step(self.homes[to], happened)

    def settle(self, seconds: int = 1) -> None:
        """Let time pass at both servers."""
        for _ in range(seconds):
            self.now_ms += 1_000
            for home in self.homes.values():
                self.step(home, Tick())

    def _publish(self, home: Home, item: EventToSend) -> None:
        content = json.loads(item.content)
        event_id = EventId(f"${content['kind']}-{next(self._numbers)}")
        auth = (home.members[item.sender].event_id,)
        event = RoomEvent(event_id, ROOM, item.sender, "m.room.encrypted", None, content, self.now_ms, auth_events=auth)
        self.events[event_id], self.servers[event_id] = event, home.name
        self.step(home, OutboxAnswered(item.commit_ref, event_id))
        for to in self.homes:
            self.pass_on(home.name, EventReceived(event), to=to)

    # What happens in the room

    def log_in(self, user: UserId, device_id: str) -> None:
        home = self.home_of(user)
        pair = SUITE.generate_signature_key_pair(self._keys.randbytes)
        device = Device(user, DeviceId(device_id), pair.public_key)
        own = OwnDevice(device, make_client(SUITE, user, device.device_id, pair.private_key, pair.public_key))
        self.devices.setdefault(user, {})[device] = bytes(pair.private_key)
        home.agent = Agent(home.name, True, {**home.agent.devices, device: own})
        self.step(home, AgentChanged(home.agent))
        for to, other in self.homes.items():
            is_own = to == home.name
            if is_own or user in other.engine.state.lists:
                self.pass_on(home.name, self._list(user, is_own=is_own), to=to)

    def _list(self, user: UserId, *, is_own: bool) -> DeviceListChanged:
        devices = tuple(sorted(self.devices[user]))
        return DeviceListChanged(user, len(devices), self.now_ms, devices, is_own)

    def join(self, user: UserId) -> None:
        event = MemberEvent(EventId(f"$join-{user[1:].partition(':')[0]}"), user, user, Membership.JOIN)
        self.member_events.append(event)
        for to, home in self.homes.items():
            home.members[user] = event
            # A server is told of everybody, since it may be the first time that it hears of the room.
            members: dict[UserId, MemberEvent | None] = dict(home.members)
            self.pass_on(self.home_of(user).name, RoomStateChanged(len(members), FACTS, members), to=to)

    def say(self, user: UserId, device_id: str, text: str) -> None:
        home = self.home_of(user)
        payload = Payload("m.room.message", {"msgtype": "m.text", "body": text}, ROOM)
        sent = self.step(home, EncryptRequested(user, DeviceId(device_id), payload)).encrypted
        assert sent is not None
        assert sent.outcome == EncryptOutcome.OK
        known = set(self.events)
        self._publish(home, EventToSend(user, sent.content))
        (event_id,) = set(self.events) - known
        self.plaintexts[event_id] = payload

    def home_of(self, user: UserId) -> Home:
        return self.homes[ServerName(user.partition(":")[2])]

    def note(self, moment: str) -> None:
        self.heads[moment] = {name: home.engine.state.head for name, home in self.homes.items()}

    def heal(self) -> None:
        self.is_cut = False
        waiting, self._held_back = self._held_back, []
        for to, happened in waiting:
            self.pass_on(to, happened, to=to)

    def reads(self, user: UserId, device_id: str, event_id: EventId) -> str:
        """Return what became of a message for a device."""
        result = self.step(self.home_of(user), DecryptRequested(user, DeviceId(device_id), event_id)).decrypted
        assert result is not None
        return result.outcome


FACTS = RoomFacts(create_sender=ALICE, room_version="10", encryption_algorithm="org.dmls.v1")


@contextmanager
def _recorded() -> Iterator[RecordingRule]:
    """Let every group of mode `pprf` note its secrets."""
    rule, usual = RecordingRule(), pprf.PPRF_RULE
    pprf.PPRF_RULE = rule
    try:
        yield rule
    finally:
        pprf.PPRF_RULE = usual


def play() -> WorkedFork:
    """Play the room from its beginning to the healed fork."""
    with _recorded() as rule:
        homes = {}
        for name in (ServerName("one.example"), ServerName("two.example")):
            agent = Agent(name, True)
            random_bytes = random.Random(f"randomness of {name}").randbytes
            homes[name] = Home(name, RoomEngine.create(ROOM, agent), agent, random_bytes)
        room = WorkedFork(homes, rule)
        room.log_in(ALICE, "ALICE1")
        room.log_in(BOB, "BOB1")
        room.log_in(CAROL, "CAROL1")
        for user in (ALICE, BOB, CAROL):
            room.join(user)
            room.settle()
        room.say(ALICE, "ALICE1", "hello")
        room.say(BOB, "BOB1", "hello both")
        room.say(CAROL, "CAROL1", "hello from two")
        room.settle()
        room.note("before the cut")
        room.is_cut = True
        room.log_in(BOB, "BOB2")
        room.settle()
        room.say(BOB, "BOB1", "a second device of mine")
        room.log_in(CAROL, "CAROL2")
        room.settle()
        room.say(CAROL, "CAROL1", "one of mine as well")
        room.note("while the link is cut")
        room.heal()
        room.note("when the link is whole")
        room.settle(5)
        room.say(ALICE, "ALICE1", "together again")
        room.settle()
        room.note("at the end")
    return room
