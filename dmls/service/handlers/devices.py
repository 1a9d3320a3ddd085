"""RegisterDevice, GetDevice, ListDevices, UpdateDevice, DeleteDevice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from devicestore import Connection, devices
from devicestore import errors as store_errors
from devicestore.devices import Custody, DeviceRecord, DeviceRow
from dmls.engine.agent import devices_of
from dmls.errors import AlreadyExistsError, ConflictError, CryptoError, LimitError, StateError, UnsupportedError
from dmls.forks.aad import encode_identity
from dmls.ids import DeviceId, RoomId, UserId
from dmls.mls.codec import encode_as, opaque
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite, cipher_suite
from dmls.mls.group.leaf import KeyPackageBundle
from dmls.mls.messages.credential import BasicCredential, Credential
from dmls.rooms.key_packages import store_bundles
from dmls.rooms.people import device_of_row
from dmls.service.convert import to_timestamp
from dmls.service.core import DEFAULT_SUITES, Core, Record, no_record
from dmls.service.errors import HostingDisabledError, InvalidRequestError, UnknownResourceError, Violation
from dmls.service.paging import Place, page_of, page_size, read_token
from dmls.service.stock import first_stock
from dmls.v1 import common_pb2, device_pb2

__all__ = ["delete_device", "get_device", "list_devices", "register_device", "to_device", "update_device"]

_ROTATION_LABEL = "DMLS 1.0 Key Rotation"
_LAST_NUMBER = (1 << 63) - 1

_CUSTODIES = {Custody.HOSTED: common_pb2.CUSTODY_HOSTED, Custody.CLIENT: common_pb2.CUSTODY_CLIENT}


def to_device(record: DeviceRecord) -> device_pb2.Device:
    """Return a device as callers see it."""
    row = record.device
    device = device_pb2.Device(
        user_id=row.user_id,
        device_id=row.device_id,
        custody=_CUSTODIES[row.custody],
        signature_keys=[
            common_pb2.SignatureKey(public_key=row.signature_key, cipher_suites=row.suites, credential=row.credential)
        ],
        display_name=row.display_name or "",
        device_keys=row.device_keys or b"",
        version=record.version,
        create_time=to_timestamp(row.created_at_ms),
        update_time=to_timestamp(record.updated_at_ms),
    )
    if record.deleted_at_ms is not None:
        device.delete_time.CopyFrom(to_timestamp(record.deleted_at_ms))
    return device


def register_device(
    core: Core, request: device_pb2.RegisterDeviceRequest, record: Record = no_record
) -> device_pb2.RegisterDeviceResponse:
    """Make a device known, and its user's rooms follow.

    Raises:
        HostingDisabledError: a hosted device, and this service holds no keys.
        InvalidRequestError, UnsupportedError, CryptoError: the keys are not ones that a device can use.
        AlreadyExistsError: the name or the key is taken.
        LimitError: the user has too many devices.
    """
    hosted = request.custody == common_pb2.CUSTODY_HOSTED
    if hosted and not core.hosting:
        raise HostingDisabledError("this service holds no devices' keys")
    user_id, device_id = UserId(request.user_id), DeviceId(request.device_id)
    present = core.store.read(lambda conn: _find(conn, user_id, device_id))
    secret: Secret | None = None
    if hosted:
        suites = _suites(request.cipher_suites or DEFAULT_SUITES, "cipher_suites")
        pair = suites[0].generate_signature_key_pair(core.keeper.env.random)
        public_key, secret = pair.public_key, pair.private_key
        if present is not None and present.custody is Custody.HOSTED:
            public_key = present.signature_key
    else:
        suites, public_key = _client_key(request.signature_keys, user_id, device_id)
    row = DeviceRow(
        user_id=user_id,
        device_id=device_id,
        custody=Custody.HOSTED if hosted else Custody.CLIENT,
        signature_key=public_key,
        credential=_credential(user_id, device_id),
        suites=tuple(suite.id for suite in suites),
        display_name=request.display_name or None,
        created_at_ms=core.now_ms(),
        device_keys=request.device_keys or None,
    )

    bundles = first_stock(core, device_of_row(row), row.suites, secret) if secret is not None and present is None else []

    def work(conn: Connection) -> device_pb2.RegisterDeviceResponse:
        answer = _register(conn, core, row, secret, bundles)
        record(conn, answer)
        return answer

    answer = core.store.write(work).result()
    if answer.created:
        core.keeper.devices_changed(user_id)
    return answer


def get_device(core: Core, request: device_pb2.GetDeviceRequest) -> device_pb2.GetDeviceResponse:
    """Return a device, or the tombstone of the last one of this name.

    Raises:
        UnknownResourceError: there never was such a device.
    """
    try:
        record = core.store.read(lambda conn: devices.find_record(conn, request.user_id, request.device_id))
    except store_errors.NotFound:
        raise UnknownResourceError("device", request.device_id) from None
    return device_pb2.GetDeviceResponse(device=to_device(record))


def list_devices(core: Core, request: device_pb2.ListDevicesRequest) -> device_pb2.ListDevicesResponse:
    """Return a page of devices, and of tombstones if they are asked for.

    Raises:
        InvalidRequestError: the page token is not one of this list.
    """
    after, size = _read_place(request.page_token), page_size(request.page_size)
    found = core.store.read(
        lambda conn: devices.list_records(
            conn, request.user_id or None, with_deleted=request.include_deleted, after=after, limit=size + 1
        )
    )
    page, token = page_of(found, _place, size, None)
    return device_pb2.ListDevicesResponse(devices=map(to_device, page), next_page_token=token)


def update_device(
    core: Core, request: device_pb2.UpdateDeviceRequest, record: Record = no_record
) -> device_pb2.UpdateDeviceResponse:
    """Change a device's name, its published keys, or, with a proof by the old one, its signature key.

    Raises:
        UnknownResourceError: the device is not registered.
        StateError: its keys are held here, so that nobody else can give it another.
        InvalidRequestError, UnsupportedError, CryptoError: the key is not one that a device can use.
        SignatureError: the proof is not by the old key.
        AlreadyExistsError: the device has, or had, this key.
    """
    told, paths = request.device, set(request.update_mask.paths)
    user_id, device_id = UserId(told.user_id), DeviceId(told.device_id)
    try:
        present = core.store.read(lambda conn: devices.get(conn, user_id, device_id))
        suites, public_key = _rotation(request, present) if "signature_keys" in paths else ([], b"")
    except store_errors.NotFound:
        raise UnknownResourceError("device", device_id) from None
    values: dict[str, str | bytes | None] = {}
    if "display_name" in paths:
        values["display_name"] = told.display_name or None
    if "device_keys" in paths:
        values["device_keys"] = told.device_keys or None

    def work(conn: Connection) -> device_pb2.UpdateDeviceResponse:
        if devices.get(conn, user_id, device_id).signature_key != present.signature_key:
            raise ConflictError("the device's key was changed at the same time")
        if public_key:
            devices.rotate(conn, user_id, device_id, public_key, [suite.id for suite in suites], now_ms=core.now_ms())
        changed = devices.change(conn, user_id, device_id, values, now_ms=core.now_ms())
        answer = device_pb2.UpdateDeviceResponse(device=to_device(changed))
        record(conn, answer)
        return answer

    try:
        answer = core.store.write(work).result()
    except store_errors.NotFound:
        raise UnknownResourceError("device", device_id) from None
    except store_errors.Conflict:
        raise AlreadyExistsError("the device has, or had, this signature key") from None
    if public_key:
        core.keeper.devices_changed(user_id)
    return answer


def delete_device(
    core: Core, request: device_pb2.DeleteDeviceRequest, record: Record = no_record
) -> device_pb2.DeleteDeviceResponse:
    """Log a device out for good, and have its leaves removed.

    Raises:
        UnknownResourceError: there never was such a device.
    """
    user_id = UserId(request.user_id)
    room_ids = _rooms_with(core, user_id, request.device_id)

    def work(conn: Connection) -> device_pb2.DeleteDeviceResponse:
        devices.remove(conn, user_id, request.device_id, now_ms=core.now_ms())
        device = to_device(devices.find_record(conn, user_id, request.device_id))
        answer = device_pb2.DeleteDeviceResponse(device=device, room_ids=room_ids)
        record(conn, answer)
        return answer

    try:
        answer = core.store.write(work).result()
    except store_errors.NotFound:
        raise UnknownResourceError("device", request.device_id) from None
    core.keeper.devices_changed(user_id)
    return answer


def _find(conn: Connection, user_id: UserId, device_id: DeviceId) -> DeviceRow | None:
    try:
        return devices.get(conn, user_id, device_id)
    except store_errors.NotFound:
        return None


def _suites(code_points: Iterable[int], field: str) -> list[CipherSuite]:
    """Return the suites of one device; it has one signature key for all of them."""
    suites = []
    for position, code_point in enumerate(code_points):
        try:
            suites.append(cipher_suite(code_point))
        except UnsupportedError as error:
            raise InvalidRequestError(Violation(f"{field}[{position}]", error.message)) from None
    if len({suite.signature.name for suite in suites}) != 1:
        raise InvalidRequestError(Violation(field, "suites of different signature schemes"))
    return suites


def _rotation(request: device_pb2.UpdateDeviceRequest, present: DeviceRow) -> tuple[list[CipherSuite], bytes]:
    """Return the suites and the new signature key of a client's device, for which its old key has signed."""
    if present.custody is Custody.HOSTED:
        raise StateError("the keys of a hosted device are made here")
    user_id, device_id = UserId(present.user_id), DeviceId(present.device_id)
    suites, public_key = _client_key(request.device.signature_keys, user_id, device_id)
    content = b"".join(encode_as(opaque, value) for value in (user_id.encode(), device_id.encode(), public_key))
    old_suite = cipher_suite(present.suites[0])
    old_suite.verify_with_label(present.signature_key, _ROTATION_LABEL, content, request.rotation_proof)
    return suites, public_key


def _client_key(keys: Sequence[common_pb2.SignatureKey], user_id: UserId, device_id: DeviceId) -> tuple[list[CipherSuite], bytes]:
    if len(keys) != 1:
        raise InvalidRequestError(Violation("signature_keys", "a device has one signature key"))
    key = keys[0]
    suites = _suites(key.cipher_suites, "signature_keys[0].cipher_suites")
    try:
        suites[0].check_signature_key(key.public_key)
    except CryptoError as error:
        raise InvalidRequestError(Violation("signature_keys[0].public_key", error.message)) from None
    if key.credential and key.credential != _credential(user_id, device_id):
        raise InvalidRequestError(Violation("signature_keys[0].credential", "not the basic credential of this device"))
    return suites, key.public_key


def _credential(user_id: UserId, device_id: DeviceId) -> bytes:
    return encode_as(Credential, BasicCredential(encode_identity(user_id, device_id)))


def _register(
    conn: Connection, core: Core, row: DeviceRow, secret: Secret | None, bundles: Sequence[KeyPackageBundle]
) -> device_pb2.RegisterDeviceResponse:
    live = devices.list_devices(conn, row.user_id)
    is_known = any(each.device_id == row.device_id for each in live)
    if not is_known and len(live) >= core.limits.max_devices_per_user:
        raise LimitError(f"the user has {len(live)} devices, {core.limits.max_devices_per_user} are allowed")
    try:
        created = devices.register(conn, row, secret)
    except store_errors.Conflict:
        raise AlreadyExistsError("the device id has another key or custody, or the key was deleted under this id") from None
    if created and bundles:
        limit = core.limits.max_key_packages_per_device
        store_bundles(conn, device_of_row(row), bundles, limit=limit, now_ms=row.created_at_ms)
    stored = devices.find_record(conn, row.user_id, row.device_id)
    return device_pb2.RegisterDeviceResponse(device=to_device(stored), created=created)


def _place(record: DeviceRecord) -> Place:
    return record.device.user_id.encode(), record.device.device_id.encode(), record.id.to_bytes(8, "big")


def _read_place(token: str) -> tuple[str, str, int] | None:
    place = read_token(token)
    if place is None:
        return None
    try:
        user_id, device_id, number = place
        return user_id.decode(), device_id.decode(), int.from_bytes(number, "big") & _LAST_NUMBER
    except ValueError:
        raise InvalidRequestError(Violation("page_token", "not a token of this list")) from None


def _rooms_with(core: Core, user_id: UserId, device_id: str) -> list[RoomId]:
    """Return the rooms in whose head a device has a leaf."""
    found = []
    for room_id in core.keeper.rooms_of(user_id):
        state = core.keeper.state(room_id)
        if state is not None and state.head is not None:
            members = devices_of(state.entries[state.head].group.tree).values()
            if any((member.user_id, member.device_id) == (user_id, device_id) for member in members):
                found.append(room_id)
    return found
