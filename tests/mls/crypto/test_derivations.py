"""Hash, MAC, HKDF, labels and AEAD at their edges (CRY-03, CRY-04, CRY-13, KS-11)."""

from __future__ import annotations

import hashlib
import hmac
import random

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import given
from hypothesis import strategies as st

from dmls.errors import CryptoError, DecryptionError, InvalidArgumentError, LengthError, MacError, UnsupportedError, UsageError
from dmls.mls.codec import MAX_VECTOR, encode_opaque
from dmls.mls.crypto import labels
from dmls.mls.crypto.labels import labelled
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CIPHER_SUITES, CipherSuite, cipher_suite

by_suite = pytest.mark.parametrize("suite", CIPHER_SUITES, ids=lambda suite: f"suite{suite.id}")


@pytest.mark.keeps("CRY-02")
def test_the_suites_have_the_parameters_of_rfc_9420() -> None:
    """CRY-02: KEM, KDF and AEAD code points, Nh, Nk, Nn, Nt."""
    assert {
        suite.id: (suite.kem.id, suite.kdf.id, suite.aead.id, suite.hash_name, suite.signature.name) for suite in CIPHER_SUITES
    } == {
        1: (0x0020, 1, 1, "sha256", "ed25519"),
        2: (0x0010, 1, 1, "sha256", "ecdsa_secp256r1_sha256"),
        3: (0x0020, 1, 3, "sha256", "ed25519"),
        4: (0x0021, 3, 2, "sha512", "ed448"),
        5: (0x0012, 3, 2, "sha512", "ecdsa_secp521r1_sha512"),
        6: (0x0021, 3, 3, "sha512", "ed448"),
        7: (0x0011, 2, 2, "sha384", "ecdsa_secp384r1_sha384"),
    }
    assert [(s.hash_size, s.key_size, s.nonce_size, s.tag_size) for s in CIPHER_SUITES] == [
        (32, 16, 12, 16),
        (32, 16, 12, 16),
        (32, 32, 12, 16),
        (64, 32, 12, 16),
        (64, 32, 12, 16),
        (64, 32, 12, 16),
        (48, 32, 12, 16),
    ]


@pytest.mark.parametrize("id", [0, 8, 0x0A0A, 61527, 65535, -1, 1 << 20])
def test_other_code_points_are_unsupported(id: int) -> None:
    with pytest.raises(UnsupportedError):
        cipher_suite(id)


def test_a_suite_is_its_code_point() -> None:
    assert len(set(CIPHER_SUITES)) == 7
    for suite in CIPHER_SUITES:
        assert cipher_suite(suite.id) is suite
    with pytest.raises(AttributeError):
        cipher_suite(1).id = 2  # type: ignore[misc]


@by_suite
def test_hash_and_mac_are_those_of_the_suite(suite: CipherSuite) -> None:
    assert suite.hash(b"data") == hashlib.new(suite.hash_name, b"data").digest()
    assert suite.mac(b"key", b"data") == hmac.new(b"key", b"data", suite.hash_name).digest()
    assert suite.extract(b"salt", b"ikm") == hmac.new(b"salt", b"ikm", suite.hash_name).digest()
    assert len(suite.hash(b"")) == len(suite.mac(b"", b"")) == suite.hash_size


@pytest.mark.breaks("CRY-13")
@by_suite
def test_a_tag_is_compared_over_its_full_length(suite: CipherSuite) -> None:
    tag = suite.mac(b"key", b"data")
    suite.verify_mac(b"key", b"data", tag)
    flipped = [tag[:at] + bytes([tag[at] ^ 1]) + tag[at + 1 :] for at in range(len(tag))]
    for wrong in (*(tag[:length] for length in range(len(tag))), tag + b"\0", tag + tag, tag[1:], *flipped):
        with pytest.raises(MacError, match="CRY-13"):
            suite.verify_mac(b"key", b"data", wrong)
    with pytest.raises(MacError):
        suite.verify_mac(b"kez", b"data", tag)
    with pytest.raises(MacError):
        suite.verify_mac(b"key", b"dato", tag)


def test_hkdf_gives_the_figures_of_rfc_5869() -> None:
    suite = cipher_suite(1)
    prk = suite.extract(bytes(range(13)), b"\x0b" * 22)
    assert prk.hex() == "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"
    assert suite.expand(prk, bytes(range(0xF0, 0xFA)), 42).hex() == (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    )


@by_suite
def test_expand_agrees_with_the_library_at_every_block_boundary(suite: CipherSuite, rng: random.Random) -> None:
    size = suite.hash_size
    algorithm = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}[suite.hash_name]
    prk = rng.randbytes(size)
    for length in (1, 12, 16, size - 1, size, size + 1, 2 * size, 2 * size + 1, 255 * size - 1, 255 * size):
        assert suite.expand(prk, b"info", length) == HKDFExpand(algorithm, length, b"info").derive(prk)
    assert suite.expand(prk, b"info", 0) == b""


@pytest.mark.breaks("KS-11")
@by_suite
def test_more_than_255_blocks_are_refused(suite: CipherSuite) -> None:
    for length in (255 * suite.hash_size + 1, 0xFFFF, 0x10000, -1):
        with pytest.raises(InvalidArgumentError, match="KS-11"):
            suite.expand(b"prk", b"info", length)
        with pytest.raises(InvalidArgumentError, match="KS-11"):
            suite.expand_with_label(b"secret", "label", b"context", length)
        with pytest.raises(InvalidArgumentError, match="KS-11"):
            suite.derive_tree_secret(b"secret", "label", 0, length)


@by_suite
@given(
    secret=st.binary(max_size=80),
    label=st.text(st.characters(codec="utf-8"), max_size=300),
    context=st.binary(max_size=300),
    length=st.integers(0, 200),
)
def test_expand_with_label_is_expand_over_the_kdf_label(
    suite: CipherSuite, secret: bytes, label: str, context: bytes, length: int
) -> None:
    info = length.to_bytes(2, "big") + encode_opaque(b"MLS 1.0 " + label.encode()) + encode_opaque(context)
    derived = suite.expand_with_label(secret, label, context, length)
    assert derived == suite.expand(secret, info, length) == suite.expand_with_label(secret, label.encode(), context, length)
    assert suite.derive_secret(secret, label) == suite.expand_with_label(secret, label, b"", suite.hash_size)
    assert suite.derive_tree_secret(secret, label, 7, length) == suite.expand_with_label(
        secret, label, bytes([0, 0, 0, 7]), length
    )
    if length <= suite.hash_size:
        assert suite.kdf.expander(label, context, length)(secret) == derived


@by_suite
def test_an_expander_makes_one_block(suite: CipherSuite) -> None:
    for length in (-1, suite.hash_size + 1, 0x10000):
        with pytest.raises(InvalidArgumentError):
            suite.kdf.expander("label", b"context", length)


def test_labels_are_text_and_contents_fit_a_vector() -> None:
    with pytest.raises(InvalidArgumentError):
        cipher_suite(1).derive_secret(b"secret", "\ud800")
    with pytest.raises(InvalidArgumentError):
        cipher_suite(1).ref_hash("\ud800", b"")
    assert labelled("", b"") == b"\x08MLS 1.0 \x00"

    class Huge(bytes):
        def __len__(self) -> int:
            return MAX_VECTOR + 1

    with pytest.raises(LengthError, match="ENC-05"):
        labelled("label", Huge())


def test_long_labels_are_not_remembered() -> None:
    """Applications choose exporter labels, so what is kept of them must not grow."""
    remembered = labels._remembered_kdf_label_prefix
    cipher_suite(1).derive_secret(b"secret", "a short label")
    before = remembered.cache_info()
    assert before.currsize > 0
    cipher_suite(1).derive_secret(b"secret", "x" * 65)
    assert remembered.cache_info() == before


@pytest.mark.parametrize("generation", [-1, 1 << 32])
def test_generations_have_32_bits(generation: int) -> None:
    with pytest.raises(UsageError):
        cipher_suite(1).derive_tree_secret(b"secret", "key", generation, 16)


@by_suite
def test_what_derives_secrets_returns_secrets(suite: CipherSuite) -> None:
    derived = [
        suite.extract(b"salt", b"ikm"),
        suite.expand(b"prk", b"info", 16),
        suite.expand_with_label(b"secret", "label", b"", 16),
        suite.derive_secret(b"secret", "label"),
        suite.derive_tree_secret(b"secret", "label", 0, 16),
        suite.derive_key_pair(b"ikm").private_key,
        suite.generate_signature_key_pair(random.Random(1).randbytes).private_key,
    ]
    assert all(isinstance(secret, Secret) for secret in derived)


@by_suite
def test_aead_opens_only_what_was_sealed(suite: CipherSuite, rng: random.Random) -> None:
    key, nonce = rng.randbytes(suite.key_size), rng.randbytes(suite.nonce_size)
    for plaintext in (b"", b"x", rng.randbytes(5000)):
        ciphertext = suite.aead_seal(key, nonce, b"aad", plaintext)
        assert len(ciphertext) == len(plaintext) + suite.tag_size
        assert suite.aead_open(key, nonce, b"aad", ciphertext) == plaintext
        for at in {0, len(ciphertext) // 2, len(ciphertext) - 1}:
            forged = ciphertext[:at] + bytes([ciphertext[at] ^ 0x80]) + ciphertext[at + 1 :]
            with pytest.raises(DecryptionError):
                suite.aead_open(key, nonce, b"aad", forged)
        for cut in (b"", ciphertext[:15], ciphertext[:-1], ciphertext + b"\0"):
            with pytest.raises(DecryptionError):
                suite.aead_open(key, nonce, b"aad", cut)
        with pytest.raises(DecryptionError):
            suite.aead_open(key, nonce, b"", ciphertext)
        with pytest.raises(DecryptionError):
            suite.aead_open(key, bytes(suite.nonce_size), b"aad", ciphertext)
        with pytest.raises(DecryptionError):
            suite.aead_open(bytes(suite.key_size), nonce, b"aad", ciphertext)


@by_suite
def test_aead_takes_its_own_sizes_of_key_and_nonce_only(suite: CipherSuite) -> None:
    """The library would run AES-192 or a 16-byte GCM nonce as well."""
    key, nonce = bytes(suite.key_size), bytes(suite.nonce_size)
    sizes = {0, 15, 16, 24, 31, 32, 33}
    wrong = [(bytes(size), nonce) for size in sizes - {suite.key_size}] + [(key, bytes(size)) for size in (0, 8, 11, 13, 16)]
    for arguments in wrong:
        with pytest.raises(CryptoError):
            suite.aead_seal(*arguments, b"", b"")
        with pytest.raises(DecryptionError):
            suite.aead_open(*arguments, b"", bytes(16))
