"""Attacks with commits that are valid by what everybody can see: twins, ground hashes, sides, and paths that do not open."""

from __future__ import annotations

from collections.abc import Callable

from dmls.forks.aad import EpochPointer
from dmls.ids import CommitRef
from dmls.mls.messages.commit import UpdatePath
from dmls.simulation.attackers.attacker import Attacker
from dmls.simulation.attackers.forging import ForgedCommit, garble_path, make_twin

__all__ = [
    "break_commit_for_a_subtree",
    "break_commit_for_all",
    "commit_on_the_past",
    "grind_hashes",
    "name_others_as_parent",
    "reject_everything",
    "send_twins",
    "show_each_side_another_commit",
    "withhold_from_one_side",
]

_MOST_TRIES = 12


def send_twins(attacker: Attacker) -> None:
    """Send one commit with its own confirmation tag and with made-up ones, each copy to other homeservers first."""
    head = attacker.head()
    made = None if head is None else attacker.commit(head)
    if head is None or made is None:
        return
    size = len(made.framed.confirmation_tag or b"")
    hints = attacker.hints(head)
    copies = [made, *(make_twin(made, attacker.own.client, attacker.rng.randbytes(size), hints) for _ in range(3))]
    attacker.rng.shuffle(copies)
    for place, copy in enumerate(copies):
        attacker.send_commit(copy, to=[attacker.others[place % len(attacker.others)]])
    for copy in copies:
        attacker.send(copy.content)


def grind_hashes(attacker: Attacker) -> None:
    """Make many commits on the head and send the one with the smallest reference."""
    head = attacker.head()
    if head is None:
        return
    made = [commit for commit in (attacker.commit(head) for _ in range(_MOST_TRIES)) if commit is not None]
    if made:
        attacker.send_commit(min(made, key=lambda commit: commit.ref))


def commit_on_the_past(attacker: Attacker) -> None:
    """Make chains of commits on old epochs, longer than the rest of their branches."""
    epochs = list(attacker.hoard.states)
    if not epochs:
        return
    parent = attacker.rng.choice(epochs)
    for _ in range(4):
        made = attacker.commit(parent)
        if made is None:
            return
        attacker.send_commit(made)
        attacker.study()
        parent = made.ref


def withhold_from_one_side(attacker: Attacker) -> None:
    """Show a commit on the head to one homeserver, and to the others nothing."""
    head = attacker.head()
    if head is not None:
        attacker.send_commit(attacker.commit(head), to=[attacker.rng.choice(attacker.others)])


def show_each_side_another_commit(attacker: Attacker) -> None:
    """Show every homeserver a commit of its own on the head, all with one vote_seq."""
    head, seq = attacker.head(), attacker.next_seq()
    for server in attacker.others:
        if head is not None:
            attacker.send_commit(attacker.commit(head, seq=seq), to=[server])


def break_commit_for_all(attacker: Attacker) -> None:
    """Commit with a path that none of the others can open."""
    _send_broken(attacker, lambda path: garble_path(path, range(len(path.nodes))))


def break_commit_for_a_subtree(attacker: Attacker) -> None:
    """Commit with a path that those below one of its nodes cannot open."""

    def spoil(path: UpdatePath) -> UpdatePath:
        return garble_path(path, [attacker.rng.randrange(len(path.nodes))] if path.nodes else [])

    _send_broken(attacker, spoil)


def _send_broken(attacker: Attacker, spoil: Callable[[UpdatePath], UpdatePath]) -> None:
    head = attacker.head()
    if head is not None:
        attacker.send_commit(attacker.commit(head, alter_path=spoil))


def name_others_as_parent(attacker: Attacker) -> None:
    """Commit on one epoch, and name another, or one that does not exist, as the parent."""
    head = attacker.head()
    if head is None:
        return
    names = [ref for ref in attacker.hoard.epochs if ref != head]
    unknown = CommitRef(attacker.rng.randbytes(attacker.hoard.suite.hash_size))
    for name in (*names[-3:], unknown):
        attacker.send_commit(_named(attacker, head, name))


def _named(attacker: Attacker, parent: CommitRef, name: CommitRef) -> ForgedCommit | None:
    return attacker.commit(parent, names=EpochPointer(name, b""))


def reject_everything(attacker: Attacker) -> None:
    """Commit on the head, and claim to have dealt with, and to have failed at, every epoch there is and many there are not."""
    head = attacker.head()
    if head is None:
        return
    size = attacker.hoard.suite.hash_size
    made_up = [EpochPointer(attacker.rng.randbytes(size), b"") for _ in range(200)]
    known = [EpochPointer(ref, b"") for ref in attacker.hoard.epochs]
    attacker.send_commit(attacker.commit(head, resolves=[*known, *made_up], rejects=[*known, *made_up], logout=True))
