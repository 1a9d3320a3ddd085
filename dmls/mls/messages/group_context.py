"""The group context (RFC 9420, Section 8.1)."""

from __future__ import annotations

from dmls.mls.codec import Kept, bounded, opaque, struct, uint16, uint64
from dmls.mls.messages.extensions import Extension
from dmls.mls.messages.registry import ProtocolVersion

__all__ = ["GroupContext"]


@struct
class GroupContext(Kept):
    """What all members of an epoch agree on."""

    version: ProtocolVersion
    cipher_suite: uint16
    group_id: opaque
    epoch: uint64
    tree_hash: opaque
    confirmed_transcript_hash: opaque
    extensions: bounded[Extension]
