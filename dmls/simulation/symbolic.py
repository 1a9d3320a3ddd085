"""A cipher suite for simulations: it computes as a real one does, at a hundredth of the cost, and protects nothing.

Keys, hashes and tags have 8 bytes. A shared secret or a signature is a hash of public values, so whoever knows them can make it;
but no honest engine does, and attackers in a simulation are held to what keys they have. What a device may learn is therefore
decided by the same code paths as with a real suite: who lacks a private key finds no ciphertext that opens.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final

from dmls.errors import CryptoError, DecryptionError, SignatureError
from dmls.mls.crypto.aead import Aead
from dmls.mls.crypto.kdf import Kdf
from dmls.mls.crypto.kem import DhKem
from dmls.mls.crypto.randomness import Random, draw
from dmls.mls.crypto.suites import CipherSuite, register_cipher_suite

__all__ = ["SYMBOLIC_SUITE", "use_symbolic_suite"]

_SIZE: Final = 8
_CODE_POINT: Final = 0xF0D0
_ALGORITHM: Final = 0xF0D0


def _digest(data: bytes) -> Any:
    return blake2b(data, digest_size=_SIZE)


def _mac(key: bytes, data: bytes, _hash_name: str) -> bytes:
    return blake2b(data, digest_size=_SIZE, key=key).digest()


def _hash(*parts: bytes) -> bytes:
    return blake2b(b"".join(parts), digest_size=_SIZE).digest()


class _Kdf(Kdf):
    def __init__(self) -> None:
        super().__init__(_ALGORITHM, "blake2b", mac=_mac, digest=_digest)
        self.hash_size = _SIZE

    def extract(self, salt: bytes, ikm: bytes) -> bytes:
        # BLAKE2 takes keys of up to 64 bytes; a salt may be anything.
        return _hash(len(salt).to_bytes(2, "big"), salt, ikm)


class _Group:
    private_key_size = _SIZE
    public_key_size = _SIZE
    order: int | None = None
    load_multiplies = False

    def load(self, private_key: bytes, public_key: bytes | None = None) -> bytes:
        if len(private_key) != _SIZE:
            raise CryptoError("private key has a wrong length")
        return private_key

    def public_key(self, key: bytes) -> bytes:
        return _hash(b"public", key)

    def exchange(self, key: bytes, public_key: bytes) -> bytes:
        self.check(public_key)
        return _hash(b"shared", key, public_key)

    def check(self, public_key: bytes) -> None:
        if len(public_key) != _SIZE:
            raise CryptoError("public key has a wrong length")


class _Kem(DhKem[bytes]):
    def __init__(self, kdf: Kdf) -> None:
        super().__init__(_ALGORITHM, _Group(), kdf)

    def derive_private_key(self, ikm: bytes) -> bytes:
        return _hash(b"private", ikm)

    def encap(self, public_key: bytes, private_key: bytes) -> tuple[bytes, bytes]:
        self.group.check(public_key)
        kem_output = _hash(b"ephemeral", private_key)
        return _hash(b"shared", public_key, kem_output), kem_output

    def decap(self, private_key: bytes, public_key: bytes, kem_output: bytes) -> bytes:
        self.group.check(kem_output)
        return _hash(b"shared", self.group.public_key(self.group.load(private_key)), kem_output)


class _Aead(Aead):
    nonce_size = _SIZE
    tag_size = _SIZE

    def __init__(self) -> None:
        super().__init__(_ALGORITHM, "symbolic", _SIZE, _no_cipher)

    def seal(self, key: bytes, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
        if len(key) != _SIZE or len(nonce) != _SIZE:
            raise CryptoError("key or nonce has a wrong length")
        return plaintext + _mac(key, nonce + len(aad).to_bytes(4, "big") + aad + plaintext, "")

    def open(self, key: bytes, nonce: bytes, aad: bytes, ciphertext: bytes) -> bytes:
        plaintext = ciphertext[:-_SIZE]
        try:
            sealed = self.seal(key, nonce, aad, plaintext)
        except CryptoError:
            sealed = b""
        if sealed != ciphertext:
            raise DecryptionError("ciphertext does not open")
        return plaintext


def _no_cipher(_key: bytes) -> Any:
    raise CryptoError("this AEAD has no cipher")


class _Signature:
    name = "symbolic"
    private_key_size = _SIZE
    public_key_size = _SIZE

    def generate(self, random: Random) -> bytes:
        return draw(random, _SIZE)

    def load(self, private_key: bytes) -> bytes:
        """Return the public key: all that signing needs here."""
        if len(private_key) != _SIZE:
            raise CryptoError("private key has a wrong length")
        return _hash(b"verify", private_key)

    def public_key(self, key: bytes) -> bytes:
        return key

    def sign(self, key: bytes, message: bytes) -> bytes:
        return _hash(b"signature", key, message)

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> None:
        if _hash(b"signature", public_key, message) != signature or len(public_key) != _SIZE:
            raise SignatureError("signature does not verify")

    def check(self, public_key: bytes) -> None:
        if len(public_key) != _SIZE:
            raise CryptoError("public key has a wrong length")


def _make_suite() -> CipherSuite:
    kdf = _Kdf()
    return CipherSuite(_CODE_POINT, "SYMBOLIC", _Kem(kdf), kdf, _Aead(), _Signature())


SYMBOLIC_SUITE: Final = _make_suite()
"""The suite; engines know it after `use_symbolic_suite` only."""


def use_symbolic_suite() -> CipherSuite:
    """Make the suite known in this process, and return it. Never to be called where real rooms are kept."""
    register_cipher_suite(SYMBOLIC_SUITE)
    return SYMBOLIC_SUITE
