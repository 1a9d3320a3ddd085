from __future__ import annotations

import pytest

from devicestore import Store, key_package_secrets
from devicestore.errors import Conflict, NotFound
from tests.devicestore.support import ALICE, write


def put(store: Store, ref: bytes, secret: bytes, delete_after_ms: int = 1_000) -> None:
    write(store, lambda conn: key_package_secrets.put(conn, ALICE, "A1", ref, secret, delete_after_ms=delete_after_ms))


def get(store: Store, ref: bytes, now_ms: int = 0) -> bytes:
    return store.read(lambda conn: key_package_secrets.get(conn, ref, now_ms=now_ms))


def consume(store: Store, ref: bytes, delete_after_ms: int) -> bool:
    return write(store, lambda conn: key_package_secrets.consume(conn, ref, delete_after_ms=delete_after_ms))


def test_secret_comes_back_until_its_time_is_over(store: Store) -> None:
    put(store, b"ref", b"secret")
    assert get(store, b"ref", 999) == b"secret"
    with pytest.raises(NotFound):
        get(store, b"ref", 1_000)
    with pytest.raises(NotFound):
        get(store, b"other")


def test_consumed_secret_is_kept_for_a_while_and_never_longer(store: Store) -> None:
    put(store, b"ref", b"secret")
    assert consume(store, b"ref", 100)
    assert consume(store, b"ref", 500)
    assert get(store, b"ref", 99) == b"secret"
    with pytest.raises(NotFound):
        get(store, b"ref", 100)
    assert not consume(store, b"other", 100)


def test_purge_deletes_what_is_over_and_nothing_else(store: Store) -> None:
    put(store, b"1", b"one", 10)
    put(store, b"2", b"two", 11)
    assert write(store, lambda conn: key_package_secrets.purge(conn, now_ms=10)) == 1
    with pytest.raises(NotFound):
        get(store, b"1")
    assert get(store, b"2") == b"two"


def test_secret_is_never_overwritten(store: Store) -> None:
    put(store, b"ref", b"secret")
    with pytest.raises(Conflict):
        put(store, b"ref", b"other")
    assert get(store, b"ref") == b"secret"
