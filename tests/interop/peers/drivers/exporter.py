"""The exporter of RFC 9420, Section 8.5, from an exporter secret: for libraries that show the secret but export nothing."""

from __future__ import annotations

import hashlib
import hmac

__all__ = ["SIZE", "export"]

SIZE = 32
"""Bytes of a secret: the drivers that need this know suite 1 only."""


def _expand(secret: bytes, label: bytes, context: bytes) -> bytes:
    """ExpandWithLabel with SHA-256 for one block of output."""
    label = b"MLS 1.0 " + label
    info = SIZE.to_bytes(2, "big") + bytes([len(label)]) + label + bytes([len(context)]) + context
    return hmac.digest(secret, info + b"\x01", "sha256")


def export(exporter_secret: bytes) -> bytes:
    """Export 32 bytes with label "exporter" and an empty context, which is all that core-crypto offers."""
    return _expand(_expand(exporter_secret, b"exporter", b""), b"exported", hashlib.sha256(b"").digest())
