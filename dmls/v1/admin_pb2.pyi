import datetime

from dmls.v1 import common_pb2 as _common_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MaintenanceTask(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MAINTENANCE_TASK_UNSPECIFIED: _ClassVar[MaintenanceTask]
    MAINTENANCE_TASK_KEY_PACKAGES: _ClassVar[MaintenanceTask]
    MAINTENANCE_TASK_RETENTION: _ClassVar[MaintenanceTask]
    MAINTENANCE_TASK_BLOBS: _ClassVar[MaintenanceTask]
    MAINTENANCE_TASK_REQUEST_IDS: _ClassVar[MaintenanceTask]
    MAINTENANCE_TASK_AUDIT: _ClassVar[MaintenanceTask]
    MAINTENANCE_TASK_DATABASE: _ClassVar[MaintenanceTask]
MAINTENANCE_TASK_UNSPECIFIED: MaintenanceTask
MAINTENANCE_TASK_KEY_PACKAGES: MaintenanceTask
MAINTENANCE_TASK_RETENTION: MaintenanceTask
MAINTENANCE_TASK_BLOBS: MaintenanceTask
MAINTENANCE_TASK_REQUEST_IDS: MaintenanceTask
MAINTENANCE_TASK_AUDIT: MaintenanceTask
MAINTENANCE_TASK_DATABASE: MaintenanceTask

class GetServerInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetServerInfoResponse(_message.Message):
    __slots__ = ("version", "server_name", "algorithm", "cipher_suites", "key_schedules", "hosting", "incarnation", "schema_revision", "limits", "start_time", "current_time")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SERVER_NAME_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    CIPHER_SUITES_FIELD_NUMBER: _ClassVar[int]
    KEY_SCHEDULES_FIELD_NUMBER: _ClassVar[int]
    HOSTING_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_REVISION_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    CURRENT_TIME_FIELD_NUMBER: _ClassVar[int]
    version: str
    server_name: str
    algorithm: str
    cipher_suites: _containers.RepeatedScalarFieldContainer[int]
    key_schedules: _containers.RepeatedScalarFieldContainer[_common_pb2.KeySchedule]
    hosting: bool
    incarnation: int
    schema_revision: str
    limits: Limits
    start_time: _timestamp_pb2.Timestamp
    current_time: _timestamp_pb2.Timestamp
    def __init__(self, version: _Optional[str] = ..., server_name: _Optional[str] = ..., algorithm: _Optional[str] = ..., cipher_suites: _Optional[_Iterable[int]] = ..., key_schedules: _Optional[_Iterable[_Union[_common_pb2.KeySchedule, str]]] = ..., hosting: _Optional[bool] = ..., incarnation: _Optional[int] = ..., schema_revision: _Optional[str] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., current_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("max_message_bytes", "max_batch_items", "max_event_bytes", "max_blob_bytes", "max_inline_blob_bytes", "max_key_packages_per_upload", "max_key_package_bytes", "max_key_packages_per_device", "max_key_package_lifetime", "clock_skew", "key_package_low_water_mark", "max_claim_users", "max_devices_per_user", "max_group_members", "request_id_window")
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_ITEMS_FIELD_NUMBER: _ClassVar[int]
    MAX_EVENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_BLOB_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_INLINE_BLOB_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_KEY_PACKAGES_PER_UPLOAD_FIELD_NUMBER: _ClassVar[int]
    MAX_KEY_PACKAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_KEY_PACKAGES_PER_DEVICE_FIELD_NUMBER: _ClassVar[int]
    MAX_KEY_PACKAGE_LIFETIME_FIELD_NUMBER: _ClassVar[int]
    CLOCK_SKEW_FIELD_NUMBER: _ClassVar[int]
    KEY_PACKAGE_LOW_WATER_MARK_FIELD_NUMBER: _ClassVar[int]
    MAX_CLAIM_USERS_FIELD_NUMBER: _ClassVar[int]
    MAX_DEVICES_PER_USER_FIELD_NUMBER: _ClassVar[int]
    MAX_GROUP_MEMBERS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_WINDOW_FIELD_NUMBER: _ClassVar[int]
    max_message_bytes: int
    max_batch_items: int
    max_event_bytes: int
    max_blob_bytes: int
    max_inline_blob_bytes: int
    max_key_packages_per_upload: int
    max_key_package_bytes: int
    max_key_packages_per_device: int
    max_key_package_lifetime: _duration_pb2.Duration
    clock_skew: _duration_pb2.Duration
    key_package_low_water_mark: int
    max_claim_users: int
    max_devices_per_user: int
    max_group_members: int
    request_id_window: _duration_pb2.Duration
    def __init__(self, max_message_bytes: _Optional[int] = ..., max_batch_items: _Optional[int] = ..., max_event_bytes: _Optional[int] = ..., max_blob_bytes: _Optional[int] = ..., max_inline_blob_bytes: _Optional[int] = ..., max_key_packages_per_upload: _Optional[int] = ..., max_key_package_bytes: _Optional[int] = ..., max_key_packages_per_device: _Optional[int] = ..., max_key_package_lifetime: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., clock_skew: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., key_package_low_water_mark: _Optional[int] = ..., max_claim_users: _Optional[int] = ..., max_devices_per_user: _Optional[int] = ..., max_group_members: _Optional[int] = ..., request_id_window: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class GetStatisticsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStatisticsResponse(_message.Message):
    __slots__ = ("users", "hosted_devices", "client_devices", "key_packages", "rooms", "forked_rooms", "held_epochs", "nodes", "parked_events", "outbox_items", "oldest_outbox_item_time", "database_bytes", "time")
    USERS_FIELD_NUMBER: _ClassVar[int]
    HOSTED_DEVICES_FIELD_NUMBER: _ClassVar[int]
    CLIENT_DEVICES_FIELD_NUMBER: _ClassVar[int]
    KEY_PACKAGES_FIELD_NUMBER: _ClassVar[int]
    ROOMS_FIELD_NUMBER: _ClassVar[int]
    FORKED_ROOMS_FIELD_NUMBER: _ClassVar[int]
    HELD_EPOCHS_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    PARKED_EVENTS_FIELD_NUMBER: _ClassVar[int]
    OUTBOX_ITEMS_FIELD_NUMBER: _ClassVar[int]
    OLDEST_OUTBOX_ITEM_TIME_FIELD_NUMBER: _ClassVar[int]
    DATABASE_BYTES_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    users: int
    hosted_devices: int
    client_devices: int
    key_packages: _containers.RepeatedCompositeFieldContainer[KeyPackageCount]
    rooms: int
    forked_rooms: int
    held_epochs: int
    nodes: int
    parked_events: int
    outbox_items: int
    oldest_outbox_item_time: _timestamp_pb2.Timestamp
    database_bytes: int
    time: _timestamp_pb2.Timestamp
    def __init__(self, users: _Optional[int] = ..., hosted_devices: _Optional[int] = ..., client_devices: _Optional[int] = ..., key_packages: _Optional[_Iterable[_Union[KeyPackageCount, _Mapping]]] = ..., rooms: _Optional[int] = ..., forked_rooms: _Optional[int] = ..., held_epochs: _Optional[int] = ..., nodes: _Optional[int] = ..., parked_events: _Optional[int] = ..., outbox_items: _Optional[int] = ..., oldest_outbox_item_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., database_bytes: _Optional[int] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class KeyPackageCount(_message.Message):
    __slots__ = ("cipher_suite", "available", "last_resort", "claimed")
    CIPHER_SUITE_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    LAST_RESORT_FIELD_NUMBER: _ClassVar[int]
    CLAIMED_FIELD_NUMBER: _ClassVar[int]
    cipher_suite: int
    available: int
    last_resort: int
    claimed: int
    def __init__(self, cipher_suite: _Optional[int] = ..., available: _Optional[int] = ..., last_resort: _Optional[int] = ..., claimed: _Optional[int] = ...) -> None: ...

class RunMaintenanceRequest(_message.Message):
    __slots__ = ("request_id", "tasks", "dry_run")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    tasks: _containers.RepeatedScalarFieldContainer[MaintenanceTask]
    dry_run: bool
    def __init__(self, request_id: _Optional[str] = ..., tasks: _Optional[_Iterable[_Union[MaintenanceTask, str]]] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class MaintenanceResult(_message.Message):
    __slots__ = ("task", "deleted", "duration", "failure")
    TASK_FIELD_NUMBER: _ClassVar[int]
    DELETED_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    task: MaintenanceTask
    deleted: int
    duration: _duration_pb2.Duration
    failure: _common_pb2.Failure
    def __init__(self, task: _Optional[_Union[MaintenanceTask, str]] = ..., deleted: _Optional[int] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., failure: _Optional[_Union[_common_pb2.Failure, _Mapping]] = ...) -> None: ...

class RunMaintenanceResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[MaintenanceResult]
    def __init__(self, results: _Optional[_Iterable[_Union[MaintenanceResult, _Mapping]]] = ...) -> None: ...

class GetParametersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Parameter(_message.Message):
    __slots__ = ("name", "value", "unit", "description", "source", "configurable")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CONFIGURABLE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    unit: str
    description: str
    source: str
    configurable: bool
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ..., unit: _Optional[str] = ..., description: _Optional[str] = ..., source: _Optional[str] = ..., configurable: _Optional[bool] = ...) -> None: ...

class GetParametersResponse(_message.Message):
    __slots__ = ("parameters",)
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    parameters: _containers.RepeatedCompositeFieldContainer[Parameter]
    def __init__(self, parameters: _Optional[_Iterable[_Union[Parameter, _Mapping]]] = ...) -> None: ...
