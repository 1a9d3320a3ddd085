"""GroupInfo (RFC 9420, Section 12.4.3)."""

from __future__ import annotations

from dmls.mls.codec import bounded, encode, encode_opaque, opaque, struct, uint32
from dmls.mls.messages.extensions import Extension
from dmls.mls.messages.group_context import GroupContext

__all__ = ["GroupInfo", "encode_tbs"]


@struct
class GroupInfo:
    """What a newcomer must know of an epoch, signed by a member."""

    group_context: GroupContext
    extensions: bounded[Extension]
    confirmation_tag: opaque
    signer: uint32
    signature: opaque


def encode_tbs(group_info: GroupInfo) -> bytes:
    """Return GroupInfoTBS: what the signature covers."""
    return encode(group_info)[: -len(encode_opaque(group_info.signature))]
