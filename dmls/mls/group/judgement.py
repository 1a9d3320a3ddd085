"""Asking the application: each hook of a `GroupPolicy` is called here and nowhere else.

What the application refuses is refused with the rule of RFC 9420 that asks for its judgement; its own error is the cause.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Final

from dmls.errors import (
    CodecError,
    CryptoError,
    InvalidCommitError,
    InvalidGroupInfoError,
    InvalidLeafNodeError,
    InvalidProposalError,
    ValidationError,
)
from dmls.ids import LeafIndex
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.group.policy import GroupPolicy
from dmls.mls.group.validation import check_certificates
from dmls.mls.limits import DEFAULT_LIMITS, Limits
from dmls.mls.messages.credential import BasicCredential, X509Credential
from dmls.mls.messages.custom import CustomProposal
from dmls.mls.messages.extensions import Extension, ExternalSenders, read_extension
from dmls.mls.messages.key_package import KeyPackage
from dmls.mls.messages.leaf_node import LeafNode
from dmls.mls.messages.message import ExternalSenderIndex, NewMemberProposal, SenderBody
from dmls.mls.messages.proposal import ProposalBody
from dmls.mls.messages.registry import ExtensionType
from dmls.mls.tree.ratchet_tree import RatchetTree

if TYPE_CHECKING:
    from dmls.mls.group.follower import PublicGroup
    from dmls.mls.group.proposals import ResolvedProposal

__all__ = [
    "check_added_clients",
    "check_application_rules",
    "check_credential",
    "check_custom_proposal",
    "check_external_senders",
    "check_joiner",
    "check_outside_proposal",
    "check_replacement",
    "check_succession",
    "client_across_groups",
]

_REFUSALS: Final = (ValidationError, CodecError, CryptoError)


def check_credential(policy: GroupPolicy, credential: BasicCredential | X509Credential, signature_key: bytes) -> None:
    """Ask about a credential that is new (RFC 9420, Section 5.3.1).

    Raises:
        InvalidLeafNodeError: the application refuses it.
    """
    try:
        policy.check_credential(credential, signature_key)  # CRD-07
    except _REFUSALS as error:
        raise InvalidLeafNodeError(f"the application refuses a credential: {error.message}", rule="CRD-04") from error  # LN-01


def check_succession(policy: GroupPolicy, old: BasicCredential | X509Credential, new: BasicCredential | X509Credential) -> None:
    """Ask about a credential in the place of another (RFC 9420, Section 5.3.1).

    Raises:
        InvalidLeafNodeError: the application refuses it.
    """
    try:
        policy.check_succession(old, new)
    except _REFUSALS as error:
        raise InvalidLeafNodeError(f"the application refuses a successor: {error.message}", rule="CRD-05") from error


def check_replacement(policy: GroupPolicy, old: LeafNode, new: LeafNode) -> None:
    """Ask about a leaf that takes another's place, where anything that the application judges has changed.

    Raises:
        InvalidLeafNodeError: the application refuses the credential, or its following the old one.
    """
    if (old.credential, old.signature_key) != (new.credential, new.signature_key):  # CRD-06
        check_credential(policy, new.credential, new.signature_key)
        check_succession(policy, old.credential, new.credential)


def check_joiner(policy: GroupPolicy, group: PublicGroup, leaf_node: LeafNode, removed: Sequence[LeafNode]) -> None:
    """Ask about a client that joins by external commit; `removed` is its old leaf, if any (RFC 9420, Section 12.4.3.2).

    Raises:
        InvalidLeafNodeError: the application refuses the credential, or its following the old one.
        InvalidCommitError: the client may not join by itself.
    """
    check_credential(policy, leaf_node.credential, leaf_node.signature_key)
    for old in removed:
        check_succession(policy, old.credential, leaf_node.credential)
    try:
        policy.check_external_commit(group, leaf_node, next(iter(removed), None))
    except _REFUSALS as error:
        raise InvalidCommitError(f"the application refuses an external commit: {error.message}", rule="XC-15") from error


def check_external_senders(
    policy: GroupPolicy,
    suite: CipherSuite,
    extensions: Sequence[Extension],
    known: Sequence[Extension] = (),
    limits: Limits = DEFAULT_LIMITS,
) -> None:
    """Ask about the external senders of a group that are not among the `known` extensions (RFC 9420, Section 12.1.8.1).

    Raises:
        InvalidGroupInfoError: the application refuses a credential.
        InvalidCredentialError, LimitError: its certificates are not what they must be.
        CodecError: the extension does not decode.
    """
    listed = read_extension(extensions, ExtensionType.EXTERNAL_SENDERS, ExternalSenders)
    before = read_extension(known, ExtensionType.EXTERNAL_SENDERS, ExternalSenders)
    old = frozenset(() if before is None else before.senders)
    for sender in () if listed is None else listed.senders:
        if sender in old:
            continue
        check_certificates(suite, sender.credential, sender.signature_key, limits)
        try:
            policy.check_credential(sender.credential, sender.signature_key)
        except _REFUSALS as error:
            raise InvalidGroupInfoError(f"the application refuses an external sender: {error.message}", rule="GC-08") from error


def check_outside_proposal(policy: GroupPolicy, group: PublicGroup, sender: SenderBody, proposal: ProposalBody) -> None:
    """Ask about a proposal where its sender is no member (RFC 9420, Section 12.1.8).

    Raises:
        InvalidProposalError: the sender may not propose it.
    """
    if not isinstance(sender, ExternalSenderIndex | NewMemberProposal):
        return
    try:
        policy.check_outside_proposal(group, sender, proposal)
    except _REFUSALS as error:
        raise InvalidProposalError(f"the application refuses a proposal: {error.message}", rule="PR-16") from error


def check_custom_proposal(policy: GroupPolicy, group: PublicGroup, sender: SenderBody, proposal: CustomProposal) -> None:
    """Ask about a proposal of a type that the application has registered (RFC 9420, Section 13.2).

    Raises:
        InvalidProposalError: the application refuses it.
    """
    try:
        policy.check_custom_proposal(group, sender, proposal)
    except _REFUSALS as error:
        raise InvalidProposalError(f"the application refuses a proposal of its own: {error.message}", rule="PL-17") from error


def check_application_rules(
    policy: GroupPolicy, group: PublicGroup, proposals: Sequence[ResolvedProposal], committer: LeafIndex | None
) -> None:
    """Ask about a list of proposals that is sound otherwise; `committer` is None for an external commit.

    Raises:
        InvalidProposalError: the application's own rules forbid it.
    """
    try:
        policy.check_proposals(group, proposals, committer)
    except _REFUSALS as error:
        raise InvalidProposalError(f"the application refuses the proposals: {error.message}", rule="PL-17") from error


def check_added_clients(
    policy: GroupPolicy, tree: RatchetTree, removed: Sequence[LeafIndex], key_packages: Sequence[KeyPackage]
) -> None:
    """Check that no client is added that stays a member, and none twice (RFC 9420, Section 12.2).

    One signature key is one client, whatever the application says; other leaves are of one client if it says so.

    Raises:
        InvalidProposalError: a client is added twice, or is a member already.
    """
    leaving = frozenset(removed)
    members: frozenset[Hashable] | None = None
    signature_keys: set[bytes] = set()
    names: set[Hashable] = set()
    for leaf in (key_package.leaf_node for key_package in key_packages):
        name = policy.client_of(leaf)
        if leaf.signature_key in signature_keys or name in names:
            raise InvalidProposalError("one client is added twice", rule="PL-06")
        signature_keys.add(leaf.signature_key)
        holder = tree.find_signature_key(leaf.signature_key)
        known = holder is not None and holder not in leaving
        if name is not None:
            names.add(name)
            if members is None:
                members = frozenset(policy.client_of(member) for index, member in tree.members() if index not in leaving)
            known = known or name in members
        if known:
            raise InvalidProposalError("the added client is a member", rule="PL-07")


def client_across_groups(policy: GroupPolicy, leaf_node: LeafNode) -> Hashable:
    """Return what a client's leaves in a group and in its successor or branch have in common (RFC 9420, Sections 11.2, 11.3)."""
    name = policy.client_of(leaf_node)
    return leaf_node.credential if name is None else name
