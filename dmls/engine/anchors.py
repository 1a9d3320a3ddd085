"""Anchors: epochs that a newcomer takes over by their keyframes, without what lies above them (docs/protocol.md, Section 13).

Without its parent nobody can judge a commit. What can be checked is that its author stands for the whole epoch: the GroupInfo,
which the author has signed, names the commit, and its context names the tree. That the epoch is one that others are in is shown
by another joined user's vote there or below. When the parent comes, the commit is judged like any other; if it fails, it goes
with all that is below.
"""

from __future__ import annotations

from dataclasses import replace

from dmls.engine.agent import device_of, devices_of
from dmls.engine.backfill import want_history
from dmls.engine.effects import EventKind, EventResult, IngestOutcome, Table
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
from dmls.engine.nodes import add_node, mark_removals, refresh_head
from dmls.engine.profile import check_commit_profile, check_group_profile
from dmls.engine.records import put_meta, put_node, put_outcome
from dmls.engine.sources import facts_of, is_spent
from dmls.engine.state import Anchor, Draft, NodeEntry, RoomState
from dmls.errors import DMLSError, InvalidCommitError, InvalidGroupInfoError
from dmls.forks.aad import Farewell, content_hash, decode_commit_aad
from dmls.forks.count import is_author_joined
from dmls.forks.graph import VIRTUAL_ROOT, EpochGraph, Node
from dmls.ids import CommitRef, LeafIndex
from dmls.matrix.bodies import CommitBody
from dmls.matrix.events import RoomEvent
from dmls.mls.codec import decode
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.group.follower import PublicGroup, follow, verify_sender
from dmls.mls.group.transition import follow_commit
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.message import AuthenticatedContent, Member, MLSMessage, PublicMessage
from dmls.mls.messages.proposal import Add, Remove
from dmls.mls.tree.ratchet_tree import RatchetTree

__all__ = ["has_witness", "join_up", "may_anchor", "take_anchor"]

MAX_ANCHORS = 4
"""How many branches a newcomer may begin with, before it has to have their common past."""


def may_anchor(state: RoomState) -> bool:
    """Tell whether a commit may be taken over by its keyframe: only while no genesis is known from which to replay."""
    tops = state.graph.children(VIRTUAL_ROOT)
    return len(tops) < MAX_ANCHORS and all(state.entries[ref].anchor is not None for ref in tops)


def has_witness(state: RoomState, ref: CommitRef) -> bool:
    """Tell whether a joined user other than its author votes for a node or for something below it."""
    return bool(state.tally.supporters(ref) - {state.entries[ref].node.author.user_id})


def take_anchor(draft: Draft, event: RoomEvent, body: CommitBody) -> CommitRef:
    """Take over the epoch of a commit, whose blobs are all here, without its parent.

    Raises:
        DMLSError: the author does not stand for the keyframe, or has not joined.
    """
    suite = cipher_suite(body.ciphersuite)
    message, ref = read_commit(body)
    content = content_of_commit(message)
    aad = decode_commit_aad(content.content.authenticated_data)
    parent_ref = CommitRef(aad.parent.commit_ref)
    encoded = inline(body.group_info)
    group_info = read_group_info(encoded)
    if parent_ref in draft.state.entries or parent_ref == VIRTUAL_ROOT:
        raise InvalidCommitError("not a commit whose parent is unknown")
    group = follow(suite, group_info, RatchetTree.decode(suite, inline(body.keyframe)), policy=POLICY)
    check_group_profile(group, draft.state.room_id)
    committer = _check_claims(group, group_info, content)
    check_group_info(suite, ref, group, committer, group_info)
    author = device_of(path_of(content).leaf_node)
    check_author(event.sender, author)
    facts = facts_of(event)
    node = Node(
        commit_ref=ref,
        parent_ref=parent_ref,
        event_id=event.event_id,
        sender=author.user_id,
        author=author,
        epoch=group.context.epoch,
        vote_seq=aad.vote_seq,
        content_hash=content_hash(suite, content.content),
        is_external=not isinstance(content.content.sender, Member),
        # Beside a genesis it counts as much as one by the room's creator, of which it may well be a part.
        by_create_sender=True,
        adds=tuple(device_of(item.key_package.leaf_node) for item in commit_of(content).proposals if isinstance(item, Add)),
        logout=aad.logout == Farewell.GONE,
        evicts=aad.logout == Farewell.STALE,
        resolves=tuple(CommitRef(pointer.commit_ref) for pointer in aad.resolves),
        rejects=tuple(CommitRef(pointer.commit_ref) for pointer in aad.rejects),
        before_departure=facts.before_departure,
        is_spent=is_spent(draft.state.membership, (facts,)),
        is_anchor=True,
    )
    if not is_author_joined(node, draft.state.membership.joined()):
        raise InvalidCommitError("the author of an anchor has to be joined")
    anchor = Anchor(inline(body.message), body.parent_event)
    entry = NodeEntry(node, group, encoded, ref, 0, 0, (facts,), draft.now_ms, anchor)
    add_node(draft, entry)
    join_up(draft, entry)
    seen = draft.state.seen_at_ms.update(dict.fromkeys(devices_of(group.tree).values(), draft.now_ms))
    draft.update(cipher_suite=suite.id, seen_at_ms=seen)
    put_meta(draft)
    if len(draft.state.graph.children(VIRTUAL_ROOT)) > 1:
        want_history(draft)
    refresh_head(draft)
    return ref


def _check_claims(group: PublicGroup, group_info: GroupInfo, content: AuthenticatedContent) -> LeafIndex:
    """Check what a commit says of its new epoch against that epoch, and return its author's leaf."""
    framed, commit = content.content, commit_of(content)
    if framed.group_id != group.context.group_id or framed.epoch + 1 != group.context.epoch:
        raise InvalidCommitError("the keyframe is of another epoch than the commit begins")
    if content.confirmation_tag != group_info.confirmation_tag:
        raise InvalidGroupInfoError("the GroupInfo is not of the commit's epoch")
    check_commit_profile(group, commit, framed.sender)
    path = path_of(content)
    committer = LeafIndex(framed.sender.leaf_index) if isinstance(framed.sender, Member) else LeafIndex(group_info.signer)
    if group.tree.leaf(committer) != path.leaf_node:
        raise InvalidCommitError("the keyframe has another leaf than the commit's path for its author")
    added = [item.key_package.leaf_node for item in commit.proposals if isinstance(item, Add)]
    if any(group.tree.find_signature_key(leaf.signature_key) is None for leaf in added):
        raise InvalidCommitError("the keyframe lacks a leaf that the commit adds")
    for item in commit.proposals:
        if isinstance(item, Remove):
            leaf = group.tree.leaf(LeafIndex(item.removed))
            if leaf is not None and leaf != path.leaf_node and leaf not in added:
                raise InvalidCommitError("the keyframe has a leaf that the commit removes")
    return committer


def join_up(draft: Draft, parent: NodeEntry) -> None:
    """Judge the anchors that name a node as their parent, which has just come; what fails goes with all below it."""
    graph = draft.state.graph
    waiting = [child for child in graph.children(parent.node.commit_ref) if draft.state.entries[child].anchor is not None]
    for child in waiting:
        try:
            judged = _judge(parent, draft.state.entries[child])
        except DMLSError as error:
            _drop_below(draft, graph, child, error)
        else:
            draft.update(entries=draft.state.entries.set(child, judged))
            put_node(draft, judged)
    if waiting:
        after = EpochGraph.build(entry.node for entry in draft.state.entries.values())
        draft.update(tally=draft.state.tally.with_graph(after))
        mark_removals(draft, {*graph.removals(), *after.removals()})


def _judge(parent: NodeEntry, entry: NodeEntry) -> NodeEntry:
    message = None if entry.anchor is None else decode(MLSMessage, entry.anchor.message).body
    if not isinstance(message, PublicMessage):
        raise InvalidCommitError("a commit is a public message")
    content = content_of_commit(message)
    if parent.group.suite is not entry.group.suite:
        raise InvalidCommitError("another cipher suite than the group's")
    verify_sender(parent.group, content)
    check_commit_profile(parent.group, commit_of(content), content.content.sender)
    transition = follow_commit(parent.group, content, POLICY)
    if (transition.group.context, transition.group.confirmation_tag) != (entry.group.context, entry.group.confirmation_tag):
        raise InvalidCommitError("the commit does not lead to its keyframe")
    added, removed = transition_devices(transition)
    node = replace(entry.node, adds=added, removes=removed, is_anchor=False, by_create_sender=False)
    return replace(entry, node=node, anchor=None)


def _drop_below(draft: Draft, graph: EpochGraph, top: CommitRef, error: DMLSError) -> None:
    """Forget an anchor that was a lie, and what stands on it. Its event is rejected; the others may come again."""
    key = draft.state.entries[top].node.event_id.encode()
    for ref in graph.subtree(top):
        state = draft.state
        draft.update(entries=state.entries.delete(ref))
        draft.delete(Table.NODE, ref)
        for event in {facts.event_id.encode() for facts in state.entries[ref].events}:
            if event in draft.state.outcomes:
                draft.update(outcomes=draft.state.outcomes.delete(event))
                draft.delete(Table.EVENT_OUTCOME, event)
        if ref in state.epochs:
            draft.update(epochs=state.epochs.delete(ref))
            draft.delete(Table.EPOCH, ref)
    result = EventResult(IngestOutcome.REJECTED, EventKind.COMMIT, reason=error.reason, message=error.message)
    draft.update(outcomes=draft.state.outcomes.set(key, result))
    put_outcome(draft, key, result)
