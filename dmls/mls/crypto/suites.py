"""The seven cipher suites of RFC 9420, Section 17.1, and the functions that RFC 9420 defines in terms of a suite.

All keys, nonces, tags and secrets are raw bytes. Private keys: 32 bytes (X25519), 56 (X448), a seed of 32 (Ed25519) or 57
(Ed448), a big-endian scalar of 32, 48 or 66 (NIST curves).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from dmls.errors import UnsupportedError, UsageError
from dmls.mls.crypto import kem as kems
from dmls.mls.crypto import signing
from dmls.mls.crypto.aead import AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305, Aead
from dmls.mls.crypto.hpke import Hpke
from dmls.mls.crypto.kdf import Kdf
from dmls.mls.crypto.kem import AnyKem, DhKem, KeyPair
from dmls.mls.crypto.labels import labelled
from dmls.mls.crypto.parallel import spread
from dmls.mls.crypto.randomness import Random
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.signing import AnySignatureScheme, SigningKey, load_signing_key

__all__ = ["CIPHER_SUITES", "CipherSuite", "KeyPair", "Sealer", "cipher_suite", "is_implemented", "register_cipher_suite"]

_EXTERNAL_INIT: Final = b"MLS 1.0 external init secret"


@dataclass(frozen=True)
class CipherSuite:
    """A cipher suite; equal to another iff the code points are.

    Attributes:
        id: code point (RFC 9420, Section 17.1).
        hash_size, key_size, nonce_size, tag_size: in bytes: KDF.Nh, AEAD.Nk, AEAD.Nn, AEAD.Nt.
    """

    id: int
    name: str = field(compare=False)
    kem: AnyKem = field(compare=False, repr=False)
    kdf: Kdf = field(compare=False, repr=False)
    aead: Aead = field(compare=False, repr=False)
    signature: AnySignatureScheme = field(compare=False, repr=False)
    hpke: Hpke = field(init=False, compare=False, repr=False)
    hash_name: str = field(init=False, compare=False, repr=False)
    hash_size: int = field(init=False, compare=False, repr=False)
    key_size: int = field(init=False, compare=False, repr=False)
    nonce_size: int = field(init=False, compare=False, repr=False)
    tag_size: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        derived = {
            "hpke": Hpke(self.kem, self.kdf, self.aead),
            "hash_name": self.kdf.hash_name,
            "hash_size": self.kdf.hash_size,
            "key_size": self.aead.key_size,
            "nonce_size": self.aead.nonce_size,
            "tag_size": self.aead.tag_size,
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    # Hash, HMAC, HKDF

    def hash(self, data: bytes) -> bytes:
        """Hash `data` into hash_size bytes."""
        return self.kdf.hash(data)

    def mac(self, key: bytes, data: bytes) -> bytes:
        """MAC (RFC 9420, Section 5.1): HMAC with the suite's hash, hash_size bytes."""
        return self.kdf.mac(key, data)

    def verify_mac(self, key: bytes, data: bytes, tag: bytes) -> None:
        """Check a MAC over its full length, in constant time.

        Raises:
            MacError: the tag is shorter, longer or another.
        """
        self.kdf.verify_mac(key, data, tag)

    def check_mac_size(self, tag: bytes) -> None:
        """Check what can be checked of a MAC without its key.

        Raises:
            MacError: it does not have hash_size bytes.
        """
        self.kdf.check_mac_size(tag)

    def extract(self, salt: bytes, ikm: bytes) -> Secret:
        """KDF.Extract: hash_size bytes."""
        return Secret(self.kdf.extract(salt, ikm))

    def expand(self, prk: bytes, info: bytes, length: int) -> Secret:
        """KDF.Expand: `length` bytes.

        Raises:
            InvalidArgumentError: `length` exceeds 255 * hash_size.
        """
        return Secret(self.kdf.expand(prk, info, length))

    def expand_with_label(self, secret: bytes, label: str | bytes, context: bytes, length: int) -> Secret:
        """ExpandWithLabel (RFC 9420, Section 8): `length` bytes. `label` is without "MLS 1.0 ".

        Raises:
            InvalidArgumentError: `length` exceeds 255 * hash_size.
        """
        return Secret(self.kdf.expand_with_label(secret, label, context, length))

    def derive_secret(self, secret: bytes, label: str | bytes) -> Secret:
        """DeriveSecret (RFC 9420, Section 8): hash_size bytes."""
        return Secret(self.kdf.derive_secret(secret, label))

    def derive_tree_secret(self, secret: bytes, label: str | bytes, generation: int, length: int) -> Secret:
        """DeriveTreeSecret (RFC 9420, Section 9): `length` bytes.

        Raises:
            InvalidArgumentError: `length` exceeds 255 * hash_size.
            UsageError: `generation` does not fit 32 bits.
        """
        return Secret(self.kdf.derive_tree_secret(secret, label, generation, length))

    def ref_hash(self, label: str | bytes, value: bytes) -> bytes:
        """RefHash (RFC 9420, Section 5.2): hash_size bytes. `label` is whole, such as "MLS 1.0 KeyPackage Reference"."""
        return self.kdf.ref_hash(label, value)

    # AEAD

    def aead_seal(self, key: bytes, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
        """Encrypt; the ciphertext is tag_size bytes longer than the plaintext.

        Raises:
            CryptoError: key or nonce has a wrong length.
        """
        return self.aead.seal(key, nonce, aad, plaintext)

    def aead_open(self, key: bytes, nonce: bytes, aad: bytes, ciphertext: bytes) -> bytes:
        """Decrypt what `aead_seal` made.

        Raises:
            DecryptionError: the ciphertext is not authentic, or key or nonce has a wrong length.
        """
        return self.aead.open(key, nonce, aad, ciphertext)

    # Signatures

    def sign_with_label(self, private_key: bytes, label: str | bytes, content: bytes) -> bytes:
        """SignWithLabel (RFC 9420, Section 5.1.2). A key from `signing_key` signs in half the time of raw bytes.

        Raises:
            CryptoError: the private key has a wrong length or is out of range.
        """
        return self.signature.sign(load_signing_key(self.signature, private_key).parsed, labelled(label, content))

    def verify_with_label(self, public_key: bytes, label: str | bytes, content: bytes, signature: bytes) -> None:
        """VerifyWithLabel (RFC 9420, Section 5.1.2).

        Raises:
            SignatureError: the signature does not verify, is not in its one encoding, or `check_signature_key` refuses the key.
        """
        self.signature.verify(public_key, labelled(label, content), signature)  # CRY-14

    def generate_signature_key_pair(self, random: Random) -> KeyPair:
        """Make a signature key pair. The private key is one that `signing_key` gives.

        Raises:
            CryptoError: `random` gives nothing usable.
        """
        key = self.signing_key(self.signature.generate(random))
        return KeyPair(key, self.signature.public_key(key.parsed))

    def signing_key(self, private_key: bytes) -> SigningKey:
        """Return a raw private key with its parsed form beside it: for keys that sign more than once.

        Raises:
            CryptoError: the private key has a wrong length or is out of range.
        """
        return load_signing_key(self.signature, private_key)

    def signature_public_key(self, private_key: bytes) -> bytes:
        """Return the public key of a signature private key.

        Raises:
            CryptoError: the private key has a wrong length or is out of range.
        """
        return self.signature.public_key(self.signing_key(private_key).parsed)

    def check_signature_key(self, public_key: bytes) -> None:
        """Check a signature public key: length, one encoding, on the curve, not of small order.

        `verify_with_label` refuses the same keys, so this is for keys that no signature is verified with.

        Raises:
            CryptoError: the key is not valid.
        """
        self.signature.check(public_key)

    # HPKE

    def derive_key_pair(self, ikm: bytes) -> KeyPair:
        """KEM.DeriveKeyPair (RFC 9180, Section 7.1.3).

        Raises:
            CryptoError: no key pair can be derived.
        """
        return self.kem.derive_key_pair(ikm)

    def public_key(self, private_key: bytes) -> bytes:
        """Return the public key of an HPKE private key.

        Raises:
            CryptoError: the private key has a wrong length or is out of range.
        """
        return self.kem.public_key(private_key)

    def check_encryption_key(self, public_key: bytes) -> None:
        """Check an HPKE public key: length, one encoding, on the curve, not of small order.

        Raises:
            CryptoError: the key is not valid.
        """
        self.kem.group.check(public_key)

    def sealer(self, label: str | bytes, context: bytes) -> Sealer:
        """Return what encrypts under one label and context to many recipients; the context is hashed once."""
        return Sealer(self.hpke, self.hpke.key_schedule_context(labelled(label, context)))  # CRY-09

    def seal_with_label(
        self, public_key: bytes, label: str | bytes, context: bytes, plaintext: bytes, random: Random
    ) -> tuple[bytes, bytes]:
        """EncryptWithLabel (RFC 9420, Section 5.1.3); return KEM output and ciphertext.

        Raises:
            CryptoError: the public key is invalid.
        """
        return self.sealer(label, context).seal(public_key, plaintext, random)

    def open_with_label(
        self, private_key: bytes, public_key: bytes, label: str | bytes, context: bytes, kem_output: bytes, ciphertext: bytes
    ) -> Secret:
        """DecryptWithLabel (RFC 9420, Section 5.1.3); return the plaintext. `public_key` is that of `private_key`.

        Raises:
            DecryptionError: the KEM output or a key is invalid, or the ciphertext is not authentic.
        """
        schedule = self.hpke.key_schedule_context(labelled(label, context))
        return Secret(self.hpke.open(private_key, public_key, kem_output, schedule, b"", ciphertext))

    def export_external_init_seal(self, public_key: bytes, random: Random) -> tuple[bytes, Secret]:
        """Return the KEM output and init secret, hash_size bytes, of an external commit (RFC 9420, Section 8.3).

        Raises:
            CryptoError: the external public key is invalid.
        """
        schedule = self.hpke.key_schedule_context(b"")
        kem_output, secret = self.hpke.export_seal(public_key, schedule, _EXTERNAL_INIT, self.hash_size, random)
        return kem_output, Secret(secret)

    def export_external_init_open(self, private_key: bytes, public_key: bytes, kem_output: bytes) -> Secret:
        """Return the init secret of an external commit from its KEM output (RFC 9420, Section 8.3).

        Raises:
            DecryptionError: the KEM output or a key is invalid.
        """
        schedule = self.hpke.key_schedule_context(b"")
        return Secret(self.hpke.export_open(private_key, public_key, kem_output, schedule, _EXTERNAL_INIT, self.hash_size))


@dataclass(frozen=True, repr=False)
class Sealer:
    """EncryptWithLabel with its label and context fixed."""

    _hpke: Hpke
    _schedule: bytes

    def seal(self, public_key: bytes, plaintext: bytes, random: Random) -> tuple[bytes, bytes]:
        """Encrypt to one recipient; return KEM output and ciphertext.

        Raises:
            CryptoError: the public key is invalid.
        """
        return self._hpke.seal(public_key, self._schedule, b"", plaintext, random)

    def seal_all(self, recipients: Sequence[tuple[bytes, bytes]], random: Random) -> list[tuple[bytes, bytes]]:
        """Encrypt to many, each given as public key and plaintext; return what `seal` would for one after the other.

        Raises:
            CryptoError: a public key is invalid.
        """
        drawn = [(public_key, plaintext, self._hpke.draw_ephemeral(random)) for public_key, plaintext in recipients]
        return spread(self._seal_drawn, drawn)

    def _seal_drawn(self, recipient: tuple[bytes, bytes, bytes]) -> tuple[bytes, bytes]:
        public_key, plaintext, ephemeral = recipient
        return self._hpke.seal_drawn(public_key, self._schedule, b"", plaintext, ephemeral)


_SHA256: Final = Kdf(0x0001, "sha256")
_SHA384: Final = Kdf(0x0002, "sha384")
_SHA512: Final = Kdf(0x0003, "sha512")

_X25519: Final = DhKem(0x0020, kems.X25519, _SHA256)
_X448: Final = DhKem(0x0021, kems.X448, _SHA512)
_P256: Final = DhKem(0x0010, kems.NIST_P256, _SHA256)
_P384: Final = DhKem(0x0011, kems.NIST_P384, _SHA384)
_P521: Final = DhKem(0x0012, kems.NIST_P521, _SHA512)

CIPHER_SUITES: Final = (
    CipherSuite(1, "MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519", _X25519, _SHA256, AES_128_GCM, signing.ED25519),
    CipherSuite(2, "MLS_128_DHKEMP256_AES128GCM_SHA256_P256", _P256, _SHA256, AES_128_GCM, signing.ECDSA_P256),
    CipherSuite(3, "MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519", _X25519, _SHA256, CHACHA20_POLY1305, signing.ED25519),
    CipherSuite(4, "MLS_256_DHKEMX448_AES256GCM_SHA512_Ed448", _X448, _SHA512, AES_256_GCM, signing.ED448),
    CipherSuite(5, "MLS_256_DHKEMP521_AES256GCM_SHA512_P521", _P521, _SHA512, AES_256_GCM, signing.ECDSA_P521),
    CipherSuite(6, "MLS_256_DHKEMX448_CHACHA20POLY1305_SHA512_Ed448", _X448, _SHA512, CHACHA20_POLY1305, signing.ED448),
    CipherSuite(7, "MLS_256_DHKEMP384_AES256GCM_SHA384_P384", _P384, _SHA384, AES_256_GCM, signing.ECDSA_P384),
)
"""All suites of RFC 9420, Section 17.1 (rules CRY-01 and CRY-02)."""

_BY_ID: Final[Mapping[int, CipherSuite]] = MappingProxyType({suite.id: suite for suite in CIPHER_SUITES})  # CRY-01, CRY-02


_PRIVATE_USE: Final = range(0xF000, 0x10000)
_registered: Final[dict[int, CipherSuite]] = {}


def register_cipher_suite(suite: CipherSuite) -> None:
    """Make a suite of the application's own known in this process (RFC 9420, Section 17.1: private use, 0xF000 to 0xFFFF).

    Raises:
        UsageError: the code point is not one for private use, or another suite has it.
    """
    if suite.id not in _PRIVATE_USE or _registered.setdefault(suite.id, suite) is not suite:
        raise UsageError(f"code point {suite.id:#06x} is not free for a private cipher suite")


def cipher_suite(id: int) -> CipherSuite:
    """Return the suite of a code point.

    Raises:
        UnsupportedError: there is none.
    """
    suite = _find(id)
    if suite is None:
        raise UnsupportedError(f"cipher suite {id} is not implemented")
    return suite


def is_implemented(id: int) -> bool:
    """Tell whether `cipher_suite` gives a suite for a code point."""
    return _find(id) is not None


def _find(id: int) -> CipherSuite | None:
    return _BY_ID.get(id) or _registered.get(id)
