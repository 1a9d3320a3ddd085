"""Signatures over framed content, and the references of proposals (RFC 9420, Sections 5.2 and 6.1)."""

from __future__ import annotations

from dmls.errors import SignatureError, UsageError
from dmls.ids import ProposalRef
from dmls.mls.codec import encode
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.messages.group_context import GroupContext
from dmls.mls.messages.message import AuthenticatedContent, FramedContent, Member, NewMemberCommit, encode_tbs
from dmls.mls.messages.registry import SignatureLabel, WireFormat

__all__ = ["check_wire_format", "content_tbs", "proposal_ref", "sign_content", "verify_content"]

_LABEL = SignatureLabel.FRAMED_CONTENT_TBS


def content_tbs(wire_format: WireFormat, content: FramedContent, group_context: GroupContext | None) -> bytes:
    """Return FramedContentTBS, and make sure that it has a group context where it must (FRM-01).

    Raises:
        UsageError: the sender's signature covers the group context, and none is given.
    """
    if group_context is None and isinstance(content.sender, Member | NewMemberCommit):
        raise UsageError("this sender's signature covers the group context", rule="FRM-01")
    return encode_tbs(wire_format, content, group_context)


def check_wire_format(content: AuthenticatedContent, wire_format: WireFormat) -> None:
    """Make sure that a content is framed as it was signed (FRM-02).

    Raises:
        UsageError: it was signed for another wire format.
    """
    if content.wire_format is not wire_format:
        raise UsageError(f"content was not signed for {wire_format.name}", rule="FRM-02")


def sign_content(
    suite: CipherSuite, wire_format: WireFormat, content: FramedContent, group_context: GroupContext | None, signature_key: bytes
) -> bytes:
    """Sign a content for the wire format that it will be sent in (FRM-01, FRM-02).

    Args:
        suite: the cipher suite of the group.
        wire_format: public_message or private_message.
        content: what is signed.
        group_context: of the epoch in which the content is sent, also for commits (FRM-03); None for senders that do not know it.
        signature_key: the sender's private key.

    Raises:
        UsageError: the sender's signature covers the group context, and none is given.
        CryptoError: the private key is none of this suite.
    """
    return suite.sign_with_label(signature_key, _LABEL, content_tbs(wire_format, content, group_context))


def verify_content(
    suite: CipherSuite, content: AuthenticatedContent, group_context: GroupContext | None, public_key: bytes
) -> None:
    """Check who signed a content, in which epoch and for which wire format (FRM-01, FRM-02, FRM-09).

    Args:
        suite: the cipher suite of the group.
        content: what was received.
        group_context: of the epoch that the content names; None for senders that do not know it.
        public_key: the sender's, from the tree of that same epoch (PRV-12).

    Raises:
        SignatureError: it was made by another key, for another content, epoch or wire format.
        UsageError: the sender's signature covers the group context, and none is given.
    """
    tbs = content_tbs(content.wire_format, content.content, group_context)
    try:
        suite.verify_with_label(public_key, _LABEL, tbs, content.signature)
    except SignatureError as error:
        raise SignatureError("the content's signature does not verify", rule="FRM-09") from error


def proposal_ref(suite: CipherSuite, content: AuthenticatedContent) -> ProposalRef:
    """Return the reference of a proposal, hash_size bytes.

    It names the proposal as sent: wire format and signature count, the membership tag does not (CRY-12).
    """
    return ProposalRef(suite.ref_hash("MLS 1.0 Proposal Reference", encode(content)))  # CRY-12
