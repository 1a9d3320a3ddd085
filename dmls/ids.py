"""Names for the identifiers that would otherwise all be `int`, `bytes` or `str`.

An epoch *number* is a plain `int`; the *identity* of an epoch is `EpochId` for those inside and `CommitRef` for everybody.
"""

from __future__ import annotations

from typing import NewType

__all__ = [
    "CommitRef",
    "DeviceId",
    "EpochId",
    "EventId",
    "GroupId",
    "KeyPackageRef",
    "LeafIndex",
    "NodeIndex",
    "ProposalRef",
    "RoomId",
    "ServerName",
    "UserId",
]

LeafIndex = NewType("LeafIndex", int)
NodeIndex = NewType("NodeIndex", int)
GroupId = NewType("GroupId", bytes)
EpochId = NewType("EpochId", bytes)
CommitRef = NewType("CommitRef", bytes)
KeyPackageRef = NewType("KeyPackageRef", bytes)
ProposalRef = NewType("ProposalRef", bytes)
UserId = NewType("UserId", str)
DeviceId = NewType("DeviceId", str)
RoomId = NewType("RoomId", str)
EventId = NewType("EventId", str)
ServerName = NewType("ServerName", str)
