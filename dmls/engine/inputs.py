"""What can happen to a room, as far as its engine is concerned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dmls.engine.agent import Agent
from dmls.forks.graph import Device
from dmls.ids import CommitRef, DeviceId, EventId, UserId
from dmls.matrix.bodies import Payload
from dmls.matrix.events import MemberEvent, RoomEvent
from dmls.matrix.membership import RoomFacts

__all__ = [
    "AgentChanged",
    "BlobProvided",
    "DecryptRequested",
    "DeviceListChanged",
    "EncryptRequested",
    "EventReceived",
    "Input",
    "KeyPackagesProvided",
    "MemberEventReceived",
    "OutboxAnswered",
    "RoomStateChanged",
    "StoreRolledBack",
    "Tick",
    "ToDeviceReceived",
]


@dataclass(frozen=True, slots=True)
class RoomStateChanged:
    """The homeserver's resolved state: all of it if `is_full`, else what changed. None in `members` removes a user's event."""

    version: int
    facts: RoomFacts | None
    members: Mapping[UserId, MemberEvent | None]
    past: tuple[MemberEvent, ...] = ()
    is_full: bool = False


@dataclass(frozen=True, slots=True)
class EventReceived:
    """An `m.room.encrypted` event of the room's timeline.

    `is_vouched`: the agent's own server, which follows the room, says that the event is on the head's chain.
    """

    event: RoomEvent
    is_vouched: bool = False


@dataclass(frozen=True, slots=True)
class MemberEventReceived:
    """A member event of the timeline; the resolved state is told apart from it, this only says which joins are spent."""

    event: MemberEvent


@dataclass(frozen=True, slots=True)
class ToDeviceReceived:
    """A to-device message for an own device; `message_id` names it for ever."""

    message_id: str
    sender: UserId
    user_id: UserId
    device_id: DeviceId
    content: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True, slots=True)
class DeviceListChanged:
    """The devices of a user; `is_own` if the user's server is the agent's own, whose word is always fresh.

    `taken_at_ms` is when the user's server was asked, milliseconds since 1970.
    """

    user_id: UserId
    version: int
    taken_at_ms: int
    devices: tuple[Device, ...]
    is_own: bool = False
    gone: tuple[Device, ...] = ()
    """Devices that the user's own server has deleted for good; told by an own list only."""


@dataclass(frozen=True, slots=True)
class KeyPackagesProvided:
    """Claimed key packages, encoded as MLSMessage, by device; None for a device that has none to give."""

    key_packages: Mapping[Device, bytes | None]


@dataclass(frozen=True, slots=True)
class BlobProvided:
    """Bytes of a blob, checked by the caller against nothing: the engine checks the SHA-256.

    `others` are blobs that were provided before; an event that points to several is read when the last one comes.
    """

    data: bytes = field(repr=False)
    others: tuple[bytes, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class OutboxAnswered:
    """What the homeserver made of a node's event: its event id, or None if it was finally refused."""

    commit_ref: CommitRef
    event_id: EventId | None


@dataclass(frozen=True, slots=True)
class EncryptRequested:
    """An own device wants to send an event."""

    user_id: UserId
    device_id: DeviceId
    payload: Payload


@dataclass(frozen=True, slots=True)
class DecryptRequested:
    """An own device wants to read an event."""

    user_id: UserId
    device_id: DeviceId
    event_id: EventId


@dataclass(frozen=True, slots=True)
class AgentChanged:
    """The agent's own devices are now these."""

    agent: Agent


@dataclass(frozen=True, slots=True)
class StoreRolledBack:
    """The store is older than what was sent from it: somebody outside remembers more than it does."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Input = (
    RoomStateChanged
    | EventReceived
    | MemberEventReceived
    | ToDeviceReceived
    | DeviceListChanged
    | KeyPackagesProvided
    | BlobProvided
    | OutboxAnswered
    | EncryptRequested
    | DecryptRequested
    | AgentChanged
    | StoreRolledBack
    | Tick
)
