"""The epoch graph: every valid commit and genesis that is known, under one virtual root (docs/protocol.md, Section 7).

Nodes are keyed by commit_ref. A node enters only under a parent that is present; the caller parks the others. Equal sets of nodes
make equal graphs, whatever the order in which they came.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Final, TypeVar

from immutables import Map

from dmls.errors import InvalidCommitError, NotFoundError, UsageError
from dmls.forks.ancestry import EMPTY_ANCESTRY, Ancestry, Place
from dmls.forks.nodes import VIRTUAL_ROOT, Device, Node, Vote
from dmls.ids import CommitRef, DeviceId, UserId

__all__ = ["EMPTY_GRAPH", "VIRTUAL_ROOT", "Device", "EpochGraph", "Node", "Vote"]


_Key = TypeVar("_Key")


@dataclass(frozen=True, slots=True, repr=False)
class EpochGraph:
    """All known epochs. Immutable: `add` and `replace` return another graph that shares what is equal."""

    _nodes: Map[CommitRef, Node]
    _children: Map[CommitRef, tuple[CommitRef, ...]]
    """Sorted. Only nodes that have any."""
    _origins: Map[CommitRef, Map[Device, CommitRef]]
    """For each node, by which node each of its devices was added; a device that was there before an anchor is absent."""
    _renewals: Map[CommitRef, Map[Device, CommitRef]]
    """For each node, by which node each of its devices got the keys of its leaf; as in `_origins`."""
    _tips: Map[CommitRef, bool]
    """Nodes without children."""
    _authored: Map[Device, tuple[CommitRef, ...]]
    """Nodes by their author, in the order of their vote_seq."""
    _removals: Map[Device, tuple[CommitRef, ...]]
    """Nodes that remove a device other than their author, by that device, sorted."""
    _removers: Map[tuple[UserId, DeviceId], tuple[CommitRef, ...]]
    """Nodes that remove a device, by its name, whatever its key, sorted."""
    _resolvers: Map[CommitRef, tuple[CommitRef, ...]]
    """Nodes that resolve a node, by that node, which need not be known, sorted."""
    _contents: Map[bytes, tuple[CommitRef, ...]]
    """Nodes by their content_hash, sorted."""
    gone: Map[Device, bool]
    """Devices that another device of their user has removed for good, on any branch."""
    ancestry: Ancestry = field(compare=False)
    """The same tree, for questions about far relatives."""

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
        removals, removers = self._removals.mutate(), self._removers.mutate()
        resolvers, gone = self._resolvers.mutate(), self.gone.mutate()
        for name in frozenset((device.user_id, device.device_id) for device in node.removes):
            removers[name] = _with(removers.get(name, ()), ref)
        for device in frozenset(node.removes_others):
            removals[device] = _with(removals.get(device, ()), ref)
            if _is_last_word(node, device):
                gone[device] = True
        for side_head in frozenset(node.resolves):
            resolvers[side_head] = _with(resolvers.get(side_head, ()), ref)
        return EpochGraph(
            self._nodes.set(ref, node),
            self._children.set(parent, _with(self.children(parent), ref)),
            self._origins.set(ref, _next_origins(self._origins.get(parent, Map()), node)),
            self._renewals.set(ref, _next_origins(self._renewals.get(parent, Map()), node).set(node.author, ref)),
            (self._tips.delete(parent) if parent in self._tips else self._tips).set(ref, True),
            self._authored.set(node.author, self._with_authored(node)),
            removals.finish(),
            removers.finish(),
            resolvers.finish(),
            self._contents.set(node.content_hash, _with(self._contents.get(node.content_hash, ()), ref)),
            gone.finish(),
            self.ancestry.add(ref, parent),
        )

    def replace(self, node: Node) -> EpochGraph:
        """Return the graph with a node whose flags were corrected.

        Raises:
            NotFoundError: no such node is present.
            UsageError: more than what may be corrected differs.
        """
        if not self.node(node.commit_ref).says_the_same(node):
            raise UsageError("what a commit says cannot be corrected")
        return replace(self, _nodes=self._nodes.set(node.commit_ref, node))

    def drop(self, ref: CommitRef) -> EpochGraph:
        """Return the graph without a node.

        Raises:
            UsageError: the node has children.
            NotFoundError: it is not present.
        """
        node, parent = self.node(ref), self.parent(ref)
        if self.children(ref):
            raise UsageError("a node with children stays")
        children = _without(self._children, (parent,), ref)
        tips = self._tips.delete(ref)
        removals, gone = _without(self._removals, node.removes_others, ref), self.gone
        for device in node.removes_others:
            if device in gone and not any(_is_last_word(self._nodes[other], device) for other in removals.get(device, ())):
                gone = gone.delete(device)
        return EpochGraph(
            self._nodes.delete(ref),
            children,
            self._origins.delete(ref),
            self._renewals.delete(ref),
            tips if parent == VIRTUAL_ROOT or parent in children else tips.set(parent, True),
            _without(self._authored, (node.author,), ref),
            removals,
            _without(self._removers, ((device.user_id, device.device_id) for device in node.removes), ref),
            _without(self._resolvers, node.resolves, ref),
            _without(self._contents, (node.content_hash,), ref),
            gone,
            self.ancestry.drop(ref),
        )

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

    def leaf_renewal(self, ref: CommitRef, device: Device) -> CommitRef | None:
        """Return which node brought the keys that a device's leaf has in an epoch: a commit of its own, or the one that added it.

        None where that is not known, as in `leaf_origin`.
        """
        return self._renewals[ref].get(device) if ref in self._renewals else None

    def leaf_renewals(self, ref: CommitRef) -> Mapping[Device, CommitRef]:
        """Return for each device of an epoch which node brought the keys of its leaf, where that is known (`leaf_renewal`)."""
        return self._renewals.get(ref, Map())

    def path_up(self, ref: CommitRef) -> Iterator[CommitRef]:
        """Go from a node up to its genesis or anchor, both included; nothing for `VIRTUAL_ROOT`.

        Raises:
            NotFoundError: the node is not present.
        """
        while ref != VIRTUAL_ROOT:
            yield ref
            ref = self.parent(ref)

    def top(self, ref: CommitRef) -> CommitRef:
        """Return the genesis or anchor that a node is or is below.

        Raises:
            NotFoundError: the node is not present.
        """
        self.node(ref)
        return self.ancestry.top(ref)

    def depth(self, ref: CommitRef) -> int:
        """Return the number of nodes from the genesis or anchor down to a node; 0 for `VIRTUAL_ROOT`.

        Raises:
            NotFoundError: the node is not present.
        """
        if ref != VIRTUAL_ROOT:
            self.node(ref)
        return self.ancestry.depth(ref)

    def reaches(self, ref: CommitRef, levels: int) -> bool:
        """Tell whether there is a node so many levels below a node.

        Raises:
            NotFoundError: the node is not present.
        """
        self.node(ref)
        waiting = [(ref, levels)]
        while waiting:
            ref, levels = waiting.pop()
            strand, at = self.ancestry.place(ref)
            last = self.ancestry.length(strand)
            if last - at >= levels:
                return True
            for fork in self.ancestry.forks.between(strand, at - 1, last):
                children = self.children(self.ancestry.ref(Place(strand, fork)))
                hung = (child for child in children if self.ancestry.place(child).strand != strand)
                waiting += [(child, levels - (fork - at) - 1) for child in hung]
        return False

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
        if ref != VIRTUAL_ROOT:
            self.node(ref)
        return ancestor in self.ancestry and self.ancestry.is_ancestor(ancestor, ref)

    def joint(self, one: CommitRef, other: CommitRef) -> CommitRef:
        """Return the last node that is above or equal to both, which may be `VIRTUAL_ROOT`.

        Raises:
            NotFoundError: a node is not present.
        """
        for ref in (one, other):
            self.node(ref)
        return self.ancestry.joint(one, other)

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
        """Return the nodes that a device made, in the order of their vote_seq, then of their refs."""
        return self._authored.get(device, ())

    def _with_authored(self, node: Node) -> tuple[CommitRef, ...]:
        refs = self.authored(node.author)
        place = bisect(refs, (node.vote_seq, node.commit_ref), key=lambda ref: (self._nodes[ref].vote_seq, ref))
        return (*refs[:place], node.commit_ref, *refs[place:])

    def removals(self) -> Mapping[Device, tuple[CommitRef, ...]]:
        """Return each device that another has removed on any branch, with the nodes that did, sorted."""
        return self._removals

    def removers(self, user_id: UserId, device_id: DeviceId) -> tuple[CommitRef, ...]:
        """Return the nodes that remove a device on any branch, whatever its key, sorted."""
        return self._removers.get((user_id, device_id), ())

    def resolvers(self, ref: CommitRef) -> tuple[CommitRef, ...]:
        """Return the nodes that resolve a node, sorted."""
        return self._resolvers.get(ref, ())

    def twins(self, ref: CommitRef) -> tuple[CommitRef, ...]:
        """Return a node and its siblings that differ from it at most in signature and tags, sorted.

        Raises:
            NotFoundError: the node is not present.
        """
        node = self.node(ref)
        alike = self._contents[node.content_hash]
        return tuple(other for other in alike if self.node(other).parent_ref == node.parent_ref) if len(alike) > 1 else alike

    def branch(self, head: CommitRef, side_head: CommitRef) -> tuple[CommitRef, ...]:
        """Return the nodes above a side head that are not on the head's chain, from the fork down to the side head.

        Raises:
            NotFoundError: a node is not present.
        """
        return tuple(self.branch_up(head, side_head))[::-1]

    def branch_up(self, head: CommitRef, side_head: CommitRef) -> Iterator[CommitRef]:
        """Go over the nodes of a branch from the side head up.

        Raises:
            NotFoundError: a node is not present.
        """
        fork = self.joint(head, side_head)
        return takewhile(lambda ref: ref != fork, self.path_up(side_head))

    def fork_points(self) -> tuple[CommitRef, ...]:
        """Return the nodes with more than one child, sorted; `VIRTUAL_ROOT` among them where a room has two beginnings."""
        return tuple(sorted(ref for ref, children in self._children.items() if len(children) > 1))


def _is_last_word(node: Node, device: Device) -> bool:
    """Tell whether a node that removes a device says for its user that it is gone for good."""
    return node.logout and device.user_id == node.author.user_id


def _without(refs: Map[_Key, tuple[CommitRef, ...]], keys: Iterable[_Key], ref: CommitRef) -> Map[_Key, tuple[CommitRef, ...]]:
    """Return lists of nodes, by keys, with a node less in some of them; one that has none left goes."""
    for key in keys:
        left = tuple(other for other in refs.get(key, ()) if other != ref)
        if left:
            refs = refs.set(key, left)
        elif key in refs:
            refs = refs.delete(key)
    return refs


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


EMPTY_GRAPH: Final = EpochGraph(Map(), Map(), Map(), Map(), Map(), Map(), Map(), Map(), Map(), Map(), Map(), EMPTY_ANCESTRY)
"""The graph of a room without a group."""
