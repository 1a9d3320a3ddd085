"""Entering an epoch: with the secrets of its parent, or by a Welcome. Whatever fails leaves what is held as it was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dmls.engine.effects import NoticeKind
from dmls.engine.judging import POLICY
from dmls.engine.nodes import add_epoch, own_leaves
from dmls.engine.profile import rule_of
from dmls.engine.records import put_epoch, put_keys, put_meta
from dmls.engine.state import Draft
from dmls.errors import (
    CryptoError,
    DMLSError,
    EvictedError,
    InvalidCommitError,
    InvalidGroupInfoError,
    InvalidMessageError,
    PuncturedError,
)
from dmls.forks.aad import read_node_ref
from dmls.ids import CommitRef, KeyPackageRef, LeafIndex
from dmls.matrix.bodies import CommitBody, Inline
from dmls.mls.codec import decode
from dmls.mls.framing.public_message import unprotect_public
from dmls.mls.group.leaf import KeyPackageBundle
from dmls.mls.group.process import process_commit
from dmls.mls.group.transition import Transition
from dmls.mls.group.welcome import JoinOptions, join, open_path_keys
from dmls.mls.messages.key_package import key_package_ref
from dmls.mls.messages.message import MLSMessage, PublicMessage
from dmls.mls.messages.welcome import Welcome

__all__ = [
    "MAX_CHILDREN_OF_AUTHOR",
    "STALE_PARENT",
    "TOO_MANY_COMMITS",
    "enter_by_commit",
    "enter_by_commit_event",
    "enter_by_welcome",
]

MAX_CHILDREN_OF_AUTHOR = 8
"""How many commits of one device on one parent are entered: each leaves its mark in the parent's init key."""
TOO_MANY_COMMITS = "TOO_MANY_COMMITS"
STALE_PARENT = "STALE_PARENT"
"""Reason of a valid commit that came when the secrets it needs of its parent were deleted: it counts and is not processed."""


def enter_by_commit(
    draft: Draft,
    ref: CommitRef,
    message: PublicMessage,
    transition: Transition,
    body: CommitBody,
) -> str:
    """Enter a valid commit's epoch, as a member of its parent or by its Welcome; return why not, if something is amiss.

    What fails marks the node for this agent alone, until a copy does not fail.
    """
    reason, is_failure = _follow(draft, ref, message, transition)
    if isinstance(body.welcome, Inline):
        try:
            welcome = decode(MLSMessage, body.welcome.data).body
            if ref not in draft.state.epochs:
                enter_by_welcome(draft, ref, welcome)
            elif isinstance(welcome, Welcome):
                for bundle in _invited(draft, welcome):
                    _take_path_keys(draft, ref, welcome, bundle, transition.committer)
        except DMLSError as error:
            reason, is_failure = reason or error.reason, True
    if ref in draft.state.epochs:
        return ""
    if is_failure:
        draft.notify(NoticeKind.COMMIT_FAILED, ref, reason)
        node = draft.state.entries[ref].node
        is_own = node.author in draft.state.agent.devices
        if not is_own and node.parent_ref in draft.state.epochs and ref not in draft.state.failed:
            draft.update(failed=draft.state.failed.set(ref, True))
            put_meta(draft)
    return reason


def enter_by_commit_event(draft: Draft, ref: CommitRef, body: CommitBody) -> None:
    """Enter an anchor by the Welcome that its event carries, if that is for an own device."""
    if isinstance(body.welcome, Inline):
        try:
            enter_by_welcome(draft, ref, decode(MLSMessage, body.welcome.data).body)
        except DMLSError as error:
            draft.notify(NoticeKind.COMMIT_FAILED, ref, error.reason)


def _follow(draft: Draft, ref: CommitRef, message: PublicMessage, transition: Transition) -> tuple[str, bool]:
    """Process a commit as a member of its parent; return why that was not done, and whether it should have been possible."""
    parent_ref = draft.state.entries[ref].node.parent_ref
    held = draft.state.epochs.get(parent_ref)
    if held is None:
        return STALE_PARENT if parent_ref in draft.state.expired else "", False
    if transition.is_external and not held.state.secrets.external_secret:
        return STALE_PARENT, False
    if _has_entered_enough(draft, ref):
        return TOO_MANY_COMMITS, True
    try:
        unprotect_public(held.state.public.suite, message, held.state.public.context, held.state.secrets.membership_key)
        added = _own_additions(draft, transition)
        joined = {bundle.key_package.leaf_node.encryption_key: bundle.encryption_private_key for bundle in added}
        processed = process_commit(held.state, transition, {**draft.state.ring.keys, **joined})
    except EvictedError:
        draft.notify(NoticeKind.EVICTED, ref)
        return "", False
    except (CryptoError, InvalidCommitError, PuncturedError) as error:
        return error.reason, True
    parent = replace(held, state=processed.parent)
    draft.update(epochs=draft.state.epochs.set(parent_ref, parent))
    put_epoch(draft, parent_ref, parent)
    add_epoch(draft, ref, processed.state, {**processed.private_keys, **joined})
    draft.consumed += [bundle.ref for bundle in added]
    return "", False


def _has_entered_enough(draft: Draft, ref: CommitRef) -> bool:
    """Tell whether a commit's author has made so many others on its parent that were entered."""
    state = draft.state
    node = state.graph.node(ref)
    others = (other for other in state.graph.authored(node.author) if state.graph.node(other).parent_ref == node.parent_ref)
    return sum(other in state.epochs or other in state.expired for other in others) >= MAX_CHILDREN_OF_AUTHOR


def _own_additions(draft: Draft, transition: Transition) -> tuple[KeyPackageBundle, ...]:
    """Return the own key packages that a commit adds."""
    if not draft.bundles:
        return ()
    refs = (key_package_ref(transition.group.suite, key_package) for _, key_package in transition.applied.added)
    return tuple(draft.bundles[ref] for ref in refs if ref in draft.bundles)


def _invited(draft: Draft, welcome: Welcome) -> Iterator[KeyPackageBundle]:
    """Yield the own key packages that a Welcome is for."""
    for secrets in welcome.secrets:
        bundle = draft.bundles.get(KeyPackageRef(secrets.new_member))
        if bundle is not None:
            yield bundle


def _take_path_keys(draft: Draft, ref: CommitRef, welcome: Welcome, bundle: KeyPackageBundle, committer: LeafIndex) -> None:
    """Keep the keys above a leaf that a commit adds beside the own one by which its epoch was entered: that one may go first."""
    try:
        keys = open_path_keys(welcome, bundle, draft.state.entries[ref].group, committer)
    except DMLSError as error:
        # The epoch is entered all the same; without these keys the new leaf joins again when the other one is gone.
        draft.notify(NoticeKind.COMMIT_FAILED, ref, error.reason)
        return
    draft.update(ring=draft.state.ring.add(keys))
    put_keys(draft, keys)


def enter_by_welcome(draft: Draft, ref: CommitRef, message: object) -> bool:
    """Enter a known node's epoch by Welcome, if one of the bundles at hand is for it; tell whether it was.

    Raises:
        DMLSError: the Welcome is for one of them but breaks a rule; the key package stays usable (WL-28).
    """
    if not isinstance(message, Welcome):
        raise InvalidMessageError("not a Welcome")
    entry = draft.state.entries[ref]
    if ref in draft.state.epochs or ref in draft.state.expired:
        return False
    committer: LeafIndex | None = None
    for bundle in _invited(draft, message):
        if committer is None:
            options = JoinOptions(rule=rule_of(entry.group), policy=POLICY, followed=entry.group)
            joined = join(entry.group.suite, message, bundle, options=options)
            if read_node_ref(joined.group_info.extensions) != ref:
                raise InvalidGroupInfoError("the Welcome is of another node")
            add_epoch(draft, ref, joined.state, joined.private_keys)
            committer = LeafIndex(joined.group_info.signer)
        else:
            _take_path_keys(draft, ref, message, bundle, committer)
            leaf_key = bundle.key_package.leaf_node.encryption_key
            add_epoch(draft, ref, draft.state.epochs[ref].state, {leaf_key: bundle.encryption_private_key})
        draft.consumed.append(bundle.ref)
    if committer is not None:
        held = draft.state.epochs[ref]
        leaves = own_leaves(draft, entry.group.tree)
        add_epoch(draft, ref, replace(held.state, own_leaves=leaves), {})
        draft.notify(NoticeKind.JOINED, ref)
    return committer is not None
