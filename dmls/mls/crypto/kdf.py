"""Hash, HMAC, HKDF and the labelled derivations of RFC 9420, Section 8, on plain bytes."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any

from dmls.errors import InvalidArgumentError, MacError, UsageError
from dmls.mls.codec import encode_opaque
from dmls.mls.crypto.labels import kdf_label_prefix, label_bytes

__all__ = ["Digest", "Kdf", "Mac"]

Mac = Callable[[bytes, bytes, str], bytes]
"""HMAC: key, data, name of the hash; shaped as `hmac.digest`, which is one call into OpenSSL."""

Digest = Callable[[bytes], Any]
"""A hash function shaped as `hashlib.sha256`: its result has `digest()`."""


class Kdf:
    """A hash function with the HMAC and HKDF made of it. `id` is the code point of RFC 9180, Section 7.2."""

    def __init__(self, id: int, hash_name: str, *, mac: Mac = hmac.digest, digest: Digest | None = None) -> None:
        self.id = id
        self.hash_name = hash_name
        self.hash_size = hashlib.new(hash_name).digest_size
        self.digest: Digest = getattr(hashlib, hash_name) if digest is None else digest
        self._mac = mac

    def hash(self, data: bytes) -> bytes:
        """Hash `data` into hash_size bytes."""
        return self.digest(data).digest()  # type: ignore[no-any-return]

    def mac(self, key: bytes, data: bytes) -> bytes:
        """Return the HMAC of `data`, hash_size bytes."""
        return self._mac(key, data, self.hash_name)

    def verify_mac(self, key: bytes, data: bytes, tag: bytes) -> None:
        """Check a tag over its full length, in constant time.

        Raises:
            MacError: the tag is shorter, longer or another.
        """
        self.check_mac_size(tag)
        if not hmac.compare_digest(tag, self._mac(key, data, self.hash_name)):
            raise MacError("tag does not match", rule="CRY-13")

    def check_mac_size(self, tag: bytes) -> None:
        """Check what can be checked of a tag without its key.

        Raises:
            MacError: it does not have hash_size bytes.
        """
        if len(tag) != self.hash_size:
            raise MacError("tag has a wrong length", rule="CRY-13")

    def extract(self, salt: bytes, ikm: bytes) -> bytes:
        """HKDF-Extract (RFC 5869, Section 2.2): hash_size bytes."""
        return self._mac(salt, ikm, self.hash_name)

    def expand(self, prk: bytes, info: bytes, length: int) -> bytes:
        """HKDF-Expand (RFC 5869, Section 2.3): `length` bytes, at most 255 * hash_size.

        Raises:
            InvalidArgumentError: `length` is out of range.
        """
        if 0 <= length <= self.hash_size:
            return self._mac(prk, info + b"\x01", self.hash_name)[:length]
        self._check_length(length)
        block = b""
        blocks = []
        for counter in range(1, -(-length // self.hash_size) + 1):
            block = self._mac(prk, block + info + counter.to_bytes(1, "big"), self.hash_name)
            blocks.append(block)
        return b"".join(blocks)[:length]

    def _check_length(self, length: int) -> None:
        if not 0 <= length <= 255 * self.hash_size:
            raise InvalidArgumentError(f"cannot derive {length} bytes", rule="KS-11")

    def expand_with_label(self, secret: bytes, label: str | bytes, context: bytes, length: int) -> bytes:
        """ExpandWithLabel (RFC 9420, Section 8): `length` bytes.

        Raises:
            InvalidArgumentError: `length` is out of range.
        """
        if not 0 <= length <= self.hash_size:
            self._check_length(length)
        return self.expand(secret, kdf_label_prefix(label, length) + encode_opaque(context), length)

    def expander(self, label: str | bytes, context: bytes, length: int) -> Callable[[bytes], bytes]:
        """Return ExpandWithLabel with all but the secret fixed, for long chains: at most hash_size bytes.

        Raises:
            InvalidArgumentError: `length` is out of range.
        """
        if not 0 <= length <= self.hash_size:
            raise InvalidArgumentError(f"cannot derive {length} bytes in one block")
        info = kdf_label_prefix(label, length) + encode_opaque(context) + b"\x01"
        mac, hash_name = self._mac, self.hash_name

        def expand(secret: bytes) -> bytes:
            return mac(secret, info, hash_name)[:length]

        return expand

    def derive_secret(self, secret: bytes, label: str | bytes) -> bytes:
        """DeriveSecret (RFC 9420, Section 8): hash_size bytes."""
        # One block and an empty context: the encoded context and the block counter are constants.
        return self._mac(secret, kdf_label_prefix(label, self.hash_size) + b"\x00\x01", self.hash_name)

    def derive_tree_secret(self, secret: bytes, label: str | bytes, generation: int, length: int) -> bytes:
        """DeriveTreeSecret (RFC 9420, Section 9): `length` bytes; `generation` is the context, as uint32.

        Raises:
            InvalidArgumentError: `length` is out of range.
            UsageError: `generation` does not fit 32 bits.
        """
        if not 0 <= generation <= 0xFFFFFFFF:
            raise UsageError(f"generation {generation} does not fit 32 bits")
        if not 0 <= length <= self.hash_size:
            self._check_length(length)
        info = kdf_label_prefix(label, length) + b"\x04" + generation.to_bytes(4, "big")  # ST-03
        return self.expand(secret, info, length)

    def ref_hash(self, label: str | bytes, value: bytes) -> bytes:
        """RefHash (RFC 9420, Section 5.2): hash_size bytes. The label goes in as it is, without "MLS 1.0 " (rule CRY-03)."""
        return self.hash(encode_opaque(label_bytes(label)) + encode_opaque(value))
