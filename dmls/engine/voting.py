"""Own votes: a vote_seq that is never used twice, and the events that carry it (docs/protocol.md, Section 7)."""

from __future__ import annotations

from dmls.engine.agent import OwnDevice
from dmls.engine.announcements import emit
from dmls.engine.records import put_meta, put_pending_vote
from dmls.engine.state import Draft
from dmls.errors import LimitError
from dmls.forks.aad import make_vote, sign_vote
from dmls.ids import CommitRef, GroupId, LeafIndex
from dmls.matrix.bodies import VoteBody

__all__ = ["send_vote", "sign_own_vote", "take_vote_seq"]

VOTE_BLOCK = 1_000
"""How many vote_seq are reserved at a time, so that a lost store never leads to one being used twice."""


def take_vote_seq(draft: Draft) -> int:
    """Return the next vote_seq; a new block is reserved in the same transaction that first uses it.

    Raises:
        LimitError: an unbeatable vote is in use, so the device needs a new key.
    """
    state = draft.state
    own = state.agent.devices
    seq = max([state.vote_seq, *(state.tally.last_seq(device) for device in own)]) + 1
    if seq >= 1 << 63:
        raise LimitError("no vote_seq is left: the device needs a new key")
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
    seq = take_vote_seq(draft)
    vote = make_vote(GroupId(group.context.group_id), ref, leaf_index, seq)
    return seq, sign_vote(group.suite, own.client.signature_private_key, vote)
