"""DHKEM (RFC 9180, Section 4.1) over X25519, X448 and the NIST curves.

X25519 is libsodium's, which works on raw bytes; the others are OpenSSL's, whose private key objects hold the public key, so that
making one is a multiplication by itself. A `Group` hides that difference and lets each operation make no multiplication twice.
"""

from __future__ import annotations

from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from cryptography.hazmat.primitives.asymmetric import ec, x448
from nacl.bindings import crypto_scalarmult, crypto_scalarmult_base

from dmls.errors import CryptoError
from dmls.mls.crypto.boundary import LIBRARY_ERRORS
from dmls.mls.crypto.kdf import Kdf
from dmls.mls.crypto.points import CURVE448, CURVE25519, P256, P384, P521, NistCurve, scalar_candidate
from dmls.mls.crypto.randomness import Random, draw
from dmls.mls.crypto.secret import Secret

__all__ = ["NIST_P256", "NIST_P384", "NIST_P521", "X448", "X25519", "AnyGroup", "AnyKem", "DhKem", "Group", "KeyPair"]

K = TypeVar("K")


class KeyPair(NamedTuple):
    """Raw private and public key, in the formats of RFC 9420, Section 5.1."""

    private_key: Secret
    public_key: bytes


class Group(Protocol[K]):
    """A Diffie-Hellman group. `K` is a private key in the form that its library computes with.

    Attributes:
        private_key_size, public_key_size: in bytes.
        order: scalars are below it; None where every string of private_key_size bytes is a private key.
        load_multiplies: whether `load` computes the public key; if not, `public_key` does.
    """

    private_key_size: int
    public_key_size: int
    order: int | None
    load_multiplies: bool

    def load(self, private_key: bytes, public_key: bytes | None = None) -> K:
        """Parse a private key. Raises CryptoError: wrong length or range."""

    def public_key(self, key: K) -> bytes:
        """Return the encoded public key."""

    def exchange(self, key: K, public_key: bytes) -> bytes:
        """Return the shared point. Raises CryptoError: no valid public key, or an all-zero result."""

    def check(self, public_key: bytes) -> None:
        """Check a public key without a private one. Raises CryptoError."""


class _X25519:
    private_key_size = 32
    public_key_size = 32
    order: int | None = None
    load_multiplies = False

    def load(self, private_key: bytes, public_key: bytes | None = None) -> bytes:
        # The binding hands pointers to C and checks no length.
        if len(private_key) != 32:
            raise CryptoError("private key has a wrong length")
        return private_key

    def public_key(self, key: bytes) -> bytes:
        try:
            return crypto_scalarmult_base(key)
        except LIBRARY_ERRORS:
            raise CryptoError("private key has no public key") from None

    def exchange(self, key: bytes, public_key: bytes) -> bytes:
        # The binding hands pointers to C and checks no length.
        CURVE25519.check_exchange(public_key)
        try:
            return crypto_scalarmult(key, public_key)
        except LIBRARY_ERRORS:
            raise CryptoError("key exchange failed") from None

    def check(self, public_key: bytes) -> None:
        CURVE25519.check(public_key)


class _X448:
    private_key_size = 56
    public_key_size = 56
    order: int | None = None
    load_multiplies = True

    def load(self, private_key: bytes, public_key: bytes | None = None) -> x448.X448PrivateKey:
        try:
            return x448.X448PrivateKey.from_private_bytes(private_key)
        except LIBRARY_ERRORS:
            raise CryptoError("private key has a wrong length") from None

    def public_key(self, key: x448.X448PrivateKey) -> bytes:
        return key.public_key().public_bytes_raw()

    def exchange(self, key: x448.X448PrivateKey, public_key: bytes) -> bytes:
        CURVE448.check_exchange(public_key)
        try:
            return key.exchange(x448.X448PublicKey.from_public_bytes(public_key))
        except LIBRARY_ERRORS:
            raise CryptoError("key exchange failed") from None

    def check(self, public_key: bytes) -> None:
        CURVE448.check(public_key)


class _Nist:
    load_multiplies = True

    def __init__(self, curve: NistCurve) -> None:
        self._curve = curve
        self.private_key_size = curve.size
        self.public_key_size = curve.point_size
        self.order: int | None = curve.order

    def load(self, private_key: bytes, public_key: bytes | None = None) -> ec.EllipticCurvePrivateKey:
        return self._curve.parse_private(private_key, public_key)

    def public_key(self, key: ec.EllipticCurvePrivateKey) -> bytes:
        return self._curve.encode_public(key)

    def exchange(self, key: ec.EllipticCurvePrivateKey, public_key: bytes) -> bytes:
        point = self._curve.parse_public(public_key)
        try:
            return key.exchange(ec.ECDH(), point)
        except LIBRARY_ERRORS:
            raise CryptoError("key exchange failed") from None

    def check(self, public_key: bytes) -> None:
        self._curve.parse_public(public_key)


X25519: Final[Group[bytes]] = _X25519()
X448: Final[Group[x448.X448PrivateKey]] = _X448()
NIST_P256: Final[Group[ec.EllipticCurvePrivateKey]] = _Nist(P256)
NIST_P384: Final[Group[ec.EllipticCurvePrivateKey]] = _Nist(P384)
NIST_P521: Final[Group[ec.EllipticCurvePrivateKey]] = _Nist(P521)


class DhKem(Generic[K]):
    """A KEM. `id` is the code point of RFC 9180, Section 7.1.

    Shared secrets have the hash size of `kdf`; KEM outputs are public keys.
    """

    def __init__(self, id: int, group: Group[K], kdf: Kdf) -> None:
        self.id = id
        self.group = group
        self.kdf = kdf
        version = b"HPKE-v1KEM" + id.to_bytes(2, "big")
        self._dkp_prk = version + b"dkp_prk"
        self._eae_prk = version + b"eae_prk"
        self._sk = group.private_key_size.to_bytes(2, "big") + version + b"sk"
        self._candidate = group.private_key_size.to_bytes(2, "big") + version + b"candidate"
        self._shared_secret = kdf.hash_size.to_bytes(2, "big") + version + b"shared_secret"

    def derive_private_key(self, ikm: bytes) -> bytes:
        """DeriveKeyPair (RFC 9180, Section 7.1.3), the private half, private_key_size bytes (rules CRY-10 and CRY-15).

        Raises:
            CryptoError: no candidate is in range, which has a probability below 2^-8000.
        """
        group, expand = self.group, self.kdf.expand
        prk = self.kdf.extract(b"", self._dkp_prk + ikm)
        if group.order is None:
            return expand(prk, self._sk, group.private_key_size)
        for counter in range(256):
            candidate = expand(prk, self._candidate + counter.to_bytes(1, "big"), group.private_key_size)
            scalar = scalar_candidate(candidate, group.order)
            if scalar is not None:
                return scalar
        raise CryptoError("no key pair can be derived")

    def derive_key_pair(self, ikm: bytes) -> KeyPair:
        """DeriveKeyPair (RFC 9180, Section 7.1.3).

        Raises:
            CryptoError: no key pair can be derived.
        """
        private_key = self.derive_private_key(ikm)
        return KeyPair(Secret(private_key), self.group.public_key(self.group.load(private_key)))

    def public_key(self, private_key: bytes) -> bytes:
        """Return the public key of a private one.

        Raises:
            CryptoError: the private key has a wrong length or is out of range.
        """
        return self.group.public_key(self.group.load(private_key))

    def generate_private_key(self, random: Random) -> bytes:
        """GenerateKeyPair (RFC 9180, Section 4), the private half, private_key_size bytes.

        Raises:
            CryptoError: `random` gives too little.
        """
        drawn = draw(random, self.group.private_key_size)
        # Any bytes are a private key of RFC 7748; scalars of the NIST curves have a range.
        return drawn if self.group.order is None else self.derive_private_key(drawn)

    def encap(self, public_key: bytes, private_key: bytes) -> tuple[bytes, bytes]:
        """Return a shared secret and the KEM output that carries it, with the ephemeral key pair of `private_key`.

        Raises:
            CryptoError: the public key is invalid.
        """
        key = self.group.load(private_key)
        kem_output = self.group.public_key(key)
        return self._extract_and_expand(self.group.exchange(key, public_key), kem_output + public_key), kem_output

    def decap(self, private_key: bytes, public_key: bytes, kem_output: bytes) -> bytes:
        """Return the shared secret that `encap` made for `public_key`.

        Raises:
            CryptoError: the KEM output or the private key is invalid.
        """
        dh = self.group.exchange(self.group.load(private_key, public_key), kem_output)
        return self._extract_and_expand(dh, kem_output + public_key)

    def _extract_and_expand(self, dh: bytes, kem_context: bytes) -> bytes:
        prk = self.kdf.extract(b"", self._eae_prk + dh)
        return self.kdf.expand(prk, self._shared_secret + kem_context, self.kdf.hash_size)


AnyGroup = Group[Any]
"""Whichever group."""

AnyKem = DhKem[Any]
"""A KEM over whichever group."""
