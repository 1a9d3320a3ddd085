"""ExportSecret."""

from __future__ import annotations

from dmls.engine.agent import device_of
from dmls.errors import InvalidArgumentError, StateError
from dmls.ids import CommitRef, DeviceId, RoomId, UserId
from dmls.mls.group.state import export_secret as export
from dmls.service.convert import pointer
from dmls.service.core import Core
from dmls.service.errors import HostingDisabledError, InvalidRequestError, UnknownResourceError, Violation
from dmls.v1 import encryption_pb2

__all__ = ["export_secret"]

_OWN_LABELS = "DMLS"
"""Labels that begin so are used by DMLS itself."""


def export_secret(core: Core, request: encryption_pb2.ExportSecretRequest) -> encryption_pb2.ExportSecretResponse:
    """Give a secret of an epoch to a hosted device that is a member of it.

    Raises:
        HostingDisabledError: this service holds no devices' keys.
        UnknownResourceError: the room, the epoch or the device is not known.
        StateError: the device was no member of the epoch, or its secrets are not held.
        InvalidRequestError: the label is reserved, or the length is out of range.
    """
    if not core.hosting:
        raise HostingDisabledError("this service holds no devices' keys")
    if request.label.startswith(_OWN_LABELS):
        raise InvalidRequestError(Violation("label", f"labels that begin with {_OWN_LABELS} are reserved"))
    user_id, device_id = UserId(request.device.user_id), DeviceId(request.device.device_id)
    if not core.is_hosted(user_id, device_id):
        raise UnknownResourceError("device", device_id)
    state = core.keeper.state(RoomId(request.room_id))
    if state is None:
        raise UnknownResourceError("room", request.room_id)
    ref = CommitRef(request.commit_ref) if request.commit_ref else state.head
    if ref is None or ref not in state.entries:
        raise UnknownResourceError("epoch", request.commit_ref.hex() or "head")
    held = state.epochs.get(ref)
    if held is None:
        raise StateError("the epoch's secrets are not held")
    leaves = (held.state.public.tree.leaf(index) for index in held.state.own_leaves)
    members = {(device_of(leaf).user_id, device_of(leaf).device_id) for leaf in leaves if leaf is not None}
    if (user_id, device_id) not in members:
        raise StateError("the device was not a member of the epoch")
    try:
        secret = export(held.state, request.label, request.context, request.length)
    except InvalidArgumentError as error:
        raise InvalidRequestError(Violation("length", error.message)) from None
    return encryption_pb2.ExportSecretResponse(secret=bytes(secret), pointer=pointer(state, ref))
