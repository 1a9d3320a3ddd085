"""Nothing that was deleted or overwritten can be found in the raw files while the store is open."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from devicestore import Sealing, Store, connections, data_keys, devices, key_package_secrets, plaintexts, rooms
from devicestore.data_keys import Sealed
from devicestore.devices import Custody
from devicestore.errors import SealBroken
from devicestore.models import DataKey, Device, Epoch, KeyPackageSecret, Plaintext, PrivateKey
from devicestore.sealing import row_sealing
from tests.devicestore.support import ALICE, device, raw_files, write

DATABASES = ("sqlite",)

ROOM = "!room:hs1"


@pytest.fixture(params=["DELETE", "WAL"])
def store(request: pytest.FixtureRequest, url: str, sealing: Sealing, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store in either journal mode; one process alone may use the log with any version of the library."""
    monkeypatch.setattr(connections, "choose_journal_mode", lambda _version: request.param)
    with Store.open(url, sealing, migrate=True) as opened:
        mode = write(opened, lambda conn: conn.exec_driver_sql("PRAGMA journal_mode").scalar_one())
        assert mode == request.param.lower()
        yield opened


def sealed_values(conn: Connection) -> list[bytes]:
    """Every sealed value in the database; a slot without a data key holds none."""
    columns = (Epoch.sealed, DataKey.sealed, PrivateKey.sealed, Plaintext.sealed, KeyPackageSecret.sealed)
    found = [value for column in columns for value in conn.execute(select(column)).scalars() if any(value)]
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


@pytest.mark.parametrize("model", [Epoch, PrivateKey])
def test_every_version_of_a_row_has_its_own_data_key(store: Store, model: type[Epoch | PrivateKey]) -> None:
    """An old sealed value, from a copy of the file say, does not open with the data key of the version after it."""
    table = model.__tablename__

    def open_with(conn: Connection, sealed: bytes) -> bytes:
        slot, wrapped = conn.execute(select(DataKey.id, DataKey.sealed)).one()
        return data_keys.unseal(row_sealing(conn), table, (ROOM.encode(), b"1"), 1, Sealed(slot, sealed), wrapped)

    write(store, lambda conn: put(conn, table, b"1", 100))
    old = store.read(lambda conn: conn.execute(select(model.sealed)).scalar_one())
    assert len(store.read(lambda conn: open_with(conn, old))) == 100
    write(store, lambda conn: put(conn, table, b"1", 100))
    with pytest.raises(SealBroken):
        store.read(lambda conn: open_with(conn, old))


def slots(conn: Connection) -> dict[int, bool]:
    """Every slot, and whether it is free."""
    return {row.id: row.is_free for row in conn.execute(select(DataKey.id, DataKey.is_free))}


def test_slots_are_used_again(store: Store) -> None:
    for number in range(3):
        write(store, partial(put, table="epoch", key=b"%d" % number, size=100))
        write(store, partial(put, table="private_key", key=b"%d" % number, size=100))
    assert store.read(slots) == dict.fromkeys(range(1, 7), False)
    write(store, lambda conn: rooms.apply(conn, ROOM, [], [("epoch", b"1"), ("private_key", b"0"), ("epoch", b"none")]))
    assert [slot for slot, is_free in store.read(slots).items() if is_free] == [2, 3]
    for key in (b"3", b"4", b"5"):
        write(store, partial(put, table="epoch", key=key, size=100))
    assert store.read(slots) == dict.fromkeys(range(1, 8), False)
    assert len(store.read(lambda conn: list(rooms.load(conn, ROOM)))) == 7


def test_unit_that_fails_leaves_the_data_keys_as_they_were(store: Store) -> None:
    write(store, lambda conn: put(conn, "epoch", b"1", 100))

    def fail(conn: Connection) -> None:
        put(conn, "epoch", b"1", 100)
        put(conn, "private_key", b"1", 100)
        raise KeyError

    before = store.read(sealed_values)
    with pytest.raises(KeyError):
        write(store, fail)
    assert store.read(sealed_values) == before
    assert store.read(slots) == {1: False}


def test_of_a_long_history_no_destroyed_data_key_is_left(store: Store, tmp_path: Path, rng: random.Random) -> None:
    """Rows that come and go make SQLite move their neighbours between pages, and it leaves copies of these where they were."""
    live: dict[str, list[bytes]] = {"epoch": [], "private_key": []}
    known: set[bytes] = set()
    for step in range(150):
        written = [
            (table, rng.randbytes(32)) for table, most in (("epoch", 3), ("private_key", 8)) for _ in range(rng.randrange(most))
        ]
        written += [("epoch", key) for key in rng.sample(live["epoch"], min(2, len(live["epoch"])))]
        gone = []
        for table, keys in live.items():
            while len(keys) > rng.randrange(5, 80):
                gone.append((table, keys.pop(rng.randrange(len(keys)))))
        puts = [(table, key, rng.randbytes(rng.choice([32, 700, 5_000]))) for table, key in written if (table, key) not in gone]
        live = {
            table: list(dict.fromkeys([*keys, *(key for name, key, _ in puts if name == table)])) for table, keys in live.items()
        }
        write(store, partial(rooms.apply, room_id=ROOM, puts=puts, deletes=gone))
        present = set(store.read(lambda conn: conn.execute(select(DataKey.sealed).where(~DataKey.is_free)).scalars().all()))
        known |= present
        if step % 15 == 14:
            raw = raw_files(tmp_path / "store.db")
            assert all(value in raw for value in present)
            assert not any(value[1:13] in raw for value in known - present)
    assert len(known) > 500


def test_forgotten_room_is_gone(store: Store, tmp_path: Path) -> None:
    def fill(conn: Connection) -> None:
        for number in range(20):
            put(conn, "epoch", b"%d" % number, 2_000)
            put(conn, "private_key", b"%d" % number, 32)
            plaintexts.put(conn, ROOM, f"${number}", os.urandom(100))

    write(store, fill)
    assert_shredded(store, tmp_path / "store.db", lambda conn: rooms.forget(conn, ROOM, now_ms=5))
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
    monkeypatch.setattr(connections, "choose_journal_mode", lambda _version: "WAL")
    monkeypatch.setattr(connections, "BUSY_TIMEOUT_S", 0.05)
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
