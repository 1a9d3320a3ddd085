import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Custody(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CUSTODY_UNSPECIFIED: _ClassVar[Custody]
    CUSTODY_HOSTED: _ClassVar[Custody]
    CUSTODY_CLIENT: _ClassVar[Custody]

class KeySchedule(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KEY_SCHEDULE_UNSPECIFIED: _ClassVar[KeySchedule]
    KEY_SCHEDULE_RFC9420: _ClassVar[KeySchedule]
    KEY_SCHEDULE_PPRF: _ClassVar[KeySchedule]
CUSTODY_UNSPECIFIED: Custody
CUSTODY_HOSTED: Custody
CUSTODY_CLIENT: Custody
KEY_SCHEDULE_UNSPECIFIED: KeySchedule
KEY_SCHEDULE_RFC9420: KeySchedule
KEY_SCHEDULE_PPRF: KeySchedule

class Failure(_message.Message):
    __slots__ = ("reason", "rule", "message", "hint")
    REASON_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    reason: str
    rule: str
    message: str
    hint: str
    def __init__(self, reason: _Optional[str] = ..., rule: _Optional[str] = ..., message: _Optional[str] = ..., hint: _Optional[str] = ...) -> None: ...

class DeviceRef(_message.Message):
    __slots__ = ("user_id", "device_id")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    device_id: str
    def __init__(self, user_id: _Optional[str] = ..., device_id: _Optional[str] = ...) -> None: ...

class SignatureKey(_message.Message):
    __slots__ = ("public_key", "cipher_suites", "credential")
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    CIPHER_SUITES_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    public_key: bytes
    cipher_suites: _containers.RepeatedScalarFieldContainer[int]
    credential: bytes
    def __init__(self, public_key: _Optional[bytes] = ..., cipher_suites: _Optional[_Iterable[int]] = ..., credential: _Optional[bytes] = ...) -> None: ...

class CrossSigningKeys(_message.Message):
    __slots__ = ("master_key", "self_signing_key")
    MASTER_KEY_FIELD_NUMBER: _ClassVar[int]
    SELF_SIGNING_KEY_FIELD_NUMBER: _ClassVar[int]
    master_key: bytes
    self_signing_key: bytes
    def __init__(self, master_key: _Optional[bytes] = ..., self_signing_key: _Optional[bytes] = ...) -> None: ...

class EpochPointer(_message.Message):
    __slots__ = ("commit_ref", "epoch_id")
    COMMIT_REF_FIELD_NUMBER: _ClassVar[int]
    EPOCH_ID_FIELD_NUMBER: _ClassVar[int]
    commit_ref: bytes
    epoch_id: bytes
    def __init__(self, commit_ref: _Optional[bytes] = ..., epoch_id: _Optional[bytes] = ...) -> None: ...

class RequiredCapabilities(_message.Message):
    __slots__ = ("extension_types", "proposal_types", "credential_types")
    EXTENSION_TYPES_FIELD_NUMBER: _ClassVar[int]
    PROPOSAL_TYPES_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_TYPES_FIELD_NUMBER: _ClassVar[int]
    extension_types: _containers.RepeatedScalarFieldContainer[int]
    proposal_types: _containers.RepeatedScalarFieldContainer[int]
    credential_types: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, extension_types: _Optional[_Iterable[int]] = ..., proposal_types: _Optional[_Iterable[int]] = ..., credential_types: _Optional[_Iterable[int]] = ...) -> None: ...

class Blob(_message.Message):
    __slots__ = ("sha256", "size", "data", "uri")
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    sha256: bytes
    size: int
    data: bytes
    uri: str
    def __init__(self, sha256: _Optional[bytes] = ..., size: _Optional[int] = ..., data: _Optional[bytes] = ..., uri: _Optional[str] = ...) -> None: ...

class Started(_message.Message):
    __slots__ = ("incarnation", "keepalive_interval", "start_time")
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    KEEPALIVE_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    incarnation: int
    keepalive_interval: _duration_pb2.Duration
    start_time: _timestamp_pb2.Timestamp
    def __init__(self, incarnation: _Optional[int] = ..., keepalive_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CaughtUp(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Keepalive(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
