import datetime

from dmls.v1 import common_pb2 as _common_pb2
from dmls.v1 import key_package_pb2 as _key_package_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Membership(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MEMBERSHIP_UNSPECIFIED: _ClassVar[Membership]
    MEMBERSHIP_INVITE: _ClassVar[Membership]
    MEMBERSHIP_JOIN: _ClassVar[Membership]
    MEMBERSHIP_KNOCK: _ClassVar[Membership]
    MEMBERSHIP_LEAVE: _ClassVar[Membership]
    MEMBERSHIP_BAN: _ClassVar[Membership]

class HistoryVisibility(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HISTORY_VISIBILITY_UNSPECIFIED: _ClassVar[HistoryVisibility]
    HISTORY_VISIBILITY_WORLD_READABLE: _ClassVar[HistoryVisibility]
    HISTORY_VISIBILITY_SHARED: _ClassVar[HistoryVisibility]
    HISTORY_VISIBILITY_INVITED: _ClassVar[HistoryVisibility]
    HISTORY_VISIBILITY_JOINED: _ClassVar[HistoryVisibility]

class RoomStateOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROOM_STATE_OUTCOME_UNSPECIFIED: _ClassVar[RoomStateOutcome]
    ROOM_STATE_OUTCOME_APPLIED: _ClassVar[RoomStateOutcome]
    ROOM_STATE_OUTCOME_DUPLICATE: _ClassVar[RoomStateOutcome]
    ROOM_STATE_OUTCOME_STAGED: _ClassVar[RoomStateOutcome]

class EventKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVENT_KIND_UNSPECIFIED: _ClassVar[EventKind]
    EVENT_KIND_GENESIS: _ClassVar[EventKind]
    EVENT_KIND_COMMIT: _ClassVar[EventKind]
    EVENT_KIND_MESSAGE: _ClassVar[EventKind]
    EVENT_KIND_VOTE: _ClassVar[EventKind]
    EVENT_KIND_MEMBER: _ClassVar[EventKind]
    EVENT_KIND_WELCOME: _ClassVar[EventKind]

class IngestOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INGEST_OUTCOME_UNSPECIFIED: _ClassVar[IngestOutcome]
    INGEST_OUTCOME_PROCESSED: _ClassVar[IngestOutcome]
    INGEST_OUTCOME_PARKED: _ClassVar[IngestOutcome]
    INGEST_OUTCOME_DUPLICATE: _ClassVar[IngestOutcome]
    INGEST_OUTCOME_CORRECTED: _ClassVar[IngestOutcome]
    INGEST_OUTCOME_REJECTED: _ClassVar[IngestOutcome]
    INGEST_OUTCOME_IGNORED: _ClassVar[IngestOutcome]

class DeviceListOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEVICE_LIST_OUTCOME_UNSPECIFIED: _ClassVar[DeviceListOutcome]
    DEVICE_LIST_OUTCOME_APPLIED: _ClassVar[DeviceListOutcome]
    DEVICE_LIST_OUTCOME_UNCHANGED: _ClassVar[DeviceListOutcome]
    DEVICE_LIST_OUTCOME_STALE: _ClassVar[DeviceListOutcome]
    DEVICE_LIST_OUTCOME_REJECTED: _ClassVar[DeviceListOutcome]

class PendingKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PENDING_KIND_UNSPECIFIED: _ClassVar[PendingKind]
    PENDING_KIND_ADD: _ClassVar[PendingKind]
    PENDING_KIND_REMOVE: _ClassVar[PendingKind]
    PENDING_KIND_MERGE: _ClassVar[PendingKind]
    PENDING_KIND_UPDATE: _ClassVar[PendingKind]
    PENDING_KIND_JOIN: _ClassVar[PendingKind]
    PENDING_KIND_VOTE: _ClassVar[PendingKind]
    PENDING_KIND_GENESIS: _ClassVar[PendingKind]

class SendState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEND_STATE_UNSPECIFIED: _ClassVar[SendState]
    SEND_STATE_OPEN: _ClassVar[SendState]
    SEND_STATE_COMMIT_FIRST: _ClassVar[SendState]
    SEND_STATE_NO_SECRETS: _ClassVar[SendState]
    SEND_STATE_UNVOUCHED: _ClassVar[SendState]
    SEND_STATE_ROLLED_BACK: _ClassVar[SendState]

class NodeState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NODE_STATE_UNSPECIFIED: _ClassVar[NodeState]
    NODE_STATE_FOLLOWED: _ClassVar[NodeState]
    NODE_STATE_HELD: _ClassVar[NodeState]
    NODE_STATE_DELETED: _ClassVar[NodeState]
    NODE_STATE_FAILED: _ClassVar[NodeState]
    NODE_STATE_STALE_PARENT: _ClassVar[NodeState]
    NODE_STATE_PARKED: _ClassVar[NodeState]

class EdgeKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EDGE_KIND_UNSPECIFIED: _ClassVar[EdgeKind]
    EDGE_KIND_PARENT: _ClassVar[EdgeKind]
    EDGE_KIND_RESOLVES: _ClassVar[EdgeKind]
    EDGE_KIND_REJECTS: _ClassVar[EdgeKind]

class RefusalReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REFUSAL_REASON_UNSPECIFIED: _ClassVar[RefusalReason]
    REFUSAL_REASON_FORBIDDEN: _ClassVar[RefusalReason]
    REFUSAL_REASON_TOO_LARGE: _ClassVar[RefusalReason]
    REFUSAL_REASON_GONE: _ClassVar[RefusalReason]
    REFUSAL_REASON_NOT_FOUND: _ClassVar[RefusalReason]
    REFUSAL_REASON_OTHER: _ClassVar[RefusalReason]

class AckOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACK_OUTCOME_UNSPECIFIED: _ClassVar[AckOutcome]
    ACK_OUTCOME_ACCEPTED: _ClassVar[AckOutcome]
    ACK_OUTCOME_DUPLICATE: _ClassVar[AckOutcome]
    ACK_OUTCOME_CONFLICT: _ClassVar[AckOutcome]
    ACK_OUTCOME_UNKNOWN: _ClassVar[AckOutcome]
    ACK_OUTCOME_REJECTED: _ClassVar[AckOutcome]

class NoticeKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NOTICE_KIND_UNSPECIFIED: _ClassVar[NoticeKind]
    NOTICE_KIND_NEEDS_READMISSION: _ClassVar[NoticeKind]
    NOTICE_KIND_NEEDS_NEW_KEY: _ClassVar[NoticeKind]
    NOTICE_KIND_FORKED: _ClassVar[NoticeKind]
    NOTICE_KIND_FORK_RESOLVED: _ClassVar[NoticeKind]
    NOTICE_KIND_FORK_ALARM: _ClassVar[NoticeKind]
    NOTICE_KIND_COMMIT_FAILED: _ClassVar[NoticeKind]
    NOTICE_KIND_EQUIVOCATION: _ClassVar[NoticeKind]
    NOTICE_KIND_FAILURE_REPORTED: _ClassVar[NoticeKind]
    NOTICE_KIND_REJOINED: _ClassVar[NoticeKind]
    NOTICE_KIND_NO_KEY_PACKAGE: _ClassVar[NoticeKind]
    NOTICE_KIND_LAST_RESORT_USED: _ClassVar[NoticeKind]
    NOTICE_KIND_ROLLED_BACK: _ClassVar[NoticeKind]
    NOTICE_KIND_PARKED_EVENT_DROPPED: _ClassVar[NoticeKind]
    NOTICE_KIND_WRONG_HINT: _ClassVar[NoticeKind]
MEMBERSHIP_UNSPECIFIED: Membership
MEMBERSHIP_INVITE: Membership
MEMBERSHIP_JOIN: Membership
MEMBERSHIP_KNOCK: Membership
MEMBERSHIP_LEAVE: Membership
MEMBERSHIP_BAN: Membership
HISTORY_VISIBILITY_UNSPECIFIED: HistoryVisibility
HISTORY_VISIBILITY_WORLD_READABLE: HistoryVisibility
HISTORY_VISIBILITY_SHARED: HistoryVisibility
HISTORY_VISIBILITY_INVITED: HistoryVisibility
HISTORY_VISIBILITY_JOINED: HistoryVisibility
ROOM_STATE_OUTCOME_UNSPECIFIED: RoomStateOutcome
ROOM_STATE_OUTCOME_APPLIED: RoomStateOutcome
ROOM_STATE_OUTCOME_DUPLICATE: RoomStateOutcome
ROOM_STATE_OUTCOME_STAGED: RoomStateOutcome
EVENT_KIND_UNSPECIFIED: EventKind
EVENT_KIND_GENESIS: EventKind
EVENT_KIND_COMMIT: EventKind
EVENT_KIND_MESSAGE: EventKind
EVENT_KIND_VOTE: EventKind
EVENT_KIND_MEMBER: EventKind
EVENT_KIND_WELCOME: EventKind
INGEST_OUTCOME_UNSPECIFIED: IngestOutcome
INGEST_OUTCOME_PROCESSED: IngestOutcome
INGEST_OUTCOME_PARKED: IngestOutcome
INGEST_OUTCOME_DUPLICATE: IngestOutcome
INGEST_OUTCOME_CORRECTED: IngestOutcome
INGEST_OUTCOME_REJECTED: IngestOutcome
INGEST_OUTCOME_IGNORED: IngestOutcome
DEVICE_LIST_OUTCOME_UNSPECIFIED: DeviceListOutcome
DEVICE_LIST_OUTCOME_APPLIED: DeviceListOutcome
DEVICE_LIST_OUTCOME_UNCHANGED: DeviceListOutcome
DEVICE_LIST_OUTCOME_STALE: DeviceListOutcome
DEVICE_LIST_OUTCOME_REJECTED: DeviceListOutcome
PENDING_KIND_UNSPECIFIED: PendingKind
PENDING_KIND_ADD: PendingKind
PENDING_KIND_REMOVE: PendingKind
PENDING_KIND_MERGE: PendingKind
PENDING_KIND_UPDATE: PendingKind
PENDING_KIND_JOIN: PendingKind
PENDING_KIND_VOTE: PendingKind
PENDING_KIND_GENESIS: PendingKind
SEND_STATE_UNSPECIFIED: SendState
SEND_STATE_OPEN: SendState
SEND_STATE_COMMIT_FIRST: SendState
SEND_STATE_NO_SECRETS: SendState
SEND_STATE_UNVOUCHED: SendState
SEND_STATE_ROLLED_BACK: SendState
NODE_STATE_UNSPECIFIED: NodeState
NODE_STATE_FOLLOWED: NodeState
NODE_STATE_HELD: NodeState
NODE_STATE_DELETED: NodeState
NODE_STATE_FAILED: NodeState
NODE_STATE_STALE_PARENT: NodeState
NODE_STATE_PARKED: NodeState
EDGE_KIND_UNSPECIFIED: EdgeKind
EDGE_KIND_PARENT: EdgeKind
EDGE_KIND_RESOLVES: EdgeKind
EDGE_KIND_REJECTS: EdgeKind
REFUSAL_REASON_UNSPECIFIED: RefusalReason
REFUSAL_REASON_FORBIDDEN: RefusalReason
REFUSAL_REASON_TOO_LARGE: RefusalReason
REFUSAL_REASON_GONE: RefusalReason
REFUSAL_REASON_NOT_FOUND: RefusalReason
REFUSAL_REASON_OTHER: RefusalReason
ACK_OUTCOME_UNSPECIFIED: AckOutcome
ACK_OUTCOME_ACCEPTED: AckOutcome
ACK_OUTCOME_DUPLICATE: AckOutcome
ACK_OUTCOME_CONFLICT: AckOutcome
ACK_OUTCOME_UNKNOWN: AckOutcome
ACK_OUTCOME_REJECTED: AckOutcome
NOTICE_KIND_UNSPECIFIED: NoticeKind
NOTICE_KIND_NEEDS_READMISSION: NoticeKind
NOTICE_KIND_NEEDS_NEW_KEY: NoticeKind
NOTICE_KIND_FORKED: NoticeKind
NOTICE_KIND_FORK_RESOLVED: NoticeKind
NOTICE_KIND_FORK_ALARM: NoticeKind
NOTICE_KIND_COMMIT_FAILED: NoticeKind
NOTICE_KIND_EQUIVOCATION: NoticeKind
NOTICE_KIND_FAILURE_REPORTED: NoticeKind
NOTICE_KIND_REJOINED: NoticeKind
NOTICE_KIND_NO_KEY_PACKAGE: NoticeKind
NOTICE_KIND_LAST_RESORT_USED: NoticeKind
NOTICE_KIND_ROLLED_BACK: NoticeKind
NOTICE_KIND_PARKED_EVENT_DROPPED: NoticeKind
NOTICE_KIND_WRONG_HINT: NoticeKind

class MemberEvent(_message.Message):
    __slots__ = ("event_id", "user_id", "sender", "membership", "auth_event_ids")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    MEMBERSHIP_FIELD_NUMBER: _ClassVar[int]
    AUTH_EVENT_IDS_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    user_id: str
    sender: str
    membership: Membership
    auth_event_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, event_id: _Optional[str] = ..., user_id: _Optional[str] = ..., sender: _Optional[str] = ..., membership: _Optional[_Union[Membership, str]] = ..., auth_event_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class RoomState(_message.Message):
    __slots__ = ("room_version", "create_event_id", "create_sender", "encryption", "history_visibility", "members", "past_members", "predecessor_room_id")
    ROOM_VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATE_EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    CREATE_SENDER_FIELD_NUMBER: _ClassVar[int]
    ENCRYPTION_FIELD_NUMBER: _ClassVar[int]
    HISTORY_VISIBILITY_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    PAST_MEMBERS_FIELD_NUMBER: _ClassVar[int]
    PREDECESSOR_ROOM_ID_FIELD_NUMBER: _ClassVar[int]
    room_version: str
    create_event_id: str
    create_sender: str
    encryption: bytes
    history_visibility: HistoryVisibility
    members: _containers.RepeatedCompositeFieldContainer[MemberEvent]
    past_members: _containers.RepeatedCompositeFieldContainer[MemberEvent]
    predecessor_room_id: str
    def __init__(self, room_version: _Optional[str] = ..., create_event_id: _Optional[str] = ..., create_sender: _Optional[str] = ..., encryption: _Optional[bytes] = ..., history_visibility: _Optional[_Union[HistoryVisibility, str]] = ..., members: _Optional[_Iterable[_Union[MemberEvent, _Mapping]]] = ..., past_members: _Optional[_Iterable[_Union[MemberEvent, _Mapping]]] = ..., predecessor_room_id: _Optional[str] = ...) -> None: ...

class RoomStateDelta(_message.Message):
    __slots__ = ("members", "removed_user_ids", "past_members", "encryption", "history_visibility")
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    REMOVED_USER_IDS_FIELD_NUMBER: _ClassVar[int]
    PAST_MEMBERS_FIELD_NUMBER: _ClassVar[int]
    ENCRYPTION_FIELD_NUMBER: _ClassVar[int]
    HISTORY_VISIBILITY_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedCompositeFieldContainer[MemberEvent]
    removed_user_ids: _containers.RepeatedScalarFieldContainer[str]
    past_members: _containers.RepeatedCompositeFieldContainer[MemberEvent]
    encryption: bytes
    history_visibility: HistoryVisibility
    def __init__(self, members: _Optional[_Iterable[_Union[MemberEvent, _Mapping]]] = ..., removed_user_ids: _Optional[_Iterable[str]] = ..., past_members: _Optional[_Iterable[_Union[MemberEvent, _Mapping]]] = ..., encryption: _Optional[bytes] = ..., history_visibility: _Optional[_Union[HistoryVisibility, str]] = ...) -> None: ...

class UpdateRoomStateRequest(_message.Message):
    __slots__ = ("request_id", "room_id", "version", "base_version", "part", "more", "reset", "full", "delta")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ROOM_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    BASE_VERSION_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    RESET_FIELD_NUMBER: _ClassVar[int]
    FULL_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    room_id: str
    version: int
    base_version: int
    part: int
    more: bool
    reset: bool
    full: RoomState
    delta: RoomStateDelta
    def __init__(self, request_id: _Optional[str] = ..., room_id: _Optional[str] = ..., version: _Optional[int] = ..., base_version: _Optional[int] = ..., part: _Optional[int] = ..., more: _Optional[bool] = ..., reset: _Optional[bool] = ..., full: _Optional[_Union[RoomState, _Mapping]] = ..., delta: _Optional[_Union[RoomStateDelta, _Mapping]] = ...) -> None: ...

class UpdateRoomStateResponse(_message.Message):
    __slots__ = ("outcome", "version", "readmission_wanted_user_ids")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    READMISSION_WANTED_USER_IDS_FIELD_NUMBER: _ClassVar[int]
    outcome: RoomStateOutcome
    version: int
    readmission_wanted_user_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, outcome: _Optional[_Union[RoomStateOutcome, str]] = ..., version: _Optional[int] = ..., readmission_wanted_user_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class RoomEvent(_message.Message):
    __slots__ = ("room_id", "event_id", "sender", "type", "state_key", "content", "origin_server_ts", "auth_event_ids", "soft_failed", "before_departure")
    ROOM_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    STATE_KEY_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_SERVER_TS_FIELD_NUMBER: _ClassVar[int]
    AUTH_EVENT_IDS_FIELD_NUMBER: _ClassVar[int]
    SOFT_FAILED_FIELD_NUMBER: _ClassVar[int]
    BEFORE_DEPARTURE_FIELD_NUMBER: _ClassVar[int]
    room_id: str
    event_id: str
    sender: str
    type: str
    state_key: str
    content: bytes
    origin_server_ts: _timestamp_pb2.Timestamp
    auth_event_ids: _containers.RepeatedScalarFieldContainer[str]
    soft_failed: bool
    before_departure: bool
    def __init__(self, room_id: _Optional[str] = ..., event_id: _Optional[str] = ..., sender: _Optional[str] = ..., type: _Optional[str] = ..., state_key: _Optional[str] = ..., content: _Optional[bytes] = ..., origin_server_ts: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., auth_event_ids: _Optional[_Iterable[str]] = ..., soft_failed: _Optional[bool] = ..., before_departure: _Optional[bool] = ...) -> None: ...

class MissingReference(_message.Message):
    __slots__ = ("event_id", "commit_ref", "epoch_id", "blob", "room_state")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    COMMIT_REF_FIELD_NUMBER: _ClassVar[int]
    EPOCH_ID_FIELD_NUMBER: _ClassVar[int]
    BLOB_FIELD_NUMBER: _ClassVar[int]
    ROOM_STATE_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    commit_ref: bytes
    epoch_id: bytes
    blob: _common_pb2.Blob
    room_state: bool
    def __init__(self, event_id: _Optional[str] = ..., commit_ref: _Optional[bytes] = ..., epoch_id: _Optional[bytes] = ..., blob: _Optional[_Union[_common_pb2.Blob, _Mapping]] = ..., room_state: _Optional[bool] = ...) -> None: ...

class IngestResult(_message.Message):
    __slots__ = ("outcome", "kind", "commit_ref", "missing", "failure")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    COMMIT_REF_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    outcome: IngestOutcome
    kind: EventKind
    commit_ref: bytes
    missing: _containers.RepeatedCompositeFieldContainer[MissingReference]
    failure: _common_pb2.Failure
    def __init__(self, outcome: _Optional[_Union[IngestOutcome, str]] = ..., kind: _Optional[_Union[EventKind, str]] = ..., commit_ref: _Optional[bytes] = ..., missing: _Optional[_Iterable[_Union[MissingReference, _Mapping]]] = ..., failure: _Optional[_Union[_common_pb2.Failure, _Mapping]] = ...) -> None: ...

class IngestEventsRequest(_message.Message):
    __slots__ = ("request_id", "events")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    events: _containers.RepeatedCompositeFieldContainer[RoomEvent]
    def __init__(self, request_id: _Optional[str] = ..., events: _Optional[_Iterable[_Union[RoomEvent, _Mapping]]] = ...) -> None: ...

class IngestEventsResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[IngestResult]
    def __init__(self, results: _Optional[_Iterable[_Union[IngestResult, _Mapping]]] = ...) -> None: ...

class ToDeviceMessage(_message.Message):
    __slots__ = ("message_id", "sender", "user_id", "device_id", "type", "content")
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    message_id: str
    sender: str
    user_id: str
    device_id: str
    type: str
    content: bytes
    def __init__(self, message_id: _Optional[str] = ..., sender: _Optional[str] = ..., user_id: _Optional[str] = ..., device_id: _Optional[str] = ..., type: _Optional[str] = ..., content: _Optional[bytes] = ...) -> None: ...

class IngestToDeviceRequest(_message.Message):
    __slots__ = ("request_id", "messages")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    messages: _containers.RepeatedCompositeFieldContainer[ToDeviceMessage]
    def __init__(self, request_id: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[ToDeviceMessage, _Mapping]]] = ...) -> None: ...

class IngestToDeviceResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[IngestResult]
    def __init__(self, results: _Optional[_Iterable[_Union[IngestResult, _Mapping]]] = ...) -> None: ...

class ListedDevice(_message.Message):
    __slots__ = ("device_id", "signature_keys", "device_keys")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_KEYS_FIELD_NUMBER: _ClassVar[int]
    DEVICE_KEYS_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    signature_keys: _containers.RepeatedCompositeFieldContainer[_common_pb2.SignatureKey]
    device_keys: bytes
    def __init__(self, device_id: _Optional[str] = ..., signature_keys: _Optional[_Iterable[_Union[_common_pb2.SignatureKey, _Mapping]]] = ..., device_keys: _Optional[bytes] = ...) -> None: ...

class DeviceList(_message.Message):
    __slots__ = ("user_id", "version", "taken_at", "devices", "cross_signing_keys")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TAKEN_AT_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    CROSS_SIGNING_KEYS_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    version: int
    taken_at: _timestamp_pb2.Timestamp
    devices: _containers.RepeatedCompositeFieldContainer[ListedDevice]
    cross_signing_keys: _common_pb2.CrossSigningKeys
    def __init__(self, user_id: _Optional[str] = ..., version: _Optional[int] = ..., taken_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., devices: _Optional[_Iterable[_Union[ListedDevice, _Mapping]]] = ..., cross_signing_keys: _Optional[_Union[_common_pb2.CrossSigningKeys, _Mapping]] = ...) -> None: ...

class DeviceListResult(_message.Message):
    __slots__ = ("outcome", "new_key_wanted_device_ids", "failure")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    NEW_KEY_WANTED_DEVICE_IDS_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    outcome: DeviceListOutcome
    new_key_wanted_device_ids: _containers.RepeatedScalarFieldContainer[str]
    failure: _common_pb2.Failure
    def __init__(self, outcome: _Optional[_Union[DeviceListOutcome, str]] = ..., new_key_wanted_device_ids: _Optional[_Iterable[str]] = ..., failure: _Optional[_Union[_common_pb2.Failure, _Mapping]] = ...) -> None: ...

class UpdateDeviceListsRequest(_message.Message):
    __slots__ = ("request_id", "lists")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    LISTS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    lists: _containers.RepeatedCompositeFieldContainer[DeviceList]
    def __init__(self, request_id: _Optional[str] = ..., lists: _Optional[_Iterable[_Union[DeviceList, _Mapping]]] = ...) -> None: ...

class UpdateDeviceListsResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[DeviceListResult]
    def __init__(self, results: _Optional[_Iterable[_Union[DeviceListResult, _Mapping]]] = ...) -> None: ...

class ProvideKeyPackagesRequest(_message.Message):
    __slots__ = ("request_id", "claim_id", "users", "partial")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CLAIM_ID_FIELD_NUMBER: _ClassVar[int]
    USERS_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    claim_id: str
    users: _containers.RepeatedCompositeFieldContainer[_key_package_pb2.UserClaim]
    partial: bool
    def __init__(self, request_id: _Optional[str] = ..., claim_id: _Optional[str] = ..., users: _Optional[_Iterable[_Union[_key_package_pb2.UserClaim, _Mapping]]] = ..., partial: _Optional[bool] = ...) -> None: ...

class ProvidedKeyPackageResult(_message.Message):
    __slots__ = ("device", "failure")
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    device: _common_pb2.DeviceRef
    failure: _common_pb2.Failure
    def __init__(self, device: _Optional[_Union[_common_pb2.DeviceRef, _Mapping]] = ..., failure: _Optional[_Union[_common_pb2.Failure, _Mapping]] = ...) -> None: ...

class ProvideKeyPackagesResponse(_message.Message):
    __slots__ = ("results", "stale")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[ProvidedKeyPackageResult]
    stale: bool
    def __init__(self, results: _Optional[_Iterable[_Union[ProvidedKeyPackageResult, _Mapping]]] = ..., stale: _Optional[bool] = ...) -> None: ...

class PutBlobRequest(_message.Message):
    __slots__ = ("request_id", "room_id", "sha256", "size", "data")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ROOM_ID_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    room_id: str
    sha256: bytes
    size: int
    data: bytes
    def __init__(self, request_id: _Optional[str] = ..., room_id: _Optional[str] = ..., sha256: _Optional[bytes] = ..., size: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class PutBlobResponse(_message.Message):
    __slots__ = ("created",)
    CREATED_FIELD_NUMBER: _ClassVar[int]
    created: bool
    def __init__(self, created: _Optional[bool] = ...) -> None: ...

class GetBlobRequest(_message.Message):
    __slots__ = ("room_id", "sha256", "offset")
    ROOM_ID_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    room_id: str
    sha256: bytes
    offset: int
    def __init__(self, room_id: _Optional[str] = ..., sha256: _Optional[bytes] = ..., offset: _Optional[int] = ...) -> None: ...

class GetBlobResponse(_message.Message):
    __slots__ = ("size", "data")
    SIZE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    size: int
    data: bytes
    def __init__(self, size: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class RoomOptions(_message.Message):
    __slots__ = ("cipher_suite", "key_schedule", "retain_duration", "retain_epochs", "required_capabilities", "include_invited", "require_cross_signing", "rotation_interval", "stale_leaf_age")
    CIPHER_SUITE_FIELD_NUMBER: _ClassVar[int]
    KEY_SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    RETAIN_DURATION_FIELD_NUMBER: _ClassVar[int]
    RETAIN_EPOCHS_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_INVITED_FIELD_NUMBER: _ClassVar[int]
    REQUIRE_CROSS_SIGNING_FIELD_NUMBER: _ClassVar[int]
    ROTATION_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    STALE_LEAF_AGE_FIELD_NUMBER: _ClassVar[int]
    cipher_suite: int
    key_schedule: _common_pb2.KeySchedule
    retain_duration: _duration_pb2.Duration
    retain_epochs: int
    required_capabilities: _common_pb2.RequiredCapabilities
    include_invited: bool
    require_cross_signing: bool
    rotation_interval: _duration_pb2.Duration
    stale_leaf_age: _duration_pb2.Duration
    def __init__(self, cipher_suite: _Optional[int] = ..., key_schedule: _Optional[_Union[_common_pb2.KeySchedule, str]] = ..., retain_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., retain_epochs: _Optional[int] = ..., required_capabilities: _Optional[_Union[_common_pb2.RequiredCapabilities, _Mapping]] = ..., include_invited: _Optional[bool] = ..., require_cross_signing: _Optional[bool] = ..., rotation_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., stale_leaf_age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class SetRoomOptionsRequest(_message.Message):
    __slots__ = ("request_id", "room_id", "options", "update_mask")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ROOM_ID_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    room_id: str
    options: RoomOptions
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, request_id: _Optional[str] = ..., room_id: _Optional[str] = ..., options: _Optional[_Union[RoomOptions, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class SetRoomOptionsResponse(_message.Message):
    __slots__ = ("options",)
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    options: RoomOptions
    def __init__(self, options: _Optional[_Union[RoomOptions, _Mapping]] = ...) -> None: ...

class GroupMember(_message.Message):
    __slots__ = ("device", "leaf_index", "signature_key", "hosted", "vouched", "must_go")
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    LEAF_INDEX_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_KEY_FIELD_NUMBER: _ClassVar[int]
    HOSTED_FIELD_NUMBER: _ClassVar[int]
    VOUCHED_FIELD_NUMBER: _ClassVar[int]
    MUST_GO_FIELD_NUMBER: _ClassVar[int]
    device: _common_pb2.DeviceRef
    leaf_index: int
    signature_key: bytes
    hosted: bool
    vouched: bool
    must_go: bool
    def __init__(self, device: _Optional[_Union[_common_pb2.DeviceRef, _Mapping]] = ..., leaf_index: _Optional[int] = ..., signature_key: _Optional[bytes] = ..., hosted: _Optional[bool] = ..., vouched: _Optional[bool] = ..., must_go: _Optional[bool] = ...) -> None: ...

class GroupHead(_message.Message):
    __slots__ = ("pointer", "epoch", "event_id", "cipher_suite", "author", "supporters", "holds_secrets", "resolved")
    POINTER_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    CIPHER_SUITE_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    SUPPORTERS_FIELD_NUMBER: _ClassVar[int]
    HOLDS_SECRETS_FIELD_NUMBER: _ClassVar[int]
    RESOLVED_FIELD_NUMBER: _ClassVar[int]
    pointer: _common_pb2.EpochPointer
    epoch: int
    event_id: str
    cipher_suite: int
    author: _common_pb2.DeviceRef
    supporters: int
    holds_secrets: bool
    resolved: bool
    def __init__(self, pointer: _Optional[_Union[_common_pb2.EpochPointer, _Mapping]] = ..., epoch: _Optional[int] = ..., event_id: _Optional[str] = ..., cipher_suite: _Optional[int] = ..., author: _Optional[_Union[_common_pb2.DeviceRef, _Mapping]] = ..., supporters: _Optional[int] = ..., holds_secrets: _Optional[bool] = ..., resolved: _Optional[bool] = ...) -> None: ...

class PendingChange(_message.Message):
    __slots__ = ("kind", "device", "commit_ref", "due_time", "failure")
    KIND_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    COMMIT_REF_FIELD_NUMBER: _ClassVar[int]
    DUE_TIME_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    kind: PendingKind
    device: _common_pb2.DeviceRef
    commit_ref: bytes
    due_time: _timestamp_pb2.Timestamp
    failure: _common_pb2.Failure
    def __init__(self, kind: _Optional[_Union[PendingKind, str]] = ..., device: _Optional[_Union[_common_pb2.DeviceRef, _Mapping]] = ..., commit_ref: _Optional[bytes] = ..., due_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., failure: _Optional[_Union[_common_pb2.Failure, _Mapping]] = ...) -> None: ...

class RoomSummary(_message.Message):
    __slots__ = ("room_id", "state_version", "encrypted", "head", "member_count", "fork_count", "parked_count", "send_state")
    ROOM_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_VERSION_FIELD_NUMBER: _ClassVar[int]
    ENCRYPTED_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    MEMBER_COUNT_FIELD_NUMBER: _ClassVar[int]
    FORK_COUNT_FIELD_NUMBER: _ClassVar[int]
    PARKED_COUNT_FIELD_NUMBER: _ClassVar[int]
    SEND_STATE_FIELD_NUMBER: _ClassVar[int]
    room_id: str
    state_version: int
    encrypted: bool
    head: GroupHead
    member_count: int
    fork_count: int
    parked_count: int
    send_state: SendState
    def __init__(self, room_id: _Optional[str] = ..., state_version: _Optional[int] = ..., encrypted: _Optional[bool] = ..., head: _Optional[_Union[GroupHead, _Mapping]] = ..., member_count: _Optional[int] = ..., fork_count: _Optional[int] = ..., parked_count: _Optional[int] = ..., send_state: _Optional[_Union[SendState, str]] = ...) -> None: ...

class GetRoomRequest(_message.Message):
    __slots__ = ("room_id", "include_state", "include_device_lists", "page_size", "page_token")
    ROOM_ID_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_STATE_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_DEVICE_LISTS_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    room_id: str
    include_state: bool
    include_device_lists: bool
    page_size: int
    page_token: str
    def __init__(self, room_id: _Optional[str] = ..., include_state: _Optional[bool] = ..., include_device_lists: _Optional[bool] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class GetRoomResponse(_message.Message):
    __slots__ = ("room", "options", "side_heads", "members", "pending", "readmission_wanted_user_ids", "new_key_wanted", "state", "device_lists", "next_page_token")
    ROOM_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    SIDE_HEADS_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    READMISSION_WANTED_USER_IDS_FIELD_NUMBER: _ClassVar[int]
    NEW_KEY_WANTED_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    DEVICE_LISTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    room: RoomSummary
    options: RoomOptions
    side_heads: _containers.RepeatedCompositeFieldContainer[GroupHead]
    members: _containers.RepeatedCompositeFieldContainer[GroupMember]
    pending: _containers.RepeatedCompositeFieldContainer[PendingChange]
    readmission_wanted_user_ids: _containers.RepeatedScalarFieldContainer[str]
    new_key_wanted: _containers.RepeatedCompositeFieldContainer[_common_pb2.DeviceRef]
    state: RoomState
    device_lists: _containers.RepeatedCompositeFieldContainer[DeviceList]
    next_page_token: str
    def __init__(self, room: _Optional[_Union[RoomSummary, _Mapping]] = ..., options: _Optional[_Union[RoomOptions, _Mapping]] = ..., side_heads: _Optional[_Iterable[_Union[GroupHead, _Mapping]]] = ..., members: _Optional[_Iterable[_Union[GroupMember, _Mapping]]] = ..., pending: _Optional[_Iterable[_Union[PendingChange, _Mapping]]] = ..., readmission_wanted_user_ids: _Optional[_Iterable[str]] = ..., new_key_wanted: _Optional[_Iterable[_Union[_common_pb2.DeviceRef, _Mapping]]] = ..., state: _Optional[_Union[RoomState, _Mapping]] = ..., device_lists: _Optional[_Iterable[_Union[DeviceList, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListRoomsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListRoomsResponse(_message.Message):
    __slots__ = ("rooms", "next_page_token")
    ROOMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    rooms: _containers.RepeatedCompositeFieldContainer[RoomSummary]
    next_page_token: str
    def __init__(self, rooms: _Optional[_Iterable[_Union[RoomSummary, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ForgetRoomRequest(_message.Message):
    __slots__ = ("request_id", "room_id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ROOM_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    room_id: str
    def __init__(self, request_id: _Optional[str] = ..., room_id: _Optional[str] = ...) -> None: ...

class ForgetRoomResponse(_message.Message):
    __slots__ = ("forgotten",)
    FORGOTTEN_FIELD_NUMBER: _ClassVar[int]
    forgotten: bool
    def __init__(self, forgotten: _Optional[bool] = ...) -> None: ...

class GetGroupInfoRequest(_message.Message):
    __slots__ = ("room_id", "commit_ref", "include_ratchet_tree")
    ROOM_ID_FIELD_NUMBER: _ClassVar[int]
    COMMIT_REF_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_RATCHET_TREE_FIELD_NUMBER: _ClassVar[int]
    room_id: str
    commit_ref: bytes
    include_ratchet_tree: bool
    def __init__(self, room_id: _Optional[str] = ..., commit_ref: _Optional[bytes] = ..., include_ratchet_tree: _Optional[bool] = ...) -> None: ...

class GetGroupInfoResponse(_message.Message):
    __slots__ = ("group_info", "pointer", "event_id", "ratchet_tree")
    GROUP_INFO_FIELD_NUMBER: _ClassVar[int]
    POINTER_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    RATCHET_TREE_FIELD_NUMBER: _ClassVar[int]
    group_info: bytes
    pointer: _common_pb2.EpochPointer
    event_id: str
    ratchet_tree: _common_pb2.Blob
    def __init__(self, group_info: _Optional[bytes] = ..., pointer: _Optional[_Union[_common_pb2.EpochPointer, _Mapping]] = ..., event_id: _Optional[str] = ..., ratchet_tree: _Optional[_Union[_common_pb2.Blob, _Mapping]] = ...) -> None: ...

class GetRatchetTreeRequest(_message.Message):
    __slots__ = ("room_id", "commit_ref")
    ROOM_ID_FIELD_NUMBER: _ClassVar[int]
    COMMIT_REF_FIELD_NUMBER: _ClassVar[int]
    room_id: str
    commit_ref: bytes
    def __init__(self, room_id: _Optional[str] = ..., commit_ref: _Optional[bytes] = ...) -> None: ...

class GetRatchetTreeResponse(_message.Message):
    __slots__ = ("ratchet_tree", "tree_hash", "pointer", "member_count")
    RATCHET_TREE_FIELD_NUMBER: _ClassVar[int]
    TREE_HASH_FIELD_NUMBER: _ClassVar[int]
    POINTER_FIELD_NUMBER: _ClassVar[int]
    MEMBER_COUNT_FIELD_NUMBER: _ClassVar[int]
    ratchet_tree: _common_pb2.Blob
    tree_hash: bytes
    pointer: _common_pb2.EpochPointer
    member_count: int
    def __init__(self, ratchet_tree: _Optional[_Union[_common_pb2.Blob, _Mapping]] = ..., tree_hash: _Optional[bytes] = ..., pointer: _Optional[_Union[_common_pb2.EpochPointer, _Mapping]] = ..., member_count: _Optional[int] = ...) -> None: ...

class EpochNode(_message.Message):
    __slots__ = ("pointer", "epoch", "event_id", "author", "author_leaf_index", "genesis", "external", "state", "on_head_chain", "counts", "supporters", "added", "removed", "origin_server_ts")
    POINTER_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_LEAF_INDEX_FIELD_NUMBER: _ClassVar[int]
    GENESIS_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ON_HEAD_CHAIN_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    SUPPORTERS_FIELD_NUMBER: _ClassVar[int]
    ADDED_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_SERVER_TS_FIELD_NUMBER: _ClassVar[int]
    pointer: _common_pb2.EpochPointer
    epoch: int
    event_id: str
    author: _common_pb2.DeviceRef
    author_leaf_index: int
    genesis: bool
    external: bool
    state: NodeState
    on_head_chain: bool
    counts: bool
    supporters: int
    added: _containers.RepeatedCompositeFieldContainer[_common_pb2.DeviceRef]
    removed: _containers.RepeatedCompositeFieldContainer[_common_pb2.DeviceRef]
    origin_server_ts: _timestamp_pb2.Timestamp
    def __init__(self, pointer: _Optional[_Union[_common_pb2.EpochPointer, _Mapping]] = ..., epoch: _Optional[int] = ..., event_id: _Optional[str] = ..., author: _Optional[_Union[_common_pb2.DeviceRef, _Mapping]] = ..., author_leaf_index: _Optional[int] = ..., genesis: _Optional[bool] = ..., external: _Optional[bool] = ..., state: _Optional[_Union[NodeState, str]] = ..., on_head_chain: _Optional[bool] = ..., counts: _Optional[bool] = ..., supporters: _Optional[int] = ..., added: _Optional[_Iterable[_Union[_common_pb2.DeviceRef, _Mapping]]] = ..., removed: _Optional[_Iterable[_Union[_common_pb2.DeviceRef, _Mapping]]] = ..., origin_server_ts: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class EpochEdge(_message.Message):
    __slots__ = ("source", "target", "kind")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    source: bytes
    target: bytes
    kind: EdgeKind
    def __init__(self, source: _Optional[bytes] = ..., target: _Optional[bytes] = ..., kind: _Optional[_Union[EdgeKind, str]] = ...) -> None: ...

class EpochVote(_message.Message):
    __slots__ = ("device", "commit_ref", "vote_seq", "counts")
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    COMMIT_REF_FIELD_NUMBER: _ClassVar[int]
    VOTE_SEQ_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    device: _common_pb2.DeviceRef
    commit_ref: bytes
    vote_seq: int
    counts: bool
    def __init__(self, device: _Optional[_Union[_common_pb2.DeviceRef, _Mapping]] = ..., commit_ref: _Optional[bytes] = ..., vote_seq: _Optional[int] = ..., counts: _Optional[bool] = ...) -> None: ...

class GetEpochGraphRequest(_message.Message):
    __slots__ = ("room_id", "page_size", "page_token")
    ROOM_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    room_id: str
    page_size: int
    page_token: str
    def __init__(self, room_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class GetEpochGraphResponse(_message.Message):
    __slots__ = ("nodes", "edges", "votes", "head", "heads", "next_page_token")
    NODES_FIELD_NUMBER: _ClassVar[int]
    EDGES_FIELD_NUMBER: _ClassVar[int]
    VOTES_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    HEADS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedCompositeFieldContainer[EpochNode]
    edges: _containers.RepeatedCompositeFieldContainer[EpochEdge]
    votes: _containers.RepeatedCompositeFieldContainer[EpochVote]
    head: bytes
    heads: _containers.RepeatedScalarFieldContainer[bytes]
    next_page_token: str
    def __init__(self, nodes: _Optional[_Iterable[_Union[EpochNode, _Mapping]]] = ..., edges: _Optional[_Iterable[_Union[EpochEdge, _Mapping]]] = ..., votes: _Optional[_Iterable[_Union[EpochVote, _Mapping]]] = ..., head: _Optional[bytes] = ..., heads: _Optional[_Iterable[bytes]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchOutboxRequest(_message.Message):
    __slots__ = ("cursor",)
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    cursor: str
    def __init__(self, cursor: _Optional[str] = ...) -> None: ...

class WatchOutboxResponse(_message.Message):
    __slots__ = ("cursor", "started", "item", "caught_up", "keepalive")
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    CAUGHT_UP_FIELD_NUMBER: _ClassVar[int]
    KEEPALIVE_FIELD_NUMBER: _ClassVar[int]
    cursor: str
    started: _common_pb2.Started
    item: OutboxItem
    caught_up: _common_pb2.CaughtUp
    keepalive: _common_pb2.Keepalive
    def __init__(self, cursor: _Optional[str] = ..., started: _Optional[_Union[_common_pb2.Started, _Mapping]] = ..., item: _Optional[_Union[OutboxItem, _Mapping]] = ..., caught_up: _Optional[_Union[_common_pb2.CaughtUp, _Mapping]] = ..., keepalive: _Optional[_Union[_common_pb2.Keepalive, _Mapping]] = ...) -> None: ...

class OutboxItem(_message.Message):
    __slots__ = ("sequence", "transaction_id", "room_id", "depends_on", "create_time", "room_event", "to_device", "blob", "claim_wanted", "backfill_wanted", "device_list_wanted")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TRANSACTION_ID_FIELD_NUMBER: _ClassVar[int]
    ROOM_ID_FIELD_NUMBER: _ClassVar[int]
    DEPENDS_ON_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ROOM_EVENT_FIELD_NUMBER: _ClassVar[int]
    TO_DEVICE_FIELD_NUMBER: _ClassVar[int]
    BLOB_FIELD_NUMBER: _ClassVar[int]
    CLAIM_WANTED_FIELD_NUMBER: _ClassVar[int]
    BACKFILL_WANTED_FIELD_NUMBER: _ClassVar[int]
    DEVICE_LIST_WANTED_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    transaction_id: str
    room_id: str
    depends_on: _containers.RepeatedScalarFieldContainer[int]
    create_time: _timestamp_pb2.Timestamp
    room_event: SendRoomEvent
    to_device: SendToDevice
    blob: StoreBlob
    claim_wanted: ClaimWanted
    backfill_wanted: BackfillWanted
    device_list_wanted: DeviceListWanted
    def __init__(self, sequence: _Optional[int] = ..., transaction_id: _Optional[str] = ..., room_id: _Optional[str] = ..., depends_on: _Optional[_Iterable[int]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., room_event: _Optional[_Union[SendRoomEvent, _Mapping]] = ..., to_device: _Optional[_Union[SendToDevice, _Mapping]] = ..., blob: _Optional[_Union[StoreBlob, _Mapping]] = ..., claim_wanted: _Optional[_Union[ClaimWanted, _Mapping]] = ..., backfill_wanted: _Optional[_Union[BackfillWanted, _Mapping]] = ..., device_list_wanted: _Optional[_Union[DeviceListWanted, _Mapping]] = ...) -> None: ...

class SendRoomEvent(_message.Message):
    __slots__ = ("sender", "type", "content")
    SENDER_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    sender: str
    type: str
    content: bytes
    def __init__(self, sender: _Optional[str] = ..., type: _Optional[str] = ..., content: _Optional[bytes] = ...) -> None: ...

class SendToDevice(_message.Message):
    __slots__ = ("sender", "user_id", "device_id", "type", "content")
    SENDER_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    sender: str
    user_id: str
    device_id: str
    type: str
    content: bytes
    def __init__(self, sender: _Optional[str] = ..., user_id: _Optional[str] = ..., device_id: _Optional[str] = ..., type: _Optional[str] = ..., content: _Optional[bytes] = ...) -> None: ...

class StoreBlob(_message.Message):
    __slots__ = ("blob",)
    BLOB_FIELD_NUMBER: _ClassVar[int]
    blob: _common_pb2.Blob
    def __init__(self, blob: _Optional[_Union[_common_pb2.Blob, _Mapping]] = ...) -> None: ...

class ClaimWanted(_message.Message):
    __slots__ = ("claim_id", "targets", "cipher_suites", "required_capabilities")
    CLAIM_ID_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    CIPHER_SUITES_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    claim_id: str
    targets: _containers.RepeatedCompositeFieldContainer[_key_package_pb2.ClaimTarget]
    cipher_suites: _containers.RepeatedScalarFieldContainer[int]
    required_capabilities: _common_pb2.RequiredCapabilities
    def __init__(self, claim_id: _Optional[str] = ..., targets: _Optional[_Iterable[_Union[_key_package_pb2.ClaimTarget, _Mapping]]] = ..., cipher_suites: _Optional[_Iterable[int]] = ..., required_capabilities: _Optional[_Union[_common_pb2.RequiredCapabilities, _Mapping]] = ...) -> None: ...

class BackfillWanted(_message.Message):
    __slots__ = ("event_ids", "commit_refs", "blobs")
    EVENT_IDS_FIELD_NUMBER: _ClassVar[int]
    COMMIT_REFS_FIELD_NUMBER: _ClassVar[int]
    BLOBS_FIELD_NUMBER: _ClassVar[int]
    event_ids: _containers.RepeatedScalarFieldContainer[str]
    commit_refs: _containers.RepeatedScalarFieldContainer[bytes]
    blobs: _containers.RepeatedCompositeFieldContainer[_common_pb2.Blob]
    def __init__(self, event_ids: _Optional[_Iterable[str]] = ..., commit_refs: _Optional[_Iterable[bytes]] = ..., blobs: _Optional[_Iterable[_Union[_common_pb2.Blob, _Mapping]]] = ...) -> None: ...

class DeviceListWanted(_message.Message):
    __slots__ = ("user_ids", "taken_after")
    USER_IDS_FIELD_NUMBER: _ClassVar[int]
    TAKEN_AFTER_FIELD_NUMBER: _ClassVar[int]
    user_ids: _containers.RepeatedScalarFieldContainer[str]
    taken_after: _timestamp_pb2.Timestamp
    def __init__(self, user_ids: _Optional[_Iterable[str]] = ..., taken_after: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class OutboxAck(_message.Message):
    __slots__ = ("sequence", "sent", "refused")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SENT_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    sent: OutboxSent
    refused: OutboxRefused
    def __init__(self, sequence: _Optional[int] = ..., sent: _Optional[_Union[OutboxSent, _Mapping]] = ..., refused: _Optional[_Union[OutboxRefused, _Mapping]] = ...) -> None: ...

class OutboxSent(_message.Message):
    __slots__ = ("event_id", "uri")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    uri: str
    def __init__(self, event_id: _Optional[str] = ..., uri: _Optional[str] = ...) -> None: ...

class OutboxRefused(_message.Message):
    __slots__ = ("reason", "message")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    reason: RefusalReason
    message: str
    def __init__(self, reason: _Optional[_Union[RefusalReason, str]] = ..., message: _Optional[str] = ...) -> None: ...

class AckOutboxRequest(_message.Message):
    __slots__ = ("request_id", "acks", "incarnation")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ACKS_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    acks: _containers.RepeatedCompositeFieldContainer[OutboxAck]
    incarnation: int
    def __init__(self, request_id: _Optional[str] = ..., acks: _Optional[_Iterable[_Union[OutboxAck, _Mapping]]] = ..., incarnation: _Optional[int] = ...) -> None: ...

class AckResult(_message.Message):
    __slots__ = ("outcome", "failure")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    outcome: AckOutcome
    failure: _common_pb2.Failure
    def __init__(self, outcome: _Optional[_Union[AckOutcome, str]] = ..., failure: _Optional[_Union[_common_pb2.Failure, _Mapping]] = ...) -> None: ...

class AckOutboxResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[AckResult]
    def __init__(self, results: _Optional[_Iterable[_Union[AckResult, _Mapping]]] = ...) -> None: ...

class WatchRoomRequest(_message.Message):
    __slots__ = ("room_ids", "cursor")
    ROOM_IDS_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    room_ids: _containers.RepeatedScalarFieldContainer[str]
    cursor: str
    def __init__(self, room_ids: _Optional[_Iterable[str]] = ..., cursor: _Optional[str] = ...) -> None: ...

class WatchRoomResponse(_message.Message):
    __slots__ = ("cursor", "started", "change", "caught_up", "keepalive")
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    CAUGHT_UP_FIELD_NUMBER: _ClassVar[int]
    KEEPALIVE_FIELD_NUMBER: _ClassVar[int]
    cursor: str
    started: _common_pb2.Started
    change: RoomChange
    caught_up: _common_pb2.CaughtUp
    keepalive: _common_pb2.Keepalive
    def __init__(self, cursor: _Optional[str] = ..., started: _Optional[_Union[_common_pb2.Started, _Mapping]] = ..., change: _Optional[_Union[RoomChange, _Mapping]] = ..., caught_up: _Optional[_Union[_common_pb2.CaughtUp, _Mapping]] = ..., keepalive: _Optional[_Union[_common_pb2.Keepalive, _Mapping]] = ...) -> None: ...

class RoomChange(_message.Message):
    __slots__ = ("room_id", "time", "node", "head", "unparked", "notice", "send_state")
    ROOM_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    UNPARKED_FIELD_NUMBER: _ClassVar[int]
    NOTICE_FIELD_NUMBER: _ClassVar[int]
    SEND_STATE_FIELD_NUMBER: _ClassVar[int]
    room_id: str
    time: _timestamp_pb2.Timestamp
    node: EpochNode
    head: HeadChange
    unparked: EventUnparked
    notice: RoomNotice
    send_state: SendStateChange
    def __init__(self, room_id: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., node: _Optional[_Union[EpochNode, _Mapping]] = ..., head: _Optional[_Union[HeadChange, _Mapping]] = ..., unparked: _Optional[_Union[EventUnparked, _Mapping]] = ..., notice: _Optional[_Union[RoomNotice, _Mapping]] = ..., send_state: _Optional[_Union[SendStateChange, _Mapping]] = ...) -> None: ...

class HeadChange(_message.Message):
    __slots__ = ("old_head", "new_head", "depth", "added", "removed")
    OLD_HEAD_FIELD_NUMBER: _ClassVar[int]
    NEW_HEAD_FIELD_NUMBER: _ClassVar[int]
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    ADDED_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    old_head: _common_pb2.EpochPointer
    new_head: _common_pb2.EpochPointer
    depth: int
    added: _containers.RepeatedCompositeFieldContainer[_common_pb2.DeviceRef]
    removed: _containers.RepeatedCompositeFieldContainer[_common_pb2.DeviceRef]
    def __init__(self, old_head: _Optional[_Union[_common_pb2.EpochPointer, _Mapping]] = ..., new_head: _Optional[_Union[_common_pb2.EpochPointer, _Mapping]] = ..., depth: _Optional[int] = ..., added: _Optional[_Iterable[_Union[_common_pb2.DeviceRef, _Mapping]]] = ..., removed: _Optional[_Iterable[_Union[_common_pb2.DeviceRef, _Mapping]]] = ...) -> None: ...

class EventUnparked(_message.Message):
    __slots__ = ("event_id", "result")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    result: IngestResult
    def __init__(self, event_id: _Optional[str] = ..., result: _Optional[_Union[IngestResult, _Mapping]] = ...) -> None: ...

class SendStateChange(_message.Message):
    __slots__ = ("state",)
    STATE_FIELD_NUMBER: _ClassVar[int]
    state: SendState
    def __init__(self, state: _Optional[_Union[SendState, str]] = ...) -> None: ...

class RoomNotice(_message.Message):
    __slots__ = ("kind", "device", "commit_ref", "event_id", "failure")
    KIND_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    COMMIT_REF_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    kind: NoticeKind
    device: _common_pb2.DeviceRef
    commit_ref: bytes
    event_id: str
    failure: _common_pb2.Failure
    def __init__(self, kind: _Optional[_Union[NoticeKind, str]] = ..., device: _Optional[_Union[_common_pb2.DeviceRef, _Mapping]] = ..., commit_ref: _Optional[bytes] = ..., event_id: _Optional[str] = ..., failure: _Optional[_Union[_common_pb2.Failure, _Mapping]] = ...) -> None: ...
