"""The counting suite counts what RFC 9420 and RFC 9180 say an operation must cost, and computes the same bytes."""

from __future__ import annotations

import random

import pytest

from dmls.mls.crypto.operations import OperationCounts, count_operations
from dmls.mls.crypto.suites import CIPHER_SUITES, CipherSuite, cipher_suite

by_suite = pytest.mark.parametrize("suite", CIPHER_SUITES, ids=lambda suite: f"suite{suite.id}")


def test_hpke_of_suite_1_makes_no_multiplication_twice(rng: random.Random) -> None:
    suite, counts = count_operations(cipher_suite(1))
    assert counts == OperationCounts()
    pair = suite.derive_key_pair(rng.randbytes(32))
    assert counts == OperationCounts(key_pairs=1, base_multiplications=1, macs=2)
    counts.reset()
    sealed = suite.seal_with_label(pair.public_key, "label", b"", b"plaintext", rng.randbytes)
    assert counts == OperationCounts(encapsulations=1, base_multiplications=1, variable_multiplications=1, aead_seals=1, macs=6)
    counts.reset()
    suite.open_with_label(*pair, "label", b"", *sealed)
    assert counts == OperationCounts(decapsulations=1, variable_multiplications=1, aead_opens=1, macs=6)


@pytest.mark.parametrize("suite_id", [2, 4, 5, 6, 7])
def test_the_other_groups_pay_one_base_multiplication_for_parsing(suite_id: int, rng: random.Random) -> None:
    suite, counts = count_operations(cipher_suite(suite_id))
    pair = suite.derive_key_pair(rng.randbytes(32))
    assert (counts.base_multiplications, counts.variable_multiplications) == (1, 0)
    counts.reset()
    sealed = suite.seal_with_label(pair.public_key, "label", b"", b"plaintext", rng.randbytes)
    assert (counts.base_multiplications, counts.variable_multiplications) == (1, 1)
    counts.reset()
    suite.open_with_label(*pair, "label", b"", *sealed)
    assert (counts.base_multiplications, counts.variable_multiplications) == (1, 1)


def test_a_sealer_hashes_its_context_once(rng: random.Random) -> None:
    suite, counts = count_operations(cipher_suite(1))
    public_key = suite.derive_key_pair(rng.randbytes(32)).public_key
    counts.reset()
    sealer = suite.sealer("label", b"context")
    assert counts == OperationCounts(macs=1)
    for _ in range(10):
        sealer.seal(public_key, b"plaintext", rng.randbytes)
    assert counts.macs == 1 + 10 * 5


def test_a_one_block_expansion_is_one_hmac_call() -> None:
    suite, counts = count_operations(cipher_suite(1))
    suite.derive_secret(b"secret", "label")
    suite.expand_with_label(b"secret", "label", b"context", 32)
    suite.derive_tree_secret(b"secret", "key", 3, 16)
    suite.mac(b"key", b"data")
    suite.kdf.expander("label", b"context", 32)(b"secret")
    suite.extract(b"salt", b"ikm")
    assert counts == OperationCounts(macs=6)
    suite.expand_with_label(b"secret", "label", b"context", 33)
    assert counts == OperationCounts(macs=8)
    suite.hash(b"data")
    suite.ref_hash("label", b"data")
    assert counts == OperationCounts(macs=8, hashes=2)


@by_suite
def test_the_counting_suite_computes_the_same_bytes(suite: CipherSuite, seed: int) -> None:
    counting, counts = count_operations(suite)
    assert counting == suite
    assert hash(counting) == hash(suite)

    def compute(with_suite: CipherSuite) -> list[object]:
        randbytes = random.Random(seed).randbytes
        pair = with_suite.derive_key_pair(randbytes(64))
        signing = with_suite.generate_signature_key_pair(randbytes)
        sealed = with_suite.seal_with_label(pair.public_key, "label", b"context", b"plaintext", randbytes)
        external = with_suite.export_external_init_seal(pair.public_key, randbytes)
        signature = with_suite.sign_with_label(signing.private_key, "label", b"content")
        with_suite.verify_with_label(signing.public_key, "label", b"content", signature)
        with_suite.check_encryption_key(pair.public_key)
        with_suite.check_signature_key(signing.public_key)
        key, nonce = with_suite.expand(b"prk", b"", with_suite.key_size), with_suite.expand(b"prk", b"", with_suite.nonce_size)
        ciphertext = with_suite.aead_seal(key, nonce, b"", b"plaintext")
        return [
            pair,
            signing,
            sealed,
            external,
            signature,
            ciphertext,
            with_suite.open_with_label(*pair, "label", b"context", *sealed),
            with_suite.export_external_init_open(*pair, external[0]),
            with_suite.aead_open(key, nonce, b"", ciphertext),
            with_suite.public_key(pair.private_key),
            with_suite.signature_public_key(signing.private_key),
            with_suite.hash(b"data"),
        ]

    assert compute(counting) == compute(suite)
    assert (counts.key_pairs, counts.encapsulations, counts.decapsulations) == (1, 2, 2)
    assert (counts.signature_keys, counts.signatures, counts.verifications) == (1, 1, 1)
    assert (counts.aead_seals, counts.aead_opens, counts.hashes) == (2, 2, 1)
