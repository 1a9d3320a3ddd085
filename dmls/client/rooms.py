"""The rooms of a client device: what its homeserver tells of them, what the device wants sent, and messages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

from devicestore import Connection, Store, blobs, outbox
from devicestore.errors import NotFound
from dmls.engine.effects import (
    BlobWanted,
    DecryptOutcome,
    DecryptResult,
    EncryptOutcome,
    EncryptResult,
    EventResult,
    EventToSend,
)
from dmls.engine.inputs import (
    DecryptRequested,
    DeviceListChanged,
    EncryptRequested,
    EventReceived,
    Input,
    KeyPackagesProvided,
    MemberEventReceived,
    RoomStateChanged,
    ToDeviceReceived,
)
from dmls.engine.state import RoomState
from dmls.errors import NotFoundError
from dmls.forks.graph import Device
from dmls.ids import EventId, RoomId
from dmls.matrix.bodies import Payload
from dmls.rooms.answers import Answer, AnswerResult, Answers
from dmls.rooms.keeper import Keeper
from dmls.rooms.outbox import BlobToStore, StoredItem, decode_item
from dmls.rooms.session import Session, Written, load_pending

__all__ = ["DeviceRooms", "Encrypted"]

_MOST_ITEMS = 1_000


@dataclass(frozen=True, slots=True)
class Encrypted:
    """What became of an event to encrypt; `depends_on` are the outbox items, by number, to be sent before its ciphertext."""

    result: EncryptResult = field(repr=False)
    depends_on: tuple[int, ...] = ()


class DeviceRooms:
    """The rooms in the store of one device. Safe to use from several threads."""

    def __init__(self, device: Device, store: Store, keeper: Keeper) -> None:
        """Work on the rooms of `keeper`, which are in `store`; the caller closes it."""
        self.device = device
        self.store = store
        self.keeper = keeper

    # What the homeserver tells

    def change_room_state(self, room_id: RoomId, change: RoomStateChanged) -> None:
        """Take over the room's resolved state, or what changed of it.

        Raises:
            DMLSError: the change makes no sense.
        """
        self._step(room_id, change)

    def receive_events(
        self, room_id: RoomId, events: Iterable[EventReceived | MemberEventReceived | ToDeviceReceived]
    ) -> list[EventResult]:
        """Take in events of a room's timeline and to-device messages about it, and tell what became of each."""
        waiting = list(events)

        def work(session: Session) -> list[EventResult]:
            results = (session.step(room_id, event).result for event in waiting)
            return [result for result in results if result is not None]

        return self.keeper.transact([room_id], work)

    def change_device_lists(self, lists: Iterable[DeviceListChanged]) -> None:
        """Take over device lists of users of other homeservers, in every room that the device knows."""
        changes = list(lists)
        for room_id in self.keeper.all_rooms():
            self.keeper.transact([room_id], partial(_step_all, room_id=room_id, changes=changes))

    def provide_key_packages(self, seq: int, provided: KeyPackagesProvided) -> AnswerResult:
        """Take key packages of other homeservers' users, all that item `seq` asked for; the item is thereby done."""
        return self._answer(Answer(seq, None, False, b"provided"), provided)

    # What the device wants of its homeserver

    def items(self) -> list[StoredItem]:
        """Return what is not answered, in order."""
        rows = self.store.read(lambda conn: outbox.read_after(conn, 0, _MOST_ITEMS))
        return [decode_item(row) for row in rows]

    def answer(self, seq: int, event_id: EventId | None, *, is_refused: bool = False) -> AnswerResult:
        """Tell what became of an item: done, a room event under an event id, or finally refused."""
        record = b"refused" if is_refused else b"sent " + (event_id or "").encode()
        return self._answer(Answer(seq, event_id, is_refused, record))

    def pass_time(self) -> None:
        """Do what is due."""
        for room_id in self.keeper.due(self.keeper.env.clock()):
            self.keeper.wake(room_id)

    def next_wake_ms(self) -> int | None:
        """Return when `pass_time` has something to do next, in milliseconds since 1970; None: nothing is due of itself."""
        return self.keeper.next_wake_ms()

    # Messages

    def encrypt(self, room_id: RoomId, event_type: str, content: dict[str, object]) -> Encrypted:
        """Encrypt an event, after what must be committed first; the ciphertext is durable as sent when this returns.

        Raises:
            DMLSError: the content cannot be sent.
        """
        request = EncryptRequested(self.device.user_id, self.device.device_id, Payload(event_type, content, room_id))

        def work(session: Session) -> tuple[EncryptResult, int]:
            result = session.step(room_id, request).encrypted
            return result or EncryptResult(EncryptOutcome.NOT_ENCRYPTED), session.mark()

        def finish(conn: Connection, written: Written, done: tuple[EncryptResult, int]) -> Encrypted:
            result, mark = done
            before = (item for item in load_pending(conn, room_id) if isinstance(item.action, EventToSend | BlobToStore))
            return Encrypted(result, tuple(item.seq for item in before if written.was_there(item, mark)))

        self.pass_time()
        return self.keeper.transact([room_id], work, finish)

    def decrypt(self, room_id: RoomId, event_id: EventId) -> DecryptResult:
        """Return the plaintext of an event that was received before, or why it cannot be read."""
        request = DecryptRequested(self.device.user_id, self.device.device_id, event_id)
        result = self.keeper.transact([room_id], lambda session: session.step(room_id, request).decrypted)
        return result or DecryptResult(DecryptOutcome.UNKNOWN_EVENT)

    def room(self, room_id: RoomId) -> RoomState | None:
        """Return what the device knows of a room, None if nothing."""
        return self.keeper.state(room_id)

    # Blobs

    def receive_blob(self, room_id: RoomId, data: bytes) -> None:
        """Take in a blob that the room waits for, or that an event of it will name."""
        now = self.keeper.env.clock()
        sha256 = self.store.write(lambda conn: blobs.put(conn, data, now_ms=now)).result()

        def work(session: Session) -> None:
            session.requests[room_id].append(BlobWanted("", sha256, len(data)))
            session.touch(room_id)

        self.keeper.transact([room_id], work)

    def blob(self, sha256: bytes) -> bytes:
        """Return a blob that the device made, to be put into the media repository; `sha256` has 32 bytes.

        Raises:
            NotFoundError: it is not here.
        """
        try:
            return self.store.read(lambda conn: blobs.get(conn, sha256))
        except NotFound as error:
            raise NotFoundError("no such blob") from error

    # The store

    def _step(self, room_id: RoomId, happened: Input) -> None:
        self.keeper.transact([room_id], lambda session: session.step(room_id, happened))

    def _answer(self, answer: Answer, happened: Input | None = None) -> AnswerResult:
        """Store an answer together with what it lets happen in the item's room."""
        item = self._item(answer.seq)

        def work(session: Session) -> tuple[Answers, list[tuple[Answer, AnswerResult | None]]]:
            answers = Answers(session)
            if item is not None and happened is not None:
                session.step(item.room_id, happened)
            return answers, answers.take([answer])

        def finish(
            conn: Connection, _written: Written, taken: tuple[Answers, list[tuple[Answer, AnswerResult | None]]]
        ) -> AnswerResult:
            return taken[0].store(conn, taken[1])[0]

        return self.keeper.transact([] if item is None else [item.room_id], work, finish)

    def _item(self, seq: int) -> StoredItem | None:
        return next((item for item in self.items() if item.seq == seq), None)


def _step_all(session: Session, *, room_id: RoomId, changes: Iterable[Input]) -> None:
    for change in changes:
        session.step(room_id, change)
