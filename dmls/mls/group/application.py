"""Sending in an epoch: application data and proposals (RFC 9420, Sections 6 and 12.1)."""

from __future__ import annotations

from dataclasses import dataclass

from dmls.errors import InvalidArgumentError, StateError
from dmls.ids import LeafIndex, ProposalRef
from dmls.mls.crypto.randomness import Random
from dmls.mls.framing.padding import Padding, no_padding
from dmls.mls.framing.private_message import protect_private
from dmls.mls.framing.public_message import protect_public
from dmls.mls.framing.signing import proposal_ref, sign_content
from dmls.mls.group.judgement import check_credential
from dmls.mls.group.leaf import Client
from dmls.mls.group.policy import GroupPolicy, OpenPolicy
from dmls.mls.group.process import receive_proposal
from dmls.mls.group.state import GroupState, check_signer, own_leaf
from dmls.mls.messages.message import ApplicationData, AuthenticatedContent, FramedContent, Member, encode_message
from dmls.mls.messages.proposal import Add, ProposalBody
from dmls.mls.messages.registry import WireFormat

__all__ = ["SentMessage", "encrypt", "frame", "propose"]


@dataclass(frozen=True, slots=True, repr=False)
class SentMessage:
    """An encoded MLSMessage and the state after it; the state must be durable before the message leaves (SQ-07)."""

    message: bytes
    state: GroupState
    ref: ProposalRef | None = None


def _sign(
    state: GroupState,
    client: Client,
    leaf_index: LeafIndex,
    body: ApplicationData | ProposalBody,
    authenticated_data: bytes,
    wire_format: WireFormat,
) -> AuthenticatedContent:
    check_signer(own_leaf(state, leaf_index), client.signature_key)
    context = state.public.context
    content = FramedContent(context.group_id, context.epoch, Member(leaf_index), authenticated_data, body)
    signature = sign_content(state.public.suite, wire_format, content, context, client.signature_private_key)
    return AuthenticatedContent(wire_format, content, signature, None)


def frame(state: GroupState, content: AuthenticatedContent, random: Random, padding: Padding) -> tuple[bytes, GroupState]:
    """Make the message that a content was signed for; return it, encoded, and the state after it (RFC 9420, Section 6).

    Raises:
        InvalidArgumentError: neither a public nor a private message.
    """
    group, secrets = state.public, state.secrets
    if content.wire_format is WireFormat.PUBLIC_MESSAGE:
        return encode_message(protect_public(group.suite, content, group.context, secrets.membership_key)), state  # CC-04
    if content.wire_format is not WireFormat.PRIVATE_MESSAGE:
        raise InvalidArgumentError("content is framed as a public or a private message")
    private, tree = protect_private(group.suite, content, state.secret_tree, secrets.sender_data_secret, padding, random)
    return encode_message(private), state.with_secret_tree(tree)


def encrypt(
    state: GroupState,
    client: Client,
    leaf_index: LeafIndex,
    data: bytes,
    random: Random,
    *,
    authenticated_data: bytes = b"",
    padding: Padding = no_padding,
) -> SentMessage:
    """Encrypt application data as the member at `leaf_index`.

    Raises:
        NotAMemberError: the leaf is not an own one.
        StateError: proposals wait to be committed first (CC-14).
    """
    if state.public.proposals:
        raise StateError("proposals must be committed before application data", rule="CC-14")
    content = _sign(state, client, leaf_index, ApplicationData(data), authenticated_data, WireFormat.PRIVATE_MESSAGE)  # SQ-01
    return SentMessage(*frame(state, content, random, padding))


def propose(
    state: GroupState,
    client: Client,
    leaf_index: LeafIndex,
    proposal: ProposalBody,
    random: Random,
    *,
    authenticated_data: bytes = b"",
    wire_format: WireFormat = WireFormat.PUBLIC_MESSAGE,
    padding: Padding = no_padding,
    policy: GroupPolicy = OpenPolicy(),
) -> SentMessage:
    """Send a proposal; the state after remembers it, so that its sender too can commit it.

    Raises:
        NotAMemberError: the leaf is not an own one.
        InvalidLeafNodeError: the application refuses the credential of a client to be added.
    """
    if isinstance(proposal, Add):
        leaf = proposal.key_package.leaf_node
        check_credential(policy, leaf.credential, leaf.signature_key)
    content = _sign(state, client, leaf_index, proposal, authenticated_data, wire_format)
    message, sent = frame(state, content, random, padding)
    return SentMessage(message, receive_proposal(sent, content), proposal_ref(state.public.suite, content))
