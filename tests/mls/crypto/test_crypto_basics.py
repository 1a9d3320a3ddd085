"""The working group's crypto-basics vectors, one case a suite (CRY-01 to CRY-04, CRY-07, CRY-09, CRY-16)."""

from __future__ import annotations

import random
from typing import Any

import pytest

from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CIPHER_SUITES, CipherSuite, cipher_suite
from tests.support.vectors import load_vectors

Case = dict[str, Any]
CASES = load_vectors("crypto-basics.json")


def unhex(case: Case, *names: str) -> list[bytes]:
    return [bytes.fromhex(case[name]) for name in names]


@pytest.fixture(params=CASES, ids=lambda case: f"suite{case['cipher_suite']}")
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture
def suite(case: Case) -> CipherSuite:
    return cipher_suite(case["cipher_suite"])


def test_the_file_covers_every_suite() -> None:
    assert [case["cipher_suite"] for case in CASES] == [suite.id for suite in CIPHER_SUITES] == list(range(1, 8))


def test_ref_hash(case: Case, suite: CipherSuite) -> None:
    given = case["ref_hash"]
    value, out = unhex(given, "value", "out")
    assert suite.ref_hash(given["label"], value) == suite.ref_hash(given["label"].encode(), value) == out


def test_expand_with_label(case: Case, suite: CipherSuite) -> None:
    given = case["expand_with_label"]
    secret, context, out = unhex(given, "secret", "context", "out")
    assert suite.expand_with_label(secret, given["label"], context, given["length"]) == out
    assert suite.expand_with_label(secret, given["label"].encode(), context, given["length"]) == out


def test_derive_secret(case: Case, suite: CipherSuite) -> None:
    given = case["derive_secret"]
    secret, out = unhex(given, "secret", "out")
    assert suite.derive_secret(secret, given["label"]) == out
    assert suite.expand_with_label(secret, given["label"], b"", suite.hash_size) == out


def test_derive_tree_secret(case: Case, suite: CipherSuite) -> None:
    given = case["derive_tree_secret"]
    secret, out = unhex(given, "secret", "out")
    assert suite.derive_tree_secret(secret, given["label"], given["generation"], given["length"]) == out


def test_the_given_signature_verifies_and_so_does_a_new_one(case: Case, suite: CipherSuite) -> None:
    given = case["sign_with_label"]
    label, (private, public, content, signature) = given["label"], unhex(given, "priv", "pub", "content", "signature")
    suite.verify_with_label(public, label, content, signature)
    suite.verify_with_label(public, label, content, suite.sign_with_label(private, label, content))
    suite.check_signature_key(public)
    assert suite.signature_public_key(private) == public


def test_the_given_ciphertext_opens_and_so_does_a_new_one(case: Case, suite: CipherSuite, rng: random.Random) -> None:
    given = case["encrypt_with_label"]
    label, (private, public) = given["label"], unhex(given, "priv", "pub")
    context, plaintext, kem_output, ciphertext = unhex(given, "context", "plaintext", "kem_output", "ciphertext")
    opened = suite.open_with_label(private, public, label, context, kem_output, ciphertext)
    assert opened == plaintext
    assert isinstance(opened, Secret)
    sealed = suite.seal_with_label(public, label, context, plaintext, rng.randbytes)
    assert suite.open_with_label(private, public, label, context, *sealed) == plaintext
    suite.check_encryption_key(public)
    assert suite.public_key(private) == public


def test_external_public_keys_are_derived_as_in_the_key_schedule_vectors() -> None:
    for case in load_vectors("key-schedule.json"):
        for epoch in case["epochs"]:
            ikm, public_key = unhex(epoch, "external_secret", "external_pub")
            assert cipher_suite(case["cipher_suite"]).derive_key_pair(ikm).public_key == public_key
