"""The head: which epoch everybody should be in, as a pure function of events and joined users (docs/protocol.md, Section 7).

What it knows of a node never depends on clocks, depth or the order of arrival; and a node whose author is not joined, that no joined
user votes for and that did not precede its author's leave changes nothing at all, since some may never see it.

A `Tally` is kept from event to event. A new node or vote costs steps for the forks between the old vote and the new one, and not for
the nodes and votes that there are.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import chain
from typing import Final

from immutables import Map, MapMutation

from dmls.forks.ancestry import Marks, Place, Shift, Sums, add_to_sums, sum_from
from dmls.forks.ballots import NO_BALLOTS, Ballot, Ballots, Target
from dmls.forks.graph import EMPTY_GRAPH, VIRTUAL_ROOT, Device, EpochGraph, Node, Vote
from dmls.ids import CommitRef, UserId

__all__ = ["EMPTY_TALLY", "Tally", "is_author_in_standing", "is_author_joined"]

_Leaf = tuple[Device, CommitRef | None]
"""A device's leaf by the node that added it (`VIRTUAL_ROOT` where that is not known), or all its leaves: None."""
_NOTHING: Final[Target] = frozenset()


def is_author_joined(node: Node, joined: Collection[UserId]) -> bool:
    """Tell whether a node's author is in J, and was so by a join that is not spent when it sent the node."""
    return node.author.user_id in joined and not node.is_spent


def is_author_in_standing(node: Node, joined: Collection[UserId]) -> bool:
    """Tell whether a node counts by its author alone: joined, or gone only after the node was sent."""
    return node.before_departure or is_author_joined(node, joined)


@dataclass(frozen=True, slots=True, repr=False)
class Tally:
    """The graph, the votes in it and what follows from them for one set of joined users. Immutable.

    Attributes:
        graph: all valid nodes known.
        joined: J, the users joined in the room under a join that is not spent.
    """

    graph: EpochGraph
    joined: frozenset[UserId]
    _ballots: Map[UserId, Map[Device, Ballots]]
    """Of every device that made a node or voted."""
    _waiting: Map[CommitRef, frozenset[Vote]]
    """Votes for nodes that are not known, by these."""
    _selected: Map[Device, Target]
    """The vote of each device of a joined user, before removals and twins are looked at."""
    _votes: Map[UserId, Map[Device, Target]]
    """The votes that count."""
    _removers: Map[_Leaf, Target]
    """Nodes that count and remove a leaf by a device of its own server."""
    _unconfirmed: Map[CommitRef, bool]
    """Twins that nobody committed on, where somebody did on another of them."""
    _weak: Marks
    """Nodes that do not count by their author alone."""
    _selected_sums: Sums
    """Selected votes."""
    _support: Sums
    """Users, each counted on every strand at the last node that they support."""
    _head: CommitRef
    """`VIRTUAL_ROOT` where nothing counts."""
    _side_heads: Map[CommitRef, bool]
    """Nodes without children, other than the head, that no node on the head's chain resolves."""

    @classmethod
    def build(cls, graph: EpochGraph, votes: Iterable[Vote] = (), joined: Iterable[UserId] = ()) -> Tally:
        """Count all votes; those for nodes that are not in the graph wait for them."""
        change = _Change(replace(EMPTY_TALLY, joined=frozenset(joined)), graph)
        for ref in graph:
            change.enter(graph.node(ref))
        for vote in votes:
            change.cast(vote)
        return change.finish()

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
            return Tally.build(graph, self._all_votes(), self.joined)
        change = _Change(self, graph)
        change.enter(node)
        return change.finish()

    def correct(self, node: Node) -> Tally:
        """Return the tally with a node whose flags were corrected.

        Raises:
            NotFoundError: no such node is present.
            UsageError: more than what may be corrected differs.
        """
        before = self.graph.node(node.commit_ref)
        graph = self.graph.replace(node)
        change = _Change(self, graph)
        if before.is_spent != node.is_spent:
            change.count(before, is_back=True)
            change.count(node)
        change.judge_authors([node.commit_ref])
        return change.finish()

    def drop(self, ref: CommitRef) -> Tally:
        """Return the tally without a node that has no children; votes for it wait.

        Raises:
            UsageError: the node has children.
            NotFoundError: it is not present.
        """
        return Tally.build(self.graph.drop(ref), self._all_votes(), self.joined)

    def cast(self, vote: Vote) -> Tally:
        """Return the tally with a vote more."""
        change = _Change(self, self.graph)
        change.cast(vote)
        return change.finish()

    def withdraw(self, vote: Vote) -> Tally:
        """Return the tally with a vote less."""
        change = _Change(self, self.graph)
        change.cast(vote, is_back=True)
        return change.finish()

    def with_joined(self, joined: Collection[UserId]) -> Tally:
        """Return the tally for another set of joined users."""
        now = frozenset(joined)
        if now == self.joined:
            return self
        change = _Change(replace(self, joined=now), self.graph)
        changed = [device for user in now ^ self.joined for device in self._ballots.get(user, ())]
        change.judge_authors([ref for device in changed for ref in self.graph.authored(device)])
        change.select(changed)
        return change.finish()

    def _all_votes(self) -> Iterable[Vote]:
        held = (
            Vote(device, ballot.commit_ref, seq)
            for devices in self._ballots.values()
            for device, ballots in devices.items()
            for seq, ballot in ballots
            if not ballot.is_commit
        )
        return chain(held, *self._waiting.values())

    # What follows

    def head(self, without: Collection[CommitRef] = ()) -> CommitRef | None:
        """Return the head, or None where nothing counts. `without`: nodes not to be entered, because they failed here."""
        barred = [ref for ref in without if ref in self.graph]
        head = self._find_head([self.graph.parent(ref) for ref in barred], [], frozenset(barred)) if barred else self._head
        return head if head != VIRTUAL_ROOT else None

    def side_heads(self, head: CommitRef) -> tuple[CommitRef, ...]:
        """Return the nodes without children, other than a head, that no node on the head's chain resolves, sorted."""
        if head == self._head:
            return tuple(sorted(self._side_heads))
        return tuple(ref for ref in self.graph.side_heads(head) if not self._is_resolved(ref, head))

    def counts(self, ref: CommitRef) -> bool:
        """Tell whether a node of the graph may be on the head's chain."""
        if self.support(ref):
            return True
        return ref not in self._unconfirmed and is_author_in_standing(self.graph.node(ref), self.joined)

    def support(self, ref: CommitRef) -> int:
        """Return the number of users who support a node."""
        ancestry = self.graph.ancestry
        if ref not in self.graph:
            return 0
        place = ancestry.place(ref)
        return sum_from(self._support, place, ancestry.length(place.strand))

    def supporters(self, ref: CommitRef) -> frozenset[UserId]:
        """Return the joined users who support a node: those with a device whose vote is for it or for something below it."""
        return frozenset(device.user_id for device, target in self.votes.items() if self._is_below(ref, target))

    def _is_below(self, ref: CommitRef, target: Target) -> bool:
        return any(self.graph.is_ancestor(ref, voted) for voted in target)

    def vote(self, device: Device) -> Target:
        """Return the node that a device's counting vote is for; several where that node has twins, none without such a vote."""
        votes = self._votes.get(device.user_id)
        return _NOTHING if votes is None else votes.get(device, _NOTHING)

    @property
    def votes(self) -> Mapping[Device, Target]:
        """What the vote of each device is for, of all devices that have one that counts."""
        return {device: target for votes in self._votes.values() for device, target in votes.items()}

    def last_seq(self, device: Device) -> int:
        """Return the greatest vote_seq of a device in any node or vote that was ever added; -1 for none."""
        return self._ballots.get(device.user_id, Map()).get(device, NO_BALLOTS).last_seq

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
        doubtful = {ref for ref in starts if ancestry.is_ancestor(ref, old)}
        lost: CommitRef | None = None
        for strand, before, after in shifts:
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
        length = self.graph.ancestry.length(strand)

        def is_unsupported(at: int) -> bool:
            return not sum_from(self._support, Place(strand, at), length)

        supported = index + bisect(range(index + 1, end + 1), False, key=is_unsupported)
        weak = self._weak.first(strand, supported + 1, end)
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

    def _find_side_heads(self, before: Tally, added: Collection[CommitRef]) -> Map[CommitRef, bool]:
        """Return the side heads, where those of the tally `before` some nodes were added are known."""
        graph, head = self.graph, self._head
        if len(added) > 1 or not graph.ancestry.is_ancestor(before._head, head):
            return Map({ref: True for ref in graph.leaves() if ref != head and not self._is_resolved(ref, head)})
        side_heads = before._side_heads.mutate()
        for ref in added:
            side_heads.pop(graph.parent(ref), None)
            if not self._is_resolved(ref, head):
                side_heads[ref] = True
        above = head
        while above != before._head:
            for ref in graph.node(above).resolves:
                side_heads.pop(ref, None)
            above = graph.parent(above)
        side_heads.pop(head, None)
        return side_heads.finish()


def _tie_hash(node: Node) -> bytes:
    """Return what nobody can choose by making commits: it depends on the parent and the author alone."""
    author = node.author
    return sha256(b"DMLS 1.0 tie" + node.parent_ref + author.user_id.encode() + author.signature_key).digest()


EMPTY_TALLY: Final = Tally(
    EMPTY_GRAPH, frozenset(), Map(), Map(), Map(), Map(), Map(), Map(), Marks(), Map(), Map(), VIRTUAL_ROOT, Map()
)
"""The tally of a room without a group."""


class _Change:
    """A tally in the making: what comes in is noted first, and `finish` lets everything follow."""

    def __init__(self, tally: Tally, graph: EpochGraph) -> None:
        self._tally = tally
        self._graph = graph
        self._joined = tally.joined
        self._ballots = tally._ballots.mutate()
        self._waiting = tally._waiting.mutate()
        self._selected = tally._selected.mutate()
        self._votes = tally._votes.mutate()
        self._removers = tally._removers.mutate()
        self._unconfirmed = tally._unconfirmed.mutate()
        self._weak = tally._weak
        self._selected_sums = tally._selected_sums.mutate()
        self._support = tally._support.mutate()
        self._selecting: dict[Device, None] = {}
        """Devices whose votes have changed."""
        self._voting: dict[Device, None] = {}
        """Devices whose vote may count otherwise than before."""
        self._starts: set[CommitRef] = set()
        """Nodes of whose children something other than support has changed."""
        self._added: list[CommitRef] = []

    # What comes in

    def enter(self, node: Node) -> None:
        """Note a node that is new in the graph."""
        ref = node.commit_ref
        self._added.append(ref)
        if not is_author_in_standing(node, self._joined):
            self._weak = self._weak.add(self._graph.ancestry.place(ref))
        self.count(node)
        twins = self._graph.twins(ref)
        if len(twins) > 1:
            self.select(self._graph.node(twin).author for twin in twins)
            self._confirm(ref)
        self._follow(ref)
        self._starts.add(self._graph.parent(ref))
        for vote in self._waiting.pop(ref, ()):
            self.cast(vote)

    def count(self, node: Node, *, is_back: bool = False) -> None:
        """Note what a node says as a vote, or that it says it no more."""
        device = node.author
        ballots = self._held_ballots(device).see(node.vote_seq)
        if not node.is_external and not node.is_spent:
            change = ballots.discard if is_back else ballots.add
            ballots = change(node.vote_seq, Ballot(True, node.commit_ref))
        self._keep_ballots(device, ballots)

    def cast(self, vote: Vote, *, is_back: bool = False) -> None:
        """Note a vote, or that there is none any more."""
        device, ref = vote.device, vote.commit_ref
        ballots = self._held_ballots(device).see(vote.vote_seq)
        if not vote.is_spent and ref in self._graph:
            change = ballots.discard if is_back else ballots.add
            ballots = change(vote.vote_seq, Ballot(False, ref))
        elif not vote.is_spent:
            waiting = self._waiting.get(ref, frozenset())
            self._waiting[ref] = waiting - {vote} if is_back else waiting | {vote}
        self._keep_ballots(device, ballots)

    def select(self, devices: Iterable[Device]) -> None:
        """Note devices whose votes have changed, or whether they may have one."""
        self._selecting.update(dict.fromkeys(devices))

    def judge_authors(self, refs: Collection[CommitRef]) -> None:
        """Note nodes whose authors may count otherwise than before."""
        ancestry = self._graph.ancestry
        standing = [ref for ref in refs if is_author_in_standing(self._graph.node(ref), self._joined)]
        weak = set(refs).difference(standing)
        self._weak = self._weak.change(map(ancestry.place, weak), map(ancestry.place, standing))
        for ref in refs:
            self._follow(ref)
            self._starts.add(self._graph.parent(ref))

    def _held_ballots(self, device: Device) -> Ballots:
        return self._ballots.get(device.user_id, Map()).get(device, NO_BALLOTS)

    def _keep_ballots(self, device: Device, ballots: Ballots) -> None:
        self._ballots[device.user_id] = self._ballots.get(device.user_id, Map()).set(device, ballots)
        self._selecting[device] = None

    # What follows from whether a node counts, before removals and twins are looked at, so that these do not depend on themselves

    def _has_standing(self, ref: CommitRef) -> bool:
        ancestry = self._graph.ancestry
        place = ancestry.place(ref)
        if is_author_in_standing(self._graph.node(ref), self._joined):
            return True
        return sum_from(self._selected_sums, place, ancestry.length(place.strand)) > 0

    def _follow(self, ref: CommitRef) -> None:
        """Let the leaves that a node removes, and the twins that it may confirm, follow from whether it counts."""
        node, parent = self._graph.node(ref), self._graph.parent(ref)
        removed = [device for device in node.removes_others if device.server == node.author.server]
        has_standing = bool(removed) and self._has_standing(ref)
        for device in removed:
            origin = self._graph.leaf_origin(parent, device) or VIRTUAL_ROOT
            leaf: _Leaf = (device, None if node.logout else origin)
            before = self._removers.get(leaf, _NOTHING)
            after = before | {ref} if has_standing else before - {ref}
            if after:
                self._removers[leaf] = after
            elif before:
                del self._removers[leaf]
            if bool(before) != bool(after):
                self._voting[device] = None
        if parent != VIRTUAL_ROOT and node.author.user_id != self._graph.node(parent).author.user_id:
            self._confirm(parent)

    def _confirm(self, ref: CommitRef) -> None:
        """Tell anew which of some twins count: those that another user committed on, or all of them."""
        twins = self._graph.twins(ref)
        if len(twins) < 2:
            return
        continued = frozenset(filter(self._is_continued, twins))
        for twin in twins:
            is_unconfirmed = bool(continued) and twin not in continued
            if is_unconfirmed == (twin in self._unconfirmed):
                continue
            if is_unconfirmed:
                self._unconfirmed[twin] = True
            else:
                del self._unconfirmed[twin]
            self._voting[self._graph.node(twin).author] = None
            self._starts.add(self._graph.parent(twin))

    def _is_continued(self, ref: CommitRef) -> bool:
        author = self._graph.node(ref).author.user_id
        return any(
            self._graph.node(child).author.user_id != author and self._has_standing(child) for child in self._graph.children(ref)
        )

    # What follows from votes

    def finish(self) -> Tally:
        """Return the tally."""
        for device in self._selecting:
            self._select(device)
        shifts = self._recount()
        before = self._tally
        uncounted = replace(
            before,
            graph=self._graph,
            _ballots=self._ballots.finish(),
            _waiting=self._waiting.finish(),
            _selected=self._selected.finish(),
            _votes=self._votes.finish(),
            _removers=self._removers.finish(),
            _unconfirmed=self._unconfirmed.finish(),
            _weak=self._weak,
            _selected_sums=self._selected_sums.finish(),
            _support=self._support.finish(),
        )
        headed = replace(uncounted, _head=uncounted._find_head(self._starts, shifts))
        return replace(headed, _side_heads=headed._find_side_heads(before, self._added))

    def _select(self, device: Device) -> None:
        before = self._selected.get(device, _NOTHING)
        is_joined = device.user_id in self._joined
        after = self._held_ballots(device).select(self._graph.twins) if is_joined else _NOTHING
        if before == after:
            return
        if after:
            self._selected[device] = after
        else:
            del self._selected[device]
        self._voting[device] = None
        ancestry = self._graph.ancestry
        for shift in self._shift(self._selected_sums, before, after):
            above, last = sorted((shift.before, shift.after))
            for index in self._weak.between(shift.strand, above, last):
                self._follow(ancestry.ref(Place(shift.strand, index)))

    def _recount(self) -> list[Shift]:
        """Count the users anew whose devices' votes have changed; return where support has."""
        changed: dict[UserId, Map[Device, Target]] = {}
        for device in self._voting:
            votes = changed.get(device.user_id, self._votes.get(device.user_id, Map()))
            target = self._target(device)
            if target:
                votes = votes.set(device, target)
            elif device in votes:
                votes = votes.delete(device)
            changed[device.user_id] = votes
        shifts: list[Shift] = []
        for user, votes in changed.items():
            before = self._votes.get(user, Map())
            shifts += self._shift(self._support, chain(*before.values()), chain(*votes.values()))
            self._votes[user] = votes
        return shifts

    def _shift(self, sums: MapMutation[Place, int], before: Iterable[CommitRef], after: Iterable[CommitRef]) -> list[Shift]:
        shifts = self._graph.ancestry.shifts(before, after)
        for shift in shifts:
            add_to_sums(sums, Place(shift.strand, shift.before), -1)
            add_to_sums(sums, Place(shift.strand, shift.after), 1)
        return shifts

    def _target(self, device: Device) -> Target:
        """Return what a device's vote is for, if its leaf was not removed by its user's server, or the device by it for good."""
        target = self._selected.get(device, _NOTHING)
        if len(target) > 1:
            target = frozenset(ref for ref in target if ref not in self._unconfirmed)
        if (device, None) in self._removers:
            return _NOTHING
        leaves = ((device, self._graph.leaf_origin(ref, device) or VIRTUAL_ROOT) for ref in target)
        return _NOTHING if any(leaf in self._removers for leaf in leaves) else target
