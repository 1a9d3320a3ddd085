"""The key packages of hosted devices: the service keeps a stock of them by itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from devicestore import Connection, devices, key_package_lists
from devicestore.devices import Custody, DeviceRow
from devicestore.errors import NotFound
from dmls.forks.graph import Device
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.group.leaf import KeyPackageBundle
from dmls.rooms.key_packages import CLAIM_MARGIN_MS, make_bundles, store_bundles
from dmls.rooms.people import device_of_row, own_device
from dmls.service.core import Core

__all__ = ["STOCK", "first_stock", "refill", "refill_all"]

STOCK = 10
"""How many one-time key packages of each suite a hosted device has after a refill; one is due when half of them are gone."""


def first_stock(core: Core, device: Device, suites: Iterable[int], signature_private_key: Secret) -> list[KeyPackageBundle]:
    """Make the key packages of a new hosted device, last resorts included."""
    return [
        bundle for suite in suites for bundle in _make(core, device, suite, signature_private_key, count=STOCK, last_resort=True)
    ]


def refill(core: Core, names: Iterable[tuple[str, str]]) -> int:
    """Refill the stock of those devices, by user id and device id, that are hosted; return how many key packages were made.

    Raises:
        StoreError: the store cannot be read or written.
    """
    if not core.hosting:
        return 0
    return sum(_refill(core, row) for row in core.store.read(lambda conn: _hosted(conn, names)))


def _hosted(conn: Connection, names: Iterable[tuple[str, str]]) -> list[DeviceRow]:
    found = []
    for user_id, device_id in names:
        with contextlib.suppress(NotFound):
            found.append(devices.get(conn, user_id, device_id))
    return [row for row in found if row.custody is Custody.HOSTED]


def _refill(core: Core, row: DeviceRow) -> int:
    """Bring the stock of a hosted device up again, and replace a last resort that was given out; return how many were made.

    Raises:
        StoreError: the store cannot be read or written.
    """
    now_ms = core.now_ms()

    def read(conn: Connection) -> tuple[list[key_package_lists.SuiteStatus], Secret]:
        status = key_package_lists.status(conn, row.user_id, row.device_id, now_ms=now_ms, margin_ms=CLAIM_MARGIN_MS)
        return status, Secret(devices.signature_private_key(conn, row.user_id, row.device_id))

    try:
        status, secret = core.store.read(read)
    except NotFound:
        return 0
    device, bundles = device_of_row(row), list[KeyPackageBundle]()
    for suite in status:
        count = STOCK - suite.one_time if suite.one_time <= STOCK // 2 else 0
        last_resort = not suite.has_last_resort or suite.last_resort_uses > 0
        if count or last_resort:
            bundles += _make(core, device, suite.suite, secret, count=count, last_resort=last_resort)
    if not bundles:
        return 0
    limit = core.limits.max_key_packages_per_device
    try:
        core.store.write(lambda conn: store_bundles(conn, device, bundles, limit=limit, now_ms=now_ms)).result()
    except NotFound:
        return 0
    return len(bundles)


def refill_all(core: Core) -> int:
    """Refill the stock of every hosted device; return how many key packages were made.

    Raises:
        StoreError: the store cannot be read or written.
    """
    if not core.hosting:
        return 0
    rows = core.store.read(lambda conn: devices.list_devices(conn, custody=Custody.HOSTED))
    return sum(_refill(core, row) for row in rows)


def _make(core: Core, device: Device, suite: int, secret: Secret, *, count: int, last_resort: bool) -> list[KeyPackageBundle]:
    own = own_device(device, suite, secret)
    return make_bundles(own, cipher_suite(suite), core.now_ms(), core.keeper.env.random, count=count, last_resort=last_resort)
