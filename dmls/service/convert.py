"""Small values of the contract from and to those of the core."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.timestamp_pb2 import Timestamp

from dmls.engine.nodes import epoch_id
from dmls.engine.state import RoomState
from dmls.forks.graph import Device
from dmls.ids import CommitRef
from dmls.matrix.events import MemberEvent, Membership, parse_member_event
from dmls.v1 import common_pb2, room_pb2

__all__ = [
    "device_ref",
    "from_member_event",
    "pointer",
    "to_member_event",
    "to_ms",
    "to_timestamp",
    "to_visibility",
    "visibility_of",
]

_MEMBERSHIPS: Mapping[room_pb2.Membership, Membership] = {
    room_pb2.MEMBERSHIP_INVITE: Membership.INVITE,
    room_pb2.MEMBERSHIP_JOIN: Membership.JOIN,
    room_pb2.MEMBERSHIP_KNOCK: Membership.KNOCK,
    room_pb2.MEMBERSHIP_LEAVE: Membership.LEAVE,
    room_pb2.MEMBERSHIP_BAN: Membership.BAN,
}
_TO_MEMBERSHIP = {membership: value for value, membership in _MEMBERSHIPS.items()}
_VISIBILITIES: Mapping[room_pb2.HistoryVisibility, str] = {
    room_pb2.HISTORY_VISIBILITY_UNSPECIFIED: "shared",
    room_pb2.HISTORY_VISIBILITY_WORLD_READABLE: "world_readable",
    room_pb2.HISTORY_VISIBILITY_SHARED: "shared",
    room_pb2.HISTORY_VISIBILITY_INVITED: "invited",
    room_pb2.HISTORY_VISIBILITY_JOINED: "joined",
}
_TO_VISIBILITY = {text: value for value, text in _VISIBILITIES.items()}


def to_ms(time: Timestamp) -> int:
    """Return a time in milliseconds since 1970, rounded down."""
    return time.ToMilliseconds()


def to_timestamp(ms: int) -> Timestamp:
    """Return a time given in milliseconds since 1970."""
    time = Timestamp()
    time.FromMilliseconds(ms)
    return time


def to_member_event(event: room_pb2.MemberEvent) -> MemberEvent:
    """Return a member event as the core has it.

    Raises:
        InvalidArgumentError: it is malformed.
    """
    membership = _MEMBERSHIPS.get(event.membership)
    return parse_member_event(event.event_id, event.user_id, event.sender, membership, event.auth_event_ids)


def from_member_event(event: MemberEvent) -> room_pb2.MemberEvent:
    """Return a member event of the core."""
    return room_pb2.MemberEvent(
        event_id=event.event_id,
        user_id=event.user_id,
        sender=event.sender,
        membership=_TO_MEMBERSHIP[event.membership],
        auth_event_ids=event.auth_events,
    )


def visibility_of(value: room_pb2.HistoryVisibility) -> str:
    """Return a history visibility as Matrix writes it; a room without one is `shared`."""
    return _VISIBILITIES[value]


def to_visibility(text: str) -> room_pb2.HistoryVisibility:
    """Return what `visibility_of` was given."""
    return _TO_VISIBILITY.get(text, room_pb2.HISTORY_VISIBILITY_UNSPECIFIED)


def device_ref(device: Device) -> common_pb2.DeviceRef:
    """Return the name of a device."""
    return common_pb2.DeviceRef(user_id=device.user_id, device_id=device.device_id)


def pointer(state: RoomState, ref: CommitRef) -> common_pb2.EpochPointer:
    """Return the pointer to a node, with the epoch's id if its secrets are held."""
    held = state.epochs.get(ref)
    return common_pb2.EpochPointer(commit_ref=ref, epoch_id=b"" if held is None else epoch_id(held.state))
