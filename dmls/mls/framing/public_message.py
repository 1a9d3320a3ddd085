"""Public framing: signed, and tagged by members, but not encrypted (RFC 9420, Section 6.2)."""

from __future__ import annotations

from dmls.errors import InvalidMessageError, MacError, UsageError
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.framing.signing import check_wire_format, content_tbs
from dmls.mls.messages.group_context import GroupContext
from dmls.mls.messages.message import (
    ApplicationData,
    AuthenticatedContent,
    FramedContent,
    Member,
    PublicMessage,
    encode_authentication,
)
from dmls.mls.messages.registry import WireFormat

__all__ = ["protect_public", "unprotect_public"]


def _refuse_application_data(content: FramedContent) -> None:
    if isinstance(content.content, ApplicationData):
        raise InvalidMessageError("application data is never public", rule="FRM-13")


def _encode_tbm(content: AuthenticatedContent, group_context: GroupContext | None) -> bytes:
    """Return AuthenticatedContentTBM: what the membership tag covers (PUB-02)."""
    tbs = content_tbs(content.wire_format, content.content, group_context)
    return tbs + encode_authentication(content.signature, content.confirmation_tag)  # PUB-02


def protect_public(
    suite: CipherSuite, content: AuthenticatedContent, group_context: GroupContext | None, membership_key: bytes | None
) -> PublicMessage:
    """Frame a signed content; a member's gets a membership tag (PUB-01).

    Args:
        suite: the cipher suite of the group.
        content: signed for the wire format public_message.
        group_context: of the content's epoch; needed for members only.
        membership_key: of the same epoch (PUB-04); needed for members only.

    Raises:
        InvalidMessageError: application data (FRM-13).
        UsageError: signed for another wire format (FRM-02), or a key or context is missing.
    """
    _refuse_application_data(content.content)
    check_wire_format(content, WireFormat.PUBLIC_MESSAGE)
    membership_tag = None
    if isinstance(content.content.sender, Member):
        if membership_key is None:
            raise UsageError("a member's message needs the membership key", rule="PUB-01")
        membership_tag = suite.mac(membership_key, _encode_tbm(content, group_context))
    return PublicMessage(content.content, content.signature, content.confirmation_tag, membership_tag)


def unprotect_public(
    suite: CipherSuite, message: PublicMessage, group_context: GroupContext | None, membership_key: bytes | None
) -> AuthenticatedContent:
    """Check a message's framing and return its content, whose signature the caller must verify with `verify_content`.

    Args:
        suite: the cipher suite of the group.
        message: what was received. The caller has checked that its group and epoch are those of the context.
        group_context: of the message's epoch; needed where the membership tag is checked.
        membership_key: of the same epoch (PUB-04); None for those who follow the group without its secrets and cannot check tags.

    Raises:
        InvalidMessageError: application data (FRM-13), or a membership tag that is missing or out of place (PUB-01).
        MacError: the membership tag does not match (PUB-03).
    """
    _refuse_application_data(message.content)
    is_from_member = isinstance(message.content.sender, Member)
    if is_from_member != (message.membership_tag is not None):
        raise InvalidMessageError("membership tag is missing or out of place", rule="PUB-01")
    content = AuthenticatedContent(WireFormat.PUBLIC_MESSAGE, message.content, message.signature, message.confirmation_tag)
    if message.membership_tag is not None and membership_key is not None:
        try:
            suite.verify_mac(membership_key, _encode_tbm(content, group_context), message.membership_tag)
        except MacError as error:
            raise MacError("membership tag does not match", rule="PUB-03") from error
    return content
