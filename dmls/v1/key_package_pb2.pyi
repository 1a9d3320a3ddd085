import datetime

from dmls.v1 import common_pb2 as _common_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class UploadOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UPLOAD_OUTCOME_UNSPECIFIED: _ClassVar[UploadOutcome]
    UPLOAD_OUTCOME_STORED: _ClassVar[UploadOutcome]
    UPLOAD_OUTCOME_DUPLICATE: _ClassVar[UploadOutcome]
    UPLOAD_OUTCOME_ALREADY_CLAIMED: _ClassVar[UploadOutcome]
    UPLOAD_OUTCOME_REJECTED: _ClassVar[UploadOutcome]

class UserClaimOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    USER_CLAIM_OUTCOME_UNSPECIFIED: _ClassVar[UserClaimOutcome]
    USER_CLAIM_OUTCOME_OK: _ClassVar[UserClaimOutcome]
    USER_CLAIM_OUTCOME_UNKNOWN: _ClassVar[UserClaimOutcome]
    USER_CLAIM_OUTCOME_UNAVAILABLE: _ClassVar[UserClaimOutcome]
    USER_CLAIM_OUTCOME_LIMITED: _ClassVar[UserClaimOutcome]

class DeviceClaimOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEVICE_CLAIM_OUTCOME_UNSPECIFIED: _ClassVar[DeviceClaimOutcome]
    DEVICE_CLAIM_OUTCOME_CLAIMED: _ClassVar[DeviceClaimOutcome]
    DEVICE_CLAIM_OUTCOME_EXHAUSTED: _ClassVar[DeviceClaimOutcome]
    DEVICE_CLAIM_OUTCOME_NO_COMMON_SUITE: _ClassVar[DeviceClaimOutcome]
    DEVICE_CLAIM_OUTCOME_LACKS_CAPABILITIES: _ClassVar[DeviceClaimOutcome]
    DEVICE_CLAIM_OUTCOME_UNKNOWN: _ClassVar[DeviceClaimOutcome]
    DEVICE_CLAIM_OUTCOME_SKIPPED: _ClassVar[DeviceClaimOutcome]

class KeyPackageState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KEY_PACKAGE_STATE_UNSPECIFIED: _ClassVar[KeyPackageState]
    KEY_PACKAGE_STATE_AVAILABLE: _ClassVar[KeyPackageState]
    KEY_PACKAGE_STATE_CLAIMED: _ClassVar[KeyPackageState]
    KEY_PACKAGE_STATE_EXPIRED: _ClassVar[KeyPackageState]
UPLOAD_OUTCOME_UNSPECIFIED: UploadOutcome
UPLOAD_OUTCOME_STORED: UploadOutcome
UPLOAD_OUTCOME_DUPLICATE: UploadOutcome
UPLOAD_OUTCOME_ALREADY_CLAIMED: UploadOutcome
UPLOAD_OUTCOME_REJECTED: UploadOutcome
USER_CLAIM_OUTCOME_UNSPECIFIED: UserClaimOutcome
USER_CLAIM_OUTCOME_OK: UserClaimOutcome
USER_CLAIM_OUTCOME_UNKNOWN: UserClaimOutcome
USER_CLAIM_OUTCOME_UNAVAILABLE: UserClaimOutcome
USER_CLAIM_OUTCOME_LIMITED: UserClaimOutcome
DEVICE_CLAIM_OUTCOME_UNSPECIFIED: DeviceClaimOutcome
DEVICE_CLAIM_OUTCOME_CLAIMED: DeviceClaimOutcome
DEVICE_CLAIM_OUTCOME_EXHAUSTED: DeviceClaimOutcome
DEVICE_CLAIM_OUTCOME_NO_COMMON_SUITE: DeviceClaimOutcome
DEVICE_CLAIM_OUTCOME_LACKS_CAPABILITIES: DeviceClaimOutcome
DEVICE_CLAIM_OUTCOME_UNKNOWN: DeviceClaimOutcome
DEVICE_CLAIM_OUTCOME_SKIPPED: DeviceClaimOutcome
KEY_PACKAGE_STATE_UNSPECIFIED: KeyPackageState
KEY_PACKAGE_STATE_AVAILABLE: KeyPackageState
KEY_PACKAGE_STATE_CLAIMED: KeyPackageState
KEY_PACKAGE_STATE_EXPIRED: KeyPackageState

class UploadResult(_message.Message):
    __slots__ = ("outcome", "ref", "failure")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REF_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    outcome: UploadOutcome
    ref: bytes
    failure: _common_pb2.Failure
    def __init__(self, outcome: _Optional[_Union[UploadOutcome, str]] = ..., ref: _Optional[bytes] = ..., failure: _Optional[_Union[_common_pb2.Failure, _Mapping]] = ...) -> None: ...

class SuiteStatus(_message.Message):
    __slots__ = ("cipher_suite", "available", "has_last_resort", "last_resort_used", "soonest_expiry", "digest")
    CIPHER_SUITE_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    HAS_LAST_RESORT_FIELD_NUMBER: _ClassVar[int]
    LAST_RESORT_USED_FIELD_NUMBER: _ClassVar[int]
    SOONEST_EXPIRY_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    cipher_suite: int
    available: int
    has_last_resort: bool
    last_resort_used: bool
    soonest_expiry: _timestamp_pb2.Timestamp
    digest: bytes
    def __init__(self, cipher_suite: _Optional[int] = ..., available: _Optional[int] = ..., has_last_resort: _Optional[bool] = ..., last_resort_used: _Optional[bool] = ..., soonest_expiry: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., digest: _Optional[bytes] = ...) -> None: ...

class KeyPackageStatus(_message.Message):
    __slots__ = ("user_id", "device_id", "suites", "low_water_mark")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    SUITES_FIELD_NUMBER: _ClassVar[int]
    LOW_WATER_MARK_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    device_id: str
    suites: _containers.RepeatedCompositeFieldContainer[SuiteStatus]
    low_water_mark: int
    def __init__(self, user_id: _Optional[str] = ..., device_id: _Optional[str] = ..., suites: _Optional[_Iterable[_Union[SuiteStatus, _Mapping]]] = ..., low_water_mark: _Optional[int] = ...) -> None: ...

class UploadKeyPackagesRequest(_message.Message):
    __slots__ = ("request_id", "user_id", "device_id", "key_packages", "allow_partial")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    KEY_PACKAGES_FIELD_NUMBER: _ClassVar[int]
    ALLOW_PARTIAL_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    user_id: str
    device_id: str
    key_packages: _containers.RepeatedScalarFieldContainer[bytes]
    allow_partial: bool
    def __init__(self, request_id: _Optional[str] = ..., user_id: _Optional[str] = ..., device_id: _Optional[str] = ..., key_packages: _Optional[_Iterable[bytes]] = ..., allow_partial: _Optional[bool] = ...) -> None: ...

class UploadKeyPackagesResponse(_message.Message):
    __slots__ = ("results", "status")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[UploadResult]
    status: KeyPackageStatus
    def __init__(self, results: _Optional[_Iterable[_Union[UploadResult, _Mapping]]] = ..., status: _Optional[_Union[KeyPackageStatus, _Mapping]] = ...) -> None: ...

class ReplaceKeyPackagesRequest(_message.Message):
    __slots__ = ("request_id", "user_id", "device_id", "cipher_suites", "key_packages")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    CIPHER_SUITES_FIELD_NUMBER: _ClassVar[int]
    KEY_PACKAGES_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    user_id: str
    device_id: str
    cipher_suites: _containers.RepeatedScalarFieldContainer[int]
    key_packages: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, request_id: _Optional[str] = ..., user_id: _Optional[str] = ..., device_id: _Optional[str] = ..., cipher_suites: _Optional[_Iterable[int]] = ..., key_packages: _Optional[_Iterable[bytes]] = ...) -> None: ...

class ReplaceKeyPackagesResponse(_message.Message):
    __slots__ = ("results", "deleted_refs", "status")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    DELETED_REFS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[UploadResult]
    deleted_refs: _containers.RepeatedScalarFieldContainer[bytes]
    status: KeyPackageStatus
    def __init__(self, results: _Optional[_Iterable[_Union[UploadResult, _Mapping]]] = ..., deleted_refs: _Optional[_Iterable[bytes]] = ..., status: _Optional[_Union[KeyPackageStatus, _Mapping]] = ...) -> None: ...

class ClaimTarget(_message.Message):
    __slots__ = ("user_id", "device_ids")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_IDS_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    device_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, user_id: _Optional[str] = ..., device_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class DeviceClaim(_message.Message):
    __slots__ = ("device_id", "outcome", "ref", "key_package", "cipher_suite", "last_resort")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REF_FIELD_NUMBER: _ClassVar[int]
    KEY_PACKAGE_FIELD_NUMBER: _ClassVar[int]
    CIPHER_SUITE_FIELD_NUMBER: _ClassVar[int]
    LAST_RESORT_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    outcome: DeviceClaimOutcome
    ref: bytes
    key_package: bytes
    cipher_suite: int
    last_resort: bool
    def __init__(self, device_id: _Optional[str] = ..., outcome: _Optional[_Union[DeviceClaimOutcome, str]] = ..., ref: _Optional[bytes] = ..., key_package: _Optional[bytes] = ..., cipher_suite: _Optional[int] = ..., last_resort: _Optional[bool] = ...) -> None: ...

class UserClaim(_message.Message):
    __slots__ = ("user_id", "outcome", "devices")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    outcome: UserClaimOutcome
    devices: _containers.RepeatedCompositeFieldContainer[DeviceClaim]
    def __init__(self, user_id: _Optional[str] = ..., outcome: _Optional[_Union[UserClaimOutcome, str]] = ..., devices: _Optional[_Iterable[_Union[DeviceClaim, _Mapping]]] = ...) -> None: ...

class ClaimKeyPackagesRequest(_message.Message):
    __slots__ = ("request_id", "targets", "cipher_suites", "required_capabilities", "room_id", "skip_devices", "requester")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    CIPHER_SUITES_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    ROOM_ID_FIELD_NUMBER: _ClassVar[int]
    SKIP_DEVICES_FIELD_NUMBER: _ClassVar[int]
    REQUESTER_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    targets: _containers.RepeatedCompositeFieldContainer[ClaimTarget]
    cipher_suites: _containers.RepeatedScalarFieldContainer[int]
    required_capabilities: _common_pb2.RequiredCapabilities
    room_id: str
    skip_devices: _containers.RepeatedCompositeFieldContainer[_common_pb2.DeviceRef]
    requester: str
    def __init__(self, request_id: _Optional[str] = ..., targets: _Optional[_Iterable[_Union[ClaimTarget, _Mapping]]] = ..., cipher_suites: _Optional[_Iterable[int]] = ..., required_capabilities: _Optional[_Union[_common_pb2.RequiredCapabilities, _Mapping]] = ..., room_id: _Optional[str] = ..., skip_devices: _Optional[_Iterable[_Union[_common_pb2.DeviceRef, _Mapping]]] = ..., requester: _Optional[str] = ...) -> None: ...

class ClaimKeyPackagesResponse(_message.Message):
    __slots__ = ("users",)
    USERS_FIELD_NUMBER: _ClassVar[int]
    users: _containers.RepeatedCompositeFieldContainer[UserClaim]
    def __init__(self, users: _Optional[_Iterable[_Union[UserClaim, _Mapping]]] = ...) -> None: ...

class GetKeyPackageStatusRequest(_message.Message):
    __slots__ = ("user_id", "device_id")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    device_id: str
    def __init__(self, user_id: _Optional[str] = ..., device_id: _Optional[str] = ...) -> None: ...

class GetKeyPackageStatusResponse(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: KeyPackageStatus
    def __init__(self, status: _Optional[_Union[KeyPackageStatus, _Mapping]] = ...) -> None: ...

class WatchKeyPackageStatusRequest(_message.Message):
    __slots__ = ("devices", "cursor")
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    devices: _containers.RepeatedCompositeFieldContainer[_common_pb2.DeviceRef]
    cursor: str
    def __init__(self, devices: _Optional[_Iterable[_Union[_common_pb2.DeviceRef, _Mapping]]] = ..., cursor: _Optional[str] = ...) -> None: ...

class WatchKeyPackageStatusResponse(_message.Message):
    __slots__ = ("cursor", "started", "status", "caught_up", "keepalive")
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CAUGHT_UP_FIELD_NUMBER: _ClassVar[int]
    KEEPALIVE_FIELD_NUMBER: _ClassVar[int]
    cursor: str
    started: _common_pb2.Started
    status: KeyPackageStatus
    caught_up: _common_pb2.CaughtUp
    keepalive: _common_pb2.Keepalive
    def __init__(self, cursor: _Optional[str] = ..., started: _Optional[_Union[_common_pb2.Started, _Mapping]] = ..., status: _Optional[_Union[KeyPackageStatus, _Mapping]] = ..., caught_up: _Optional[_Union[_common_pb2.CaughtUp, _Mapping]] = ..., keepalive: _Optional[_Union[_common_pb2.Keepalive, _Mapping]] = ...) -> None: ...

class StoredKeyPackage(_message.Message):
    __slots__ = ("ref", "cipher_suite", "state", "last_resort", "not_before", "not_after", "upload_time", "claim_time")
    REF_FIELD_NUMBER: _ClassVar[int]
    CIPHER_SUITE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    LAST_RESORT_FIELD_NUMBER: _ClassVar[int]
    NOT_BEFORE_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_FIELD_NUMBER: _ClassVar[int]
    UPLOAD_TIME_FIELD_NUMBER: _ClassVar[int]
    CLAIM_TIME_FIELD_NUMBER: _ClassVar[int]
    ref: bytes
    cipher_suite: int
    state: KeyPackageState
    last_resort: bool
    not_before: _timestamp_pb2.Timestamp
    not_after: _timestamp_pb2.Timestamp
    upload_time: _timestamp_pb2.Timestamp
    claim_time: _timestamp_pb2.Timestamp
    def __init__(self, ref: _Optional[bytes] = ..., cipher_suite: _Optional[int] = ..., state: _Optional[_Union[KeyPackageState, str]] = ..., last_resort: _Optional[bool] = ..., not_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., not_after: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., upload_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., claim_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListKeyPackagesRequest(_message.Message):
    __slots__ = ("user_id", "device_id", "cipher_suites", "states", "page_size", "page_token")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    CIPHER_SUITES_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    device_id: str
    cipher_suites: _containers.RepeatedScalarFieldContainer[int]
    states: _containers.RepeatedScalarFieldContainer[KeyPackageState]
    page_size: int
    page_token: str
    def __init__(self, user_id: _Optional[str] = ..., device_id: _Optional[str] = ..., cipher_suites: _Optional[_Iterable[int]] = ..., states: _Optional[_Iterable[_Union[KeyPackageState, str]]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListKeyPackagesResponse(_message.Message):
    __slots__ = ("key_packages", "next_page_token")
    KEY_PACKAGES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    key_packages: _containers.RepeatedCompositeFieldContainer[StoredKeyPackage]
    next_page_token: str
    def __init__(self, key_packages: _Optional[_Iterable[_Union[StoredKeyPackage, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteKeyPackagesRequest(_message.Message):
    __slots__ = ("request_id", "user_id", "device_id", "refs", "cipher_suites")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    REFS_FIELD_NUMBER: _ClassVar[int]
    CIPHER_SUITES_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    user_id: str
    device_id: str
    refs: _containers.RepeatedScalarFieldContainer[bytes]
    cipher_suites: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, request_id: _Optional[str] = ..., user_id: _Optional[str] = ..., device_id: _Optional[str] = ..., refs: _Optional[_Iterable[bytes]] = ..., cipher_suites: _Optional[_Iterable[int]] = ...) -> None: ...

class DeleteKeyPackagesResponse(_message.Message):
    __slots__ = ("deleted_refs", "status")
    DELETED_REFS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    deleted_refs: _containers.RepeatedScalarFieldContainer[bytes]
    status: KeyPackageStatus
    def __init__(self, deleted_refs: _Optional[_Iterable[bytes]] = ..., status: _Optional[_Union[KeyPackageStatus, _Mapping]] = ...) -> None: ...
