"""Processing what others send in an epoch (RFC 9420, Sections 6 and 12.4.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dmls.errors import EvictedError, InvalidMessageError
from dmls.mls.crypto.secret import Secret
from dmls.mls.framing.private_message import unprotect_private
from dmls.mls.framing.public_message import unprotect_public
from dmls.mls.group.follower import cache_proposal, check_epoch, verify_sender
from dmls.mls.group.policy import GroupPolicy, OpenPolicy, PSKLookup
from dmls.mls.group.secrets import (
    check_confirmation,
    collect_psks,
    derive_child,
    external_init,
    regular_init,
    with_init_state,
)
from dmls.mls.group.state import GroupState, check_open
from dmls.mls.group.transition import Transition, follow_commit
from dmls.mls.limits import DEFAULT_LIMITS, Limits
from dmls.mls.messages.message import AuthenticatedContent, MLSMessage, PrivateMessage, PublicMessage
from dmls.mls.tree.treekem import OpenedPath, open_path

__all__ = ["ProcessedCommit", "open_message", "process_commit", "process_handshake", "receive_proposal"]


@dataclass(frozen=True, slots=True, repr=False)
class ProcessedCommit:
    """A commit by another, verified down to its confirmation tag, and what follows from it."""

    state: GroupState
    """The new epoch."""
    parent: GroupState
    """The old epoch after the commit took its init secret."""
    private_keys: Mapping[bytes, Secret]
    """New private keys by public key."""
    transition: Transition


def open_message(state: GroupState, message: MLSMessage) -> tuple[AuthenticatedContent, GroupState]:
    """Open and verify a framed message of this epoch; return its content and the state with the ratchet moved on.

    Raises:
        InvalidMessageError, EpochError: it does not belong here.
        SignatureError, MacError, DecryptionError, KeyConsumedError: it is forged, damaged or a replay.
        StateError: the group is closed by a ReInit, and nothing that is sent in it any more counts (RB-06).
    """
    check_open(state, "RB-06")
    public, suite = state.public, state.public.suite
    body = message.body
    if isinstance(body, PublicMessage):
        check_epoch(public, body.content)  # CP-01
        content = unprotect_public(suite, body, public.context, state.secrets.membership_key)  # PUB-04
        verify_sender(public, content)  # CP-02
        return content, state
    if not isinstance(body, PrivateMessage):
        raise InvalidMessageError("not a framed message")
    check_epoch(public, body)
    content, secret_tree, _generation = unprotect_private(
        suite, body, state.secret_tree, state.secrets.sender_data_secret, lambda leaf: public.tree.leaf(leaf) is not None
    )
    verify_sender(public, content)  # PRV-11, PRV-12
    return content, state.with_secret_tree(secret_tree)


def receive_proposal(
    state: GroupState, content: AuthenticatedContent, limits: Limits = DEFAULT_LIMITS, policy: GroupPolicy = OpenPolicy()
) -> GroupState:
    """Remember an opened proposal until a commit names it or the epoch ends (PR-01, PR-02).

    Raises:
        InvalidMessageError: the content is no proposal.
        InvalidProposalError: it injects a key that only a group's founder may, or its sender is outside the group and may not
            propose it.
        LimitError: as many proposals wait already as a commit may hold.
    """
    return replace(state, public=cache_proposal(state.public, content, limits, policy))


def process_commit(
    state: GroupState,
    transition: Transition,
    private_keys: Mapping[bytes, Secret],
    *,
    psks: PSKLookup | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> ProcessedCommit:
    """Enter the epoch that a verified commit makes; `transition` is what `follow_commit` said of it, from the same epoch.

    Leaves of this agent that the commit adds become own leaves where `private_keys` holds their key. The keys of nodes that only
    they are below come with their Welcome.

    Raises:
        EvictedError: the commit leaves this agent without a leaf (CP-09).
        StateError: the group is closed by a ReInit (RB-06).
        InvalidCommitError, DecryptionError, MacError: the commit is wrong for this member. Nothing has changed (CP-11).
    """
    check_open(state, "RB-06")
    applied, path = transition.applied, transition.commit.path
    removed = {index for index, _ in applied.removed}
    remaining = state.own_leaves - removed
    joined = {index for index, key_package in applied.added if key_package.leaf_node.encryption_key in private_keys}
    own_leaves = frozenset(remaining | joined)
    if not remaining:
        raise EvictedError("the commit removes this member", rule="CP-09")  # ST-14
    opened: OpenedPath | None = None
    if path is not None:
        opened = open_path(
            transition.tree_before_path,
            transition.group.tree,
            transition.committer,
            path,
            transition.added_leaves,
            private_keys,
            remaining - {transition.committer},
            transition.provisional_context,
        )
    if applied.kem_output is not None:
        init = external_init(state, applied.kem_output)
    else:
        init = regular_init(state, None if opened is None else opened.last_path_secret)
    found = collect_psks(state, applied.psk_ids, psks)
    commit_secret = None if opened is None else opened.commit_secret
    child = derive_child(state, transition.group, init, commit_secret, found, own_leaves, limits)
    check_confirmation(child.state, "CP-10")
    new_keys = {} if opened is None else dict(opened.private_keys)
    new_state = child.state if applied.reinit is None else replace(child.state, closed_by=applied.reinit)
    return ProcessedCommit(new_state, with_init_state(state, child.parent_init_state), new_keys, transition)  # CP-11


def process_handshake(
    state: GroupState,
    content: AuthenticatedContent,
    private_keys: Mapping[bytes, Secret],
    *,
    policy: GroupPolicy | None = None,
    psks: PSKLookup | None = None,
    now: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> ProcessedCommit:
    """Judge and process an opened commit in one go.

    Raises:
        ValidationError, StateError, CryptoError: as `follow_commit` and `process_commit` do.
    """
    transition = follow_commit(state.public, content, policy or OpenPolicy(), now=now, limits=limits)
    return process_commit(state, transition, private_keys, psks=psks, limits=limits)
