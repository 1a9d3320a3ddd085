"""HPKE against the figures of RFC 9180 and of its authors, and what EncryptWithLabel and external init make of it."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmls.errors import CryptoError, DecryptionError
from dmls.mls.crypto.kdf import Kdf
from dmls.mls.crypto.kem import NIST_P384, DhKem
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CIPHER_SUITES, CipherSuite, cipher_suite

# Base mode, sequence number 0, of the six suites of MLS that RFC 9180's figures cover; P-384 is not among them.
VECTORS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("rfc9180.json").read_text())
by_suite = pytest.mark.parametrize("suite", CIPHER_SUITES, ids=lambda suite: f"suite{suite.id}")


def unhex(vector: dict[str, Any], *names: str) -> list[bytes]:
    return [bytes.fromhex(vector[name]) for name in names]


def fixed(value: bytes) -> Any:
    """A source of randomness that gives `value` and checks that as much is asked for."""

    def give(length: int) -> bytes:
        assert length == len(value)
        return value

    return give


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"suite{vector['cipher_suite']}")
def test_rfc_9180_figures(vector: dict[str, Any]) -> None:
    suite = cipher_suite(vector["cipher_suite"])
    assert (suite.kem.id, suite.kdf.id, suite.aead.id) == (vector["kem_id"], vector["kdf_id"], vector["aead_id"])
    ikm_r, private, public, ikm_e, enc, shared_secret = unhex(vector, "ikmR", "skRm", "pkRm", "ikmE", "enc", "shared_secret")
    info, aad, plaintext, ciphertext = unhex(vector, "info", "aad", "pt", "ct")

    assert suite.derive_key_pair(ikm_r) == (private, public)
    assert suite.public_key(private) == public
    ephemeral = suite.kem.derive_private_key(ikm_e)
    # What GenerateKeyPair is to draw: the private key itself where it has no range.
    drawn = ephemeral if suite.kem.group.order is None else ikm_e
    assert suite.kem.generate_private_key(fixed(drawn)) == ephemeral
    assert suite.kem.encap(public, ephemeral) == (shared_secret, enc)
    assert suite.kem.decap(private, public, enc) == shared_secret
    schedule = suite.hpke.key_schedule_context(info)
    assert schedule == bytes.fromhex(vector["key_schedule_context"])
    assert suite.hpke.seal(public, schedule, aad, plaintext, fixed(drawn)) == (enc, ciphertext)
    assert suite.hpke.open(private, public, enc, schedule, aad, ciphertext) == plaintext
    for export in vector["exports"]:
        context, value = unhex(export, "exporter_context", "exported_value")
        assert suite.hpke.export_seal(public, schedule, context, export["L"], fixed(drawn)) == (enc, value)
        assert suite.hpke.export_open(private, public, enc, schedule, context, export["L"]) == value


def test_p384_derives_the_known_key_pair() -> None:
    pair = cipher_suite(7).derive_key_pair(
        bytes.fromhex("65fca3ea3b6db29a62bff28ec53c08710fab10b3798e59b678d3224296d5883f039123471784ce57b0d85a17cd521196")
    )
    assert pair.private_key.hex() == (
        "679172205e04663f40fda1018cd46c18ebaa876ede6998ba86b051614ca4d5e4bfbea34b720617a4b958cc80f6305244"
    )
    assert pair.public_key.hex() == (
        "04a5f53da8564364255bc36850df793672782a5c9e4a7fb5fb2e2146eb12e4d8477ab1f326a361dfd1e41212109510e813"
        "380547c68c0964c1908f16f67b902a061be27b2f8b43f1fab1bf0dbf89f5167ce80aca2c210b8fc0f040699db9ee1229"
    )


@pytest.mark.breaks("CRY-10")
def test_candidates_out_of_range_are_passed_over_and_cannot_run_forever() -> None:
    """CRY-10, with an HMAC that gives what a real one gives once in 2^190."""
    given = [bytes(48), bytes(48), b"\xff" * 48, b"\x01" * 48]
    kdf = Kdf(2, "sha384", mac=lambda key, data, name: given.pop(0))
    assert DhKem(0x0011, NIST_P384, kdf).derive_private_key(b"ikm") == b"\x01" * 48
    never = DhKem(0x0011, NIST_P384, Kdf(2, "sha384", mac=lambda key, data, name: bytes(48)))
    with pytest.raises(CryptoError):
        never.derive_key_pair(b"ikm")


@pytest.mark.keeps("CRY-15")
@by_suite
def test_derived_private_keys_always_have_full_length(suite: CipherSuite, rng: random.Random) -> None:
    """CRY-15; half of the P-521 scalars start with a zero octet or more."""
    first_octets = set()
    for _ in range(40):
        pair = suite.derive_key_pair(rng.randbytes(suite.hash_size))
        assert len(pair.private_key) == suite.kem.group.private_key_size
        assert isinstance(pair.private_key, Secret)
        assert suite.public_key(pair.private_key) == pair.public_key
        first_octets.add(pair.private_key[0])
    if suite.id == 5:
        assert first_octets == {0, 1}


@pytest.mark.breaks("CRY-09")
@by_suite
def test_a_ciphertext_opens_only_under_what_it_was_sealed_with(suite: CipherSuite, rng: random.Random) -> None:
    pair, other = (suite.derive_key_pair(rng.randbytes(64)) for _ in range(2))
    kem_output, ciphertext = suite.seal_with_label(pair.public_key, "Welcome", b"context", b"plaintext", rng.randbytes)
    assert suite.open_with_label(*pair, "Welcome", b"context", kem_output, ciphertext) == b"plaintext"
    wrong: list[tuple[bytes, bytes, str, bytes, bytes, bytes]] = [
        (*other, "Welcome", b"context", kem_output, ciphertext),
        (pair.private_key, other.public_key, "Welcome", b"context", kem_output, ciphertext),
        (*pair, "UpdatePathNode", b"context", kem_output, ciphertext),
        (*pair, "Welcome", b"contexT", kem_output, ciphertext),
        (*pair, "Welcome", b"context", other.public_key, ciphertext),
        (*pair, "Welcome", b"context", kem_output, ciphertext[:-1]),
        (*pair, "Welcome", b"context", kem_output, ciphertext + b"\0"),
        (*pair, "Welcome", b"context", kem_output, b""),
        (*pair, "Welcome", b"context", b"", ciphertext),
        (*pair, "Welcome", b"context", kem_output[:-1], ciphertext),
        (*pair, "Welcome", b"context", bytes(len(kem_output)), ciphertext),
        (pair.private_key[1:], pair.public_key, "Welcome", b"context", kem_output, ciphertext),
    ]
    for arguments in wrong:
        with pytest.raises(DecryptionError):
            suite.open_with_label(*arguments)


@by_suite
def test_a_sealer_seals_as_seal_with_label_does(suite: CipherSuite, rng: random.Random) -> None:
    public_key = suite.derive_key_pair(rng.randbytes(64)).public_key
    ikm = rng.randbytes(suite.kem.group.private_key_size)
    sealer = suite.sealer("UpdatePathNode", b"group context")
    expected = suite.seal_with_label(public_key, "UpdatePathNode", b"group context", b"path secret", fixed(ikm))
    assert sealer.seal(public_key, b"path secret", fixed(ikm)) == expected
    assert sealer.seal(public_key, b"path secret", rng.randbytes) != expected


@by_suite
def test_external_init_is_the_hpke_export_under_empty_info(suite: CipherSuite, rng: random.Random) -> None:
    pair = suite.derive_key_pair(rng.randbytes(64))
    kem_output, secret = suite.export_external_init_seal(pair.public_key, rng.randbytes)
    assert suite.export_external_init_open(*pair, kem_output) == secret
    assert len(secret) == suite.hash_size
    assert isinstance(secret, Secret)
    schedule = suite.hpke.key_schedule_context(b"")
    label = b"MLS 1.0 external init secret"
    assert suite.hpke.export_open(*pair, kem_output, schedule, label, suite.hash_size) == secret
    assert suite.hpke.export_open(*pair, kem_output, schedule, label + b"!", suite.hash_size) != secret


@by_suite
def test_external_init_refuses_invalid_keys(suite: CipherSuite, rng: random.Random) -> None:
    pair = suite.derive_key_pair(rng.randbytes(64))
    for public_key in (b"", bytes(len(pair.public_key)), pair.public_key[:-1]):
        with pytest.raises(CryptoError):
            suite.export_external_init_seal(public_key, rng.randbytes)
        with pytest.raises(DecryptionError):
            suite.export_external_init_open(*pair, public_key)


@by_suite
@given(plaintext=st.binary(max_size=300), context=st.binary(max_size=300), seed=st.integers(0, 2**32))
def test_what_is_sealed_opens(suite: CipherSuite, plaintext: bytes, context: bytes, seed: int) -> None:
    randbytes = random.Random(seed).randbytes
    pair = suite.derive_key_pair(randbytes(suite.hash_size))
    kem_output, ciphertext = suite.seal_with_label(pair.public_key, "label", context, plaintext, randbytes)
    assert len(ciphertext) == len(plaintext) + suite.tag_size
    assert suite.open_with_label(*pair, "label", context, kem_output, ciphertext) == plaintext
