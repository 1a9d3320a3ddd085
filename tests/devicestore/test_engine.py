from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, insert, select

from devicestore import Sealing, Store, StoreError, connections
from devicestore.connections import choose_journal_mode
from devicestore.errors import Busy, Closed, Conflict, Corrupt, Insecure, Invalid, Locked, NotFound, SealBroken, Unavailable
from devicestore.models import Blob
from tests.devicestore.support import write

DATABASES = ("sqlite",)


def put_blob(conn: Connection, name: bytes, size: int = 1) -> None:
    conn.execute(insert(Blob).values(sha256=name, size=size, data=b"\x00" * size, created_at_ms=1))


def blob_names(store: Store) -> list[bytes]:
    return store.read(lambda conn: list(conn.execute(select(Blob.sha256).order_by(Blob.sha256)).scalars()))


def pragmas(conn: Connection) -> dict[str, object]:
    names = ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "temp_store")
    return {name: conn.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in names}


@pytest.mark.parametrize(
    ("version", "mode"),
    [
        ((3, 40, 1), "DELETE"),
        ((3, 44, 5), "DELETE"),
        ((3, 44, 6), "WAL"),
        ((3, 45, 0), "DELETE"),
        ((3, 50, 6), "DELETE"),
        ((3, 50, 7), "WAL"),
        ((3, 51, 0), "DELETE"),
        ((3, 51, 2), "DELETE"),
        ((3, 51, 3), "WAL"),
        ((3, 54, 0), "WAL"),
        ((4, 0, 0), "WAL"),
    ],
)
def test_write_ahead_log_only_where_its_reset_is_fixed(version: tuple[int, int, int], mode: str) -> None:
    assert choose_journal_mode(version) == mode


def test_connections_are_durable_and_leave_no_deleted_bytes(store: Store) -> None:
    mode = choose_journal_mode(sqlite3.sqlite_version_info)
    expected: dict[str, object] = {"journal_mode": mode.lower(), "foreign_keys": 1, "secure_delete": 1, "temp_store": 2}
    writing, reading = write(store, pragmas), store.read(pragmas)
    assert writing.pop("synchronous") == (2 if mode == "WAL" else 3)
    reading.pop("synchronous")
    assert writing == reading == expected


def test_every_write_begins_with_the_write_lock(store: Store, url: str) -> None:
    other = sqlite3.connect(url.removeprefix("sqlite:///"), timeout=0, check_same_thread=False)

    def try_to_write(_conn: Connection) -> str:
        with pytest.raises(sqlite3.OperationalError) as caught:
            other.execute("BEGIN IMMEDIATE")
        return str(caught.value)

    assert write(store, try_to_write) == "database is locked"
    other.close()


def test_files_are_private_and_the_directory_holds_nothing_else(store: Store, tmp_path: Path) -> None:
    write(store, lambda conn: put_blob(conn, b"a"))
    assert {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir() if "wal" not in file.name} == {
        "store.db": 0o600,
        "store.db.lock": 0o600,
    }


def test_journal_is_private_too(store: Store, tmp_path: Path) -> None:
    def modes(conn: Connection) -> dict[str, int]:
        put_blob(conn, b"a")
        return {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}

    during = write(store, modes)
    assert len(during) > 2
    assert set(during.values()) == {0o600}


def test_second_opener_is_refused_until_the_first_closes(store: Store, url: str, sealing: Sealing) -> None:
    with pytest.raises(Locked):
        Store.open(url, sealing, migrate=True)
    store.close()
    Store.open(url, sealing, migrate=False).close()


def test_failed_opening_gives_the_file_up(store: Store, url: str, sealing: Sealing) -> None:
    store.close()
    with pytest.raises(SealBroken):
        Store.open(url, Sealing(b"\x00" * 32), migrate=True)
    Store.open(url, sealing, migrate=False).close()


def test_wrong_key_changes_nothing(store: Store, url: str, tmp_path: Path) -> None:
    store.close()
    before = (tmp_path / "store.db").read_bytes()
    with pytest.raises(SealBroken):
        Store.open(url, Sealing(b"\x00" * 32), migrate=True)
    assert (tmp_path / "store.db").read_bytes() == before


def test_missing_file_is_made_only_when_asked_for(url: str, sealing: Sealing, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        Store.open(url, sealing, migrate=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_file_that_others_may_open_is_refused(store: Store, url: str, sealing: Sealing, tmp_path: Path, mode: int) -> None:
    store.close()
    (tmp_path / "store.db").chmod(mode)
    with pytest.raises(Insecure):
        Store.open(url, sealing, migrate=False)


def test_symbolic_link_is_refused(store: Store, sealing: Sealing, tmp_path: Path) -> None:
    store.close()
    (tmp_path / "link.db").symlink_to(tmp_path / "store.db")
    with pytest.raises(Insecure):
        Store.open(f"sqlite:///{tmp_path}/link.db", sealing, migrate=False)


def test_directory_in_place_of_the_file_is_refused(sealing: Sealing, tmp_path: Path) -> None:
    (tmp_path / "store.db").mkdir()
    with pytest.raises(StoreError):
        Store.open(f"sqlite:///{tmp_path}/store.db", sealing, migrate=True)


def test_missing_directory_is_unavailable(sealing: Sealing, tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        Store.open(f"sqlite:///{tmp_path}/none/store.db", sealing, migrate=True)


def test_file_that_is_no_database_is_corrupt(sealing: Sealing, tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"no database" * 1000)
    (tmp_path / "store.db").chmod(0o600)
    with pytest.raises(Corrupt):
        Store.open(f"sqlite:///{tmp_path}/store.db", sealing, migrate=True)


@pytest.mark.parametrize("bad", ["", "nonsense", "sqlite://", "sqlite:///:memory:", "mysql://host/name"])
def test_url_of_nothing_durable_is_refused(sealing: Sealing, bad: str) -> None:
    with pytest.raises(Invalid):
        Store.open(bad, sealing, migrate=True)


def test_unit_that_fails_takes_only_itself_with_it(store: Store) -> None:
    gate = threading.Event()

    def fail(conn: Connection) -> None:
        put_blob(conn, b"lost")
        raise KeyError("a unit's own error")

    waiting = store.write(lambda _conn: gate.wait(10))
    futures: list[Future[None]] = [
        store.write(lambda conn: put_blob(conn, b"a")),
        store.write(fail),
        store.write(lambda conn: put_blob(conn, b"a")),
        store.write(lambda conn: put_blob(conn, b"b")),
    ]
    gate.set()
    assert waiting.result(10)
    assert futures[0].result(10) is None
    with pytest.raises(KeyError, match="a unit's own error"):
        futures[1].result(10)
    with pytest.raises(Conflict):
        futures[2].result(10)
    assert futures[3].result(10) is None
    assert blob_names(store) == [b"a", b"b"]


def test_future_resolves_only_after_the_commit(store: Store) -> None:
    seen: list[list[bytes]] = []
    future = store.write(lambda conn: put_blob(conn, b"a"))
    future.add_done_callback(lambda _future: seen.append(blob_names(store)))
    future.result(10)
    write(store, lambda conn: None)
    assert seen == [[b"a"]]


def test_queued_units_share_a_transaction(store: Store) -> None:
    gate = threading.Event()
    states: list[list[bytes]] = []

    def observe(conn: Connection, name: bytes) -> None:
        put_blob(conn, name)
        states.append(blob_names(store))

    store.write(lambda _conn: gate.wait(10))
    futures = [store.write(partial(observe, name=name)) for name in (b"a", b"b", b"c")]
    gate.set()
    for future in futures:
        future.result(10)
    assert states == [[], [], []]
    assert blob_names(store) == [b"a", b"b", b"c"]


def test_cancelled_unit_is_not_run(store: Store) -> None:
    gate = threading.Event()
    store.write(lambda _conn: gate.wait(10))
    unwanted = store.write(lambda conn: put_blob(conn, b"a"))
    assert unwanted.cancel()
    gate.set()
    write(store, lambda conn: put_blob(conn, b"b"))
    assert blob_names(store) == [b"b"]


def test_unit_that_ends_the_transaction_is_an_error_and_the_writer_lives(store: Store) -> None:
    with pytest.raises(StoreError):
        write(store, lambda conn: conn.commit())
    write(store, lambda conn: put_blob(conn, b"a"))
    assert blob_names(store) == [b"a"]


def test_unit_that_loses_the_transaction_fails_the_others_of_the_group_with_an_error_of_their_own(store: Store) -> None:
    def lose(conn: Connection) -> None:
        conn.exec_driver_sql("ROLLBACK")
        raise KeyError("own")

    gate = threading.Event()
    store.write(lambda _conn: gate.wait(10))
    futures = [store.write(work) for work in (partial(put_blob, name=b"a"), lose, partial(put_blob, name=b"b"))]
    gate.set()
    assert [type(future.exception(10)) for future in futures] == [Unavailable, KeyError, Unavailable]
    assert blob_names(store) == []
    write(store, lambda conn: put_blob(conn, b"c"))
    assert blob_names(store) == [b"c"]


def test_unit_that_exits_does_not_end_the_writer(store: Store) -> None:
    def leave(_conn: Connection) -> None:
        raise SystemExit(3)

    future = store.write(leave)
    with pytest.raises(SystemExit):
        future.result(10)
    write(store, lambda conn: put_blob(conn, b"a"))


def test_close_finishes_what_is_queued_and_refuses_the_rest(store: Store, url: str, sealing: Sealing) -> None:
    gate = threading.Event()
    store.write(lambda _conn: gate.wait(10))
    futures = [store.write(partial(put_blob, name=b"%04d" % n)) for n in range(300)]
    closer = threading.Thread(target=store.close)
    closer.start()
    gate.set()
    closer.join(20)
    assert all(future.done() and future.exception() is None for future in futures)
    with pytest.raises(Closed):
        store.write(lambda conn: None)
    with pytest.raises(Closed):
        store.read(lambda conn: None)
    store.close()
    with Store.open(url, sealing, migrate=False) as again:
        assert len(blob_names(again)) == 300


def test_reader_cannot_write(store: Store) -> None:
    with pytest.raises(StoreError):
        store.read(lambda conn: put_blob(conn, b"a"))
    assert blob_names(store) == []


def test_reader_sees_one_state(store: Store) -> None:
    is_written = threading.Event()

    def write_one(conn: Connection) -> None:
        put_blob(conn, b"a")
        is_written.set()

    def count_twice(conn: Connection) -> tuple[int, int]:
        count = select(func.count()).select_from(Blob)
        first = conn.execute(count).scalar_one()
        store.write(write_one)
        assert is_written.wait(10)
        return first, conn.execute(count).scalar_one()

    assert store.read(count_twice) == (0, 0)
    write(store, lambda conn: None)
    assert blob_names(store) == [b"a"]


def test_own_error_of_a_reader_passes(store: Store) -> None:
    def fail(_conn: Connection) -> None:
        raise KeyError("own")

    with pytest.raises(KeyError):
        store.read(fail)


def test_full_disk_is_typed_loses_nothing_and_heals(store: Store) -> None:
    write(store, lambda conn: put_blob(conn, b"a"))
    pages = write(store, lambda conn: conn.exec_driver_sql("PRAGMA page_count").scalar_one())
    write(store, lambda conn: conn.exec_driver_sql(f"PRAGMA max_page_count={pages + 4}").close())
    with pytest.raises(Unavailable) as caught:
        write(store, lambda conn: put_blob(conn, b"too large", 1_000_000))
    assert caught.value.is_retryable
    assert blob_names(store) == [b"a"]
    write(store, lambda conn: conn.exec_driver_sql("PRAGMA max_page_count=1000000").close())
    write(store, lambda conn: put_blob(conn, b"too large", 1_000_000))
    assert blob_names(store) == [b"a", b"too large"]


def test_file_locked_by_another_program_is_busy_and_heals(url: str, sealing: Sealing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "BUSY_TIMEOUT_S", 0.1)
    with Store.open(url, sealing, migrate=True) as store:
        other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Busy) as caught:
            write(store, lambda conn: put_blob(conn, b"a"))
        assert caught.value.is_retryable
        other.execute("ROLLBACK")
        other.close()
        write(store, lambda conn: put_blob(conn, b"a"))
        assert blob_names(store) == [b"a"]


def test_commit_that_fails_fails_every_unit_of_the_group(url: str, sealing: Sealing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "BUSY_TIMEOUT_S", 0.1)
    monkeypatch.setattr(connections, "choose_journal_mode", lambda _version: "DELETE")
    with Store.open(url, sealing, migrate=True) as store:
        other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM blob").fetchone()
        gate = threading.Event()
        store.write(lambda _conn: gate.wait(10))
        futures = [store.write(partial(put_blob, name=b"%d" % n)) for n in range(3)]
        gate.set()
        for future in futures:
            with pytest.raises(Busy):
                future.result(10)
        other.execute("ROLLBACK")
        other.close()
        assert blob_names(store) == []
        write(store, lambda conn: put_blob(conn, b"a"))
