"""The users whose devices this store has: their device lists, and the keys of those that are hosted here."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from devicestore import Connection, Store, devices
from devicestore.devices import Custody, DeviceRow
from dmls.engine.agent import OwnDevice, make_client
from dmls.forks.graph import Device
from dmls.ids import DeviceId, UserId
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import cipher_suite

__all__ = ["People", "Person", "device_of_row", "own_device"]


@dataclass(frozen=True, slots=True)
class Person:
    """One user's devices; `version` grows with each change of them."""

    user_id: UserId
    version: int = 0
    devices: tuple[tuple[Device, frozenset[int]], ...] = ()
    """Each device with the cipher suites that it uses."""
    gone: tuple[Device, ...] = ()
    """Deleted devices; they never come back."""
    keys: tuple[tuple[Device, Secret], ...] = field(default=(), repr=False)
    """Signature private keys of hosted devices."""

    def listed(self, suite: int) -> tuple[Device, ...]:
        """Return the devices that can be members of a group of this suite."""
        return tuple(device for device, suites in self.devices if suite in suites)

    def hosted(self, suite: int) -> dict[Device, OwnDevice]:
        """Return those among them whose keys are held."""
        listed = frozenset(self.listed(suite))
        return {device: own_device(device, suite, key) for device, key in self.keys if device in listed}


def device_of_row(row: DeviceRow) -> Device:
    """Return the device that a row is about."""
    return Device(UserId(row.user_id), DeviceId(row.device_id), row.signature_key)


def own_device(device: Device, suite: int, signature_private_key: Secret) -> OwnDevice:
    """Return a device with its key, as the engine takes it.

    Raises:
        CryptoError: the key is no private key of the suite's.
    """
    found = cipher_suite(suite)
    signing_key = found.signing_key(signature_private_key)
    return OwnDevice(device, make_client(found, device.user_id, device.device_id, signing_key, device.signature_key))


class People:
    """What the store says of users, remembered until `forget`. Safe to use from several threads."""

    def __init__(self, store: Store, *, hosting: bool) -> None:
        """Read from `store`; without `hosting` no private key is ever read."""
        self._store = store
        self._hosting = hosting
        self._lock = threading.Lock()
        self._known: dict[UserId, Person] = {}
        self._generation = 0
        self._changes = 0

    @property
    def generation(self) -> int:
        """Grows whenever something was forgotten."""
        return self._generation

    def forget(self, user_id: UserId) -> None:
        """Read a user anew next time."""
        with self._lock:
            self._known.pop(user_id, None)
            self._generation += 1

    def follow(self, changes: int) -> None:
        """Read everybody anew next time if devices have changed in the store since this was last called.

        `changes` is how often they have; another process of the service may have made the changes.
        """
        with self._lock:
            if changes != self._changes:
                self._changes = changes
                self._known.clear()
                self._generation += 1

    def find(self, user_ids: Iterable[UserId]) -> dict[UserId, Person]:
        """Return users by id; one who never had a device has version 0.

        Raises:
            SealBroken: the key of a hosted device does not open.
            StoreError: the store cannot be read.
        """
        wanted = set(user_ids)
        with self._lock:
            generation = self._generation
            found = {user: self._known[user] for user in wanted & self._known.keys()}
        missing = wanted - found.keys()
        if missing:
            read = self._store.read(lambda conn: {user: self._read(conn, user) for user in missing})
            found |= read
            with self._lock:
                if generation == self._generation:
                    self._known |= read
        return found

    def hosted_users(self) -> frozenset[UserId]:
        """Return the users of all hosted devices."""
        if not self._hosting:
            return frozenset()
        rows = self._store.read(lambda conn: devices.list_devices(conn, custody=Custody.HOSTED))
        return frozenset(UserId(row.user_id) for row in rows)

    def _read(self, conn: Connection, user_id: UserId) -> Person:
        rows = devices.list_devices(conn, user_id)
        keys = [
            (device_of_row(row), Secret(devices.signature_private_key(conn, user_id, row.device_id)))
            for row in rows
            if self._hosting and row.custody is Custody.HOSTED
        ]
        return Person(
            user_id,
            devices.device_list_version(conn, user_id),
            tuple((device_of_row(row), frozenset(row.suites)) for row in rows),
            tuple(map(device_of_row, devices.list_deleted(conn, user_id))),
            tuple(keys),
        )
