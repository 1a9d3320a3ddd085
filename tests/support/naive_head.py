"""The head rule a second time: from Section 7 of docs/protocol.md, step by step, and without a line of dmls.

A node is a `Fact` and a graph is a list of them, in any order; a device is a tuple (user, device, key). It is as slow and as
plain as can be: nothing is kept, every question is answered by looking at everything again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["DeviceTuple", "Fact", "NaiveRoom", "Signature"]

DeviceTuple = tuple[str, str, bytes]
ROOT = b""


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
class Signature:
    """One vote signature."""

    device: DeviceTuple
    ref: bytes
    seq: int
    spent: bool


class NaiveRoom:
    """A set of facts, vote signatures and joined users, and the rule's words as methods."""

    def __init__(self, facts: Iterable[Fact], signatures: Sequence[Signature], joined: set[str]) -> None:
        self.facts = {fact.ref: fact for fact in facts}
        self.signatures = signatures
        self.joined = joined

    # Words

    def parent(self, fact: Fact) -> bytes:
        """The root where the parent is not known: a genesis, or an anchor."""
        return fact.parent if fact.parent in self.facts else ROOT

    def children(self, ref: bytes) -> list[Fact]:
        return [fact for fact in self.facts.values() if self.parent(fact) == ref]

    def below(self, ref: bytes) -> set[bytes]:
        """A node and all that lie below it."""
        return {ref}.union(*(self.below(child.ref) for child in self.children(ref)))

    def author_joined(self, fact: Fact) -> bool:
        return fact.author[0] in self.joined and not fact.spent

    def author_in_standing(self, fact: Fact) -> bool:
        return self.author_joined(fact) or fact.before_departure

    def twins(self, fact: Fact) -> set[bytes]:
        """The node itself among them."""
        return {other.ref for other in self.facts.values() if (other.parent, other.content) == (fact.parent, fact.content)}

    def leaf(self, device: DeviceTuple, ref: bytes) -> bytes | None:
        while ref in self.facts:
            fact = self.facts[ref]
            joins_by_itself = fact.external or fact.parent == ROOT
            if device in fact.adds or (joins_by_itself and device == fact.author):
                return ref
            if device in fact.removes:
                return None
            ref = fact.parent
        return None

    # Step 1: the ballot of each device

    def devices(self) -> set[DeviceTuple]:
        return {fact.author for fact in self.facts.values()} | {signature.device for signature in self.signatures}

    def ballot(self, device: DeviceTuple) -> set[bytes]:
        votes = [
            (fact.seq, self.twins(fact))
            for fact in self.facts.values()
            if fact.author == device and not fact.external and self.author_joined(fact)
        ]
        if device[0] in self.joined:
            votes += [
                (signature.seq, {signature.ref})
                for signature in self.signatures
                if signature.device == device and signature.ref in self.facts and not signature.spent
            ]
        left = [(seq, target) for seq, target in votes if all(other == target for at, other in votes if at == seq)]
        return max(left, key=lambda vote: vote[0])[1] if left else set()

    # Step 2: standing

    def stands(self, fact: Fact) -> bool:
        under = self.below(fact.ref)
        return self.author_in_standing(fact) or any(self.ballot(device) & under for device in self.devices())

    # Step 3: confirmed twins

    def continued(self, fact: Fact) -> bool:
        return any(child.author[0] != fact.author[0] and self.stands(child) for child in self.children(fact.ref))

    def confirmed(self, fact: Fact) -> bool:
        twins = self.twins(fact)
        return twins == {fact.ref} or self.continued(fact) or not any(self.continued(self.facts[twin]) for twin in twins)

    def kept_ballot(self, device: DeviceTuple) -> set[bytes]:
        ballot = self.ballot(device)
        return ballot if len(ballot) < 2 else {ref for ref in ballot if self.confirmed(self.facts[ref])}

    # Step 4: removed voters

    def void(self, device: DeviceTuple) -> bool:
        removals = [fact for fact in self.facts.values() if device in fact.removes and device != fact.author]
        for fact in removals:
            if fact.author[0] != device[0] or not self.stands(fact):
                continue
            leaves = {self.leaf(device, ref) for ref in self.kept_ballot(device)}
            if fact.logout or self.leaf(device, fact.parent) in leaves:
                return True
        return False

    # Step 5: supporters

    def supporters(self, fact: Fact) -> set[str]:
        under = self.below(fact.ref)
        return {device[0] for device in self.devices() if self.kept_ballot(device) & under and not self.void(device)}

    # Step 6: counting

    def counts(self, fact: Fact) -> bool:
        return bool(self.supporters(fact)) or (self.confirmed(fact) and self.author_in_standing(fact))

    # Step 7: down from the root

    def head(self, without: Iterable[bytes] = ()) -> bytes | None:
        left_out = set(without)
        ref = ROOT
        while rivals := [fact for fact in self.children(ref) if fact.ref not in left_out and self.counts(fact)]:
            ref = self.best(rivals).ref
        return ref or None

    def best(self, rivals: list[Fact]) -> Fact:
        """One clause after the other, each keeping only the best."""
        best = [fact for fact in rivals if fact.from_creator] or rivals
        most = max(len(self.supporters(fact)) for fact in best)
        best = [fact for fact in best if len(self.supporters(fact)) == most]
        best = [fact for fact in best if not fact.external] or best
        best = [fact for fact in best if not self.removed_by_any(fact, rivals)] or best
        return min(best, key=lambda fact: (self.tie(fact), fact.ref))

    def removed_by_any(self, fact: Fact, rivals: list[Fact]) -> bool:
        return any(fact.author in rival.removes and rival.author != fact.author for rival in rivals)

    def tie(self, fact: Fact) -> bytes:
        user, _, key = fact.author
        return hashlib.sha256(b"".join([b"DMLS 1.0 tie", fact.parent, user.encode(), key])).digest()
