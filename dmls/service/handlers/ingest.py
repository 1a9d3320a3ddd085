"""IngestEvents and IngestToDevice: what the homeserver has got for a room or for a hosted device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ParamSpec

from devicestore import Connection
from devicestore.errors import StoreError
from dmls.engine.effects import EventKind, EventResult, IngestOutcome
from dmls.engine.inputs import EventReceived, MemberEventReceived, ToDeviceReceived
from dmls.engine.parking import BLOB, EPOCH
from dmls.engine.state import RoomState
from dmls.errors import DMLSError, InternalError, InvalidArgumentError, InvalidMessageError
from dmls.ids import DeviceId, EventId, RoomId, UserId
from dmls.matrix.bodies import ALGORITHM, WelcomeBody, parse_body
from dmls.matrix.encoding import parse_json_object
from dmls.matrix.events import ENCRYPTED, MAX_AUTH_EVENTS, RoomEvent, parse_member_event
from dmls.rooms.session import Session, Written
from dmls.service.convert import to_ms
from dmls.service.core import Core, Record, no_record
from dmls.service.defects import log_defect
from dmls.service.errors import UnknownResourceError
from dmls.service.status import to_failure
from dmls.service.validation import check
from dmls.v1 import common_pb2, room_pb2

__all__ = ["ingest_events", "ingest_to_device", "to_ingest_result"]

_MEMBER = "m.room.member"
_OUTCOMES = {
    IngestOutcome.PROCESSED: room_pb2.INGEST_OUTCOME_PROCESSED,
    IngestOutcome.PARKED: room_pb2.INGEST_OUTCOME_PARKED,
    IngestOutcome.DUPLICATE: room_pb2.INGEST_OUTCOME_DUPLICATE,
    IngestOutcome.CORRECTED: room_pb2.INGEST_OUTCOME_CORRECTED,
    IngestOutcome.REJECTED: room_pb2.INGEST_OUTCOME_REJECTED,
    IngestOutcome.IGNORED: room_pb2.INGEST_OUTCOME_IGNORED,
}
_KINDS = {
    EventKind.UNKNOWN: room_pb2.EVENT_KIND_UNSPECIFIED,
    EventKind.GENESIS: room_pb2.EVENT_KIND_GENESIS,
    EventKind.COMMIT: room_pb2.EVENT_KIND_COMMIT,
    EventKind.MESSAGE: room_pb2.EVENT_KIND_MESSAGE,
    EventKind.VOTE: room_pb2.EVENT_KIND_VOTE,
    EventKind.MEMBER: room_pb2.EVENT_KIND_MEMBER,
    EventKind.WELCOME: room_pb2.EVENT_KIND_WELCOME,
}
_P = ParamSpec("_P")
_IGNORED = room_pb2.IngestResult(outcome=room_pb2.INGEST_OUTCOME_IGNORED)


def ingest_events(core: Core, request: room_pb2.IngestEventsRequest, record: Record = no_record) -> room_pb2.IngestEventsResponse:
    """Take events in, each by itself: a bad one fails none of the others."""
    events = list(request.events)
    results: list[room_pb2.IngestResult] = [_IGNORED] * len(events)
    wanted = [position for position, event in enumerate(events) if not _settle_form(core, results, position, event)]

    def work(session: Session) -> Session:
        for position in wanted:
            if not session.is_forgotten(RoomId(events[position].room_id)):
                results[position] = _guarded(_ingest_event, session, events[position])
        return session

    def finish(conn: Connection, _written: Written, session: Session) -> room_pb2.IngestEventsResponse:
        # What one event waited for may have come with another, or lain in the store.
        unparked = {(room_id, event_id): result for room_id, event_id, result in session.unparked}
        for position in wanted:
            event = events[position]
            result = unparked.get((RoomId(event.room_id), event.event_id))
            if result is not None and results[position].outcome == room_pb2.INGEST_OUTCOME_PARKED:
                results[position] = to_ingest_result(session.state(RoomId(event.room_id)), event.event_id, result)
        answer = room_pb2.IngestEventsResponse(results=results)
        record(conn, answer)
        return answer

    return core.keeper.transact({RoomId(events[position].room_id) for position in wanted}, work, finish)


def ingest_to_device(
    core: Core, request: room_pb2.IngestToDeviceRequest, record: Record = no_record
) -> room_pb2.IngestToDeviceResponse:
    """Take to-device messages for hosted devices in, each by itself."""
    messages = list(request.messages)
    results: list[room_pb2.IngestResult] = [_IGNORED] * len(messages)
    welcomes: dict[int, tuple[RoomId, ToDeviceReceived]] = {}
    for position, message in enumerate(messages):
        try:
            check(message, core.limits)
            found = _read_welcome(core, message)
        except DMLSError as error:
            results[position] = _rejected(error)
        else:
            if found is not None:
                welcomes[position] = found

    def work(session: Session) -> None:
        for position, (room_id, happened) in welcomes.items():
            if not session.is_forgotten(room_id):
                results[position] = _guarded(_ingest, session, room_id, happened.message_id, happened)

    def finish(conn: Connection, _written: Written, _nothing: None) -> room_pb2.IngestToDeviceResponse:
        answer = room_pb2.IngestToDeviceResponse(results=results)
        record(conn, answer)
        return answer

    return core.keeper.transact({room_id for room_id, _ in welcomes.values()}, work, finish)


def to_ingest_result(state: RoomState, name: str, result: EventResult) -> room_pb2.IngestResult:
    """Return what became of an event as callers see it; `name` is its event id or message id."""
    told = room_pb2.IngestResult(outcome=_OUTCOMES[result.outcome], kind=_KINDS[result.kind], commit_ref=result.commit_ref)
    if result.outcome is IngestOutcome.PARKED:
        told.missing.extend(_missing(state, name))
    elif result.outcome is IngestOutcome.REJECTED:
        told.failure.CopyFrom(common_pb2.Failure(reason=result.reason, rule=result.rule, message=result.message))
    return told


def _rejected(error: Exception) -> room_pb2.IngestResult:
    return room_pb2.IngestResult(outcome=room_pb2.INGEST_OUTCOME_REJECTED, failure=to_failure(error))


def _guarded(take: Callable[_P, room_pb2.IngestResult], *args: _P.args, **kwargs: _P.kwargs) -> room_pb2.IngestResult:
    """Take one item in; whatever is wrong with it is told of it alone. A step that raises has changed nothing.

    Raises:
        StoreError: the store cannot be read.
    """
    try:
        return take(*args, **kwargs)
    except DMLSError as error:
        return _rejected(error)
    except StoreError:
        raise
    except Exception as error:  # noqa: BLE001 - a defect that one event meets must not stop the events after it
        log_defect(error)
        return _rejected(error)


def _settle_form(core: Core, results: list[room_pb2.IngestResult], position: int, event: room_pb2.RoomEvent) -> bool:
    """Note the result of an event that no room needs to see; tell whether it is one."""
    try:
        check(event, core.limits)
        if len(event.auth_event_ids) > MAX_AUTH_EVENTS:
            raise InvalidArgumentError(f"more than {MAX_AUTH_EVENTS} auth events")
    except DMLSError as error:
        results[position] = _rejected(error)
        return True
    return event.type not in (ENCRYPTED, _MEMBER)


def _ingest_event(session: Session, event: room_pb2.RoomEvent) -> room_pb2.IngestResult:
    content = parse_json_object(event.content)
    if event.type == _MEMBER:
        return _ingest_member(session, event, content)
    if content.get("algorithm") != ALGORITHM or event.HasField("state_key"):
        return _IGNORED
    room_id, event_id = RoomId(event.room_id), EventId(event.event_id)
    auth_events = tuple(map(EventId, event.auth_event_ids))
    happened = RoomEvent(
        event_id,
        room_id,
        UserId(event.sender),
        event.type,
        None,
        content,
        to_ms(event.origin_server_ts),
        soft_failed=event.soft_failed,
        before_departure=event.before_departure,
        auth_events=auth_events,
    )
    return _ingest(session, room_id, event_id, EventReceived(happened))


def _ingest_member(session: Session, event: room_pb2.RoomEvent, content: Mapping[str, Any]) -> room_pb2.IngestResult:
    room_id = RoomId(event.room_id)
    user = event.state_key if event.HasField("state_key") else None
    happened = parse_member_event(event.event_id, user, event.sender, content.get("membership"), event.auth_event_ids)
    before = session.state(room_id).membership
    session.step(room_id, MemberEventReceived(happened))
    is_known = session.state(room_id).membership is before
    outcome = room_pb2.INGEST_OUTCOME_DUPLICATE if is_known else room_pb2.INGEST_OUTCOME_PROCESSED
    return room_pb2.IngestResult(outcome=outcome, kind=room_pb2.EVENT_KIND_MEMBER)


def _ingest(session: Session, room_id: RoomId, name: str, happened: EventReceived | ToDeviceReceived) -> room_pb2.IngestResult:
    result = session.step(room_id, happened).result
    if result is None:
        raise InternalError("the engine says nothing of an event")
    return to_ingest_result(session.state(room_id), name, result)


def _read_welcome(core: Core, message: room_pb2.ToDeviceMessage) -> tuple[RoomId, ToDeviceReceived] | None:
    """Return the room of a Welcome for a hosted device, None for a message of another sort.

    Raises:
        DMLSError: the message is malformed, or the device is not hosted here.
    """
    if message.type != ENCRYPTED:
        return None
    content = parse_json_object(message.content)
    if content.get("algorithm") != ALGORITHM:
        return None
    body = parse_body(content)
    if not isinstance(body, WelcomeBody):
        raise InvalidMessageError("only a Welcome is sent to a device")
    user_id, device_id = UserId(message.user_id), DeviceId(message.device_id)
    if not core.is_hosted(user_id, device_id):
        raise UnknownResourceError("device", device_id)
    return body.room_id, ToDeviceReceived(message.message_id, UserId(message.sender), user_id, device_id, content)


def _missing(state: RoomState, event: str) -> list[room_pb2.MissingReference]:
    """Return what a parked event waits for."""
    parked = state.parked.get(event.encode()) or state.parked.get(b"to_device:" + event.encode())
    if parked is None:
        return []
    name = parked.missing.key
    if name.startswith(BLOB):
        return [room_pb2.MissingReference(blob=common_pb2.Blob(sha256=name.removeprefix(BLOB)))]
    return [room_pb2.MissingReference(commit_ref=name.removeprefix(EPOCH))]
