"""The head: which epoch everybody should be in, as a pure function of events and joined users (docs/protocol.md, Section 7).

What it knows of a node never depends on clocks, depth or the order of arrival; and a node whose author is not joined, that no
joined user votes for and that did not precede its author's leave changes nothing at all, since some may never see it.

A `Tally` is kept from event to event. A new node or vote costs steps for the forks between the old vote and the new one, and not
for the nodes and votes that there are.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import chain
from typing import Final

from immutables import Map

from dmls.forks.ancestry import Marks, Place, Shift
from dmls.forks.ballots import Target
from dmls.forks.count import EMPTY_COUNT, Changes, Count, Recount
from dmls.forks.graph import VIRTUAL_ROOT, Device, EpochGraph, Node, Vote
from dmls.ids import CommitRef, UserId

__all__ = ["EMPTY_TALLY", "Tally"]


@dataclass(frozen=True, slots=True, repr=False)
class Tally:
    """An epoch graph, the votes in it and the head that follows from them for one set of joined users. Immutable."""

    _count: Count
    _head: CommitRef
    """`VIRTUAL_ROOT` where nothing counts."""
    _side_heads: Map[CommitRef, bool]
    """Nodes without children, other than the head, that no node on the head's chain resolves."""

    @classmethod
    def build(cls, graph: EpochGraph, votes: Iterable[Vote] = (), joined: Iterable[UserId] = ()) -> Tally:
        """Count all votes; those for nodes that are not in the graph wait for them."""
        return EMPTY_TALLY.with_joined(joined)._rebuild(graph, votes)

    def add(self, node: Node) -> Tally:
        """Return the tally with a node; one that is present already stays as it is.

        Raises:
            UsageError: the parent is missing, or a genesis has one.
            InvalidCommitError: the sender of the event is not the author's user.
        """
        if node.commit_ref in self.graph:
            return self
        graph = self.graph.add(node)
        if graph.children(node.commit_ref):
            # An anchor's parent: everything below is somewhere else now.
            return self._rebuild(graph)
        recount = Recount(self._count, graph)
        recount.enter(node)
        return self._follow(recount.finish())

    def correct(self, node: Node) -> Tally:
        """Return the tally with a node whose flags were corrected.

        Raises:
            NotFoundError: no such node is present.
            UsageError: more than what may be corrected differs.
        """
        recount = Recount(self._count, self.graph.replace(node))
        recount.correct(self.graph.node(node.commit_ref), node)
        return self._follow(recount.finish())

    def drop(self, ref: CommitRef) -> Tally:
        """Return the tally without a node that has no children; votes for it wait.

        Raises:
            UsageError: the node has children.
            NotFoundError: it is not present.
        """
        graph, old, parent = self.graph.drop(ref), self.graph.ancestry, self.graph.parent(ref)
        recount = Recount(self._count, replace(graph, ancestry=old))
        recount.leave(self.graph.node(ref), parent)
        changes = recount.finish()
        # Where support was at the node, it was at least to the one above it on its strand.
        shifts = [shift.cut(old.place(ref)) for shift in changes.shifts]
        before = replace(self, _head=parent) if self._head == ref else self
        return before._follow(Changes(replace(changes.result, graph=graph), None, changes.parents, shifts))

    def cast(self, vote: Vote) -> Tally:
        """Return the tally with a vote more."""
        recount = Recount(self._count, self.graph)
        recount.cast(vote)
        return self._follow(recount.finish())

    def withdraw(self, vote: Vote) -> Tally:
        """Return the tally with a vote less."""
        recount = Recount(self._count, self.graph)
        recount.cast(vote, is_back=True)
        return self._follow(recount.finish())

    def with_joined(self, joined: Iterable[UserId]) -> Tally:
        """Return the tally for another set of joined users."""
        now, before = frozenset(joined), self._count.joined
        if now is before or now == before:
            return self
        recount = Recount(replace(self._count, joined=now), self.graph)
        recount.judge_authors([node.commit_ref for node in self.nodes_by(now ^ before)])
        recount.select(self._count.devices(now ^ before))
        return self._follow(recount.finish())

    def with_graph(self, graph: EpochGraph) -> Tally:
        """Return the tally of another graph, with the same votes and joined users."""
        return self._rebuild(graph)

    def _rebuild(self, graph: EpochGraph, votes: Iterable[Vote] = ()) -> Tally:
        """Return the tally of another graph with the votes of this one, and more."""
        recount = Recount(self._count.without_nodes(), graph)
        for ref in graph:
            recount.enter(graph.node(ref))
        for vote in votes:
            recount.cast(vote)
        return EMPTY_TALLY._follow(recount.finish())

    def _follow(self, changes: Changes) -> Tally:
        counted = replace(self, _count=changes.result)
        headed = replace(counted, _head=counted._find_head(changes.parents, changes.shifts))
        return replace(headed, _side_heads=headed._find_side_heads(self._head, changes.added))

    # What follows

    @property
    def graph(self) -> EpochGraph:
        """All valid nodes known."""
        return self._count.graph

    @property
    def joined(self) -> frozenset[UserId]:
        """J, the users joined in the room under a join that is not spent."""
        return self._count.joined

    def head(self, without: Collection[CommitRef] = ()) -> CommitRef | None:
        """Return the head, or None where nothing counts. `without`: nodes not to be entered, because they failed here."""
        barred = [ref for ref in without if ref in self.graph]
        head = self._find_head([self.graph.parent(ref) for ref in barred], (), frozenset(barred)) if barred else self._head
        return head if head != VIRTUAL_ROOT else None

    def side_heads(self, head: CommitRef) -> tuple[CommitRef, ...]:
        """Return the nodes without children, other than a head, that no node on the head's chain resolves, sorted."""
        if head == self._head:
            return tuple(sorted(self._side_heads))
        return tuple(ref for ref in self.graph.side_heads(head) if not self._is_resolved(ref, head))

    def counts(self, ref: CommitRef) -> bool:
        """Tell whether a node of the graph may be on the head's chain."""
        return self._count.counts(ref)

    def support(self, ref: CommitRef) -> int:
        """Return the number of users who support a node."""
        return self._count.support(ref)

    def supporters(self, ref: CommitRef) -> frozenset[UserId]:
        """Return the joined users who support a node: those with a device whose vote is for it or for something below it."""
        is_ancestor = self.graph.is_ancestor
        return frozenset(
            device.user_id for device, target in self.votes.items() if any(is_ancestor(ref, voted) for voted in target)
        )

    def is_alone(self, ref: CommitRef) -> bool:
        """Tell whether nobody supports a node but its author's user, if that."""
        support = self.support(ref)
        votes = chain.from_iterable(self._count.votes_of(self.graph.node(ref).author.user_id))
        return not support or (support == 1 and any(self.graph.is_ancestor(ref, voted) for voted in votes))

    def nodes_by(self, users: Iterable[UserId]) -> Iterator[Node]:
        """Go over the nodes that devices of some users made."""
        refs = chain.from_iterable(map(self.graph.authored, self._count.devices(users)))
        return map(self.graph.node, refs)

    def vote(self, device: Device) -> Target:
        """Return the node that a device's counting vote is for; several where that node has twins, none without such a vote."""
        return self._count.vote(device)

    @property
    def votes(self) -> Mapping[Device, Target]:
        """What the vote of each device is for, of all devices that have one that counts."""
        return self._count.votes

    def is_equivocal(self, device: Device, vote_seq: int) -> bool:
        """Tell whether a device has used a vote_seq for two votes, of which therefore none counts."""
        return self._count.is_equivocal(device, vote_seq)

    def last_seq(self, device: Device) -> int:
        """Return the greatest vote_seq of a device in any node or vote that was ever added; -1 for none."""
        return self._count.last_seq(device)

    # The way down

    def _find_head(self, starts: Iterable[CommitRef], shifts: Iterable[Shift], barred: Collection[CommitRef] = ()) -> CommitRef:
        """Return the head where the old one may not be it any more.

        What is decided at a node on the old head's chain depends on its children alone. So only those nodes are looked at again
        of whose children something has changed.

        Args:
            starts: nodes of whose children something other than support has changed, or of which some are barred.
            shifts: where support has changed.
            barred: nodes not to be entered.
        """
        ancestry, old = self.graph.ancestry, self._head
        if old == VIRTUAL_ROOT:
            return self._descend(old, barred)
        doubtful = {ref for ref in starts if ancestry.is_ancestor(ref, old)}
        lost: CommitRef | None = None
        for strand, before, after in shifts:
            if before == after:
                continue
            if after > before:
                # More support for the old chain changes nothing on it, so the first in doubt is where this leaves it.
                doubtful.add(ancestry.joint(ancestry.ref(Place(strand, after)), old))
                continue
            child = Place(strand, after + 1)
            parent = ancestry.ref(ancestry.above(child))
            if not ancestry.is_ancestor(parent, old):
                continue
            if not ancestry.is_ancestor(ancestry.ref(child), old):
                doubtful.add(parent)
            elif lost is None or ancestry.is_ancestor(parent, lost):
                lost = parent
        for ref in sorted(doubtful, key=ancestry.depth):
            if lost is not None and ancestry.is_ancestor(lost, ref):
                break
            best = self._best(ref, barred)
            if best is None or not ancestry.is_ancestor(best, old):
                return ref if best is None else self._descend(best, barred)
        return self._descend(old if lost is None else lost, barred)

    def _descend(self, ref: CommitRef, barred: Collection[CommitRef] = ()) -> CommitRef:
        """Return the head, from a node on its chain on."""
        ancestry = self.graph.ancestry
        closed = Marks().change(map(ancestry.place, barred))
        best: CommitRef | None = ref
        while best is not None:
            ref = best
            strand, index = ancestry.place(ref)
            fork = ancestry.forks.first(strand, index, ancestry.length(strand))
            last = self._last_counting(strand, index, ancestry.length(strand) if fork is None else fork, closed)
            ref = ancestry.ref(Place(strand, last))
            best = self._best(ref, barred) if last == fork else None
        return ref

    def _last_counting(self, strand: int, index: int, end: int, closed: Marks) -> int:
        """Return how far down a strand without forks all nodes count, from one that does."""
        barred = closed.first(strand, index + 1, end)
        end = end if barred is None else barred - 1
        below = range(index + 1, end + 1)
        supported = index + bisect(below, False, key=lambda at: not self._count.is_supported(Place(strand, at)))
        weak = self._count.weak.first(strand, supported + 1, end)
        return end if weak is None else weak - 1

    def _best(self, parent: CommitRef, barred: Collection[CommitRef]) -> CommitRef | None:
        rivals = [ref for ref in self.graph.children(parent) if ref not in barred and self.counts(ref)]
        removed = frozenset(device for ref in rivals for device in self.graph.node(ref).removes_others)

        def rank(ref: CommitRef) -> tuple[bool, int, bool, bool, bytes, CommitRef]:
            node = self.graph.node(ref)
            return (
                not node.by_create_sender,
                -self.support(ref),
                node.is_external,
                node.author in removed,
                _tie_hash(node),
                ref,
            )

        return min(rivals, key=rank, default=None)

    # Side heads

    def _is_resolved(self, ref: CommitRef, head: CommitRef) -> bool:
        return any(self.graph.is_ancestor(resolver, head) for resolver in self.graph.resolvers(ref))

    def _find_side_heads(self, old: CommitRef, added: Collection[CommitRef] | None) -> Map[CommitRef, bool]:
        """Return the side heads, where those of the old head, and before some nodes were added, are known."""
        graph, head = self.graph, self._head
        if added is None or len(added) > 1 or not graph.ancestry.is_ancestor(old, head):
            return Map({ref: True for ref in graph.leaves() if ref != head and not self._is_resolved(ref, head)})
        side_heads = self._side_heads.mutate()
        for ref in added:
            side_heads.pop(graph.parent(ref), None)
            if not self._is_resolved(ref, head):
                side_heads[ref] = True
        above = head
        while above != old:
            for ref in graph.node(above).resolves:
                side_heads.pop(ref, None)
            above = graph.parent(above)
        side_heads.pop(head, None)
        return side_heads.finish()


def _tie_hash(node: Node) -> bytes:
    """Return what nobody can choose by making commits: it depends on the parent and the author alone."""
    author = node.author
    return sha256(b"DMLS 1.0 tie" + node.parent_ref + author.user_id.encode() + author.signature_key).digest()


EMPTY_TALLY: Final = Tally(EMPTY_COUNT, VIRTUAL_ROOT, Map())
"""The tally of a room without a group."""
