from __future__ import annotations

from functools import partial

import pytest

from devicestore import Store, tokens, write_beside
from devicestore.errors import Conflict, NotFound
from devicestore.tokens import TokenRow
from tests.devicestore.support import write

TOKEN = TokenRow(b"1" * 32, "device", "@alice:hs1 PHONE", 5, 100)


def test_tokens_are_found_listed_and_revoked_once(store: Store) -> None:
    other = TokenRow(b"2" * 32, "operator", "", 4, None)
    for token in (TOKEN, other):
        write(store, partial(tokens.create, token=token))
    assert store.read(lambda conn: tokens.find(conn, TOKEN.digest)) == TOKEN
    assert store.read(lambda conn: tokens.find(conn, b"3" * 32)) is None
    assert store.read(tokens.list_tokens) == [other, TOKEN]
    with pytest.raises(Conflict):
        write(store, lambda conn: tokens.create(conn, TOKEN))
    assert write(store, lambda conn: tokens.revoke(conn, TOKEN.digest, now_ms=9)) is True
    assert write(store, lambda conn: tokens.revoke(conn, TOKEN.digest, now_ms=10)) is False
    revoked = store.read(lambda conn: tokens.find(conn, TOKEN.digest))
    assert revoked is not None
    assert revoked.revoked_at_ms == 9


def test_a_token_is_good_until_it_is_over_or_revoked() -> None:
    assert TOKEN.is_valid(99)
    assert not TOKEN.is_valid(100)
    assert TokenRow(b"1", "operator", "", 5, None).is_valid(1 << 60)
    assert not TokenRow(b"1", "operator", "", 5, None, revoked_at_ms=6).is_valid(7)


def test_tokens_are_written_beside_a_service_that_has_the_store_open(store: Store, url: str) -> None:
    write_beside(url, lambda conn: tokens.create(conn, TOKEN))
    assert store.read(lambda conn: tokens.find(conn, TOKEN.digest)) == TOKEN


def test_a_store_that_is_not_there_is_not_made(database: str, url: str) -> None:
    if database == "sqlite":
        with pytest.raises(NotFound):
            write_beside(url + "-other", tokens.list_tokens)
