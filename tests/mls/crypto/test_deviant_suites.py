"""Peers whose suite is made of other parts than RFC 9420, Section 17.1, has it: nothing they make can be used."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dmls.errors import CryptoError, DecryptionError, SignatureError, UnsupportedError
from dmls.mls.crypto import signing
from dmls.mls.crypto.aead import AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305
from dmls.mls.crypto.kdf import Kdf
from dmls.mls.crypto.kem import DhKem
from dmls.mls.crypto.suites import CIPHER_SUITES, CipherSuite, cipher_suite
from dmls.mls.messages.proposal import Add
from tests.support.breaches import capable
from tests.support.forge import forge_key_package
from tests.support.groups import Room, parties, refusing, room_of

by_suite = pytest.mark.parametrize("suite", CIPHER_SUITES, ids=lambda suite: f"suite{suite.id}")


def exchanged(suite: CipherSuite, **parts: Any) -> CipherSuite:
    """The suite with other parts under its number."""
    held: dict[str, Any] = {"kem": suite.kem, "kdf": suite.kdf, "aead": suite.aead, "signature": suite.signature}
    return CipherSuite(suite.id, suite.name, **(held | parts))


def other_aead(suite: CipherSuite) -> CipherSuite:
    choice = {16: CHACHA20_POLY1305, 32: AES_128_GCM}[suite.key_size]
    return exchanged(suite, aead=AES_256_GCM if suite.aead is CHACHA20_POLY1305 else choice)


def other_kdf(suite: CipherSuite) -> CipherSuite:
    return exchanged(suite, kdf=Kdf(3, "sha512") if suite.hash_name != "sha512" else Kdf(1, "sha256"))


def other_kem_hash(suite: CipherSuite) -> CipherSuite:
    """The KEM's own KDF: SHA-512 with X448 and P-521, whatever else is in the suite."""
    kem = suite.kem
    return exchanged(suite, kem=DhKem(kem.id, kem.group, Kdf(2, "sha384") if kem.kdf.id != 2 else Kdf(1, "sha256")))


def other_kem_number(suite: CipherSuite) -> CipherSuite:
    return exchanged(suite, kem=DhKem(suite.kem.id + 1, suite.kem.group, suite.kem.kdf))


@pytest.mark.breaks("CRY-02")
@by_suite
@pytest.mark.parametrize("deviation", [other_aead, other_kdf, other_kem_hash, other_kem_number])
def test_what_another_hpke_has_sealed_does_not_open(
    suite: CipherSuite, deviation: Callable[[CipherSuite], CipherSuite], rng: random.Random
) -> None:
    deviant = deviation(suite)
    assert deviant == suite
    private_key, public_key = suite.derive_key_pair(rng.randbytes(suite.hash_size))
    for sealing, opens in ((suite, True), (deviant, False)):
        sealed = sealing.seal_with_label(public_key, "Welcome", b"context", b"secret", rng.randbytes)
        if opens:
            assert suite.open_with_label(private_key, public_key, "Welcome", b"context", *sealed) == b"secret"
        else:
            with pytest.raises(DecryptionError):
                suite.open_with_label(private_key, public_key, "Welcome", b"context", *sealed)


@pytest.mark.breaks("CRY-02", "CRY-14")
@by_suite
def test_the_signatures_of_another_scheme_do_not_verify(suite: CipherSuite, rng: random.Random) -> None:
    schemes = (signing.ED25519, signing.ED448, signing.ECDSA_P256, signing.ECDSA_P384, signing.ECDSA_P521)
    for scheme in schemes:
        if scheme.name == suite.signature.name:
            continue
        deviant = exchanged(suite, signature=scheme)
        pair = deviant.generate_signature_key_pair(rng.randbytes)
        signature = deviant.sign_with_label(pair.private_key, "LeafNodeTBS", b"content")
        with pytest.raises(SignatureError):
            suite.verify_with_label(pair.public_key, "LeafNodeTBS", b"content", signature)
        with pytest.raises(CryptoError):
            suite.check_signature_key(pair.public_key)


@pytest.mark.breaks("CRY-14")
@pytest.mark.parametrize("suite_id", [2, 4])
def test_a_key_package_with_a_key_of_another_algorithm_is_not_added(suite_id: int, rng: random.Random) -> None:
    """The leaf and the package are signed, and well, but not with the algorithm of the suite."""
    _, (alice, _) = room_of(rng, "ab")
    (newcomer,) = parties(exchanged(cipher_suite(1), signature=cipher_suite(suite_id).signature), "n", rng)
    with refusing("LN-25", alice):
        alice.stage(Add(newcomer.key_package()))


@pytest.mark.breaks("CRY-01")
def test_who_does_not_speak_the_first_suite_is_not_added(rng: random.Random) -> None:
    room = Room(parties(cipher_suite(1), "a", rng)[0])
    (alice,) = room.members
    (newcomer,) = parties(cipher_suite(3), "n", rng)
    with refusing("KP-01", alice):
        alice.stage(Add(newcomer.key_package()))
    (newcomer,) = parties(cipher_suite(1), "n", rng)
    with refusing("LN-07", alice):
        alice.stage(Add(forge_key_package(newcomer, alter_leaf=capable(cipher_suites=(2, 3, 4, 5, 6, 7)))))


@pytest.mark.breaks("CRY-01")
def test_a_number_that_is_no_suite_is_not_taken_for_the_first(rng: random.Random) -> None:
    _, (alice, _) = room_of(rng, "ab")
    (newcomer,) = parties(cipher_suite(1), "n", rng)
    for number in (0, 8, 0x0A0A, 0x0101, 0xF001):
        with pytest.raises(UnsupportedError):
            cipher_suite(number)
        with refusing("KP-01", alice):
            alice.stage(Add(forge_key_package(newcomer, lambda made, number=number: replace(made, cipher_suite=number))))  # type: ignore[misc]
