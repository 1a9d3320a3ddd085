"""EncryptEvents and DecryptEvents for hosted devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration

from devicestore import Connection
from dmls.engine.effects import DecryptOutcome, DecryptResult, EncryptOutcome, EncryptResult, EventToSend
from dmls.engine.inputs import DecryptRequested, EncryptRequested
from dmls.errors import DMLSError, LimitError, NotFoundError
from dmls.ids import DeviceId, EventId, RoomId, UserId
from dmls.matrix.bodies import Payload, encode_payload, parse_payload
from dmls.matrix.encoding import encode_json, parse_json_object
from dmls.matrix.events import ENCRYPTED
from dmls.rooms.outbox import BlobToStore, StoredItem
from dmls.rooms.session import Session, Written, load_pending
from dmls.rooms.settling import settle
from dmls.service.convert import device_ref, pointer, to_timestamp
from dmls.service.core import Core, Record, no_record
from dmls.service.errors import HostingDisabledError
from dmls.service.status import to_failure
from dmls.service.validation import check
from dmls.v1 import common_pb2, encryption_pb2

__all__ = ["decrypt_events", "encrypt_events"]

MAX_PAYLOAD = 43_000
"""Greatest plaintext in bytes whose ciphertext, in base64 and with a vote beside it, fits into an event."""

_R = encryption_pb2
_REFUSALS: Mapping[EncryptOutcome, tuple[encryption_pb2.EncryptRefusal, str]] = {
    EncryptOutcome.PENDING_COMMIT: (_R.ENCRYPT_REFUSAL_PENDING_COMMIT, "the group must change first"),
    EncryptOutcome.NO_SECRETS: (_R.ENCRYPT_REFUSAL_NO_SECRETS, "the head's secrets are not here yet"),
    EncryptOutcome.UNVOUCHED: (_R.ENCRYPT_REFUSAL_UNVOUCHED, "nobody vouches for a leaf of the group"),
    EncryptOutcome.NOT_JOINED: (_R.ENCRYPT_REFUSAL_NOT_JOINED, "the sender is not joined"),
    EncryptOutcome.NEEDS_READMISSION: (_R.ENCRYPT_REFUSAL_NEEDS_READMISSION, "the sender's join is spent"),
    EncryptOutcome.NEEDS_NEW_KEY: (_R.ENCRYPT_REFUSAL_NEEDS_NEW_KEY, "the device is finally gone"),
    EncryptOutcome.UNKNOWN_DEVICE: (_R.ENCRYPT_REFUSAL_UNKNOWN_DEVICE, "no such hosted device"),
    EncryptOutcome.NOT_ENCRYPTED: (_R.ENCRYPT_REFUSAL_NOT_ENCRYPTED, "the room is not encrypted with org.dmls.v1"),
}
_DECRYPTED: Mapping[DecryptOutcome, tuple[encryption_pb2.DecryptOutcome, str]] = {
    DecryptOutcome.OK: (_R.DECRYPT_OUTCOME_OK, ""),
    DecryptOutcome.PENDING_COMMIT: (_R.DECRYPT_OUTCOME_PENDING_COMMIT, "what the event refers to has not come yet"),
    DecryptOutcome.NOT_MEMBER_THEN: (_R.DECRYPT_OUTCOME_NOT_MEMBER_THEN, "the reader was not a member of the epoch"),
    DecryptOutcome.EXPIRED: (_R.DECRYPT_OUTCOME_EXPIRED, "the keys of the epoch are deleted"),
    DecryptOutcome.DUPLICATE: (_R.DECRYPT_OUTCOME_DUPLICATE, "the message was read before"),
    DecryptOutcome.SENDER_NOT_IN_ROOM: (_R.DECRYPT_OUTCOME_SENDER_NOT_IN_ROOM, "the sender was not joined"),
    DecryptOutcome.MALFORMED: (_R.DECRYPT_OUTCOME_MALFORMED, "the event is not a valid message"),
    DecryptOutcome.UNKNOWN_EVENT: (_R.DECRYPT_OUTCOME_UNKNOWN_EVENT, "the event was never told, or is no message"),
}


@dataclass(frozen=True, slots=True)
class _Encrypted:
    """What became of one event, and what was in the outbox by then."""

    room_id: RoomId
    result: EncryptResult | encryption_pb2.EncryptFailure
    mark: int


def encrypt_events(
    core: Core, request: encryption_pb2.EncryptEventsRequest, record: Record = no_record
) -> encryption_pb2.EncryptEventsResponse:
    """Encrypt events, each by itself, those of one room in their order.

    Raises:
        HostingDisabledError: this service holds no devices' keys.
    """
    _require_hosting(core)
    read = [_read_payload(core, event) for event in request.events]
    rooms = {RoomId(event.room_id) for event, each in zip(request.events, read, strict=True) if isinstance(each, Payload)}

    def work(session: Session) -> list[_Encrypted]:
        for room_id in rooms:
            _catch_up(session, room_id)
        return [_encrypt(core, session, event, each) for event, each in zip(request.events, read, strict=True)]

    def finish(conn: Connection, written: Written, encrypted: list[_Encrypted]) -> encryption_pb2.EncryptEventsResponse:
        pending = {room_id: load_pending(conn, room_id) for room_id in rooms}
        now_ms = core.now_ms()
        results = [_encrypt_result(each, pending.get(each.room_id, ()), written, now_ms) for each in encrypted]
        answer = encryption_pb2.EncryptEventsResponse(results=results)
        record(conn, answer)
        return answer

    return core.keeper.transact(rooms, work, finish)


def decrypt_events(
    core: Core, request: encryption_pb2.DecryptEventsRequest, record: Record = no_record
) -> encryption_pb2.DecryptEventsResponse:
    """Give plaintexts to hosted devices. The record is of the request only: a plaintext is never stored in the clear.

    Raises:
        HostingDisabledError: this service holds no devices' keys.
    """
    _require_hosting(core)
    refused = [_refuse_reader(core, event) for event in request.events]
    pairs = list(zip(request.events, refused, strict=True))
    rooms = {RoomId(event.room_id) for event, refusal in pairs if refusal is None}

    def work(session: Session) -> encryption_pb2.DecryptEventsResponse:
        results = [_decrypt(session, event) if refusal is None else refusal for event, refusal in pairs]
        return encryption_pb2.DecryptEventsResponse(results=results)

    def finish(
        conn: Connection, _written: Written, answer: encryption_pb2.DecryptEventsResponse
    ) -> encryption_pb2.DecryptEventsResponse:
        record(conn, encryption_pb2.DecryptEventsResponse())
        return answer

    return core.keeper.transact(rooms, work, finish)


def _require_hosting(core: Core) -> None:
    if not core.hosting:
        raise HostingDisabledError("this service holds no devices' keys")


def _catch_up(session: Session, room_id: RoomId) -> None:
    """Do what is due, so that a message goes into the epoch that the room should be in."""
    session.state(room_id)
    wake_at_ms = session.room(room_id).wake_at_ms
    if wake_at_ms is not None and wake_at_ms <= session.now_ms:
        settle(session, room_id)


def _read_payload(core: Core, event: encryption_pb2.EventToEncrypt) -> Payload | encryption_pb2.EncryptFailure:
    try:
        check(event, core.limits)
        payload = Payload(event.type, parse_json_object(event.content), RoomId(event.room_id))
        size = len(encode_payload(payload))
        if size > MAX_PAYLOAD:
            raise LimitError(f"a plaintext of {size} bytes, {MAX_PAYLOAD} are allowed")
    except DMLSError as error:
        malformed = encryption_pb2.ENCRYPT_REFUSAL_MALFORMED
        return encryption_pb2.EncryptFailure(refusal=malformed, failure=to_failure(error))
    return payload


def _encrypt(
    core: Core,
    session: Session,
    event: encryption_pb2.EventToEncrypt,
    payload: Payload | encryption_pb2.EncryptFailure,
) -> _Encrypted:
    room_id = RoomId(event.room_id)
    if not isinstance(payload, Payload):
        return _Encrypted(room_id, payload, 0)
    user_id, device_id = UserId(event.sender.user_id), DeviceId(event.sender.device_id)
    if not session.state(room_id).state_version:
        unknown = encryption_pb2.ENCRYPT_REFUSAL_UNKNOWN_ROOM
        failure = to_failure(NotFoundError("the room's state was never told"))
        return _Encrypted(room_id, encryption_pb2.EncryptFailure(refusal=unknown, failure=failure), session.mark())
    is_hosted = core.is_hosted(user_id, device_id)
    try:
        result = session.step(room_id, EncryptRequested(user_id, device_id, payload)).encrypted
    except DMLSError as error:
        pending = encryption_pb2.ENCRYPT_REFUSAL_PENDING_COMMIT
        failed = encryption_pb2.EncryptFailure(refusal=pending, retry_delay=_duration(1_000), failure=to_failure(error))
        return _Encrypted(room_id, failed, session.mark())
    if result is None or (result.outcome is EncryptOutcome.UNKNOWN_DEVICE and is_hosted):
        # The room's agent has the devices of those users only whom a member event names.
        result = EncryptResult(EncryptOutcome.NOT_JOINED)
    return _Encrypted(room_id, result, session.mark())


def _encrypt_result(
    encrypted: _Encrypted, pending: Sequence[StoredItem], written: Written, now_ms: int
) -> encryption_pb2.EncryptResult:
    result = encrypted.result
    if isinstance(result, encryption_pb2.EncryptFailure):
        return encryption_pb2.EncryptResult(failure=result)
    if result.outcome is not EncryptOutcome.OK:
        return encryption_pb2.EncryptResult(failure=_to_failure(result, [item.seq for item in pending], now_ms))
    depends_on = [
        item.seq
        for item in pending
        if isinstance(item.action, EventToSend | BlobToStore) and written.was_there(item, encrypted.mark)
    ]
    event = encryption_pb2.EncryptedEvent(
        type=ENCRYPTED,
        content=result.content,
        depends_on=depends_on,
        pointer=common_pb2.EpochPointer(commit_ref=result.commit_ref, epoch_id=result.epoch_id),
    )
    return encryption_pb2.EncryptResult(encrypted=event)


def _to_failure(result: EncryptResult, waits_for: Sequence[int], now_ms: int) -> encryption_pb2.EncryptFailure:
    refusal, message = _REFUSALS[result.outcome]
    failed = encryption_pb2.EncryptFailure(
        refusal=refusal,
        waits_for=waits_for if result.retry_at_ms else (),
        failure=common_pb2.Failure(reason=result.outcome.name, message=message),
    )
    if result.retry_at_ms:
        failed.retry_delay.CopyFrom(_duration(max(0, result.retry_at_ms - now_ms)))
    return failed


def _duration(ms: int) -> Duration:
    duration = Duration()
    duration.FromMilliseconds(ms)
    return duration


def _refuse_reader(core: Core, event: encryption_pb2.EventToDecrypt) -> encryption_pb2.DecryptResult | None:
    try:
        check(event, core.limits)
    except DMLSError as error:
        unknown = encryption_pb2.DECRYPT_OUTCOME_UNKNOWN_EVENT
        return encryption_pb2.DecryptResult(outcome=unknown, failure=to_failure(error))
    if core.is_hosted(event.reader.user_id, event.reader.device_id):
        return None
    failure = to_failure(NotFoundError("no such hosted device"))
    return encryption_pb2.DecryptResult(outcome=encryption_pb2.DECRYPT_OUTCOME_UNKNOWN_DEVICE, failure=failure)


def _decrypt(session: Session, event: encryption_pb2.EventToDecrypt) -> encryption_pb2.DecryptResult:
    room_id, event_id = RoomId(event.room_id), EventId(event.event_id)
    happened = DecryptRequested(UserId(event.reader.user_id), DeviceId(event.reader.device_id), event_id)
    result = session.step(room_id, happened).decrypted or DecryptResult(DecryptOutcome.UNKNOWN_EVENT)
    outcome, message = _DECRYPTED[result.outcome]
    told = encryption_pb2.DecryptResult(outcome=outcome)
    if result.outcome is not DecryptOutcome.OK or result.sender is None:
        told.failure.CopyFrom(common_pb2.Failure(reason=result.outcome.name, message=message))
        return told
    payload = parse_payload(result.payload)
    told.decrypted.CopyFrom(
        encryption_pb2.DecryptedEvent(
            type=payload.type,
            content=encode_json(payload.content),
            sender=device_ref(result.sender),
            sender_leaf_index=result.leaf_index,
            sender_signature_key=result.sender.signature_key,
            pointer=pointer(session.state(room_id), result.commit_ref),
            origin_server_ts=to_timestamp(result.origin_server_ts_ms),
        )
    )
    return told
