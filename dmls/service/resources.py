"""What a request is about, for the decision whether its caller may make it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from google.protobuf.message import Message

from dmls.errors import InvalidArgumentError
from dmls.ids import ServerName
from dmls.matrix.identifiers import parse_device_id, parse_user_id
from dmls.service.auth import Owner, Resource

__all__ = ["OWNERS", "resource_of"]

_Names: TypeAlias = Iterable[tuple[str, str]]
"""User ids and device ids; an empty device id is the user as a whole."""


def _nobody(request: Any) -> _Names:
    return ()


def _itself(request: Any) -> _Names:
    return ((request.user_id, request.device_id),)


def _one_device(field: str) -> Callable[[Any], _Names]:
    return lambda request: ((getattr(request, field).user_id, getattr(request, field).device_id),)


OWNERS: Mapping[str, Callable[[Any], _Names]] = {
    "RegisterDeviceRequest": _itself,
    "GetDeviceRequest": _itself,
    "ListDevicesRequest": lambda request: ((request.user_id, ""),) if request.user_id else (),
    "UpdateDeviceRequest": _one_device("device"),
    "DeleteDeviceRequest": _itself,
    "WatchDevicesRequest": lambda request: ((user_id, "") for user_id in request.user_ids),
    "UploadKeyPackagesRequest": _itself,
    "ReplaceKeyPackagesRequest": _itself,
    "ClaimKeyPackagesRequest": _nobody,
    "GetKeyPackageStatusRequest": _itself,
    "WatchKeyPackageStatusRequest": lambda request: ((device.user_id, device.device_id) for device in request.devices),
    "ListKeyPackagesRequest": _itself,
    "DeleteKeyPackagesRequest": _itself,
    "UpdateRoomStateRequest": _nobody,
    "IngestEventsRequest": _nobody,
    "IngestToDeviceRequest": _nobody,
    "UpdateDeviceListsRequest": _nobody,
    "ProvideKeyPackagesRequest": _nobody,
    "PutBlobRequest": _nobody,
    "GetBlobRequest": _nobody,
    "SetRoomOptionsRequest": _nobody,
    "GetRoomRequest": _nobody,
    "ListRoomsRequest": _nobody,
    "ForgetRoomRequest": _nobody,
    "GetGroupInfoRequest": _nobody,
    "GetRatchetTreeRequest": _nobody,
    "GetEpochGraphRequest": _nobody,
    "WatchOutboxRequest": _nobody,
    "AckOutboxRequest": _nobody,
    "WatchRoomRequest": _nobody,
    "EncryptEventsRequest": _nobody,
    "DecryptEventsRequest": _nobody,
    "ExportSecretRequest": _one_device("device"),
    "ReportFailureRequest": _one_device("device"),
    "GetServerInfoRequest": _nobody,
    "GetStatisticsRequest": _nobody,
    "RunMaintenanceRequest": _nobody,
    "GetParametersRequest": _nobody,
}
"""Of each request message, in whose name it acts or whose things it reads. Items of batches are nobody's here: each of them
gets an answer of its own, and one that is about a stranger is answered like one about nobody."""

_EVERYBODY_IF_NOBODY = frozenset({"ListDevicesRequest", "WatchDevicesRequest", "WatchKeyPackageStatusRequest"})
"""Requests that are about all users when they name none."""


def resource_of(request: Message, server_name: ServerName) -> Resource:
    """Says what a request to the service of `server_name` is about.

    A name that is no user id is nobody's; a request with one was refused before.
    """
    name = request.DESCRIPTOR.name
    owners = frozenset(owner for pair in OWNERS.get(name, _nobody)(request) if (owner := _owner(*pair)) is not None)
    return Resource(server_name=server_name, owners=owners, everybody=name in _EVERYBODY_IF_NOBODY and not owners)


def _owner(user_id: str, device_id: str) -> Owner | None:
    try:
        return Owner(parse_user_id(user_id), parse_device_id(device_id) if device_id else None)
    except InvalidArgumentError:
        return None
