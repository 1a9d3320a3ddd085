"""Attacks of somebody who is put out: staying in by oneself, coming back, and going on as if nothing had happened."""

from __future__ import annotations

from dmls.engine.nodes import find_leaf
from dmls.ids import CommitRef, DeviceId
from dmls.matrix.bodies import content_of
from dmls.mls.messages.proposal import Remove
from dmls.simulation.attackers.attacker import Attacker
from dmls.simulation.attackers.votes import vote

__all__ = [
    "back_date_commits",
    "begin_another_group",
    "join_again",
    "join_again_on_one_side",
    "put_the_others_out",
    "renew_own_leaf",
    "rule_alone",
    "vote_for_own_branch",
]


def _own_epochs(attacker: Attacker) -> list[CommitRef]:
    """Return the epochs in which the attacker has a leaf and whose secrets it has, newest last."""
    return [ref for ref, state in attacker.hoard.states.items() if find_leaf(state.public.tree, attacker.own.device) is not None]


def renew_own_leaf(attacker: Attacker) -> None:
    """Commit fresh keys of its own on the newest epochs in which it still has a leaf: the fork in which it was not put out."""
    for ref in _own_epochs(attacker)[-3:]:
        attacker.send_commit(attacker.commit(ref))


def back_date_commits(attacker: Attacker) -> None:
    """Commit on its newest epoch at a place of the room's graph that is before its removal, with an old timestamp."""
    for ref in _own_epochs(attacker)[-1:]:
        made = attacker.commit(ref)
        attacker.send_commit(made, back_dated=True)
        if made is not None:
            attacker.study()
            attacker.send_commit(attacker.commit(made.ref), back_dated=True)


def join_again(attacker: Attacker) -> None:
    """Join the head by external commit with the same key, and with a new device."""
    head = attacker.head()
    if head is None:
        return
    minted = attacker.mint(attacker.user, DeviceId("AGAIN"))
    for client in (attacker.own.client, minted.client):
        content = attacker.join(head, client)
        if content is not None:
            attacker.send(content)


def join_again_on_one_side(attacker: Attacker) -> None:
    """Join any epoch by external commit, commit on that, and show it to one homeserver only."""
    epochs = list(attacker.hoard.epochs)
    if not epochs:
        return
    content = attacker.join(attacker.rng.choice(epochs))
    server = attacker.rng.choice(attacker.others)
    if content is not None:
        attacker.send(content, to=[server])
        attacker.study()
        attacker.send_commit(attacker.commit(attacker.made[-1]), to=[server])


def put_the_others_out(attacker: Attacker) -> None:
    """Remove everybody else on the newest epoch in which the attacker has a leaf, as if they had logged out."""
    for ref in _own_epochs(attacker)[-1:]:
        tree = attacker.hoard.states[ref].public.tree
        own = find_leaf(tree, attacker.own.device)
        removes = [Remove(index) for index, _ in tree.members() if index != own]
        attacker.send_commit(attacker.commit(ref, removes, logout=True))


def vote_for_own_branch(attacker: Attacker) -> None:
    """Vote for the newest epochs that the attacker made itself."""
    for ref in attacker.made[-2:]:
        body = vote(attacker, ref, attacker.next_seq())
        if body is not None:
            attacker.send(content_of(body))


def begin_another_group(attacker: Attacker) -> None:
    """Begin the room's group once more, with the attacker alone in it."""
    attacker.send(attacker.genesis())


def rule_alone(attacker: Attacker) -> None:
    """Ban everybody by the state of the attacker's own homeserver, and commit what follows from it."""
    attacker.setting.ban_all(attacker.user)
    put_the_others_out(attacker)
