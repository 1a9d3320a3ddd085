"""UpdateDeviceLists: what other servers say of their users' devices."""

from __future__ import annotations

from devicestore import Connection
from dmls.engine.inputs import DeviceListChanged
from dmls.engine.state import RoomState
from dmls.errors import CryptoError, DMLSError, InvalidArgumentError
from dmls.forks.graph import Device
from dmls.forks.reconcile import finally_gone
from dmls.ids import DeviceId, RoomId, UserId
from dmls.matrix.identifiers import server_of
from dmls.mls.crypto.suites import cipher_suite
from dmls.rooms.session import Session
from dmls.service.convert import to_ms
from dmls.service.core import Core, Record, no_record
from dmls.service.status import to_failure
from dmls.service.validation import check
from dmls.v1 import room_pb2

__all__ = ["update_device_lists"]

_APPLIED = room_pb2.DEVICE_LIST_OUTCOME_APPLIED
_UNCHANGED = room_pb2.DEVICE_LIST_OUTCOME_UNCHANGED
_STALE = room_pb2.DEVICE_LIST_OUTCOME_STALE


def update_device_lists(
    core: Core, request: room_pb2.UpdateDeviceListsRequest, record: Record = no_record
) -> room_pb2.UpdateDeviceListsResponse:
    """Tell each user's rooms the user's devices, each room by itself: a list says the same however often it is told."""
    answer = room_pb2.UpdateDeviceListsResponse(results=[_guarded_update(core, each) for each in request.lists])

    def work(conn: Connection) -> None:
        record(conn, answer)

    core.store.write(work).result()
    return answer


def _guarded_update(core: Core, told: room_pb2.DeviceList) -> room_pb2.DeviceListResult:
    try:
        return _update(core, told)
    except DMLSError as error:
        rejected = room_pb2.DEVICE_LIST_OUTCOME_REJECTED
        return room_pb2.DeviceListResult(outcome=rejected, failure=to_failure(error))


def _update(core: Core, told: room_pb2.DeviceList) -> room_pb2.DeviceListResult:
    check(told, core.limits)
    user_id = UserId(told.user_id)
    if core.keeper.env.is_service and server_of(user_id) == core.server_name:
        if told.devices:
            raise InvalidArgumentError("devices of a user of this homeserver are told to DeviceService")
        return room_pb2.DeviceListResult(outcome=_UNCHANGED)
    devices = _devices(core, told)
    outcomes = set[room_pb2.DeviceListOutcome]()
    new_keys = set[str]()
    for room_id in core.keeper.rooms_of(user_id):

        def work(session: Session, room_id: RoomId = room_id) -> tuple[room_pb2.DeviceListOutcome, set[str]]:
            return _tell(session, room_id, told, devices)

        outcome, wanted = core.keeper.transact([room_id], work)
        outcomes.add(outcome)
        new_keys |= wanted
    outcome = next((each for each in (_APPLIED, _UNCHANGED, _STALE) if each in outcomes), _APPLIED)
    return room_pb2.DeviceListResult(outcome=outcome, new_key_wanted_device_ids=sorted(new_keys))


def _devices(core: Core, told: room_pb2.DeviceList) -> list[tuple[Device, frozenset[int]]]:
    """Return the listed devices, one for each signature key, with the suites of the key."""
    found: list[tuple[Device, frozenset[int]]] = []
    seen = set[str]()
    for listed in told.devices:
        if listed.device_id in seen:
            raise InvalidArgumentError("a device is listed twice")
        seen.add(listed.device_id)
        for key in listed.signature_keys:
            device = Device(UserId(told.user_id), DeviceId(listed.device_id), key.public_key)
            found.append((device, frozenset(key.cipher_suites)))
    if len(seen) > core.limits.max_devices_per_user:
        raise InvalidArgumentError(f"more than {core.limits.max_devices_per_user} devices")
    return found


def _tell(
    session: Session, room_id: RoomId, told: room_pb2.DeviceList, listed: list[tuple[Device, frozenset[int]]]
) -> tuple[room_pb2.DeviceListOutcome, set[str]]:
    state = session.state(room_id)
    user_id = UserId(told.user_id)
    devices = tuple(device for device, suites in listed if state.cipher_suite in suites and _is_usable(state, device))
    # A list cannot have been taken later than now; one that says so would stay fresh for ever.
    taken_at_ms = min(to_ms(told.taken_at), session.now_ms)
    held = state.lists.get(user_id)
    if held is not None and (told.version, taken_at_ms) < (held.version, held.taken_at_ms):
        return _STALE, set()
    is_same = held is not None and (held.version, set(held.devices)) == (told.version, set(devices))
    session.step(room_id, DeviceListChanged(user_id, told.version, taken_at_ms, devices))
    gone = finally_gone(state.graph) | frozenset(state.gone)
    wanted = {str(device.device_id) for device in devices if device in gone}
    return (_UNCHANGED if is_same else _APPLIED), wanted


def _is_usable(state: RoomState, device: Device) -> bool:
    try:
        cipher_suite(state.cipher_suite).check_signature_key(device.signature_key)
    except CryptoError:
        return False
    return True
