"""No error, repr or log line holds a secret."""

from __future__ import annotations

import base64
import logging
import os
import traceback
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, text

from devicestore import Sealing, Store, devices, key_package_secrets, meta, plaintexts, rooms
from devicestore.devices import Custody
from devicestore.sealing import RowSealing, row_sealing
from tests.devicestore.support import ALICE, device, write

DATABASES = ("sqlite",)

ROOM = "!room:hs1"
SECRET = os.urandom(32)


def spellings(secret: bytes) -> list[str]:
    inner = repr(secret)[2:-1]
    return [inner, secret.hex(), base64.b64encode(secret).decode(), repr(list(secret)), secret.decode("latin-1")]


def assert_silent(said: str) -> None:
    assert said
    for spelling in spellings(SECRET):
        assert spelling not in said


def fill(store: Store) -> None:
    def work(conn: Connection) -> None:
        rooms.apply(conn, ROOM, [("epoch", b"1", SECRET), ("private_key", b"1", SECRET)], [])
        plaintexts.put(conn, ROOM, "$1", SECRET)
        key_package_secrets.put(conn, ALICE, "A1", b"ref", SECRET, delete_after_ms=9)
        devices.register(conn, device(custody=Custody.HOSTED), SECRET)

    write(store, work)


def damage(conn: Connection) -> Connection:
    for table, column in (
        ("epoch", "sealed"),
        ("private_key", "sealed"),
        ("plaintext", "sealed"),
        ("key_package_secret", "sealed"),
        ("device", "sealed_private_key"),
    ):
        conn.execute(text(f"UPDATE {table} SET {column} = zeroblob(80)"))
    return conn


FAILURES: dict[str, Callable[[Connection], object]] = {
    "secret stored twice": lambda conn: key_package_secrets.put(conn, ALICE, "A1", b"ref", SECRET, delete_after_ms=9),
    "plaintext of no room": lambda conn: plaintexts.put(conn, "!none:hs1", "$1", SECRET),
    "put and deleted": lambda conn: rooms.apply(conn, ROOM, [("epoch", SECRET, SECRET)], [("epoch", SECRET)]),
    "unknown table": lambda conn: rooms.apply(conn, ROOM, [("none", SECRET, SECRET)], []),
    "private key of a client": lambda conn: devices.register(conn, device(device_id="A2"), SECRET),
    "broken statement": lambda conn: conn.execute(text("SELECT :value FROM none"), {"value": SECRET}),
    "value of another type": lambda conn: conn.execute(text("SELECT :value"), {"value": [SECRET]}),
    "room that is null": lambda conn: rooms.apply(conn, None, [("node", SECRET, SECRET)], []),  # type: ignore[arg-type]
    "wrong old key": lambda conn: meta.rewrap_root(conn, Sealing(SECRET), Sealing(SECRET)),
    "altered records": lambda conn: list(rooms.load(damage(conn), ROOM)),
    "altered plaintext": lambda conn: plaintexts.get(damage(conn), ROOM, "$1"),
    "altered secret": lambda conn: key_package_secrets.get(damage(conn), b"ref", now_ms=0),
    "altered private key": lambda conn: devices.signature_private_key(damage(conn), ALICE, "A1"),
    "altered value": lambda conn: row_sealing(conn).unseal("epoch", (), 0, b"\x01" + SECRET * 2),
}


@pytest.mark.parametrize("name", FAILURES)
def test_no_error_holds_a_secret(store: Store, name: str) -> None:
    fill(store)
    error = store.write(FAILURES[name]).exception(timeout=30)
    assert error is not None
    assert_silent("".join(traceback.format_exception(error)) + repr(error) + repr(error.__dict__))
    assert error.__context__ is None


def test_wrong_key_is_not_in_the_error(store: Store, url: str) -> None:
    store.close()
    with pytest.raises(Exception, match="does not open") as caught:
        Store.open(url, Sealing(SECRET), migrate=True)
    assert_silent("".join(traceback.format_exception(caught.value)))


def test_keys_have_no_repr(store: Store) -> None:
    assert_silent(repr(Sealing(SECRET)) + str(Sealing(SECRET)) + repr(RowSealing(SECRET, SECRET)) + repr(store))
    assert_silent(store.read(lambda conn: repr(conn.get_execution_options())))


def test_no_log_line_holds_a_secret(url: str, sealing: Sealing, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("sqlalchemy.engine", "sqlalchemy.pool", "alembic"):
        caplog.set_level(logging.DEBUG, logger=name)
    # The engine asks once, when it is made, whether it is to log rows.
    with Store.open(url, sealing, migrate=True) as store:
        fill(store)
        store.read(lambda conn: list(rooms.load(conn, ROOM)))
        store.read(lambda conn: plaintexts.get(conn, ROOM, "$1"))
        store.read(lambda conn: devices.signature_private_key(conn, ALICE, "A1"))
        store.write(FAILURES["secret stored twice"]).exception(timeout=30)
    assert "INSERT INTO epoch" in caplog.text
    assert "Row (" in caplog.text
    assert "SQL parameters hidden" in caplog.text
    assert_silent(caplog.text)
