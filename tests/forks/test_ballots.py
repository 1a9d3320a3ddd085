"""Which of a device's votes is its vote."""

from __future__ import annotations

from dmls.forks.ballots import NO_BALLOTS, Ballot
from dmls.ids import CommitRef

TWINS = tuple(CommitRef(number.to_bytes(2, "big")) for number in range(1_000))


def test_however_many_twins_a_commit_has_they_are_looked_up_once() -> None:
    ballots = NO_BALLOTS
    for ref in TWINS:
        ballots = ballots.add(7, Ballot(True, ref))
    asked: list[CommitRef] = []

    def twins(ref: CommitRef) -> tuple[CommitRef, ...]:
        asked.append(ref)
        return TWINS

    assert ballots.select(twins) == frozenset(TWINS)
    assert len(asked) == 1
    assert not ballots.is_equivocal(7, twins)
    assert len(asked) == 2
