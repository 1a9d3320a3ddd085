from __future__ import annotations

import os
import sqlite3
import threading
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, insert, make_url, select, text, update

from devicestore import Sealing, Store, load_or_create_key, meta, plaintexts, rekey, rooms
from devicestore.connections import create_writer
from devicestore.errors import Insecure, Invalid, Locked, SealBroken, StoreError
from devicestore.models import DataKey, Epoch, Meta, Plaintext, PrivateKey
from devicestore.sealing import RowSealing, row_sealing
from tests.devicestore.support import write

DATABASES = ("sqlite",)

ROOM = "!room:hs1"
PLACES = st.tuples(st.text(max_size=4), st.lists(st.binary(max_size=3), max_size=3).map(tuple), st.integers(0, 3))


def test_sealed_value_opens_in_its_place_only() -> None:
    sealing = RowSealing(b"store", b"k" * 32)
    sealed = sealing.seal("epoch", (b"room", b"key"), 7, b"value")
    assert sealing.unseal("epoch", (b"room", b"key"), 7, sealed) == b"value"
    elsewhere: list[tuple[RowSealing, str, tuple[bytes, ...], int]] = [
        (sealing, "private_key", (b"room", b"key"), 7),
        (sealing, "epoch", (b"room", b"kez"), 7),
        (sealing, "epoch", (b"roomk", b"ey"), 7),
        (sealing, "epoch", (b"room", b"key", b""), 7),
        (sealing, "epoch", (b"roomkey",), 7),
        (sealing, "epoch", (b"room", b"key"), 8),
        (sealing.under(b"l" * 32), "epoch", (b"room", b"key"), 7),
        (RowSealing(b"other", b"k" * 32), "epoch", (b"room", b"key"), 7),
    ]
    for other, table, key, version in elsewhere:
        with pytest.raises(SealBroken):
            other.unseal(table, key, version, sealed)


@given(PLACES, PLACES)
def test_no_two_places_share_a_seal(one: tuple[str, tuple[bytes, ...], int], other: tuple[str, tuple[bytes, ...], int]) -> None:
    sealing = RowSealing(b"store", b"k" * 32)
    sealed = sealing.seal(*one, b"value")
    if one == other:
        assert sealing.unseal(*other, sealed) == b"value"
    else:
        with pytest.raises(SealBroken):
            sealing.unseal(*other, sealed)


@given(st.binary(max_size=80), st.data())
def test_altered_cut_or_lengthened_value_does_not_open(plaintext: bytes, data: st.DataObject) -> None:
    sealing = RowSealing(b"store", b"k" * 32)
    sealed = sealing.seal("epoch", (), 0, plaintext)
    position = data.draw(st.integers(0, len(sealed) - 1))
    bit = data.draw(st.integers(0, 7))
    flipped = bytearray(sealed)
    flipped[position] ^= 1 << bit
    for bad in (bytes(flipped), sealed[:position], sealed[position + 1 :], sealed + b"\x00", b""):
        with pytest.raises(SealBroken):
            sealing.unseal("epoch", (), 0, bad)


def test_same_value_is_sealed_differently_each_time() -> None:
    sealing = RowSealing(b"store", b"k" * 32)
    assert len({sealing.seal("epoch", (), 0, b"value") for _ in range(100)}) == 100


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(Invalid):
        Sealing(b"k" * length)


def test_key_file_is_made_once_private_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "key"
    key = load_or_create_key(path)
    assert len(key) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes() == key == load_or_create_key(path)
    assert [file.name for file in tmp_path.iterdir()] == ["key"]


def test_all_who_make_the_key_file_at_once_get_one_key(tmp_path: Path) -> None:
    start, keys = threading.Barrier(8), list[bytes]()

    def load() -> None:
        start.wait()
        keys.append(load_or_create_key(tmp_path / "key"))

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o777])
def test_key_file_that_others_may_open_is_refused(tmp_path: Path, mode: int) -> None:
    load_or_create_key(tmp_path / "key")
    (tmp_path / "key").chmod(mode)
    with pytest.raises(Insecure):
        load_or_create_key(tmp_path / "key")


def test_key_file_that_is_no_file_is_refused(tmp_path: Path) -> None:
    load_or_create_key(tmp_path / "key")
    (tmp_path / "link").symlink_to(tmp_path / "key")
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "directory").mkdir(mode=0o700)
    for name in ("link", "nowhere", "pipe", "directory"):
        with pytest.raises(Insecure):
            load_or_create_key(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"k" * 31, b"k" * 33])
def test_key_file_of_another_length_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(Invalid):
        load_or_create_key(tmp_path / "key")


def test_key_file_in_no_directory_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        load_or_create_key(tmp_path / "none" / "key")


def fill(store: Store) -> None:
    def work(conn: Connection) -> None:
        puts = [(table, key, table.encode() + key) for table in ("epoch", "private_key") for key in (b"1", b"2")]
        rooms.apply(conn, ROOM, puts, [])
        rooms.apply(conn, "!other:hs1", puts, [])
        for event_id in ("$1", "$2"):
            plaintexts.put(conn, ROOM, event_id, b"text of " + event_id.encode())

    write(store, work)


def take(table: str, donor: str, where: str, columns: str = "slot, sealed") -> str:
    """A statement that puts into each row of `table` what the row of `donor` has that `where` names."""
    given = ", ".join(f"donor.{column}" for column in columns.split(", "))
    return f"UPDATE {table} SET ({columns}) = (SELECT {given} FROM {donor} AS donor WHERE {where})"


OTHER_KEY = "donor.room_id = {0}.room_id AND donor.key != {0}.key"
OTHER_ROOM = "donor.room_id != {0}.room_id AND donor.key = {0}.key"
SAME_PLACE = "donor.room_id = {0}.room_id AND donor.key = {0}.key"
NEXT_SLOT = "donor.id = 1 + data_key.id % (SELECT max(id) FROM data_key)"
SWAPS = {
    "epochs of two keys, each with its data key": tuple(
        f"UPDATE epoch SET key = x'{new}' WHERE key = x'{old}'" for old, new in (("31", "ff"), ("32", "31"), ("ff", "32"))
    ),
    "epochs of two rows without their data keys": (take("epoch", "epoch", OTHER_KEY.format("epoch"), "sealed"),),
    "epochs of two rows with their data keys": (take("epoch", "epoch", OTHER_KEY.format("epoch")),),
    "epoch of another room with its data key": (
        take("epoch", "epoch", OTHER_ROOM.format("epoch")) + " WHERE room_id = '!room:hs1'",
    ),
    "private keys of two rows": (take("private_key", "private_key", OTHER_KEY.format("private_key")),),
    "private key in the place of an epoch": (take("epoch", "private_key", SAME_PLACE.format("epoch")),),
    "private key under another version": ("UPDATE private_key SET version = version + 1",),
    "epoch under another version": ("UPDATE epoch SET version = version + 1",),
    "data keys of two slots": (take("data_key", "data_key", NEXT_SLOT, "sealed"),),
    "data key of the next slot": ("UPDATE epoch SET slot = slot + 1",),
    "data key that was destroyed": ("UPDATE data_key SET sealed = zeroblob(73)",),
    "epoch without its data key": ("DELETE FROM data_key",),
}


@pytest.mark.parametrize("name", SWAPS)
def test_moved_record_is_refused(store: Store, url: str, sealing: Sealing, name: str) -> None:
    fill(store)
    assert len(store.read(lambda conn: list(rooms.load(conn, ROOM)))) == 4
    store.close()
    tamper(url, *SWAPS[name])
    with Store.open(url, sealing, migrate=False) as again, pytest.raises(SealBroken):
        again.read(lambda conn: list(rooms.load(conn, ROOM)))


def tamper(url: str, *statements: str) -> None:
    """Change rows as somebody would who can write the file but has no key."""
    file = sqlite3.connect(make_url(url).database or "")
    for statement in statements:
        file.execute(statement)
    file.commit()
    file.close()


def test_moved_plaintext_is_refused(store: Store, url: str, sealing: Sealing) -> None:
    fill(store)
    store.close()
    tamper(url, take("plaintext", "plaintext", "donor.event_id != plaintext.event_id"))
    with Store.open(url, sealing, migrate=False) as again, pytest.raises(SealBroken):
        again.read(lambda conn: plaintexts.get(conn, ROOM, "$1"))


def test_record_of_another_store_is_refused(store: Store, url: str, sealing: Sealing, tmp_path: Path) -> None:
    fill(store)
    donor_url = f"sqlite:///{tmp_path}/donor.db"
    with Store.open(donor_url, sealing, migrate=True) as donor:
        fill(donor)
        stolen = donor.read(lambda conn: list(conn.execute(text("SELECT room_id, key, sealed FROM private_key"))))
    store.close()
    engine = create_writer(make_url(url))
    with engine.begin() as conn:
        for row in stolen:
            conn.execute(
                update(PrivateKey).where(PrivateKey.room_id == row.room_id, PrivateKey.key == row.key).values(sealed=row.sealed)
            )
    engine.dispose()
    with Store.open(url, sealing, migrate=False) as again, pytest.raises(SealBroken):
        again.read(lambda conn: list(rooms.load(conn, ROOM)))


def test_new_key_rewraps_one_row_and_shuts_the_old_one_out(store: Store, url: str, sealing: Sealing) -> None:
    fill(store)
    new = Sealing(b"\x4e" * 32)
    tables = (DataKey, Epoch, PrivateKey, Plaintext)

    def sealed_rows(conn: Connection) -> list[bytes]:
        return [row.sealed for table in tables for row in conn.execute(table.__table__.select())]

    before = store.read(sealed_rows)
    records = store.read(lambda conn: list(rooms.load(conn, ROOM)))
    write(store, lambda conn: meta.rewrap_root(conn, sealing, new))
    assert store.read(sealed_rows) == before
    store.close()
    with pytest.raises(SealBroken):
        Store.open(url, sealing, migrate=False)
    with Store.open(url, new, migrate=False) as again:
        assert again.read(lambda conn: list(rooms.load(conn, ROOM))) == records


def test_rekeyed_store_is_the_same_and_opens_with_the_new_key_only(store: Store, url: str, sealing: Sealing) -> None:
    fill(store)
    write(store, lambda conn: rooms.apply(conn, ROOM, [], [("epoch", b"2")]))

    def data_key_rows(conn: Connection) -> dict[int, bytes]:
        return {row.id: row.sealed for row in conn.execute(select(DataKey.id, DataKey.sealed).where(~DataKey.is_free))}

    def open_all(conn: Connection, rows: dict[int, bytes]) -> list[bytes]:
        root = row_sealing(conn)
        return [root.unseal("data_key", (slot.to_bytes(8, "big"),), 1, sealed) for slot, sealed in rows.items()]

    before = store.read(data_key_rows)
    assert len(store.read(lambda conn: open_all(conn, before))) == len(before) == 9
    records = store.read(lambda conn: list(rooms.load(conn, ROOM)))
    with pytest.raises(Locked):
        rekey(url, sealing, Sealing(b"\x4e" * 32))
    store.close()
    with pytest.raises(SealBroken):
        rekey(url, Sealing(b"\x4e" * 32), sealing)
    rekey(url, sealing, Sealing(b"\x4e" * 32))
    with pytest.raises(SealBroken):
        Store.open(url, sealing, migrate=False)
    with Store.open(url, Sealing(b"\x4e" * 32), migrate=False) as again:
        assert again.read(lambda conn: list(rooms.load(conn, ROOM))) == records
        assert again.read(lambda conn: plaintexts.get(conn, ROOM, "$1")) == b"text of $1"
        after = again.read(data_key_rows)
        assert after.keys() == before.keys()
        assert not set(after.values()) & set(before.values())
        # What remains of an older state, in a backup say, is of no use with the new keys.
        for slot, sealed in before.items():
            with pytest.raises(SealBroken):
                again.read(partial(open_all, rows={slot: sealed}))
        write(again, lambda conn: rooms.apply(conn, ROOM, [("epoch", b"3", b"new")], []))
        assert len(again.read(lambda conn: list(rooms.load(conn, ROOM)))) == len(records) + 1


def test_new_key_needs_the_old_one(store: Store) -> None:
    with pytest.raises(SealBroken):
        write(store, lambda conn: meta.rewrap_root(conn, Sealing(b"\x00" * 32), Sealing(b"\x01" * 32)))


def test_root_key_of_an_older_version_is_refused(store: Store, url: str, sealing: Sealing) -> None:
    store.close()
    tamper(url, "UPDATE meta SET root_version = root_version + 1")
    with pytest.raises(SealBroken):
        Store.open(url, sealing, migrate=False)


def test_connection_of_no_store_opens_no_sealed_row(store: Store, url: str) -> None:
    fill(store)
    store.close()
    engine = create_writer(make_url(url))
    with engine.begin() as conn, pytest.raises(StoreError):
        plaintexts.get(conn, ROOM, "$1")
    engine.dispose()


def test_identity_stays_and_a_restore_raises_the_incarnation(store: Store, url: str, sealing: Sealing) -> None:
    first = store.read(meta.identity)
    assert first is not None
    assert len(first.store_id) == 16
    assert write(store, meta.raise_incarnation) == first.incarnation + 1
    store.close()
    with Store.open(url, sealing, migrate=True) as again:
        second = again.read(meta.identity)
    assert second == meta.Identity(first.store_id, first.incarnation + 1)


def test_a_store_has_one_identity(store: Store, sealing: Sealing) -> None:
    with pytest.raises(StoreError):
        write(store, lambda conn: meta.create(conn, sealing))
    with pytest.raises(StoreError):
        write(
            store,
            lambda conn: conn.execute(
                insert(Meta).values(id=2, store_id=b"", incarnation=1, root_version=1, sealed_root=b"")
            ).close(),
        )
