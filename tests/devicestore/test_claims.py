"""Claims at the same time, and claims against a model."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import OrderedDict
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import select

from devicestore import Sealing, Store, devices, key_package_lists, key_packages
from devicestore.key_package_lists import SuiteStatus
from devicestore.key_packages import Claim, ClaimStatus, NewKeyPackage, UploadStatus
from devicestore.models import IssuedKeyPackage, KeyPackage
from tests.devicestore.processes import claim_until_empty
from tests.devicestore.support import ALICE, CLAIMANT, add_device, device, key_package, start, write


def fill(store: Store, count: int) -> tuple[list[bytes], bytes]:
    add_device(store)
    items = [key_package(number) for number in range(count)]
    last = key_package(count, last_resort=True)
    write(store, lambda conn: key_packages.upload(conn, ALICE, "A1", [last, *items], limit=count, now_ms=1))
    return [item.ref for item in items], last.ref


def test_processes_on_one_file_never_get_the_same_one(store: Store, url: str) -> None:
    """No lock but the database's: what several services on one PostgreSQL do, and what a lock file must not be needed for."""
    refs, last = fill(store, 150)
    started = [start(claim_until_empty, url, f"claimant {number}") for number in range(4)]
    results = [pipe.recv() for _, pipe in started]
    for process, _ in started:
        process.join(30)
    assert [(status, left) for _, status, left in results] == [(ClaimStatus.LAST_RESORT, 0)] * 4
    assert sorted(ref for got, _, _ in results for ref in got) == sorted(refs)
    order = {ref: number for number, ref in enumerate(refs)}
    for got, _, _ in results:
        assert [order[ref] for ref in got] == sorted(order[ref] for ref in got)
    issued = store.read(lambda conn: list(conn.execute(select(IssuedKeyPackage.requester)).scalars()))
    assert len(issued) == 151
    remaining = store.read(lambda conn: conn.execute(select(KeyPackage.ref, KeyPackage.uses)).all())
    assert [tuple(row) for row in remaining] == [(last, 4)]


def test_threads_of_one_store_never_get_the_same_one(store: Store) -> None:
    refs, last = fill(store, 100)
    answers: list[Claim] = []
    barrier = threading.Barrier(16)

    def claim_some() -> None:
        barrier.wait(10)
        for _ in range(7):
            answers.extend(write(store, lambda conn: key_packages.claim(conn, ALICE, [1], CLAIMANT, now_ms=0, margin_ms=0)))

    threads = [threading.Thread(target=claim_some) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    one_time = [answer.ref for answer in answers if answer.status is ClaimStatus.CLAIMED]
    assert sorted(one_time) == sorted(refs)
    assert [answer.ref for answer in answers if answer.status is ClaimStatus.LAST_RESORT] == [last] * 12


class Claims(RuleBasedStateMachine):
    """A device with one suite against the simplest thing that could be right."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="devicestore-"))
        self.now_ms = 0
        self.margin_ms = 2
        self.one_time: OrderedDict[int, NewKeyPackage] = OrderedDict()
        self.last: NewKeyPackage | None = None
        self.last_uses = 0
        self.issued: set[int] = set()
        self.numbers: dict[bytes, int] = {}

    @initialize()
    def open_store(self) -> None:
        self.url = f"sqlite:///{self.directory}/store.db"
        self.store = Store.open(self.url, Sealing(b"k" * 32), migrate=True)
        write(self.store, lambda conn: devices.register(conn, device()))

    @rule(number=st.integers(0, 9), life=st.integers(0, 12), last_resort=st.booleans(), limit=st.integers(1, 4))
    def upload(self, number: int, life: int, last_resort: bool, limit: int) -> None:
        item = key_package(number, last_resort=last_resort, not_after_ms=self.now_ms + life)
        self.numbers[item.ref] = number
        (answer,) = write(
            self.store, lambda conn: key_packages.upload(conn, ALICE, "A1", [item], limit=limit, now_ms=self.now_ms)
        )
        assert answer.status is self.expect_upload(number, item, limit)

    def expect_upload(self, number: int, item: NewKeyPackage, limit: int) -> UploadStatus:
        if number in self.one_time:
            return UploadStatus.CONFLICT if item.is_last_resort else UploadStatus.DUPLICATE
        if self.last is not None and self.last.ref == item.ref:
            return UploadStatus.DUPLICATE if item.is_last_resort else UploadStatus.CONFLICT
        if number in self.issued:
            return UploadStatus.ALREADY_CLAIMED
        if item.is_last_resort:
            self.last, self.last_uses = item, 0
        elif len(self.one_time) >= limit:
            return UploadStatus.LIMIT
        else:
            self.one_time[number] = item
        return UploadStatus.STORED

    @rule()
    def claim(self) -> None:
        (answer,) = write(
            self.store,
            lambda conn: key_packages.claim(conn, ALICE, [1], CLAIMANT, now_ms=self.now_ms, margin_ms=self.margin_ms),
        )
        usable = [number for number, item in self.one_time.items() if self.is_usable(item)]
        if usable:
            item, found = self.one_time.pop(usable[0]), ClaimStatus.CLAIMED
        elif self.last is not None and self.is_usable(self.last):
            item, found = self.last, ClaimStatus.LAST_RESORT
            self.last_uses += 1
        else:
            assert answer == Claim(ALICE, "A1", ClaimStatus.EXHAUSTED)
            return
        assert answer == Claim(ALICE, "A1", found, item.ref, 1, item.data)
        self.issued.add(self.numbers[item.ref])

    @rule(step=st.integers(1, 6))
    def wait(self, step: int) -> None:
        self.now_ms += step

    @rule()
    def purge(self) -> None:
        write(self.store, lambda conn: key_package_lists.purge_expired(conn, now_ms=self.now_ms))
        self.one_time = OrderedDict((n, item) for n, item in self.one_time.items() if item.not_after_ms > self.now_ms)
        if self.last is not None and self.last.not_after_ms <= self.now_ms:
            self.last, self.last_uses = None, 0

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.store = Store.open(self.url, Sealing(b"k" * 32), migrate=False)

    @invariant()
    def status_is_exact(self) -> None:
        found = self.store.read(
            lambda conn: key_package_lists.status(conn, ALICE, "A1", now_ms=self.now_ms, margin_ms=self.margin_ms)
        )
        usable = [item.not_after_ms for item in self.one_time.values() if self.is_usable(item)]
        has_last = self.last is not None and self.is_usable(self.last)
        uses = self.last_uses if has_last else 0
        assert found == [SuiteStatus(1, len(usable), min(usable, default=None), has_last, uses)]

    def is_usable(self, item: NewKeyPackage) -> bool:
        return item.not_after_ms > self.now_ms + self.margin_ms

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.directory)


Claims.TestCase.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
test_claims_follow_the_model = Claims.TestCase
