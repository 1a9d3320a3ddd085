"""Users' devices. A device is named by user, device id and signature key; a deleted one never comes back under its old key."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, insert, select, tuple_, update
from sqlalchemy.orm import aliased

from devicestore import counters, data_keys, key_package_secrets
from devicestore.counters import CounterName
from devicestore.data_keys import Sealed, Unsealed
from devicestore.errors import Conflict, Invalid, NotFound
from devicestore.models import DataKey, Device, KeyPackage, User
from devicestore.sealing import row_sealing
from devicestore.statements import upsert

__all__ = [
    "Custody",
    "DeviceRecord",
    "DeviceRow",
    "change",
    "device_list_version",
    "find_record",
    "get",
    "list_changed",
    "list_deleted",
    "list_devices",
    "list_records",
    "register",
    "remove",
    "rotate",
    "signature_private_key",
]


_VERSION = 1
"""The key of a device is never rewritten."""


class Custody(StrEnum):
    """Who holds a device's private keys."""

    HOSTED = "hosted"
    CLIENT = "client"


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """A device as it was registered."""

    user_id: str
    device_id: str
    custody: Custody
    signature_key: bytes
    credential: bytes
    suites: tuple[int, ...]
    """Cipher suites by code point, most wanted first."""
    display_name: str | None
    created_at_ms: int
    device_keys: bytes | None = None
    """The Matrix object of that name, JSON."""


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """A device, or the tombstone of one, and its place in the history of all devices."""

    id: int
    """Of devices of one name the later one has the greater."""
    device: DeviceRow
    updated_at_ms: int
    deleted_at_ms: int | None
    version: int
    """Of its last change: changes of all devices of the store are numbered in the order of their transactions."""
    first_version: int
    """Of its registration."""


def register(conn: Connection, device: DeviceRow, private_key: bytes | None = None) -> bool:
    """Store a device; its user is made as needed. Return False if the same device is registered already.

    Args:
        conn: a writing connection.
        device: what to store. A repetition changes nothing, whatever its other fields say.
        private_key: the private half of `signature_key`; given for a hosted device and for no other.

    Raises:
        Conflict: the device id is in use with another key or custody, or this key was deleted under this id.
        Invalid: a private key for a device of a client, or none for a hosted one.
    """
    if (private_key is not None) != (device.custody is Custody.HOSTED):
        raise Invalid("a hosted device comes with its private key, a client's without")
    for row in conn.execute(
        select(Device.signature_key, Device.custody, Device.deleted_at_ms).where(
            Device.user_id == device.user_id, Device.device_id == device.device_id
        )
    ):
        if row.deleted_at_ms is None:
            if row.signature_key != device.signature_key or row.custody != device.custody:
                raise Conflict("the device id is in use with another signature key or custody")
            return False
        if row.signature_key == device.signature_key:
            raise Conflict("a device with this signature key was deleted; it returns only with another key")
    _raise_list_version(conn, device.user_id)
    version = counters.take(conn, CounterName.DEVICE)
    _insert(conn, device, private_key, now_ms=device.created_at_ms, version=version, first_version=version)
    return True


def change(
    conn: Connection, user_id: str, device_id: str, values: Mapping[str, str | bytes | None], *, now_ms: int
) -> DeviceRecord:
    """Change columns of a device, of `display_name` and `device_keys`, and return it.

    Raises:
        NotFound: no such device.
    """
    changed = conn.execute(
        update(Device)
        .where(Device.user_id == user_id, Device.device_id == device_id, Device.deleted_at_ms.is_(None))
        .values(updated_at_ms=now_ms, version=counters.take(conn, CounterName.DEVICE), **values)
    ).rowcount
    if not changed:
        raise NotFound("no such device")
    return find_record(conn, user_id, device_id)


def rotate(conn: Connection, user_id: str, device_id: str, key: bytes, suites: Sequence[int], *, now_ms: int) -> DeviceRecord:
    """Give a client's device another signature key, and return it. Under the old one it never comes back.

    Its key packages, which carry the old key, are deleted.

    Raises:
        NotFound: no such device.
        Conflict: the device had this key before.
        Invalid: the device is hosted.
    """
    before = find_record(conn, user_id, device_id)
    if before.deleted_at_ms is not None:
        raise NotFound("no such device")
    if before.device.custody is not Custody.CLIENT:
        raise Invalid("the keys of a hosted device are made here")
    device = replace(before.device, signature_key=key, suites=tuple(suites))
    of_device = (Device.user_id == user_id, Device.device_id == device_id)
    if conn.execute(select(Device.id).where(*of_device, Device.signature_key == key)).first() is not None:
        raise Conflict("the device has, or had, this signature key")
    remove(conn, user_id, device_id, now_ms=now_ms)
    version = counters.take(conn, CounterName.DEVICE)
    _insert(conn, device, None, now_ms=now_ms, version=version, first_version=before.first_version)
    return find_record(conn, user_id, device_id)


def get(conn: Connection, user_id: str, device_id: str) -> DeviceRow:
    """Return a device that is not deleted.

    Raises:
        NotFound: there is none.
    """
    row = conn.execute(_select_live().where(Device.user_id == user_id, Device.device_id == device_id)).one_or_none()
    if row is None:
        raise NotFound("no such device")
    return _to_device(row)


def list_devices(
    conn: Connection,
    user_id: str | None = None,
    *,
    custody: Custody | None = None,
    after: tuple[str, str] | None = None,
    limit: int | None = None,
) -> list[DeviceRow]:
    """Return devices that are not deleted, ordered by user id and device id.

    Args:
        conn: any connection.
        user_id: only this user's.
        custody: only those of this custody.
        after: user id and device id of the last device of the page before.
        limit: most devices to return.
    """
    statement = _select_live().order_by(Device.user_id, Device.device_id).limit(limit)
    if user_id is not None:
        statement = statement.where(Device.user_id == user_id)
    if custody is not None:
        statement = statement.where(Device.custody == custody.value)
    if after is not None:
        statement = statement.where(tuple_(Device.user_id, Device.device_id) > after)
    return [_to_device(row) for row in conn.execute(statement)]


def list_deleted(conn: Connection, user_id: str) -> list[DeviceRow]:
    """Return what a user's deleted devices were, oldest deletion first."""
    statement = select(*_COLUMNS).where(Device.user_id == user_id, Device.deleted_at_ms.is_not(None))
    return [_to_device(row) for row in conn.execute(statement.order_by(Device.deleted_at_ms, Device.id))]


def find_record(conn: Connection, user_id: str, device_id: str) -> DeviceRecord:
    """Return a device, or the tombstone of the last one of this name.

    Raises:
        NotFound: there never was such a device.
    """
    named = _select_records().where(Device.user_id == user_id, Device.device_id == device_id)
    row = conn.execute(named.order_by(Device.id.desc()).limit(1)).one_or_none()
    if row is None:
        raise NotFound("no such device")
    return _to_record(row)


def list_records(
    conn: Connection, user_id: str | None = None, *, with_deleted: bool, after: tuple[str, str, int] | None = None, limit: int
) -> list[DeviceRecord]:
    """Return devices by user id, device id and `id`.

    Args:
        conn: any connection.
        user_id: only this user's.
        with_deleted: the tombstones too.
        after: these three of the last one of the page before.
        limit: most to return.
    """
    statement = _select_records().order_by(Device.user_id, Device.device_id, Device.id).limit(limit)
    if user_id is not None:
        statement = statement.where(Device.user_id == user_id)
    if not with_deleted:
        statement = statement.where(Device.deleted_at_ms.is_(None))
    if after is not None:
        statement = statement.where(tuple_(Device.user_id, Device.device_id, Device.id) > after)
    return [_to_record(row) for row in conn.execute(statement)]


def list_changed(conn: Connection, after: int, limit: int, user_ids: Collection[str] = ()) -> list[DeviceRecord]:
    """Return devices and tombstones whose last change came after a version, in the order of those changes.

    A tombstone under whose name there is a device again is passed over.

    Args:
        conn: any connection.
        after: the version.
        limit: most to return.
        user_ids: only of these users; none: of all.
    """
    later = aliased(Device)
    is_followed = (
        select(later.id)
        .where(later.user_id == Device.user_id, later.device_id == Device.device_id, later.id > Device.id)
        .exists()
    )
    statement = _select_records().where(Device.version > after, ~is_followed).order_by(Device.version).limit(limit)
    if user_ids:
        statement = statement.where(Device.user_id.in_(user_ids))
    return [_to_record(row) for row in conn.execute(statement)]


def remove(conn: Connection, user_id: str, device_id: str, *, now_ms: int) -> bool:
    """Delete a device, its key packages and every secret kept for it. Return False if it is deleted already.

    Raises:
        NotFound: there never was such a device.
    """
    of_device = (Device.user_id == user_id, Device.device_id == device_id)
    is_live = Device.deleted_at_ms.is_(None)
    data_keys.shred(conn, select(Device.slot).where(*of_device, is_live))
    if conn.execute(select(Device.id).where(*of_device, is_live)).first() is None:
        find_record(conn, user_id, device_id)
        return False
    tombstone = {
        "updated_at_ms": now_ms,
        "deleted_at_ms": now_ms,
        "version": counters.take(conn, CounterName.DEVICE),
        "slot": None,
        "sealed_private_key": None,
    }
    conn.execute(update(Device).where(*of_device, is_live).values(tombstone))
    conn.execute(delete(KeyPackage).where(KeyPackage.user_id == user_id, KeyPackage.device_id == device_id))
    key_package_secrets.remove_of_device(conn, user_id, device_id)
    _raise_list_version(conn, user_id)
    return True


def device_list_version(conn: Connection, user_id: str) -> int:
    """Return the version of a user's device list, which every change of it raises; 0 for a user who never had a device."""
    return conn.execute(select(User.device_list_version).where(User.user_id == user_id)).scalar_one_or_none() or 0


def signature_private_key(conn: Connection, user_id: str, device_id: str) -> bytes:
    """Return the private half of a hosted device's signature key.

    Raises:
        NotFound: no such device, or it is not hosted.
        SealBroken: the row was altered.
    """
    device = get(conn, user_id, device_id)
    row = conn.execute(
        select(Device.slot, Device.sealed_private_key, DataKey.sealed.label("wrapped"))
        .outerjoin(DataKey, DataKey.id == Device.slot)
        .where(Device.user_id == user_id, Device.device_id == device_id, Device.deleted_at_ms.is_(None))
    ).one()
    if row.slot is None:
        raise NotFound("the device is not hosted here")
    sealed = Sealed(row.slot, row.sealed_private_key)
    return data_keys.unseal(row_sealing(conn), "device", _place(device), _VERSION, sealed, row.wrapped)


def _insert(
    conn: Connection, device: DeviceRow, private_key: bytes | None, *, now_ms: int, version: int, first_version: int
) -> None:
    sealed = None if private_key is None else _seal(conn, device, private_key)
    conn.execute(
        insert(Device).values(
            user_id=device.user_id,
            device_id=device.device_id,
            custody=device.custody.value,
            signature_key=device.signature_key,
            credential=device.credential,
            suites=list(device.suites),
            display_name=device.display_name,
            device_keys=device.device_keys,
            created_at_ms=device.created_at_ms,
            updated_at_ms=now_ms,
            version=version,
            first_version=first_version,
            status_version=0,
            slot=None if sealed is None else sealed.slot,
            sealed_private_key=None if sealed is None else sealed.sealed,
        )
    )


def _seal(conn: Connection, device: DeviceRow, private_key: bytes) -> Sealed:
    return data_keys.seal(conn, "device", [Unsealed(_place(device), _VERSION, private_key, None)])[0]


def _place(device: DeviceRow) -> tuple[bytes, ...]:
    return (device.user_id.encode(), device.device_id.encode(), device.signature_key)


def _raise_list_version(conn: Connection, user_id: str) -> None:
    changed = conn.execute(
        update(User).where(User.user_id == user_id).values(device_list_version=User.device_list_version + 1)
    ).rowcount
    if not changed:
        conn.execute(upsert(conn, User, ("user_id",), ("device_list_version",)), {"user_id": user_id, "device_list_version": 1})


_COLUMNS = (
    Device.user_id,
    Device.device_id,
    Device.custody,
    Device.signature_key,
    Device.credential,
    Device.suites,
    Device.display_name,
    Device.created_at_ms,
    Device.device_keys,
)


def _select_live() -> Select[*tuple[Any, ...]]:
    return select(*_COLUMNS).where(Device.deleted_at_ms.is_(None))


def _select_records() -> Select[*tuple[Any, ...]]:
    return select(*_COLUMNS, Device.id, Device.updated_at_ms, Device.deleted_at_ms, Device.version, Device.first_version)


def _to_record(row: Row[*tuple[Any, ...]]) -> DeviceRecord:
    return DeviceRecord(row.id, _to_device(row), row.updated_at_ms, row.deleted_at_ms, row.version, row.first_version)


def _to_device(row: Row[*tuple[Any, ...]]) -> DeviceRow:
    return DeviceRow(
        user_id=row.user_id,
        device_id=row.device_id,
        custody=Custody(row.custody),
        signature_key=row.signature_key,
        credential=row.credential,
        suites=tuple(row.suites),
        display_name=row.display_name,
        created_at_ms=row.created_at_ms,
        device_keys=row.device_keys,
    )
