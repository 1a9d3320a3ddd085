from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from devicestore import Store, devices, key_package_lists, key_package_secrets, key_packages
from devicestore.devices import Custody
from devicestore.errors import Conflict, Invalid, NotFound
from tests.devicestore.support import ALICE, add_device, device, key_package, write

BOB = "@bob:hs1"


def version(store: Store, user_id: str = ALICE) -> int:
    return store.read(lambda conn: devices.device_list_version(conn, user_id))


def test_registered_device_comes_back_as_it_was(store: Store) -> None:
    added = replace(device(suites=(3, 1, 2)), display_name="phone")
    assert write(store, lambda conn: devices.register(conn, added)) is True
    assert store.read(lambda conn: devices.get(conn, ALICE, "A1")) == added


def test_registering_again_changes_nothing(store: Store) -> None:
    added = add_device(store)
    again = replace(added, display_name="another name", created_at_ms=99, suites=(2,))
    assert write(store, lambda conn: devices.register(conn, again)) is False
    assert store.read(lambda conn: devices.get(conn, ALICE, "A1")) == added
    assert version(store) == 1


@pytest.mark.parametrize("change", [{"signature_key": b"other"}, {"custody": Custody.HOSTED}])
def test_same_id_with_another_key_or_custody_is_a_conflict(store: Store, change: dict[str, object]) -> None:
    added = add_device(store)
    other = replace(added, **change)  # type: ignore[arg-type]
    private = b"private" if other.custody is Custody.HOSTED else None
    with pytest.raises(Conflict):
        write(store, lambda conn: devices.register(conn, other, private))
    assert store.read(lambda conn: devices.get(conn, ALICE, "A1")) == added
    assert version(store) == 1


def test_same_id_of_another_user_is_another_device(store: Store) -> None:
    add_device(store)
    other = add_device(store, user_id=BOB)
    assert store.read(lambda conn: devices.get(conn, BOB, "A1")) == other


def test_unknown_device_is_not_found(store: Store) -> None:
    add_device(store)
    for user_id, device_id in ((ALICE, "A2"), (BOB, "A1")):
        with pytest.raises(NotFound):
            store.read(partial(devices.get, user_id=user_id, device_id=device_id))
        with pytest.raises(NotFound):
            write(store, partial(devices.remove, user_id=user_id, device_id=device_id, now_ms=5))


def test_deleted_device_leaves_a_tombstone_and_nothing_else(store: Store) -> None:
    deleted = add_device(store, custody=Custody.HOSTED)
    package = key_package(1)
    write(store, lambda conn: key_packages.upload(conn, ALICE, "A1", [package], limit=9, now_ms=1))
    write(store, lambda conn: key_package_secrets.put(conn, ALICE, "A1", package.ref, b"secret", delete_after_ms=99))
    assert write(store, lambda conn: devices.remove(conn, ALICE, "A1", now_ms=5)) is True
    assert store.read(devices.list_devices) == []
    assert store.read(lambda conn: devices.list_deleted(conn, ALICE)) == [deleted]
    record = store.read(lambda conn: devices.find_record(conn, ALICE, "A1"))
    assert (record.device, record.deleted_at_ms, record.updated_at_ms) == (deleted, 5, 5)
    assert store.read(lambda conn: devices.list_deleted(conn, BOB)) == []
    for read in (
        lambda conn: devices.get(conn, ALICE, "A1"),
        lambda conn: devices.signature_private_key(conn, ALICE, "A1"),
        lambda conn: key_package_secrets.get(conn, package.ref, now_ms=0),
        lambda conn: key_package_lists.status(conn, ALICE, "A1", now_ms=0, margin_ms=0),
    ):
        with pytest.raises(NotFound):
            store.read(read)
    claims = write(
        store, lambda conn: key_packages.claim(conn, ALICE, [1], key_packages.Claimant("x", "1", None), now_ms=0, margin_ms=0)
    )
    assert claims == []


def test_deleting_again_changes_nothing(store: Store) -> None:
    add_device(store)
    write(store, lambda conn: devices.remove(conn, ALICE, "A1", now_ms=5))
    assert write(store, lambda conn: devices.remove(conn, ALICE, "A1", now_ms=9)) is False
    assert store.read(lambda conn: devices.find_record(conn, ALICE, "A1")).deleted_at_ms == 5
    assert version(store) == 2


def test_deleting_one_device_leaves_the_others_alone(store: Store) -> None:
    add_device(store)
    kept = add_device(store, device_id="A2", key=b"2")
    write(store, lambda conn: key_packages.upload(conn, ALICE, "A2", [key_package(1)], limit=9, now_ms=1))
    write(store, lambda conn: devices.remove(conn, ALICE, "A1", now_ms=5))
    assert store.read(lambda conn: devices.list_devices(conn, ALICE)) == [kept]
    assert store.read(lambda conn: key_package_lists.status(conn, ALICE, "A2", now_ms=0, margin_ms=0))[0].one_time == 1


def test_deleted_key_never_returns_under_its_id(store: Store) -> None:
    for key in (b"first", b"second"):
        add_device(store, key=key)
        write(store, lambda conn: devices.remove(conn, ALICE, "A1", now_ms=5))
    for key in (b"first", b"second"):
        with pytest.raises(Conflict):
            add_device(store, key=key)
    third = add_device(store, key=b"third")
    assert store.read(lambda conn: devices.list_devices(conn, ALICE)) == [third]
    add_device(store, device_id="A2", key=b"first")


def test_list_is_ordered_filtered_and_paged(store: Store) -> None:
    names = [(ALICE, "A1"), (ALICE, "A10"), (ALICE, "A2"), (BOB, "A1"), (BOB, "B")]
    for number, (user_id, device_id) in enumerate(reversed(names)):
        add_device(
            store,
            user_id=user_id,
            device_id=device_id,
            key=b"%d" % number,
            custody=Custody.HOSTED if device_id == "A1" else Custody.CLIENT,
        )

    def listed(**filters: object) -> list[tuple[str, str]]:
        rows = store.read(lambda conn: devices.list_devices(conn, **filters))  # type: ignore[arg-type]
        return [(row.user_id, row.device_id) for row in rows]

    assert listed() == names
    assert listed(user_id=BOB) == names[3:]
    assert listed(custody=Custody.HOSTED) == [(ALICE, "A1"), (BOB, "A1")]
    assert listed(limit=2) == names[:2]
    assert listed(after=(ALICE, "A2"), limit=2) == names[3:5]
    assert listed(after=(ALICE, "A10"), user_id=ALICE) == [(ALICE, "A2")]


def test_every_change_raises_the_list_version(store: Store) -> None:
    assert version(store) == 0
    add_device(store)
    add_device(store, device_id="A2", key=b"2")
    assert version(store) == 2
    write(store, lambda conn: devices.remove(conn, ALICE, "A1", now_ms=5))
    assert version(store) == 3
    assert version(store, BOB) == 0


def test_hosted_device_keeps_its_private_key(store: Store) -> None:
    hosted = device(custody=Custody.HOSTED)
    write(store, lambda conn: devices.register(conn, hosted, b"private key"))
    assert store.read(lambda conn: devices.signature_private_key(conn, ALICE, "A1")) == b"private key"
    write(store, lambda conn: devices.register(conn, hosted, b"another"))
    assert store.read(lambda conn: devices.signature_private_key(conn, ALICE, "A1")) == b"private key"


def test_private_key_belongs_to_hosted_devices_only(store: Store) -> None:
    with pytest.raises(Invalid):
        write(store, lambda conn: devices.register(conn, device(), b"private key"))
    with pytest.raises(Invalid):
        write(store, lambda conn: devices.register(conn, device(custody=Custody.HOSTED)))
    add_device(store)
    with pytest.raises(NotFound):
        store.read(lambda conn: devices.signature_private_key(conn, ALICE, "A1"))
