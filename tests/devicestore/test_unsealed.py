from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy import text

from devicestore import Sealing, Store, StoreError, read_unsealed, rooms
from devicestore.errors import Insecure, Invalid, Locked, NotFound, SchemaMismatch
from tests.devicestore.support import write

DATABASES = ("sqlite",)

ROOM = "!room:hs1"


@pytest.fixture
def closed(url: str, sealing: Sealing) -> str:
    """A store with a sealed and a plain record."""
    with Store.open(url, sealing, migrate=True) as store:
        puts = [("epoch", b"e2", b"secret"), ("epoch", b"e1", b"secret"), ("private_key", b"p", b"secret"), ("node", b"n", b"v")]
        write(store, lambda conn: rooms.apply(conn, ROOM, puts, []))
    return url


def test_what_is_not_sealed_is_read_without_the_key(closed: str) -> None:
    assert read_unsealed(closed, lambda conn: list(rooms.load_plain(conn, ROOM))) == [("node", b"n", b"v")]
    assert read_unsealed(closed, lambda conn: rooms.list_keys(conn, "epoch", ROOM)) == [b"e1", b"e2"]
    assert read_unsealed(closed, lambda conn: rooms.list_keys(conn, "epoch", "!other:hs1")) == []


def test_sealed_values_do_not_open(closed: str) -> None:
    with pytest.raises(StoreError, match="opens no sealed rows"):
        read_unsealed(closed, lambda conn: list(rooms.load(conn, ROOM)))


def test_keys_are_listed_of_sealed_tables_only(closed: str) -> None:
    with pytest.raises(Invalid, match="no sealed record table"):
        read_unsealed(closed, lambda conn: rooms.list_keys(conn, "node", ROOM))


def test_nothing_can_be_changed(closed: str, sealing: Sealing) -> None:
    with pytest.raises(StoreError):
        read_unsealed(closed, lambda conn: rooms.forget(conn, ROOM, now_ms=5))
    with Store.open(closed, sealing, migrate=False) as store:
        assert store.read(rooms.list_rooms) == [ROOM]


def test_an_open_store_is_not_read(store: Store, url: str) -> None:
    with pytest.raises(Locked):
        read_unsealed(url, rooms.list_rooms)


def test_the_file_is_given_up_again(closed: str, sealing: Sealing) -> None:
    with pytest.raises(ZeroDivisionError):
        read_unsealed(closed, lambda _conn: 1 // 0)
    Store.open(closed, sealing, migrate=False).close()


def test_a_missing_file_is_not_made(url: str, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_unsealed(url, rooms.list_rooms)
    assert list(tmp_path.iterdir()) == []


def test_an_older_schema_is_refused_and_stays(closed: str, sealing: Sealing) -> None:
    with Store.open(closed, sealing, migrate=False) as store:
        write(store, lambda conn: conn.execute(text("DELETE FROM alembic_version")))
    with pytest.raises(SchemaMismatch):
        read_unsealed(closed, rooms.list_rooms)


def test_a_file_that_others_may_read_is_refused(closed: str, tmp_path: Path) -> None:
    os.chmod(tmp_path / "store.db", 0o644)
    with pytest.raises(Insecure):
        read_unsealed(closed, rooms.list_rooms)
