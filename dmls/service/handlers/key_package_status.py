"""GetKeyPackageStatus and WatchKeyPackageStatus: what is left of devices' key packages."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping, Sequence

from google.protobuf.message import Message

from devicestore import Connection, devices, key_package_lists
from devicestore.errors import NotFound
from dmls.rooms.key_packages import CLAIM_MARGIN_MS
from dmls.service.convert import to_timestamp
from dmls.service.core import Core
from dmls.service.errors import UnknownResourceError
from dmls.service.streams import Position, Source, read_cursor
from dmls.v1 import key_package_pb2

__all__ = ["get_key_package_status", "status_changes", "to_status"]

_PAGE = 100


def get_key_package_status(
    core: Core, request: key_package_pb2.GetKeyPackageStatusRequest
) -> key_package_pb2.GetKeyPackageStatusResponse:
    """Tell what is left of a device's key packages.

    Raises:
        UnknownResourceError: the device is not registered.
    """
    try:
        status = core.store.read(lambda conn: to_status(conn, core, request.user_id, request.device_id))
    except NotFound:
        raise UnknownResourceError("device", request.device_id) from None
    return key_package_pb2.GetKeyPackageStatusResponse(status=status)


def to_status(conn: Connection, core: Core, user_id: str, device_id: str) -> key_package_pb2.KeyPackageStatus:
    """Return what is left of a device's key packages, as callers see it.

    Raises:
        NotFound: the device is not registered.
    """
    times = {"now_ms": core.now_ms(), "margin_ms": CLAIM_MARGIN_MS}
    refs: dict[int, list[bytes]] = {}
    for suite, ref in key_package_lists.available(conn, user_id, device_id, **times):
        refs.setdefault(suite, []).append(ref)
    suites = [
        key_package_pb2.SuiteStatus(
            cipher_suite=each.suite,
            available=each.one_time,
            has_last_resort=each.has_last_resort,
            last_resort_used=each.last_resort_uses > 0,
            soonest_expiry=None if each.soonest_expiry_ms is None else to_timestamp(each.soonest_expiry_ms),
            digest=hashlib.sha256(b"".join(sorted(refs.get(each.suite, ())))).digest(),
        )
        for each in key_package_lists.status(conn, user_id, device_id, **times)
    ]
    low_water_mark = core.limits.key_package_low_water_mark
    return key_package_pb2.KeyPackageStatus(user_id=user_id, device_id=device_id, suites=suites, low_water_mark=low_water_mark)


def status_changes(core: Core, request: key_package_pb2.WatchKeyPackageStatusRequest) -> Source:
    """Return the source of a stream: without a cursor the status of each device first, then of those that run low."""
    names = frozenset((device.user_id, device.device_id) for device in request.devices)
    present: list[tuple[str, str]] = []

    def open_stream() -> Position:
        number = read_cursor(core, request.cursor)
        last = core.store.read(key_package_lists.last_noted)
        # Numbers that the store has not reached are of a time that it has lost.
        if 0 < number <= last:
            return Position(number)
        rows = core.store.read(devices.list_devices)
        found = ((row.user_id, row.device_id) for row in rows)
        present.extend(name for name in found if not names or name in names)
        # A stream that is cut before all of these were sent begins with them again.
        return Position(0 if present else last, last)

    def read(position: Position) -> Sequence[tuple[int, Mapping[str, Message] | None]]:
        return core.store.read(lambda conn: _read(conn, core, position, present, names))

    return Source(open_stream, read)


def _read(
    conn: Connection, core: Core, position: Position, present: list[tuple[str, str]], names: frozenset[tuple[str, str]]
) -> list[tuple[int, Mapping[str, Message] | None]]:
    if present:
        page, present[:] = present[:_PAGE], present[_PAGE:]
        numbered = [(position.number, *name) for name in page]
    else:
        numbered = key_package_lists.changed_statuses(conn, position.number, _PAGE, names)
    found: list[tuple[int, Mapping[str, Message] | None]] = []
    for number, user_id, device_id in numbered:
        status = None
        with contextlib.suppress(NotFound):
            status = {"status": to_status(conn, core, user_id, device_id)}
        found.append((number, status))
    if found and not position.number and not present:
        found.append((position.present_until, None))
    return found
