"""SignWithLabel: one encoding, the suite's hash, the label's domain, keys parsed once (CRY-05, CRY-07)."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from dmls.errors import CryptoError, SignatureError
from dmls.mls.crypto.labels import labelled
from dmls.mls.crypto.operations import count_operations
from dmls.mls.crypto.points import P256, P384, P521, NistCurve
from dmls.mls.crypto.signing import SigningKey
from dmls.mls.crypto.suites import CIPHER_SUITES, CipherSuite, cipher_suite

by_suite = pytest.mark.parametrize("suite", CIPHER_SUITES, ids=lambda suite: f"suite{suite.id}")
by_nist_suite = pytest.mark.parametrize(
    ("suite_id", "curve", "algorithm"),
    [(2, P256, hashes.SHA256()), (7, P384, hashes.SHA384()), (5, P521, hashes.SHA512())],
    ids=["p256", "p384", "p521"],
)


@by_suite
def test_a_signature_binds_key_label_and_content(suite: CipherSuite, rng: random.Random) -> None:
    pair, other = (suite.generate_signature_key_pair(rng.randbytes) for _ in range(2))
    signature = suite.sign_with_label(pair.private_key, "LeafNodeTBS", b"content")
    suite.verify_with_label(pair.public_key, "LeafNodeTBS", b"content", signature)
    refused = [
        (other.public_key, "LeafNodeTBS", b"content", signature),
        (pair.public_key, "KeyPackageTBS", b"content", signature),
        (pair.public_key, "LeafNodeTBS", b"contents", signature),
        (pair.public_key, "LeafNodeTBS", b"", signature),
        (pair.public_key, "LeafNodeTBS", b"content", b""),
        (pair.public_key, "LeafNodeTBS", b"content", signature[:-1]),
        (pair.public_key, "LeafNodeTBS", b"content", signature + b"\0"),
        (b"", "LeafNodeTBS", b"content", signature),
        (pair.public_key + b"\0", "LeafNodeTBS", b"content", signature),
    ]
    for arguments in refused:
        with pytest.raises(SignatureError):
            suite.verify_with_label(*arguments)
    for position in range(len(signature)):
        forged = bytearray(signature)
        forged[position] ^= 1 << rng.randrange(8)
        with pytest.raises(SignatureError):
            suite.verify_with_label(pair.public_key, "LeafNodeTBS", b"content", bytes(forged))


@by_suite
def test_octets_do_not_move_between_signature_and_content(suite: CipherSuite, rng: random.Random) -> None:
    """A signature that took the head of what was signed would carry over to a label that the signer never used."""
    pair = suite.generate_signature_key_pair(rng.randbytes)
    inner = labelled("inner", b"content")
    signature = suite.sign_with_label(pair.private_key, "outer", inner)
    head = labelled("outer", inner).removesuffix(inner)
    with pytest.raises(SignatureError):
        suite.verify_with_label(pair.public_key, "inner", b"content", signature + head)


@by_suite
def test_signing_is_deterministic_and_needs_no_randomness(suite: CipherSuite, rng: random.Random) -> None:
    private_key = suite.generate_signature_key_pair(rng.randbytes).private_key
    signatures = {suite.sign_with_label(private_key, "label", b"content") for _ in range(3)}
    assert signatures == {suite.sign_with_label(bytes(private_key), "label", b"content")}


@by_suite
def test_generated_keys_depend_on_the_given_randomness_only(suite: CipherSuite, seed: int) -> None:
    one, same, other = (suite.generate_signature_key_pair(random.Random(n).randbytes) for n in (seed, seed, seed + 1))
    assert one == same
    assert one != other
    assert suite.signature_public_key(bytes(one.private_key)) == one.public_key
    suite.check_signature_key(one.public_key)


@by_suite
def test_a_signing_key_is_parsed_once(suite: CipherSuite, rng: random.Random) -> None:
    counting, counts = count_operations(suite)
    pair = counting.generate_signature_key_pair(rng.randbytes)
    assert isinstance(pair.private_key, SigningKey)
    assert counting.signing_key(pair.private_key) is pair.private_key
    for _ in range(3):
        counting.sign_with_label(pair.private_key, "label", b"content")
    assert (counts.signature_keys, counts.signatures) == (1, 3)
    for _ in range(3):
        counting.sign_with_label(bytes(pair.private_key), "label", b"content")
    assert (counts.signature_keys, counts.signatures) == (4, 6)


def test_a_signing_key_of_another_scheme_is_taken_as_raw_bytes(rng: random.Random) -> None:
    ed25519_key = cipher_suite(1).generate_signature_key_pair(rng.randbytes).private_key
    suite = cipher_suite(2)
    signature = suite.sign_with_label(ed25519_key, "label", b"content")
    suite.verify_with_label(suite.signature_public_key(ed25519_key), "label", b"content", signature)
    unparsed = SigningKey(ed25519_key)
    assert suite.sign_with_label(unparsed, "label", b"content") == signature


@by_nist_suite
def test_a_useless_source_of_randomness_is_an_error_and_not_a_hang(
    suite_id: int, curve: NistCurve, algorithm: hashes.HashAlgorithm
) -> None:
    for octet in (b"\x00", b"\xff"):
        with pytest.raises(CryptoError):
            cipher_suite(suite_id).generate_signature_key_pair(lambda length, octet=octet: octet * length)  # type: ignore[misc]


@by_suite
def test_a_source_of_randomness_that_gives_too_little_is_an_error(suite: CipherSuite, rng: random.Random) -> None:
    public_key = suite.derive_key_pair(rng.randbytes(64)).public_key
    for excess in (-1, 1):
        with pytest.raises(CryptoError):
            suite.generate_signature_key_pair(lambda length, excess=excess: b"\1" * (length + excess))  # type: ignore[misc]
        with pytest.raises(CryptoError):
            suite.seal_with_label(public_key, "label", b"", b"", lambda length, excess=excess: b"\1" * (length + excess))  # type: ignore[misc]


@pytest.mark.breaks("CRY-07")
@by_nist_suite
def test_ecdsa_hashes_with_the_hash_of_the_suite(
    suite_id: int, curve: NistCurve, algorithm: hashes.HashAlgorithm, rng: random.Random
) -> None:
    suite = cipher_suite(suite_id)
    pair = suite.generate_signature_key_pair(rng.randbytes)
    signature = suite.sign_with_label(pair.private_key, "label", b"content")
    message = b"\x0dMLS 1.0 label\x07content"
    curve.parse_public(pair.public_key).verify(signature, message, ec.ECDSA(algorithm))
    key = curve.parse_private(pair.private_key)
    for other in (hashes.SHA256(), hashes.SHA384(), hashes.SHA512()):
        if other.name != algorithm.name:
            with pytest.raises(SignatureError):
                suite.verify_with_label(pair.public_key, "label", b"content", key.sign(message, ec.ECDSA(other)))


def broken_rule(suite: CipherSuite, public_key: bytes, content: bytes, signature: bytes) -> str | None:
    """Return the rule that a refused signature breaks, "none" if it is refused without one, None if it verifies."""
    try:
        suite.verify_with_label(public_key, "label", content, signature)
    except SignatureError as error:
        return error.rule or "none"
    return None


def length_octets(length: int) -> bytes:
    return bytes([length]) if length < 0x80 else bytes([0x81, length])


def sequence(body: bytes) -> bytes:
    return b"\x30" + length_octets(len(body)) + body


def integer(value: bytes) -> bytes:
    return b"\x02" + length_octets(len(value)) + value


def malformed(signature: bytes, curve: NistCurve) -> Iterator[tuple[str, bytes]]:
    """Other encodings of the same r and s."""
    r, s = decode_dss_signature(signature)
    r_octets, s_octets = (n.to_bytes(n.bit_length() // 8 + 1, "big") for n in (r, s))
    body = integer(r_octets) + integer(s_octets)
    assert sequence(body) == signature
    yield "raw", r.to_bytes(curve.size, "big") + s.to_bytes(curve.size, "big")
    yield "trailing data", signature + b"\0"
    yield "trailing data in the sequence", sequence(body + b"\0")
    yield "third integer", sequence(body + integer(b"\x01"))
    yield "one integer", sequence(integer(r_octets))
    yield "leading zero of r", sequence(integer(b"\0" + r_octets) + integer(s_octets))
    yield "leading zero of s", sequence(integer(r_octets) + integer(b"\0" + s_octets))
    yield "long form of a length", b"\x30\x82" + len(body).to_bytes(2, "big") + body
    yield "longer form of an inner length", sequence(b"\x02\x82\x00" + bytes([len(r_octets)]) + r_octets + integer(s_octets))
    yield "indefinite length", b"\x30\x80" + body + b"\0\0"
    yield "set instead of sequence", b"\x31" + signature[1:]
    yield "negative s", sequence(integer(r_octets) + integer(b"\xff"))
    yield "cut", signature[:-1]
    yield "empty integers", b"\x30\x04\x02\x00\x02\x00"
    yield "empty sequence", b"\x30\x00"


def out_of_range(signature: bytes, curve: NistCurve) -> Iterator[tuple[str, bytes]]:
    """Well encoded, but no r and s below the order."""
    r, s = decode_dss_signature(signature)
    yield "r is zero", encode_dss_signature(0, s)
    yield "s is zero", encode_dss_signature(r, 0)
    yield "s plus order", encode_dss_signature(r, s + curve.order)
    yield "r plus order", encode_dss_signature(r + curve.order, s)


@pytest.mark.breaks("CRY-05")
@by_nist_suite
def test_ecdsa_signatures_have_one_encoding(
    suite_id: int, curve: NistCurve, algorithm: hashes.HashAlgorithm, rng: random.Random
) -> None:
    suite = cipher_suite(suite_id)
    pair = suite.generate_signature_key_pair(rng.randbytes)
    for content in (b"one", b"two", b"three", b"four"):
        signature = suite.sign_with_label(pair.private_key, "label", content)
        suite.verify_with_label(pair.public_key, "label", content, signature)
        for encodings, rule in ((malformed, "CRY-05"), (out_of_range, "none")):
            broken = {name: broken_rule(suite, pair.public_key, content, each) for name, each in encodings(signature, curve)}
            assert broken == dict.fromkeys(broken, rule)


def test_an_ed25519_scalar_beyond_the_order_is_refused(rng: random.Random) -> None:
    suite = cipher_suite(1)
    pair = suite.generate_signature_key_pair(rng.randbytes)
    signature = suite.sign_with_label(pair.private_key, "label", b"content")
    order = 2**252 + 27742317777372353535851937790883648493
    scalar = int.from_bytes(signature[32:], "little") + order
    with pytest.raises(SignatureError):
        suite.verify_with_label(pair.public_key, "label", b"content", signature[:32] + scalar.to_bytes(32, "little"))
