"""The homeserver's answers to outbox items: what they mean for the room, and which further items they make pointless."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from devicestore import Connection, Store, outbox
from devicestore.errors import Conflict, NotFound
from dmls.engine.effects import EventToSend
from dmls.engine.inputs import OutboxAnswered
from dmls.errors import DMLSError, InvalidArgumentError
from dmls.ids import EventId
from dmls.rooms.outbox import StoredItem, decode_item
from dmls.rooms.session import Session, load_pending

__all__ = ["Answer", "AnswerOutcome", "AnswerResult", "Answers", "find_pending"]

_WITHDRAWN = b"withdrawn"


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an item. `record` is stored with it, and tells a repeated answer from another one."""

    seq: int
    event_id: EventId | None
    """Of a sent room event; None otherwise."""
    is_refused: bool
    record: bytes


class AnswerOutcome(Enum):
    """What became of an answer."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    UNKNOWN = "unknown"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class AnswerResult:
    """The result for one answer; `error` says why it was rejected."""

    outcome: AnswerOutcome
    error: DMLSError | None = None


def find_pending(store: Store, seq: int) -> StoredItem | None:
    """Return an item that is not acknowledged, or None.

    Raises:
        StoreError: the store cannot be read.
    """
    rows = store.read(lambda conn: outbox.read_after(conn, seq - 1, 1))
    return decode_item(rows[0]) if rows and rows[0].seq == seq else None


@dataclass
class Answers:
    """Answers to items of a session's rooms: first `take` them in, then `store` them in the session's transaction."""

    session: Session
    _seen: set[int] = field(default_factory=set)
    _withdrawn: dict[int, None] = field(default_factory=dict)

    def take(self, answers: Iterable[Answer]) -> list[tuple[Answer, AnswerResult | None]]:
        """Let the rooms know; return each answer, with its result where that is settled already."""
        return [(answer, self._take(answer)) for answer in answers]

    def store(self, conn: Connection, taken: Iterable[tuple[Answer, AnswerResult | None]]) -> list[AnswerResult]:
        """Store the answers and return a result for each."""
        results = [result or self._store(conn, answer) for answer, result in taken]
        for seq in self._withdrawn:
            try:
                outbox.ack(conn, seq, _WITHDRAWN, now_ms=self.session.now_ms)
            except (Conflict, NotFound):
                continue
        return results

    def _take(self, answer: Answer) -> AnswerResult | None:
        item = find_pending(self.session.env.store, answer.seq)
        if item is None or answer.seq in self._seen:
            return None
        if not self.session.has(item.room_id):
            return AnswerResult(AnswerOutcome.UNKNOWN)
        self._seen.add(answer.seq)
        is_event = isinstance(item.action, EventToSend)
        if is_event and not answer.is_refused and answer.event_id is None:
            return AnswerResult(AnswerOutcome.REJECTED, InvalidArgumentError("a room event is acknowledged with its event id"))
        if not isinstance(item.action, EventToSend):
            return None
        if answer.is_refused:
            self._refuse(item)
        elif item.action.commit_ref:
            self.session.step(item.room_id, OutboxAnswered(item.action.commit_ref, answer.event_id))
        return None

    def _refuse(self, refused: StoredItem) -> None:
        """Let a room know that an event was finally refused; if it forgets the node, what rests on it is not sent either."""
        action = refused.action
        if not isinstance(action, EventToSend) or not action.commit_ref:
            return
        self.session.step(refused.room_id, OutboxAnswered(action.commit_ref, None))
        if action.commit_ref in self.session.state(refused.room_id).graph:
            return
        gone = {refused.seq}
        for item in self.session.env.store.read(lambda conn: load_pending(conn, refused.room_id)):
            if gone & set(item.depends_on):
                gone.add(item.seq)
                self._withdrawn[item.seq] = None

    def _store(self, conn: Connection, answer: Answer) -> AnswerResult:
        try:
            _, is_new = outbox.ack(conn, answer.seq, answer.record, now_ms=self.session.now_ms)
        except Conflict:
            return AnswerResult(AnswerOutcome.CONFLICT)
        except NotFound:
            # Numbers are given without gaps, so a smaller one than the last was acknowledged and purged.
            is_old = answer.seq <= outbox.last_seq(conn)
            return AnswerResult(AnswerOutcome.DUPLICATE if is_old else AnswerOutcome.UNKNOWN)
        return AnswerResult(AnswerOutcome.ACCEPTED if is_new else AnswerOutcome.DUPLICATE)
