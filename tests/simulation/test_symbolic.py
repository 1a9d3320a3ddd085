"""The symbolic cipher suite: it must refuse what a real one refuses, or simulations would prove nothing."""

from __future__ import annotations

import random

import pytest

from dmls.errors import CryptoError, DecryptionError, SignatureError, UnsupportedError, UsageError
from dmls.mls.crypto.suites import CIPHER_SUITES, cipher_suite, register_cipher_suite
from dmls.simulation.symbolic import SYMBOLIC_SUITE, use_symbolic_suite


def test_what_is_sealed_opens_with_the_private_key_and_the_same_context_only(rng: random.Random) -> None:
    suite = SYMBOLIC_SUITE
    mine, other = (suite.derive_key_pair(rng.randbytes(8)) for _ in range(2))
    kem_output, sealed = suite.seal_with_label(mine.public_key, "label", b"context", b"secret", rng.randbytes)
    assert suite.open_with_label(mine.private_key, mine.public_key, "label", b"context", kem_output, sealed) == b"secret"
    for private_key, context, output, text in (
        (other.private_key, b"context", kem_output, sealed),
        (mine.private_key, b"another", kem_output, sealed),
        (mine.private_key, b"context", bytes(8), sealed),
        (mine.private_key, b"context", kem_output, sealed[:-1] + bytes([sealed[-1] ^ 1])),
    ):
        with pytest.raises(DecryptionError):
            suite.open_with_label(private_key, mine.public_key, "label", context, output, text)


def test_an_external_init_secret_is_shared_with_the_holder_of_the_key_only(rng: random.Random) -> None:
    suite = SYMBOLIC_SUITE
    mine, other = (suite.derive_key_pair(rng.randbytes(8)) for _ in range(2))
    kem_output, secret = suite.export_external_init_seal(mine.public_key, rng.randbytes)
    assert suite.export_external_init_open(mine.private_key, mine.public_key, kem_output) == secret
    assert suite.export_external_init_open(other.private_key, other.public_key, kem_output) != secret


def test_a_signature_is_good_for_its_key_and_its_message_only(rng: random.Random) -> None:
    suite = SYMBOLIC_SUITE
    mine, other = (suite.generate_signature_key_pair(rng.randbytes) for _ in range(2))
    signature = suite.sign_with_label(mine.private_key, "label", b"content")
    suite.verify_with_label(mine.public_key, "label", b"content", signature)
    for key, label, content in (
        (other.public_key, "label", b"content"),
        (mine.public_key, "l", b"content"),
        (mine.public_key, "label", b""),
    ):
        with pytest.raises(SignatureError):
            suite.verify_with_label(key, label, content, signature)


@pytest.mark.parametrize("size", [0, 7, 9])
def test_keys_of_a_wrong_length_are_refused(size: int) -> None:
    suite = SYMBOLIC_SUITE
    for check in (suite.check_signature_key, suite.check_encryption_key, suite.public_key, suite.signing_key):
        with pytest.raises(CryptoError):
            check(bytes(size))
    with pytest.raises(CryptoError):
        suite.aead_seal(bytes(size), bytes(8), b"", b"")


def test_a_suite_for_private_use_is_known_once_it_is_registered() -> None:
    assert use_symbolic_suite() is use_symbolic_suite() is cipher_suite(SYMBOLIC_SUITE.id)


def test_a_registered_suite_can_take_the_place_of_no_other() -> None:
    with pytest.raises(UsageError):
        register_cipher_suite(CIPHER_SUITES[0])
    with pytest.raises(UnsupportedError):
        cipher_suite(0xF0D1)
