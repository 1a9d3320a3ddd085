"""The public facts of commits and votes, and their bytes in a store (docs/protocol.md, Sections 4 and 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from dmls.errors import CodecError
from dmls.ids import CommitRef, DeviceId, EventId, ServerName, UserId
from dmls.mls.codec import decode, encode, opaque, struct, uint8, uint16, uint64, vector

__all__ = ["VIRTUAL_ROOT", "Device", "Node", "Vote"]

VIRTUAL_ROOT: Final = CommitRef(b"")
"""Parent of every genesis."""

_RECORD_VERSION: Final = 1


@dataclass(frozen=True, slots=True, order=True)
class Device:
    """One MLS leaf: with another `signature_key` (raw public key) it is another device."""

    user_id: UserId
    device_id: DeviceId
    signature_key: bytes

    @property
    def server(self) -> ServerName:
        """The user's homeserver: all after the first colon of the user ID."""
        return ServerName(self.user_id.partition(":")[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """The public facts of one valid commit or genesis.

    What the commit says is fixed by `commit_ref`. What the homeserver says of its event may be corrected later: `event_id`,
    `by_create_sender`, `before_departure` and `is_spent`; so may `is_anchor`.

    Attributes:
        commit_ref: hash_size bytes.
        parent_ref: of the signed parent; `VIRTUAL_ROOT` for a genesis.
        event_id: empty while the homeserver has not sent the event.
        sender: sender of the event; the user of `author`, or the commit is invalid.
        author: of a regular commit the leaf in the parent's tree; of an external commit that of the path; of a genesis leaf 0.
        epoch: epoch number that the commit begins; for display.
        vote_seq: 0 for a genesis.
        content_hash: equal iff two commits differ at most in signature and tags (`dmls.forks.aad.content_hash`).
        is_genesis: a genesis, not a commit.
        is_external: an external commit.
        by_create_sender: a genesis sent by the sender of the room's m.room.create event.
        adds: devices added; of an external commit its author, also where it replaces an own older leaf.
        removes: devices removed.
        logout: the commit says that the devices it removes are gone for good.
        evicts: it says that they have not renewed their keys for too long.
        resolves: nodes that the author has dealt with.
        rejects: nodes that the author could not process.
        before_departure: the event is in the causal past of the leave or ban that ended its author's membership.
        is_spent: sent under a join that is spent.
        is_anchor: taken over by its keyframe, so the parent may be missing.
    """

    commit_ref: CommitRef
    parent_ref: CommitRef
    event_id: EventId
    sender: UserId
    author: Device
    epoch: int
    vote_seq: int
    content_hash: bytes
    is_genesis: bool = False
    is_external: bool = False
    by_create_sender: bool = False
    adds: tuple[Device, ...] = ()
    removes: tuple[Device, ...] = ()
    logout: bool = False
    evicts: bool = False
    resolves: tuple[CommitRef, ...] = ()
    rejects: tuple[CommitRef, ...] = ()
    before_departure: bool = False
    is_spent: bool = False
    is_anchor: bool = False

    @property
    def removes_others(self) -> tuple[Device, ...]:
        """Devices removed, without the author: replacing one's own leaf by an external commit is no removal."""
        return tuple(device for device in self.removes if device != self.author)

    def says_the_same(self, other: Node) -> bool:
        """Tell whether two nodes differ at most in what may be corrected."""
        return (
            replace(
                other,
                event_id=self.event_id,
                by_create_sender=self.by_create_sender,
                before_departure=self.before_departure,
                is_spent=self.is_spent,
                is_anchor=self.is_anchor,
            )
            == self
        )

    def encode(self) -> bytes:
        """Encode for a store."""
        return encode(
            _NodeRecord(
                _RECORD_VERSION,
                self.commit_ref,
                self.parent_ref,
                self.event_id.encode(),
                self.sender.encode(),
                _device_record(self.author),
                self.epoch,
                self.vote_seq,
                self.content_hash,
                sum(getattr(self, name) << bit for bit, name in enumerate(_FLAGS)),
                tuple(map(_device_record, self.adds)),
                tuple(map(_device_record, self.removes)),
                self.resolves,
                self.rejects,
            )
        )

    @classmethod
    def decode(cls, data: bytes) -> Node:
        """Decode what `encode` made.

        Raises:
            CodecError: `data` is no such encoding.
        """
        record = decode(_NodeRecord, data)
        if record.version != _RECORD_VERSION or record.flags >> len(_FLAGS):
            raise CodecError("the record of a node has an unknown version or flag")
        return cls(
            commit_ref=CommitRef(record.commit_ref),
            parent_ref=CommitRef(record.parent_ref),
            event_id=EventId(_text(record.event_id)),
            sender=UserId(_text(record.sender)),
            author=_device(record.author),
            epoch=record.epoch,
            vote_seq=record.vote_seq,
            content_hash=record.content_hash,
            adds=_devices(record.adds),
            removes=_devices(record.removes),
            resolves=tuple(map(CommitRef, record.resolves)),
            rejects=tuple(map(CommitRef, record.rejects)),
            **{name: bool(record.flags >> bit & 1) for bit, name in enumerate(_FLAGS)},
        )


@dataclass(frozen=True, slots=True)
class Vote:
    """A vote signature that was verified: `device`, a leaf of the epoch `commit_ref`, is there. `is_spent` as in a node."""

    device: Device
    commit_ref: CommitRef
    vote_seq: int
    is_spent: bool = False

    def encode(self) -> bytes:
        """Encode for a store."""
        return encode(
            _VoteRecord(_RECORD_VERSION, _device_record(self.device), self.commit_ref, self.vote_seq, int(self.is_spent))
        )

    @classmethod
    def decode(cls, data: bytes) -> Vote:
        """Decode what `encode` made.

        Raises:
            CodecError: `data` is no such encoding.
        """
        record = decode(_VoteRecord, data)
        if record.version != _RECORD_VERSION or record.is_spent > 1:
            raise CodecError("the record of a vote has an unknown version or flag")
        return cls(_device(record.device), CommitRef(record.commit_ref), record.vote_seq, bool(record.is_spent))


_FLAGS: Final = ("is_genesis", "is_external", "by_create_sender", "logout", "before_departure", "is_spent", "is_anchor", "evicts")
"""From the lowest bit up."""


@struct
class _DeviceRecord:
    user_id: opaque
    device_id: opaque
    signature_key: opaque


@struct
class _NodeRecord:
    version: uint8
    commit_ref: opaque
    parent_ref: opaque
    event_id: opaque
    sender: opaque
    author: _DeviceRecord
    epoch: uint64
    vote_seq: uint64
    content_hash: opaque
    flags: uint16
    adds: vector[_DeviceRecord]
    removes: vector[_DeviceRecord]
    resolves: vector[opaque]
    rejects: vector[opaque]


@struct
class _VoteRecord:
    version: uint8
    device: _DeviceRecord
    commit_ref: opaque
    vote_seq: uint64
    is_spent: uint8


def _device_record(device: Device) -> _DeviceRecord:
    return _DeviceRecord(device.user_id.encode(), device.device_id.encode(), device.signature_key)


def _device(record: _DeviceRecord) -> Device:
    return Device(UserId(_text(record.user_id)), DeviceId(_text(record.device_id)), record.signature_key)


def _devices(records: Sequence[_DeviceRecord]) -> tuple[Device, ...]:
    return tuple(map(_device, records))


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise CodecError("an identifier is not UTF-8") from None
