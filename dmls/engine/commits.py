"""Genesis and commit events: judged by what everybody can see, then stored as nodes of the graph."""

from __future__ import annotations

import hashlib

from dmls.engine.agent import device_of
from dmls.engine.alarms import note_pointers, note_vote
from dmls.engine.anchors import join_up
from dmls.engine.backfill import want_history, want_resolved
from dmls.engine.effects import EventKind, EventResult, IngestOutcome, NoticeKind
from dmls.engine.entering import enter_by_commit, enter_by_commit_event
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
from dmls.engine.nodes import add_node, correct_node, refresh_head
from dmls.engine.parking import Missing
from dmls.engine.profile import check_commit_profile, check_group_profile
from dmls.engine.records import put_meta
from dmls.engine.sources import EventFacts, facts_of, is_spent
from dmls.engine.state import Draft, NodeEntry
from dmls.errors import (
    InvalidCommitError,
    InvalidGroupInfoError,
)
from dmls.forks.aad import DmlsCommitAAD, Farewell, content_hash, decode_commit_aad, genesis_ref
from dmls.forks.graph import VIRTUAL_ROOT, Device, Node
from dmls.ids import CommitRef, LeafIndex
from dmls.matrix.bodies import CommitBody, EventPointer, GenesisBody, Inline
from dmls.matrix.events import RoomEvent
from dmls.mls.codec import decode
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.group.follower import PublicGroup, follow, verify_sender
from dmls.mls.group.transition import Transition, follow_commit
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.key_package import is_last_resort
from dmls.mls.messages.leaf_node import LeafNode
from dmls.mls.messages.message import AuthenticatedContent, Member, MLSMessage
from dmls.mls.tree.ratchet_tree import RatchetTree

__all__ = [
    "add_genesis",
    "receive_commit",
    "receive_genesis",
]


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
            reason = enter_by_commit(draft, ref, message, transition, body)
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
    reason = enter_by_commit(draft, ref, message, transition, body)
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
