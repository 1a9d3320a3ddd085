"""What the cryptographic libraries raise, in one place, so that callers of theirs can turn all of it into `CryptoError`."""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidSignature, InvalidTag, UnsupportedAlgorithm
from nacl.exceptions import CryptoError as SodiumError

__all__ = ["LIBRARY_ERRORS"]

LIBRARY_ERRORS: Final = (
    InvalidSignature,
    InvalidTag,
    UnsupportedAlgorithm,
    SodiumError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""Caught around single library calls and nowhere wider: RuntimeError is libsodium's word for an all-zero X25519 result."""
