"""Joining by external commit (RFC 9420, Section 12.4.3.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dmls.errors import CryptoError, InvalidCommitError, InvalidGroupInfoError
from dmls.ids import LeafIndex
from dmls.mls.codec import encode
from dmls.mls.crypto.randomness import Random
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.framing.public_message import protect_public
from dmls.mls.framing.signing import sign_content
from dmls.mls.group.applied import AppliedProposals, apply_proposals
from dmls.mls.group.commit import CommitOptions, stage_own_path
from dmls.mls.group.follower import PublicGroup, check_followed_group_info, follow
from dmls.mls.group.judgement import check_joiner
from dmls.mls.group.leaf import Client, make_unsigned_leaf_node
from dmls.mls.group.proposals import ResolvedProposal, check_proposal_list
from dmls.mls.group.state import GroupState, confirm, open_epoch
from dmls.mls.group.transition import add_joiner, enter, provisional_context
from dmls.mls.group.validation import check_group_members, check_own_support
from dmls.mls.group.welcome import choose_tree
from dmls.mls.messages.commit import Commit
from dmls.mls.messages.extensions import ExternalPub, read_extension
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.leaf_node import CommitSource
from dmls.mls.messages.message import AuthenticatedContent, FramedContent, NewMemberCommit, encode_message
from dmls.mls.messages.proposal import ExternalInit, PreSharedKey, ProposalBody, Remove
from dmls.mls.messages.psk import PreSharedKeyID
from dmls.mls.messages.registry import ExtensionType, WireFormat
from dmls.mls.schedule.key_schedule import (
    RFC9420_RULE,
    InitSecretRule,
    derive_joiner_secret,
    derive_member_secrets,
)
from dmls.mls.schedule.psk import derive_psk_secret
from dmls.mls.schedule.transcript import confirmation_tag, confirmed_transcript_hash
from dmls.mls.tree.ratchet_tree import RatchetTree
from dmls.mls.tree.treekem import StagedPath, seal_path

__all__ = ["StagedExternalCommit", "create_external_commit", "join_externally"]

_DEFAULT_OPTIONS = CommitOptions()


@dataclass(frozen=True, slots=True, repr=False)
class StagedExternalCommit:
    """An external commit and the epoch it makes, not in effect yet."""

    content: AuthenticatedContent
    message: bytes
    """The encoded MLSMessage."""
    state: GroupState
    leaf_index: LeafIndex
    private_keys: Mapping[bytes, Secret]
    applied: AppliedProposals


def create_external_commit(
    group: PublicGroup,
    group_info: GroupInfo,
    client: Client,
    random: Random,
    *,
    replaces: LeafIndex | None = None,
    psks: Sequence[tuple[PreSharedKeyID, bytes]] = (),
    rule: InitSecretRule = RFC9420_RULE,
    options: CommitOptions = _DEFAULT_OPTIONS,
) -> StagedExternalCommit:
    """Join the followed epoch `group` with nobody's help; `replaces` is an old leaf of this client, removed in the same commit.

    Args:
        group: the epoch to join after, as `follow` and `follow_commit` give it.
        group_info: of that epoch; its signature is verified here.
        client: who joins.
        random: source of the new keys.
        replaces: an old leaf of the client.
        psks: pre-shared keys to inject.
        rule: how init secrets come about in this group.
        options: as for a regular commit; wire format, path and Welcome do not apply.

    Raises:
        InvalidGroupInfoError: the GroupInfo is of another epoch, or lacks a sound external_pub (XC-01, XC-16).
        SignatureError: the GroupInfo is not signed by the member it names.
        InvalidCommitError, InvalidLeafNodeError, InvalidProposalError: the client does not fit the group, or is in it.
    """
    check_followed_group_info(group.suite, group_info, group)  # XC-12
    return _commit(group, _external_pub(group.suite, group_info), client, random, replaces, psks, rule, options)


def join_externally(
    suite: CipherSuite,
    group_info: GroupInfo,
    client: Client,
    random: Random,
    *,
    ratchet_tree: bytes | None = None,
    replaces: LeafIndex | None = None,
    psks: Sequence[tuple[PreSharedKeyID, bytes]] = (),
    rule: InitSecretRule = RFC9420_RULE,
    options: CommitOptions = _DEFAULT_OPTIONS,
) -> StagedExternalCommit:
    """Judge a group by its GroupInfo and tree, as `follow` does, and join it as `create_external_commit` does.

    Args:
        suite: the cipher suite that the group must have.
        group_info: what a member says of the epoch.
        client: who joins.
        random: source of the new keys.
        ratchet_tree: the encoded tree, where the GroupInfo does not carry it.
        replaces: an old leaf of the client.
        psks: pre-shared keys to inject.
        rule: how init secrets come about in this group.
        options: as for a regular commit; wire format, path and Welcome do not apply. `now` is that of `follow`.

    Raises:
        ValidationError, SignatureError, LimitError: as those two do.
    """
    tree = choose_tree(suite, group_info, ratchet_tree, options.limits)
    group = follow(suite, group_info, tree, policy=options.policy, now=options.now, limits=options.limits)
    return _commit(group, _external_pub(suite, group_info), client, random, replaces, psks, rule, options)


def _commit(
    group: PublicGroup,
    external_pub: bytes,
    client: Client,
    random: Random,
    replaces: LeafIndex | None,
    psks: Sequence[tuple[PreSharedKeyID, bytes]],
    rule: InitSecretRule,
    options: CommitOptions,
) -> StagedExternalCommit:
    suite = group.suite
    kem_output, init_secret = suite.export_external_init_seal(external_pub, random)
    bodies: list[ProposalBody] = [ExternalInit(kem_output)]
    if replaces is not None:
        bodies.append(Remove(replaces))
    bodies += [PreSharedKey(psk_id) for psk_id, _ in psks]
    applied = _apply(group, bodies, options)
    if applied.tree.find_signature_key(client.signature_key) is not None:
        raise InvalidCommitError("the client is a member already", rule="XC-13")
    staged, leaf_index, before = _stage(group, client, applied, random, options)
    commit = Commit(
        tuple(bodies),
        seal_path(before, staged, frozenset(), provisional_context(group, applied, staged.tree), random),
    )
    framed = FramedContent(
        group.context.group_id, group.context.epoch, NewMemberCommit(), options.authenticated_data, commit
    )  # XC-07
    signature = sign_content(suite, WireFormat.PUBLIC_MESSAGE, framed, group.context, client.signature_private_key)
    unconfirmed = AuthenticatedContent(WireFormat.PUBLIC_MESSAGE, framed, signature, b"")
    confirmed = confirmed_transcript_hash(suite, group.interim_transcript_hash, unconfirmed)
    untagged = enter(group, applied, staged.tree, confirmed, b"")
    context = encode(untagged.context)
    joiner = derive_joiner_secret(suite, init_secret, staged.commit_secret, context)
    _, epoch_secret = derive_member_secrets(suite, joiner, derive_psk_secret(suite, psks), context)
    state = open_epoch(untagged, rule, epoch_secret, frozenset({leaf_index}), limits=options.limits)
    tag = confirmation_tag(suite, state.secrets.confirmation_key, confirmed)
    content = replace(unconfirmed, confirmation_tag=tag)
    state = confirm(state, tag)
    message = encode_message(protect_public(suite, content, group.context, None))
    return StagedExternalCommit(content, message, state, leaf_index, dict(staged.private_keys), applied)


def _apply(group: PublicGroup, bodies: Sequence[ProposalBody], options: CommitOptions) -> AppliedProposals:
    resolved = [ResolvedProposal(body, NewMemberCommit()) for body in bodies]
    check_proposal_list(group, resolved, None, options.policy)
    return apply_proposals(group, resolved, options.policy, limits=options.limits)


def _external_pub(suite: CipherSuite, group_info: GroupInfo) -> bytes:
    """Return the key to encapsulate to (XC-01, XC-16)."""
    extension = read_extension(group_info.extensions, ExtensionType.EXTERNAL_PUB, ExternalPub)
    if extension is None:
        raise InvalidGroupInfoError("the GroupInfo has no external_pub", rule="XC-01")
    try:
        suite.check_encryption_key(extension.external_pub)
    except CryptoError as error:
        raise InvalidGroupInfoError("external_pub is no key of the cipher suite", rule="XC-16") from error
    return extension.external_pub


def _stage(
    group: PublicGroup, client: Client, applied: AppliedProposals, random: Random, options: CommitOptions
) -> tuple[StagedPath, LeafIndex, RatchetTree]:
    """Stage the joiner's path: its leaf enters at the place that the others will give it (XC-10, XC-17)."""
    template = make_unsigned_leaf_node(client, b"", CommitSource(b""))
    check_own_support(template, applied.extensions)
    before, leaf_index = add_joiner(applied.tree, template)
    staged = stage_own_path(group, before, client, leaf_index, random, options.limits)
    check_joiner(options.policy, group, staged.leaf_node, [leaf for _, leaf in applied.removed])
    check_group_members(staged.tree, applied.extensions, options.limits)
    return staged, leaf_index, before
