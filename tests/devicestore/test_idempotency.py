from __future__ import annotations

import pytest

from devicestore import Store, idempotency
from devicestore.errors import Conflict
from tests.devicestore.support import write


def put(store: Store, body_hash: bytes, response: bytes, *, request_id: str = "1", now_ms: int = 0) -> None:
    write(
        store,
        lambda conn: idempotency.put(
            conn, "hs1", "Claim", request_id, body_hash, response, now_ms=now_ms, expires_at_ms=now_ms + 100
        ),
    )


def get(
    store: Store, body_hash: bytes, *, caller: str = "hs1", method: str = "Claim", request_id: str = "1", now_ms: int = 0
) -> bytes | None:
    return store.read(lambda conn: idempotency.get(conn, caller, method, request_id, body_hash, now_ms=now_ms))


def test_repeated_request_gets_its_response(store: Store) -> None:
    assert get(store, b"body") is None
    put(store, b"body", b"response")
    assert get(store, b"body") == b"response"
    assert get(store, b"body", now_ms=99) == b"response"


def test_same_id_with_another_body_is_a_conflict(store: Store) -> None:
    put(store, b"body", b"response")
    with pytest.raises(Conflict):
        get(store, b"other body")
    with pytest.raises(Conflict):
        put(store, b"other body", b"other response")
    assert get(store, b"body") == b"response"


def test_callers_methods_and_ids_are_apart(store: Store) -> None:
    put(store, b"body", b"response")
    assert get(store, b"body", caller="hs2") is None
    assert get(store, b"body", method="Upload") is None
    assert get(store, b"body", request_id="2") is None


def test_expired_response_is_as_if_it_never_was(store: Store) -> None:
    put(store, b"body", b"response")
    assert get(store, b"other body", now_ms=100) is None
    put(store, b"other body", b"other response", now_ms=100)
    assert get(store, b"other body", now_ms=150) == b"other response"


def test_purge_deletes_what_has_expired_and_nothing_else(store: Store) -> None:
    put(store, b"body", b"response", request_id="1", now_ms=0)
    put(store, b"body", b"response", request_id="2", now_ms=1)
    assert write(store, lambda conn: idempotency.purge_expired(conn, now_ms=100)) == 1
    assert get(store, b"body", request_id="2") == b"response"
