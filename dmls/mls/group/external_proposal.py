"""Proposing from outside a group: as an external sender, or as a client that asks to be added (RFC 9420, Section 12.1.8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dmls.errors import InvalidKeyPackageError
from dmls.ids import ProposalRef
from dmls.mls.crypto.suites import CipherSuite, cipher_suite
from dmls.mls.framing.public_message import protect_public
from dmls.mls.framing.signing import proposal_ref, sign_content
from dmls.mls.group.follower import external_sender_key
from dmls.mls.group.validation import check_own_support
from dmls.mls.messages.extensions import Extension, ExternalSender, ExternalSenders, make_extension, read_extension
from dmls.mls.messages.group_context import GroupContext
from dmls.mls.messages.key_package import KeyPackage
from dmls.mls.messages.message import (
    AuthenticatedContent,
    ExternalSenderIndex,
    FramedContent,
    NewMemberProposal,
    SenderBody,
    encode_message,
)
from dmls.mls.messages.proposal import Add, GroupContextExtensions, ProposalBody
from dmls.mls.messages.registry import ExtensionType, WireFormat

__all__ = ["OutsideProposal", "append_external_sender", "propose_as_external_sender", "propose_own_addition"]


@dataclass(frozen=True, slots=True)
class OutsideProposal:
    """A proposal by somebody who is not a member."""

    content: AuthenticatedContent
    message: bytes
    """The encoded MLSMessage, always a public one (PR-15)."""
    ref: ProposalRef


def append_external_sender(extensions: Sequence[Extension], sender: ExternalSender) -> GroupContextExtensions:
    """Return the proposal that lets `sender` propose, beside those who may, and keeps all other extensions of the group.

    Raises:
        CodecError: the group's external_senders do not decode.
    """
    allowed = read_extension(extensions, ExtensionType.EXTERNAL_SENDERS, ExternalSenders)
    senders = () if allowed is None else allowed.senders
    changed = make_extension(ExtensionType.EXTERNAL_SENDERS, ExternalSenders((*senders, sender)))
    if allowed is None:
        return GroupContextExtensions((*extensions, changed))
    return GroupContextExtensions(
        tuple(changed if item.extension_type == changed.extension_type else item for item in extensions)
    )


def propose_as_external_sender(
    context: GroupContext, proposal: ProposalBody, signature_private_key: bytes, *, authenticated_data: bytes = b""
) -> OutsideProposal:
    """Propose as the external sender whose key `signature_private_key` is.

    Args:
        context: the group's current one, as a GroupInfo or a followed epoch holds it.
        proposal: Add, Remove, PreSharedKey, ReInit or GroupContextExtensions.
        signature_private_key: of the group's cipher suite.
        authenticated_data: seen by all.

    Raises:
        InvalidMessageError: external senders do not propose this (FRM-06), or the key is none of theirs (FRM-05).
        CryptoError: it is no private key of the cipher suite.
        UnsupportedError: the cipher suite is not implemented.
    """
    suite = cipher_suite(context.cipher_suite)
    own_key = suite.signature_public_key(signature_private_key)
    allowed = read_extension(context.extensions, ExtensionType.EXTERNAL_SENDERS, ExternalSenders)
    keys = [] if allowed is None else [sender.signature_key for sender in allowed.senders]
    # An index behind the last one is what a key that is not listed gets, and is refused.
    sender = ExternalSenderIndex(keys.index(own_key) if own_key in keys else len(keys))
    external_sender_key(context, sender, proposal)
    return _propose(suite, context, sender, proposal, signature_private_key, authenticated_data)


def propose_own_addition(
    context: GroupContext, key_package: KeyPackage, signature_private_key: bytes, *, authenticated_data: bytes = b""
) -> OutsideProposal:
    """Ask to be added, with one's own key package; `signature_private_key` is that of its leaf.

    Raises:
        InvalidKeyPackageError: the key package is of another cipher suite than the group, or the key is not its leaf's.
        InvalidLeafNodeError: the client does not support what the group requires.
        CryptoError: it is no private key of the cipher suite.
        UnsupportedError: the cipher suite is not implemented.
    """
    suite = cipher_suite(context.cipher_suite)
    leaf_node = key_package.leaf_node
    if key_package.cipher_suite != suite.id:
        raise InvalidKeyPackageError("the key package is of another cipher suite than the group")
    if leaf_node.signature_key != suite.signature_public_key(signature_private_key):
        raise InvalidKeyPackageError("the signature key is not that of the key package's leaf")
    check_own_support(leaf_node, context.extensions)
    return _propose(suite, context, NewMemberProposal(), Add(key_package), signature_private_key, authenticated_data)


def _propose(
    suite: CipherSuite,
    context: GroupContext,
    sender: SenderBody,
    proposal: ProposalBody,
    signature_private_key: bytes,
    authenticated_data: bytes,
) -> OutsideProposal:
    wire_format = WireFormat.PUBLIC_MESSAGE
    framed = FramedContent(context.group_id, context.epoch, sender, authenticated_data, proposal)
    # Outsiders sign without the group context, of which they may know no more than group and epoch.
    content = AuthenticatedContent(
        wire_format, framed, sign_content(suite, wire_format, framed, None, signature_private_key), None
    )
    message = encode_message(protect_public(suite, content, None, None))
    return OutsideProposal(content, message, proposal_ref(suite, content))
