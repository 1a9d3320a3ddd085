"""From one epoch to the next, as far as no secret is needed (RFC 9420, Section 12.4.2).

A member that processes a commit, a committer that makes one and a server that only follows all take this road; the secrets are
added by `process`, `commit` and `external`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from immutables import Map

from dmls.errors import InvalidCommitError
from dmls.ids import LeafIndex
from dmls.mls.codec import encode
from dmls.mls.group.applied import AppliedProposals, apply_proposals, check_signature_key
from dmls.mls.group.follower import PublicGroup
from dmls.mls.group.judgement import check_joiner, check_replacement
from dmls.mls.group.policy import GroupPolicy
from dmls.mls.group.proposals import check_proposal_list, is_path_required, resolve_proposals
from dmls.mls.group.validation import check_group_members, check_leaf_node
from dmls.mls.limits import DEFAULT_LIMITS, Limits
from dmls.mls.messages.commit import Commit, UpdatePath
from dmls.mls.messages.group_context import GroupContext
from dmls.mls.messages.leaf_node import CommitSource, LeafNode
from dmls.mls.messages.message import AuthenticatedContent, Member, NewMemberCommit
from dmls.mls.schedule.transcript import confirmed_transcript_hash, interim_transcript_hash
from dmls.mls.tree.leaves import check_leaf_signature
from dmls.mls.tree.ratchet_tree import RatchetTree
from dmls.mls.tree.treekem import merge_path

__all__ = ["Transition", "add_joiner", "enter", "follow_commit", "provisional_context"]

_LAST_EPOCH = 0xFFFFFFFFFFFFFFFF


@dataclass(frozen=True, slots=True)
class Transition:
    """A commit's public effect.

    `group` is the next epoch. Its confirmation tag is the commit's claim: only those who hold the epoch's secrets can check it.
    """

    commit: Commit
    committer: LeafIndex
    is_external: bool
    applied: AppliedProposals
    tree_before_path: RatchetTree
    provisional_context: bytes
    group: PublicGroup

    @property
    def added_leaves(self) -> frozenset[LeafIndex]:
        """The leaves that the commit adds by Add proposals: the path is not sealed to them."""
        return frozenset(index for index, _ in self.applied.added)


def provisional_context(group: PublicGroup, applied: AppliedProposals, tree: RatchetTree) -> bytes:
    """Return the encoded group context that path secrets are sealed with (UP-06): the old transcript, all else new.

    Raises:
        InvalidCommitError: the last epoch that can be numbered is reached.
    """
    return encode(_next_context(group, applied, tree, group.context.confirmed_transcript_hash))


def _next_context(group: PublicGroup, applied: AppliedProposals, tree: RatchetTree, confirmed: bytes) -> GroupContext:
    old = group.context
    if old.epoch == _LAST_EPOCH:
        raise InvalidCommitError("no epoch is left", rule="KS-05")
    return GroupContext(
        old.version, old.cipher_suite, old.group_id, old.epoch + 1, tree.tree_hash, confirmed, applied.extensions
    )  # UP-06


def enter(
    group: PublicGroup, applied: AppliedProposals, tree: RatchetTree, confirmed: bytes, confirmation_tag: bytes
) -> PublicGroup:
    """Return the next epoch's public half (RFC 9420, Section 8.1; KS-05).

    Raises:
        InvalidCommitError: the last epoch that can be numbered is reached.
    """
    context = _next_context(group, applied, tree, confirmed)
    interim = interim_transcript_hash(group.suite, confirmed, confirmation_tag)
    return PublicGroup(group.suite, context, tree, interim, confirmation_tag, Map())  # PR-02, PR-18, CP-16


def add_joiner(tree: RatchetTree, leaf_node: LeafNode) -> tuple[RatchetTree, LeafIndex]:
    """Reserve the leaf of somebody who joins by external commit: the leftmost blank one after the removal (XC-10).

    The keys stay out until the path is merged, so that the path is judged against the keys of the others.
    """
    return tree.add(replace(leaf_node, encryption_key=b"", signature_key=b""))  # XC-10


def follow_commit(
    group: PublicGroup,
    content: AuthenticatedContent,
    policy: GroupPolicy,
    *,
    now: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Transition:
    """Judge a commit whose signature is verified, and work out the epoch it makes (RFC 9420, Section 12.4.2).

    `now` (seconds since the epoch) turns lifetime checks of added key packages on. A public epoch does not tell that a ReInit has
    closed its group: who follows without a `GroupState` ends where `applied.reinit` is set, since no member goes on.

    Raises:
        InvalidCommitError, InvalidProposalError, InvalidLeafNodeError, InvalidKeyPackageError, InvalidGroupInfoError,
            SignatureError: it is invalid.
        LimitError: the group would be larger than `limits` allow.
    """
    framed = content.content
    commit, sender = framed.content, framed.sender
    if not isinstance(commit, Commit) or content.confirmation_tag is None:
        raise InvalidCommitError("not a commit", rule="FRM-10")
    # Those who cannot check the tag should not follow a commit that no member will.
    group.suite.check_mac_size(content.confirmation_tag)
    if not isinstance(sender, Member | NewMemberCommit):
        raise InvalidCommitError("only members and joiners commit", rule="CP-18")
    committer = LeafIndex(sender.leaf_index) if isinstance(sender, Member) else None
    proposals = resolve_proposals(group, commit, sender, limits)
    check_proposal_list(group, proposals, committer, policy)  # CP-03
    path = commit.path
    if path is None and is_path_required(proposals):
        raise InvalidCommitError("the path is missing", rule="CP-05" if isinstance(sender, Member) else "XC-02")
    applied = apply_proposals(group, proposals, policy, now=now, limits=limits)  # PL-01
    tree = before = applied.tree
    leaf_index = LeafIndex(0) if committer is None else committer
    if path is not None:  # CP-06
        if committer is None:
            before, leaf_index = add_joiner(before, path.leaf_node)
        tree = _merge_judged_path(group, applied, before, leaf_index, path, policy, limits, is_external=committer is None)
    check_group_members(tree, applied.extensions, limits)  # PR-04, PR-11, PR-12, PL-14, AP-03
    confirmed = confirmed_transcript_hash(group.suite, group.interim_transcript_hash, content)
    return Transition(
        commit,
        leaf_index,
        committer is None,
        applied,
        before,
        provisional_context(group, applied, tree),
        enter(group, applied, tree, confirmed, content.confirmation_tag),
    )


def _merge_judged_path(
    group: PublicGroup,
    applied: AppliedProposals,
    tree: RatchetTree,
    committer: LeafIndex,
    path: UpdatePath,
    policy: GroupPolicy,
    limits: Limits,
    *,
    is_external: bool,
) -> RatchetTree:
    leaf = path.leaf_node
    check_leaf_node(group.suite, leaf, CommitSource, limits=limits)  # CP-07
    check_leaf_signature(group.suite, leaf, group.context.group_id, committer)  # XC-17
    check_signature_key(tree, leaf, committer)
    if is_external:
        removed = [old for _, old in applied.removed]
        if any(old.encryption_key == leaf.encryption_key for old in removed):
            raise InvalidCommitError("a rejoining client needs a fresh encryption key", rule="XC-11")
        check_joiner(policy, group, leaf, removed)
    else:
        replaced = tree.leaf(committer)
        if replaced is not None:
            if replaced.encryption_key == leaf.encryption_key:
                raise InvalidCommitError("the path needs a fresh encryption key", rule="LN-19")
            check_replacement(policy, replaced, leaf)
    return merge_path(tree, committer, path, excluded=frozenset(index for index, _ in applied.added))  # CP-08, XC-18
