"""Taking nodes into a room: what a genesis, a received commit and an own commit have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from dmls.engine.agent import device_of
from dmls.engine.effects import NoticeKind, Table
from dmls.engine.records import put_epoch, put_keys, put_meta, put_node, put_vote
from dmls.engine.sources import NO_EVENT, EventFacts, is_before_departure, is_spent, with_event
from dmls.engine.standing import find_standing
from dmls.engine.state import Draft, HeldEpoch, NodeEntry, TrackedVote
from dmls.forks.graph import Device
from dmls.forks.reconcile import removed_last_ms
from dmls.ids import CommitRef, EpochId, LeafIndex
from dmls.mls.crypto.secret import Secret
from dmls.mls.group.keyring import keys_in_use
from dmls.mls.group.state import GroupState, export_secret
from dmls.mls.tree.ratchet_tree import RatchetTree

__all__ = [
    "add_epoch",
    "add_node",
    "correct_node",
    "drop_node",
    "epoch_id",
    "find_leaf",
    "keep_vote",
    "mark_removals",
    "own_leaves",
    "refresh_head",
    "sweep_keys",
]

_LABEL = "DMLS epoch ID"


def epoch_id(state: GroupState) -> EpochId:
    """Return the identity of an epoch for its members, hash_size bytes (docs/protocol.md, Section 4)."""
    return EpochId(bytes(export_secret(state, _LABEL, b"", state.public.suite.hash_size)))


def find_leaf(tree: RatchetTree, device: Device) -> LeafIndex | None:
    """Return the leaf of a device, or None."""
    index = tree.find_signature_key(device.signature_key)
    leaf = None if index is None else tree.leaf(index)
    return index if leaf is not None and device_of(leaf) == device else None


def own_leaves(draft: Draft, tree: RatchetTree) -> frozenset[LeafIndex]:
    """Return the leaves of own devices.

    One whose private key has gone with its last epoch is a member all the same where another own leaf brings the epoch's secrets.
    """
    leaves = (find_leaf(tree, device) for device in draft.state.agent.devices)
    return frozenset(index for index in leaves if index is not None)


def add_node(draft: Draft, entry: NodeEntry) -> None:
    """Store a valid node and let it count. Its parent is present."""
    state, node = draft.state, entry.node
    seen = state.seen_at_ms.mutate()
    for device in node.adds:
        seen[device] = draft.now_ms
    entries = state.entries.set(node.commit_ref, entry)
    draft.update(tally=state.tally.add(node), entries=entries, seen_at_ms=seen.finish())
    put_node(draft, entry)
    draft.ready.append(node.commit_ref)
    mark_removals(draft, node.removes_others)


def correct_node(draft: Draft, ref: CommitRef, facts: EventFacts | None = None) -> None:
    """Note an event that brings a node, or what is now known of it, or of the room (None)."""
    entry = draft.state.entries[ref]
    membership = draft.state.membership
    events = entry.events if facts is None else with_event(entry.events, facts)
    node = replace(
        entry.node,
        event_id=entry.node.event_id or (NO_EVENT if facts is None else facts).event_id,
        before_departure=is_before_departure(events),
        is_spent=is_spent(membership, events),
        by_create_sender=entry.node.is_anchor or (entry.node.is_genesis and entry.node.sender == membership.facts.create_sender),
    )
    corrected = replace(entry, node=node, events=events)
    if corrected == entry:
        return
    draft.update(tally=draft.state.tally.correct(node), entries=draft.state.entries.set(ref, corrected))
    put_node(draft, corrected)
    mark_removals(draft, node.removes_others)


def drop_node(draft: Draft, ref: CommitRef) -> None:
    """Forget an own node whose event was finally refused: nobody else has ever seen it."""
    state = draft.state
    draft.update(entries=state.entries.delete(ref), tally=state.tally.drop(ref))
    draft.delete(Table.NODE, ref)
    if ref in state.epochs:
        draft.update(epochs=state.epochs.delete(ref))
        draft.delete(Table.EPOCH, ref)
        sweep_keys(draft)
    mark_removals(draft, state.graph.node(ref).removes_others)


def mark_removals(draft: Draft, devices: Iterable[Device]) -> None:
    """Note when some devices were last removed by somebody in J, after a node that removes them, or J, has changed."""
    state = draft.state
    marks = state.removed_at_ms
    for device in devices:
        last = removed_last_ms(state.graph, device, state.tally.joined, lambda ref: state.entries[ref].received_at_ms)
        if last is not None:
            marks = marks.set(device, last)
        elif device in marks:
            marks = marks.delete(device)
    draft.update(removed_at_ms=marks)


def sweep_keys(draft: Draft) -> None:
    """Delete the private keys that no retained epoch's tree names any more."""
    used: set[bytes] = set()
    for held in draft.state.epochs.values():
        used |= keys_in_use(held.state.public.tree, held.state.own_leaves)
    unused = [key for key in draft.state.ring.keys if key not in used]
    draft.update(ring=draft.state.ring.discard(unused))
    for key in unused:
        draft.delete(Table.PRIVATE_KEY, key)


def add_epoch(draft: Draft, ref: CommitRef, state: GroupState, private_keys: Mapping[bytes, Secret]) -> None:
    """Hold the secrets of a node's epoch; those of resumption, which no commit of such a group may use, are let go."""
    held = HeldEpoch(state.without_resumption_psks())
    before = draft.state
    first = min(before.first_epoch, before.graph.node(ref).epoch)
    draft.update(epochs=before.epochs.set(ref, held), ring=before.ring.add(private_keys), first_epoch=first)
    if ref in draft.state.failed:
        draft.update(failed=draft.state.failed.delete(ref))
        put_meta(draft)
    put_epoch(draft, ref, held)
    put_keys(draft, private_keys)
    draft.ready.append(b"epoch:" + ref)


def keep_vote(draft: Draft, key: bytes, tracked: TrackedVote) -> None:
    """Store a valid vote, or what is now known of it, and let it count."""
    state = draft.state
    known = state.votes.get(key)
    if known == tracked:
        return
    tally = state.tally
    if known is None or known.vote != tracked.vote:
        tally = (tally if known is None else tally.withdraw(known.vote)).cast(tracked.vote)
    draft.update(votes=state.votes.set(key, tracked), tally=tally)
    put_vote(draft, key, tracked)


def refresh_head(draft: Draft) -> None:
    """Go to the head after a node, a vote or the membership changed (docs/protocol.md, Section 7), and find where to stand."""
    state = draft.state
    head = state.tally.head()
    if head != state.head:
        switched = state.head is not None and head is not None and not state.graph.is_ancestor(state.head, head)
        draft.update(head=head)
        if head is not None:
            draft.notify(NoticeKind.FORK_SWITCHED if switched else NoticeKind.HEAD_MOVED, head)
    _take_stand(draft)


def _take_stand(draft: Draft) -> None:
    before = draft.state.stand
    standing = find_standing(draft.state, draft.now_ms)
    if standing.shunned != draft.state.shunned:
        draft.update(shunned=standing.shunned)
    if standing.ref != before:
        draft.update(stand=standing.ref, head_since_ms=draft.now_ms)
    if standing.away_since_ms != draft.state.away_since_ms:
        draft.update(away_since_ms=standing.away_since_ms)
    if standing.ref is not None and standing.ref != before:
        _mark_succession(draft, before, standing.ref)


def _mark_succession(draft: Draft, before: CommitRef | None, stand: CommitRef) -> None:
    """Start the retention clock of every held epoch that was left: behind it on its chain, or on another branch.

    That of an epoch on a branch where nobody stood runs since it came, and that of the one to stand on not at all.
    """
    graph = draft.state.graph
    tips = [ref for ref in (stand, before) if ref is not None and ref in graph]
    for ref, held in draft.state.epochs.items():
        is_left = ref != stand and any(graph.is_ancestor(ref, tip) for tip in tips)
        since_ms = held.succeeded_at_ms or draft.now_ms if is_left else 0
        if since_ms == held.succeeded_at_ms or not (is_left or ref == stand):
            continue
        marked = replace(held, succeeded_at_ms=since_ms)
        draft.update(epochs=draft.state.epochs.set(ref, marked))
        put_epoch(draft, ref, marked)
