"""Which of a device's votes is its vote (docs/protocol.md, Section 7)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from immutables import Map

from dmls.ids import CommitRef

__all__ = ["NO_BALLOTS", "Ballot", "Ballots", "Target"]

Target = frozenset[CommitRef]
"""What a vote is for: one node, or a commit and all its twins."""


class Ballot(NamedTuple):
    """One vote: by a commit for itself, or by a signature."""

    is_commit: bool
    commit_ref: CommitRef


@dataclass(frozen=True, slots=True)
class Ballots:
    """All votes of one device that may count, by vote_seq. Immutable."""

    _by_seq: Map[int, frozenset[Ballot]] = Map()
    _seqs: tuple[int, ...] = ()
    """Sorted."""
    last_seq: int = -1
    """The greatest vote_seq of the device that was ever seen, whether it counts or not."""

    def see(self, vote_seq: int) -> Ballots:
        """Note a vote_seq that was used."""
        return self if vote_seq <= self.last_seq else replace(self, last_seq=vote_seq)

    def add(self, vote_seq: int, ballot: Ballot) -> Ballots:
        """Add a vote."""
        held = self._by_seq.get(vote_seq)
        if held is not None:
            return replace(self, _by_seq=self._by_seq.set(vote_seq, held | {ballot}))
        at = bisect_left(self._seqs, vote_seq)
        seqs = (*self._seqs[:at], vote_seq, *self._seqs[at:])
        return Ballots(self._by_seq.set(vote_seq, frozenset((ballot,))), seqs, max(self.last_seq, vote_seq))

    def discard(self, vote_seq: int, ballot: Ballot) -> Ballots:
        """Take a vote back, if it is there."""
        held = self._by_seq.get(vote_seq, frozenset())
        if ballot not in held:
            return self
        if len(held) > 1:
            return replace(self, _by_seq=self._by_seq.set(vote_seq, held - {ballot}))
        at = bisect_left(self._seqs, vote_seq)
        return replace(self, _by_seq=self._by_seq.delete(vote_seq), _seqs=(*self._seqs[:at], *self._seqs[at + 1 :]))

    def __iter__(self) -> Iterator[tuple[int, Ballot]]:
        """Go over the votes, each with its vote_seq."""
        return ((vote_seq, ballot) for vote_seq in self._seqs for ballot in self._by_seq[vote_seq])

    def is_equivocal(self, vote_seq: int, twins: Callable[[CommitRef], Iterable[CommitRef]]) -> bool:
        """Tell whether a vote_seq was used for two votes; `twins` gives a commit and its twins."""
        return len(self._targets(vote_seq, twins)) > 1

    def _targets(self, vote_seq: int, twins: Callable[[CommitRef], Iterable[CommitRef]]) -> set[Target]:
        found: set[Target] = set()
        alike: set[CommitRef] = set()
        for is_commit, ref in self._by_seq.get(vote_seq, ()):
            if is_commit and ref in alike:
                # Twins have the same twins, and there may be very many.
                continue
            target = frozenset(twins(ref)) if is_commit else frozenset((ref,))
            found.add(target)
            if is_commit:
                alike |= target
        return found

    def select(self, twins: Callable[[CommitRef], Iterable[CommitRef]]) -> Target:
        """Return the vote of the greatest vote_seq that was used for one vote only; empty where there is none.

        `twins` gives a commit and its twins.
        """
        for vote_seq in reversed(self._seqs):
            targets = self._targets(vote_seq, twins)
            if len(targets) == 1:
                return targets.pop()
        return frozenset()


NO_BALLOTS: Final = Ballots()
"""Of a device that has not voted."""
