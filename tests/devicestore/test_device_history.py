"""What is told of devices as they are registered, changed and deleted."""

from __future__ import annotations

from functools import partial

import pytest

from devicestore import Store, devices, key_package_lists, key_packages
from devicestore.devices import Custody
from devicestore.errors import Conflict, Invalid, NotFound
from tests.devicestore.support import ALICE, add_device, key_package, write

BOB = "@bob:hs1"


def changed(store: Store, after: int = 0, *user_ids: str) -> list[tuple[int, str, bool]]:
    records = store.read(lambda conn: devices.list_changed(conn, after, 100, user_ids))
    return [(record.version, record.device.device_id, record.deleted_at_ms is not None) for record in records]


def test_changes_of_all_devices_are_numbered(store: Store) -> None:
    add_device(store)
    add_device(store, user_id=BOB, device_id="B1", key=b"b")
    assert changed(store) == [(1, "A1", False), (2, "B1", False)]
    record = write(store, lambda conn: devices.change(conn, ALICE, "A1", {"display_name": "phone"}, now_ms=8))
    assert (record.device.display_name, record.updated_at_ms, record.version, record.first_version) == ("phone", 8, 3, 1)
    assert changed(store) == [(2, "B1", False), (3, "A1", False)]
    write(store, lambda conn: devices.remove(conn, ALICE, "A1", now_ms=9))
    assert changed(store, 2) == [(4, "A1", True)]
    assert changed(store, 0, BOB) == [(2, "B1", False)]
    with pytest.raises(NotFound):
        write(store, lambda conn: devices.change(conn, ALICE, "A1", {"display_name": "again"}, now_ms=9))


def test_a_tombstone_under_whose_name_there_is_a_device_is_passed_over(store: Store) -> None:
    add_device(store)
    write(store, lambda conn: devices.remove(conn, ALICE, "A1", now_ms=5))
    add_device(store, key=b"another")
    assert changed(store) == [(3, "A1", False)]


def test_another_key_makes_the_old_one_worthless_and_keeps_the_device(store: Store) -> None:
    before = add_device(store)
    write(store, lambda conn: key_packages.upload(conn, ALICE, "A1", [key_package(1)], limit=9, now_ms=1))
    record = write(store, lambda conn: devices.rotate(conn, ALICE, "A1", b"another key", (1, 2), now_ms=6))
    assert (record.device.signature_key, record.device.suites) == (b"another key", (1, 2))
    assert (record.device.created_at_ms, record.updated_at_ms, record.first_version) == (before.created_at_ms, 6, 1)
    assert store.read(lambda conn: key_package_lists.available(conn, ALICE, "A1", now_ms=0, margin_ms=0)) == []
    assert store.read(lambda conn: devices.list_deleted(conn, ALICE)) == [before]
    assert changed(store) == [(3, "A1", False)]
    for key in (b"another key", before.signature_key):
        with pytest.raises(Conflict):
            write(store, partial(devices.rotate, user_id=ALICE, device_id="A1", key=key, suites=(1,), now_ms=7))


def test_the_key_of_a_hosted_or_deleted_device_is_not_given_by_others(store: Store) -> None:
    add_device(store, custody=Custody.HOSTED)
    with pytest.raises(Invalid):
        write(store, lambda conn: devices.rotate(conn, ALICE, "A1", b"another", (1,), now_ms=7))
    write(store, lambda conn: devices.remove(conn, ALICE, "A1", now_ms=5))
    with pytest.raises(NotFound):
        write(store, lambda conn: devices.rotate(conn, ALICE, "A1", b"another", (1,), now_ms=7))


def test_records_are_listed_by_name_with_older_tombstones_first(store: Store) -> None:
    for key in (b"1", b"2", b"3"):
        add_device(store, key=key)
        if key != b"3":
            write(store, lambda conn: devices.remove(conn, ALICE, "A1", now_ms=5))
    add_device(store, user_id=BOB, device_id="B1", key=b"b")

    def listed(*, with_deleted: bool, after: tuple[str, str, int] | None = None, limit: int = 100) -> list[devices.DeviceRecord]:
        return store.read(lambda conn: devices.list_records(conn, with_deleted=with_deleted, after=after, limit=limit))

    everything = listed(with_deleted=True)
    assert [record.device.signature_key for record in everything] == [b"1", b"2", b"3", b"b"]
    assert [record.device.signature_key for record in listed(with_deleted=False)] == [b"3", b"b"]
    second = everything[1]
    assert listed(with_deleted=True, after=(ALICE, "A1", second.id)) == everything[2:]
    assert listed(with_deleted=True, limit=2) == everything[:2]
    assert store.read(lambda conn: devices.find_record(conn, ALICE, "A1")) == everything[2]
    with pytest.raises(NotFound):
        store.read(lambda conn: devices.find_record(conn, ALICE, "A9"))
