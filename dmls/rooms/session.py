"""A session: steps of one or several rooms that become durable together, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from devicestore import Connection, blobs, outbox, room_changes, rooms
from devicestore.outbox import NewItem
from devicestore.room_changes import NewChange
from dmls.engine.effects import (
    BackfillWanted,
    BlobToUpload,
    BlobWanted,
    ClaimWanted,
    DeviceListsWanted,
    Effects,
    EventResult,
    EventToSend,
    Notice,
    OutboxItem,
    StoreChange,
    Table,
    ToDeviceToSend,
)
from dmls.engine.inputs import DecryptRequested, EventReceived, Input, KeyPackagesProvided, ToDeviceReceived
from dmls.engine.planning import make_plan
from dmls.engine.readiness import send_state
from dmls.engine.room import RoomEngine
from dmls.engine.state import RoomState
from dmls.errors import DMLSError
from dmls.forks.graph import Device
from dmls.ids import CommitRef, KeyPackageRef, RoomId
from dmls.matrix.bodies import VoteBody, WelcomeBody, parse_body
from dmls.matrix.encoding import parse_json_object
from dmls.mls.group.leaf import KeyPackageBundle
from dmls.rooms.changes import Change, SendStateChanged, encode_change, find_changes
from dmls.rooms.environment import Environment
from dmls.rooms.key_packages import consume, load_bundles
from dmls.rooms.open_room import OpenRoom, open_engine
from dmls.rooms.outbox import StoredItem, decode_item, encode_item
from dmls.rooms.records import apply_changes

__all__ = ["Request", "Session", "Written", "load_pending"]

T = TypeVar("T")
Request = ClaimWanted | BlobWanted | DeviceListsWanted
"""What the engine wants and the store may have itself."""


@dataclass(frozen=True, slots=True)
class _Outgoing:
    """An item for the outbox, and the nodes whose events must be sent before it."""

    room_id: RoomId
    item: OutboxItem
    after: tuple[CommitRef, ...]


class Session:
    """Some rooms, locked, at one moment.

    Nothing of what a step wants sent, and no ciphertext, may leave before `write` has returned. If it raises, or is never
    called, the rooms' engines must be dropped.
    """

    def __init__(self, env: Environment, rooms: Mapping[RoomId, OpenRoom], now_ms: int) -> None:
        """Work on `rooms`, whose locks the caller holds; `now_ms` is in milliseconds since 1970."""
        self.env = env
        self.now_ms = now_ms
        self.notices: list[tuple[RoomId, Notice]] = []
        self.unparked: list[tuple[RoomId, str, EventResult]] = []
        """Room, event id and result of events that had waited and do not any more."""
        self.requests: dict[RoomId, list[Request]] = {room_id: [] for room_id in rooms}
        """What steps wanted and the store may have; the settling takes care of it."""
        self.touched: dict[RoomId, None] = {}
        """Rooms in which something happened that may call for more."""
        self.has_claims = False
        """Key packages of devices of this store were given out."""
        self._rooms = rooms
        self._changes: dict[RoomId, dict[tuple[Table, bytes], StoreChange]] = {}
        self._outgoing: list[_Outgoing] = []
        self._revived: list[RoomId] = []
        self._before: dict[RoomId, RoomState] = {}
        self._exhausted: list[tuple[RoomId, Device]] = []
        self._happened: list[NewChange] = []
        self._versions: dict[RoomId, int] = {}
        self._consumed: dict[KeyPackageRef, KeyPackageBundle] = {}

    def has(self, room_id: RoomId) -> bool:
        """Tell whether a room is one of the session's."""
        return room_id in self._rooms

    def room(self, room_id: RoomId) -> OpenRoom:
        """Return a room of the session."""
        return self._rooms[room_id]

    def engine(self, room_id: RoomId) -> RoomEngine:
        """Return a room's engine.

        Raises:
            InternalError, SealBroken, StoreError: the room cannot be loaded.
        """
        return open_engine(self.env, self._rooms[room_id])

    def state(self, room_id: RoomId) -> RoomState:
        """Return what is known of a room now."""
        return self.engine(room_id).state

    def is_forgotten(self, room_id: RoomId) -> bool:
        """Tell whether nothing is to be known of a room until its full state is told."""
        self.engine(room_id)
        return self._rooms[room_id].is_forgotten

    def revive(self, room_id: RoomId) -> None:
        """Let a room be one like all others again if it was forgotten."""
        if self.is_forgotten(room_id):
            self._rooms[room_id].is_forgotten = False
            self._revived.append(room_id)

    def touch(self, room_id: RoomId) -> None:
        """Have what is due in a room done."""
        self.touched[room_id] = None

    def step(self, room_id: RoomId, happened: Input, *, contents: Iterable[Mapping[str, object]] = ()) -> Effects:
        """Let something happen in a room.

        `contents` are contents of events, beside the one that happens, that the key packages may be named in.

        Raises:
            DMLSError: the engine refuses the input; nothing has changed.
            InternalError, SealBroken, StoreError: the room cannot be loaded.
        """
        engine = self.engine(room_id)
        self._before.setdefault(room_id, engine.state)
        if isinstance(happened, KeyPackagesProvided):
            self._exhausted += ((room_id, device) for device, data in happened.key_packages.items() if data is None)
        bundles = self._bundles(engine, happened, contents)
        effects = engine.step(happened, self.now_ms, self.env.random, bundles)
        self._rooms[room_id].wake_at_ms = effects.wake_at_ms
        changes = self._changes.setdefault(room_id, {})
        for change in effects.changes:
            changes[change.table, change.key] = change
        self._consumed |= {ref: bundles[ref] for ref in effects.consumed}
        self.notices += ((room_id, notice) for notice in effects.notices)
        self.unparked += ((room_id, event_id, result) for event_id, result in effects.unparked)
        for item in effects.outbox:
            if isinstance(item, Request):
                self.requests[room_id].append(item)
            else:
                self.send(room_id, item)
        if not isinstance(happened, DecryptRequested):
            self.touch(room_id)
        return effects

    def send(self, room_id: RoomId, item: OutboxItem) -> None:
        """Have an item put into the outbox."""
        self._outgoing.append(_Outgoing(room_id, item, _nodes_before(self.state(room_id), item)))

    def mark(self) -> int:
        """Return how many items the outbox gets from what has happened so far."""
        return len(self._outgoing)

    def write(self) -> None:
        """Make everything durable in one transaction.

        Raises:
            StoreError: nothing was written.
        """
        self._tell()
        if self._outgoing or self._consumed or self._happened or self._wakes() or any(self._changes.values()):
            self.env.store.write(self._write).result()
            self._note_written()

    def write_and(self, finish: Callable[[Connection, Written], T]) -> T:
        """Make everything durable in one transaction, which `finish` ends, and return what that returns.

        Raises:
            StoreError, and whatever `finish` raises: nothing was written.
        """
        self._tell()
        answer = self.env.store.write(lambda conn: finish(conn, self._write(conn))).result()  # SQ-07
        self._note_written()
        return answer

    def _wakes(self) -> dict[RoomId, int | None]:
        """Return when rooms are to be woken that others may have to wake, where the store has another time for it."""
        if not self.env.store.is_shared:
            return {}
        rooms_touched = {room_id: self._rooms[room_id] for room_id in self.touched}
        return {room_id: room.wake_at_ms for room_id, room in rooms_touched.items() if room.wake_at_ms != room.stored_wake_at_ms}

    def _note_written(self) -> None:
        for room_id, version in self._versions.items():
            self._rooms[room_id].version = version
        for room_id in {*self._versions, *self.touched}:
            self._rooms[room_id].stored_wake_at_ms = self._rooms[room_id].wake_at_ms

    def has_outgoing(self) -> bool:
        """Tell whether the outbox gets anything."""
        return bool(self._outgoing)

    def has_happened(self) -> bool:
        """Tell whether there is something to tell those who watch the rooms; of use after they were written."""
        return bool(self._happened)

    def _tell(self) -> None:
        """Work out what those who watch the rooms are told."""
        if not self.env.is_service:
            return
        for room_id, before in self._before.items():
            if room_id not in self.touched:
                # Messages were read there, of which nobody is told.
                continue
            after, room = self.state(room_id), self._rooms[room_id]
            happened: list[Change] = list(
                find_changes(
                    before,
                    after,
                    self._changes.get(room_id, {}).values(),
                    (notice for of, notice in self.notices if of == room_id),
                    ((event_id, result) for of, event_id, result in self.unparked if of == room_id),
                    (device for of, device in self._exhausted if of == room_id),
                )
            )
            was, room.send_state = room.send_state, send_state(after, make_plan(after, self.now_ms), self.now_ms)
            if was not in (None, room.send_state):
                happened.append(SendStateChanged(room.send_state))
            self._happened += (encode_change(room_id, change) for change in happened)

    def _bundles(
        self, engine: RoomEngine, happened: Input, contents: Iterable[Mapping[str, object]]
    ) -> Mapping[KeyPackageRef, KeyPackageBundle]:
        content: Mapping[str, object] | None = None
        if isinstance(happened, EventReceived):
            content = happened.event.content
        elif isinstance(happened, ToDeviceReceived):
            content = happened.content
        refs = engine.key_packages_named(content).union(*map(engine.key_packages_named, contents))
        if not refs:
            return {}
        return self.env.store.read(lambda conn: load_bundles(conn, refs, now_ms=self.now_ms))

    def _write(self, conn: Connection) -> Written:
        is_shared = self.env.store.is_shared
        self._versions = {}
        for room_id, changes in self._changes.items():
            if changes:
                room = self._rooms[room_id]
                self._versions[room_id] = apply_changes(
                    conn,
                    room_id,
                    changes.values(),
                    fork_count=_fork_count(self.state(room_id)),
                    wake_at_ms=room.wake_at_ms,
                    expected=room.version if is_shared else None,
                )
        for room_id, wake_at_ms in self._wakes().items():
            if room_id not in self._versions:
                rooms.note_wake(conn, room_id, wake_at_ms)
        room_changes.append(conn, self._happened, now_ms=self.now_ms)
        for room_id in self._revived:
            rooms.revive(conn, room_id)
        for bundle in self._consumed.values():
            consume(conn, bundle, now_ms=self.now_ms)
        return Written(tuple(self._append(conn)))

    def _append(self, conn: Connection) -> Iterator[int]:
        """Put the items into the outbox, each with what must be sent before it.

        A request that waits there already is not put there again, or one for every minute of an outage would.
        """
        pending = {room_id: outbox.pending(conn, room_id) for room_id in {outgoing.room_id for outgoing in self._outgoing}}
        unsent = {room_id: _unsent_nodes(map(decode_item, rows)) for room_id, rows in pending.items()}
        waiting = {(row.room_id, row.kind, row.payload): row.seq for rows in pending.values() for row in rows}
        unnamed: dict[RoomId, list[int]] = {}
        for outgoing in self._outgoing:
            room_id, item = outgoing.room_id, outgoing.item
            depends_on = {unsent[room_id][ref] for ref in outgoing.after if ref in unsent[room_id]}
            if isinstance(item, BlobToUpload):
                blobs.put(conn, item.data, now_ms=self.now_ms)
            elif isinstance(item, EventToSend | ToDeviceToSend):
                depends_on |= set(unnamed.pop(room_id, ()))
            kind, payload = encode_item(item, depends_on)
            seq = waiting.get((room_id, kind, payload)) if isinstance(item, Request | BackfillWanted) else None
            if seq is None:
                (seq,) = outbox.append(conn, [NewItem(room_id, kind, payload)], now_ms=self.now_ms)
            if isinstance(item, BlobToUpload):
                unnamed.setdefault(room_id, []).append(seq)
            elif isinstance(item, EventToSend) and item.commit_ref:
                unsent[room_id][item.commit_ref] = seq
            yield seq


@dataclass(frozen=True, slots=True)
class Written:
    """The outbox after a session, inside of its transaction."""

    seqs: tuple[int, ...]
    """Numbers of the items that the session added; a request that waited already keeps its number."""

    def was_there(self, item: StoredItem, mark: int) -> bool:
        """Tell whether an item was in the outbox already when `Session.mark` gave `mark`."""
        return item.seq not in self.seqs[mark:]


def load_pending(conn: Connection, room_id: RoomId) -> list[StoredItem]:
    """Return the items of a room that are not acknowledged, in order."""
    return [decode_item(row) for row in outbox.pending(conn, room_id)]


def _unsent_nodes(pending: Iterable[StoredItem]) -> dict[CommitRef, int]:
    """Return the items that carry nodes, by commit_ref."""
    actions = ((item.seq, item.action) for item in pending)
    return {action.commit_ref: seq for seq, action in actions if isinstance(action, EventToSend) and action.commit_ref}


def _fork_count(state: RoomState) -> int:
    return 0 if state.head is None else len(state.tally.side_heads(state.head))


def _nodes_before(state: RoomState, item: OutboxItem) -> tuple[CommitRef, ...]:
    """Return the nodes that an item refers to: nobody could make anything of it before their events."""
    if isinstance(item, EventToSend) and item.commit_ref:
        return (state.graph.parent(item.commit_ref),) if item.commit_ref in state.graph else ()
    if not isinstance(item, EventToSend | ToDeviceToSend):
        return ()
    try:
        body = parse_body(parse_json_object(item.content))
    except DMLSError:
        return ()
    if isinstance(body, VoteBody):
        return (body.commit_ref,)
    return (body.commit_ref,) if isinstance(body, WelcomeBody) and body.commit_ref is not None else ()
