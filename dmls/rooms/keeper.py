"""The keeper of the rooms of one store: each room's steps happen one after another, and are durable when they are told of."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeVar, overload

from devicestore import Connection, Store, counters, rooms
from devicestore.counters import CounterName
from devicestore.errors import Stale
from dmls.engine.effects import EventResult, Notice, Put, Table
from dmls.engine.forgetting import kept_records
from dmls.engine.inputs import StoreRolledBack
from dmls.engine.state import RoomState
from dmls.ids import RoomId, ServerName, UserId
from dmls.mls.crypto.randomness import Random
from dmls.rooms.environment import Clock, Environment
from dmls.rooms.open_room import OpenRoom, open_engine
from dmls.rooms.people import People
from dmls.rooms.session import Session, Written
from dmls.rooms.settling import settle

__all__ = ["Keeper", "Report"]

MAX_OPEN = 1_000
"""How many rooms are kept in memory."""
_ATTEMPTS = 8
"""How often a session is tried in which another process was first."""
_DUE_AT_ONCE = 100

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Report:
    """What a session did, beside what it returned. It is durable."""

    room_ids: tuple[RoomId, ...]
    has_outgoing: bool
    """There is something new in the outbox."""
    has_claims: bool
    """Key packages of devices of this store were given out."""
    has_happened: bool
    """There is something to tell those who watch the rooms."""
    notices: tuple[tuple[RoomId, Notice], ...]
    unparked: tuple[tuple[RoomId, str, EventResult], ...]
    """Room, event id and result of events that had waited and do not any more."""
    failures: tuple[tuple[RoomId, Exception], ...]
    """What was due of itself and failed; it is tried again."""


def _ignore(_report: Report) -> None:
    pass


class Keeper:
    """All rooms of one store. Safe to use from several threads; a call may take as long as a commit of a large group does."""

    def __init__(
        self,
        store: Store,
        server_name: ServerName,
        *,
        is_service: bool,
        clock: Clock,
        random: Random,
        hosting: bool = True,
        on_report: Callable[[Report], None] = _ignore,
        max_open: int = MAX_OPEN,
    ) -> None:
        """Keep the rooms of `store`.

        Args:
            store: an open store; the caller closes it.
            server_name: the homeserver whose service this is, or that of the client device's user.
            is_service: see `Environment`.
            clock: the time.
            random: where keys come from.
            hosting: use the keys of the devices whose keys the store holds.
            on_report: told of every session that did something, on the thread that ran it; must not raise.
            max_open: how many rooms are kept in memory.
        """
        self.people = People(store, hosting=hosting)
        self.env = Environment(store, self.people, server_name, is_service, clock, random)
        self._on_report = on_report
        self._max_open = max_open
        self._guard = threading.Lock()
        self._rooms: dict[RoomId, OpenRoom] = {}
        self._recent: OrderedDict[RoomId, None] = OrderedDict()
        # Whatever fell due while nobody kept the rooms is done first; after that each says itself when it is to be woken.
        self._wakes: dict[RoomId, int] = {} if store.is_shared else dict.fromkeys(self.all_rooms(), 0)

    @overload
    def transact(self, room_ids: Collection[RoomId], work: Callable[[Session], T]) -> T: ...

    @overload
    def transact(
        self, room_ids: Collection[RoomId], work: Callable[[Session], T], finish: Callable[[Connection, Written, T], R]
    ) -> R: ...

    def transact(
        self,
        room_ids: Collection[RoomId],
        work: Callable[[Session], T],
        finish: Callable[[Connection, Written, T], R] | None = None,
    ) -> T | R:
        """Take steps in rooms, do what is due there after them, and make it all durable in one transaction.

        Sessions do not nest: neither `work` nor `finish` may use the keeper.

        Args:
            room_ids: the rooms, which need not be known yet.
            work: takes the steps, on this thread; nothing of what it gets may leave before `transact` returns. Where other
                processes have the store open, too, it is called again if one of them was first.
            finish: ends the transaction, on a writing thread; what it returns is the result instead of what `work` returns.

        Raises:
            StoreError, and whatever `work` or `finish` raise: nothing has happened.
        """
        for _ in range(_ATTEMPTS - 1):
            with contextlib.suppress(Stale):
                return self._transact(room_ids, work, finish)
        return self._transact(room_ids, work, finish)

    def _transact(
        self,
        room_ids: Collection[RoomId],
        work: Callable[[Session], T],
        finish: Callable[[Connection, Written, T], R] | None,
    ) -> T | R:
        with self._locked(room_ids) as held:
            session = Session(self.env, held, self.env.clock())
            try:
                result = work(session)
                failures = [(room_id, error) for room_id in session.touched if (error := settle(session, room_id)) is not None]
                if finish is None:
                    session.write()
                    answer: T | R = result
                else:
                    answer = session.write_and(lambda conn, written: finish(conn, written, result))
            except BaseException:
                for room in held.values():
                    room.drop()
                raise
            self._note_wakes(session, held)
        report = Report(
            tuple(session.touched),
            session.has_outgoing(),
            session.has_claims,
            session.has_happened(),
            tuple(session.notices),
            tuple(session.unparked),
            tuple(failures),
        )
        self._on_report(report)
        return answer

    def state(self, room_id: RoomId) -> RoomState | None:
        """Return what is known of a room, None if it was never told of.

        Raises:
            InternalError, SealBroken, StoreError: the room cannot be loaded.
        """
        with self._locked([room_id]) as held:
            state = open_engine(self.env, held[room_id]).state
        return state if state.state_version or state.entries or state.outcomes or state.parked or state.lists else None

    def wake(self, room_id: RoomId) -> None:
        """Let time pass in a room, and do what is due."""
        self.transact([room_id], lambda session: session.touch(room_id))

    def next_wake_ms(self) -> int | None:
        """Return when time is to pass in some room next, in milliseconds since 1970; None: nothing is due of itself."""
        if self.env.store.is_shared:
            return self.env.store.read(rooms.next_wake_ms)
        with self._guard:
            return min(self._wakes.values(), default=None)

    def due(self, now_ms: int) -> list[RoomId]:
        """Return rooms in which something is due, the one that has waited longest first."""
        if self.env.store.is_shared:
            return [RoomId(each) for each in self.env.store.read(lambda conn: rooms.due(conn, now_ms, _DUE_AT_ONCE))]
        with self._guard:
            found = [(at_ms, room_id) for room_id, at_ms in self._wakes.items() if at_ms <= now_ms]
        return [room_id for _, room_id in sorted(found)]

    def rooms_of(self, user_id: UserId) -> list[RoomId]:
        """Return the rooms in which a member event of a user is known; for a client device all rooms."""
        if not self.env.is_service:
            return self.all_rooms()
        return [RoomId(each) for each in self.env.store.read(lambda conn: rooms.find(conn, Table.MEMBER_STATE, user_id.encode()))]

    def all_rooms(self) -> list[RoomId]:
        """Return all rooms of the store."""
        return [RoomId(each) for each in self.env.store.read(rooms.list_rooms)]

    def forget(self, room_id: RoomId, finish: Callable[[Connection, bool], R]) -> R:
        """Delete all that is known of a room but what keeps its devices from repeating themselves.

        Args:
            room_id: the room.
            finish: ends the transaction, on the writing thread, told whether the room was known; what it returns is the result.

        Raises:
            InternalError, SealBroken, StoreError: the room cannot be loaded, or not be forgotten; nothing has happened.
        """
        with self._locked([room_id]) as held:
            kept = kept_records(open_engine(self.env, held[room_id]).state)
            keep = [(change.table, change.key, change.value) for change in kept if isinstance(change, Put)]
            now_ms = self.env.clock()
            answer = self.env.store.write(
                lambda conn: finish(conn, rooms.forget(conn, room_id, now_ms=now_ms, keep=keep))
            ).result()
            held[room_id].drop()
            with self._guard:
                self._wakes.pop(room_id, None)
        return answer

    def roll_back(self) -> None:
        """Let all rooms know that the store is older than what was sent from it. Repeating it costs external commits only."""
        for room_id in self.all_rooms():
            self.transact([room_id], lambda session, room_id=room_id: session.step(room_id, StoreRolledBack()))  # type: ignore[misc]

    def devices_changed(self, user_id: UserId) -> list[RoomId]:
        """Let a change of a user's devices in the store follow in the rooms, which are returned."""
        self.people.forget(user_id)
        room_ids = self.rooms_of(user_id)
        for room_id in room_ids:
            self.wake(room_id)
        return room_ids

    @contextmanager
    def _locked(self, room_ids: Collection[RoomId]) -> Iterator[dict[RoomId, OpenRoom]]:
        with ExitStack() as locks:
            held: dict[RoomId, OpenRoom] = {}
            for room_id in sorted(set(room_ids)):
                held[room_id] = self._find(room_id)
                locks.enter_context(held[room_id].lock)  # SQ-08
            if self.env.store.is_shared:
                self._catch_up(held)
            yield held
        self._close_oldest()

    def _catch_up(self, held: dict[RoomId, OpenRoom]) -> None:
        """Drop what other processes have changed since it was read."""
        versions, changes = self.env.store.read(
            lambda conn: (rooms.versions(conn, held), counters.current(conn, CounterName.DEVICE))
        )
        self.people.follow(changes)
        for room_id, room in held.items():
            if room.engine is not None and room.version != versions.get(room_id, 0):
                room.drop()

    def _find(self, room_id: RoomId) -> OpenRoom:
        with self._guard:
            self._recent[room_id] = None
            self._recent.move_to_end(room_id)
            return self._rooms.setdefault(room_id, OpenRoom(room_id))

    def _close_oldest(self) -> None:
        """Drop the engines of the rooms that were used longest ago. The rooms stay: somebody may be waiting for their locks."""
        while True:
            with self._guard:
                if len(self._recent) <= self._max_open:
                    return
                room = self._rooms[self._recent.popitem(last=False)[0]]
            if room.lock.acquire(blocking=False):
                room.engine, room.told = None, None
                room.lock.release()

    def _note_wakes(self, session: Session, held: dict[RoomId, OpenRoom]) -> None:
        with self._guard:
            for room_id in session.touched:
                at_ms = held[room_id].wake_at_ms
                if at_ms is None:
                    self._wakes.pop(room_id, None)
                else:
                    self._wakes[room_id] = at_ms
