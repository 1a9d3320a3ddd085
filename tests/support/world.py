"""A recorded room played through engines in one process: two homeservers' services and client devices, no wire, no store.

The clock is the recording's. What an agent sends reaches the other server when the recorded link carried something as late.
Every agent's records are kept as a store would keep them, so that a test can rebuild an engine from them at any moment.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import json
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from dmls.engine.agent import Agent, OwnDevice, devices_of, make_client
from dmls.engine.effects import (
    BackfillWanted,
    BlobToUpload,
    BlobWanted,
    ClaimWanted,
    Delete,
    DeviceListsWanted,
    Effects,
    EncryptOutcome,
    EventToSend,
    NoticeKind,
    OutboxItem,
    ToDeviceToSend,
)
from dmls.engine.inputs import (
    AgentChanged,
    BlobProvided,
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
from dmls.forks.graph import Device
from dmls.ids import DeviceId, EventId, KeyPackageRef, UserId
from dmls.matrix.bodies import Payload
from dmls.matrix.events import MemberEvent, Membership, RoomEvent
from dmls.matrix.identifiers import server_of
from dmls.matrix.membership import RoomFacts
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.group.leaf import KeyPackageBundle, create_key_package
from dmls.mls.messages.leaf_node import Lifetime
from dmls.mls.messages.message import encode_message
from dmls.tools.demo.link import Link
from dmls.tools.demo.log import DeviceAction, EventLine, LogFolder, PartitionLine, RoomLog, StateChange, Step

__all__ = ["Party", "SentMessage", "World"]

SUITE = cipher_suite(1)


@dataclass
class Party:
    """One agent: a service, or a client device."""

    name: str
    server: str
    is_service: bool
    engine: RoomEngine
    agent: Agent
    random: Callable[[int], bytes]
    records: dict[tuple[str, bytes], bytes] = field(default_factory=dict)
    bundles: dict[KeyPackageRef, KeyPackageBundle] = field(default_factory=dict)
    notices: list[Any] = field(default_factory=list)
    wake_at_ms: int | None = None
    version: int = 0

    def holds(self, user: UserId, device: DeviceId) -> bool:
        return self.agent.find(user, device) is not None

    def reload(self) -> None:
        """Rebuild the engine from its records, as after a crash."""
        state = self.engine.state
        rows = [(table, key, value) for (table, key), value in self.records.items()]
        self.engine = RoomEngine.load(state.room_id, self.agent, rows)


@dataclass
class SentMessage:
    """A message of the recording and what became of it."""

    event_id: EventId
    sender: UserId
    device_id: DeviceId
    body: str
    outcome: str
    commit_ref: bytes = b""
    readers: frozenset[Device] = frozenset()
    """The members of its epoch."""


class World:
    """The homeservers' side of a recording."""

    def __init__(self, folder: LogFolder, *, clients: frozenset[str], seed: int, reload_every: int = 0, room: int = 0) -> None:
        self.folder = folder
        self.room: RoomLog = folder.rooms[room]
        self.link = Link(folder)
        self.clients = clients
        self.rng = random.Random(seed)
        self.now = 0
        self.parties: list[Party] = []
        self.devices: dict[UserId, dict[DeviceId, Device]] = {}
        self.gone: dict[UserId, set[Device]] = {}
        self.list_versions: dict[UserId, int] = {}
        self.queue: list[tuple[int, int, Callable[[], None]]] = []
        self.order = itertools.count()
        self.timelines: dict[str, dict[EventId, RoomEvent]] = {name: {} for name in self.room.servers}
        self.stored_at: dict[str, dict[EventId, int]] = {name: {} for name in self.room.servers}
        self.members: dict[str, dict[UserId, StateChange]] = {name: {} for name in self.room.servers}
        self.facts: dict[str, RoomFacts] = {name: RoomFacts() for name in self.room.servers}
        self.commit_events: dict[str, EventId] = {}
        self.cut_off: set[tuple[str, str]] = set()
        """What was done while the link was cut: a server, and `commit` or `message`."""
        self.soft_failed = 0
        """How many events were passed on as soft-failed."""
        self.blobs: dict[bytes, bytes] = {}
        self.messages: dict[EventId, SentMessage] = {}
        self.plaintexts: dict[EventId, RoomEvent] = {}
        self.awaited: dict[EventId, list[tuple[str, EventLine]]] = {}
        """Messages that a server was to get and that are not sent yet."""
        self.sent: set[tuple[str, bytes]] = set()
        self.steps = 0
        self.reload_every = reload_every
        for name in self.room.servers:
            self.parties.append(self._party(f"{name}-service", name, is_service=True))

    # Parties and devices

    def _party(self, name: str, server: str, *, is_service: bool) -> Party:
        agent = Agent(self.room.servers[server].server_name, is_service)
        engine = RoomEngine.create(self.room.room_id, agent)
        return Party(name, server, is_service, engine, agent, self.rng.randbytes)

    def service(self, server: str) -> Party:
        return next(party for party in self.parties if party.is_service and party.server == server)

    def owner(self, user: UserId, device: DeviceId) -> Party | None:
        return next((party for party in self.parties if party.holds(user, device)), None)

    def _local(self, user: UserId) -> str:
        return next(name for name, log in self.room.servers.items() if log.server_name == server_of(user))

    def _log_in(self, action: DeviceAction) -> None:
        user, server = action.user_id, self._local(action.user_id)
        pair = SUITE.generate_signature_key_pair(self.rng.randbytes)
        device = Device(user, action.device_id, pair.public_key)
        own = OwnDevice(device, make_client(SUITE, user, action.device_id, pair.private_key, pair.public_key))
        if user.split(":")[0] in self.clients:
            party = self._party(f"{user.split(':')[0]}-{action.device_id}", server, is_service=False)
            self.parties.append(party)
        else:
            party = self.service(server)
        self.devices.setdefault(user, {})[action.device_id] = device
        self._set_devices(party, {**party.agent.devices, device: own})
        self._announce(user)
        if not party.is_service:
            self._catch_up(party)

    def _log_out(self, action: DeviceAction) -> None:
        user = action.user_id
        device = self.devices[user].pop(action.device_id)
        self.gone.setdefault(user, set()).add(device)
        party = self.owner(user, action.device_id)
        if party is not None and party.is_service:
            self._set_devices(party, {key: own for key, own in party.agent.devices.items() if key != device})
        self._announce(user)

    def _set_devices(self, party: Party, devices: dict[Device, OwnDevice]) -> None:
        party.agent = Agent(party.agent.server_name, party.is_service, devices)
        self.step(party, AgentChanged(party.agent))

    def _announce(self, user: UserId) -> None:
        """Tell the user's own service, whose word is always fresh; the others are told that the list changed."""
        self.list_versions[user] = self.list_versions.get(user, 0) + 1
        for party in self.parties:
            is_own = party.is_service and party.server == self._local(user)
            if is_own or user in party.engine.state.lists:
                self.step(party, self._list(user, is_own=is_own))

    def _list(self, user: UserId, *, is_own: bool) -> DeviceListChanged:
        devices = tuple(sorted(self.devices.get(user, {}).values()))
        gone = tuple(sorted(self.gone.get(user, ()))) if is_own else ()
        return DeviceListChanged(user, self.list_versions.get(user, 0), self.now, devices, is_own, gone)

    # Steps

    def step(self, party: Party, happened: Input) -> Effects:
        """Let something happen to a party, and do what it wants done at once."""
        content = None
        if isinstance(happened, EventReceived):
            content = happened.event.content
        elif isinstance(happened, ToDeviceReceived):
            content = happened.content
        names = party.engine.key_packages_named(content)
        bundles = {ref: party.bundles[ref] for ref in names if ref in party.bundles}
        effects = party.engine.step(happened, self.now, party.random, bundles)
        for change in effects.changes:
            if isinstance(change, Delete):
                party.records.pop((change.table, change.key), None)
            else:
                party.records[change.table, change.key] = change.value
        party.notices += effects.notices
        self.steps += 1
        if self.reload_every and self.steps % self.reload_every == 0:
            party.reload()
        for item in effects.outbox:
            self._perform(party, item)
        party.wake_at_ms = effects.wake_at_ms
        if not isinstance(happened, Tick):
            self.settle(party)
        return effects

    def _tell(self, party: Party, happened: Input) -> None:
        self.step(party, happened)

    def settle(self, party: Party) -> None:
        """Let a party do all that is due now."""
        effects = Effects()
        for _ in range(20):
            effects = self.step(party, Tick())
            if not effects.outbox and not effects.changes:
                break
        else:
            raise AssertionError(f"{party.name} does not come to rest: {effects}")
        if party.wake_at_ms is not None:
            self.at(max(party.wake_at_ms, self.now + 1), lambda: self._wake(party))

    def _wake(self, party: Party) -> None:
        if party.wake_at_ms is not None and party.wake_at_ms <= self.now:
            self.settle(party)

    def at(self, ts: int, what: Callable[[], None]) -> None:
        heapq.heappush(self.queue, (ts, next(self.order), what))

    # What parties want done

    def _perform(self, party: Party, item: OutboxItem) -> None:
        if isinstance(item, EventToSend):
            event_id = EventId("$" + hashlib.sha256(item.content).hexdigest()[:43])
            assert (party.name, item.content) not in self.sent, "the same bytes were sent twice"
            self.sent.add((party.name, item.content))
            content = json.loads(item.content)
            if content["kind"] in ("commit", "genesis") and item.commit_ref:
                self.commit_events[item.commit_ref.hex()] = event_id
                self._note(party.server, "commit")
            self.at(self.now, lambda: self._sent(party, item, event_id, content))
        elif isinstance(item, ToDeviceToSend):
            self.at(self.now, lambda: self._to_device(party, item))
        elif isinstance(item, ClaimWanted):
            self.at(self.now, lambda: self._claim(party, item))
        elif isinstance(item, DeviceListsWanted):
            self.at(self.now, lambda: self._answer_lists(party, item))
        elif isinstance(item, BackfillWanted):
            self.at(self.now, lambda: self._backfill(party, item))
        elif isinstance(item, BlobToUpload):
            self.blobs[item.sha256] = item.data
        elif isinstance(item, BlobWanted):
            self.at(self.now, lambda: self._tell(party, BlobProvided(self.blobs[item.sha256], tuple(self.blobs.values()))))

    def _sent(self, party: Party, item: EventToSend, event_id: EventId, content: dict[str, Any]) -> None:
        self.step(party, OutboxAnswered(item.commit_ref, event_id))
        self.publish(party.server, event_id, item.sender, content)

    def _note(self, server: str, what: str) -> None:
        if not self.link.is_whole:
            self.cut_off.add((server, what))

    def _to_device(self, party: Party, item: ToDeviceToSend) -> None:
        owner = self.owner(item.user_id, item.device_id)
        if owner is None:
            return
        message_id = hashlib.sha256(item.content + item.device_id.encode()).hexdigest()
        message = ToDeviceReceived(message_id, item.sender, item.user_id, item.device_id, json.loads(item.content))
        ts = self.now if owner.server == party.server else self._arrival(party.server, owner.server)
        self.at(ts, lambda: self._tell(owner, message))

    def _opens(self, party: Party, users: Iterable[UserId]) -> int:
        """Return when a party's server can reach those of users."""
        others = {self._local(user) for user in users} - {party.server}
        return max((self.link.opens(party.server, other, self.now) for other in others), default=self.now)

    def _claim(self, party: Party, item: ClaimWanted) -> None:
        opens = self._opens(party, (device.user_id for device in item.devices))
        if opens > self.now:
            self.at(opens + 1, lambda: self._claim(party, item))
            return
        provided: dict[Device, bytes | None] = {}
        for device in item.devices:
            owner = self.owner(device.user_id, device.device_id)
            own = None if owner is None else owner.agent.devices.get(device)
            if owner is None or own is None:
                provided[device] = None
                continue
            now = self.now // 1000
            bundle = create_key_package(SUITE, own.client, Lifetime(now - 3600, now + 86_400), owner.random)
            owner.bundles[bundle.ref] = bundle
            provided[device] = encode_message(bundle.key_package)
        self.step(party, KeyPackagesProvided(provided))

    def _answer_lists(self, party: Party, item: DeviceListsWanted) -> None:
        opens = self._opens(party, item.users)
        if opens > self.now:
            self.at(opens + 1, lambda: self._answer_lists(party, item))
            return
        for user in item.users:
            is_own = party.is_service and self._local(user) == party.server
            self.step(party, self._list(user, is_own=is_own))

    def _backfill(self, party: Party, item: BackfillWanted) -> None:
        wanted = [*item.event_ids, *(self.commit_events.get(ref.hex(), EventId("")) for ref in item.commit_refs)]
        for event_id in wanted:
            event = self.timelines[party.server].get(event_id)
            if event is not None:
                self.step(party, EventReceived(self._seen_by(party.server, event)))

    # Events

    def _arrival(self, source: str, target: str) -> int:
        """Return when what `source` sends now can be at `target`."""
        return self.link.arrival(self.room, source, target, self.now)

    def publish(self, server: str, event_id: EventId, sender: UserId, content: dict[str, Any]) -> None:
        """Put an event into the room at its sender's server, and send it to the others."""
        change = self.members[server].get(sender)
        auth = () if change is None or change.event_id is None else (change.event_id,)
        event = RoomEvent(event_id, self.room.room_id, sender, "m.room.encrypted", None, content, self.now, auth_events=auth)
        self.deliver(server, event)
        for other in self.room.servers:
            if other != server:
                self.at(self._arrival(server, other), lambda other=other: self.deliver(other, event))  # type: ignore[misc]

    def deliver(self, server: str, event: RoomEvent) -> None:
        """Store an event at a server and show it to the service and to the clients of joined users."""
        if event.event_id in self.timelines[server]:
            return
        self.timelines[server][event.event_id] = event
        self.stored_at[server][event.event_id] = self.now
        for party in self._audience(server):
            self.step(party, EventReceived(self._seen_by(server, event)))

    def _audience(self, server: str) -> Iterator[Party]:
        for party in list(self.parties):
            if party.server == server and (party.is_service or self._is_joined(party)):
                yield party

    def _is_joined(self, party: Party) -> bool:
        return any(self._membership(party.server, device.user_id) == Membership.JOIN for device in party.agent.devices)

    def _membership(self, server: str, user: UserId) -> Membership | None:
        change = self.members[server].get(user)
        return None if change is None else change.membership

    def _seen_by(self, server: str, event: RoomEvent) -> RoomEvent:
        """Return an event with what the server says of its sender's membership."""
        if self._membership(server, event.sender) == Membership.JOIN:
            return event
        change = self.members[server].get(event.sender)
        departed = None if change is None or change.event_id is None else self.room.events.get(change.event_id)
        if departed is None:
            return event
        judge = self._local(departed.event.sender)
        known = self.stored_at[judge].get(event.event_id)
        before = known is not None and known <= self.room.stored(departed.event_id)[judge]
        return replace(event, before_departure=before)

    # The recording

    def run(self) -> None:
        """Play the whole recording, then let everything come to rest."""
        steps = list(self.folder.steps())
        for step in steps:
            self._until(step.ts)
            self.now = max(self.now, step.ts)
            self._play(step)
        end = self.now
        self._until(end + 180_000)

    def _until(self, ts: int) -> None:
        while self.queue and self.queue[0][0] <= ts:
            at, _, what = heapq.heappop(self.queue)
            self.now = max(self.now, at)
            what()

    def _play(self, step: Step) -> None:
        what = step.what
        if isinstance(what, DeviceAction):
            self._log_in(what) if what.action == "login" else self._log_out(what)
        elif isinstance(what, PartitionLine):
            self.link.take(what)
        elif what.room_id != self.room.room_id:
            return
        elif isinstance(what, EventLine):
            self._play_event(step.server, what)
        else:
            self._change_state(step.server, what.state_change)
        self._until(self.now)

    def _play_event(self, server: str, line: EventLine) -> None:
        event = line.event
        facts = self.facts[server]
        if event.type == "m.room.create":
            version = str(event.content.get("room_version"))
            facts = replace(facts, create_sender=event.sender, room_version=version)
        elif event.type == "m.room.encryption":
            facts = replace(facts, encryption_algorithm=str(event.content["algorithm"]))
        elif event.type == "m.room.history_visibility":
            facts = replace(facts, history_visibility=str(event.content["history_visibility"]))
        if facts != self.facts[server]:
            self.facts[server] = facts
            self._change_state(server, ())
        if line.member_event is not None and line.is_timeline:
            for party in self._audience(server):
                self.step(party, MemberEventReceived(line.member_event))
        if line.is_timeline:
            self.stored_at[server][line.event_id] = self.now
        if line.state_change:
            self._change_state(server, line.state_change)
        if event.type == "m.room.message" and line.is_timeline:
            self._play_message(server, line)

    def _change_state(self, server: str, changes: tuple[StateChange, ...]) -> None:
        for change in changes:
            self.members[server][change.user_id] = change
        joins = {change.user_id for change in changes if change.membership == Membership.JOIN}
        for party in list(self.parties):
            if party.server != server:
                continue
            own = {device.user_id for device in party.agent.devices}
            if not party.is_service and (joins & own):
                self._catch_up(party)
            elif party.is_service or self._is_joined(party) or own & {change.user_id for change in changes}:
                self._tell_state(party, changes)

    def _tell_state(self, party: Party, changes: tuple[StateChange, ...]) -> None:
        party.version += 1
        members = {change.user_id: self._member_event(change) for change in changes}
        self.step(party, RoomStateChanged(party.version, self.facts[party.server], members))

    def _member_event(self, change: StateChange) -> MemberEvent | None:
        return None if change.event_id is None else self.room.member_events[change.event_id]

    def _catch_up(self, party: Party) -> None:
        """Give a client whose user has joined the room's state and what the server has of its timeline."""
        if not self._is_joined(party):
            return
        party.version += 1
        members = {user: self._member_event(change) for user, change in self.members[party.server].items()}
        self.step(party, RoomStateChanged(party.version, self.facts[party.server], members, is_full=True))
        for event in list(self.timelines[party.server].values()):
            self.step(party, EventReceived(self._seen_by(party.server, event)))

    def _play_message(self, server: str, line: EventLine) -> None:
        sender = line.event.sender
        if self._local(sender) != server:
            if line.event_id in self.plaintexts:
                self._deliver_message(server, line)
            else:
                self.awaited.setdefault(line.event_id, []).append((server, line))
            return
        self._send_message(server, line)

    def _deliver_message(self, server: str, line: EventLine) -> None:
        self.soft_failed += line.soft_failed
        self.deliver(server, replace(self.plaintexts[line.event_id], soft_failed=line.soft_failed))

    def _send_message(self, server: str, line: EventLine) -> None:
        """Send as the sender's client does, which tries again when it is told to."""
        sender = line.event.sender
        device_id = line.device_id or next(iter(self.devices[sender]))
        party = self.owner(sender, device_id)
        assert party is not None, f"nobody holds {sender} {device_id}"
        payload = Payload("m.room.message", dict(line.event.content), self.room.room_id)
        effects = self.step(party, EncryptRequested(sender, device_id, payload))
        result = effects.encrypted
        assert result is not None
        message = SentMessage(line.event_id, sender, device_id, str(line.event.content["body"]), result.outcome)
        self.messages[line.event_id] = message
        if result.retry_at_ms:
            self.at(result.retry_at_ms, lambda: self._send_message(server, line))
        if result.outcome != EncryptOutcome.OK:
            return
        self._until(self.now)
        self._note(server, "message")
        message.commit_ref = result.commit_ref
        tree = party.engine.state.entries[result.commit_ref].group.tree
        message.readers = frozenset(devices_of(tree).values())
        change = self.members[server].get(sender)
        auth = () if change is None or change.event_id is None else (change.event_id,)
        event = RoomEvent(
            line.event_id,
            self.room.room_id,
            sender,
            "m.room.encrypted",
            None,
            json.loads(result.content),
            self.now,
            auth_events=auth,
        )
        self.plaintexts[line.event_id] = event
        self.deliver(server, event)
        for elsewhere, waiting in self.awaited.pop(line.event_id, []):
            self._deliver_message(elsewhere, waiting)

    # Looking

    def read(self, party: Party, device: Device, event_id: EventId) -> tuple[str, str]:
        """Return outcome and body of a message for one device."""
        effects = self.step(party, DecryptRequested(device.user_id, device.device_id, event_id))
        assert effects.decrypted is not None
        payload = effects.decrypted.payload
        return effects.decrypted.outcome, json.loads(payload)["content"]["body"] if payload else ""

    def switches(self) -> int:
        """Return how often any party's head changed forks."""
        return sum(notice.kind == NoticeKind.FORK_SWITCHED for party in self.parties for notice in party.notices)
