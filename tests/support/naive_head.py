"""The head rule a second time: from the protocol's text, as slow and as plain as it can be, and without a line of dmls.

A node is a `Fact` and a graph is a list of them, in any order; a device is a tuple (user, device, key). Nothing is cached: every
question is answered by looking at everything again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Ballot", "Fact", "NaiveRoom"]

DeviceTuple = tuple[str, str, bytes]


@dataclass(frozen=True)
class Fact:
    """One commit or genesis; a genesis has the empty parent."""

    ref: bytes
    parent: bytes
    author: DeviceTuple
    seq: int
    content: bytes
    external: bool
    from_creator: bool
    adds: tuple[DeviceTuple, ...]
    removes: tuple[DeviceTuple, ...]
    logout: bool
    before_departure: bool
    spent: bool


@dataclass(frozen=True)
class Ballot:
    """One vote signature."""

    device: DeviceTuple
    ref: bytes
    seq: int
    spent: bool


class NaiveRoom:
    """A set of facts, votes and joined users, and the rule's words as methods."""

    def __init__(self, facts: Sequence[Fact], ballots: Sequence[Ballot], joined: set[str]) -> None:
        self.facts = {fact.ref: fact for fact in facts}
        self.ballots = ballots
        self.joined = joined

    def head(self) -> bytes | None:
        return self._descend(b"") or None

    def _descend(self, ref: bytes) -> bytes:
        rivals = [fact for fact in self.facts.values() if fact.parent == ref and self.counts(fact)]
        if not rivals:
            return ref
        # One clause after the other, each keeping only the best.
        best = [fact for fact in rivals if fact.from_creator] or rivals
        most = max(len(self.supporters(fact)) for fact in best)
        best = [fact for fact in best if len(self.supporters(fact)) == most]
        best = [fact for fact in best if not fact.external] or best
        best = [fact for fact in best if not self.removed_by(fact, rivals)] or best
        best.sort(key=lambda fact: (self.tie(fact), fact.ref))
        return self._descend(best[0].ref)

    def removed_by(self, fact: Fact, siblings: list[Fact]) -> bool:
        return any(fact.author in other.removes and other.author != fact.author for other in siblings)

    def tie(self, fact: Fact) -> bytes:
        user, _, key = fact.author
        return hashlib.sha256(b"".join([b"DMLS 1.0 tie", fact.parent, user.encode(), key])).digest()

    def counts(self, fact: Fact) -> bool:
        if self.supporters(fact):
            return True
        return self.twin_allowed(fact) and self.good_author(fact)

    def good_author(self, fact: Fact) -> bool:
        if fact.before_departure:
            return True
        return fact.author[0] in self.joined and not fact.spent

    def below(self, top: bytes) -> set[bytes]:
        found = {top}
        for fact in self.facts.values():
            if fact.parent == top:
                found |= self.below(fact.ref)
        return found

    # Votes

    def candidates(self, device: DeviceTuple) -> list[tuple[int, frozenset[bytes]]]:
        if device[0] not in self.joined:
            return []
        commits = [
            (fact.seq, frozenset(twin.ref for twin in self.twins(fact)))
            for fact in self.facts.values()
            if fact.author == device and not fact.external and not fact.spent
        ]
        signatures = [
            (ballot.seq, frozenset([ballot.ref]))
            for ballot in self.ballots
            if ballot.device == device and ballot.ref in self.facts and not ballot.spent
        ]
        return commits + signatures

    def selected(self, device: DeviceTuple) -> frozenset[bytes]:
        votes = self.candidates(device)
        while votes:
            top = max(seq for seq, _ in votes)
            different = {target for seq, target in votes if seq == top}
            if len(different) == 1:
                return different.pop()
            votes = [(seq, target) for seq, target in votes if seq < top]
        return frozenset()

    def vote(self, device: DeviceTuple) -> set[bytes]:
        target = set(self.selected(device))
        if len(target) > 1:
            target = {ref for ref in target if self.twin_allowed(self.facts[ref])}
        if any(self.removed(device, ref) for ref in target):
            return set()
        return target

    def devices(self) -> set[DeviceTuple]:
        return {fact.author for fact in self.facts.values()} | {ballot.device for ballot in self.ballots}

    def supporters(self, fact: Fact) -> set[str]:
        under = self.below(fact.ref)
        return {device[0] for device in self.devices() if self.vote(device) & under}

    def stands(self, fact: Fact) -> bool:
        """Whether the node counts when removals and twins are not looked at."""
        under = self.below(fact.ref)
        return self.good_author(fact) or any(self.selected(device) & under for device in self.devices())

    # Twins

    def twins(self, fact: Fact) -> list[Fact]:
        return [other for other in self.facts.values() if other.parent == fact.parent and other.content == fact.content]

    def continued(self, fact: Fact) -> bool:
        return any(
            child.parent == fact.ref and child.author[0] != fact.author[0] and self.stands(child) for child in self.facts.values()
        )

    def twin_allowed(self, fact: Fact) -> bool:
        twins = self.twins(fact)
        return len(twins) == 1 or self.continued(fact) or not any(self.continued(twin) for twin in twins)

    # Removals

    def leaf(self, device: DeviceTuple, ref: bytes) -> bytes | None:
        """Which node added the leaf that the device has there."""
        if ref not in self.facts:
            return None
        fact = self.facts[ref]
        if device in fact.adds or (device == fact.author and (fact.external or fact.parent == b"")):
            return ref
        if device in fact.removes:
            return None
        return self.leaf(device, fact.parent)

    def removed(self, device: DeviceTuple, ref: bytes) -> bool:
        for fact in self.facts.values():
            if device not in fact.removes or device == fact.author or not self.stands(fact):
                continue
            if fact.author[0] != device[0]:
                continue
            if fact.logout or self.leaf(device, fact.parent) == self.leaf(device, ref):
                return True
        return False
