"""A client device: one device with its own keys, its own store and its own engine, beside a homeserver that it need not trust.

What concerns rooms comes from its homeserver, in Matrix through /sync: events, resolved state, to-device messages, and what is
known of other homeservers' users. Key packages and devices of its own homeserver's users it gets from that homeserver's service.
What it wants sent waits in its outbox, unchanged, until it is told what became of it; so it can be killed at any moment.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from devicestore import Connection, blobs, key_package_secrets, outbox
from devicestore.errors import NotFound
from dmls.client.channel import ServiceChannel
from dmls.client.failures import CallError
from dmls.client.home import HomeService
from dmls.client.store import load_or_make_device, open_client_store
from dmls.engine.effects import (
    BlobWanted,
    ClaimWanted,
    DecryptOutcome,
    DecryptResult,
    DeviceListsWanted,
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
from dmls.ids import DeviceId, EventId, RoomId, UserId
from dmls.matrix.bodies import Payload
from dmls.matrix.identifiers import server_of
from dmls.mls.crypto.randomness import Random
from dmls.mls.crypto.suites import cipher_suite
from dmls.rooms.answers import Answer, AnswerResult, Answers
from dmls.rooms.environment import Clock
from dmls.rooms.keeper import Keeper
from dmls.rooms.key_packages import keep_secrets, make_bundles
from dmls.rooms.outbox import BlobToStore, StoredItem, decode_item
from dmls.rooms.session import Session, Written, load_pending
from dmls.v1 import common_pb2

__all__ = ["STOCK", "ClientDevice", "Encrypted", "system_clock"]

STOCK = 20
"""How many one-time key packages a device keeps at its service."""
_SUITE = 1
_MOST_ITEMS = 1_000


def system_clock() -> int:
    """Return the time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Encrypted:
    """What became of an event to encrypt; `depends_on` are the outbox items, by number, to be sent before its ciphertext."""

    result: EncryptResult = field(repr=False)
    depends_on: tuple[int, ...] = ()


class ClientDevice:
    """One device. Safe to use from several threads."""

    def __init__(
        self,
        folder: Path,
        user_id: UserId,
        device_id: DeviceId,
        channel: ServiceChannel,
        *,
        clock: Clock = system_clock,
        random: Random = os.urandom,
    ) -> None:
        """Open the device's store, which is made where there is none.

        Args:
            folder: the store's; nobody else may have it open.
            user_id: whose device it is.
            device_id: its name.
            channel: to the service of the user's homeserver; the caller closes it.
            clock: the time.
            random: where keys come from.

        Raises:
            StateError: the store is another device's.
            StoreError: it cannot be opened.
        """
        self._clock, self._random = clock, random
        self._server = server_of(user_id)
        self._store = open_client_store(folder)
        try:
            self.device = load_or_make_device(self._store, user_id, device_id, cipher_suite(_SUITE), clock(), random)
            self._home = HomeService(channel, self.device, _SUITE)
            self._keeper = Keeper(self._store, self._server, is_service=False, clock=clock, random=random)
            for room_id in self._keeper.all_rooms():
                self._keeper.wake(room_id)
        except BaseException:
            self._store.close()
            raise
        self._served: set[int] = set()

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def signature_key(self) -> common_pb2.SignatureKey:
        """What the homeserver registers with the service."""
        return common_pb2.SignatureKey(public_key=self.device.signature_key, cipher_suites=[_SUITE])

    # Key packages

    def stock(self, count: int = STOCK) -> int:
        """Upload as many key packages as are missing to `count`, and a last resort where none is or it was given out.

        Their private halves are durable before any of them leaves. Returns how many were uploaded.

        Raises:
            DMLSError: the service refused them or cannot be reached.
        """
        shortage = self._home.find_shortage(count)
        if not shortage:
            return 0
        user_id = self.device.user_id
        own = self._keeper.people.find([user_id])[user_id].hosted(_SUITE)[self.device]
        now = self._clock()
        bundles = make_bundles(
            own, cipher_suite(_SUITE), now, self._random, count=shortage.one_time, last_resort=shortage.last_resort
        )

        def keep(conn: Connection) -> None:
            key_package_secrets.purge(conn, now_ms=now)
            keep_secrets(conn, self.device, bundles)

        self._store.write(keep).result()
        self._home.upload(bundles)
        return len(bundles)

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

        return self._keeper.transact([room_id], work)

    def change_device_lists(self, lists: Iterable[DeviceListChanged]) -> None:
        """Take over device lists of users of other homeservers, in every room that the device knows."""
        changes = list(lists)
        for room_id in self._keeper.all_rooms():
            self._keeper.transact([room_id], partial(_step_all, room_id=room_id, changes=changes))

    def refresh_device_lists(self, users: Iterable[UserId]) -> None:
        """Fetch the devices of users of the own homeserver again, because they have changed.

        Raises:
            DMLSError: the service cannot be reached.
        """
        now = self._clock()
        self.change_device_lists(self._home.fetch_list(user, now) for user in users if server_of(user) == self._server)

    def provide_key_packages(self, seq: int, provided: KeyPackagesProvided) -> AnswerResult:
        """Take key packages of other homeservers' users, all that item `seq` asked for; the item is thereby done."""
        return self._answer(Answer(seq, None, False, b"provided"), provided)

    # What the device wants of its homeserver

    def pending(self) -> list[StoredItem]:
        """Return what the homeserver is to do, in order, after doing what the device can do itself.

        What it cannot do because its service is out of reach is tried again next time.
        """
        self.pass_time()
        while True:
            served = len(self._served)
            wanted = [self._serve(item) for item in self._items()]
            if len(self._served) == served:
                return [item for item in wanted if item is not None]

    def answer(self, seq: int, event_id: EventId | None, *, is_refused: bool = False) -> AnswerResult:
        """Tell what became of an item: done, a room event under an event id, or finally refused."""
        record = b"refused" if is_refused else b"sent " + (event_id or "").encode()
        return self._answer(Answer(seq, event_id, is_refused, record))

    def pass_time(self) -> None:
        """Do what is due."""
        for room_id in self._keeper.due(self._clock()):
            self._keeper.wake(room_id)

    def next_wake_ms(self) -> int | None:
        """Return when `pass_time` has something to do next, in milliseconds since 1970; None: nothing is due of itself."""
        return self._keeper.next_wake_ms()

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
        return self._keeper.transact([room_id], work, finish)

    def decrypt(self, room_id: RoomId, event_id: EventId) -> DecryptResult:
        """Return the plaintext of an event that was received before, or why it cannot be read."""
        request = DecryptRequested(self.device.user_id, self.device.device_id, event_id)
        result = self._keeper.transact([room_id], lambda session: session.step(room_id, request).decrypted)
        return result or DecryptResult(DecryptOutcome.UNKNOWN_EVENT)

    def room(self, room_id: RoomId) -> RoomState | None:
        """Return what the device knows of a room, None if nothing."""
        return self._keeper.state(room_id)

    # Blobs

    def receive_blob(self, room_id: RoomId, data: bytes) -> None:
        """Take in a blob that the room waits for, or that an event of it will name."""
        now = self._clock()
        sha256 = self._store.write(lambda conn: blobs.put(conn, data, now_ms=now)).result()

        def work(session: Session) -> None:
            session.requests[room_id].append(BlobWanted("", sha256, len(data)))
            session.touch(room_id)

        self._keeper.transact([room_id], work)

    def blob(self, sha256: bytes) -> bytes:
        """Return a blob that the device made, to be put into the media repository; `sha256` has 32 bytes.

        Raises:
            NotFoundError: it is not here.
        """
        try:
            return self._store.read(lambda conn: blobs.get(conn, sha256))
        except NotFound as error:
            raise NotFoundError("no such blob") from error

    # The own homeserver's service

    def _serve(self, item: StoredItem) -> StoredItem | None:
        """Do what the device can do of an item itself; return what remains for the homeserver, None if nothing does."""
        action = item.action
        try:
            if isinstance(action, ClaimWanted):
                return self._serve_claim(item, action)
            if isinstance(action, DeviceListsWanted):
                return self._serve_lists(item, action)
        except CallError:
            return None
        return item

    def _serve_claim(self, item: StoredItem, action: ClaimWanted) -> StoredItem | None:
        own = tuple(device for device in action.devices if device.server == self._server)
        others = tuple(device for device in action.devices if device.server != self._server)
        if own and item.seq not in self._served:
            name = f"{self.device.user_id} {self.device.device_id} {item.seq} {item.created_at_ms}"
            claimed = self._home.claim(own, item.room_id, hashlib.sha256(name.encode()).hexdigest())
            self._step(item.room_id, claimed)
        return self._rest(item, ClaimWanted(others, action.cipher_suite) if others else None)

    def _serve_lists(self, item: StoredItem, action: DeviceListsWanted) -> StoredItem | None:
        if item.seq not in self._served:
            self.refresh_device_lists(action.users)
        others = tuple(user for user in action.users if server_of(user) != self._server)
        return self._rest(item, DeviceListsWanted(others) if others else None)

    def _rest(self, item: StoredItem, action: ClaimWanted | DeviceListsWanted | None) -> StoredItem | None:
        self._served.add(item.seq)
        if action is None:
            self.answer(item.seq, None)
            return None
        return replace(item, action=action)

    # The store

    def _step(self, room_id: RoomId, happened: Input) -> None:
        self._keeper.transact([room_id], lambda session: session.step(room_id, happened))

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

        return self._keeper.transact([] if item is None else [item.room_id], work, finish)

    def _items(self) -> list[StoredItem]:
        rows = self._store.read(lambda conn: outbox.read_after(conn, 0, _MOST_ITEMS))
        return [decode_item(row) for row in rows]

    def _item(self, seq: int) -> StoredItem | None:
        return next((item for item in self._items() if item.seq == seq), None)


def _step_all(session: Session, *, room_id: RoomId, changes: Iterable[Input]) -> None:
    for change in changes:
        session.step(room_id, change)
