"""What one primitive operation costs: the fastest library at hand, found once, and timed anew whenever it is asked."""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from benchmarks.group_operations.floor import Counts
from dmls.mls.crypto.suites import CipherSuite

__all__ = ["Primitives", "cost", "median"]

_LONG = 1 << 16
_TRIALS = 60
"""Calls to find the fastest library by."""
_SAMPLES = 6
"""Calls of each primitive for one price."""

Call = Callable[[], object]


@dataclass(frozen=True)
class Primitives:
    """For each field of `Counts` the fastest implementation, and what it is called."""

    calls: Mapping[str, Call]
    libraries: Mapping[str, str]

    @classmethod
    def choose(cls, suite: CipherSuite) -> Primitives:
        """Find the fastest of what is installed."""
        calls, libraries = {}, {}
        for primitive, candidates in _candidates(suite).items():
            timed = {library: _time(call, _TRIALS) for library, call in candidates.items()}
            fastest = min(timed, key=lambda library: timed[library])
            calls[primitive], libraries[primitive] = candidates[fastest], fastest
        return cls(calls, libraries)

    def prices(self) -> dict[str, float]:
        """Time each now, in nanoseconds; `aead_bytes` and `hash_bytes` are prices of one byte."""
        prices = {primitive: _time(call, _SAMPLES) for primitive, call in self.calls.items()}
        return {primitive: price / _LONG if primitive.endswith("_bytes") else price for primitive, price in prices.items()}


def cost(counts: Counts, prices: Mapping[str, float]) -> float:
    """Return what so many operations cost together, in nanoseconds."""
    return sum((count * prices[primitive] for primitive, count in asdict(counts).items()), 0.0)


def _time(call: Call, samples: int) -> float:
    times = []
    for _ in range(samples):
        start = time.perf_counter_ns()
        call()
        times.append(time.perf_counter_ns() - start)
    return float(sorted(times)[(len(times) - 1) // 2])


def _candidates(suite: CipherSuite) -> dict[str, dict[str, Call]]:
    found = _suite_calls(suite)
    for primitive, calls in _openssl_calls(suite).items():
        found[primitive].update(calls)
    return found


def _suite_calls(suite: CipherSuite) -> dict[str, dict[str, Call]]:
    """What the suite itself computes with: libsodium for Curve25519, OpenSSL for the rest."""
    of_group = "PyNaCl" if suite.kem.group.public_key_size == 32 else "cryptography"
    of_scheme = "PyNaCl" if suite.signature.public_key_size == 32 else "cryptography"
    group, scheme = suite.kem.group, suite.signature
    pair = suite.derive_key_pair(os.urandom(suite.hash_size))
    key = group.load(pair.private_key, pair.public_key)
    signer = suite.generate_signature_key_pair(os.urandom)
    signing_key, message = scheme.load(signer.private_key), bytes(256)
    signature = scheme.sign(signing_key, message)
    secret, short, name = os.urandom(suite.hash_size), bytes(100), suite.kdf.hash_name
    digest = getattr(hashlib, name)
    return {
        "base_multiplications": {of_group: lambda: group.public_key(key)},
        "exchanges": {of_group: lambda: group.exchange(key, pair.public_key)},
        "signatures": {of_scheme: lambda: scheme.sign(signing_key, message)},
        "verifications": {of_scheme: lambda: scheme.verify(signer.public_key, message, signature)},
        "macs": {"hmac.digest": lambda: hmac.digest(secret, short, name)},
        "hashes": {"hashlib": lambda: digest(short).digest()},
        "hash_bytes": {"hashlib": lambda: digest(bytes(_LONG)).digest()},
        **_aead_calls(suite),
    }


def _aead_calls(suite: CipherSuite) -> dict[str, dict[str, Call]]:
    kind = ChaCha20Poly1305 if "CHACHA" in suite.name.upper() else AESGCM
    key, nonce, long = os.urandom(suite.aead.key_size), bytes(12), bytes(_LONG)
    return {
        "aeads": {"cryptography": lambda: kind(key).encrypt(nonce, bytes(32), b"")},
        "aead_bytes": {"cryptography": lambda: kind(key).encrypt(nonce, long, b"")},
    }


def _openssl_calls(suite: CipherSuite) -> dict[str, dict[str, Call]]:
    """Curve25519 in OpenSSL, with parsed keys, beside libsodium."""
    found: dict[str, dict[str, Call]] = {}
    if suite.kem.group.public_key_size == 32:
        private = X25519PrivateKey.generate()
        public: X25519PublicKey = private.public_key()
        found["base_multiplications"] = {"cryptography": X25519PrivateKey.generate}
        found["exchanges"] = {"cryptography": lambda: private.exchange(public)}
    if suite.signature.public_key_size == 32:
        signer, message = Ed25519PrivateKey.generate(), bytes(256)
        signature, verifier = signer.sign(message), signer.public_key()
        found["signatures"] = {"cryptography": lambda: signer.sign(message)}
        found["verifications"] = {"cryptography": lambda: verifier.verify(signature, message)}
    return found


def median(values: Sequence[float]) -> float:
    """Return the lower median, which is a measured value."""
    return sorted(values)[(len(values) - 1) // 2]
