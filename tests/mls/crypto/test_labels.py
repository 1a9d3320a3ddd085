"""A label is text or its bytes (CRY-03), and what is derived is kept from sight."""

from __future__ import annotations

import pytest

from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CIPHER_SUITES, CipherSuite

BY_SUITE = pytest.mark.parametrize("suite", CIPHER_SUITES, ids=lambda suite: f"suite{suite.id}")


@BY_SUITE
def test_a_label_is_text_or_its_bytes(suite: CipherSuite) -> None:
    assert suite.ref_hash("MLS 1.0 thing", b"x") == suite.ref_hash(b"MLS 1.0 thing", b"x")
    assert suite.expand_with_label(b"s", "thing", b"x", 7) == suite.expand_with_label(b"s", b"thing", b"x", 7)
    assert suite.derive_secret(b"s", "thing") == suite.expand_with_label(b"s", b"thing", b"", suite.hash_size)


@BY_SUITE
def test_a_decrypted_text_is_a_secret(suite: CipherSuite) -> None:
    pair = suite.derive_key_pair(bytes(suite.hash_size))
    sealed = suite.seal_with_label(pair.public_key, "thing", b"context", b"text", lambda length: b"\x07" * length)
    opened = suite.open_with_label(pair.private_key, pair.public_key, "thing", b"context", *sealed)
    assert opened == b"text"
    assert isinstance(opened, Secret)
