"""Nothing that was deleted or overwritten can be found in the raw files while the store is open."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from devicestore import Sealing, Store, devices, engine, key_package_secrets, plaintexts, rooms
from devicestore.devices import Custody
from devicestore.errors import SealBroken
from devicestore.models import Device, Epoch, EpochKey, KeyPackageSecret, Plaintext, PrivateKey
from devicestore.sealing import row_sealing
from tests.devicestore.support import ALICE, device, raw_files, write

ROOM = "!room:hs1"


@pytest.fixture(params=["DELETE", "WAL"])
def store(request: pytest.FixtureRequest, url: str, sealing: Sealing, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store in either journal mode; one process alone may use the log with any version of the library."""
    monkeypatch.setattr(engine, "choose_journal_mode", lambda _version: request.param)
    with Store.open(url, sealing, migrate=True) as opened:
        mode = write(opened, lambda conn: conn.exec_driver_sql("PRAGMA journal_mode").scalar_one())
        assert mode == request.param.lower()
        yield opened


def sealed_values(conn: Connection) -> list[bytes]:
    """Every sealed value in the database."""
    columns = (Epoch.sealed, EpochKey.sealed, PrivateKey.sealed, Plaintext.sealed, KeyPackageSecret.sealed)
    found = [value for column in columns for value in conn.execute(select(column)).scalars()]
    return found + [value for value in conn.execute(select(Device.sealed_private_key)).scalars() if value is not None]


def is_present(value: bytes, raw: bytes) -> bool:
    # A large value is spread over pages, so any stretch of it counts.
    return any(value[offset : offset + 24] in raw for offset in range(0, len(value) - 24, 24))


def assert_shredded(store: Store, path: Path, work: Callable[[Connection], object]) -> None:
    """Run `work`; of what was sealed before and is not there after it no trace is left, and of what stays there is one."""
    before = store.read(sealed_values)
    raw = raw_files(path)
    assert before
    assert all(is_present(value, raw) for value in before)
    write(store, work)
    after = store.read(sealed_values)
    raw = raw_files(path)
    gone = [value for value in before if value not in after]
    assert gone
    assert not any(is_present(value, raw) for value in gone)
    assert all(is_present(value, raw) for value in after)


def put(conn: Connection, table: str, key: bytes, size: int) -> None:
    rooms.apply(conn, ROOM, [(table, key, os.urandom(size))], [])


@pytest.mark.parametrize("size", [32, 3_000, 20_000])
@pytest.mark.parametrize("table", ["epoch", "private_key"])
def test_deleted_record_is_gone(store: Store, tmp_path: Path, table: str, size: int) -> None:
    for key in (b"1", b"2", b"3"):
        write(store, partial(put, table=table, key=key, size=size))
    assert_shredded(store, tmp_path / "store.db", lambda conn: rooms.apply(conn, ROOM, [], [(table, b"2")]))


@pytest.mark.parametrize("size", [32, 3_000, 20_000])
@pytest.mark.parametrize("table", ["epoch", "private_key"])
def test_old_content_of_a_rewritten_record_is_gone(store: Store, tmp_path: Path, table: str, size: int) -> None:
    for key in (b"1", b"2", b"3"):
        write(store, partial(put, table=table, key=key, size=size))
    assert_shredded(store, tmp_path / "store.db", lambda conn: put(conn, table, b"2", size))
    assert_shredded(store, tmp_path / "store.db", lambda conn: put(conn, table, b"2", 1))


def test_every_version_of_an_epoch_has_its_own_data_key(store: Store) -> None:
    """An old sealed value, from a copy of the file say, does not open with the data key of the version after it."""
    write(store, lambda conn: put(conn, "epoch", b"1", 100))
    old = store.read(lambda conn: conn.execute(select(Epoch.sealed)).scalar_one())
    write(store, lambda conn: put(conn, "epoch", b"1", 100))

    def open_old(conn: Connection) -> None:
        row = conn.execute(select(EpochKey.version, EpochKey.sealed)).one()
        assert row.version == 2
        place, sealing = (ROOM.encode(), b"1"), row_sealing(conn)
        data_key = sealing.unseal("epoch_key", place, row.version, row.sealed)
        sealing.under(data_key).unseal("epoch", place, 1, old)

    with pytest.raises(SealBroken):
        store.read(open_old)


def test_forgotten_room_is_gone(store: Store, tmp_path: Path) -> None:
    def fill(conn: Connection) -> None:
        for number in range(20):
            put(conn, "epoch", b"%d" % number, 2_000)
            put(conn, "private_key", b"%d" % number, 32)
            plaintexts.put(conn, ROOM, f"${number}", os.urandom(100))

    write(store, fill)
    assert_shredded(store, tmp_path / "store.db", lambda conn: rooms.forget(conn, ROOM))
    assert store.read(sealed_values) == []


def test_fetched_plaintext_is_gone(store: Store, tmp_path: Path) -> None:
    def fill(conn: Connection) -> None:
        put(conn, "room", b"", 1)
        for number in range(3):
            plaintexts.put(conn, ROOM, f"${number}", os.urandom(500))

    write(store, fill)
    assert_shredded(store, tmp_path / "store.db", lambda conn: plaintexts.remove(conn, ROOM, "$1"))


def test_private_keys_of_a_deleted_device_are_gone(store: Store, tmp_path: Path) -> None:
    def fill(conn: Connection) -> None:
        devices.register(conn, device(custody=Custody.HOSTED), os.urandom(32))
        key_package_secrets.put(conn, ALICE, "A1", b"ref", os.urandom(64), delete_after_ms=10)

    write(store, fill)
    assert_shredded(store, tmp_path / "store.db", lambda conn: devices.remove(conn, ALICE, "A1", now_ms=1))
    assert store.read(sealed_values) == []


def test_consumed_key_package_secret_is_gone_once_its_time_is_over(store: Store, tmp_path: Path) -> None:
    def fill(conn: Connection) -> None:
        for ref in (b"1", b"2"):
            key_package_secrets.put(conn, ALICE, "A1", ref, os.urandom(64), delete_after_ms=1_000)
        assert key_package_secrets.consume(conn, b"1", delete_after_ms=10)

    write(store, fill)
    assert_shredded(store, tmp_path / "store.db", lambda conn: key_package_secrets.purge(conn, now_ms=10))


def test_no_secret_is_ever_in_a_file_in_the_clear(store: Store, tmp_path: Path) -> None:
    secrets = [os.urandom(40) for _ in range(6)]

    def fill(conn: Connection) -> bytes:
        rooms.apply(conn, ROOM, [("epoch", b"1", secrets[0]), ("private_key", b"1", secrets[1])], [])
        plaintexts.put(conn, ROOM, "$1", secrets[2])
        key_package_secrets.put(conn, ALICE, "A1", b"ref", secrets[3], delete_after_ms=1)
        devices.register(conn, device(custody=Custody.HOSTED), secrets[4])
        # While the transaction is open its journal and log lie there too.
        return raw_files(tmp_path / "store.db")

    during = write(store, fill)

    def rewrite(conn: Connection) -> bytes:
        put(conn, "epoch", b"1", 40)
        return raw_files(tmp_path / "store.db")

    rewriting = write(store, rewrite)
    control = secrets[5]
    write(store, lambda conn: rooms.apply(conn, ROOM, [("node", b"1", control)], []))
    after = raw_files(tmp_path / "store.db")
    assert is_present(control, after)
    for secret in secrets[:5]:
        assert not any(secret[:12] in raw for raw in (during, rewriting, after))


def test_log_that_a_reader_kept_is_emptied_by_the_next_write_or_opening(
    url: str, sealing: Sealing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "choose_journal_mode", lambda _version: "WAL")
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_S", 0.05)
    log = tmp_path / "store.db-wal"
    (tmp_path / "copy").mkdir()
    with Store.open(url, sealing, migrate=True) as store:
        reader = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM epoch").fetchone()
        write(store, lambda conn: put(conn, "epoch", b"1", 100))
        assert log.stat().st_size > 0
        for file in (tmp_path / "store.db", log):
            shutil.copy(file, tmp_path / "copy" / file.name)
        reader.execute("ROLLBACK")
        reader.close()
        write(store, lambda conn: put(conn, "epoch", b"2", 100))
        assert log.stat().st_size == 0
    with Store.open(f"sqlite:///{tmp_path}/copy/store.db", sealing, migrate=False) as copy:
        assert (tmp_path / "copy" / "store.db-wal").stat().st_size == 0
        assert [key for _, key, _ in copy.read(lambda conn: list(rooms.load(conn, ROOM)))] == [b"1"]
