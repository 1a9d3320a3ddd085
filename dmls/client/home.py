"""The service of a device's own homeserver, as the device uses it: key packages, blobs, devices of the homeserver's users."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from dmls.client.channel import ServiceChannel
from dmls.engine.inputs import DeviceListChanged, KeyPackagesProvided
from dmls.errors import NotFoundError
from dmls.forks.graph import Device
from dmls.ids import DeviceId, RoomId, UserId
from dmls.mls.group.leaf import KeyPackageBundle
from dmls.mls.messages.message import encode_message
from dmls.v1 import device_pb2, key_package_pb2

__all__ = ["HomeService", "Shortage"]


class Shortage:
    """What a device's stock of key packages lacks."""

    def __init__(self, wanted: int, status: key_package_pb2.SuiteStatus) -> None:
        """Compare what the service has with `wanted` one-time key packages and a last resort that nobody has been given."""
        self.one_time = max(wanted - status.available, 0)
        self.last_resort = not status.has_last_resort or status.last_resort_used

    def __bool__(self) -> bool:
        """Whether anything is missing."""
        return bool(self.one_time or self.last_resort)


class HomeService:
    """The service of a device's homeserver. Every method raises a DMLSError for what it refuses, or if it cannot be reached."""

    def __init__(self, channel: ServiceChannel, device: Device, suite: int) -> None:
        """Speak for `device` through `channel`."""
        self._channel = channel
        self._device = device
        self._suite = suite

    def find_shortage(self, wanted: int) -> Shortage:
        """Tell what is missing to `wanted` one-time key packages and a last resort."""
        device = self._device
        request = key_package_pb2.GetKeyPackageStatusRequest(user_id=device.user_id, device_id=device.device_id)
        status = self._channel.call(request, key_package_pb2.GetKeyPackageStatusResponse).status
        suites = {each.cipher_suite: each for each in status.suites}
        return Shortage(wanted, suites.get(self._suite, key_package_pb2.SuiteStatus()))

    def upload(self, bundles: Sequence[KeyPackageBundle]) -> None:
        """Upload the public halves of key packages."""
        request = key_package_pb2.UploadKeyPackagesRequest(
            user_id=self._device.user_id,
            device_id=self._device.device_id,
            key_packages=[encode_message(bundle.key_package) for bundle in bundles],
        )
        self._channel.call(request, key_package_pb2.UploadKeyPackagesResponse)

    def claim(self, devices: Collection[Device], room_id: RoomId, request_id: str) -> KeyPackagesProvided:
        """Claim a key package of each of some devices of the homeserver's users; None for one that has none.

        Asked again with the same `request_id`, the service gives the same ones.
        """
        wanted: dict[UserId, list[DeviceId]] = {}
        for device in devices:
            wanted.setdefault(device.user_id, []).append(device.device_id)
        request = key_package_pb2.ClaimKeyPackagesRequest(
            request_id=request_id,
            targets=[key_package_pb2.ClaimTarget(user_id=user, device_ids=ids) for user, ids in wanted.items()],
            cipher_suites=[self._suite],
            room_id=room_id,
            requester=self._device.user_id,
        )
        claims = self._channel.call(request, key_package_pb2.ClaimKeyPackagesResponse).users
        found = {(claim.user_id, each.device_id): each.key_package for claim in claims for each in claim.devices}
        return KeyPackagesProvided({device: found.get((device.user_id, device.device_id)) or None for device in devices})

    def find_blob(self, room_id: RoomId, sha256: bytes) -> bytes | None:
        """Return a blob of a room, None if the service does not have it; `sha256` has 32 bytes."""
        try:
            return self._channel.get_blob(room_id, sha256)
        except NotFoundError:
            return None

    def give_blob(self, room_id: RoomId, data: bytes) -> None:
        """Give the service a blob of a room, which it need not fetch from the homeserver then."""
        self._channel.put_blob(room_id, data)

    def fetch_list(self, user: UserId, now_ms: int) -> DeviceListChanged:
        """Fetch the devices of a user of the homeserver; `now_ms` is in milliseconds since 1970."""
        request = device_pb2.ListDevicesRequest(user_id=user, include_deleted=True)
        devices: list[device_pb2.Device] = []
        while True:
            page = self._channel.call(request, device_pb2.ListDevicesResponse)
            devices += page.devices
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
        listed = [
            Device(user, DeviceId(device.device_id), key.public_key)
            for device in devices
            for key in device.signature_keys
            if self._suite in key.cipher_suites and not device.HasField("delete_time")
        ]
        version = max((device.version for device in devices), default=0)
        return DeviceListChanged(user, version, now_ms, tuple(sorted(listed)))
