"""Framed content and the messages that carry it (RFC 9420, Section 6)."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from dmls.mls.codec import Kept, Tagged, When, encode, encode_opaque, opaque, struct, uint32, uint64
from dmls.mls.messages.commit import Commit
from dmls.mls.messages.group_context import GroupContext
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.key_package import KeyPackage
from dmls.mls.messages.proposal import Proposal
from dmls.mls.messages.registry import ContentType, ProtocolVersion, WireFormat
from dmls.mls.messages.welcome import Welcome

__all__ = [
    "ApplicationData",
    "AuthenticatedContent",
    "ExternalSenderIndex",
    "FramedContent",
    "MLSMessage",
    "Member",
    "NewMemberCommit",
    "NewMemberProposal",
    "PrivateMessage",
    "PublicMessage",
    "Sender",
    "content_type",
    "encode_authentication",
    "encode_message",
    "encode_tbs",
]


@struct
class Member:
    """Sender: the member at a leaf."""

    leaf_index: uint32


@struct
class ExternalSenderIndex:
    """Sender: an entry of the group's external_senders."""

    sender_index: uint32


@struct
class NewMemberProposal:
    """Sender: a client that proposes its own addition."""


@struct
class NewMemberCommit:
    """Sender: a client that joins by external commit."""


SenderBody: TypeAlias = Member | ExternalSenderIndex | NewMemberProposal | NewMemberCommit
Sender: TypeAlias = Annotated[
    SenderBody, Tagged(1, {1: Member, 2: ExternalSenderIndex, 3: NewMemberProposal, 4: NewMemberCommit})
]


@struct(secret=True)
class ApplicationData:
    """Content: bytes of the application, not to be printed."""

    data: opaque


Content: TypeAlias = Annotated[
    ApplicationData | Proposal | Commit,
    Tagged(1, {ContentType.APPLICATION: ApplicationData, ContentType.PROPOSAL: Proposal, ContentType.COMMIT: Commit}),
]


@struct
class FramedContent(Kept):
    """What is signed: the group, the epoch, the sender and the content."""

    group_id: opaque
    epoch: uint64
    sender: Sender
    authenticated_data: opaque
    content: Content


def content_type(content: FramedContent) -> ContentType:
    """Return the type of a framed content."""
    if isinstance(content.content, Commit):
        return ContentType.COMMIT
    return ContentType.APPLICATION if isinstance(content.content, ApplicationData) else ContentType.PROPOSAL


def _is_commit(content: FramedContent) -> bool:
    return isinstance(content.content, Commit)


def _is_from_member(content: FramedContent) -> bool:
    return isinstance(content.sender, Member)


@struct
class AuthenticatedContent:
    """Framed content with its signature and, for a commit, the new epoch's confirmation tag."""

    wire_format: WireFormat
    content: FramedContent
    signature: opaque
    confirmation_tag: Annotated[opaque | None, When("content", _is_commit)]


@struct
class PublicMessage:
    """Signed, not encrypted; members add a membership tag (RFC 9420, Section 6.2)."""

    content: FramedContent
    signature: opaque
    confirmation_tag: Annotated[opaque | None, When("content", _is_commit)]
    membership_tag: Annotated[opaque | None, When("content", _is_from_member)]


@struct
class PrivateMessage:
    """Signed and encrypted (RFC 9420, Section 6.3)."""

    group_id: opaque
    epoch: uint64
    content_type: ContentType
    authenticated_data: opaque
    encrypted_sender_data: opaque
    ciphertext: opaque


MessageBody: TypeAlias = PublicMessage | PrivateMessage | Welcome | GroupInfo | KeyPackage


@struct
class MLSMessage:
    """The outermost envelope of everything that MLS sends."""

    version: ProtocolVersion
    body: Annotated[
        MessageBody,
        Tagged(
            2,
            {
                WireFormat.PUBLIC_MESSAGE: PublicMessage,
                WireFormat.PRIVATE_MESSAGE: PrivateMessage,
                WireFormat.WELCOME: Welcome,
                WireFormat.GROUP_INFO: GroupInfo,
                WireFormat.KEY_PACKAGE: KeyPackage,
            },
            rule="ENC-12",
        ),
    ]


def encode_message(body: MessageBody) -> bytes:
    """Encode an MLSMessage of version mls10 around `body`."""
    return encode(MLSMessage(ProtocolVersion.MLS10, body))


def encode_tbs(wire_format: WireFormat, content: FramedContent, group_context: GroupContext | None) -> bytes:
    """Return FramedContentTBS (RFC 9420, Section 6.1).

    The group context counts for senders that know it: members and committers from outside (FRM-01).
    """
    head = ProtocolVersion.MLS10.to_bytes(2, "big") + wire_format.to_bytes(2, "big") + encode(content)
    if not isinstance(content.sender, Member | NewMemberCommit):
        return head
    return head + (encode(group_context) if group_context is not None else b"")


def encode_authentication(signature: bytes, confirmation_tag: bytes | None) -> bytes:
    """Return FramedContentAuthData: the signature and, for a commit, the confirmation tag."""
    return encode_opaque(signature) + (b"" if confirmation_tag is None else encode_opaque(confirmation_tag))
