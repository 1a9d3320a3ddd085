"""Homeservers for tests of `dmls.rooms`: each with a store and a keeper, and a link that carries what they want sent."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from devicestore import Sealing, Store, devices, outbox
from devicestore.devices import Custody, DeviceRow
from devicestore.key_packages import Claimant
from dmls.engine.effects import ClaimWanted, DeviceListsWanted, EncryptOutcome, EventToSend, ToDeviceToSend
from dmls.engine.inputs import (
    DecryptRequested,
    DeviceListChanged,
    EncryptRequested,
    EventReceived,
    KeyPackagesProvided,
    RoomStateChanged,
    ToDeviceReceived,
)
from dmls.engine.state import RoomState
from dmls.forks.graph import Device
from dmls.ids import DeviceId, EventId, RoomId, ServerName, UserId
from dmls.matrix.bodies import ALGORITHM, Payload
from dmls.matrix.events import MemberEvent, Membership, RoomEvent
from dmls.matrix.identifiers import server_of
from dmls.matrix.membership import RoomFacts
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.group.leaf import KeyPackageBundle
from dmls.rooms.answers import Answer, AnswerResult, Answers
from dmls.rooms.keeper import Keeper, Report
from dmls.rooms.key_packages import claim_for, make_bundles, store_bundles
from dmls.rooms.outbox import Backfill, BlobToStore, StoredItem, decode_item
from dmls.rooms.people import own_device
from dmls.rooms.session import Session

__all__ = ["ROOM", "SUITE", "Clock", "Home", "World", "heads", "read_pending"]

ROOM = RoomId("!room:hs1")
"""The room of most tests, made by alice of hs1."""
SUITE = cipher_suite(1)


@dataclass
class Clock:
    """A clock that a test sets."""

    now_ms: int = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now_ms


class Home:
    """A homeserver with its service's store and keeper."""

    def __init__(self, name: str, folder: Path, clock: Clock, seed: int, url: str = "") -> None:
        self.server = ServerName(name)
        self.path = folder / f"{name}.db"
        self.url = url or f"sqlite:///{self.path}"
        self.clock = clock
        self.random = random.Random(f"{seed} {name}").randbytes
        self.secrets: dict[Device, Secret] = {}
        self.reports: list[Report] = []
        self.open()

    def open(self, *, max_open: int = 1_000) -> None:
        self.store = Store.open(self.url, Sealing(b"k" * 32), migrate=True)
        self.keeper = Keeper(
            self.store,
            self.server,
            is_service=True,
            clock=self.clock,
            random=self.random,
            on_report=self.reports.append,
            max_open=max_open,
        )

    def restart(self, *, max_open: int = 1_000) -> None:
        self.store.close()
        self.open(max_open=max_open)

    def state(self, room_id: RoomId = ROOM) -> RoomState:
        state = self.keeper.state(room_id)
        assert state is not None
        return state

    def add_device(self, name: str, device_id: str = "D1", *, custody: Custody = Custody.HOSTED, stock: int = 3) -> Device:
        """Register a device with some key packages."""
        user = UserId(f"@{name}:{self.server}")
        pair = SUITE.generate_signature_key_pair(self.random)
        device = Device(user, DeviceId(device_id), pair.public_key)
        self.secrets[device] = pair.private_key
        self.register(self.store, device, custody)
        if stock:
            self.stock(device, stock)
        self.keeper.devices_changed(user)
        return device

    def register(self, store: Store, device: Device, custody: Custody) -> None:
        """Register a device in a store: in its own with the key, as in that of a service that hosts it."""
        row = DeviceRow(device.user_id, device.device_id, custody, device.signature_key, b"", (1,), None, self.clock())
        secret = self.secrets[device] if custody is Custody.HOSTED else None
        store.write(lambda conn: devices.register(conn, row, secret)).result()

    def stock(self, device: Device, count: int, *, last_resort: bool = False) -> list[KeyPackageBundle]:
        """Give a device key packages."""
        own = own_device(device, 1, self.secrets[device])
        bundles = make_bundles(own, SUITE, self.clock(), self.random, count=count, last_resort=last_resort)
        self.store.write(lambda conn: store_bundles(conn, device, bundles, limit=100, now_ms=self.clock())).result()
        return bundles

    def remove_device(self, device: Device) -> None:
        self.store.write(lambda conn: devices.remove(conn, device.user_id, device.device_id, now_ms=self.clock())).result()
        self.keeper.devices_changed(device.user_id)

    def pending(self) -> list[StoredItem]:
        return read_pending(self.store)

    def acknowledge(self, seq: int, event_id: EventId | None, *, is_refused: bool = False) -> str:
        item = next((item for item in self.pending() if item.seq == seq), None)
        rooms = [] if item is None else [item.room_id]
        record = b"refused" if is_refused else f"sent {event_id}".encode()

        def work(session: Session) -> tuple[Answers, list[tuple[Answer, AnswerResult | None]]]:
            answers = Answers(session)
            return answers, answers.take([Answer(seq, event_id, is_refused, record)])

        results = self.keeper.transact(rooms, work, lambda conn, _, taken: taken[0].store(conn, taken[1]))
        return str(results[0].outcome.value)

    def encrypt(self, device: Device, body: str, room_id: RoomId = ROOM) -> tuple[str, bytes]:
        payload = Payload("m.room.message", {"body": body}, room_id)
        happened = EncryptRequested(device.user_id, device.device_id, payload)
        result = self.keeper.transact([room_id], lambda session: session.step(room_id, happened)).encrypted
        assert result is not None
        return str(result.outcome), result.content

    def decrypt(self, device: Device, event_id: EventId, room_id: RoomId = ROOM) -> tuple[str, str]:
        happened = DecryptRequested(device.user_id, device.device_id, event_id)
        result = self.keeper.transact([room_id], lambda session: session.step(room_id, happened)).decrypted
        assert result is not None
        return str(result.outcome), json.loads(result.payload)["content"]["body"] if result.payload else ""


def read_pending(store: Store) -> list[StoredItem]:
    """Return what is in a store's outbox and not acknowledged."""
    return [decode_item(row) for row in store.read(lambda conn: outbox.read_after(conn, 0, 1_000))]


@dataclass
class World:
    """Homeservers, one resolved state of each room, and everything sent so far."""

    folder: Path
    seed: int
    clock: Clock = field(default_factory=Clock)
    homes: dict[str, Home] = field(default_factory=dict)
    members: dict[RoomId, dict[UserId, MemberEvent]] = field(default_factory=dict)
    facts: dict[RoomId, RoomFacts] = field(default_factory=dict)
    timeline: dict[RoomId, list[RoomEvent]] = field(default_factory=dict)
    version: int = 0
    on_item: Callable[[Home, StoredItem], None] = lambda home, item: None

    def home(self, name: str) -> Home:
        if name not in self.homes:
            self.homes[name] = Home(name, self.folder, self.clock, self.seed)
        return self.homes[name]

    def home_of(self, user: UserId) -> Home:
        return self.homes[server_of(user)]

    def close(self) -> None:
        for home in self.homes.values():
            home.store.close()

    def set_membership(self, user: str, membership: Membership, *, by: str = "", room_id: RoomId = ROOM) -> None:
        """Send a member event and tell every homeserver the new state."""
        user_id = UserId(user)
        members = self.members.setdefault(room_id, {})
        before = members.get(user_id)
        self.version += 1
        event_id = EventId(f"$member-{self.version}")
        auth = () if before is None else (before.event_id,)
        members[user_id] = MemberEvent(event_id, user_id, UserId(by or user), membership, auth)
        facts = self.facts.setdefault(room_id, RoomFacts(user_id, "12", "shared", ALGORITHM))
        self.clock.now_ms += 10
        for home in self.homes.values():
            happened = RoomStateChanged(self.version, facts, dict(members), is_full=True)
            home.keeper.transact([room_id], lambda session, happened=happened: session.step(room_id, happened))  # type: ignore[misc]

    def join(self, *users: str, room_id: RoomId = ROOM) -> None:
        for user in users:
            self.set_membership(user, Membership.JOIN, room_id=room_id)

    def publish(self, sender: UserId, content: bytes, room_id: RoomId = ROOM) -> EventId:
        """Send an event into a room, to all homeservers."""
        event_id = EventId("$" + hashlib.sha256(content).hexdigest())
        auth = tuple(event.event_id for event in [self.members[room_id].get(sender)] if event is not None)
        event = RoomEvent(
            event_id, room_id, sender, "m.room.encrypted", None, json.loads(content), self.clock(), auth_events=auth
        )
        self.timeline.setdefault(room_id, []).append(event)
        for home in self.homes.values():
            home.keeper.transact([room_id], lambda session: session.step(room_id, EventReceived(event)))
        return event_id

    def settle(self) -> None:
        """Do what all homeservers' services want, until they want nothing more."""
        for _ in range(50):
            did = False
            for home in self.homes.values():
                for item in home.pending():
                    self.perform(home, item)
                    did = True
            if not did:
                return
        raise AssertionError(f"no rest: {[item for home in self.homes.values() for item in home.pending()]}")

    def let_time_pass(self, seconds: float) -> None:
        """Let all that is due within a time happen, in order."""
        end = self.clock.now_ms + int(seconds * 1000)
        while True:
            times = [at for home in self.homes.values() if (at := home.keeper.next_wake_ms()) is not None and at <= end]
            if not times:
                break
            self.clock.now_ms = max(self.clock.now_ms, min(times))
            for home in self.homes.values():
                for room_id in home.keeper.due(self.clock.now_ms):
                    home.keeper.wake(room_id)
            self.settle()
        self.clock.now_ms = end

    def perform(self, home: Home, item: StoredItem) -> None:
        """Do one item and acknowledge it."""
        self.on_item(home, item)
        action, event_id = item.action, None
        after: list[Callable[[], object]] = []
        if isinstance(action, EventToSend):
            event_id = EventId("$" + hashlib.sha256(action.content).hexdigest())
            after.append(lambda: self.publish(action.sender, action.content, item.room_id))
        elif isinstance(action, ToDeviceToSend):
            message_id = f"{home.server}-{item.seq}"
            content = json.loads(action.content)
            message = ToDeviceReceived(message_id, action.sender, action.user_id, action.device_id, content)
            target = self.home_of(action.user_id).keeper
            after.append(lambda: target.transact([item.room_id], lambda session: session.step(item.room_id, message)))
        elif isinstance(action, ClaimWanted):
            provided = KeyPackagesProvided(self._claim(home, action, item))
            after.append(lambda: home.keeper.transact([item.room_id], lambda session: session.step(item.room_id, provided)))
        elif isinstance(action, DeviceListsWanted):
            after += [lambda user=user: self.tell_list(home, user, item.room_id) for user in action.users]  # type: ignore[misc]
        elif isinstance(action, Backfill):
            events = [event for event in self.timeline.get(item.room_id, []) if event.event_id in action.event_ids]
            after += [
                lambda event=event: home.keeper.transact(  # type: ignore[misc]
                    [item.room_id], lambda session: session.step(item.room_id, EventReceived(event))
                )
                for event in events
            ]
        else:
            assert isinstance(action, BlobToStore)
        assert home.acknowledge(item.seq, event_id) == "accepted"
        for each in after:
            each()

    def _claim(self, home: Home, action: ClaimWanted, item: StoredItem) -> dict[Device, bytes | None]:
        claimant = Claimant(home.server, f"{home.server}-{item.seq}", item.room_id)
        found: dict[Device, bytes | None] = {}
        for server in {device.server for device in action.devices}:
            wanted = [device for device in action.devices if device.server == server]
            store = self.homes[server].store
            found |= store.write(
                lambda conn, wanted=wanted: claim_for(conn, wanted, action.cipher_suite, claimant, now_ms=self.clock())  # type: ignore[misc]
            ).result()
        return found

    def tell_list(self, home: Home, user: UserId, room_id: RoomId = ROOM) -> None:
        person = self.home_of(user).keeper.people.find([user])[user]
        happened = DeviceListChanged(user, person.version, self.clock(), person.listed(1))
        home.keeper.transact([room_id], lambda session: session.step(room_id, happened))

    def say(self, device: Device, body: str, room_id: RoomId = ROOM) -> EventId:
        """Encrypt and send a message."""
        home = self.home_of(device.user_id)
        outcome, content = home.encrypt(device, body, room_id)
        assert outcome == EncryptOutcome.OK, outcome
        self.settle()
        return self.publish(device.user_id, content, room_id)

    def read(self, device: Device, event_id: EventId, room_id: RoomId = ROOM) -> tuple[str, str]:
        return self.home_of(device.user_id).decrypt(device, event_id, room_id)


def heads(homes: Iterable[Home], room_id: RoomId = ROOM) -> set[bytes | None]:
    """Return the heads on which homeservers stand."""
    return {home.state(room_id).head for home in homes}
