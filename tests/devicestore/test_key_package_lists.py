from __future__ import annotations

from devicestore import Store, key_package_lists, key_packages
from devicestore.key_package_lists import ListedRow
from devicestore.key_packages import NewKeyPackage, UploadStatus
from tests.devicestore.support import ALICE, CLAIMANT, DAY_MS, add_device, key_package, write


def upload(store: Store, *items: NewKeyPackage, device_id: str = "A1") -> list[UploadStatus]:
    uploads = write(store, lambda conn: key_packages.upload(conn, ALICE, device_id, items, limit=100, now_ms=7))
    return [upload.status for upload in uploads]


def claim(store: Store, *, now_ms: int = 9, low_water_mark: int = 0) -> bytes:
    claims = write(
        store,
        lambda conn: key_packages.claim(
            conn, ALICE, [1, 2], CLAIMANT, now_ms=now_ms, margin_ms=0, low_water_mark=low_water_mark, skip_devices={"A2"}
        ),
    )
    return claims[0].ref


def stored(
    store: Store, *, is_last_resort: bool = False, after: int = 0, limit: int = 100, suites: tuple[int, ...] = ()
) -> list[ListedRow]:
    return store.read(
        lambda conn: key_package_lists.list_stored(
            conn, ALICE, "A1", is_last_resort=is_last_resort, suites=suites, after=after, limit=limit
        )
    )


def issued(store: Store, *, after: tuple[int, bytes] = (-1, b""), limit: int = 100) -> list[ListedRow]:
    return store.read(lambda conn: key_package_lists.list_issued(conn, ALICE, "A1", after=after, limit=limit))


def noted(store: Store, after: int = 0, names: tuple[tuple[str, str], ...] = ()) -> list[tuple[int, str]]:
    found = store.read(lambda conn: key_package_lists.changed_statuses(conn, after, 100, names))
    return [(number, device_id) for number, _, device_id in found]


def test_stored_ones_are_listed_in_the_order_of_issue_page_by_page(store: Store) -> None:
    add_device(store, suites=(1, 2))
    items = [key_package(number, suite=1 + number % 2) for number in (5, 2, 8, 1)]
    last = key_package(9, last_resort=True)
    upload(store, last, *items)
    rows = stored(store)
    assert [row.ref for row in rows] == [item.ref for item in items]
    assert (rows[0].not_before_ms, rows[0].not_after_ms, rows[0].uploaded_at_ms, rows[0].issued_at_ms) == (0, DAY_MS, 7, None)
    assert stored(store, limit=2) == rows[:2]
    assert stored(store, limit=2, after=rows[1].place) == rows[2:]
    assert stored(store, suites=(2,)) == [row for row in rows if row.suite == 2]
    assert [row.ref for row in stored(store, is_last_resort=True)] == [last.ref]


def test_issued_ones_are_listed_until_nobody_could_upload_them_again(store: Store) -> None:
    add_device(store)
    one, two, last = key_package(1), key_package(2), key_package(3, last_resort=True)
    upload(store, one, two, last)
    assert [claim(store, now_ms=at) for at in (10, 11, 12, 13)] == [one.ref, two.ref, last.ref, last.ref]
    assert issued(store) == [
        ListedRow(10, one.ref, 1, False, 0, DAY_MS, 7, 10),
        ListedRow(11, two.ref, 1, False, 0, DAY_MS, 7, 11),
    ]
    assert issued(store, limit=1, after=(10, one.ref)) == issued(store)[1:]
    # The last resort is still stored, and says when it was first given out.
    assert [row.issued_at_ms for row in stored(store, is_last_resort=True)] == [12]
    upload(store, key_package(4, last_resort=True))
    assert [row.ref for row in issued(store)] == [one.ref, two.ref, last.ref]

    def purge(issued_before_ms: int, now_ms: int) -> int:
        return write(store, lambda conn: key_package_lists.purge_issued(conn, issued_before_ms=issued_before_ms, now_ms=now_ms))

    assert purge(11, DAY_MS - 1) == 0
    assert purge(11, DAY_MS) == 1
    assert purge(99, DAY_MS) == 2
    assert issued(store) == []


def test_named_ones_and_whole_suites_are_removed_and_nobody_elses(store: Store) -> None:
    add_device(store, suites=(1, 2))
    add_device(store, device_id="A2", key=b"2")
    items = [key_package(1), key_package(2), key_package(3, suite=2), key_package(4, suite=2, last_resort=True)]
    other = key_package(5)
    upload(store, *items)
    upload(store, other, device_id="A2")

    def remove(refs: set[bytes] = frozenset(), suites: set[int] = frozenset(), keep: set[bytes] = frozenset()) -> list[bytes]:  # type: ignore[assignment]
        return write(store, lambda conn: key_package_lists.remove(conn, ALICE, "A1", refs=refs, suites=suites, keep=keep))

    assert remove() == []
    assert remove(refs={items[0].ref, other.ref, b"nobody's"}) == [items[0].ref]
    assert remove(refs={items[0].ref}) == []
    assert remove(suites={2}, keep={items[3].ref}) == [items[2].ref]
    assert [row.ref for row in stored(store)] == [items[1].ref]
    assert remove(refs={items[1].ref}, suites={2}) == sorted([items[1].ref, items[3].ref])
    # What was deleted and never given out may be uploaded again.
    assert upload(store, items[0]) == [UploadStatus.STORED]


def test_who_runs_low_is_noted_in_order_and_once_for_each_claim(store: Store) -> None:
    add_device(store)
    add_device(store, device_id="A2", key=b"2")
    upload(store, *(key_package(number) for number in range(4)), key_package(9, last_resort=True))
    assert noted(store) == []
    claim(store, low_water_mark=2)
    assert noted(store) == []
    claim(store, low_water_mark=2)
    assert noted(store) == [(1, "A1")]
    claim(store, low_water_mark=2)
    assert noted(store) == [(2, "A1")]
    assert noted(store, after=2) == []
    claim(store)
    claim(store)
    assert noted(store, after=2) == [(4, "A1")]
    write(store, lambda conn: key_package_lists.note_low(conn, [(ALICE, "A2"), (ALICE, "A2"), (ALICE, "GONE")]))
    assert [device_id for _, device_id in noted(store)] == ["A1", "A2"]
    assert [device_id for _, device_id in noted(store, names=((ALICE, "A2"),))] == ["A2"]
    assert store.read(key_package_lists.last_noted) >= noted(store)[-1][0]


def test_who_lost_key_packages_by_their_age_is_noted(store: Store) -> None:
    add_device(store)
    upload(store, key_package(1, not_after_ms=10), key_package(2, not_after_ms=11))
    assert write(store, lambda conn: key_package_lists.purge_expired(conn, now_ms=9)) == 0
    assert noted(store) == []
    assert write(store, lambda conn: key_package_lists.purge_expired(conn, now_ms=10)) == 1
    assert noted(store) == [(1, "A1")]
