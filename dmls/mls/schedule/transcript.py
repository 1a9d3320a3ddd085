"""Transcript hashes and the confirmation tag (RFC 9420, Sections 6.1 and 8.2)."""

from __future__ import annotations

from dmls.errors import UsageError
from dmls.mls.codec import encode, encode_opaque
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.messages.commit import Commit
from dmls.mls.messages.message import AuthenticatedContent

__all__ = ["confirmation_tag", "confirmed_transcript_hash", "interim_transcript_hash"]


def confirmed_transcript_hash(suite: CipherSuite, interim: bytes, content: AuthenticatedContent) -> bytes:
    """Return the hash of all commits up to `content`, without its confirmation tag, hash_size bytes (KS-06).

    Args:
        suite: the cipher suite of the group.
        interim: the interim transcript hash of the commit's epoch.
        content: a signed commit. Its confirmation tag is not read: it is made from this hash and may be missing yet.

    Raises:
        UsageError: `content` is no commit.
    """
    if not isinstance(content.content.content, Commit):
        raise UsageError("only commits enter the transcript")
    wire_format = content.wire_format.to_bytes(2, "big")
    return suite.hash(interim + wire_format + encode(content.content) + encode_opaque(content.signature))  # KS-06


def interim_transcript_hash(suite: CipherSuite, confirmed: bytes, confirmation_tag: bytes) -> bytes:
    """Return the hash of all commits up to an epoch, with the last one's confirmation tag, hash_size bytes (KS-06, KS-08).

    Epoch 0 is no exception: its confirmed transcript hash is empty, its confirmation tag is the creator's (KS-07).
    """
    return suite.hash(confirmed + encode_opaque(confirmation_tag))  # KS-06, KS-07, KS-08


def confirmation_tag(suite: CipherSuite, confirmation_key: bytes, confirmed: bytes) -> bytes:
    """Return the confirmation tag of an epoch, hash_size bytes (FRM-10)."""
    return suite.mac(confirmation_key, confirmed)
