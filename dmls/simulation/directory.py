"""Who has which devices, and which agent holds their keys."""

from __future__ import annotations

from dataclasses import dataclass, field

from dmls.engine.agent import OwnDevice, make_client
from dmls.engine.inputs import DeviceListChanged
from dmls.forks.graph import Device
from dmls.ids import DeviceId, ServerName, UserId
from dmls.mls.crypto.randomness import Random
from dmls.mls.crypto.suites import CipherSuite
from dmls.simulation.driver import Driver

__all__ = ["Directory", "server_of"]


def server_of(user: UserId) -> ServerName:
    """Return the homeserver of a user."""
    return ServerName(user.partition(":")[2])


@dataclass
class _Account:
    version: int = 0
    devices: dict[DeviceId, Device] = field(default_factory=dict)
    gone: list[Device] = field(default_factory=list)


@dataclass
class Directory:
    """The devices of all users."""

    suite: CipherSuite
    random: Random
    _accounts: dict[UserId, _Account] = field(default_factory=dict)
    _owners: dict[Device, Driver] = field(default_factory=dict)
    own: dict[Device, OwnDevice] = field(default_factory=dict)

    def log_in(self, user: UserId, device_id: DeviceId, owner: Driver) -> OwnDevice:
        """Make a device, with a signature key of its own, and give it to an agent."""
        pair = self.suite.generate_signature_key_pair(self.random)
        device = Device(user, device_id, pair.public_key)
        own = OwnDevice(device, make_client(self.suite, user, device_id, pair.private_key, pair.public_key))
        account = self._account(user)
        account.devices[device_id] = device
        account.version += 1
        self._owners[device] = owner
        self.own[device] = own
        return own

    def log_out(self, user: UserId, device_id: DeviceId) -> Device:
        """End a device for good."""
        account = self._account(user)
        device = account.devices.pop(device_id)
        account.gone.append(device)
        account.version += 1
        return device

    def devices(self, user: UserId) -> dict[DeviceId, Device]:
        """Return the devices of a user by name."""
        return dict(self._account(user).devices)

    def owner(self, device: Device) -> Driver:
        """Return the agent that holds a device's keys, or held them."""
        return self._owners[device]

    def device_list(self, user: UserId, now_ms: int, *, is_own: bool) -> DeviceListChanged:
        """Return a user's device list as the user's homeserver gives it now."""
        account = self._account(user)
        devices = tuple(sorted(account.devices.values()))
        gone = tuple(account.gone) if is_own else ()
        return DeviceListChanged(user, account.version, now_ms, devices, is_own, gone)

    def key_package(self, device: Device) -> bytes | None:
        """Return a key package of a device, None if it has logged out or was never there."""
        if device not in self._account(device.user_id).devices.values():
            return None
        return self._owners[device].give_key_package(device)

    def _account(self, user: UserId) -> _Account:
        return self._accounts.setdefault(user, _Account())
