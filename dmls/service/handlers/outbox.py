"""The outbox as callers see it, and AckOutbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from google.protobuf.message import Message

from devicestore import Connection, blobs, meta, outbox
from dmls.engine.effects import ClaimWanted, DeviceListsWanted, EventToSend, ToDeviceToSend
from dmls.errors import DMLSError, StateError
from dmls.ids import EventId, RoomId
from dmls.matrix.events import ENCRYPTED
from dmls.rooms.answers import Answer, AnswerOutcome, AnswerResult, Answers, find_pending
from dmls.rooms.key_packages import DMLS_REQUIRED
from dmls.rooms.outbox import Backfill, BlobToStore, StoredItem, decode_item
from dmls.rooms.session import Session, Written
from dmls.service.convert import to_timestamp
from dmls.service.core import Core, Record, no_record
from dmls.service.handlers.claims import claim_id
from dmls.service.handlers.key_packages import required_capabilities
from dmls.service.status import to_failure
from dmls.service.streams import Position, Source, read_cursor
from dmls.service.validation import check
from dmls.v1 import common_pb2, key_package_pb2, room_pb2

__all__ = ["ack_outbox", "outbox_items", "to_outbox_item"]

_PAGE = 20
_LAST_SEQUENCE = (1 << 63) - 1
_OUTCOMES = {
    AnswerOutcome.ACCEPTED: room_pb2.ACK_OUTCOME_ACCEPTED,
    AnswerOutcome.DUPLICATE: room_pb2.ACK_OUTCOME_DUPLICATE,
    AnswerOutcome.CONFLICT: room_pb2.ACK_OUTCOME_CONFLICT,
    AnswerOutcome.UNKNOWN: room_pb2.ACK_OUTCOME_UNKNOWN,
    AnswerOutcome.REJECTED: room_pb2.ACK_OUTCOME_REJECTED,
}


def outbox_items(core: Core, request: room_pb2.WatchOutboxRequest) -> Source:
    """Return the source of a stream: what is not acknowledged, in order."""

    def read(position: Position) -> Sequence[tuple[int, Mapping[str, Message]]]:
        return [(item.sequence, {"item": item}) for item in _read_outbox(core, position.number)]

    return Source(lambda: Position(_open_outbox(core, request.cursor)), read)


def _open_outbox(core: Core, cursor: str) -> int:
    """Return the number of the item after which a stream goes on.

    Whoever has seen items that the store never made has seen what was lost when the store was put back from a copy: its rooms are
    told, and its numbers mean nothing any more.

    Raises:
        InvalidRequestError: it is no cursor.
    """
    position = read_cursor(core, cursor)
    if position <= core.store.read(outbox.last_seq):
        return position
    core.keeper.roll_back()
    incarnation = core.store.write(meta.raise_incarnation).result()
    core.identity = replace(core.identity, incarnation=incarnation)
    return 0


def _read_outbox(core: Core, after: int) -> list[room_pb2.OutboxItem]:
    """Return the next items that are not acknowledged, in order; none if there are no more."""

    def read(conn: Connection) -> list[room_pb2.OutboxItem]:
        return [to_outbox_item(core, conn, decode_item(row)) for row in outbox.read_after(conn, after, _PAGE)]

    return core.store.read(read)


def to_outbox_item(core: Core, conn: Connection, item: StoredItem) -> room_pb2.OutboxItem:
    """Return an item as callers see it; a small blob comes with its bytes."""
    told = room_pb2.OutboxItem(
        sequence=item.seq,
        transaction_id=f"dmls-{core.identity.store_id.hex()[:16]}-{core.identity.incarnation}-{item.seq}",
        room_id=item.room_id,
        depends_on=item.depends_on,
        create_time=to_timestamp(item.created_at_ms),
    )
    match item.action:
        case EventToSend(sender, content):
            told.room_event.CopyFrom(room_pb2.SendRoomEvent(sender=sender, type=ENCRYPTED, content=content))
        case ToDeviceToSend(sender, user_id, device_id, content):
            message = room_pb2.SendToDevice(sender=sender, user_id=user_id, device_id=device_id, type=ENCRYPTED, content=content)
            told.to_device.CopyFrom(message)
        case BlobToStore(uri, sha256, size):
            data = blobs.get(conn, sha256) if size <= core.limits.max_inline_blob_bytes else b""
            told.blob.blob.CopyFrom(common_pb2.Blob(sha256=sha256, size=size, data=data, uri=uri))
        case ClaimWanted():
            told.claim_wanted.CopyFrom(_claim(core, item.seq, item.action))
        case Backfill(event_ids, commit_refs, wanted):
            pointers = [common_pb2.Blob(sha256=each.sha256, size=each.size, uri=each.uri) for each in wanted]
            told.backfill_wanted.CopyFrom(room_pb2.BackfillWanted(event_ids=event_ids, commit_refs=commit_refs, blobs=pointers))
        case DeviceListsWanted(users):
            taken_after = to_timestamp(item.created_at_ms)
            told.device_list_wanted.CopyFrom(room_pb2.DeviceListWanted(user_ids=users, taken_after=taken_after))
    return told


def _claim(core: Core, seq: int, wanted: ClaimWanted) -> room_pb2.ClaimWanted:
    by_user: dict[str, list[str]] = {}
    for device in wanted.devices:
        by_user.setdefault(device.user_id, []).append(device.device_id)
    return room_pb2.ClaimWanted(
        claim_id=claim_id(core, seq),
        targets=[key_package_pb2.ClaimTarget(user_id=user, device_ids=names) for user, names in by_user.items()],
        cipher_suites=[wanted.cipher_suite],
        required_capabilities=required_capabilities(DMLS_REQUIRED),
    )


def ack_outbox(core: Core, request: room_pb2.AckOutboxRequest, record: Record = no_record) -> room_pb2.AckOutboxResponse:
    """Note what became of outbox items, each by itself.

    Raises:
        StateError: the items are of another incarnation of the store.
    """
    if request.incarnation != core.identity.incarnation:
        raise StateError(f"the store's incarnation is {core.identity.incarnation} now; read the outbox from its beginning")
    read = [_read_ack(core, ack) for ack in request.acks]
    answers = [each for each in read if isinstance(each, Answer)]

    def work(session: Session) -> tuple[Answers, Sequence[tuple[Answer, AnswerResult | None]]]:
        taker = Answers(session)
        return taker, taker.take(answers)

    def finish(
        conn: Connection, _written: Written, taken: tuple[Answers, Sequence[tuple[Answer, AnswerResult | None]]]
    ) -> room_pb2.AckOutboxResponse:
        results = iter(taken[0].store(conn, taken[1]))
        told = [next(results) if isinstance(each, Answer) else each for each in read]
        answer = room_pb2.AckOutboxResponse(results=[_to_result(result) for result in told])
        record(conn, answer)
        return answer

    return core.keeper.transact(_rooms_of(core, answers), work, finish)


def _read_ack(core: Core, ack: room_pb2.OutboxAck) -> Answer | AnswerResult:
    try:
        check(ack, core.limits)
    except DMLSError as error:
        return AnswerResult(AnswerOutcome.REJECTED, error)
    if ack.sequence > _LAST_SEQUENCE:
        return AnswerResult(AnswerOutcome.UNKNOWN)
    nameless = room_pb2.OutboxAck()
    nameless.CopyFrom(ack)
    nameless.ClearField("sequence")
    event_id = EventId(ack.sent.event_id) if ack.sent.event_id else None
    is_refused = ack.WhichOneof("answer") == "refused"
    return Answer(ack.sequence, event_id, is_refused, nameless.SerializeToString(deterministic=True))


def _rooms_of(core: Core, answers: Sequence[Answer]) -> set[RoomId]:
    items = (find_pending(core.store, answer.seq) for answer in answers)
    return {item.room_id for item in items if item is not None}


def _to_result(result: AnswerResult) -> room_pb2.AckResult:
    failure = None if result.error is None else to_failure(result.error)
    return room_pb2.AckResult(outcome=_OUTCOMES[result.outcome], failure=failure)
