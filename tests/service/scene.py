"""Services in this process, over real gRPC and real stores, and homeservers that do what they want."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from dmls.client.failures import CallFailure, read_rpc_error
from dmls.engine.agent import OwnDevice
from dmls.forks.graph import Device
from dmls.ids import DeviceId, UserId
from dmls.matrix.identifiers import server_of
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.group.leaf import KeyPackageBundle
from dmls.mls.messages.message import encode_message
from dmls.rooms.key_packages import make_bundles
from dmls.rooms.people import own_device
from dmls.service.app import Service
from dmls.service.config import Settings
from dmls.v1 import (
    admin_pb2_grpc,
    common_pb2,
    device_pb2,
    device_pb2_grpc,
    encryption_pb2,
    encryption_pb2_grpc,
    key_package_pb2,
    key_package_pb2_grpc,
    room_pb2,
    room_pb2_grpc,
)

__all__ = ["ROOM", "Client", "Home", "World", "now_ms", "refused", "running", "two_homes", "with_alice"]

ROOM = "!room:hs1"
"""The room of most tests, made by alice of hs1."""
ENCRYPTION = b'{"algorithm":"org.dmls.v1"}'
SUITE = cipher_suite(1)
MEMBERSHIPS = {
    "invite": room_pb2.MEMBERSHIP_INVITE,
    "join": room_pb2.MEMBERSHIP_JOIN,
    "leave": room_pb2.MEMBERSHIP_LEAVE,
    "ban": room_pb2.MEMBERSHIP_BAN,
}


def now_ms() -> int:
    import time

    return time.time_ns() // 1_000_000


@dataclass
class Client:
    """A client device: its keys, which the service does not have."""

    user_id: str
    device_id: str
    random: Callable[[int], bytes]
    own: OwnDevice = field(init=False)

    def __post_init__(self) -> None:
        pair = SUITE.generate_signature_key_pair(self.random)
        device = Device(UserId(self.user_id), DeviceId(self.device_id), pair.public_key)
        self.own = own_device(device, 1, pair.private_key)

    @property
    def key(self) -> common_pb2.SignatureKey:
        return common_pb2.SignatureKey(public_key=self.own.device.signature_key, cipher_suites=[1])

    def bundles(self, count: int = 1, *, last_resort: bool = False) -> list[KeyPackageBundle]:
        return make_bundles(self.own, SUITE, now_ms(), self.random, count=count, last_resort=last_resort)

    def key_packages(self, count: int = 1, *, last_resort: bool = False) -> list[bytes]:
        return [encode_message(bundle.key_package) for bundle in self.bundles(count, last_resort=last_resort)]


@dataclass
class Home:
    """One homeserver's service, by its stubs, and what the homeserver itself remembers."""

    server_name: str
    channel: grpc.aio.Channel
    members: dict[str, dict[str, room_pb2.MemberEvent]] = field(default_factory=dict)
    version: int = 0
    incarnation: int = 1

    def __post_init__(self) -> None:
        self.devices: Any = device_pb2_grpc.DeviceServiceStub(self.channel)
        self.key_packages: Any = key_package_pb2_grpc.KeyPackageServiceStub(self.channel)
        self.rooms: Any = room_pb2_grpc.RoomServiceStub(self.channel)
        self.encryption: Any = encryption_pb2_grpc.EncryptionServiceStub(self.channel)
        self.admin: Any = admin_pb2_grpc.AdminServiceStub(self.channel)

    async def register(self, user_id: str, device_id: str = "D1", client: Client | None = None) -> device_pb2.Device:
        """Register a device, hosted or a client's."""
        request = device_pb2.RegisterDeviceRequest(user_id=user_id, device_id=device_id, custody=common_pb2.CUSTODY_HOSTED)
        if client is not None:
            request.custody = common_pb2.CUSTODY_CLIENT
            request.signature_keys.append(client.key)
        answer = await self.devices.RegisterDevice(request)
        return answer.device  # type: ignore[no-any-return]

    async def upload(self, client: Client, key_packages: Sequence[bytes], **fields: Any) -> Any:
        request = key_package_pb2.UploadKeyPackagesRequest(
            user_id=client.user_id, device_id=client.device_id, key_packages=key_packages, **fields
        )
        return await self.key_packages.UploadKeyPackages(request)

    async def pending(self) -> list[room_pb2.OutboxItem]:
        """Return the outbox from its beginning."""
        return [frame.item for frame in await self.frames() if frame.WhichOneof("frame") == "item"]

    async def frames(self, cursor: str = "") -> list[room_pb2.WatchOutboxResponse]:
        """Return the frames of a stream until it has caught up."""
        stream = self.rooms.WatchOutbox(room_pb2.WatchOutboxRequest(cursor=cursor))
        frames = []
        async for frame in stream:
            frames.append(frame)
            if frame.WhichOneof("frame") == "caught_up":
                break
        stream.cancel()
        return frames

    async def acknowledge(self, sequence: int, *, request_id: str = "", **answer: Any) -> room_pb2.AckResult:
        request = room_pb2.AckOutboxRequest(
            request_id=request_id, acks=[room_pb2.OutboxAck(sequence=sequence, **answer)], incarnation=self.incarnation
        )
        return (await self.rooms.AckOutbox(request)).results[0]  # type: ignore[no-any-return]

    async def ingest(self, *events: room_pb2.RoomEvent, request_id: str = "") -> list[room_pb2.IngestResult]:
        request = room_pb2.IngestEventsRequest(request_id=request_id, events=events)
        return list((await self.rooms.IngestEvents(request)).results)

    async def encrypt(self, user_id: str, body: str, device_id: str = "D1", room_id: str = ROOM) -> encryption_pb2.EncryptResult:
        event = encryption_pb2.EventToEncrypt(
            room_id=room_id,
            sender=common_pb2.DeviceRef(user_id=user_id, device_id=device_id),
            type="m.room.message",
            content=json.dumps({"body": body}).encode(),
        )
        answer = await self.encryption.EncryptEvents(encryption_pb2.EncryptEventsRequest(events=[event]))
        return answer.results[0]  # type: ignore[no-any-return]

    async def decrypt(
        self, user_id: str, event_id: str, device_id: str = "D1", room_id: str = ROOM
    ) -> encryption_pb2.DecryptResult:
        reader = common_pb2.DeviceRef(user_id=user_id, device_id=device_id)
        event = encryption_pb2.EventToDecrypt(room_id=room_id, event_id=event_id, reader=reader)
        answer = await self.encryption.DecryptEvents(encryption_pb2.DecryptEventsRequest(events=[event]))
        return answer.results[0]  # type: ignore[no-any-return]

    async def room(self, room_id: str = ROOM) -> room_pb2.GetRoomResponse:
        return await self.rooms.GetRoom(room_pb2.GetRoomRequest(room_id=room_id))  # type: ignore[no-any-return]

    async def tell_state(self, room_id: str = ROOM, *, encryption: bytes = ENCRYPTION) -> room_pb2.UpdateRoomStateResponse:
        """Tell the whole state as this homeserver knows it."""
        self.version += 1
        members = self.members.get(room_id, {})
        state = room_pb2.RoomState(room_version="12", create_sender="@alice:hs1", encryption=encryption, members=members.values())
        request = room_pb2.UpdateRoomStateRequest(room_id=room_id, version=self.version, full=state)
        return await self.rooms.UpdateRoomState(request)  # type: ignore[no-any-return]


@dataclass
class World:
    """Homeservers that see the same room, and everything that was sent."""

    homes: dict[str, Home] = field(default_factory=dict)
    timeline: dict[str, room_pb2.RoomEvent] = field(default_factory=dict)
    commit_events: dict[str, str] = field(default_factory=dict)
    events: int = 0
    on_item: Callable[[Home, room_pb2.OutboxItem], None] = lambda home, item: None

    def home_of(self, user_id: str) -> Home:
        return self.homes[server_of(UserId(user_id))]

    async def set_membership(self, user_id: str, membership: str, *, by: str = "", room_id: str = ROOM) -> None:
        """Send a member event, and tell every homeserver's service the new state."""
        self.events += 1
        for home in self.homes.values():
            members = home.members.setdefault(room_id, {})
            before = members.get(user_id)
            members[user_id] = room_pb2.MemberEvent(
                event_id=f"$member-{self.events}",
                user_id=user_id,
                sender=by or user_id,
                membership=MEMBERSHIPS[membership],
                auth_event_ids=[] if before is None else [before.event_id],
            )
            await home.tell_state(room_id)

    async def join(self, *user_ids: str, room_id: str = ROOM) -> None:
        for user_id in user_ids:
            await self.set_membership(user_id, "join", room_id=room_id)

    def event(self, sender: str, content: bytes, room_id: str = ROOM) -> room_pb2.RoomEvent:
        """Make an event as its sender's homeserver does."""
        member = next(iter(self.homes.values())).members.get(room_id, {}).get(sender)
        event = room_pb2.RoomEvent(
            room_id=room_id,
            event_id="$" + hashlib.sha256(content + sender.encode()).hexdigest(),
            sender=sender,
            type="m.room.encrypted",
            content=content,
            auth_event_ids=[] if member is None else [member.event_id],
        )
        event.origin_server_ts.FromMilliseconds(now_ms())
        return event

    async def publish(self, event: room_pb2.RoomEvent) -> None:
        """Send an event to all homeservers."""
        self.timeline[event.event_id] = event
        content = json.loads(event.content)
        if content["kind"] == "commit":
            self.commit_events[content["commit_ref"]] = event.event_id
        for home in self.homes.values():
            (result,) = await home.ingest(event)
            assert result.outcome != room_pb2.INGEST_OUTCOME_REJECTED, result

    async def settle(self) -> None:
        """Do what the services want until they want nothing more."""
        for _ in range(50):
            did = False
            for home in self.homes.values():
                for item in await home.pending():
                    await self.perform(home, item)
                    did = True
            if not did:
                return
        raise AssertionError("the services do not come to rest")

    async def perform(self, home: Home, item: room_pb2.OutboxItem) -> None:
        """Do one item and acknowledge it."""
        self.on_item(home, item)
        action = item.WhichOneof("action")
        sent = room_pb2.OutboxSent()
        accepted = room_pb2.ACK_OUTCOME_ACCEPTED
        if action == "room_event":
            event = self.event(item.room_event.sender, item.room_event.content, item.room_id)
            sent.event_id = event.event_id
            assert (await home.acknowledge(item.sequence, sent=sent)).outcome == accepted
            await self.publish(event)
        elif action == "claim_wanted":
            await self._claim(home, item)
        elif action == "device_list_wanted":
            assert (await home.acknowledge(item.sequence, sent=sent)).outcome == accepted
            await home.rooms.UpdateDeviceLists(
                room_pb2.UpdateDeviceListsRequest(
                    lists=[await self.device_list(user) for user in item.device_list_wanted.user_ids]
                )
            )
        elif action == "to_device":
            assert (await home.acknowledge(item.sequence, sent=sent)).outcome == accepted
            await self._send_to_device(home, item)
        else:
            assert action in ("backfill_wanted", "blob")
            assert (await home.acknowledge(item.sequence, sent=sent)).outcome == accepted
            wanted = [self.timeline[name] for name in item.backfill_wanted.event_ids if name in self.timeline]
            if wanted:
                await home.ingest(*wanted)

    async def _claim(self, home: Home, item: room_pb2.OutboxItem) -> None:
        wanted = item.claim_wanted
        users = []
        for target in wanted.targets:
            request = key_package_pb2.ClaimKeyPackagesRequest(
                request_id=f"{home.server_name}-{item.sequence}-{target.user_id}",
                targets=[target],
                cipher_suites=wanted.cipher_suites,
                required_capabilities=wanted.required_capabilities,
                room_id=item.room_id,
                requester=home.server_name,
            )
            users += (await self.home_of(target.user_id).key_packages.ClaimKeyPackages(request)).users
        answer = await home.rooms.ProvideKeyPackages(room_pb2.ProvideKeyPackagesRequest(claim_id=wanted.claim_id, users=users))
        assert not answer.stale
        assert not [result for result in answer.results if result.HasField("failure")]

    async def _send_to_device(self, home: Home, item: room_pb2.OutboxItem) -> None:
        wanted = item.to_device
        message = room_pb2.ToDeviceMessage(
            message_id=f"{home.server_name}-{item.sequence}",
            sender=wanted.sender,
            user_id=wanted.user_id,
            device_id=wanted.device_id,
            type=wanted.type,
            content=wanted.content,
        )
        target = self.home_of(wanted.user_id)
        await target.rooms.IngestToDevice(room_pb2.IngestToDeviceRequest(messages=[message]))

    async def device_list(self, user_id: str) -> room_pb2.DeviceList:
        request = device_pb2.ListDevicesRequest(user_id=user_id, include_deleted=True)
        found = (await self.home_of(user_id).devices.ListDevices(request)).devices
        told = room_pb2.DeviceList(user_id=user_id, version=max((device.version for device in found), default=0))
        told.taken_at.FromMilliseconds(now_ms())
        for device in found:
            if not device.HasField("delete_time"):
                told.devices.add(device_id=device.device_id, signature_keys=device.signature_keys)
        return told

    async def say(self, user_id: str, body: str, device_id: str = "D1", room_id: str = ROOM) -> str:
        """Encrypt a message, send what must be sent before it, and send it; return its event id."""
        home = self.home_of(user_id)
        result = encryption_pb2.EncryptResult()
        for _ in range(100):
            result = await home.encrypt(user_id, body, device_id, room_id)
            await self.settle()
            if result.WhichOneof("result") == "encrypted":
                event = self.event(user_id, result.encrypted.content, room_id)
                await self.publish(event)
                return event.event_id
            assert result.failure.HasField("retry_delay"), result
            await asyncio.sleep(0.05)
        raise AssertionError(f"{user_id} cannot send: {result}")

    async def read(self, user_id: str, event_id: str, device_id: str = "D1") -> tuple[str, str]:
        """Return outcome and body of a message for a hosted device."""
        result = await self.home_of(user_id).decrypt(user_id, event_id, device_id)
        outcome = encryption_pb2.DecryptOutcome.Name(result.outcome).removeprefix("DECRYPT_OUTCOME_")
        return outcome, json.loads(result.decrypted.content)["body"] if result.decrypted.content else ""


@asynccontextmanager
async def running(folder: Path, server_name: str = "hs1", **settings: Any) -> AsyncIterator[Home]:
    """Run a service in this event loop; it stops at the end of the block."""
    told = {"hosting": True, "grace_s": 0.5, **settings}
    service = Service(Settings(data=folder / server_name, server_name=server_name, **told))
    await service.start()
    try:
        async with grpc.aio.insecure_channel(service.address) as channel:
            yield Home(server_name, channel)
    finally:
        await service.stop()


@asynccontextmanager
async def two_homes(folder: Path) -> AsyncIterator[World]:
    """Run the services of hs1 and hs2."""
    async with AsyncExitStack() as stack:
        homes = [await stack.enter_async_context(running(folder, name)) for name in ("hs1", "hs2")]
        yield World({home.server_name: home for home in homes})


@asynccontextmanager
async def with_alice(folder: Path) -> AsyncIterator[tuple[Home, World]]:
    """Run the service of hs1, with alice alone in the room."""
    async with running(folder) as home:
        world = World({home.server_name: home})
        await home.register("@alice:hs1")
        await world.join("@alice:hs1")
        yield home, world


@asynccontextmanager
async def refused() -> AsyncIterator[list[CallFailure]]:
    """Expect a call to fail; what was told of it is in the list afterwards."""
    told: list[CallFailure] = []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        yield told
    told.append(read_rpc_error(caught.value))
