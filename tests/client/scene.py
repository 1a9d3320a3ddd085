"""One room of one or two homeservers with real services; the client devices run in this process, on stores of their own."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from dmls.client.channel import ServiceChannel
from dmls.client.device import ClientDevice
from dmls.engine.effects import (
    ClaimWanted,
    DeviceListsWanted,
    EncryptOutcome,
    EventToSend,
    ToDeviceToSend,
)
from dmls.engine.inputs import DeviceListChanged, EventReceived, KeyPackagesProvided, RoomStateChanged, ToDeviceReceived
from dmls.forks.graph import Device
from dmls.ids import DeviceId, EventId, RoomId, UserId
from dmls.matrix.bodies import ALGORITHM
from dmls.matrix.encoding import parse_json_object
from dmls.matrix.events import MemberEvent, Membership, RoomEvent
from dmls.matrix.identifiers import server_of
from dmls.matrix.membership import RoomFacts
from dmls.rooms.outbox import Backfill, StoredItem
from dmls.tools.demo.views import member_event, plain_event
from dmls.v1 import common_pb2, device_pb2, encryption_pb2, key_package_pb2, room_pb2
from tests.service.processes import ServeProcess

__all__ = ["Scene", "running_services"]


@contextlib.contextmanager
def running_services(folder: Path, *names: str) -> Iterator[dict[str, ServeProcess]]:
    """Run a service for each homeserver."""
    with contextlib.ExitStack() as stack:
        processes = {}
        for name in names:
            processes[name] = ServeProcess(folder, name)
            processes[name].start()
            stack.callback(processes[name].kill)
        yield processes


class Scene:
    """The homeservers' side of one room. Everything reaches everybody at once.

    alice, whose room it is, and carol are of hs1, dan is of hs2; `tag` makes the names differ from those of other scenes.
    """

    def __init__(self, channels: Mapping[str, ServiceChannel], tag: str) -> None:
        self.channels = channels
        self.room = RoomId(f"!{tag}:hs1")
        self.alice, self.carol, self.dan = UserId(f"@alice-{tag}:hs1"), UserId(f"@carol-{tag}:hs1"), UserId(f"@dan-{tag}:hs2")
        self.facts = RoomFacts(self.alice, "10", "shared", ALGORITHM)
        self.clients: list[ClientDevice] = []
        self.members: dict[UserId, MemberEvent] = {}
        self.timeline: dict[EventId, RoomEvent] = {}
        self.version = 0

    # Devices and members

    def host(self, user: UserId, device_id: str) -> None:
        request = device_pb2.RegisterDeviceRequest(user_id=user, device_id=device_id, custody=common_pb2.CUSTODY_HOSTED)
        self.channels[server_of(user)].call(request, device_pb2.RegisterDeviceResponse)

    def add(self, client: ClientDevice) -> None:
        """Register a client device, and show it the room if its user is there."""
        user, device_id = client.device.user_id, client.device.device_id
        request = device_pb2.RegisterDeviceRequest(user_id=user, device_id=device_id, custody=common_pb2.CUSTODY_CLIENT)
        request.signature_keys.append(client.signature_key)
        self.channels[server_of(user)].call(request, device_pb2.RegisterDeviceResponse)
        client.stock(3)
        self.clients.append(client)

    def change(self, user: UserId, membership: Membership, sender: UserId | None = None) -> None:
        """Change a membership and tell everybody whom it concerns."""
        event_id = EventId(f"${user[1:].replace(':', '-')}-{membership}-{self.version}")
        before = self.members.get(user)
        auth = () if before is None else (before.event_id,)
        self.members[user] = MemberEvent(event_id, user, sender or user, membership, auth)
        self.version += 1
        for server in self._servers():
            state = room_pb2.RoomState(
                room_version="10",
                create_sender=self.alice,
                encryption=json.dumps({"algorithm": ALGORITHM}).encode(),
                history_visibility=room_pb2.HISTORY_VISIBILITY_SHARED,
                members=map(member_event, self.members.values()),
            )
            request = room_pb2.UpdateRoomStateRequest(room_id=self.room, version=self.version, full=state)
            self.channels[server].call(request, room_pb2.UpdateRoomStateResponse)
            if server == server_of(user) and membership is Membership.JOIN:
                self._ingest(server, self.timeline.values())
        for client in self.clients:
            if self.is_joined(client.device.user_id) or client.device.user_id == user:
                self.show(client)

    def show(self, client: ClientDevice) -> None:
        """Tell a client the state and, if its user is joined, the timeline."""
        changes: dict[UserId, MemberEvent | None] = dict(self.members)
        client.change_room_state(self.room, RoomStateChanged(self.version, self.facts, changes, is_full=True))
        if self.is_joined(client.device.user_id):
            client.receive_events(self.room, [EventReceived(event) for event in self.timeline.values()])

    def is_joined(self, user: UserId) -> bool:
        return user in self.members and self.members[user].membership is Membership.JOIN

    def _servers(self) -> set[str]:
        return {server_of(user) for user in self.members}

    # Messages

    def service_sends(self, user: UserId, device_id: str, body: str) -> EventId:
        event = encryption_pb2.EventToEncrypt(
            room_id=self.room,
            sender=common_pb2.DeviceRef(user_id=user, device_id=device_id),
            type="m.room.message",
            content=json.dumps({"body": body}).encode(),
        )
        request = encryption_pb2.EncryptEventsRequest(events=[event])
        result = self.channels[server_of(user)].call(request, encryption_pb2.EncryptEventsResponse).results[0]
        assert result.HasField("encrypted"), result
        self.settle()
        return self.publish(user, parse_json_object(result.encrypted.content))

    def client_sends(self, client: ClientDevice, body: str) -> EventId:
        encrypted = client.encrypt(self.room, "m.room.message", {"body": body})
        assert encrypted.result.outcome is EncryptOutcome.OK, encrypted.result.outcome
        self.settle()
        return self.publish(client.device.user_id, parse_json_object(encrypted.result.content))

    def service_reads(self, user: UserId, device_id: str, event_id: EventId) -> str | None:
        reader = common_pb2.DeviceRef(user_id=user, device_id=device_id)
        event = encryption_pb2.EventToDecrypt(room_id=self.room, event_id=event_id, reader=reader)
        request = encryption_pb2.DecryptEventsRequest(events=[event])
        result = self.channels[server_of(user)].call(request, encryption_pb2.DecryptEventsResponse).results[0]
        is_ok = result.outcome == encryption_pb2.DECRYPT_OUTCOME_OK
        return str(json.loads(result.decrypted.content)["body"]) if is_ok else None

    # Events

    def publish(self, sender: UserId, content: Mapping[str, object]) -> EventId:
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).digest()
        event_id = EventId("$" + base64.urlsafe_b64encode(digest).decode().rstrip("="))
        auth = (self.members[sender].event_id,)
        event = RoomEvent(
            event_id, self.room, sender, "m.room.encrypted", None, content, time.time_ns() // 10**6, auth_events=auth
        )
        self.timeline[event_id] = event
        for server in self._servers():
            self._ingest(server, [event])
        for client in self.clients:
            if self.is_joined(client.device.user_id):
                client.receive_events(self.room, [EventReceived(event)])
        return event_id

    def _ingest(self, server: str, events: Iterable[RoomEvent]) -> None:
        request = room_pb2.IngestEventsRequest(events=map(plain_event, events))
        self.channels[server].call(request, room_pb2.IngestEventsResponse)

    # Outboxes

    def settle(self) -> None:
        """Do what everybody wants done until nobody wants anything."""
        for _ in range(50):
            did = [self._serve(channel) for channel in self.channels.values()]
            did += [self._serve_client(client) for client in self.clients]
            if not any(did):
                return
        raise AssertionError("they do not come to rest")

    def pending(self, channel: ServiceChannel) -> list[room_pb2.OutboxItem]:
        """Return what a service wants done for the room."""
        items = []
        frames = channel.stream(room_pb2.WatchOutboxRequest(), room_pb2.WatchOutboxResponse)
        for frame in frames:
            if frame.HasField("item") and frame.item.room_id == self.room:
                items.append(frame.item)
            elif frame.HasField("caught_up"):
                break
        frames.close()
        return items

    def _serve(self, channel: ServiceChannel) -> bool:
        items = self.pending(channel)
        for item in items:
            ack = room_pb2.OutboxAck(sequence=item.sequence)
            ack.sent.SetInParent()
            action = item.WhichOneof("action")
            if action == "claim_wanted":
                users = [claim for target in item.claim_wanted.targets for claim in self._claim(target)]
                answer = room_pb2.ProvideKeyPackagesRequest(claim_id=item.claim_wanted.claim_id, users=users)
                channel.call(answer, room_pb2.ProvideKeyPackagesResponse)
                continue
            if action == "room_event":
                content = parse_json_object(item.room_event.content)
                ack.sent.event_id = self.publish(UserId(item.room_event.sender), content)
            elif action == "to_device":
                told = item.to_device
                self._to_device(item.sequence, told.sender, told.user_id, told.device_id, told.content)
            elif action == "device_list_wanted":
                lists = [self._list(UserId(user)) for user in item.device_list_wanted.user_ids]
                channel.call(room_pb2.UpdateDeviceListsRequest(lists=lists), room_pb2.UpdateDeviceListsResponse)
            request = room_pb2.AckOutboxRequest(acks=[ack], incarnation=1)
            channel.call(request, room_pb2.AckOutboxResponse)
        return bool(items)

    def _serve_client(self, client: ClientDevice) -> bool:
        items = client.pending()
        for item in items:
            self.do(client, item)
        return bool(items)

    def do(self, client: ClientDevice, item: StoredItem) -> None:
        """Do one thing that a client wants."""
        action = item.action
        if isinstance(action, EventToSend):
            client.answer(item.seq, self.publish(action.sender, parse_json_object(action.content)))
        elif isinstance(action, ClaimWanted):
            found: dict[Device, bytes | None] = dict.fromkeys(action.devices)
            for device in action.devices:
                target = key_package_pb2.ClaimTarget(user_id=device.user_id, device_ids=[device.device_id])
                found[device] = next(iter(self._claim(target))).devices[0].key_package
            client.provide_key_packages(item.seq, KeyPackagesProvided(found))
        else:
            if isinstance(action, ToDeviceToSend):
                self._to_device(item.seq, action.sender, action.user_id, action.device_id, action.content)
            elif isinstance(action, DeviceListsWanted):
                client.change_device_lists(map(_changed, map(self._list, action.users)))
            else:
                assert isinstance(action, Backfill), action
            client.answer(item.seq, None)

    def _claim(self, target: key_package_pb2.ClaimTarget) -> Iterable[key_package_pb2.UserClaim]:
        request = key_package_pb2.ClaimKeyPackagesRequest(targets=[target], cipher_suites=[1], requester="elsewhere")
        channel = self.channels[server_of(UserId(target.user_id))]
        return channel.call(request, key_package_pb2.ClaimKeyPackagesResponse).users

    def _list(self, user: UserId) -> room_pb2.DeviceList:
        request = device_pb2.ListDevicesRequest(user_id=user)
        devices = self.channels[server_of(user)].call(request, device_pb2.ListDevicesResponse).devices
        told = room_pb2.DeviceList(user_id=user, version=max((device.version for device in devices), default=0))
        told.taken_at.FromNanoseconds(time.time_ns())
        for device in devices:
            told.devices.add(device_id=device.device_id, signature_keys=device.signature_keys)
        return told

    def _to_device(self, number: int, sender: str, user: str, device_id: str, content: bytes) -> None:
        name = hashlib.sha256(content + device_id.encode() + bytes([number])).hexdigest()
        for client in self.clients:
            if (client.device.user_id, client.device.device_id) == (user, device_id):
                told = ToDeviceReceived(name, UserId(sender), UserId(user), DeviceId(device_id), parse_json_object(content))
                client.receive_events(self.room, [told])


def _changed(told: room_pb2.DeviceList) -> DeviceListChanged:
    user = UserId(told.user_id)
    devices = [Device(user, DeviceId(each.device_id), each.signature_keys[0].public_key) for each in told.devices]
    return DeviceListChanged(user, told.version, told.taken_at.ToMilliseconds(), tuple(sorted(devices)))
