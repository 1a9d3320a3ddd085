"""Attacks with votes: two for one number, in others' names, with numbers that nothing beats, for what does not exist."""

from __future__ import annotations

from dmls.engine.nodes import find_leaf
from dmls.forks.aad import MAX_VOTE_SEQ, make_vote, sign_vote
from dmls.ids import CommitRef, GroupId, LeafIndex
from dmls.matrix.bodies import VoteBody, content_of
from dmls.matrix.encoding import MAX_INTEGER
from dmls.simulation.attackers.attacker import Attacker

__all__ = ["equivocate", "number_votes_to_the_end", "vote", "vote_for_the_unknown", "vote_in_others_names"]


def vote(attacker: Attacker, ref: CommitRef, seq: int, leaf: LeafIndex | None = None) -> VoteBody | None:
    """Sign a vote with the attacker's key, as its own leaf or as any other."""
    known = attacker.hoard.epochs.get(ref)
    own = None if known is None else find_leaf(known.group.tree, attacker.own.device)
    place = own if leaf is None else leaf
    if known is None or place is None:
        return None
    tbs = make_vote(GroupId(known.group.context.group_id), ref, place, seq)
    signature = sign_vote(attacker.hoard.suite, attacker.own.client.signature_private_key, tbs)
    return VoteBody(ref, place, seq, signature)


def equivocate(attacker: Attacker) -> None:
    """Vote for two epochs with one number, and show each vote to another half of the homeservers."""
    epochs = [ref for ref, known in attacker.hoard.epochs.items() if find_leaf(known.group.tree, attacker.own.device) is not None]
    if len(epochs) < 2:
        return
    seq = attacker.next_seq()
    others = attacker.others
    half = max(1, len(others) // 2)
    for ref, servers in zip(attacker.rng.sample(epochs, 2), (others[:half], others[half:] or others), strict=True):
        body = vote(attacker, ref, seq)
        if body is not None:
            attacker.send(content_of(body), to=servers)


def vote_in_others_names(attacker: Attacker) -> None:
    """Vote as every leaf of the head but its own."""
    head = attacker.head()
    known = None if head is None else attacker.hoard.epochs.get(head)
    if head is None or known is None:
        return
    for index, leaf in known.group.tree.members():
        if leaf.signature_key != attacker.own.device.signature_key:
            body = vote(attacker, head, attacker.next_seq(), index)
            if body is not None:
                attacker.send(content_of(body))


def number_votes_to_the_end(attacker: Attacker) -> None:
    """Vote for old epochs with the greatest numbers that an event can hold, and commit with the greatest of all."""
    for ref in list(attacker.hoard.epochs):
        body = vote(attacker, ref, MAX_INTEGER - attacker.rng.randrange(2))
        if body is not None:
            attacker.send(content_of(body))
    head = attacker.head()
    if head is not None:
        attacker.send_commit(attacker.commit(head, seq=MAX_VOTE_SEQ))


def vote_for_the_unknown(attacker: Attacker) -> None:
    """Vote for epochs that nobody has ever made."""
    size = attacker.hoard.suite.hash_size
    for _ in range(20):
        ref = CommitRef(attacker.rng.randbytes(size))
        attacker.send(content_of(VoteBody(ref, LeafIndex(0), attacker.next_seq(), attacker.rng.randbytes(size))))
