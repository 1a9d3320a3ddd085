from __future__ import annotations

from dataclasses import replace

import pytest

from devicestore import Store, devices, key_package_lists, key_packages
from devicestore.errors import NotFound
from devicestore.key_package_lists import SuiteStatus
from devicestore.key_packages import Claim, Claimant, ClaimStatus, NewKeyPackage, UploadStatus
from tests.devicestore.support import ALICE, CLAIMANT, DAY_MS, add_device, key_package, write


def upload(store: Store, *items: NewKeyPackage, device_id: str = "A1", limit: int = 100) -> list[UploadStatus]:
    uploads = write(store, lambda conn: key_packages.upload(conn, ALICE, device_id, items, limit=limit, now_ms=1))
    assert [upload.ref for upload in uploads] == [item.ref for item in items]
    return [upload.status for upload in uploads]


def claim(store: Store, *suites: int, now_ms: int = 0, margin_ms: int = 0, **options: object) -> list[Claim]:
    return write(
        store,
        lambda conn: key_packages.claim(
            conn,
            ALICE,
            suites or (1,),
            CLAIMANT,
            now_ms=now_ms,
            margin_ms=margin_ms,
            **options,  # type: ignore[arg-type]
        ),
    )


def status(store: Store, *, now_ms: int = 0, margin_ms: int = 0) -> list[SuiteStatus]:
    return store.read(lambda conn: key_package_lists.status(conn, ALICE, "A1", now_ms=now_ms, margin_ms=margin_ms))


def claimed(package: NewKeyPackage, found: ClaimStatus = ClaimStatus.CLAIMED, device_id: str = "A1") -> Claim:
    return Claim(ALICE, device_id, found, package.ref, package.suite, package.data)


def test_claims_follow_the_order_of_upload(store: Store) -> None:
    add_device(store)
    items = [key_package(number) for number in (5, 3, 9, 1)]
    assert upload(store, *items[:2]) == [UploadStatus.STORED] * 2
    assert upload(store, *items[2:]) == [UploadStatus.STORED] * 2
    assert [claim(store) for _ in items] == [[claimed(item)] for item in items]
    assert claim(store) == [Claim(ALICE, "A1", ClaimStatus.EXHAUSTED)]


def test_upload_needs_a_registered_device(store: Store) -> None:
    with pytest.raises(NotFound):
        upload(store, key_package(1))
    add_device(store)
    write(store, lambda conn: devices.remove(conn, ALICE, "A1", now_ms=1))
    with pytest.raises(NotFound):
        upload(store, key_package(1))


def test_same_upload_again_is_a_duplicate_also_within_one_call(store: Store) -> None:
    add_device(store)
    assert upload(store, key_package(1), key_package(1)) == [UploadStatus.STORED, UploadStatus.DUPLICATE]
    assert upload(store, key_package(1)) == [UploadStatus.DUPLICATE]
    assert status(store)[0].one_time == 1


@pytest.mark.parametrize("change", [{"data": b"other content"}, {"is_last_resort": True}])
def test_same_ref_with_other_content_is_a_conflict_and_changes_nothing(store: Store, change: dict[str, object]) -> None:
    add_device(store)
    upload(store, key_package(1))
    assert upload(store, replace(key_package(1), **change)) == [UploadStatus.CONFLICT]  # type: ignore[arg-type]
    assert claim(store) == [claimed(key_package(1))]


def test_ref_of_another_device_is_a_conflict(store: Store) -> None:
    add_device(store)
    add_device(store, device_id="A2", key=b"2")
    upload(store, key_package(1))
    assert upload(store, key_package(1), device_id="A2") == [UploadStatus.CONFLICT]


def test_claimed_key_package_is_refused_for_ever(store: Store) -> None:
    add_device(store)
    upload(store, key_package(1))
    claim(store)
    for _ in range(2):
        assert upload(store, key_package(1)) == [UploadStatus.ALREADY_CLAIMED]
    assert upload(store, key_package(1, last_resort=True)) == [UploadStatus.ALREADY_CLAIMED]
    assert claim(store)[0].status is ClaimStatus.EXHAUSTED
    write(store, lambda conn: devices.remove(conn, ALICE, "A1", now_ms=1))
    add_device(store, key=b"another")
    assert upload(store, key_package(1)) == [UploadStatus.ALREADY_CLAIMED]
    assert store.read(lambda conn: key_packages.is_issued(conn, key_package(1).ref))
    assert not store.read(lambda conn: key_packages.is_issued(conn, key_package(2).ref))


def test_limit_counts_one_time_key_packages_of_each_suite(store: Store) -> None:
    add_device(store, suites=(1, 2))
    items = [key_package(number) for number in range(3)]
    assert upload(store, *items, limit=2) == [UploadStatus.STORED, UploadStatus.STORED, UploadStatus.LIMIT]
    assert upload(store, key_package(9, suite=2), key_package(8, last_resort=True), limit=2) == [UploadStatus.STORED] * 2
    claim(store)
    assert upload(store, items[2], limit=2) == [UploadStatus.STORED]


def test_last_resort_comes_last_stays_and_is_flagged(store: Store) -> None:
    add_device(store)
    last, one_time = key_package(1, last_resort=True), key_package(2)
    upload(store, last, one_time)
    assert claim(store) == [claimed(one_time)]
    for uses in (1, 2, 3):
        assert claim(store) == [claimed(last, ClaimStatus.LAST_RESORT)]
        assert status(store) == [SuiteStatus(1, 0, None, has_last_resort=True, last_resort_uses=uses)]


def test_used_last_resort_stays_used_when_it_is_uploaded_again(store: Store) -> None:
    add_device(store)
    upload(store, key_package(1, last_resort=True))
    claim(store)
    assert upload(store, key_package(1, last_resort=True)) == [UploadStatus.DUPLICATE]
    assert status(store)[0].last_resort_uses == 1


def test_new_last_resort_replaces_the_one_of_its_suite(store: Store) -> None:
    add_device(store, suites=(1, 2))
    first, second, other = (key_package(n, suite=s, last_resort=True) for n, s in ((1, 1), (2, 1), (3, 2)))
    upload(store, first, other)
    claim(store, 1)
    (answer,) = write(store, lambda conn: key_packages.upload(conn, ALICE, "A1", [second], limit=9, now_ms=1))
    assert answer.replaced == first.ref
    assert claim(store, 1) == [claimed(second, ClaimStatus.LAST_RESORT)]
    assert claim(store, 2) == [claimed(other, ClaimStatus.LAST_RESORT)]
    assert upload(store, first) == [UploadStatus.ALREADY_CLAIMED]


def test_expired_or_nearly_expired_is_never_issued(store: Store) -> None:
    add_device(store)
    short, long = key_package(1, not_after_ms=1_000), key_package(2, not_after_ms=5_000)
    last = key_package(3, last_resort=True, not_after_ms=2_000)
    upload(store, short, long, last)
    assert claim(store, now_ms=900, margin_ms=100) == [claimed(long)]
    assert claim(store, now_ms=899, margin_ms=100) == [claimed(short)]
    assert claim(store, now_ms=1_900, margin_ms=99) == [claimed(last, ClaimStatus.LAST_RESORT)]
    assert claim(store, now_ms=1_900, margin_ms=100)[0].status is ClaimStatus.EXHAUSTED


def test_expired_are_purged(store: Store) -> None:
    add_device(store)
    upload(store, key_package(1, not_after_ms=10), key_package(2, not_after_ms=11))
    assert write(store, lambda conn: key_package_lists.purge_expired(conn, now_ms=10)) == 1
    assert claim(store) == [claimed(key_package(2, not_after_ms=11))]


def test_one_key_package_of_each_device_with_a_status_of_its_own(store: Store) -> None:
    for number in (1, 2, 3, 4):
        add_device(store, device_id=f"A{number}", key=b"%d" % number, suites=(2,) if number == 4 else (1,))
    upload(store, key_package(1), key_package(2), device_id="A1")
    upload(store, key_package(3, last_resort=True), device_id="A2")
    upload(store, key_package(4), device_id="A3")
    assert claim(store, skip_devices={"A3"}) == [
        claimed(key_package(1)),
        claimed(key_package(3, last_resort=True), ClaimStatus.LAST_RESORT, "A2"),
        Claim(ALICE, "A4", ClaimStatus.UNSUPPORTED),
    ]
    assert write(store, lambda conn: key_packages.claim(conn, "@nobody:hs1", [1], CLAIMANT, now_ms=0, margin_ms=0)) == []


def test_suites_are_tried_in_the_claimants_order_and_one_time_before_last_resort(store: Store) -> None:
    add_device(store, suites=(1, 2, 3))
    one, two, last = key_package(1, suite=1), key_package(2, suite=2), key_package(3, suite=3, last_resort=True)
    upload(store, one, two, last)
    assert claim(store, 3, 2, 1) == [claimed(two)]
    assert claim(store, 3, 2, 1) == [claimed(one)]
    assert claim(store, 3, 2, 1) == [claimed(last, ClaimStatus.LAST_RESORT)]
    assert claim(store, 2, 1)[0].status is ClaimStatus.EXHAUSTED
    assert claim(store, 9)[0].status is ClaimStatus.UNSUPPORTED


def test_claim_may_require_capabilities(store: Store) -> None:
    add_device(store)
    able = replace(key_package(2), capabilities=b"base,extra")
    upload(store, key_package(1), able, key_package(3, last_resort=True))
    shown: list[bytes] = []

    def accepts(capabilities: bytes) -> bool:
        shown.append(capabilities)
        return b"extra" in capabilities

    assert claim(store, accepts=accepts) == [claimed(able)]
    assert sorted(shown) == [b"base", b"base,extra"]
    assert claim(store, accepts=accepts)[0].status is ClaimStatus.EXHAUSTED
    assert claim(store) == [claimed(key_package(1))]


def test_status_counts_exactly_what_can_be_claimed(store: Store) -> None:
    add_device(store, suites=(1, 2))
    items = [key_package(number, not_after_ms=1_000 * (number + 1)) for number in range(4)]
    upload(store, *items, key_package(9, suite=2, last_resort=True))
    expected = [SuiteStatus(1, 4, 1_000, False, 0), SuiteStatus(2, 0, None, True, 0)]
    assert status(store) == expected
    assert status(store, now_ms=900, margin_ms=100)[0] == SuiteStatus(1, 3, 2_000, False, 0)
    for left in (3, 2, 1, 0):
        claim(store)
        assert status(store)[0].one_time == left
    assert status(store)[0] == SuiteStatus(1, 0, None, False, 0)
    assert status(store, now_ms=DAY_MS)[1] == SuiteStatus(2, 0, None, False, 0)


def test_what_is_available_is_what_can_be_claimed(store: Store) -> None:
    add_device(store, suites=(1, 2))
    items = [key_package(1), key_package(2, not_after_ms=1_000), key_package(3, suite=2, last_resort=True)]
    upload(store, *items)

    def refs(now_ms: int = 0) -> list[tuple[int, bytes]]:
        return store.read(lambda conn: key_package_lists.available(conn, ALICE, "A1", now_ms=now_ms, margin_ms=100))

    assert refs() == sorted((item.suite, item.ref) for item in items)
    assert refs(900) == sorted((item.suite, item.ref) for item in (items[0], items[2]))
    claim(store, 1)
    assert refs(900) == [(2, items[2].ref)]


def test_claim_that_is_rolled_back_gives_everything_back(store: Store) -> None:
    add_device(store)
    upload(store, key_package(1), key_package(2, last_resort=True))

    def claim_and_fail(conn: object) -> None:
        for _ in range(2):
            key_packages.claim(conn, ALICE, [1], Claimant("x", "1", None), now_ms=0, margin_ms=0)  # type: ignore[arg-type]
        raise KeyError("after the claims")

    with pytest.raises(KeyError):
        write(store, claim_and_fail)
    assert status(store) == [SuiteStatus(1, 1, DAY_MS, True, 0)]
    assert claim(store) == [claimed(key_package(1))]
