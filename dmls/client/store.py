"""A client device's store: a folder with a database and its key file, in the same form as a service's, and one device in it."""

from __future__ import annotations

from pathlib import Path

from devicestore import Connection, Sealing, Store, devices, load_or_create_key
from devicestore.devices import Custody, DeviceRow
from devicestore.errors import NotFound
from dmls.errors import StateError
from dmls.forks.aad import encode_identity
from dmls.forks.graph import Device
from dmls.ids import DeviceId, UserId
from dmls.mls.crypto.randomness import Random
from dmls.mls.crypto.suites import CipherSuite
from dmls.rooms.people import device_of_row
from dmls.rooms.public import CLIENT_DATABASE

__all__ = ["load_or_make_device", "open_client_store"]

_KEY = "key"


def open_client_store(folder: Path) -> Store:
    """Open the store in `folder`, which is made, for its owner only, where there is none. The caller closes it.

    Raises:
        StoreError: it cannot be opened, somebody else has it open or may read it, or the key is another's.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    sealing = Sealing(load_or_create_key(folder / _KEY))
    return Store.open(f"sqlite:///{folder.absolute() / CLIENT_DATABASE}", sealing, migrate=True)


def load_or_make_device(
    store: Store, user_id: UserId, device_id: DeviceId, suite: CipherSuite, now_ms: int, random: Random
) -> Device:
    """Return the store's device; a new store gets one, with a fresh signature key.

    In this store the device is hosted: the keys are here. What its homeserver's service has of it is the public half.

    Raises:
        StateError: the store is another device's.
        StoreError: it cannot be read or written.
    """
    rows = store.read(devices.list_devices)
    if not rows:
        pair = suite.generate_signature_key_pair(random)
        row = DeviceRow(
            user_id=user_id,
            device_id=device_id,
            custody=Custody.HOSTED,
            signature_key=pair.public_key,
            credential=encode_identity(user_id, device_id),
            suites=(suite.id,),
            display_name=None,
            created_at_ms=now_ms,
        )
        store.write(lambda conn: devices.register(conn, row, pair.private_key)).result()
    elif [(row.user_id, row.device_id) for row in rows] != [(user_id, device_id)]:
        raise StateError("the store belongs to another device")
    return store.read(lambda conn: _own_device(conn, user_id, device_id))


def _own_device(conn: Connection, user_id: UserId, device_id: DeviceId) -> Device:
    try:
        return device_of_row(devices.get(conn, user_id, device_id))
    except NotFound as error:
        raise StateError("the device of this store was deleted") from error
