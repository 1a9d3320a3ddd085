"""Who is above whom in a growing tree, without walking it.

The tree is cut into *strands*: the first child to come continues the strand of its parent, every further one begins a strand that
hangs on the parent. A question about two nodes then costs as many steps as strands lie between them, however many nodes these
have. How the tree is cut depends on the order in which nodes came, the answers do not.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final, NamedTuple

from immutables import Map, MapMutation

from dmls.forks.nodes import VIRTUAL_ROOT
from dmls.ids import CommitRef

__all__ = ["EMPTY_ANCESTRY", "Ancestry", "Marks", "Place", "Shift", "Sums", "add_to_sums", "sum_from"]


class Place(NamedTuple):
    """Where a node is: its strand, and its index there from 1; the virtual root has index 0 of strand 0."""

    strand: int
    at: int


Sums = Map[Place, int]
"""Numbers of targets at nodes, added up so that those from an index of a strand on take few steps to add (`sum_from`)."""


class Shift(NamedTuple):
    """On one strand, how far down nodes are at or above some target: to index `before` of old, `after` of new; 0 for nowhere."""

    strand: int
    before: int
    after: int

    def cut(self, end: Place) -> Shift:
        """Return the shift on a strand that ends before a place."""
        if self.strand != end.strand:
            return self
        return Shift(self.strand, min(self.before, end.at - 1), min(self.after, end.at - 1))


@dataclass(frozen=True, slots=True)
class Marks:
    """Some nodes, by strand and index."""

    _indexes: Map[int, tuple[int, ...]] = Map()
    """Sorted. Only strands that have any."""

    def change(self, added: Iterable[Place] = (), removed: Iterable[Place] = ()) -> Marks:
        """Return the marks with some nodes more and some less."""
        wanted: dict[int, set[int]] = {}
        for places, is_added in ((removed, False), (added, True)):
            for strand, index in places:
                indexes = wanted.setdefault(strand, set(self._indexes.get(strand, ())))
                if is_added:
                    indexes.add(index)
                else:
                    indexes.discard(index)
        if not wanted:
            return self
        changed = self._indexes.mutate()
        for strand, indexes in wanted.items():
            if indexes:
                changed[strand] = tuple(sorted(indexes))
            else:
                changed.pop(strand, None)
        return Marks(changed.finish())

    def add(self, place: Place) -> Marks:
        """Return the marks with one node more."""
        indexes = self._indexes.get(place.strand, ())
        at = bisect_left(indexes, place.at)
        if indexes[at : at + 1] == (place.at,):
            return self
        return Marks(self._indexes.set(place.strand, (*indexes[:at], place.at, *indexes[at:])))

    def between(self, strand: int, above: int, last: int) -> tuple[int, ...]:
        """Return the marked indexes of a strand that are greater than `above` and not greater than `last`."""
        indexes = self._indexes.get(strand, ())
        return indexes[bisect_right(indexes, above) : bisect_right(indexes, last)]

    def first(self, strand: int, index: int, last: int) -> int | None:
        """Return the first marked index of a strand from `index` on and not greater than `last`."""
        indexes = self._indexes.get(strand, ())
        at = bisect_left(indexes, index)
        return indexes[at] if at < len(indexes) and indexes[at] <= last else None


class _Strand(NamedTuple):
    hung_on: Place
    level: int
    """Number of strands above."""
    depth: int
    """Depth of what it hangs on."""
    length: int


@dataclass(frozen=True, slots=True)
class Ancestry:
    """The nodes of a tree under `VIRTUAL_ROOT`. Immutable: `add` returns another one that shares what is equal."""

    _places: Map[CommitRef, Place]
    _refs: Map[Place, CommitRef]
    _strands: Map[int, _Strand]
    forks: Marks = Marks()
    """Nodes that have more than one child, or had."""

    def add(self, ref: CommitRef, parent: CommitRef) -> Ancestry:
        """Return the tree with a new node under a parent that is present."""
        above = self._places[parent]
        strand = self._strands[above.strand]
        forks = self.forks
        if above.at == strand.length:
            place = Place(above.strand, above.at + 1)
            strands = self._strands.set(place.strand, strand._replace(length=place.at))
        else:
            place = Place(len(self._strands), 1)
            hung = _Strand(above, strand.level + 1, strand.depth + above.at, 1)
            strands = self._strands.set(place.strand, hung)
            forks = forks.add(above)
        return Ancestry(self._places.set(ref, place), self._refs.set(place, ref), strands, forks)

    def drop(self, ref: CommitRef) -> Ancestry:
        """Return the tree without a node, which is present and has no children."""
        place = self._places[ref]
        strand = self._strands[place.strand]
        strands = self._strands.set(place.strand, strand._replace(length=place.at - 1))
        # That the parent may be no fork any more does not matter: there is one child to choose from.
        return Ancestry(self._places.delete(ref), self._refs.delete(place), strands, self.forks)

    def __contains__(self, ref: object) -> bool:
        return ref in self._places

    def place(self, ref: CommitRef) -> Place:
        """Return where a node is, which is present."""
        return self._places[ref]

    def ref(self, place: Place) -> CommitRef:
        """Return the node at a place, which exists."""
        return self._refs[place]

    def above(self, place: Place) -> Place:
        """Return the place of the parent of the node at a place, which is not the virtual root."""
        return Place(place.strand, place.at - 1) if place.at > 1 or not place.strand else self._strands[place.strand].hung_on

    def length(self, strand: int) -> int:
        """Return the last index of a strand."""
        return self._strands[strand].length

    def depth(self, ref: CommitRef) -> int:
        """Return the number of nodes above a node, the virtual root included."""
        strand, index = self._places[ref]
        return self._strands[strand].depth + index

    def top(self, ref: CommitRef) -> CommitRef:
        """Return the child of the virtual root that a node is or is below."""
        strand = self._places[ref].strand
        while self._strands[strand].hung_on != _ROOT:
            strand = self._strands[strand].hung_on.strand
        return self._refs[Place(strand, 1)]

    def is_ancestor(self, ancestor: CommitRef, ref: CommitRef) -> bool:
        """Tell whether a node is `ancestor` or below it; both are present."""
        top, index = self._places[ancestor]
        level = self._strands[top].level
        place = self._places[ref]
        while self._strands[place.strand].level > level:
            place = self._strands[place.strand].hung_on
        return place.strand == top and place.at >= index

    def joint(self, one: CommitRef, other: CommitRef) -> CommitRef:
        """Return the last node that is above or equal to both, which may be `VIRTUAL_ROOT`."""
        first, second = self._places[one], self._places[other]
        while first.strand != second.strand:
            if self._strands[first.strand].level >= self._strands[second.strand].level:
                first = self._strands[first.strand].hung_on
            else:
                second = self._strands[second.strand].hung_on
        return self._refs[min(first, second)]

    def shifts(self, before: Iterable[CommitRef], after: Iterable[CommitRef]) -> list[Shift]:
        """Return where it differs whether a node has any of `before`, or any of `after`, at or below it."""
        old, new = self._reach(before), self._reach(after)
        waiting = [(-self._strands[strand].level, strand) for strand in old.keys() | new.keys()]
        waiting.sort()
        differing = {strand for _, strand in waiting if old.get(strand) != new.get(strand)}
        found = []
        while differing:
            _, strand = heappop(waiting)
            shift = Shift(strand, old.get(strand, 0), new.get(strand, 0))
            if shift.before != shift.after:
                found.append(shift)
            differing.discard(strand)
            if not strand:
                continue
            up = self._strands[strand].hung_on
            if up.strand not in old and up.strand not in new:
                heappush(waiting, (-self._strands[up.strand].level, up.strand))
            for side, is_reached in ((old, shift.before), (new, shift.after)):
                if is_reached:
                    side[up.strand] = max(side.get(up.strand, 0), up.at)
            if old.get(up.strand, 0) != new.get(up.strand, 0):
                differing.add(up.strand)
            else:
                differing.discard(up.strand)
        return found

    def _reach(self, refs: Iterable[CommitRef]) -> dict[int, int]:
        reach: dict[int, int] = {}
        for ref in refs:
            strand, index = self._places[ref]
            reach[strand] = max(reach.get(strand, 0), index)
        return reach


def add_to_sums(sums: MapMutation[Place, int], place: Place, change: int) -> None:
    """Add to the number at a node; index 0 has none."""
    strand, index = place
    while index:
        # The number at an index is that of as many nodes from it on as its lowest bit says.
        key = Place(strand, index)
        value = sums.get(key, 0) + change
        if value:
            sums[key] = value
        else:
            sums.pop(key, None)
        index &= index - 1


def sum_from(sums: Sums | MapMutation[Place, int], place: Place, last: int) -> int:
    """Return the sum of the numbers at a node and at all below it on its strand, which ends at index `last`."""
    strand, index = place
    total = 0
    while index <= last:
        total += sums.get(Place(strand, index), 0)
        index += index & -index
    return total


_ROOT: Final = Place(0, 0)
EMPTY_ANCESTRY: Final = Ancestry(Map({VIRTUAL_ROOT: _ROOT}), Map({_ROOT: VIRTUAL_ROOT}), Map({0: _Strand(_ROOT, 0, 0, 0)}))
"""The virtual root alone."""
