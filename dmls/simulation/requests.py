"""What agents want done by their homeserver: events sent, key packages claimed, lists asked for, gaps filled."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256

from dmls.engine.effects import (
    BackfillWanted,
    BlobToUpload,
    BlobWanted,
    ClaimWanted,
    DeviceListsWanted,
    EventToSend,
    OutboxItem,
    ToDeviceToSend,
)
from dmls.engine.inputs import BlobProvided, EventReceived, KeyPackagesProvided, ToDeviceReceived
from dmls.forks.graph import Device
from dmls.ids import CommitRef, EventId, ServerName, UserId
from dmls.matrix.encoding import parse_json_object
from dmls.simulation.directory import Directory, server_of
from dmls.simulation.driver import Driver
from dmls.simulation.homeserver import Homeserver
from dmls.simulation.network import Agenda, Network
from dmls.simulation.room_graph import GraphEvent

__all__ = ["Requests"]

_MOST_CONTENT = 1 << 20


@dataclass
class Requests:
    """The homeservers' side of every agent's outbox."""

    agenda: Agenda
    network: Network
    rng: random.Random
    directory: Directory
    homeservers: dict[ServerName, Homeserver]
    spread: Callable[[ServerName, GraphEvent], None]
    log: Callable[[str], None]
    commit_events: dict[CommitRef, EventId] = field(default_factory=dict)
    _media: dict[bytes, bytes] = field(default_factory=dict)

    def publish(self, server: ServerName, event: GraphEvent) -> None:
        """Send an event that was made."""
        self.spread(server, event)

    def send_event(self, driver: Driver, item: EventToSend) -> GraphEvent | None:
        """Make the event, or return None where the homeserver refuses it for good."""
        content = parse_json_object(item.content, limit=_MOST_CONTENT)
        event = self.homeservers[driver.server].send_encrypted(item.sender, content, self.agenda.now_ms)
        if event is not None and item.commit_ref:
            self.commit_events[item.commit_ref] = event.event_id
            self.log(f"{driver.name}: {_describe(driver, item)}")
        return event

    def perform(self, driver: Driver, item: OutboxItem) -> None:
        """Do one thing; answers come later."""
        match item:
            case ToDeviceToSend():
                self._send_to_device(driver, item)
            case ClaimWanted():
                self._claim(driver, item)
            case DeviceListsWanted():
                self._ask_for_lists(driver, item)
            case BackfillWanted():
                self._backfill(driver, item)
            case BlobToUpload():
                self._media[item.sha256] = item.data
            case BlobWanted():
                self._later(lambda: driver.tell(BlobProvided(self._media[item.sha256])))

    def _later(self, what: Callable[[], None]) -> None:
        self.agenda.after(self.rng.randrange(1, 50), what)

    def _send_to_device(self, driver: Driver, item: ToDeviceToSend) -> None:
        device = self.directory.devices(item.user_id).get(item.device_id)
        if device is None or self.rng.random() < self.network.faults.lost_to_device:
            return
        message_id = sha256(item.content + item.device_id.encode()).hexdigest()
        content = parse_json_object(item.content, limit=_MOST_CONTENT)
        message = ToDeviceReceived(message_id, item.sender, item.user_id, item.device_id, content)
        owner = self.directory.owner(device)
        self.network.send(driver.server, owner.server, lambda: owner.tell(message))

    def _claim(self, driver: Driver, item: ClaimWanted) -> None:
        """Claim from each server by itself; one that cannot be reached gives no answer."""
        for server in sorted({server_of(device.user_id) for device in item.devices}):
            if self._reaches(driver.server, server):
                wanted = [device for device in item.devices if server_of(device.user_id) == server]
                self.network.send(driver.server, server, lambda wanted=wanted, server=server: self._give(driver, server, wanted))  # type: ignore[misc]

    def _give(self, driver: Driver, server: ServerName, wanted: list[Device]) -> None:
        given = {device: self.directory.key_package(device) for device in wanted}
        self.network.send(server, driver.server, lambda: driver.tell(KeyPackagesProvided(given)))

    def _ask_for_lists(self, driver: Driver, item: DeviceListsWanted) -> None:
        for user in item.users:
            server = server_of(user)
            lag = self.rng.randrange(self.network.faults.list_lag_ms)
            self.agenda.after(lag, lambda user=user, server=server: self._ask_for_list(driver, server, user))  # type: ignore[misc]

    def _ask_for_list(self, driver: Driver, server: ServerName, user: UserId) -> None:
        def answer() -> None:
            is_own = driver.is_service and driver.server == server
            found = self.directory.device_list(user, self.agenda.now_ms, is_own=is_own)
            self.network.send(server, driver.server, lambda: driver.tell(found))

        self.network.send(driver.server, server, answer)

    def _backfill(self, driver: Driver, item: BackfillWanted) -> None:
        names = [*item.event_ids, *(self.commit_events.get(ref) for ref in item.commit_refs)]
        for name in names:
            if name is not None:
                self._fetch(driver, name)

    def _fetch(self, driver: Driver, name: EventId) -> None:
        """Give an agent an event that its homeserver has, or that one within reach gives it."""
        own = self.homeservers[driver.server]
        if name in own:
            self._later(lambda: driver.tell(EventReceived(own.room_event(own.graph[name]))))
            return
        for server, homeserver in self.homeservers.items():
            if name in homeserver and self._reaches(driver.server, server):
                self.publish(server, homeserver.graph[name])
                return

    def _reaches(self, one: ServerName, other: ServerName) -> bool:
        return self.network.is_open(one, other) and self.network.is_open(other, one)


def _describe(driver: Driver, item: EventToSend) -> str:
    entry = driver.state.entries.get(item.commit_ref)
    if entry is None:
        return f"a node that it has dropped, {item.commit_ref.hex()[:8]}"
    node = entry.node
    kind = "genesis" if node.is_genesis else "external commit" if node.is_external else "commit"
    adds = "".join(f" +{device.user_id}/{device.device_id}" for device in node.adds)
    removes = "".join(f" -{device.user_id}/{device.device_id}" for device in node.removes)
    resolves = "".join(f" resolves {ref.hex()[:8]}" for ref in node.resolves)
    return f"{kind} {node.commit_ref.hex()[:8]} on {node.parent_ref.hex()[:8]}{adds}{removes}{resolves} by {node.author.user_id}"
