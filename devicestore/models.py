"""The schema. Times are milliseconds since 1970, `*_ms`; ids of Matrix are text; everything of MLS is bytes.

A change here needs a migration; a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column
from sqlalchemy.types import TypeEngine

__all__ = [
    "PLAIN_TABLES",
    "Audit",
    "Base",
    "Blob",
    "Counter",
    "DataKey",
    "Device",
    "DeviceListRecord",
    "Epoch",
    "EventOutcome",
    "Idempotency",
    "IssuedKeyPackage",
    "KeyPackage",
    "KeyPackageSecret",
    "MemberState",
    "Meta",
    "Node",
    "OfRoom",
    "Outbox",
    "ParkedEvent",
    "Plaintext",
    "PrivateKey",
    "Record",
    "Room",
    "RoomChange",
    "RoomRecord",
    "Token",
    "TreeNode",
    "User",
    "Vote",
]

# PostgreSQL would order text by the locale of the database; ids are ordered by their bytes, as SQLite does.
Name: TypeEngine[str] = Text().with_variant(Text(collation="C"), "postgresql")
# SQLite gives only a column declared INTEGER the row's number.
Sequence: TypeEngine[int] = BigInteger().with_variant(Integer(), "sqlite")


def _partial_index(name: str, *columns: str, where: str, unique: bool) -> Index:
    return Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))


class Base(DeclarativeBase):
    """Root of all tables."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {str: Name, int: BigInteger(), bytes: LargeBinary(), list[int]: JSON()}  # noqa: RUF012


class Meta(Base):
    """The one row that says which store this is."""

    __tablename__ = "meta"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    store_id: Mapped[bytes]
    """16 random bytes, in the associated data of every sealed value."""
    incarnation: Mapped[int]
    """Raised when the database is restored from a copy: what was handed out since that copy is unknown."""
    root_version: Mapped[int]
    sealed_root: Mapped[bytes]
    """The root key under the key-encryption key."""


class Counter(Base):
    """A number that only grows. Its row lock makes the order of numbers the order of commits."""

    __tablename__ = "counter"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[int]


class DataKey(Base):
    """A slot for a data key, sealed under the root key. It is overwritten, never deleted, and always of one length."""

    __tablename__ = "data_key"
    __table_args__ = (_partial_index("ix_data_key_free", "id", where="is_free", unique=False),)

    id: Mapped[int] = mapped_column(Sequence, primary_key=True)
    is_free: Mapped[bool]
    sealed: Mapped[bytes]


class User(Base):
    """A user with a device here, now or once."""

    __tablename__ = "user"

    user_id: Mapped[str] = mapped_column(primary_key=True)
    device_list_version: Mapped[int]
    """Raised by every change of the user's devices."""


class Device(Base):
    """A device under one signature key. The row of a deleted one stays: that key never comes back under that name."""

    __tablename__ = "device"
    __table_args__ = (
        UniqueConstraint("user_id", "device_id", "signature_key"),
        _partial_index("ix_device_live", "user_id", "device_id", where="deleted_at_ms IS NULL", unique=True),
        Index(None, "version"),
        Index(None, "status_version"),
        CheckConstraint("custody IN ('hosted', 'client')", name="custody"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Sequence, primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("user.user_id"))
    device_id: Mapped[str]
    custody: Mapped[str]
    signature_key: Mapped[bytes]
    credential: Mapped[bytes]
    suites: Mapped[list[int]]
    display_name: Mapped[str | None]
    device_keys: Mapped[bytes | None]
    """The Matrix object of that name, JSON."""
    created_at_ms: Mapped[int]
    updated_at_ms: Mapped[int]
    deleted_at_ms: Mapped[int | None]
    version: Mapped[int]
    """The last number of the counter `device` that a change of this device took."""
    first_version: Mapped[int]
    """The number that its registration took."""
    status_version: Mapped[int]
    """The last number of the counter `status`, taken when its key packages run low; 0 before."""
    slot: Mapped[int | None] = mapped_column(ForeignKey("data_key.id"))
    sealed_private_key: Mapped[bytes | None]
    """The private half of `signature_key` of a hosted device, sealed; gone with the device."""


class KeyPackage(Base):
    """A key package that may still be claimed."""

    __tablename__ = "key_package"
    __table_args__ = (
        Index(None, "user_id", "device_id", "suite", "is_last_resort", "seq"),
        _partial_index("ix_key_package_last_resort", "user_id", "device_id", "suite", where="is_last_resort", unique=True),
        Index(None, "not_after_ms"),
        {"sqlite_autoincrement": True},
    )

    seq: Mapped[int] = mapped_column(Sequence, primary_key=True)
    """The order of upload, which is the order of issue."""
    ref: Mapped[bytes] = mapped_column(unique=True)
    user_id: Mapped[str]
    device_id: Mapped[str]
    suite: Mapped[int]
    not_before_ms: Mapped[int]
    not_after_ms: Mapped[int]
    is_last_resort: Mapped[bool]
    uses: Mapped[int]
    """How often a last resort was handed out."""
    capabilities: Mapped[bytes]
    data: Mapped[bytes]
    uploaded_at_ms: Mapped[int]


class KeyPackageSecret(Base):
    """The private half of a key package of a hosted device, or of the device whose own store this is."""

    __tablename__ = "key_package_secret"
    __table_args__ = (Index(None, "user_id", "device_id"), Index(None, "delete_after_ms"))

    ref: Mapped[bytes] = mapped_column(primary_key=True)
    user_id: Mapped[str]
    device_id: Mapped[str]
    slot: Mapped[int] = mapped_column(ForeignKey("data_key.id"))
    sealed: Mapped[bytes]
    delete_after_ms: Mapped[int]


class IssuedKeyPackage(Base):
    """A key package that was handed out. The row outlives it, and with it the refusal to take or issue that one again."""

    __tablename__ = "issued_key_package"
    __table_args__ = (Index(None, "user_id", "device_id", "issued_at_ms", "ref"), Index(None, "not_after_ms"))

    ref: Mapped[bytes] = mapped_column(primary_key=True)
    user_id: Mapped[str]
    device_id: Mapped[str]
    suite: Mapped[int]
    not_before_ms: Mapped[int]
    not_after_ms: Mapped[int]
    is_last_resort: Mapped[bool]
    uploaded_at_ms: Mapped[int]
    requester: Mapped[str]
    request_id: Mapped[str]
    room_id: Mapped[str | None]
    issued_at_ms: Mapped[int]


class Room(Base):
    """A room. Everything else of a room refers to this row and goes with it."""

    __tablename__ = "room"
    __table_args__ = (Index(None, "wake_at_ms"),)

    room_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    """Raised by every change of the room's records; its row lock serialises writers of one room."""
    fork_count: Mapped[int]
    """How many unresolved side heads the group has."""
    wake_at_ms: Mapped[int | None]
    """When something is due in the room of itself."""
    forgotten_at_ms: Mapped[int | None]
    """Set while nothing is to be known of the room but what its owner kept."""


class OfRoom(Base):
    """What belongs to a room and goes with it."""

    __abstract__ = True

    @declared_attr
    @classmethod
    def room_id(cls) -> Mapped[str]:
        """The room."""
        return mapped_column(ForeignKey("room.room_id", ondelete="CASCADE"), primary_key=True, sort_order=-2)


class Record(OfRoom):
    """A key and a value of one room."""

    __abstract__ = True

    key: Mapped[bytes] = mapped_column(primary_key=True, sort_order=-1)
    value: Mapped[bytes]


class RoomRecord(Record):
    """The records that are called `room`."""

    __tablename__ = "room_record"


class MemberState(Record):
    """Member events."""

    __tablename__ = "member_state"


class DeviceListRecord(Record):
    """Device lists of users."""

    __tablename__ = "device_list"


class Node(Record):
    """Stored commits and geneses."""

    __tablename__ = "node"


class Vote(Record):
    """Votes."""

    __tablename__ = "vote"


class TreeNode(Record):
    """Nodes of ratchet trees by their hash."""

    __tablename__ = "tree_node"


class ParkedEvent(Record):
    """Events that wait for another."""

    __tablename__ = "parked_event"


class EventOutcome(Record):
    """What became of an event."""

    __tablename__ = "event_outcome"


PLAIN_TABLES: dict[str, type[Record]] = {
    "room": RoomRecord,
    "member_state": MemberState,
    "device_list": DeviceListRecord,
    "node": Node,
    "vote": Vote,
    "tree_node": TreeNode,
    "parked_event": ParkedEvent,
    "event_outcome": EventOutcome,
}
"""The record tables whose values are stored as they are, by the name that a record gives."""


class Epoch(OfRoom):
    """The secrets of an epoch, sealed."""

    __tablename__ = "epoch"

    key: Mapped[bytes] = mapped_column(primary_key=True)
    version: Mapped[int]
    slot: Mapped[int] = mapped_column(ForeignKey("data_key.id"))
    sealed: Mapped[bytes]


class PrivateKey(OfRoom):
    """A private key of the room's key ring, sealed."""

    __tablename__ = "private_key"

    key: Mapped[bytes] = mapped_column(primary_key=True)
    version: Mapped[int]
    slot: Mapped[int] = mapped_column(ForeignKey("data_key.id"))
    sealed: Mapped[bytes]


class Plaintext(OfRoom):
    """A decrypted message that nobody has fetched yet, sealed."""

    __tablename__ = "plaintext"

    event_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    slot: Mapped[int] = mapped_column(ForeignKey("data_key.id"))
    sealed: Mapped[bytes]


class Outbox(Base):
    """What the homeserver must do, in the order in which it was decided."""

    __tablename__ = "outbox"
    __table_args__ = (
        _partial_index("ix_outbox_pending", "seq", where="acked_at_ms IS NULL", unique=False),
        Index(None, "room_id", "seq"),
    )

    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    room_id: Mapped[str]
    kind: Mapped[str]
    payload: Mapped[bytes]
    created_at_ms: Mapped[int]
    acked_at_ms: Mapped[int | None]
    answer: Mapped[bytes | None]


class RoomChange(Base):
    """Something that happened in a room, for who watches."""

    __tablename__ = "room_change"
    __table_args__ = (Index(None, "room_id", "seq"), Index(None, "at_ms"))

    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    room_id: Mapped[str]
    kind: Mapped[str]
    payload: Mapped[bytes]
    at_ms: Mapped[int]


class Idempotency(Base):
    """An answer that a repeated request gets again."""

    __tablename__ = "idempotency"
    __table_args__ = (Index(None, "expires_at_ms"),)

    caller: Mapped[str] = mapped_column(primary_key=True)
    method: Mapped[str] = mapped_column(primary_key=True)
    request_id: Mapped[str] = mapped_column(primary_key=True)
    body_hash: Mapped[bytes]
    response: Mapped[bytes]
    expires_at_ms: Mapped[int]


class Blob(Base):
    """Content by its SHA-256."""

    __tablename__ = "blob"

    sha256: Mapped[bytes] = mapped_column(primary_key=True)
    size: Mapped[int]
    data: Mapped[bytes]
    created_at_ms: Mapped[int]


class Token(Base):
    """A bearer token, by its digest only."""

    __tablename__ = "token"

    digest: Mapped[bytes] = mapped_column(primary_key=True)
    """SHA-256 of the token."""
    subject: Mapped[str]
    scope: Mapped[str]
    created_at_ms: Mapped[int]
    expires_at_ms: Mapped[int | None]
    revoked_at_ms: Mapped[int | None]


class Audit(Base):
    """Who did what."""

    __tablename__ = "audit"
    __table_args__ = (Index(None, "at_ms"), {"sqlite_autoincrement": True})

    seq: Mapped[int] = mapped_column(Sequence, primary_key=True)
    at_ms: Mapped[int]
    caller: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str]
    outcome: Mapped[str]
