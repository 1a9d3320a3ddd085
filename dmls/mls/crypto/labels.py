"""The prefix "MLS 1.0 " and the shape it gives to everything derived, signed and encrypted (RFC 9420, Sections 5.1 and 8)."""

from __future__ import annotations

import functools

from dmls.errors import InvalidArgumentError
from dmls.mls.codec import encode_opaque

__all__ = ["kdf_label_prefix", "label_bytes", "labelled"]

_CACHED_LABEL = 64
"""Longest label whose prefix is remembered; applications choose exporter labels, so the memory must stay bounded."""


def label_bytes(label: str | bytes) -> bytes:
    """Return the label's bytes, UTF-8 where it is text.

    Raises:
        InvalidArgumentError: the text holds lone surrogates.
    """
    if isinstance(label, bytes):
        return label
    try:
        return label.encode()
    except UnicodeEncodeError:
        raise InvalidArgumentError("label is not UTF-8 text") from None


def _label_prefix(label: str | bytes) -> bytes:
    return encode_opaque(b"MLS 1.0 " + label_bytes(label))  # CRY-03


def _kdf_label_prefix(label: str | bytes, length: int) -> bytes:
    return length.to_bytes(2, "big") + _label_prefix(label)  # CRY-04


_remembered_label_prefix = functools.lru_cache(maxsize=256)(_label_prefix)
_remembered_kdf_label_prefix = functools.lru_cache(maxsize=256)(_kdf_label_prefix)


def labelled(label: str | bytes, content: bytes) -> bytes:
    """Return `opaque label<V> = "MLS 1.0 " + label; opaque content<V>`: SignContent and EncryptContext.

    RFC 9420, Sections 5.1.2 and 5.1.3, rules CRY-03 and CRY-09.
    """
    prefix = _remembered_label_prefix(label) if len(label) <= _CACHED_LABEL else _label_prefix(label)
    return prefix + encode_opaque(content)


def kdf_label_prefix(label: str | bytes, length: int) -> bytes:
    """Return a KDFLabel up to its context: `uint16 length; opaque label<V>` (RFC 9420, Section 8, rules CRY-03 and CRY-04)."""
    return _remembered_kdf_label_prefix(label, length) if len(label) <= _CACHED_LABEL else _kdf_label_prefix(label, length)
