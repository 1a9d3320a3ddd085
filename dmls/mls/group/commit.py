"""Making a commit (RFC 9420, Section 12.4.1).

Nothing here changes a state. The result holds the child epoch and what becomes of the parent, and the caller decides when, and
whether, they take effect (CC-05).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from dmls.ids import LeafIndex
from dmls.mls.crypto.randomness import Random
from dmls.mls.crypto.secret import Secret
from dmls.mls.framing.padding import Padding, no_padding
from dmls.mls.framing.signing import sign_content
from dmls.mls.group.application import frame
from dmls.mls.group.applied import AppliedProposals, apply_proposals, check_signature_key
from dmls.mls.group.follower import PublicGroup
from dmls.mls.group.judgement import check_replacement
from dmls.mls.group.leaf import Client, make_leaf_node
from dmls.mls.group.policy import GroupPolicy, OpenPolicy, PSKLookup
from dmls.mls.group.proposals import check_proposal_list, is_path_required, resolve_proposals
from dmls.mls.group.secrets import collect_psks, derive_child, regular_init, with_init_state
from dmls.mls.group.state import GroupState, check_signer, confirm, own_leaf
from dmls.mls.group.transition import enter, provisional_context
from dmls.mls.group.validation import check_group_members, check_leaf_content, check_own_extensions
from dmls.mls.group.welcome import make_group_info, make_welcome
from dmls.mls.limits import DEFAULT_LIMITS, Limits
from dmls.mls.messages.commit import Commit, ProposalReference
from dmls.mls.messages.extensions import Extension
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.leaf_node import CommitSource, LeafNode
from dmls.mls.messages.message import AuthenticatedContent, FramedContent, Member
from dmls.mls.messages.proposal import ProposalBody
from dmls.mls.messages.psk import PreSharedKeyID
from dmls.mls.messages.registry import WireFormat
from dmls.mls.messages.welcome import Welcome
from dmls.mls.schedule.transcript import confirmation_tag, confirmed_transcript_hash
from dmls.mls.tree.ratchet_tree import RatchetTree
from dmls.mls.tree.treekem import StagedPath, seal_path, stage_path

__all__ = ["CommitOptions", "StagedCommit", "create_commit", "leaf_maker", "stage_own_path"]


def _no_extensions(_content: AuthenticatedContent) -> Sequence[Extension]:
    return ()


@dataclass(frozen=True, slots=True)
class CommitOptions:
    """How to make a commit, where the defaults do not fit."""

    authenticated_data: bytes = b""
    wire_format: WireFormat = WireFormat.PUBLIC_MESSAGE
    force_path: bool = False
    """Make a path also where the proposals need none."""
    padding: Padding = no_padding
    """Of a private message."""
    signature_private_key: Secret | None = None
    """The key of the committer's leaf in the current epoch, where the client brings a new one (CC-16)."""
    group_info_extensions: Callable[[AuthenticatedContent], Sequence[Extension]] = _no_extensions
    """Extensions of the GroupInfo in the Welcome, which may name the commit."""
    welcome_with_tree: bool = True
    welcome_with_external_pub: bool = True
    """Whether others can join by the GroupInfo in the Welcome too."""
    policy: GroupPolicy = OpenPolicy()
    psks: PSKLookup | None = None
    now: int | None = None
    """Seconds since the epoch; turns lifetime checks of added key packages on (LN-12)."""
    limits: Limits = DEFAULT_LIMITS
    link: PreSharedKeyID | None = None
    """The key that links a new group's first commit to the group it continues; `dmls.mls.group.successor` sets it."""


_DEFAULT_OPTIONS = CommitOptions()


@dataclass(frozen=True, slots=True, repr=False)
class StagedCommit:
    """A commit and everything that follows from it, none of it in effect yet."""

    content: AuthenticatedContent
    message: bytes
    """The encoded MLSMessage."""
    state: GroupState
    """The new epoch."""
    parent: GroupState
    """The old epoch after the commit: init state and, for a private message, ratchet moved on."""
    private_keys: Mapping[bytes, Secret]
    """New private keys by public key."""
    applied: AppliedProposals
    welcome: Welcome | None
    """Invites whom the commit adds."""
    group_info: GroupInfo | None
    """What the Welcome carries. Who joins otherwise needs what `dmls.mls.group.welcome.make_group_info` makes of `state`."""


def create_commit(
    state: GroupState,
    client: Client,
    leaf_index: LeafIndex,
    proposals: Sequence[ProposalBody | ProposalReference],
    random: Random,
    options: CommitOptions = _DEFAULT_OPTIONS,
) -> StagedCommit:
    """Make a commit of `proposals` as the member at `leaf_index`.

    Raises:
        NotAMemberError: the leaf is not an own one, or holds another signature key.
        StateError: the group is closed by a ReInit (CP-12).
        InvalidCommitError, InvalidProposalError, InvalidLeafNodeError, InvalidKeyPackageError, InvalidGroupInfoError,
            SignatureError: a proposal cannot be committed, or the client does not fit the group.
        LimitError: the group would be larger than the limits allow.
    """
    leaf = own_leaf(state, leaf_index)
    group = state.public
    old_key = options.signature_private_key
    check_signer(leaf, client.signature_key if old_key is None else group.suite.signature_public_key(old_key))
    sender = Member(leaf_index)
    commit = Commit(tuple(proposals), None)
    resolved = resolve_proposals(group, commit, sender, options.limits)
    check_proposal_list(group, resolved, leaf_index, options.policy, link=options.link)
    applied = apply_proposals(group, resolved, options.policy, now=options.now, limits=options.limits, is_sending=True)
    if applied.extensions != group.context.extensions:
        check_own_extensions(applied.extensions)
    staged = None
    if options.force_path or is_path_required(resolved):
        staged = stage_own_path(group, applied.tree, client, leaf_index, random, options.limits)
        check_replacement(options.policy, leaf, staged.leaf_node)
    else:
        check_signer(leaf, client.signature_key)
    tree = applied.tree if staged is None else staged.tree
    check_group_members(tree, applied.extensions, options.limits)
    if staged is not None:
        context = provisional_context(group, applied, tree)
        added = frozenset(index for index, _ in applied.added)
        commit = replace(commit, path=seal_path(applied.tree, staged, added, context, random))
    content = FramedContent(group.context.group_id, group.context.epoch, sender, options.authenticated_data, commit)
    signing_key = options.signature_private_key or client.signature_private_key  # CC-16
    signature = sign_content(group.suite, options.wire_format, content, group.context, signing_key)  # CC-03
    unconfirmed = AuthenticatedContent(options.wire_format, content, signature, b"")
    return _finish(state, client, leaf_index, applied, staged, unconfirmed, random, options)


def stage_own_path(
    group: PublicGroup,
    tree: RatchetTree,
    client: Client,
    leaf_index: LeafIndex,
    random: Random,
    limits: Limits = DEFAULT_LIMITS,
) -> StagedPath:
    """Stage the committer's path, and hold its leaf to what others will hold it to (LN-05, LN-06, LN-07, LN-20).

    Args:
        group: the epoch in which the commit is sent.
        tree: the tree after the commit's proposals, with a leaf at `leaf_index`.
        client: who commits; its signature key may be new.
        leaf_index: where.
        random: source of the new keys.
        limits: the bounds to keep.

    Raises:
        InvalidLeafNodeError: the client does not fit the group, or its new signature key belongs to another member.
    """
    staged = stage_path(tree, leaf_index, leaf_maker(group, client, leaf_index), random)
    check_signature_key(tree, staged.leaf_node, leaf_index)
    check_leaf_content(group.suite, staged.leaf_node, limits=limits)
    return staged


def leaf_maker(group: PublicGroup, client: Client, leaf_index: LeafIndex) -> Callable[[bytes, bytes], LeafNode]:
    """Return what makes the committer's new leaf from its encryption key and parent hash (CC-07)."""

    def make(encryption_key: bytes, parent_hash: bytes) -> LeafNode:
        source = CommitSource(parent_hash)
        return make_leaf_node(
            group.suite, client, encryption_key, source, group_id=group.context.group_id, leaf_index=leaf_index
        )  # CC-07

    return make


def _finish(
    state: GroupState,
    client: Client,
    leaf_index: LeafIndex,
    applied: AppliedProposals,
    staged: StagedPath | None,
    unconfirmed: AuthenticatedContent,
    random: Random,
    options: CommitOptions,
) -> StagedCommit:
    group, suite = state.public, state.public.suite
    tree = applied.tree if staged is None else staged.tree
    confirmed = confirmed_transcript_hash(suite, group.interim_transcript_hash, unconfirmed)
    untagged = enter(group, applied, tree, confirmed, b"")
    own_leaves = state.own_leaves - {index for index, _ in applied.removed}
    psks = collect_psks(state, applied.psk_ids, options.psks)
    init = regular_init(state, None if staged is None else staged.last_path_secret)
    commit_secret = None if staged is None else staged.commit_secret
    child = derive_child(state, untagged, init, commit_secret, psks, own_leaves, options.limits)
    tag = confirmation_tag(suite, child.state.secrets.confirmation_key, confirmed)
    content = replace(unconfirmed, confirmation_tag=tag)
    new_state = confirm(child.state, tag)
    if applied.reinit is not None:
        new_state = replace(new_state, closed_by=applied.reinit)
    parent = with_init_state(state, child.parent_init_state)
    message, parent = frame(parent, content, random, options.padding)
    welcome = group_info = None
    if applied.added:
        group_info = make_group_info(  # CC-08
            new_state,
            client,
            leaf_index,
            extensions=tuple(options.group_info_extensions(content)),
            with_tree=options.welcome_with_tree,
            with_external_pub=options.welcome_with_external_pub,
        )
        welcome = make_welcome(child, applied, staged, group_info, random)
    keys = {} if staged is None else dict(staged.private_keys)
    return StagedCommit(content, message, new_state, parent, keys, applied, welcome, group_info)  # CC-05, CC-06
