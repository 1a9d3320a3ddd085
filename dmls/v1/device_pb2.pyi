import datetime

from dmls.v1 import common_pb2 as _common_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DeviceChangeKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEVICE_CHANGE_KIND_UNSPECIFIED: _ClassVar[DeviceChangeKind]
    DEVICE_CHANGE_KIND_ADDED: _ClassVar[DeviceChangeKind]
    DEVICE_CHANGE_KIND_CHANGED: _ClassVar[DeviceChangeKind]
    DEVICE_CHANGE_KIND_REMOVED: _ClassVar[DeviceChangeKind]
DEVICE_CHANGE_KIND_UNSPECIFIED: DeviceChangeKind
DEVICE_CHANGE_KIND_ADDED: DeviceChangeKind
DEVICE_CHANGE_KIND_CHANGED: DeviceChangeKind
DEVICE_CHANGE_KIND_REMOVED: DeviceChangeKind

class Device(_message.Message):
    __slots__ = ("user_id", "device_id", "custody", "signature_keys", "display_name", "device_keys", "version", "create_time", "update_time", "delete_time")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    CUSTODY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_KEYS_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    DEVICE_KEYS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    DELETE_TIME_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    device_id: str
    custody: _common_pb2.Custody
    signature_keys: _containers.RepeatedCompositeFieldContainer[_common_pb2.SignatureKey]
    display_name: str
    device_keys: bytes
    version: int
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    delete_time: _timestamp_pb2.Timestamp
    def __init__(self, user_id: _Optional[str] = ..., device_id: _Optional[str] = ..., custody: _Optional[_Union[_common_pb2.Custody, str]] = ..., signature_keys: _Optional[_Iterable[_Union[_common_pb2.SignatureKey, _Mapping]]] = ..., display_name: _Optional[str] = ..., device_keys: _Optional[bytes] = ..., version: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., delete_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RegisterDeviceRequest(_message.Message):
    __slots__ = ("request_id", "user_id", "device_id", "custody", "signature_keys", "cipher_suites", "display_name", "device_keys")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    CUSTODY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_KEYS_FIELD_NUMBER: _ClassVar[int]
    CIPHER_SUITES_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    DEVICE_KEYS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    user_id: str
    device_id: str
    custody: _common_pb2.Custody
    signature_keys: _containers.RepeatedCompositeFieldContainer[_common_pb2.SignatureKey]
    cipher_suites: _containers.RepeatedScalarFieldContainer[int]
    display_name: str
    device_keys: bytes
    def __init__(self, request_id: _Optional[str] = ..., user_id: _Optional[str] = ..., device_id: _Optional[str] = ..., custody: _Optional[_Union[_common_pb2.Custody, str]] = ..., signature_keys: _Optional[_Iterable[_Union[_common_pb2.SignatureKey, _Mapping]]] = ..., cipher_suites: _Optional[_Iterable[int]] = ..., display_name: _Optional[str] = ..., device_keys: _Optional[bytes] = ...) -> None: ...

class RegisterDeviceResponse(_message.Message):
    __slots__ = ("device", "created")
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    device: Device
    created: bool
    def __init__(self, device: _Optional[_Union[Device, _Mapping]] = ..., created: _Optional[bool] = ...) -> None: ...

class GetDeviceRequest(_message.Message):
    __slots__ = ("user_id", "device_id")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    device_id: str
    def __init__(self, user_id: _Optional[str] = ..., device_id: _Optional[str] = ...) -> None: ...

class GetDeviceResponse(_message.Message):
    __slots__ = ("device",)
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    device: Device
    def __init__(self, device: _Optional[_Union[Device, _Mapping]] = ...) -> None: ...

class ListDevicesRequest(_message.Message):
    __slots__ = ("user_id", "include_deleted", "page_size", "page_token")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_DELETED_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    include_deleted: bool
    page_size: int
    page_token: str
    def __init__(self, user_id: _Optional[str] = ..., include_deleted: _Optional[bool] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListDevicesResponse(_message.Message):
    __slots__ = ("devices", "next_page_token")
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    devices: _containers.RepeatedCompositeFieldContainer[Device]
    next_page_token: str
    def __init__(self, devices: _Optional[_Iterable[_Union[Device, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateDeviceRequest(_message.Message):
    __slots__ = ("request_id", "device", "update_mask", "rotation_proof")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    ROTATION_PROOF_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    device: Device
    update_mask: _field_mask_pb2.FieldMask
    rotation_proof: bytes
    def __init__(self, request_id: _Optional[str] = ..., device: _Optional[_Union[Device, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., rotation_proof: _Optional[bytes] = ...) -> None: ...

class UpdateDeviceResponse(_message.Message):
    __slots__ = ("device",)
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    device: Device
    def __init__(self, device: _Optional[_Union[Device, _Mapping]] = ...) -> None: ...

class DeleteDeviceRequest(_message.Message):
    __slots__ = ("request_id", "user_id", "device_id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    user_id: str
    device_id: str
    def __init__(self, request_id: _Optional[str] = ..., user_id: _Optional[str] = ..., device_id: _Optional[str] = ...) -> None: ...

class DeleteDeviceResponse(_message.Message):
    __slots__ = ("device", "room_ids")
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    ROOM_IDS_FIELD_NUMBER: _ClassVar[int]
    device: Device
    room_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, device: _Optional[_Union[Device, _Mapping]] = ..., room_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class WatchDevicesRequest(_message.Message):
    __slots__ = ("user_ids", "cursor")
    USER_IDS_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    user_ids: _containers.RepeatedScalarFieldContainer[str]
    cursor: str
    def __init__(self, user_ids: _Optional[_Iterable[str]] = ..., cursor: _Optional[str] = ...) -> None: ...

class WatchDevicesResponse(_message.Message):
    __slots__ = ("cursor", "started", "change", "caught_up", "keepalive")
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    CAUGHT_UP_FIELD_NUMBER: _ClassVar[int]
    KEEPALIVE_FIELD_NUMBER: _ClassVar[int]
    cursor: str
    started: _common_pb2.Started
    change: DeviceChange
    caught_up: _common_pb2.CaughtUp
    keepalive: _common_pb2.Keepalive
    def __init__(self, cursor: _Optional[str] = ..., started: _Optional[_Union[_common_pb2.Started, _Mapping]] = ..., change: _Optional[_Union[DeviceChange, _Mapping]] = ..., caught_up: _Optional[_Union[_common_pb2.CaughtUp, _Mapping]] = ..., keepalive: _Optional[_Union[_common_pb2.Keepalive, _Mapping]] = ...) -> None: ...

class DeviceChange(_message.Message):
    __slots__ = ("kind", "device")
    KIND_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    kind: DeviceChangeKind
    device: Device
    def __init__(self, kind: _Optional[_Union[DeviceChangeKind, str]] = ..., device: _Optional[_Union[Device, _Mapping]] = ...) -> None: ...
