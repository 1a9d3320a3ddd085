"""The votes over an epoch graph, and which nodes may be on the head's chain (docs/protocol.md, Section 7).

Each layer follows from the one before: the votes that devices cast; the nodes that count before removals and twins are looked at;
which leaves are removed and which twins confirmed; the votes that count; the users who support a node.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final, NamedTuple

from immutables import Map, MapMutation

from dmls.forks.ancestry import Marks, Place, Shift, Sums, add_to_sums, sum_from
from dmls.forks.ballots import NO_BALLOTS, Ballot, Ballots, Target
from dmls.forks.graph import EMPTY_GRAPH, VIRTUAL_ROOT, Device, EpochGraph, Node, Vote
from dmls.ids import CommitRef, UserId

__all__ = ["EMPTY_COUNT", "Changes", "Count", "Recount", "is_author_in_standing", "is_author_joined"]

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
class Count:
    """The graph, the votes in it and what follows from them for one set of joined users. Immutable.

    Attributes:
        graph: all valid nodes known.
        joined: J, the users joined in the room under a join that is not spent.
        weak: nodes that do not count by their author alone.
    """

    graph: EpochGraph
    joined: frozenset[UserId]
    weak: Marks
    _ballots: Map[UserId, Map[Device, Ballots]]
    """Of every device that made a node or voted."""
    _waiting: Map[CommitRef, frozenset[Vote]]
    """Votes for nodes that are not known, by these."""
    _selected: Map[Device, Target]
    """The vote of each device of a joined user, before removals and twins are looked at."""
    _votes: Map[UserId, Map[Device, Target]]
    """The votes that count."""
    _removers: Map[_Leaf, Target]
    """Nodes that count and remove a leaf by another device of its user."""
    _unconfirmed: Map[CommitRef, bool]
    """Twins that nobody committed on, where somebody did on another of them."""
    _selected_sums: Sums
    """Selected votes."""
    _support: Sums
    """Users, each counted on every strand at the last node that they support."""

    def without_nodes(self) -> Count:
        """Return the count for a graph without nodes: every vote waits for its node."""
        held = [(device, ballots) for devices in self._ballots.values() for device, ballots in devices.items()]
        seen: Map[UserId, Map[Device, Ballots]] = Map()
        waiting = self._waiting.mutate()
        for device, ballots in held:
            of_user = seen.get(device.user_id, Map()).set(device, NO_BALLOTS.see(ballots.last_seq))
            seen = seen.set(device.user_id, of_user)
            for vote_seq, ballot in ballots:
                if not ballot.is_commit:
                    ref = ballot.commit_ref
                    waiting[ref] = waiting.get(ref, frozenset()) | {Vote(device, ref, vote_seq)}
        return replace(EMPTY_COUNT, joined=self.joined, _ballots=seen, _waiting=waiting.finish())

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

    def is_supported(self, place: Place) -> bool:
        """Tell whether a joined user supports the node at a place."""
        return sum_from(self._support, place, self.graph.ancestry.length(place.strand)) > 0

    def vote(self, device: Device) -> Target:
        """Return the node that a device's counting vote is for; several where that node has twins, none without such a vote."""
        votes = self._votes.get(device.user_id)
        return _NOTHING if votes is None else votes.get(device, _NOTHING)

    @property
    def votes(self) -> Mapping[Device, Target]:
        """What the vote of each device is for, of all devices that have one that counts."""
        return {device: target for votes in self._votes.values() for device, target in votes.items()}

    def votes_of(self, user: UserId) -> Iterable[Target]:
        """Return what the votes of a user's devices are for, of those that count."""
        return self._votes.get(user, Map()).values()

    def devices(self, users: Iterable[UserId]) -> Iterable[Device]:
        """Return those devices of some users that made a node or voted."""
        return (device for user in users for device in self._ballots.get(user, ()))

    def is_equivocal(self, device: Device, vote_seq: int) -> bool:
        """Tell whether a device has used a vote_seq for two votes."""
        ballots = self._ballots.get(device.user_id, Map()).get(device, NO_BALLOTS)
        return ballots.is_equivocal(vote_seq, self.graph.twins)

    def last_seq(self, device: Device) -> int:
        """Return the greatest vote_seq of a device in any node or vote that was ever added; -1 for none."""
        return self._ballots.get(device.user_id, Map()).get(device, NO_BALLOTS).last_seq


EMPTY_COUNT: Final = Count(EMPTY_GRAPH, frozenset(), Marks(), Map(), Map(), Map(), Map(), Map(), Map(), Map(), Map())
"""The count of a room without a group."""


class Changes(NamedTuple):
    """A new count, and how it differs from the one before."""

    result: Count
    added: Collection[CommitRef] | None
    """New nodes; None if it is not only by these that the graph has changed."""
    parents: Collection[CommitRef]
    """Nodes of whose children something other than support has changed."""
    shifts: Collection[Shift]
    """Where support has changed."""


class Recount:
    """A count in the making: what comes in is noted first, and `finish` lets everything follow."""

    def __init__(self, count: Count, graph: EpochGraph) -> None:
        self._before = count
        self._graph = graph
        self._joined = count.joined
        self._ballots = count._ballots.mutate()
        self._waiting = count._waiting.mutate()
        self._selected = count._selected.mutate()
        self._votes = count._votes.mutate()
        self._removers = count._removers.mutate()
        self._unconfirmed = count._unconfirmed.mutate()
        self._weak = count.weak
        self._selected_sums = count._selected_sums.mutate()
        self._support = count._support.mutate()
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
        self._confirm(ref)
        self._follow(ref)
        self._starts.add(self._graph.parent(ref))
        for vote in self._waiting.pop(ref, ()):
            self.cast(vote)

    def leave(self, node: Node, parent: CommitRef) -> None:
        """Note a node that is in the graph no more; its place is still known. Votes for it wait."""
        ref = node.commit_ref
        self._weak = self._weak.change(removed=[self._graph.ancestry.place(ref)])
        self.count(node, is_back=True)
        votes = [
            Vote(device, ref, vote_seq)
            for of_user in self._before._ballots.values()
            for device, ballots in of_user.items()
            for vote_seq, ballot in ballots
            if ballot == (False, ref)
        ]
        for vote in votes:
            self._keep_ballots(vote.device, self._held_ballots(vote.device).discard(vote.vote_seq, Ballot(False, ref)))
            self.cast(vote)
        self._unconfirmed.pop(ref, None)
        twins = (child for child in self._graph.children(parent) if self._graph.node(child).content_hash == node.content_hash)
        for twin in twins:
            self._confirm(twin)
        self._follow_from(node, parent, has_standing=False)
        self._starts.add(parent)

    def correct(self, before: Node, node: Node) -> None:
        """Note that what the homeserver says of a node has changed."""
        if replace(before, event_id=node.event_id) == node:
            return
        self.count(before, is_back=True)
        self.count(node)
        self.judge_authors([node.commit_ref])

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
        self._follow_from(node, parent, has_standing=bool(node.removes_others) and self._has_standing(ref))

    def _follow_from(self, node: Node, parent: CommitRef, *, has_standing: bool) -> None:
        ref = node.commit_ref
        for device in node.removes_others:
            if device.user_id != node.author.user_id:
                continue
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
        if len(twins) < 2 and ref not in self._unconfirmed:
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

    def finish(self) -> Changes:
        """Return the count, and where something has changed."""
        for device in self._selecting:
            self._select(device)
        shifts = self._recount()
        count = replace(
            self._before,
            graph=self._graph,
            weak=self._weak,
            _ballots=self._ballots.finish(),
            _waiting=self._waiting.finish(),
            _selected=self._selected.finish(),
            _votes=self._votes.finish(),
            _removers=self._removers.finish(),
            _unconfirmed=self._unconfirmed.finish(),
            _selected_sums=self._selected_sums.finish(),
            _support=self._support.finish(),
        )
        return Changes(count, self._added, self._starts, shifts)

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
        """Return what a device's vote is for, if its user has not removed its leaf, or the device for good, by another one."""
        target = self._selected.get(device, _NOTHING)
        if len(target) > 1:
            target = frozenset(ref for ref in target if ref not in self._unconfirmed)
        if (device, None) in self._removers:
            return _NOTHING
        leaves = ((device, self._graph.leaf_origin(ref, device) or VIRTUAL_ROOT) for ref in target)
        return _NOTHING if any(leaf in self._removers for leaf in leaves) else target
