"""The public half of an epoch, as anybody can follow it (RFC 9420, Section 12.4.3).

A `PublicGroup` holds what no secret is needed for: the group context, the tree, the transcript and the proposals seen. It is
the base of a member's state, and all there is for a server that must not read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from immutables import Map

from dmls.errors import (
    InvalidGroupInfoError,
    InvalidMessageError,
    InvalidProposalError,
    LimitError,
    SignatureError,
    StaleEpochError,
    UnknownEpochError,
)
from dmls.ids import LeafIndex, ProposalRef
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.framing.public_message import unprotect_public
from dmls.mls.framing.signing import proposal_ref, verify_content
from dmls.mls.group.judgement import check_credential, check_external_senders, check_outside_proposal
from dmls.mls.group.policy import GroupPolicy, OpenPolicy
from dmls.mls.group.validation import (
    check_group_extensions,
    check_group_info_extensions,
    check_group_members,
    check_leaf_content,
)
from dmls.mls.limits import DEFAULT_LIMITS, Limits
from dmls.mls.messages import group_info as group_infos
from dmls.mls.messages.commit import Commit
from dmls.mls.messages.extensions import ExternalSenders, read_extension
from dmls.mls.messages.group_context import GroupContext
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.message import (
    AuthenticatedContent,
    ExternalSenderIndex,
    FramedContent,
    Member,
    MLSMessage,
    NewMemberCommit,
    NewMemberProposal,
    PrivateMessage,
    PublicMessage,
)
from dmls.mls.messages.proposal import Add, PreSharedKey, ProposalBody, is_open_to_external_senders
from dmls.mls.messages.psk import opens_successor
from dmls.mls.messages.registry import ExtensionType, SignatureLabel
from dmls.mls.schedule.transcript import interim_transcript_hash
from dmls.mls.tree.ratchet_tree import RatchetTree
from dmls.mls.tree.validation import validate_tree

__all__ = [
    "CachedProposal",
    "PublicGroup",
    "cache_proposal",
    "check_epoch",
    "check_followed_group_info",
    "check_group_info_signature",
    "external_sender_key",
    "follow",
    "open_public_message",
    "sender_key",
    "verify_sender",
]


@dataclass(frozen=True, slots=True)
class CachedProposal:
    """A verified proposal of the current epoch, in the content that it was sent in."""

    content: AuthenticatedContent
    body: ProposalBody
    arrival: int = 0
    """How many proposals came before it in the epoch."""


@dataclass(frozen=True, slots=True)
class PublicGroup:
    """One epoch without its secrets. Immutable."""

    suite: CipherSuite
    context: GroupContext
    tree: RatchetTree
    interim_transcript_hash: bytes
    confirmation_tag: bytes
    proposals: Map[ProposalRef, CachedProposal] = Map()


def check_epoch(group: PublicGroup, content: FramedContent | PrivateMessage) -> None:
    """Refuse content of another group or epoch (FRM-11, FRM-12).

    Raises:
        InvalidMessageError: another group.
        StaleEpochError, UnknownEpochError: an earlier or a later epoch.
    """
    if content.group_id != group.context.group_id:
        raise InvalidMessageError("message of another group", rule="FRM-11")
    if content.epoch < group.context.epoch:
        raise StaleEpochError("message of an earlier epoch", rule="FRM-12")  # CP-13, SQ-05
    if content.epoch > group.context.epoch:
        raise UnknownEpochError("message of a later epoch", rule="FRM-12")


def sender_key(group: PublicGroup, content: FramedContent) -> bytes:
    """Return the public key that must have signed the content (RFC 9420, Section 6.1).

    Raises:
        InvalidMessageError: this sender cannot send this content (FRM-04 to FRM-08).
    """
    sender, body = content.sender, content.content
    if isinstance(sender, Member):
        leaf = group.tree.leaf(LeafIndex(sender.leaf_index))
        if leaf is None:
            raise InvalidMessageError("the sender's leaf is blank", rule="FRM-04")
        return leaf.signature_key  # LN-27
    if isinstance(sender, NewMemberCommit):
        if not isinstance(body, Commit) or body.path is None:
            raise InvalidMessageError("a new member's commit needs a path", rule="FRM-07")
        return body.path.leaf_node.signature_key  # XC-08
    if isinstance(sender, NewMemberProposal):
        if not isinstance(body, Add):
            raise InvalidMessageError("a new member proposes its own addition only", rule="FRM-08")
        return body.key_package.leaf_node.signature_key
    return external_sender_key(group.context, sender, body)


def external_sender_key(context: GroupContext, sender: ExternalSenderIndex, body: object) -> bytes:
    """Return the public key of an external sender that may send `body` (RFC 9420, Section 12.1.8).

    Raises:
        InvalidMessageError: there is no such sender (FRM-05), or none sends this (FRM-06).
        CodecError: the group's external_senders do not decode.
    """
    if not is_open_to_external_senders(body):
        raise InvalidMessageError("an external sender cannot send this", rule="FRM-06")  # PR-14
    allowed = read_extension(context.extensions, ExtensionType.EXTERNAL_SENDERS, ExternalSenders)
    if allowed is None or sender.sender_index >= len(allowed.senders):
        raise InvalidMessageError("no such external sender", rule="FRM-05")
    return allowed.senders[sender.sender_index].signature_key


def verify_sender(group: PublicGroup, content: AuthenticatedContent) -> None:
    """Check group, epoch, sender and signature of a content.

    Raises:
        InvalidMessageError, EpochError: it cannot belong here.
        SignatureError: it was not signed by its sender.
    """
    check_epoch(group, content.content)  # PR-15
    verify_content(group.suite, content, group.context, sender_key(group, content.content))  # FRM-03


def open_public_message(group: PublicGroup, message: MLSMessage) -> AuthenticatedContent:
    """Open a public message of this epoch without its secrets: everything is checked but the membership tag.

    Raises:
        InvalidMessageError, EpochError: it does not belong here, or is not public.
        SignatureError: it was not signed by its sender.
    """
    if not isinstance(message.body, PublicMessage):
        raise InvalidMessageError("not a public message")
    content = unprotect_public(group.suite, message.body, group.context, None)
    verify_sender(group, content)
    return content


def cache_proposal(
    group: PublicGroup, content: AuthenticatedContent, limits: Limits = DEFAULT_LIMITS, policy: GroupPolicy = OpenPolicy()
) -> PublicGroup:
    """Remember a verified proposal, so that a commit can name it (PR-01).

    Raises:
        InvalidMessageError: the content is no proposal.
        InvalidProposalError: it injects a key that only a group's founder may, or its sender is outside the group and may not
            propose it.
        LimitError: as many proposals wait already as a commit may hold.
    """
    body = content.content.content
    if not isinstance(body, ProposalBody):
        raise InvalidMessageError("not a proposal", rule="PR-01")
    if isinstance(body, PreSharedKey) and opens_successor(body.psk):
        raise InvalidProposalError("reinit and branch PSKs are never proposed", rule="RB-13")
    check_outside_proposal(policy, group, content.content.sender, body)
    ref = proposal_ref(group.suite, content)
    if ref in group.proposals:
        return group
    arrival = len(group.proposals)
    if arrival >= limits.max_proposals:
        raise LimitError("too many proposals wait for a commit", rule="ENC-17")
    return replace(group, proposals=group.proposals.set(ref, CachedProposal(content, body, arrival)))


def follow(
    suite: CipherSuite,
    group_info: GroupInfo,
    tree: RatchetTree,
    *,
    policy: GroupPolicy = OpenPolicy(),
    now: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> PublicGroup:
    """Validate a GroupInfo with its tree and follow the group from there (RFC 9420, Section 12.4.3.1).

    Args:
        suite: the cipher suite that the group must have.
        group_info: what a member says of the epoch.
        tree: the epoch's, which nobody has checked yet.
        policy: asked about all members' credentials and about external senders.
        now: seconds since the epoch; turns lifetime checks of the members' leaves on (LN-13).
        limits: the bounds to keep.

    Raises:
        InvalidGroupInfoError, InvalidTreeError, InvalidLeafNodeError, LifetimeError, InvalidCredentialError: a rule is broken, or
            the application refuses somebody.
        SignatureError: the GroupInfo or a leaf is not signed by whom it names.
        LimitError: the group is larger than the limits allow.
    """
    context = group_info.group_context
    _check_group_info(suite, group_info, tree)
    if tree.tree_hash != context.tree_hash:
        raise InvalidGroupInfoError("the tree is not the one the group agreed on", rule="WL-11")  # TR-19
    check_group_members(tree, context.extensions, limits)
    validate_tree(tree, context.group_id)  # WL-12, WL-14
    if context.epoch == 0 and (context.confirmed_transcript_hash or tree.width != 1):
        raise InvalidGroupInfoError("a group begins with one leaf and an empty transcript", rule="GC-01")
    check_external_senders(policy, suite, context.extensions, limits=limits)
    for _, leaf in tree.members():  # WL-13, LN-28
        check_leaf_content(suite, leaf, now=now, limits=limits)
        check_credential(policy, leaf.credential, leaf.signature_key)
    interim = interim_transcript_hash(suite, context.confirmed_transcript_hash, group_info.confirmation_tag)  # WL-20, XC-14
    return PublicGroup(suite, context, tree, interim, group_info.confirmation_tag)


def check_followed_group_info(suite: CipherSuite, group_info: GroupInfo, group: PublicGroup) -> None:
    """Check a GroupInfo against the epoch that was followed to, whose tree is not judged again.

    Raises:
        InvalidGroupInfoError: it is of another epoch or cipher suite, or a rule is broken.
        SignatureError: it is not signed by the member it names.
    """
    if (group_info.group_context, group_info.confirmation_tag) != (group.context, group.confirmation_tag):
        raise InvalidGroupInfoError("the GroupInfo is not of the followed epoch", rule="WL-11")
    _check_group_info(suite, group_info, group.tree)


def _check_group_info(suite: CipherSuite, group_info: GroupInfo, tree: RatchetTree) -> None:
    context = group_info.group_context
    if context.cipher_suite != suite.id:
        raise InvalidGroupInfoError("another cipher suite", rule="WL-10")
    check_group_info_extensions(group_info.extensions)
    check_group_extensions(context.extensions)  # WL-26
    check_group_info_signature(suite, group_info, tree)


def check_group_info_signature(suite: CipherSuite, group_info: GroupInfo, tree: RatchetTree) -> None:
    """Check that the member a GroupInfo names has signed it (WL-08).

    Raises:
        InvalidGroupInfoError: the signer's leaf is blank.
        SignatureError: it was signed by another.
    """
    signer = tree.leaf(LeafIndex(group_info.signer))
    if signer is None:
        raise InvalidGroupInfoError("the signer's leaf is blank", rule="WL-08")
    tbs = group_infos.encode_tbs(group_info)
    try:
        suite.verify_with_label(signer.signature_key, SignatureLabel.GROUP_INFO_TBS, tbs, group_info.signature)
    except SignatureError as error:
        raise SignatureError("the GroupInfo's signature does not verify", rule="WL-08") from error
