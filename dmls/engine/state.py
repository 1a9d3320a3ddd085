"""A room's state between two steps, and the draft of one step.

Everything in `RoomState` is immutable, so a step that raises leaves nothing behind: its draft is thrown away.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import is_
from typing import Any

from immutables import Map

from dmls.engine.agent import Agent
from dmls.engine.effects import (
    DecryptResult,
    Delete,
    Effects,
    EncryptResult,
    EventResult,
    Notice,
    NoticeKind,
    OutboxItem,
    Put,
    StoreChange,
    Table,
)
from dmls.engine.parking import NO_PARKING, ParkedEvent, Parking
from dmls.engine.sources import EventFacts
from dmls.errors import UsageError
from dmls.forks.graph import Device, EpochGraph, Node, Vote
from dmls.forks.reconcile import DeviceList
from dmls.forks.tally import EMPTY_TALLY, Tally
from dmls.ids import CommitRef, EventId, KeyPackageRef, RoomId, UserId
from dmls.matrix.membership import RoomMembership
from dmls.mls.crypto.randomness import Random
from dmls.mls.group.follower import PublicGroup
from dmls.mls.group.keyring import KeyRing
from dmls.mls.group.leaf import KeyPackageBundle
from dmls.mls.group.state import GroupState
from dmls.mls.messages.key_package import KeyPackage

__all__ = ["Anchor", "Draft", "HeldEpoch", "Memo", "NodeEntry", "Plaintext", "Refusal", "RoomState", "TrackedVote", "no_random"]


@dataclass(frozen=True, slots=True)
class Anchor:
    """What is kept of a commit that was taken over by its keyframe, until it can be judged by its parent."""

    message: bytes
    """The commit, an MLSMessage."""
    parent_event: EventId | None
    """Where its author says that the parent is."""


@dataclass(frozen=True, slots=True)
class NodeEntry:
    """A node with what anybody can follow of its epoch."""

    node: Node
    group: PublicGroup
    group_info: bytes
    """The epoch's GroupInfo as its author sent it, an MLSMessage."""
    keyframe: CommitRef
    """The node whose event carries the last keyframe."""
    bytes_since_keyframe: int
    commits_since_keyframe: int
    events: tuple[EventFacts, ...]
    """All that brought the node, sorted by id: their auth events tell under which joins it was sent."""
    received_at_ms: int
    anchor: Anchor | None = None
    """Set while the node's parent is not known."""
    last_resorts: tuple[Device, ...] = ()
    """Devices that it adds by a key package of last resort, whose keys others may have used too."""


@dataclass(frozen=True, slots=True, repr=False)
class HeldEpoch:
    """The secrets of an epoch, and since when another epoch of the head's chain has followed it (0: none yet)."""

    state: GroupState
    succeeded_at_ms: int = 0


@dataclass(frozen=True, slots=True)
class TrackedVote:
    """A vote, with all events that brought it, sorted by id."""

    vote: Vote
    events: tuple[EventFacts, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Plaintext:
    """A decrypted message, until every own device that may read it has."""

    payload: bytes
    sender: Device
    leaf_index: int
    commit_ref: CommitRef
    origin_server_ts_ms: int
    readers: frozenset[Device]
    waiting: frozenset[Device]
    delete_at_ms: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """How often in a row the homeserver has finally refused a user's nodes, and when last."""

    times: int
    at_ms: int


class Memo:
    """What was last worked out from parts of a state: it holds while these are the very same objects, and saves time only."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[tuple[object, ...], Any]] = {}

    def recall(self, name: str, parts: tuple[object, ...]) -> Any:
        """Return what was kept under a name for these parts, or None."""
        kept = self._kept.get(name)
        return kept[1] if kept is not None and all(map(is_, kept[0], parts)) else None

    def keep(self, name: str, parts: tuple[object, ...], value: object) -> None:
        """Keep a value under a name instead of the last one."""
        self._kept[name] = parts, value


@dataclass(frozen=True)
class RoomState:
    """One room as an agent knows it."""

    room_id: RoomId
    agent: Agent
    cipher_suite: int = 1
    membership: RoomMembership = field(default_factory=RoomMembership)
    state_version: int = 0
    lists: Map[UserId, DeviceList] = Map()
    tally: Tally = EMPTY_TALLY
    entries: Map[CommitRef, NodeEntry] = Map()
    epochs: Map[CommitRef, HeldEpoch] = Map()
    expired: Map[CommitRef, bool] = Map()
    """Epochs whose secrets were held once and are deleted."""
    first_epoch: int = sys.maxsize
    """No epoch with a lower number was ever held."""
    ring: KeyRing = field(default_factory=KeyRing)
    votes: Map[bytes, TrackedVote] = Map()
    head: CommitRef | None = None
    stand: CommitRef | None = None
    """The node that this agent sends and commits in: the head, or another one while the head is not followed."""
    shunned: tuple[CommitRef, ...] = ()
    """The nodes without which `stand` is the head, sorted; none while it is the head."""
    failed: Map[CommitRef, bool] = Map()
    """Commits that no copy could be processed of though the parent's secrets were held."""
    vote_seq: int = 0
    """The last vote_seq used."""
    vote_seq_reserved: int = 0
    vote_floors: Map[Device, int] = Map()
    """The last vote_seq used by own devices that are ahead of `vote_seq`."""
    barred: Map[tuple[Device, CommitRef], bool] = Map()
    """Own leaves that somebody else has used too, by device and by the node that added them: nothing is sent with them."""
    spoilt: Map[CommitRef, bool] = Map()
    """The epochs held when such a leaf was seen: the store may be an old one, so nothing is sent in them by any own leaf."""
    outcomes: Map[bytes, EventResult] = Map()
    parking: Parking = NO_PARKING
    plaintexts: Map[bytes, Plaintext] = Map()
    tree_nodes: Map[bytes, bool] = Map()
    """Tree hashes of the subtrees that the store holds."""
    gone: Map[Device, bool] = Map()
    key_packages: Map[Device, KeyPackage] = Map()
    claims: Map[Device, int] = Map()
    """When a key package of a device was last asked for, in milliseconds."""
    list_requests: Map[UserId, int] = Map()
    """When a user's device list was last asked for, in milliseconds."""
    member_since_ms: Map[UserId, int] = Map()
    """When a user's current member event came, in milliseconds."""
    debts: Map[Device, int] = Map()
    """Since when own devices have owed the head a commit with fresh keys, in milliseconds."""
    sent: Map[Device, tuple[CommitRef, int]] = Map()
    """The node that brought an own device's keys, and how many messages it has sent under them."""
    refusals: Map[UserId, Refusal] = Map()
    """Own users whose last node was finally refused."""
    pending_votes: Map[Device, CommitRef] = Map()
    """Votes on their way: the vote counts when its event comes back."""
    seen_at_ms: Map[Device, int] = Map()
    """When a device's leaf was last added by a node that came in."""
    removed_at_ms: Map[Device, int] = Map()
    """When a removal of a device by somebody in J was last seen, on any branch, in milliseconds."""
    head_since_ms: int = 0
    """Since when `stand` has been what it is."""
    away_since_ms: int = 0
    """Since when the head has been on a branch of which nothing is held while another branch is; 0 while it is not."""
    locked_out_since_ms: int = 0
    """Since when an own member of the head has had no leaf that it can use; 0 while all have."""
    dirty_since_ms: int = 0
    """Since when the head's members have not been those wanted; 0 while they are."""
    last_merge_ms: int = 0
    last_join_ms: int = 0
    is_crowded: bool = False
    """There are more rival heads than secrets are kept for, and that has been said."""
    join_failures: int = 0
    """How many external commits in a row came to nothing, though no other commit won against them."""
    look_again_ms: int | None = 0
    """When secrets may next be due for deletion, in milliseconds; at once after a restart, None while nothing is retained."""
    memo: Memo = field(default_factory=Memo, compare=False, repr=False)

    def with_fields(self, changes: Mapping[str, Any]) -> RoomState:
        """Return the state with other values in some fields, as `replace` does, but many times in a step and at little cost.

        Raises:
            UsageError: there is no such field.
        """
        if not changes.keys() <= self.__dict__.keys():
            raise UsageError("a room's state has no such field")
        changed = object.__new__(RoomState)
        changed.__dict__.update(self.__dict__)
        changed.__dict__.update(changes)
        return changed

    @property
    def graph(self) -> EpochGraph:
        """All valid nodes."""
        return self.tally.graph

    @property
    def parked(self) -> Map[bytes, ParkedEvent]:
        """The events that wait for something, by key."""
        return self.parking.events


@dataclass
class Draft:
    """One step in the making."""

    state: RoomState
    now_ms: int
    random: Random
    bundles: Mapping[KeyPackageRef, KeyPackageBundle]
    changes: list[StoreChange] = field(default_factory=list)
    outbox: list[OutboxItem] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    consumed: list[KeyPackageRef] = field(default_factory=list)
    ready: list[bytes] = field(default_factory=list)
    """Nodes, blobs and epochs that have come in this step: what is parked on them is looked at again."""
    blobs: dict[bytes, bytes] = field(default_factory=dict)
    """Blobs that this step brings, by SHA-256."""
    candidates: list[bytes] = field(default_factory=list)
    """Parked commits that may now be taken over by their keyframes."""
    unparked: list[tuple[str, EventResult]] = field(default_factory=list)
    result: EventResult | None = None
    encrypted: EncryptResult | None = None
    decrypted: DecryptResult | None = None

    def update(self, **changes: Any) -> None:
        """Replace fields of the state."""
        self.state = self.state.with_fields(changes)

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        """Note a record to be written."""
        self.changes.append(Put(table, key, value))

    def delete(self, table: Table, key: bytes) -> None:
        """Note a record to be removed."""
        self.changes.append(Delete(table, key))

    def send(self, item: OutboxItem) -> None:
        """Note something for the homeserver to do."""
        self.outbox.append(item)

    def notify(self, kind: NoticeKind, commit_ref: CommitRef = CommitRef(b""), text: str = "") -> None:
        """Note something worth telling."""
        self.notices.append(Notice(kind, commit_ref, text))

    def marks(self) -> tuple[int, ...]:
        """Return how much has been noted so far."""
        return len(self.changes), len(self.outbox), len(self.notices), len(self.consumed), len(self.ready)

    def truncate(self, marks: tuple[int, ...]) -> None:
        """Forget what was noted since `marks` was asked for."""
        changes, outbox, notices, consumed, ready = marks
        del self.changes[changes:], self.outbox[outbox:], self.notices[notices:], self.consumed[consumed:], self.ready[ready:]

    def finish(self, wake_at_ms: int | None) -> Effects:
        """Return the step's effects; the last of several changes to one record stands for all."""
        last: dict[tuple[Table, bytes], StoreChange] = {}
        for change in self.changes:
            last.pop((change.table, change.key), None)
            last[change.table, change.key] = change
        return Effects(
            tuple(last.values()),
            tuple(self.outbox),
            tuple(self.notices),
            self.result,
            self.encrypted,
            self.decrypted,
            tuple(self.consumed),
            tuple(self.unparked),
            wake_at_ms,
        )


def no_random(_size: int) -> bytes:
    """Stand for the source of randomness in a draft that draws none."""
    return b""
