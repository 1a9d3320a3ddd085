"""The AEADs of the cipher suites: AES-GCM and ChaCha20-Poly1305, all with 12-byte nonces and 16-byte tags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from dmls.errors import CryptoError, DecryptionError
from dmls.mls.crypto.boundary import LIBRARY_ERRORS

__all__ = ["AES_128_GCM", "AES_256_GCM", "CHACHA20_POLY1305", "Aead"]


class _Cipher(Protocol):
    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...


class Aead:
    """An AEAD with sizes in bytes. `id` is the code point of RFC 9180, Section 7.3."""

    nonce_size = 12
    tag_size = 16

    def __init__(self, id: int, name: str, key_size: int, cipher: Callable[[bytes], _Cipher]) -> None:
        self.id = id
        self.name = name
        self.key_size = key_size
        self.cipher = cipher

    def seal(self, key: bytes, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
        """Encrypt; return the ciphertext with its tag at the end, tag_size bytes longer than `plaintext`.

        Raises:
            CryptoError: key or nonce has a wrong length, or the plaintext is longer than the library takes (2^31 - 1 bytes).
        """
        # The libraries take other lengths of key and nonce as well, with other meanings.
        if len(key) != self.key_size or len(nonce) != self.nonce_size:
            raise CryptoError("key or nonce has a wrong length")
        try:
            return self.cipher(key).encrypt(nonce, plaintext, aad)
        except LIBRARY_ERRORS:
            raise CryptoError("plaintext cannot be sealed") from None

    def open(self, key: bytes, nonce: bytes, aad: bytes, ciphertext: bytes) -> bytes:
        """Decrypt what `seal` made.

        Raises:
            DecryptionError: the ciphertext is not authentic, or key or nonce has a wrong length.
        """
        if len(key) != self.key_size or len(nonce) != self.nonce_size:
            raise DecryptionError("key or nonce has a wrong length")
        try:
            return self.cipher(key).decrypt(nonce, ciphertext, aad)
        except LIBRARY_ERRORS:
            raise DecryptionError("ciphertext does not open") from None


AES_128_GCM: Final = Aead(0x0001, "AES128GCM", 16, AESGCM)
AES_256_GCM: Final = Aead(0x0002, "AES256GCM", 32, AESGCM)
CHACHA20_POLY1305: Final = Aead(0x0003, "CHACHA20POLY1305", 32, ChaCha20Poly1305)
