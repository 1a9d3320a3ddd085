"""What one step of the engine wants done.

The contract between the engine and whoever drives it, in the order in which it must be kept:

1. `changes` and `outbox` of one step are stored in one transaction. If that fails, the engine's memory is thrown away and
   rebuilt from the store; nothing has happened.
2. Nothing of `outbox` and none of `encrypted` leaves before that transaction is durable.
3. `wake_at_ms` says when a `Tick` is due next, if nothing else comes first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from dmls.forks.graph import Device
from dmls.ids import CommitRef, DeviceId, EpochId, EventId, KeyPackageRef, LeafIndex, UserId

__all__ = [
    "SEALED_TABLES",
    "BackfillWanted",
    "BlobToUpload",
    "BlobWanted",
    "ClaimWanted",
    "DecryptOutcome",
    "DecryptResult",
    "Delete",
    "DeviceListsWanted",
    "Effects",
    "EncryptOutcome",
    "EncryptResult",
    "EventKind",
    "EventResult",
    "EventToSend",
    "IngestOutcome",
    "Notice",
    "NoticeKind",
    "OutboxItem",
    "Put",
    "StoreChange",
    "Table",
    "ToDeviceToSend",
]


class Table(StrEnum):
    """The tables of a room's records. A key and a value are bytes."""

    ROOM = "room"
    MEMBER_STATE = "member_state"
    DEVICE_LIST = "device_list"
    NODE = "node"
    VOTE = "vote"
    TREE_NODE = "tree_node"
    PARKED_EVENT = "parked_event"
    EVENT_OUTCOME = "event_outcome"
    EPOCH = "epoch"
    PRIVATE_KEY = "private_key"
    PLAINTEXT = "plaintext"


SEALED_TABLES = frozenset({Table.EPOCH, Table.PRIVATE_KEY, Table.PLAINTEXT})
"""Tables whose values are secret: the store encrypts them, and deleting a row destroys its key."""


@dataclass(frozen=True, slots=True)
class Put:
    """Writes one record."""

    table: Table
    key: bytes
    value: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Delete:
    """Removes one record."""

    table: Table
    key: bytes


StoreChange = Put | Delete


@dataclass(frozen=True, slots=True)
class EventToSend:
    """An `m.room.encrypted` event to be sent as `sender`; where it makes a node, `commit_ref` comes back with the answer."""

    sender: UserId
    content: bytes = field(repr=False)
    commit_ref: CommitRef = CommitRef(b"")


@dataclass(frozen=True, slots=True)
class ToDeviceToSend:
    """A to-device message of type `m.room.encrypted`, to be sent after the events before it."""

    sender: UserId
    user_id: UserId
    device_id: DeviceId
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class BlobToUpload:
    """Bytes for the media repository, to be there before the event that names them is sent. `sha256` has 32 bytes."""

    uri: str
    sha256: bytes
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ClaimWanted:
    """One key package of each device, of this suite, supporting what the room's group requires."""

    devices: tuple[Device, ...]
    cipher_suite: int


@dataclass(frozen=True, slots=True)
class BackfillWanted:
    """Commits and geneses that have not come, by commit_ref; `event_ids` are hints where they are, any of which may be a lie."""

    event_ids: tuple[EventId, ...]
    commit_refs: tuple[CommitRef, ...] = ()


@dataclass(frozen=True, slots=True)
class BlobWanted:
    """A blob to be fetched from the media repository. `sha256` has 32 bytes, `size` is in bytes."""

    uri: str
    sha256: bytes
    size: int


@dataclass(frozen=True, slots=True)
class DeviceListsWanted:
    """Users of other servers whose device lists are to be asked for afresh, not from a cache."""

    users: tuple[UserId, ...]


OutboxItem = EventToSend | ToDeviceToSend | BlobToUpload | ClaimWanted | BackfillWanted | BlobWanted | DeviceListsWanted


class NoticeKind(StrEnum):
    """Things worth telling an operator or a client. They change nothing."""

    GENESIS = "genesis"
    HEAD_MOVED = "head_moved"
    FORK_SWITCHED = "fork_switched"
    JOINED = "joined"
    EVICTED = "evicted"
    NEEDS_READMISSION = "needs_readmission"
    NEEDS_NEW_KEY = "needs_new_key"
    COMMIT_FAILED = "commit_failed"
    FAILURE_REPORTED = "failure_reported"
    FORK_ALARM = "fork_alarm"
    EQUIVOCATION = "equivocation"
    COMMIT_REFUSED = "commit_refused"
    ROLLED_BACK = "rolled_back"
    REJOINED = "rejoined"
    EPOCH_DELETED = "epoch_deleted"
    PARKED_EVENT_DROPPED = "parked_event_dropped"


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice; `commit_ref` is the node concerned, `text` is for people and holds no secret."""

    kind: NoticeKind
    commit_ref: CommitRef = CommitRef(b"")
    text: str = ""


class EventKind(StrEnum):
    """What an event is."""

    UNKNOWN = "unknown"
    GENESIS = "genesis"
    COMMIT = "commit"
    MESSAGE = "message"
    VOTE = "vote"
    MEMBER = "member"
    WELCOME = "welcome"


class IngestOutcome(StrEnum):
    """What became of an event."""

    PROCESSED = "processed"
    PARKED = "parked"
    DUPLICATE = "duplicate"
    CORRECTED = "corrected"
    REJECTED = "rejected"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class EventResult:
    """What became of one event or to-device message; `reason` and `rule` are set for a rejected one.

    A valid commit whose epoch is not entered has a reason too: `STALE_PARENT`, `TOO_MANY_COMMITS`, or why it failed here.
    """

    outcome: IngestOutcome
    kind: EventKind = EventKind.UNKNOWN
    commit_ref: CommitRef = CommitRef(b"")
    reason: str = ""
    rule: str = ""
    message: str = ""


class EncryptOutcome(StrEnum):
    """Whether an event was encrypted, and if not, what must happen first."""

    OK = "ok"
    PENDING_COMMIT = "pending_commit"
    NO_SECRETS = "no_secrets"
    UNVOUCHED = "unvouched"
    NOT_JOINED = "not_joined"
    NEEDS_READMISSION = "needs_readmission"
    NEEDS_NEW_KEY = "needs_new_key"
    UNKNOWN_DEVICE = "unknown_device"
    NOT_ENCRYPTED = "not_encrypted"


@dataclass(frozen=True, slots=True)
class EncryptResult:
    """The content to send, as canonical JSON, or why there is none."""

    outcome: EncryptOutcome
    content: bytes = field(default=b"", repr=False)
    commit_ref: CommitRef = CommitRef(b"")
    epoch_id: EpochId = EpochId(b"")
    epoch: int = 0
    leaf_index: LeafIndex = LeafIndex(0)
    retry_at_ms: int = 0


class DecryptOutcome(StrEnum):
    """Whether a message can be read by a device (docs/protocol.md, Section 13)."""

    OK = "ok"
    PENDING_COMMIT = "pending_commit"
    NOT_MEMBER_THEN = "not_member_then"
    EXPIRED = "expired"
    DUPLICATE = "duplicate"
    SENDER_NOT_IN_ROOM = "sender_not_in_room"
    MALFORMED = "malformed"
    UNKNOWN_EVENT = "unknown_event"


@dataclass(frozen=True, slots=True, repr=False)
class DecryptResult:
    """A message for one device, or why it cannot read it."""

    outcome: DecryptOutcome
    payload: bytes = b""
    sender: Device | None = None
    leaf_index: LeafIndex = LeafIndex(0)
    commit_ref: CommitRef = CommitRef(b"")
    origin_server_ts_ms: int = 0


@dataclass(frozen=True, slots=True)
class Effects:
    """All that one step wants done. See the module's contract."""

    changes: tuple[StoreChange, ...] = ()
    outbox: tuple[OutboxItem, ...] = ()
    notices: tuple[Notice, ...] = ()
    result: EventResult | None = None
    encrypted: EncryptResult | None = None
    decrypted: DecryptResult | None = None
    consumed: tuple[KeyPackageRef, ...] = ()
    """Key packages of own devices whose Welcome was used; their private keys are kept one hour more."""
    unparked: tuple[tuple[str, EventResult], ...] = ()
    """Event id and result of parked events that this step could look at again."""
    wake_at_ms: int | None = None
