"""The epoch graph: every valid commit and genesis that is known, under one virtual root (docs/protocol.md, Section 7).

Nodes are keyed by commit_ref. A node enters only under a parent that is present; the caller parks the others. Equal sets of nodes
make equal graphs, whatever the order in which they came.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from immutables import Map

from dmls.errors import InvalidCommitError, NotFoundError, UsageError
from dmls.forks.nodes import VIRTUAL_ROOT, Device, Node, Vote
from dmls.ids import CommitRef

__all__ = ["EMPTY_GRAPH", "VIRTUAL_ROOT", "Device", "EpochGraph", "Node", "Vote"]


@dataclass(frozen=True, slots=True, repr=False)
class EpochGraph:
    """All known epochs. Immutable: `add` and `replace` return another graph that shares what is equal."""

    _nodes: Map[CommitRef, Node]
    _children: Map[CommitRef, tuple[CommitRef, ...]]
    """Sorted. Only nodes that have any."""
    _origins: Map[CommitRef, Map[Device, CommitRef]]
    """For each node, by which node each of its devices was added; a device that was there before an anchor is absent."""
    _tips: Map[CommitRef, bool]
    """Nodes without children."""
    _authored: Map[Device, tuple[CommitRef, ...]]
    """Nodes by their author, sorted."""
    _removals: Map[Device, tuple[CommitRef, ...]]
    """Nodes that remove a device other than their author, by that device, sorted."""

    @classmethod
    def build(cls, nodes: Iterable[Node]) -> EpochGraph:
        """Make a graph of nodes in any order.

        Raises:
            UsageError: a node's parent is missing.
            InvalidCommitError: a node's sender is not its author's user.
        """
        known = {node.commit_ref: node for node in nodes}
        below: dict[CommitRef, list[Node]] = {}
        for node in known.values():
            is_top = node.is_anchor and node.parent_ref not in known
            below.setdefault(VIRTUAL_ROOT if is_top else node.parent_ref, []).append(node)
        graph = EMPTY_GRAPH
        ready = below.pop(VIRTUAL_ROOT, [])
        while ready:
            node = ready.pop()
            graph = graph.add(node)
            ready += below.pop(node.commit_ref, [])
        if below:
            raise UsageError("the parent of a node is missing")
        return graph

    def add(self, node: Node) -> EpochGraph:
        """Return the graph with a node; one that is present already stays as it is.

        Raises:
            UsageError: the parent is missing, or a genesis has one.
            InvalidCommitError: the sender of the event is not the author's user.
        """
        ref = node.commit_ref
        if ref in self._nodes:
            return self
        if node.sender != node.author.user_id:
            raise InvalidCommitError("the sender of the event is not the user of the author's leaf")
        if node.is_genesis != (node.parent_ref == VIRTUAL_ROOT):
            raise UsageError("a genesis, and nothing else, has the virtual root as its parent")
        if not node.is_genesis and not node.is_anchor and node.parent_ref not in self._nodes:
            raise UsageError("the parent of a node is missing")
        if any(self._nodes[top].parent_ref == ref for top in self.children(VIRTUAL_ROOT)):
            # An anchor's parent has come: all below is hung up again.
            return EpochGraph.build([*self._nodes.values(), node])
        parent = node.parent_ref if node.parent_ref in self._nodes else VIRTUAL_ROOT
        removals = self._removals.mutate()
        for device in node.removes_others:
            removals[device] = _with(removals.get(device, ()), ref)
        return EpochGraph(
            self._nodes.set(ref, node),
            self._children.set(parent, _with(self.children(parent), ref)),
            self._origins.set(ref, _next_origins(self._origins.get(parent, Map()), node)),
            (self._tips.delete(parent) if parent in self._tips else self._tips).set(ref, True),
            self._authored.set(node.author, _with(self.authored(node.author), ref)),
            removals.finish(),
        )

    def replace(self, node: Node) -> EpochGraph:
        """Return the graph with a node whose flags were corrected.

        Raises:
            NotFoundError: no such node is present.
            UsageError: more than what may be corrected differs.
        """
        if not self.node(node.commit_ref).says_the_same(node):
            raise UsageError("what a commit says cannot be corrected")
        nodes = self._nodes.set(node.commit_ref, node)
        return EpochGraph(nodes, self._children, self._origins, self._tips, self._authored, self._removals)

    def __contains__(self, ref: object) -> bool:
        return ref in self._nodes

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[CommitRef]:
        """Go over all nodes, each after its parent."""
        below = list(self.children(VIRTUAL_ROOT))
        while below:
            ref = below.pop()
            yield ref
            below += self.children(ref)

    def __repr__(self) -> str:
        return f"EpochGraph({len(self)} nodes)"

    def node(self, ref: CommitRef) -> Node:
        """Return a node.

        Raises:
            NotFoundError: it is not present.
        """
        node = self._nodes.get(ref)
        if node is None:
            raise NotFoundError("no such node in the epoch graph")
        return node

    def parent(self, ref: CommitRef) -> CommitRef:
        """Return the parent; `VIRTUAL_ROOT` for a genesis, and for an anchor whose parent is missing.

        Raises:
            NotFoundError: the node is not present.
        """
        above = self.node(ref).parent_ref
        return above if above in self._nodes else VIRTUAL_ROOT

    def children(self, ref: CommitRef) -> tuple[CommitRef, ...]:
        """Return the children of a node or of `VIRTUAL_ROOT`, sorted."""
        return self._children.get(ref, ())

    def leaf_origin(self, ref: CommitRef, device: Device) -> CommitRef | None:
        """Return which node added the leaf that a device has in an epoch; the name of the leaf across forks.

        None where that is not known: the leaf was there before an anchor, or the device is no member.
        """
        return self._origins[ref].get(device) if ref in self._origins else None

    def leaf_origins(self, ref: CommitRef) -> Mapping[Device, CommitRef]:
        """Return for each device of an epoch which node added its leaf, where that is known (`leaf_origin`)."""
        return self._origins.get(ref, Map())

    def path_up(self, ref: CommitRef) -> Iterator[CommitRef]:
        """Go from a node up to its genesis or anchor, both included; nothing for `VIRTUAL_ROOT`.

        Raises:
            NotFoundError: the node is not present.
        """
        while ref != VIRTUAL_ROOT:
            yield ref
            ref = self.parent(ref)

    def chain(self, ref: CommitRef) -> tuple[CommitRef, ...]:
        """Return the nodes from the genesis or anchor down to a node, both included.

        Raises:
            NotFoundError: the node is not present.
        """
        return tuple(self.path_up(ref))[::-1]

    def is_ancestor(self, ancestor: CommitRef, ref: CommitRef) -> bool:
        """Tell whether a node is `ancestor` or below it; everything is below `VIRTUAL_ROOT`.

        Raises:
            NotFoundError: the node is not present.
        """
        return ancestor == VIRTUAL_ROOT or ancestor in self.path_up(ref)

    def subtree(self, ref: CommitRef) -> Iterator[CommitRef]:
        """Go over a node and all below it, each after its parent."""
        below = [ref]
        while below:
            ref = below.pop()
            yield ref
            below += self.children(ref)

    def leaves(self) -> tuple[CommitRef, ...]:
        """Return the nodes without children, sorted."""
        return tuple(sorted(self._tips))

    def side_heads(self, head: CommitRef) -> tuple[CommitRef, ...]:
        """Return the leaves that are not on the head's chain, sorted.

        Raises:
            NotFoundError: the head is not present.
        """
        self.node(head)
        return tuple(ref for ref in self.leaves() if ref != head)

    def authored(self, device: Device) -> tuple[CommitRef, ...]:
        """Return the nodes that a device made, sorted."""
        return self._authored.get(device, ())

    def removals(self) -> Mapping[Device, tuple[CommitRef, ...]]:
        """Return each device that another has removed on any branch, with the nodes that did, sorted."""
        return self._removals

    def branch(self, head: CommitRef, side_head: CommitRef) -> tuple[CommitRef, ...]:
        """Return the nodes above a side head that are not on the head's chain, from the fork down to the side head.

        Raises:
            NotFoundError: a node is not present.
        """
        chain = frozenset(self.path_up(head))
        return tuple(ref for ref in self.path_up(side_head) if ref not in chain)[::-1]

    def fork_points(self) -> tuple[CommitRef, ...]:
        """Return the nodes with more than one child, sorted; `VIRTUAL_ROOT` among them where a room has two beginnings."""
        return tuple(sorted(ref for ref, children in self._children.items() if len(children) > 1))


def _with(refs: tuple[CommitRef, ...], ref: CommitRef) -> tuple[CommitRef, ...]:
    place = bisect(refs, ref)
    return (*refs[:place], ref, *refs[place:])


def _next_origins(origins: Map[Device, CommitRef], node: Node) -> Map[Device, CommitRef]:
    joined = (*node.adds, node.author) if node.is_genesis or node.is_external else node.adds
    changed = origins.mutate()
    for device in node.removes:
        changed.pop(device, None)
    for device in joined:
        changed[device] = node.commit_ref
    return changed.finish()


EMPTY_GRAPH: Final = EpochGraph(Map(), Map(), Map(), Map(), Map(), Map())
"""The graph of a room without a group."""
