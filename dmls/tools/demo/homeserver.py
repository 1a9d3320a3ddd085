"""One homeserver, as far as encryption goes: it tells its service and its users' clients what happens to them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from dmls.errors import InternalError
from dmls.ids import DeviceId, RoomId, ServerName, UserId
from dmls.matrix.events import RoomEvent
from dmls.matrix.identifiers import server_of
from dmls.tools.demo.client_device import ClientProcess
from dmls.tools.demo.log import EventLine, OtherStateChange, StateChange
from dmls.tools.demo.parties import Party
from dmls.tools.demo.service import ServiceProcess
from dmls.tools.demo.views import RoomView, plain_event
from dmls.v1 import common_pb2, device_pb2, room_pb2

__all__ = ["Homeserver", "Name"]

Name = tuple[UserId, DeviceId]
"""A device by user and device id."""

_BATCH = 100


@dataclass
class Homeserver:
    """A homeserver of the recording with the processes beside it."""

    name: str
    server_name: ServerName
    service: ServiceProcess
    views: dict[RoomId, RoomView] = field(default_factory=dict)
    clients: dict[Name, ClientProcess] = field(default_factory=dict)
    hosted: dict[Name, None] = field(default_factory=dict)
    """Devices whose keys the service holds."""
    media: dict[bytes, bytes] = field(default_factory=dict)
    """Its media repository, by SHA-256."""
    told: dict[tuple[str, RoomId], int] = field(default_factory=dict)
    """Version of the room state that each party has been told last."""
    watched: dict[str, set[UserId]] = field(default_factory=dict)
    """Users of other homeservers whose device lists each party has asked for."""

    def parties(self) -> Iterator[Party]:
        """Give the service and the clients."""
        yield self.service
        yield from self.clients.values()

    def owner(self, name: Name) -> Party | None:
        """Return the party that holds the keys of a device, None if it is not logged in."""
        return self.clients.get(name) or (self.service if name in self.hosted else None)

    def owns(self, user: UserId) -> bool:
        """Tell whether it is this user's homeserver."""
        return server_of(user) == self.server_name

    def devices_of(self, user: UserId) -> list[Name]:
        """Return the devices with which a user is logged in."""
        return [name for name in (*self.hosted, *self.clients) if name[0] == user]

    def audience(self, view: RoomView) -> Iterator[Party]:
        """Give the parties that get a room's timeline: the service if anybody has joined, and the clients of who has."""
        if view.has_own_user or (self.service.name, view.room_id) in self.told:
            yield self.service
        yield from (client for (user, _), client in self.clients.items() if view.is_joined(user))

    # Rooms

    def change_state(self, view: RoomView, members: Sequence[StateChange], others: Sequence[OtherStateChange]) -> None:
        """Take a change of the resolved state over and tell it to those whom it concerns."""
        before = view.joined()
        view.apply(members, others)
        joined = view.joined() - before
        changed = {change.user_id for change in members}
        if (self.service.name, view.room_id) in self.told:
            self._tell_delta(self.service, view, members, others)
        elif view.has_own_user:
            self.catch_up(self.service, view)
        for (user, _), client in self.clients.items():
            if user in joined:
                self.catch_up(client, view)
            elif user in before or (user in changed and (client.name, view.room_id) in self.told):
                self._tell_delta(client, view, members, others)

    def catch_up(self, party: Party, view: RoomView) -> None:
        """Give a party whose first user has joined the room's state, and what there is of its timeline, fetched or not."""
        self._tell_full(party, view)
        self.ingest(party, (view.seen(event) for event in view.timeline.values()))

    def store(self, view: RoomView, event: RoomEvent, now: int) -> None:
        """Store an event and show it to the service and the clients of users who are joined; `now` is the recording's time."""
        if event.event_id in view.timeline:
            return
        view.timeline[event.event_id] = event
        view.stored_at[event.event_id] = now
        for party in list(self.audience(view)):
            self.ingest(party, [view.seen(event)])

    def tell_member_event(self, view: RoomView, line: EventLine) -> None:
        """Tell a member event of the timeline; what it does to the state is told apart from it."""
        event = plain_event(replace(line.room_event(), auth_events=line.event.auth_events))
        for party in list(self.audience(view)):
            self.ingest(party, [event])

    @staticmethod
    def ingest(party: Party, events: Iterable[room_pb2.RoomEvent]) -> None:
        """Tell events, in batches."""
        waiting = list(events)
        for start in range(0, len(waiting), _BATCH):
            request = room_pb2.IngestEventsRequest(events=waiting[start : start + _BATCH])
            party.call(request, room_pb2.IngestEventsResponse)

    def _tell_full(self, party: Party, view: RoomView) -> None:
        version = self._next_version(party, view)
        request = room_pb2.UpdateRoomStateRequest(room_id=view.room_id, version=version, full=view.full_state())
        party.call(request, room_pb2.UpdateRoomStateResponse)

    def _tell_delta(
        self, party: Party, view: RoomView, members: Sequence[StateChange], others: Sequence[OtherStateChange]
    ) -> None:
        delta = view.delta(members, others)
        if not delta.ByteSize():
            return
        base = self.told[party.name, view.room_id]
        version = self._next_version(party, view)
        request = room_pb2.UpdateRoomStateRequest(room_id=view.room_id, version=version, base_version=base, delta=delta)
        answer = party.call(request, room_pb2.UpdateRoomStateResponse)
        if answer.version != version:
            raise InternalError(f"{party.name} holds version {answer.version} of the room's state, told was {version}")

    def _next_version(self, party: Party, view: RoomView) -> int:
        version = self.told.get((party.name, view.room_id), 0) + 1
        self.told[party.name, view.room_id] = version
        return version

    # Devices

    def log_in(self, name: Name, client: ClientProcess | None) -> bytes:
        """Register a device, hosted or with its client; return its signature key."""
        user, device_id = name
        request = device_pb2.RegisterDeviceRequest(user_id=user, device_id=device_id, custody=common_pb2.CUSTODY_HOSTED)
        if client is not None:
            request.custody = common_pb2.CUSTODY_CLIENT
            request.signature_keys.append(client.signature_key)
        device = self.service.call(request, device_pb2.RegisterDeviceResponse).device
        if client is None:
            self.hosted[name] = None
        else:
            self.clients[name] = client
            client.stock()
            for view in self.views.values():
                if view.is_joined(user):
                    self.catch_up(client, view)
        return device.signature_keys[0].public_key

    def log_out(self, name: Name) -> None:
        """Delete a device. A client's process stays, with its store, but nobody tells it anything any more."""
        user, device_id = name
        request = device_pb2.DeleteDeviceRequest(user_id=user, device_id=device_id)
        self.service.call(request, device_pb2.DeleteDeviceResponse)
        self.hosted.pop(name, None)
        self.clients.pop(name, None)

    def device_list(self, user: UserId) -> room_pb2.DeviceList:
        """Return the devices of an own user, as another homeserver gets them."""
        devices: list[device_pb2.Device] = []
        request = device_pb2.ListDevicesRequest(user_id=user, include_deleted=True)
        while True:
            page = self.service.call(request, device_pb2.ListDevicesResponse)
            devices += page.devices
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
        told = room_pb2.DeviceList(user_id=user, version=max((device.version for device in devices), default=0))
        told.taken_at.FromNanoseconds(time.time_ns())
        for device in devices:
            if not device.HasField("delete_time"):
                told.devices.add(device_id=device.device_id, signature_keys=device.signature_keys)
        return told
