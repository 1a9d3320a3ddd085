"""Who may call what: one table with an entry for every RPC, and one pure function that reads it. What is not in it is denied."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from dmls.ids import DeviceId, ServerName, UserId
from dmls.matrix.identifiers import server_of

__all__ = ["ANONYMOUS", "RIGHTS", "Caller", "Decision", "Owner", "Resource", "Right", "Role", "decide", "local_homeserver"]


class Role(enum.Enum):
    """What a caller has proved to be."""

    HOMESERVER = "homeserver"
    """The homeserver `Caller.server_name`."""
    DEVICE = "device"
    """The device `Caller.device_id` of the user `Caller.user_id`."""
    OPERATOR = "operator"
    """Somebody who runs this service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls."""

    roles: frozenset[Role]
    server_name: ServerName | None = None
    user_id: UserId | None = None
    device_id: DeviceId | None = None


ANONYMOUS = Caller(roles=frozenset())
"""A caller who has proved nothing."""


def local_homeserver(server_name: ServerName) -> Caller:
    """The caller on a loopback address or a Unix socket without TLS: the service's own homeserver, and its operator."""
    return Caller(roles=frozenset({Role.HOMESERVER, Role.OPERATOR}), server_name=server_name)


@dataclass(frozen=True, slots=True)
class Owner:
    """A user, or a device of a user, in whose name something is done or whose things are read."""

    user_id: UserId
    device_id: DeviceId | None = None
    """None: the user as a whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What a call is about."""

    server_name: ServerName
    """The homeserver that this service serves."""
    owners: frozenset[Owner] = frozenset()
    """Those in whose name the call acts, or whose things it reads."""
    everybody: bool = False
    """The call is about all users."""
    caller_is_joined: bool = False
    """The calling device's user is joined to every room that the call is about."""


class Right(enum.Enum):
    """What a caller needs for an RPC."""

    NOTHING = "nothing"
    """Anybody, without proof."""
    IDENTITY = "identity"
    """Any known caller."""
    OWNER = "owner"
    """The owner's own homeserver, or the very device."""
    LOCAL_READER = "local reader"
    """The owners' own homeserver, or any device of it; about everybody only the homeserver."""
    LOCAL = "local"
    """The own homeserver, or any device of it."""
    ROOM_READER = "room reader"
    """The own homeserver, or a device whose user is joined."""
    HOMESERVER = "homeserver"
    """The own homeserver, in the name of its own users."""
    OPERATOR = "operator"
    """An operator."""


_DEVICES = "/dmls.v1.DeviceService/"
_KEY_PACKAGES = "/dmls.v1.KeyPackageService/"
_ROOMS = "/dmls.v1.RoomService/"
_ENCRYPTION = "/dmls.v1.EncryptionService/"
_ADMIN = "/dmls.v1.AdminService/"

RIGHTS: Mapping[str, Right] = {
    "/grpc.health.v1.Health/Check": Right.NOTHING,
    "/grpc.health.v1.Health/List": Right.NOTHING,
    "/grpc.health.v1.Health/Watch": Right.NOTHING,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Right.IDENTITY,
    _DEVICES + "RegisterDevice": Right.OWNER,
    _DEVICES + "GetDevice": Right.LOCAL_READER,
    _DEVICES + "ListDevices": Right.LOCAL_READER,
    _DEVICES + "UpdateDevice": Right.OWNER,
    _DEVICES + "DeleteDevice": Right.OWNER,
    _DEVICES + "WatchDevices": Right.LOCAL_READER,
    _KEY_PACKAGES + "UploadKeyPackages": Right.OWNER,
    _KEY_PACKAGES + "ReplaceKeyPackages": Right.OWNER,
    _KEY_PACKAGES + "ClaimKeyPackages": Right.LOCAL,
    _KEY_PACKAGES + "GetKeyPackageStatus": Right.OWNER,
    _KEY_PACKAGES + "WatchKeyPackageStatus": Right.OWNER,
    _KEY_PACKAGES + "ListKeyPackages": Right.OWNER,
    _KEY_PACKAGES + "DeleteKeyPackages": Right.OWNER,
    _ROOMS + "UpdateRoomState": Right.HOMESERVER,
    _ROOMS + "IngestEvents": Right.HOMESERVER,
    _ROOMS + "IngestToDevice": Right.HOMESERVER,
    _ROOMS + "UpdateDeviceLists": Right.HOMESERVER,
    _ROOMS + "ProvideKeyPackages": Right.HOMESERVER,
    _ROOMS + "PutBlob": Right.ROOM_READER,
    _ROOMS + "GetBlob": Right.ROOM_READER,
    _ROOMS + "SetRoomOptions": Right.HOMESERVER,
    _ROOMS + "GetRoom": Right.ROOM_READER,
    _ROOMS + "ListRooms": Right.HOMESERVER,
    _ROOMS + "ForgetRoom": Right.HOMESERVER,
    _ROOMS + "GetGroupInfo": Right.ROOM_READER,
    _ROOMS + "GetRatchetTree": Right.ROOM_READER,
    _ROOMS + "GetEpochGraph": Right.ROOM_READER,
    _ROOMS + "WatchOutbox": Right.HOMESERVER,
    _ROOMS + "AckOutbox": Right.HOMESERVER,
    _ROOMS + "WatchRoom": Right.HOMESERVER,
    _ENCRYPTION + "EncryptEvents": Right.HOMESERVER,
    _ENCRYPTION + "DecryptEvents": Right.HOMESERVER,
    _ENCRYPTION + "ExportSecret": Right.HOMESERVER,
    _ENCRYPTION + "ReportFailure": Right.HOMESERVER,
    _ADMIN + "GetServerInfo": Right.IDENTITY,
    _ADMIN + "GetStatistics": Right.OPERATOR,
    _ADMIN + "RunMaintenance": Right.OPERATOR,
    _ADMIN + "GetParameters": Right.OPERATOR,
}
"""What each RPC needs."""


class Decision(enum.Enum):
    """Whether a call is allowed, and if not, why."""

    ALLOWED = "allowed"
    NO_ENTRY = "the call is not offered"
    NO_IDENTITY = "prove who you are"
    NO_ROLE = "the call is not for such callers"
    NOT_OWNER = "the call is about somebody else"


def decide(caller: Caller, method: str, resource: Resource) -> Decision:
    """Decides whether `caller` may call `method` about `resource`.

    Args:
        caller: Who calls.
        method: Full name, `/dmls.v1.RoomService/GetRoom`.
        resource: What the call is about.
    """
    right = RIGHTS.get(method)
    if right is None:
        return Decision.NO_ENTRY
    if right is Right.NOTHING:
        return Decision.ALLOWED
    if not caller.roles:
        return Decision.NO_IDENTITY
    if right is Right.IDENTITY:
        return Decision.ALLOWED
    if right is Right.OPERATOR:
        return Decision.ALLOWED if Role.OPERATOR in caller.roles else Decision.NO_ROLE
    if Role.HOMESERVER in caller.roles and caller.server_name == resource.server_name:
        return _decide_homeserver(resource)
    if Role.DEVICE in caller.roles and caller.user_id is not None and server_of(caller.user_id) == resource.server_name:
        return _decide_device(caller, right, resource)
    return Decision.NO_ROLE


def _decide_homeserver(resource: Resource) -> Decision:
    """The own homeserver may do everything for its own users, and nothing for others."""
    own = all(server_of(owner.user_id) == resource.server_name for owner in resource.owners)
    return Decision.ALLOWED if own else Decision.NOT_OWNER


def _decide_device(caller: Caller, right: Right, resource: Resource) -> Decision:
    """A device may act for itself, read of its server's users, and read the rooms that its user is joined to."""
    if right is Right.OWNER:
        itself = frozenset({Owner(caller.user_id, caller.device_id)}) if caller.user_id and caller.device_id else frozenset()
        allowed = not resource.everybody and bool(itself) and resource.owners == itself
    elif right is Right.LOCAL_READER:
        own = all(server_of(owner.user_id) == resource.server_name for owner in resource.owners)
        allowed = not resource.everybody and bool(resource.owners) and own
    elif right is Right.LOCAL:
        allowed = True
    elif right is Right.ROOM_READER:
        allowed = resource.caller_is_joined
    else:
        return Decision.NO_ROLE
    return Decision.ALLOWED if allowed else Decision.NOT_OWNER
