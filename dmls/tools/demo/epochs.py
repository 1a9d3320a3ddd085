"""The epoch graph of a room as the services tell it: who made which epoch, who is in it, where it forked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from dmls.errors import InternalError
from dmls.ids import CommitRef, DeviceId, EventId, RoomId, UserId
from dmls.tools.demo.homeserver import Name
from dmls.tools.demo.parties import Party
from dmls.v1 import common_pb2, room_pb2

__all__ = ["Epoch", "EpochLog"]


@dataclass(frozen=True, slots=True)
class Epoch:
    """One node: an epoch seen from outside."""

    commit_ref: CommitRef
    parent: CommitRef
    """Empty for a genesis."""
    number: int
    event_id: EventId
    author: Name
    added: frozenset[Name]
    removed: frozenset[Name]
    members: frozenset[Name]
    is_external: bool
    resolves: tuple[CommitRef, ...]


def _name(device: common_pb2.DeviceRef) -> Name:
    return UserId(device.user_id), DeviceId(device.device_id)


@dataclass
class EpochLog:
    """All epochs of one room that any service has told of, in the order in which they became known."""

    room_id: RoomId
    epochs: dict[CommitRef, Epoch] = field(default_factory=dict)
    children: dict[CommitRef, list[CommitRef]] = field(default_factory=dict)
    heads: dict[str, CommitRef] = field(default_factory=dict)
    """Where each party stood when it was last asked, by its name."""

    def learn(self, party: Party) -> list[Epoch]:
        """Read a party's graph and return the epochs that are new.

        Raises:
            InternalError: the graph contradicts what another party told of the same epoch.
        """
        new = []
        for node, edges, head in _pages(party, self.room_id):
            self.heads[party.name] = head
            parent = CommitRef(next((edge.target for edge in edges if edge.kind == room_pb2.EDGE_KIND_PARENT), b""))
            resolves = tuple(sorted(CommitRef(edge.target) for edge in edges if edge.kind == room_pb2.EDGE_KIND_RESOLVES))
            epoch = self._read(node, parent, resolves)
            known = self.epochs.get(epoch.commit_ref)
            if known is None:
                self.epochs[epoch.commit_ref] = epoch
                self.children.setdefault(parent, []).append(epoch.commit_ref)
                new.append(epoch)
            elif _facts(known) != _facts(epoch):
                raise InternalError(
                    f"{party.name} tells another epoch {epoch.number} ({epoch.commit_ref.hex()[:12]}) than others"
                )
        return new

    def _read(self, node: room_pb2.EpochNode, parent: CommitRef, resolves: tuple[CommitRef, ...]) -> Epoch:
        before = frozenset[Name]() if node.genesis or parent not in self.epochs else self.epochs[parent].members
        added, removed = frozenset(map(_name, node.added)), frozenset(map(_name, node.removed))
        return Epoch(
            CommitRef(node.pointer.commit_ref),
            CommitRef(b"") if node.genesis else parent,
            node.epoch,
            EventId(node.event_id),
            _name(node.author),
            added,
            removed,
            (before - removed) | added,
            node.external,
            resolves,
        )

    def members(self, ref: CommitRef) -> frozenset[Name] | None:
        """Return the members of an epoch, None if it is not known."""
        epoch = self.epochs.get(ref)
        return None if epoch is None else epoch.members

    def chain(self, head: CommitRef) -> list[CommitRef]:
        """Return a head and its ancestors, the genesis first."""
        refs = []
        while head:
            refs.append(head)
            head = self.epochs[head].parent
        return refs[::-1]

    def is_on_chain(self, ref: CommitRef, head: CommitRef) -> bool:
        """Tell whether an epoch is the head or an ancestor of it."""
        return ref in self.chain(head)

    def forks(self) -> int:
        """Return how many epochs have more than one child."""
        return sum(len(children) > 1 for parent, children in self.children.items() if parent) + (
            len(self.children.get(CommitRef(b""), ())) > 1
        )

    def is_fork(self, epoch: Epoch) -> bool:
        """Tell whether another epoch has the same parent."""
        return len(self.children[epoch.parent]) > 1

    def commits(self) -> int:
        """Return how many epochs were made by a commit."""
        return sum(1 for epoch in self.epochs.values() if epoch.parent)


def _facts(epoch: Epoch) -> tuple[object, ...]:
    """Return what must be the same whoever tells it: all but the event id, which the author learns later."""
    return epoch.parent, epoch.number, epoch.author, epoch.members, epoch.is_external, epoch.resolves


def _pages(party: Party, room_id: RoomId) -> Iterator[tuple[room_pb2.EpochNode, list[room_pb2.EpochEdge], CommitRef]]:
    request = room_pb2.GetEpochGraphRequest(room_id=room_id, page_size=1_000)
    while True:
        page = party.call(request, room_pb2.GetEpochGraphResponse)
        for node in page.nodes:
            yield node, [edge for edge in page.edges if edge.source == node.pointer.commit_ref], CommitRef(page.head)
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token
