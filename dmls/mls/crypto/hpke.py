"""HPKE in base mode, one message a context (RFC 9180, Sections 5.1.1, 5.3 and 6.1; rule CRY-16).

The compositions of the cryptographic libraries take no source of randomness and export nothing, hence this one.
"""

from __future__ import annotations

from dmls.errors import CryptoError, DecryptionError
from dmls.mls.crypto.aead import Aead
from dmls.mls.crypto.kdf import Kdf
from dmls.mls.crypto.kem import AnyKem
from dmls.mls.crypto.randomness import Random

__all__ = ["Hpke"]


class Hpke:
    """One KEM, KDF and AEAD together."""

    def __init__(self, kem: AnyKem, kdf: Kdf, aead: Aead) -> None:
        self._kem = kem
        self._kdf = kdf
        self._aead = aead
        version = b"HPKE-v1HPKE" + b"".join(part.id.to_bytes(2, "big") for part in (kem, kdf, aead))
        self._info_hash = version + b"info_hash"
        self._secret = version + b"secret"
        self._key = aead.key_size.to_bytes(2, "big") + version + b"key"
        self._base_nonce = aead.nonce_size.to_bytes(2, "big") + version + b"base_nonce"
        self._exp = kdf.hash_size.to_bytes(2, "big") + version + b"exp"
        self._sec = version + b"sec"
        # mode_base, then the hash of the empty psk_id
        self._context_head = b"\x00" + kdf.extract(b"", version + b"psk_id_hash")

    def key_schedule_context(self, info: bytes) -> bytes:
        """Return what the key schedule takes from `info`, to be computed once for many recipients."""
        return self._context_head + self._kdf.extract(b"", self._info_hash + info)

    def seal(self, public_key: bytes, schedule: bytes, aad: bytes, plaintext: bytes, random: Random) -> tuple[bytes, bytes]:
        """Encrypt to a public key under a key_schedule_context; return KEM output and ciphertext.

        Raises:
            CryptoError: the public key is invalid, or `random` gives too little.
        """
        return self.seal_drawn(public_key, schedule, aad, plaintext, self.draw_ephemeral(random))

    def draw_ephemeral(self, random: Random) -> bytes:
        """Draw an ephemeral private key.

        Raises:
            CryptoError: `random` gives too little.
        """
        return self._kem.generate_private_key(random)

    def seal_drawn(
        self, public_key: bytes, schedule: bytes, aad: bytes, plaintext: bytes, ephemeral: bytes
    ) -> tuple[bytes, bytes]:
        """Encrypt as `seal` does, with what `draw_ephemeral` gave and nothing else was sealed with.

        Raises:
            CryptoError: the public key is invalid.
        """
        shared_secret, kem_output = self._kem.encap(public_key, ephemeral)
        key, nonce = self._message_key(shared_secret, schedule)
        return kem_output, self._aead.seal(key, nonce, aad, plaintext)

    def open(
        self, private_key: bytes, public_key: bytes, kem_output: bytes, schedule: bytes, aad: bytes, ciphertext: bytes
    ) -> bytes:
        """Decrypt what `seal` made.

        Raises:
            DecryptionError: the KEM output or a key is invalid, or the ciphertext is not authentic.
        """
        key, nonce = self._message_key(self._decap(private_key, public_key, kem_output), schedule)
        return self._aead.open(key, nonce, aad, ciphertext)

    def export_seal(self, public_key: bytes, schedule: bytes, context: bytes, length: int, random: Random) -> tuple[bytes, bytes]:
        """Export a secret of `length` bytes shared with the holder of a public key; return KEM output and secret.

        Raises:
            CryptoError: the public key is invalid, or `random` gives too little.
        """
        shared_secret, kem_output = self._kem.encap(public_key, self.draw_ephemeral(random))
        return kem_output, self._export(shared_secret, schedule, context, length)

    def export_open(
        self, private_key: bytes, public_key: bytes, kem_output: bytes, schedule: bytes, context: bytes, length: int
    ) -> bytes:
        """Export the secret that `export_seal` made.

        Raises:
            DecryptionError: the KEM output or a key is invalid.
        """
        return self._export(self._decap(private_key, public_key, kem_output), schedule, context, length)

    def _decap(self, private_key: bytes, public_key: bytes, kem_output: bytes) -> bytes:
        try:
            return self._kem.decap(private_key, public_key, kem_output)
        except CryptoError as error:
            raise DecryptionError("ciphertext does not open", rule=error.rule) from None

    def _message_key(self, shared_secret: bytes, schedule: bytes) -> tuple[bytes, bytes]:
        expand = self._kdf.expand
        secret = self._kdf.extract(shared_secret, self._secret)
        # The nonce of sequence number 0 is the base nonce.
        return (
            expand(secret, self._key + schedule, self._aead.key_size),
            expand(secret, self._base_nonce + schedule, self._aead.nonce_size),  # CRY-16
        )

    def _export(self, shared_secret: bytes, schedule: bytes, context: bytes, length: int) -> bytes:
        secret = self._kdf.extract(shared_secret, self._secret)
        exporter_secret = self._kdf.expand(secret, self._exp + schedule, self._kdf.hash_size)
        return self._kdf.expand(exporter_secret, length.to_bytes(2, "big") + self._sec + context, length)
