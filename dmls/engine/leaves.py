"""Own leaves: which of them may be used, and what takes that away (docs/protocol.md, Section 8).

A leaf is barred when the room shows that somebody else has used it: a younger copy of this store did, or a clone of the
device. Generations that are unused here may have been used there, so nothing is sent with it any more; the device joins again.
"""

from __future__ import annotations

from dmls.engine.effects import NoticeKind
from dmls.engine.nodes import find_leaf
from dmls.engine.records import put_meta, put_vote_floor
from dmls.engine.state import Draft, RoomState
from dmls.engine.voting import MAX_EVENT_VOTE_SEQ, VOTE_BLOCK, needs_new_key, vote_floor
from dmls.forks.graph import VIRTUAL_ROOT, Device
from dmls.ids import CommitRef, LeafIndex

__all__ = ["find_usable_leaf", "is_barred", "note_other_commit", "note_other_message", "note_other_vote", "note_rollback"]

_LOST_VOTES = 100 * VOTE_BLOCK
"""How many vote_seq may have been used since an old store was copied."""


def find_usable_leaf(state: RoomState, ref: CommitRef, device: Device) -> LeafIndex | None:
    """Return the leaf with which an own device may send, commit and vote in an epoch; None if there is none."""
    held = state.epochs.get(ref)
    if held is None or ref in state.spoilt or is_barred(state, ref, device) or needs_new_key(state, device):
        return None
    index = find_leaf(held.state.public.tree, device)
    return index if index in held.state.own_leaves else None


def is_barred(state: RoomState, ref: CommitRef, device: Device) -> bool:
    """Tell whether the leaf that a device has in an epoch was used by somebody else too."""
    return (device, _origin(state, ref, device)) in state.barred


def note_other_commit(draft: Draft, ref: CommitRef, device: Device) -> None:
    """Take in that there is a commit by an own device that was not made here; its node is in the graph."""
    _bar(draft, device, ref)
    _note_seq(draft, ref, device, draft.state.graph.node(ref).vote_seq)


def note_other_vote(draft: Draft, ref: CommitRef, device: Device, vote_seq: int) -> None:
    """Take in that an own device's vote has come; one with a vote_seq that was never reserved was not made here."""
    if vote_seq > draft.state.vote_seq_reserved and vote_seq > draft.state.vote_floors.get(device, 0):
        _bar(draft, device, ref)
    _note_seq(draft, ref, device, vote_seq)


def note_other_message(draft: Draft, ref: CommitRef, device: Device) -> None:
    """Take in that a message by an own leaf could be opened: its generation was not used here."""
    _bar(draft, device, ref)


def note_rollback(draft: Draft) -> None:
    """Take in that the store is an old one: nothing that it holds is sent with any more, and vote_seq skip what may be lost."""
    state = draft.state
    skipped = {device: min(floor + _LOST_VOTES, MAX_EVENT_VOTE_SEQ - 1) for device, floor in state.vote_floors.items()}
    reserved = state.vote_seq_reserved + _LOST_VOTES
    spoilt = state.spoilt.update(dict.fromkeys(state.epochs, True))
    draft.update(spoilt=spoilt, vote_seq=reserved, vote_seq_reserved=reserved, vote_floors=state.vote_floors.update(skipped))
    put_meta(draft)
    for device, floor in skipped.items():
        put_vote_floor(draft, device, floor)
    draft.notify(NoticeKind.ROLLED_BACK, state.stand or CommitRef(b""))


def _note_seq(draft: Draft, ref: CommitRef, device: Device, vote_seq: int) -> None:
    """Say so once where an own device's vote leaves no vote_seq for another."""
    if vote_seq >= MAX_EVENT_VOTE_SEQ > draft.state.vote_floors.get(device, 0):
        draft.update(vote_floors=draft.state.vote_floors.set(device, MAX_EVENT_VOTE_SEQ))
        put_vote_floor(draft, device, MAX_EVENT_VOTE_SEQ)
        draft.notify(NoticeKind.NEEDS_NEW_KEY, ref, f"{device.user_id} {device.device_id}")


def _origin(state: RoomState, ref: CommitRef, device: Device) -> CommitRef:
    return state.graph.leaf_origin(ref, device) or VIRTUAL_ROOT


def _bar(draft: Draft, device: Device, evidence: CommitRef) -> None:
    """Bar the leaves of a device that may be the one that was used: those that were not added later than the evidence."""
    state = draft.state
    barred = state.barred.mutate()
    for ref, held in state.epochs.items():
        origin = _origin(state, ref, device)
        index = find_leaf(held.state.public.tree, device)
        is_later = origin != VIRTUAL_ROOT and origin != evidence and state.graph.is_ancestor(evidence, origin)
        if index in held.state.own_leaves and not is_later:
            barred[device, origin] = True
    changed = barred.finish()
    if len(changed) == len(state.barred):
        return
    floor = min(max(vote_floor(state, device), state.vote_seq_reserved) + VOTE_BLOCK, MAX_EVENT_VOTE_SEQ - 1)
    spoilt = state.spoilt.update(dict.fromkeys(state.epochs, True))
    draft.update(barred=changed, spoilt=spoilt, vote_floors=state.vote_floors.set(device, floor))
    put_meta(draft)
    put_vote_floor(draft, device, floor)
    draft.notify(NoticeKind.ROLLED_BACK, evidence, f"{device.user_id} {device.device_id}")
