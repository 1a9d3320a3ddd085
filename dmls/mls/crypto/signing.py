"""Signature schemes: Ed25519 by libsodium; Ed448 and ECDSA by OpenSSL. All sign deterministically (ECDSA by RFC 6979).

One verifier for everybody: members who disagree about a signature split their group, so whatever is not the one encoding of a
signature by a sound key is refused (rules CRY-05, CRY-06, CRY-07).
"""

from __future__ import annotations

import functools
from typing import Any, Final, Protocol, TypeVar

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from nacl.bindings import crypto_core_ed25519_add, crypto_sign, crypto_sign_open, crypto_sign_seed_keypair

from dmls.errors import CryptoError, SignatureError
from dmls.mls.crypto.boundary import LIBRARY_ERRORS
from dmls.mls.crypto.points import EDWARDS448, EDWARDS25519, P256, P384, P521, NistCurve, scalar_candidate
from dmls.mls.crypto.randomness import Random, draw
from dmls.mls.crypto.secret import Secret

__all__ = [
    "ECDSA_P256",
    "ECDSA_P384",
    "ECDSA_P521",
    "ED448",
    "ED25519",
    "AnySignatureScheme",
    "SignatureScheme",
    "SigningKey",
    "load_signing_key",
]

K = TypeVar("K")

_CHECKED_KEYS: Final = 4_096
"""Sound keys that are remembered."""


class SignatureScheme(Protocol[K]):
    """A signature scheme. `K` is a private key in the form that its library computes with."""

    name: str
    private_key_size: int
    public_key_size: int

    def generate(self, random: Random) -> bytes:
        """Return a raw private key. Raises CryptoError: `random` gives nothing usable."""

    def load(self, private_key: bytes) -> K:
        """Parse a raw private key, which computes its public key. Raises CryptoError: wrong length or range."""

    def public_key(self, key: K) -> bytes:
        """Return the encoded public key."""

    def sign(self, key: K, message: bytes) -> bytes:
        """Sign. Raises CryptoError: the library cannot."""

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> None:
        """Verify. Raises SignatureError, also for a public key that `check` refuses."""

    def check(self, public_key: bytes) -> None:
        """Check a public key alone. Raises CryptoError."""


AnySignatureScheme = SignatureScheme[Any]
"""A scheme with whichever form of private key."""


class SigningKey(Secret):
    """A raw private key that carries its parsed form, so that signing often parses once. As bytes it is the raw key."""

    scheme_name: str = ""
    parsed: Any = None


def load_signing_key(scheme: AnySignatureScheme, private_key: bytes) -> SigningKey:
    """Parse a raw private key, or return it as it is where that was done before.

    Raises:
        CryptoError: the private key has a wrong length or is out of range.
    """
    if isinstance(private_key, SigningKey) and private_key.scheme_name == scheme.name:
        return private_key
    key = SigningKey(private_key)
    key.scheme_name = scheme.name
    key.parsed = scheme.load(private_key)
    return key


class _Ed25519:
    name = "ed25519"
    private_key_size = 32
    public_key_size = 32

    def generate(self, random: Random) -> bytes:
        return draw(random, 32)

    def load(self, private_key: bytes) -> bytes:
        """Return seed and public key, 64 bytes, the form that libsodium signs with."""
        try:
            return crypto_sign_seed_keypair(private_key)[1]
        except LIBRARY_ERRORS:
            raise CryptoError("private key has a wrong length") from None

    def public_key(self, key: bytes) -> bytes:
        return key[32:]

    def sign(self, key: bytes, message: bytes) -> bytes:
        try:
            return crypto_sign(message, key)[:64]
        except LIBRARY_ERRORS:
            raise CryptoError("message cannot be signed") from None

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> None:
        # The binding hands pointers to C and checks no length. libsodium itself refuses small orders and non-canonical encodings.
        if len(public_key) != 32 or len(signature) != 64:
            raise SignatureError("signature does not verify")
        try:
            crypto_sign_open(signature + message, public_key)
        except LIBRARY_ERRORS:
            raise SignatureError("signature does not verify") from None

    @staticmethod
    @functools.lru_cache(maxsize=_CHECKED_KEYS)
    def check(public_key: bytes) -> None:
        # A member's key is met with every commit it makes. What is refused is not remembered.
        EDWARDS25519.check(public_key)
        try:
            crypto_core_ed25519_add(public_key, public_key)
        except LIBRARY_ERRORS:
            raise CryptoError("public key is not on the curve") from None


class _Ed448:
    name = "ed448"
    private_key_size = 57
    public_key_size = 57

    def generate(self, random: Random) -> bytes:
        return draw(random, 57)

    def load(self, private_key: bytes) -> ed448.Ed448PrivateKey:
        try:
            return ed448.Ed448PrivateKey.from_private_bytes(private_key)
        except LIBRARY_ERRORS:
            raise CryptoError("private key has a wrong length") from None

    def public_key(self, key: ed448.Ed448PrivateKey) -> bytes:
        return key.public_key().public_bytes_raw()

    def sign(self, key: ed448.Ed448PrivateKey, message: bytes) -> bytes:
        try:
            return key.sign(message)
        except LIBRARY_ERRORS:
            raise CryptoError("message cannot be signed") from None

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> None:
        try:
            # OpenSSL takes keys of small order, for which signatures can be made without a private key.
            EDWARDS448.check(public_key)
            ed448.Ed448PublicKey.from_public_bytes(public_key).verify(signature, message)
        except (CryptoError, *LIBRARY_ERRORS):
            raise SignatureError("signature does not verify") from None

    def check(self, public_key: bytes) -> None:
        y = EDWARDS448.check(public_key)
        # x^2 + y^2 = 1 + d x^2 y^2 with d = -39081: y is on the curve iff x^2 is a square. OpenSSL looks only when it verifies.
        p = EDWARDS448.prime
        numerator, denominator = (1 - y * y) % p, (1 + 39081 * y * y) % p
        if pow(numerator * denominator, (p - 1) // 2, p) != 1:
            raise CryptoError("public key is not on the curve")


class _Ecdsa:
    def __init__(self, name: str, curve: NistCurve, algorithm: hashes.HashAlgorithm) -> None:
        self.name = name
        self.private_key_size = curve.size
        self.public_key_size = curve.point_size
        self._curve = curve
        self._signing = ec.ECDSA(algorithm, deterministic_signing=True)
        self._verifying = ec.ECDSA(algorithm)

    def generate(self, random: Random) -> bytes:
        for _ in range(256):
            scalar = scalar_candidate(draw(random, self._curve.size), self._curve.order)
            if scalar is not None:
                return scalar
        raise CryptoError("the source of randomness gives no private key")

    def load(self, private_key: bytes) -> ec.EllipticCurvePrivateKey:
        return self._curve.parse_private(private_key)

    def public_key(self, key: ec.EllipticCurvePrivateKey) -> bytes:
        return self._curve.encode_public(key)

    def sign(self, key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
        try:
            return key.sign(message, self._signing)
        except LIBRARY_ERRORS:
            raise CryptoError("message cannot be signed") from None

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> None:
        try:
            canonical = encode_dss_signature(*decode_dss_signature(signature)) == signature
        except LIBRARY_ERRORS:
            canonical = False
        if not canonical:
            raise SignatureError("signature is not DER", rule="CRY-05")
        try:
            self._curve.parse_public(public_key).verify(signature, message, self._verifying)
        except (CryptoError, *LIBRARY_ERRORS):
            raise SignatureError("signature does not verify") from None

    def check(self, public_key: bytes) -> None:
        self._curve.parse_public(public_key)


ED25519: Final[SignatureScheme[bytes]] = _Ed25519()
ED448: Final[SignatureScheme[ed448.Ed448PrivateKey]] = _Ed448()
ECDSA_P256: Final[SignatureScheme[ec.EllipticCurvePrivateKey]] = _Ecdsa("ecdsa_secp256r1_sha256", P256, hashes.SHA256())
ECDSA_P384: Final[SignatureScheme[ec.EllipticCurvePrivateKey]] = _Ecdsa("ecdsa_secp384r1_sha384", P384, hashes.SHA384())  # CRY-07
ECDSA_P521: Final[SignatureScheme[ec.EllipticCurvePrivateKey]] = _Ecdsa("ecdsa_secp521r1_sha512", P521, hashes.SHA512())
