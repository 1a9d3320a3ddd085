"""A room of services, one for each server, that a test drives event by event: it sees every event and decides who else does.

Nothing is recorded and nothing is stored, but each service's records are kept as a store would keep them.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from dmls.engine.agent import Agent, OwnDevice, devices_of, make_client
from dmls.engine.effects import (
    BackfillWanted,
    ClaimWanted,
    Delete,
    DeviceListsWanted,
    Effects,
    EncryptResult,
    EventResult,
    EventToSend,
    Notice,
    NoticeKind,
    OutboxItem,
    ToDeviceToSend,
)
from dmls.engine.inputs import (
    AgentChanged,
    DecryptRequested,
    DeviceListChanged,
    EncryptRequested,
    EventReceived,
    Input,
    KeyPackagesProvided,
    MemberEventReceived,
    OutboxAnswered,
    RoomStateChanged,
    Tick,
    ToDeviceReceived,
)
from dmls.engine.room import RoomEngine
from dmls.engine.state import RoomState
from dmls.forks.graph import Device
from dmls.ids import CommitRef, DeviceId, EventId, KeyPackageRef, RoomId, ServerName, UserId
from dmls.matrix.bodies import ALGORITHM, Payload
from dmls.matrix.events import MemberEvent, Membership, RoomEvent
from dmls.matrix.identifiers import server_of
from dmls.matrix.membership import RoomFacts
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.group.leaf import KeyPackageBundle, create_key_package
from dmls.mls.messages.leaf_node import Lifetime
from dmls.mls.messages.message import encode_message

__all__ = ["MINUTE_MS", "ROOM", "SUITE", "Hall", "Service"]

ROOM = RoomId("!room:one")
SUITE = cipher_suite(1)
MINUTE_MS = 60_000


class Service:
    """One server's service."""

    def __init__(self, name: str, source: random.Random) -> None:
        self.name = name
        self.agent = Agent(ServerName(name), True)
        self.engine = RoomEngine.create(ROOM, self.agent)
        self.random = random.Random(source.randbytes(8)).randbytes
        self.records: dict[tuple[str, bytes], bytes] = {}
        self.bundles: dict[KeyPackageRef, KeyPackageBundle] = {}
        self.notices: list[Notice] = []
        self.wake_at_ms: int | None = None

    @property
    def state(self) -> RoomState:
        return self.engine.state

    def noticed(self, kind: NoticeKind) -> list[CommitRef]:
        """The nodes that notices of a kind were about."""
        return [notice.commit_ref for notice in self.notices if notice.kind is kind]

    def reload(self, records: dict[tuple[str, bytes], bytes] | None = None) -> None:
        """Rebuild the engine from its records, or from older ones."""
        if records is not None:
            self.records = dict(records)
        rows = [(table, key, value) for (table, key), value in self.records.items()]
        self.engine = RoomEngine.load(ROOM, self.agent, rows)

    def members(self) -> set[str]:
        """The users of the epoch that the service stands in."""
        assert self.state.stand is not None
        return {device.user_id for device in devices_of(self.state.entries[self.state.stand].group.tree).values()}


class Hall:
    """The homeservers' side of the room. What services send reaches all at once, unless `withheld` says it is kept back."""

    def __init__(self, seed: int, *servers: str, reload: bool = False) -> None:
        source = random.Random(seed)
        self.services = {name: Service(name, source) for name in servers}
        self.random = source.randbytes
        self.now = 1_800_000_000_000
        self.devices: dict[UserId, dict[DeviceId, Device]] = {}
        self.members: dict[UserId, MemberEvent] = {}
        self.timeline: list[RoomEvent] = []
        self.withheld: Callable[[str, RoomEvent], bool] = lambda server, event: False
        self.missed: dict[str, list[RoomEvent]] = {name: [] for name in servers}
        self._sides: list[frozenset[str]] = [frozenset(servers)]
        self.forgetful: set[str] = set()
        """Servers whose services lose the private halves of the key packages they give away."""
        self.refused: set[str] = set()
        """Servers whose services' events are refused."""
        self.results: dict[tuple[str, EventId], EventResult] = {}
        self.version = 0
        self.reload = reload
        self._todo: deque[Callable[[], object]] = deque()

    def __getitem__(self, name: str) -> Service:
        return self.services[name]

    # Users and devices

    def add_device(self, user: str, device_id: str = "D") -> Device:
        """Give a user a hosted device."""
        user_id = UserId(user)
        pair = SUITE.generate_signature_key_pair(self.random)
        device = Device(user_id, DeviceId(device_id), pair.public_key)
        service = self.services[server_of(user_id)]
        own = OwnDevice(device, make_client(SUITE, user_id, device.device_id, pair.private_key, pair.public_key))
        self.devices.setdefault(user_id, {})[device.device_id] = device
        service.agent = replace(service.agent, devices={**service.agent.devices, device: own})
        self.step(service.name, AgentChanged(service.agent))
        self._announce(user_id)
        return device

    def _announce(self, user: UserId) -> None:
        for name in self.services:
            if self.reaches(server_of(user), name):
                self.step(name, self._list(name, user))

    def reaches(self, server: str, other: str) -> bool:
        """Whether two servers are on one side of a cut."""
        return any({server, other} <= side for side in self._sides)

    def join(self, *users: str) -> None:
        for user in users:
            self.set_membership(user, Membership.JOIN)

    def set_membership(self, user: str, membership: Membership, *, by: str = "", servers: Iterable[str] = ()) -> MemberEvent:
        """Send a member event, and let the state of some servers, or of all, follow."""
        user_id = UserId(user)
        before = self.members.get(user_id)
        self.version += 1
        self.now += 10
        auth = () if before is None else (before.event_id,)
        event = MemberEvent(EventId(f"$member-{self.version}"), user_id, UserId(by or user), membership, auth)
        self.members[user_id] = event
        earlier = [sent for sent in self.timeline if sent.sender == user_id]
        for name in servers or self.services:
            self.step(name, MemberEventReceived(event))
            self.tell_state(name)
            if membership in (Membership.LEAVE, Membership.BAN):
                # The homeserver sees that these come before the departure.
                for sent in earlier:
                    if (name, sent.event_id) in self.results:
                        self.step(name, EventReceived(replace(sent, before_departure=True)))
        return event

    def tell_state(self, name: str, members: dict[UserId, MemberEvent] | None = None) -> None:
        """Tell a service the room's state."""
        self.version += 1
        creator = next(iter(self.members))
        facts = RoomFacts(creator, "12", "shared", ALGORITHM)
        self.step(name, RoomStateChanged(self.version, facts, dict(self.members if members is None else members), is_full=True))

    # Steps

    def step(self, name: str, happened: Input) -> Effects:
        """Let something happen at a service, and all that comes of it everywhere."""
        effects = self._step(self.services[name], happened)
        self.rest()
        return effects

    def rest(self) -> None:
        """Let everything come to rest that needs no time."""
        for _ in range(2_000):
            if not self._todo:
                return
            self._todo.popleft()()
        raise AssertionError("no rest")

    def _step(self, service: Service, happened: Input) -> Effects:
        content = happened.event.content if isinstance(happened, EventReceived) else None
        if isinstance(happened, ToDeviceReceived):
            content = happened.content
        names = service.engine.key_packages_named(content)
        bundles = {ref: service.bundles[ref] for ref in names if ref in service.bundles}
        effects = service.engine.step(happened, self.now, service.random, bundles)
        for change in effects.changes:
            if isinstance(change, Delete):
                service.records.pop((change.table, change.key), None)
            else:
                service.records[change.table, change.key] = change.value
        service.notices += effects.notices
        service.wake_at_ms = effects.wake_at_ms
        if isinstance(happened, EventReceived) and effects.result is not None:
            self.results[service.name, happened.event.event_id] = effects.result
        for event_id, result in effects.unparked:
            self.results[service.name, EventId(event_id)] = result
        if self.reload:
            service.reload()
        for item in effects.outbox:
            self._todo.append(lambda item=item: self._perform(service, item))  # type: ignore[misc]
        if not isinstance(happened, Tick) or effects.outbox:
            self._todo.append(lambda: self._step(service, Tick()))
        return effects

    def _perform(self, service: Service, item: OutboxItem) -> None:
        if isinstance(item, EventToSend):
            if service.name in self.refused:
                self._step(service, OutboxAnswered(item.commit_ref, None))
                return
            event = self.make_event(item.sender, json.loads(item.content))
            self._step(service, OutboxAnswered(item.commit_ref, event.event_id))
            self.send(event)
        elif isinstance(item, ToDeviceToSend):
            message_id = hashlib.sha256(item.content + item.device_id.encode()).hexdigest()
            message = ToDeviceReceived(message_id, item.sender, item.user_id, item.device_id, json.loads(item.content))
            if self.reaches(service.name, server_of(item.user_id)):
                self._step(self.services[server_of(item.user_id)], message)
        elif isinstance(item, ClaimWanted):
            self._step(service, KeyPackagesProvided({device: self._claim(service, device) for device in item.devices}))
        elif isinstance(item, DeviceListsWanted):
            for user in item.users:
                if self.reaches(service.name, server_of(user)):
                    self._step(service, self._list(service.name, user))
        elif isinstance(item, BackfillWanted):
            for event in self.timeline:
                if event.event_id in item.event_ids and not self.withheld(service.name, event):
                    self._step(service, EventReceived(event))

    def _claim(self, service: Service, device: Device) -> bytes | None:
        owner = self.services[device.server]
        own = owner.agent.devices.get(device)
        if own is None or not self.reaches(service.name, device.server):
            return None
        now = self.now // 1000
        bundle = create_key_package(SUITE, own.client, Lifetime(now - 3600, now + 86_400), owner.random)
        if device.server not in self.forgetful:
            owner.bundles[bundle.ref] = bundle
        return encode_message(bundle.key_package)

    def _list(self, name: str, user: UserId) -> DeviceListChanged:
        devices = tuple(sorted(self.devices.get(user, {}).values()))
        return DeviceListChanged(user, len(devices), self.now, devices, server_of(user) == name)

    # Events

    def make_event(self, sender: str, content: dict[str, Any]) -> RoomEvent:
        """Make an event that cites its sender's member event."""
        user = UserId(sender)
        event_id = EventId("$" + hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:43])
        auth = (self.members[user].event_id,) if user in self.members else ()
        return RoomEvent(event_id, ROOM, user, "m.room.encrypted", None, content, self.now, auth_events=auth)

    def send(self, event: RoomEvent) -> None:
        """Put an event into the room."""
        self.timeline.append(event)
        for name, service in self.services.items():
            if self.withheld(name, event):
                self.missed[name].append(event)
            else:
                self._step(service, EventReceived(event))

    def deliver(self, name: str, event: RoomEvent) -> EventResult:
        """Show an event to one service."""
        result = self.step(name, EventReceived(event)).result
        assert result is not None
        return result

    def heal(self, *names: str) -> None:
        """Let some servers, or all, reach each other again, and show them what was kept back."""
        self.cut(names or tuple(self.services))
        for name, events in self.missed.items():
            shown = [event for event in events if not self.withheld(name, event)]
            events[:] = [event for event in events if event not in shown]
            for event in shown:
                self._step(self.services[name], EventReceived(event))
        self.rest()
        for user in self.devices:
            self._announce(user)

    def cut(self, *groups: Iterable[str]) -> None:
        """Let servers reach those of their own group only."""
        self._sides = [frozenset(group) for group in groups]
        self.withheld = lambda server, event: not self.reaches(server, server_of(event.sender))

    def encrypt(self, device: Device, body: str) -> EncryptResult:
        """Ask for a message, and let what comes with it be sent."""
        payload = Payload("m.room.message", {"body": body}, ROOM)
        result = self.step(device.server, EncryptRequested(device.user_id, device.device_id, payload)).encrypted
        assert result is not None
        return result

    def say(self, device: Device, body: str) -> RoomEvent:
        """Send a message."""
        result = self.encrypt(device, body)
        assert result.outcome == "ok", result.outcome
        event = self.make_event(device.user_id, json.loads(result.content))
        self.send(event)
        self.rest()
        return event

    def read(self, device: Device, event: RoomEvent) -> tuple[str, str]:
        """Return outcome and body of a message for a device."""
        result = self.step(device.server, DecryptRequested(device.user_id, device.device_id, event.event_id)).decrypted
        assert result is not None
        return result.outcome, json.loads(result.payload)["content"]["body"] if result.payload else ""

    def wait(self, seconds: float) -> None:
        """Let time pass, and all that falls due in it happen in order."""
        end = self.now + int(seconds * 1000)
        while True:
            due = [at for service in self.services.values() if (at := service.wake_at_ms) is not None and at <= end]
            if not due:
                break
            self.now = max(self.now, min(due))
            for service in self.services.values():
                if service.wake_at_ms is not None and service.wake_at_ms <= self.now:
                    self._step(service, Tick())
            self.rest()
        self.now = end

    def heads(self) -> set[CommitRef | None]:
        """The heads of all services."""
        return {service.state.head for service in self.services.values()}

    def stands(self) -> set[CommitRef | None]:
        """The nodes that the services stand in."""
        return {service.state.stand for service in self.services.values()}
