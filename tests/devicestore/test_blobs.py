from __future__ import annotations

import hashlib

import pytest
from sqlalchemy import update

from devicestore import Store, blobs
from devicestore.errors import Corrupt, NotFound
from devicestore.models import Blob
from tests.devicestore.support import write


@pytest.mark.parametrize("data", [b"", b"content", bytes(range(256)) * 4_000])
def test_content_is_found_by_its_hash(store: Store, data: bytes) -> None:
    sha256 = hashlib.sha256(data).digest()
    assert store.read(lambda conn: blobs.has(conn, sha256)) is False
    for _ in range(2):
        assert write(store, lambda conn: blobs.put(conn, data, now_ms=1)) == sha256
    assert store.read(lambda conn: blobs.get(conn, sha256)) == data
    assert store.read(lambda conn: blobs.has(conn, sha256)) is True


def test_unknown_hash_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound):
        store.read(lambda conn: blobs.get(conn, b"\x00" * 32))


def test_content_that_is_not_what_its_hash_says_is_corrupt(store: Store) -> None:
    sha256 = write(store, lambda conn: blobs.put(conn, b"content", now_ms=1))
    write(store, lambda conn: conn.execute(update(Blob).values(data=b"altered")).close())
    with pytest.raises(Corrupt):
        store.read(lambda conn: blobs.get(conn, sha256))
