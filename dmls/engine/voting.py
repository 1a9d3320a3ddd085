"""Own votes: a vote_seq that is never used twice, and the events that carry it (docs/protocol.md, Section 7)."""

from __future__ import annotations

from dmls.engine.agent import OwnDevice
from dmls.engine.announcements import emit
from dmls.engine.records import put_meta, put_pending_vote, put_vote_floor
from dmls.engine.state import Draft, RoomState
from dmls.errors import LimitError
from dmls.forks.aad import make_vote, sign_vote
from dmls.forks.graph import Device
from dmls.ids import CommitRef, GroupId, LeafIndex
from dmls.matrix.bodies import VoteBody

__all__ = ["MAX_EVENT_VOTE_SEQ", "VOTE_BLOCK", "needs_new_key", "send_vote", "sign_own_vote", "take_vote_seq", "vote_floor"]

VOTE_BLOCK = 1_000
"""How many vote_seq are reserved at a time, so that a lost store never leads to one being used twice."""
MAX_EVENT_VOTE_SEQ = 2**53 - 1
"""Greatest vote_seq that a vote's event can carry, a JSON integer."""


def vote_floor(state: RoomState, device: Device) -> int:
    """Return the greatest vote_seq that an own device is known to have used, here or elsewhere; 0 for none."""
    return max(state.tally.last_seq(device), state.vote_floors.get(device, 0), 0)


def needs_new_key(state: RoomState, device: Device) -> bool:
    """Tell whether an own device has a vote that no vote of it can beat any more."""
    return vote_floor(state, device) >= MAX_EVENT_VOTE_SEQ


def take_vote_seq(draft: Draft, device: Device) -> int:
    """Return the next vote_seq of an own device; a new block is reserved in the same transaction that first uses it.

    The own devices share a counter. One of which greater ones have been seen counts on by itself, or whoever has a copy of one
    device's key could use up the vote_seq of all.

    Raises:
        LimitError: an unbeatable vote is in use, so the device needs a new key.
    """
    state = draft.state
    floor = vote_floor(state, device)
    if floor >= MAX_EVENT_VOTE_SEQ:
        raise LimitError("no vote_seq is left: the device needs a new key")
    if floor > state.vote_seq:
        seq = floor + 1
        draft.update(vote_floors=state.vote_floors.set(device, seq))
        put_vote_floor(draft, device, seq)
        return seq
    seq = state.vote_seq + 1
    draft.update(vote_seq=seq)
    if seq > state.vote_seq_reserved:
        draft.update(vote_seq_reserved=seq + VOTE_BLOCK)
        put_meta(draft)
    return seq


def send_vote(draft: Draft, leaf_index: LeafIndex, own: OwnDevice, ref: CommitRef) -> None:
    """Vote for a node with an own leaf of its epoch. The vote counts when its event comes back."""
    seq, signature = sign_own_vote(draft, leaf_index, own, ref)
    draft.update(pending_votes=draft.state.pending_votes.set(own.device, ref))
    put_pending_vote(draft, own.device, ref)
    emit(draft, own.device, VoteBody(ref, leaf_index, seq, signature))


def sign_own_vote(draft: Draft, leaf_index: LeafIndex, own: OwnDevice, ref: CommitRef) -> tuple[int, bytes]:
    """Return a fresh vote_seq and the vote's signature."""
    group = draft.state.entries[ref].group
    seq = take_vote_seq(draft, own.device)
    vote = make_vote(GroupId(group.context.group_id), ref, leaf_index, seq)
    return seq, sign_vote(group.suite, own.client.signature_private_key, vote)
