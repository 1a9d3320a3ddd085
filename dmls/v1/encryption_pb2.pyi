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

class EncryptRefusal(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENCRYPT_REFUSAL_UNSPECIFIED: _ClassVar[EncryptRefusal]
    ENCRYPT_REFUSAL_PENDING_COMMIT: _ClassVar[EncryptRefusal]
    ENCRYPT_REFUSAL_NO_SECRETS: _ClassVar[EncryptRefusal]
    ENCRYPT_REFUSAL_UNVOUCHED: _ClassVar[EncryptRefusal]
    ENCRYPT_REFUSAL_NOT_JOINED: _ClassVar[EncryptRefusal]
    ENCRYPT_REFUSAL_NEEDS_READMISSION: _ClassVar[EncryptRefusal]
    ENCRYPT_REFUSAL_NEEDS_NEW_KEY: _ClassVar[EncryptRefusal]
    ENCRYPT_REFUSAL_UNKNOWN_DEVICE: _ClassVar[EncryptRefusal]
    ENCRYPT_REFUSAL_UNKNOWN_ROOM: _ClassVar[EncryptRefusal]
    ENCRYPT_REFUSAL_NOT_ENCRYPTED: _ClassVar[EncryptRefusal]
    ENCRYPT_REFUSAL_MALFORMED: _ClassVar[EncryptRefusal]
    ENCRYPT_REFUSAL_ROLLED_BACK: _ClassVar[EncryptRefusal]

class DecryptOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DECRYPT_OUTCOME_UNSPECIFIED: _ClassVar[DecryptOutcome]
    DECRYPT_OUTCOME_OK: _ClassVar[DecryptOutcome]
    DECRYPT_OUTCOME_PENDING_COMMIT: _ClassVar[DecryptOutcome]
    DECRYPT_OUTCOME_NOT_MEMBER_THEN: _ClassVar[DecryptOutcome]
    DECRYPT_OUTCOME_EXPIRED: _ClassVar[DecryptOutcome]
    DECRYPT_OUTCOME_DUPLICATE: _ClassVar[DecryptOutcome]
    DECRYPT_OUTCOME_SENDER_NOT_IN_ROOM: _ClassVar[DecryptOutcome]
    DECRYPT_OUTCOME_MALFORMED: _ClassVar[DecryptOutcome]
    DECRYPT_OUTCOME_UNKNOWN_EVENT: _ClassVar[DecryptOutcome]
    DECRYPT_OUTCOME_UNKNOWN_DEVICE: _ClassVar[DecryptOutcome]

class FailureKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FAILURE_KIND_UNSPECIFIED: _ClassVar[FailureKind]
    FAILURE_KIND_UNREADABLE_MESSAGE: _ClassVar[FailureKind]
    FAILURE_KIND_UNPROCESSABLE_COMMIT: _ClassVar[FailureKind]
    FAILURE_KIND_COMPROMISED: _ClassVar[FailureKind]
ENCRYPT_REFUSAL_UNSPECIFIED: EncryptRefusal
ENCRYPT_REFUSAL_PENDING_COMMIT: EncryptRefusal
ENCRYPT_REFUSAL_NO_SECRETS: EncryptRefusal
ENCRYPT_REFUSAL_UNVOUCHED: EncryptRefusal
ENCRYPT_REFUSAL_NOT_JOINED: EncryptRefusal
ENCRYPT_REFUSAL_NEEDS_READMISSION: EncryptRefusal
ENCRYPT_REFUSAL_NEEDS_NEW_KEY: EncryptRefusal
ENCRYPT_REFUSAL_UNKNOWN_DEVICE: EncryptRefusal
ENCRYPT_REFUSAL_UNKNOWN_ROOM: EncryptRefusal
ENCRYPT_REFUSAL_NOT_ENCRYPTED: EncryptRefusal
ENCRYPT_REFUSAL_MALFORMED: EncryptRefusal
ENCRYPT_REFUSAL_ROLLED_BACK: EncryptRefusal
DECRYPT_OUTCOME_UNSPECIFIED: DecryptOutcome
DECRYPT_OUTCOME_OK: DecryptOutcome
DECRYPT_OUTCOME_PENDING_COMMIT: DecryptOutcome
DECRYPT_OUTCOME_NOT_MEMBER_THEN: DecryptOutcome
DECRYPT_OUTCOME_EXPIRED: DecryptOutcome
DECRYPT_OUTCOME_DUPLICATE: DecryptOutcome
DECRYPT_OUTCOME_SENDER_NOT_IN_ROOM: DecryptOutcome
DECRYPT_OUTCOME_MALFORMED: DecryptOutcome
DECRYPT_OUTCOME_UNKNOWN_EVENT: DecryptOutcome
DECRYPT_OUTCOME_UNKNOWN_DEVICE: DecryptOutcome
FAILURE_KIND_UNSPECIFIED: FailureKind
FAILURE_KIND_UNREADABLE_MESSAGE: FailureKind
FAILURE_KIND_UNPROCESSABLE_COMMIT: FailureKind
FAILURE_KIND_COMPROMISED: FailureKind

class EventToEncrypt(_message.Message):
    __slots__ = ("room_id", "sender", "type", "content")
    ROOM_ID_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    room_id: str
    sender: _common_pb2.DeviceRef
    type: str
    content: bytes
    def __init__(self, room_id: _Optional[str] = ..., sender: _Optional[_Union[_common_pb2.DeviceRef, _Mapping]] = ..., type: _Optional[str] = ..., content: _Optional[bytes] = ...) -> None: ...

class EncryptedEvent(_message.Message):
    __slots__ = ("type", "content", "depends_on", "pointer")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    DEPENDS_ON_FIELD_NUMBER: _ClassVar[int]
    POINTER_FIELD_NUMBER: _ClassVar[int]
    type: str
    content: bytes
    depends_on: _containers.RepeatedScalarFieldContainer[int]
    pointer: _common_pb2.EpochPointer
    def __init__(self, type: _Optional[str] = ..., content: _Optional[bytes] = ..., depends_on: _Optional[_Iterable[int]] = ..., pointer: _Optional[_Union[_common_pb2.EpochPointer, _Mapping]] = ...) -> None: ...

class EncryptFailure(_message.Message):
    __slots__ = ("refusal", "waits_for", "retry_delay", "failure")
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    WAITS_FOR_FIELD_NUMBER: _ClassVar[int]
    RETRY_DELAY_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    refusal: EncryptRefusal
    waits_for: _containers.RepeatedScalarFieldContainer[int]
    retry_delay: _duration_pb2.Duration
    failure: _common_pb2.Failure
    def __init__(self, refusal: _Optional[_Union[EncryptRefusal, str]] = ..., waits_for: _Optional[_Iterable[int]] = ..., retry_delay: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., failure: _Optional[_Union[_common_pb2.Failure, _Mapping]] = ...) -> None: ...

class EncryptResult(_message.Message):
    __slots__ = ("encrypted", "failure")
    ENCRYPTED_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    encrypted: EncryptedEvent
    failure: EncryptFailure
    def __init__(self, encrypted: _Optional[_Union[EncryptedEvent, _Mapping]] = ..., failure: _Optional[_Union[EncryptFailure, _Mapping]] = ...) -> None: ...

class EncryptEventsRequest(_message.Message):
    __slots__ = ("request_id", "events")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    events: _containers.RepeatedCompositeFieldContainer[EventToEncrypt]
    def __init__(self, request_id: _Optional[str] = ..., events: _Optional[_Iterable[_Union[EventToEncrypt, _Mapping]]] = ...) -> None: ...

class EncryptEventsResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[EncryptResult]
    def __init__(self, results: _Optional[_Iterable[_Union[EncryptResult, _Mapping]]] = ...) -> None: ...

class EventToDecrypt(_message.Message):
    __slots__ = ("room_id", "event_id", "reader")
    ROOM_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    READER_FIELD_NUMBER: _ClassVar[int]
    room_id: str
    event_id: str
    reader: _common_pb2.DeviceRef
    def __init__(self, room_id: _Optional[str] = ..., event_id: _Optional[str] = ..., reader: _Optional[_Union[_common_pb2.DeviceRef, _Mapping]] = ...) -> None: ...

class DecryptedEvent(_message.Message):
    __slots__ = ("type", "content", "sender", "sender_leaf_index", "sender_signature_key", "pointer", "origin_server_ts")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    SENDER_LEAF_INDEX_FIELD_NUMBER: _ClassVar[int]
    SENDER_SIGNATURE_KEY_FIELD_NUMBER: _ClassVar[int]
    POINTER_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_SERVER_TS_FIELD_NUMBER: _ClassVar[int]
    type: str
    content: bytes
    sender: _common_pb2.DeviceRef
    sender_leaf_index: int
    sender_signature_key: bytes
    pointer: _common_pb2.EpochPointer
    origin_server_ts: _timestamp_pb2.Timestamp
    def __init__(self, type: _Optional[str] = ..., content: _Optional[bytes] = ..., sender: _Optional[_Union[_common_pb2.DeviceRef, _Mapping]] = ..., sender_leaf_index: _Optional[int] = ..., sender_signature_key: _Optional[bytes] = ..., pointer: _Optional[_Union[_common_pb2.EpochPointer, _Mapping]] = ..., origin_server_ts: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class DecryptResult(_message.Message):
    __slots__ = ("outcome", "decrypted", "original_event_id", "failure")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    DECRYPTED_FIELD_NUMBER: _ClassVar[int]
    ORIGINAL_EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    outcome: DecryptOutcome
    decrypted: DecryptedEvent
    original_event_id: str
    failure: _common_pb2.Failure
    def __init__(self, outcome: _Optional[_Union[DecryptOutcome, str]] = ..., decrypted: _Optional[_Union[DecryptedEvent, _Mapping]] = ..., original_event_id: _Optional[str] = ..., failure: _Optional[_Union[_common_pb2.Failure, _Mapping]] = ...) -> None: ...

class DecryptEventsRequest(_message.Message):
    __slots__ = ("request_id", "events")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    events: _containers.RepeatedCompositeFieldContainer[EventToDecrypt]
    def __init__(self, request_id: _Optional[str] = ..., events: _Optional[_Iterable[_Union[EventToDecrypt, _Mapping]]] = ...) -> None: ...

class DecryptEventsResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[DecryptResult]
    def __init__(self, results: _Optional[_Iterable[_Union[DecryptResult, _Mapping]]] = ...) -> None: ...

class ExportSecretRequest(_message.Message):
    __slots__ = ("room_id", "device", "commit_ref", "label", "context", "length")
    ROOM_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    COMMIT_REF_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    room_id: str
    device: _common_pb2.DeviceRef
    commit_ref: bytes
    label: str
    context: bytes
    length: int
    def __init__(self, room_id: _Optional[str] = ..., device: _Optional[_Union[_common_pb2.DeviceRef, _Mapping]] = ..., commit_ref: _Optional[bytes] = ..., label: _Optional[str] = ..., context: _Optional[bytes] = ..., length: _Optional[int] = ...) -> None: ...

class ExportSecretResponse(_message.Message):
    __slots__ = ("secret", "pointer")
    SECRET_FIELD_NUMBER: _ClassVar[int]
    POINTER_FIELD_NUMBER: _ClassVar[int]
    secret: bytes
    pointer: _common_pb2.EpochPointer
    def __init__(self, secret: _Optional[bytes] = ..., pointer: _Optional[_Union[_common_pb2.EpochPointer, _Mapping]] = ...) -> None: ...

class ReportFailureRequest(_message.Message):
    __slots__ = ("request_id", "kind", "device", "room_id", "event_id", "commit_ref", "message")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    ROOM_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    COMMIT_REF_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    kind: FailureKind
    device: _common_pb2.DeviceRef
    room_id: str
    event_id: str
    commit_ref: bytes
    message: str
    def __init__(self, request_id: _Optional[str] = ..., kind: _Optional[_Union[FailureKind, str]] = ..., device: _Optional[_Union[_common_pb2.DeviceRef, _Mapping]] = ..., room_id: _Optional[str] = ..., event_id: _Optional[str] = ..., commit_ref: _Optional[bytes] = ..., message: _Optional[str] = ...) -> None: ...

class ReportFailureResponse(_message.Message):
    __slots__ = ("pending",)
    PENDING_FIELD_NUMBER: _ClassVar[int]
    pending: _containers.RepeatedCompositeFieldContainer[PendingCommit]
    def __init__(self, pending: _Optional[_Iterable[_Union[PendingCommit, _Mapping]]] = ...) -> None: ...

class PendingCommit(_message.Message):
    __slots__ = ("room_id", "due_time")
    ROOM_ID_FIELD_NUMBER: _ClassVar[int]
    DUE_TIME_FIELD_NUMBER: _ClassVar[int]
    room_id: str
    due_time: _timestamp_pb2.Timestamp
    def __init__(self, room_id: _Optional[str] = ..., due_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
