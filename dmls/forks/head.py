"""The head: which epoch everybody should be in, as a pure function of events and joined users (docs/protocol.md, Section 7).

`Tally` is the work of one call. What it knows of a node never depends on clocks, depth or the order of arrival; and a node whose
author is not joined, that no joined user votes for and that did not precede its author's leave changes nothing at all, since some
may never see it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from hashlib import sha256

from dmls.forks.graph import VIRTUAL_ROOT, Device, EpochGraph, Node, Vote
from dmls.ids import CommitRef, UserId

__all__ = ["Tally", "compute_head", "is_author_in_standing", "is_author_joined", "supporters"]

_Target = frozenset[CommitRef]
"""What a vote is for: one node, or a commit and all its twins."""


def compute_head(
    graph: EpochGraph, votes: Iterable[Vote], joined: Collection[UserId], without: Collection[CommitRef] = ()
) -> CommitRef | None:
    """Return the head, or None where nothing counts.

    Args:
        graph: all valid nodes known.
        votes: all valid vote signatures known; those for nodes not in the graph are ignored.
        joined: J, the users joined in the room under a join that is not spent.
        without: nodes not to be entered, because they failed here.
    """
    return Tally(graph, votes, joined).head(without)


def supporters(graph: EpochGraph, votes: Iterable[Vote], joined: Collection[UserId], ref: CommitRef) -> frozenset[UserId]:
    """Return the joined users who support a node: those with a device whose vote is for it or for something below it."""
    return Tally(graph, votes, joined).supporters(ref)


def is_author_joined(node: Node, joined: Collection[UserId]) -> bool:
    """Tell whether a node's author is in J, and was so by a join that is not spent when it sent the node."""
    return node.author.user_id in joined and not node.is_spent


def is_author_in_standing(node: Node, joined: Collection[UserId]) -> bool:
    """Tell whether a node counts by its author alone: joined, or gone only after the node was sent."""
    return node.before_departure or is_author_joined(node, joined)


class Tally:
    """The votes that count, over one graph and one set of joined users.

    Linear in nodes and votes, but for merging the smaller into the larger set of supporters at forks.
    """

    def __init__(self, graph: EpochGraph, votes: Iterable[Vote], joined: Collection[UserId]) -> None:
        self._graph = graph
        self._joined = frozenset(joined)
        self._nodes = {ref: graph.node(ref) for ref in graph}
        self._ballots = self._select_votes(votes)

    def head(self, without: Collection[CommitRef] = ()) -> CommitRef | None:
        """Return the head, or None where nothing counts. `without`: nodes not to be entered."""
        head = VIRTUAL_ROOT
        while rivals := [ref for ref in self._graph.children(head) if ref not in without and self.counts(ref)]:
            head = self._best(rivals)
        return head if head != VIRTUAL_ROOT else None

    def counts(self, ref: CommitRef) -> bool:
        """Tell whether a node of the graph may be on the head's chain."""
        return self.support(ref) > 0 or (self._is_twin_confirmed(ref) and is_author_in_standing(self._nodes[ref], self._joined))

    def support(self, ref: CommitRef) -> int:
        """Return the number of users who support a node."""
        return self._support.get(ref, 0)

    def supporters(self, ref: CommitRef) -> frozenset[UserId]:
        """Return the users who support a node."""
        subtree = frozenset(self._graph.subtree(ref))
        return frozenset(device.user_id for device, target in self.votes.items() if not subtree.isdisjoint(target))

    @cached_property
    def votes(self) -> Mapping[Device, frozenset[CommitRef]]:
        """For each device of a joined user whose vote counts, the node it votes for; several where that node has twins."""
        counted: dict[Device, _Target] = {}
        for device, target in self._ballots.items():
            confirmed = target if len(target) == 1 else frozenset(filter(self._is_twin_confirmed, target))
            if not self._is_removed(device, confirmed):
                counted[device] = confirmed
        return counted

    # Which vote is a device's

    def _select_votes(self, votes: Iterable[Vote]) -> dict[Device, _Target]:
        """Return for each device its vote of the greatest vote_seq that was used for one vote only."""
        cast: dict[Device, dict[int, set[_Target]]] = {}
        for node in self._nodes.values():
            if not node.is_external and is_author_joined(node, self._joined):
                cast.setdefault(node.author, {}).setdefault(node.vote_seq, set()).add(self._same_content(node))
        for vote in votes:
            if vote.commit_ref in self._nodes and not vote.is_spent and vote.device.user_id in self._joined:
                cast.setdefault(vote.device, {}).setdefault(vote.vote_seq, set()).add(frozenset((vote.commit_ref,)))
        selected = {}
        for device, by_seq in cast.items():
            honest = [vote_seq for vote_seq, targets in by_seq.items() if len(targets) == 1]
            if honest:
                (selected[device],) = by_seq[max(honest)]
        return selected

    # Twins

    @cached_property
    def _twins(self) -> dict[CommitRef, _Target]:
        """Nodes that differ from a sibling in the confirmation tag only, each with all of them."""
        twins: dict[CommitRef, _Target] = {}
        for parent in self._graph.fork_points():
            by_content: dict[bytes, list[CommitRef]] = {}
            for ref in self._graph.children(parent):
                by_content.setdefault(self._nodes[ref].content_hash, []).append(ref)
            for refs in by_content.values():
                if len(refs) > 1:
                    twins.update(dict.fromkeys(refs, frozenset(refs)))
        return twins

    def _same_content(self, node: Node) -> _Target:
        return self._twins.get(node.commit_ref) or frozenset((node.commit_ref,))

    def _is_twin_confirmed(self, ref: CommitRef) -> bool:
        """Tell whether a node has no twins, or is one that another user committed on, or none of them is."""
        return ref not in self._twins or ref in self._confirmed_twins

    @cached_property
    def _confirmed_twins(self) -> frozenset[CommitRef]:
        continued = frozenset(filter(self._is_continued, self._twins))
        return frozenset(ref for ref, twins in self._twins.items() if ref in continued or continued.isdisjoint(twins))

    def _is_continued(self, ref: CommitRef) -> bool:
        author = self._nodes[ref].author.user_id
        return any(
            self._nodes[child].author.user_id != author and self._has_standing(child) for child in self._graph.children(ref)
        )

    # Removals

    def _is_removed(self, device: Device, target: _Target) -> bool:
        """Tell whether the voting leaf was removed by its user's server, or the device by it for good."""
        return (device, None) in self._removed or any(
            (device, self._graph.leaf_origin(ref, device) or VIRTUAL_ROOT) in self._removed for ref in target
        )

    @cached_property
    def _removed(self) -> frozenset[tuple[Device, CommitRef | None]]:
        """Devices that a device of their own server removed, each with the origin of the leaf, or None if it is for good."""
        removed: set[tuple[Device, CommitRef | None]] = set()
        for ref, node in self._nodes.items():
            own = [device for device in node.removes_others if device.server == node.author.server]
            if own and self._has_standing(ref):
                parent = self._graph.parent(ref)
                for device in own:
                    origin = self._graph.leaf_origin(parent, device) or VIRTUAL_ROOT
                    removed.add((device, None if node.logout else origin))
        return frozenset(removed)

    # Weight

    def _has_standing(self, ref: CommitRef) -> bool:
        """Tell whether a node counts before removals and twins are looked at, so that these do not depend on themselves."""
        return ref in self._voted or is_author_in_standing(self._nodes[ref], self._joined)

    @cached_property
    def _voted(self) -> frozenset[CommitRef]:
        """Nodes at or above any selected vote."""
        voted: set[CommitRef] = set()
        for target in self._ballots.values():
            for ref in target:
                for above in self._graph.path_up(ref):
                    if above in voted:
                        break
                    voted.add(above)
        return frozenset(voted)

    @cached_property
    def _support(self) -> dict[CommitRef, int]:
        """Number of supporters of each node."""
        users: dict[CommitRef, set[UserId]] = {}
        for device, target in self.votes.items():
            for ref in target:
                users.setdefault(ref, set()).add(device.user_id)
        support = {}
        for ref in reversed(self._nodes):  # children before parents
            below = users.pop(ref, set())
            support[ref] = len(below)
            parent = self._graph.parent(ref)
            few, many = sorted((below, users.get(parent, set())), key=len)
            many |= few
            users[parent] = many
        return support

    # The best of several children

    def _best(self, rivals: list[CommitRef]) -> CommitRef:
        removed = frozenset(device for ref in rivals for device in self._nodes[ref].removes_others)

        def rank(ref: CommitRef) -> tuple[bool, int, bool, bool, bytes, CommitRef]:
            node = self._nodes[ref]
            return (
                not node.by_create_sender,
                -self.support(ref),
                node.is_external,
                node.author in removed,
                _tie_hash(node),
                ref,
            )

        return min(rivals, key=rank)


def _tie_hash(node: Node) -> bytes:
    """Return what nobody can choose by making commits: it depends on the parent and the author alone."""
    author = node.author
    return sha256(b"DMLS 1.0 tie" + node.parent_ref + author.user_id.encode() + author.signature_key).digest()
