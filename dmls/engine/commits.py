"""Genesis and commit events: judged by what everybody can see, then entered with what this agent holds."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from dmls.engine.agent import device_of
from dmls.engine.alarms import note_pointers, note_vote
from dmls.engine.anchors import join_up
from dmls.engine.backfill import want_history, want_resolved
from dmls.engine.effects import EventKind, EventResult, IngestOutcome, NoticeKind
from dmls.engine.judging import (
    POLICY,
    check_author,
    check_group_info,
    commit_of,
    content_of_commit,
    inline,
    path_of,
    read_commit,
    read_group_info,
    transition_devices,
)
from dmls.engine.leaves import note_other_commit
from dmls.engine.nodes import add_epoch, add_node, correct_node, own_leaves, refresh_head
from dmls.engine.parking import Missing
from dmls.engine.profile import check_commit_profile, check_group_profile, rule_of
from dmls.engine.records import put_epoch, put_keys, put_meta
from dmls.engine.sources import EventFacts, facts_of, is_spent
from dmls.engine.state import Draft, NodeEntry
from dmls.errors import (
    CryptoError,
    DMLSError,
    EvictedError,
    InvalidCommitError,
    InvalidGroupInfoError,
    InvalidMessageError,
    PuncturedError,
)
from dmls.forks.aad import DmlsCommitAAD, Farewell, content_hash, decode_commit_aad, genesis_ref, read_node_ref
from dmls.forks.graph import VIRTUAL_ROOT, Device, Node
from dmls.ids import CommitRef, KeyPackageRef, LeafIndex
from dmls.matrix.bodies import CommitBody, EventPointer, GenesisBody, Inline
from dmls.matrix.events import RoomEvent
from dmls.mls.codec import decode
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.framing.public_message import unprotect_public
from dmls.mls.group.follower import PublicGroup, follow, verify_sender
from dmls.mls.group.leaf import KeyPackageBundle
from dmls.mls.group.process import process_commit
from dmls.mls.group.transition import Transition, follow_commit
from dmls.mls.group.welcome import JoinOptions, join, open_path_keys
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.key_package import is_last_resort, key_package_ref
from dmls.mls.messages.leaf_node import LeafNode
from dmls.mls.messages.message import AuthenticatedContent, Member, MLSMessage, PublicMessage
from dmls.mls.messages.welcome import Welcome
from dmls.mls.tree.ratchet_tree import RatchetTree

__all__ = [
    "MAX_CHILDREN_OF_AUTHOR",
    "STALE_PARENT",
    "TOO_MANY_COMMITS",
    "add_genesis",
    "enter_by_commit_event",
    "enter_by_welcome",
    "receive_commit",
    "receive_genesis",
]

MAX_CHILDREN_OF_AUTHOR = 8
"""How many commits of one device on one parent are entered: each leaves its mark in the parent's init key."""
TOO_MANY_COMMITS = "TOO_MANY_COMMITS"
STALE_PARENT = "STALE_PARENT"
"""Reason of a valid commit that came when the secrets it needs of its parent were deleted: it counts and is not processed."""


def receive_genesis(draft: Draft, event: RoomEvent, body: GenesisBody) -> EventResult:
    """Take in the beginning of a group.

    Raises:
        DMLSError: the genesis is malformed or breaks a rule.
    """
    suite = cipher_suite(body.ciphersuite)
    encoded = inline(body.group_info)
    ref = genesis_ref(suite, encoded)
    if ref in draft.state.entries:
        # Whoever relays the bytes under another name must not change what is known of the genuine event.
        check_author(event.sender, draft.state.entries[ref].node.author)
        correct_node(draft, ref, facts_of(event))
        refresh_head(draft)
        return EventResult(IngestOutcome.PROCESSED, EventKind.GENESIS, ref)
    group_info = decode(MLSMessage, encoded).body
    if not isinstance(group_info, GroupInfo):
        raise InvalidGroupInfoError("a genesis holds a GroupInfo")
    group = follow(suite, group_info, RatchetTree.decode(suite, inline(body.keyframe)), policy=POLICY)
    check_group_profile(group, draft.state.room_id)
    founder = group.tree.leaf(LeafIndex(0))
    if group.context.epoch != 0 or group.tree.member_count != 1 or group_info.signer != 0 or founder is None:
        raise InvalidGroupInfoError("a genesis has one member, at leaf 0, and epoch 0")
    author = device_of(founder)
    check_author(event.sender, author)
    add_genesis(draft, ref, group, encoded, author, facts_of(event))
    return EventResult(IngestOutcome.PROCESSED, EventKind.GENESIS, ref)


def add_genesis(draft: Draft, ref: CommitRef, group: PublicGroup, group_info: bytes, author: Device, facts: EventFacts) -> None:
    """Store a valid genesis."""
    node = Node(
        commit_ref=ref,
        parent_ref=VIRTUAL_ROOT,
        event_id=facts.event_id,
        sender=author.user_id,
        author=author,
        epoch=0,
        vote_seq=0,
        content_hash=ref,
        is_genesis=True,
        by_create_sender=author.user_id == draft.state.membership.facts.create_sender,
        adds=(author,),
        before_departure=facts.before_departure,
        is_spent=is_spent(draft.state.membership, (facts,)),
    )
    entry = NodeEntry(node, group, group_info, ref, 0, 0, (facts,), draft.now_ms)
    add_node(draft, entry)
    join_up(draft, entry)
    want_history(draft)
    draft.update(cipher_suite=group.suite.id)
    put_meta(draft)
    refresh_head(draft)


def receive_commit(draft: Draft, event: RoomEvent, body: CommitBody) -> EventResult | Missing:
    """Take in a commit; return the missing parent where it has to wait for one.

    Raises:
        DMLSError: the commit is malformed or breaks a rule that everybody can check.
    """
    suite = cipher_suite(body.ciphersuite)
    message, ref = read_commit(body)
    content = content_of_commit(message)
    known = draft.state.entries.get(ref)  # CP-14
    if known is not None:
        check_author(event.sender, known.node.author)
        correct_node(draft, ref, facts_of(event))
        reason = ""
        if known.anchor is not None:
            enter_by_commit_event(draft, ref, body)
        elif ref not in draft.state.epochs and ref not in draft.state.expired:
            transition = follow_commit(_parent(draft, known.node.parent_ref).group, content, POLICY)
            reason = _enter(draft, ref, message, transition, body)
        refresh_head(draft)
        return EventResult(IngestOutcome.PROCESSED, EventKind.COMMIT, ref, reason)
    aad = decode_commit_aad(content.content.authenticated_data)
    parent_ref = CommitRef(aad.parent.commit_ref)
    parent = draft.state.entries.get(parent_ref)
    if parent is None:
        hints = () if body.parent_event is None else (body.parent_event,)
        return Missing(parent_ref, hints, ref, content.content.epoch + 1)
    if parent.group.suite is not suite:
        raise InvalidCommitError("another cipher suite than the group's")
    verify_sender(parent.group, content)
    author = device_of(_author_leaf(parent.group, content))
    check_author(event.sender, author)
    check_commit_profile(parent.group, commit_of(content), message.content.sender)
    transition = follow_commit(parent.group, content, POLICY)
    group_info = inline(body.group_info)
    check_group_info(suite, ref, transition.group, transition.committer, read_group_info(group_info))
    _add_commit(draft, ref, parent, transition, aad, author, content, group_info, body, facts_of(event))
    note_pointers(draft, (aad.parent, *aad.resolves, *aad.rejects), author)
    named = {resolved.commit_ref: resolved.event for resolved in body.resolves}
    side_heads = (side_head for side_head in draft.state.graph.node(ref).resolves if len(side_head) == suite.hash_size)
    want_resolved(draft, {side_head: named.get(side_head) for side_head in side_heads})
    if not transition.is_external:
        note_vote(draft, author, aad.vote_seq, ref)
    if aad.rejects and author not in draft.state.agent.devices:
        draft.notify(NoticeKind.FAILURE_REPORTED, CommitRef(aad.rejects[0].commit_ref), f"{author.user_id} {author.device_id}")
    reason = _enter(draft, ref, message, transition, body)
    if author in draft.state.agent.devices:
        note_other_commit(draft, ref, author)
    refresh_head(draft)
    return EventResult(IngestOutcome.PROCESSED, EventKind.COMMIT, ref, reason)


def _parent(draft: Draft, ref: CommitRef) -> NodeEntry:
    return draft.state.entries[ref]


def _author_leaf(group: PublicGroup, content: AuthenticatedContent) -> LeafNode:
    sender = content.content.sender
    leaf = group.tree.leaf(LeafIndex(sender.leaf_index)) if isinstance(sender, Member) else path_of(content).leaf_node
    if leaf is None:
        raise InvalidCommitError("the author has no leaf")
    return leaf


def _add_commit(
    draft: Draft,
    ref: CommitRef,
    parent: NodeEntry,
    transition: Transition,
    aad: DmlsCommitAAD,
    author: Device,
    content: AuthenticatedContent,
    group_info: bytes,
    body: CommitBody,
    facts: EventFacts,
) -> None:
    added, removed = transition_devices(transition)
    node = Node(
        commit_ref=ref,
        parent_ref=parent.node.commit_ref,
        event_id=facts.event_id,
        sender=author.user_id,
        author=author,
        epoch=transition.group.context.epoch,
        vote_seq=aad.vote_seq,
        content_hash=content_hash(transition.group.suite, content.content),
        is_external=transition.is_external,
        adds=added,
        removes=removed,
        logout=aad.logout == Farewell.GONE,
        evicts=aad.logout == Farewell.STALE,
        resolves=tuple(CommitRef(pointer.commit_ref) for pointer in aad.resolves),
        rejects=tuple(CommitRef(pointer.commit_ref) for pointer in aad.rejects),
        before_departure=facts.before_departure,
        is_spent=is_spent(draft.state.membership, (facts,)),
    )
    size = len(inline(body.message))
    carries = _carries_keyframe(transition.group.tree, body)
    entry = NodeEntry(
        node,
        transition.group,
        group_info,
        ref if carries else parent.keyframe,
        0 if carries else parent.bytes_since_keyframe + size,
        0 if carries else parent.commits_since_keyframe + 1,
        (facts,),
        draft.now_ms,
        last_resorts=tuple(device_of(package.leaf_node) for _, package in transition.applied.added if is_last_resort(package)),
    )
    add_node(draft, entry)
    join_up(draft, entry)


def _carries_keyframe(tree: RatchetTree, body: CommitBody) -> bool:
    """Tell whether the tree is with a commit, or in a blob that it names. If it is another, newcomers must not rely on it."""
    if isinstance(body.keyframe, EventPointer):
        return False
    encoded = tree.encode()
    if isinstance(body.keyframe, Inline):
        return body.keyframe.data == encoded
    return body.keyframe.sha256 == hashlib.sha256(encoded).digest()


def _enter(
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
                bundles = (draft.bundles.get(KeyPackageRef(secrets.new_member)) for secrets in welcome.secrets)
                for bundle in bundles:
                    if bundle is not None:
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
        keys = dict(draft.state.ring.keys)
        joined = _joining_keys(draft, transition)
        processed = process_commit(held.state, transition, {**keys, **joined})
    except EvictedError:
        draft.notify(NoticeKind.EVICTED, ref)
        return "", False
    except (CryptoError, InvalidCommitError, PuncturedError) as error:
        return error.reason, True
    parent = replace(held, state=processed.parent)
    draft.update(epochs=draft.state.epochs.set(parent_ref, parent))
    put_epoch(draft, parent_ref, parent)
    add_epoch(draft, ref, processed.state, {**processed.private_keys, **joined})
    _consume(draft, transition)
    return "", False


def _has_entered_enough(draft: Draft, ref: CommitRef) -> bool:
    """Tell whether a commit's author has made so many others on its parent that were entered."""
    state = draft.state
    node = state.graph.node(ref)
    others = (other for other in state.graph.authored(node.author) if state.graph.node(other).parent_ref == node.parent_ref)
    return sum(other in state.epochs or other in state.expired for other in others) >= MAX_CHILDREN_OF_AUTHOR


def _joining_keys(draft: Draft, transition: Transition) -> dict[bytes, Secret]:
    """Return the leaf keys of own key packages that a commit adds."""
    suite = transition.group.suite
    keys = {}
    for _, key_package in transition.applied.added:
        bundle = draft.bundles.get(key_package_ref(suite, key_package))
        if bundle is not None:
            keys[key_package.leaf_node.encryption_key] = bundle.encryption_private_key
    return keys


def _consume(draft: Draft, transition: Transition) -> None:
    suite = transition.group.suite
    refs = {key_package_ref(suite, key_package) for _, key_package in transition.applied.added}
    draft.consumed += [ref for ref in refs if ref in draft.bundles]


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
    for secrets in message.secrets:
        bundle = draft.bundles.get(KeyPackageRef(secrets.new_member))
        if bundle is None:
            continue
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
