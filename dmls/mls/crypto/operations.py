"""How many cryptographic operations something costs: a cipher suite that counts what it does.

The counting suite computes the same bytes as the plain one, which knows nothing of it and pays nothing for it.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, fields
from typing import Any

from dmls.mls.crypto.aead import Aead
from dmls.mls.crypto.kdf import Kdf
from dmls.mls.crypto.kem import AnyGroup, AnyKem, DhKem, KeyPair
from dmls.mls.crypto.randomness import Random
from dmls.mls.crypto.signing import AnySignatureScheme
from dmls.mls.crypto.suites import CipherSuite

__all__ = ["OperationCounts", "count_operations"]


@dataclass(slots=True)
class OperationCounts:
    """Calls made so far.

    Attributes:
        key_pairs: HPKE key pairs derived by the caller; ephemeral ones are in `encapsulations`.
        encapsulations, decapsulations: HPKE messages or exports sealed and opened.
        base_multiplications: HPKE public keys computed from private ones, whether wanted or made by the library on parsing
            (X448 and NIST curves, where a decapsulation therefore costs one).
        variable_multiplications: Diffie-Hellman exchanges.
        signature_keys: signature private keys parsed, each of which computes the public key; a raw key is parsed per signature.
        signatures, verifications: as they say.
        aead_seals, aead_opens: including those inside HPKE.
        hashes, macs: hash and HMAC calls, including those of HKDF and HPKE, excluding those of signatures.
    """

    key_pairs: int = 0
    encapsulations: int = 0
    decapsulations: int = 0
    base_multiplications: int = 0
    variable_multiplications: int = 0
    signature_keys: int = 0
    signatures: int = 0
    verifications: int = 0
    aead_seals: int = 0
    aead_opens: int = 0
    hashes: int = 0
    macs: int = 0

    def reset(self) -> None:
        """Start again at zero."""
        for each in fields(self):
            setattr(self, each.name, 0)


def count_operations(suite: CipherSuite) -> tuple[CipherSuite, OperationCounts]:
    """Return a suite equal to `suite` that counts its operations, and the counts that it updates."""
    counts = OperationCounts()
    kdf = _counting_kdf(suite.kdf, counts)
    counting = CipherSuite(
        suite.id,
        suite.name,
        _CountingKem(suite.kem, kdf, counts),
        kdf,
        _CountingAead(suite.aead, counts),
        _CountingScheme(suite.signature, counts),
    )
    counts.reset()  # composing HPKE has made calls of its own
    return counting, counts


def _counting_kdf(kdf: Kdf, counts: OperationCounts) -> Kdf:
    def mac(key: bytes, data: bytes, hash_name: str) -> bytes:
        counts.macs += 1
        return hmac.digest(key, data, hash_name)

    def digest(data: bytes) -> Any:
        counts.hashes += 1
        return hashlib.new(kdf.hash_name, data)

    return Kdf(kdf.id, kdf.hash_name, mac=mac, digest=digest)


class _CountingGroup:
    def __init__(self, group: AnyGroup, counts: OperationCounts) -> None:
        self._group = group
        self._counts = counts
        self.private_key_size = group.private_key_size
        self.public_key_size = group.public_key_size
        self.order = group.order
        self.load_multiplies = group.load_multiplies

    def load(self, private_key: bytes, public_key: bytes | None = None) -> Any:
        self._counts.base_multiplications += self.load_multiplies
        return self._group.load(private_key, public_key)

    def public_key(self, key: Any) -> bytes:
        self._counts.base_multiplications += not self.load_multiplies
        return self._group.public_key(key)

    def exchange(self, key: Any, public_key: bytes) -> bytes:
        self._counts.variable_multiplications += 1
        return self._group.exchange(key, public_key)

    def check(self, public_key: bytes) -> None:
        self._group.check(public_key)


class _CountingKem(DhKem[Any]):
    def __init__(self, kem: AnyKem, kdf: Kdf, counts: OperationCounts) -> None:
        super().__init__(kem.id, _CountingGroup(kem.group, counts), kdf)
        self._counts = counts

    def derive_key_pair(self, ikm: bytes) -> KeyPair:
        self._counts.key_pairs += 1
        return super().derive_key_pair(ikm)

    def encap(self, public_key: bytes, private_key: bytes) -> tuple[bytes, bytes]:
        self._counts.encapsulations += 1
        return super().encap(public_key, private_key)

    def decap(self, private_key: bytes, public_key: bytes, kem_output: bytes) -> bytes:
        self._counts.decapsulations += 1
        return super().decap(private_key, public_key, kem_output)


class _CountingAead(Aead):
    def __init__(self, aead: Aead, counts: OperationCounts) -> None:
        super().__init__(aead.id, aead.name, aead.key_size, aead.cipher)
        self._counts = counts

    def seal(self, key: bytes, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
        self._counts.aead_seals += 1
        return super().seal(key, nonce, aad, plaintext)

    def open(self, key: bytes, nonce: bytes, aad: bytes, ciphertext: bytes) -> bytes:
        self._counts.aead_opens += 1
        return super().open(key, nonce, aad, ciphertext)


class _CountingScheme:
    def __init__(self, scheme: AnySignatureScheme, counts: OperationCounts) -> None:
        self._scheme = scheme
        self._counts = counts
        self.name = scheme.name
        self.private_key_size = scheme.private_key_size
        self.public_key_size = scheme.public_key_size

    def generate(self, random: Random) -> bytes:
        return self._scheme.generate(random)

    def load(self, private_key: bytes) -> Any:
        self._counts.signature_keys += 1
        return self._scheme.load(private_key)

    def public_key(self, key: Any) -> bytes:
        return self._scheme.public_key(key)

    def sign(self, key: Any, message: bytes) -> bytes:
        self._counts.signatures += 1
        return self._scheme.sign(key, message)

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> None:
        self._counts.verifications += 1
        self._scheme.verify(public_key, message, signature)

    def check(self, public_key: bytes) -> None:
        self._scheme.check(public_key)
