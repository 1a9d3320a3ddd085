"""An agent over a real store: the keeper of rooms, sealed records and a database file, closed and opened again at each crash."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from devicestore import Connection, Sealing, Store, blobs, devices, outbox
from devicestore.devices import Custody, DeviceRow
from devicestore.key_packages import upload
from dmls.engine.agent import OwnDevice
from dmls.engine.effects import BackfillWanted, BlobToUpload, Effects, EventToSend, OutboxItem
from dmls.engine.inputs import DeviceListChanged, Input
from dmls.engine.state import RoomState
from dmls.forks.aad import encode_identity
from dmls.forks.graph import Device
from dmls.ids import EventId, UserId
from dmls.mls.codec import decode
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.messages.key_package import KeyPackage
from dmls.mls.messages.message import MLSMessage, encode_message
from dmls.rooms.answers import Answer, Answers
from dmls.rooms.keeper import Keeper, Report
from dmls.rooms.key_packages import keep_secrets, make_bundles, to_row
from dmls.rooms.outbox import Backfill, BlobToStore, decode_item
from dmls.rooms.session import Session
from dmls.simulation.driver import Carrier, CrashPoint, Driver
from dmls.simulation.room_graph import GraphEvent

__all__ = ["StoredDriver"]

_DATABASE = "rooms.db"
_STOCK = 8
"""How many key packages of a device there are to be claimed."""


def _open(path: Path) -> Store:
    return Store.open(f"sqlite:///{path}", Sealing(b"a key that is known to everybody"), migrate=True)


@cache
def _empty_database() -> bytes:
    """Return a database without rooms: its tables are made once for all agents."""
    with TemporaryDirectory(prefix="dmls-simulation-") as folder:
        path = Path(folder) / _DATABASE
        _open(path).close()
        return path.read_bytes()


class _CrashedError(Exception):
    """The process ended before its transaction did."""


@dataclass(eq=False)
class StoredDriver(Driver):
    """An agent with a database in a folder of its own.

    Attributes:
        folder: where the database is.
        key_package_of: gives a key package of a device of whichever agent; a service publishes those of its users' devices.
    """

    folder: Path = field(kw_only=True)
    key_package_of: Callable[[Device], bytes | None] = field(kw_only=True)
    _store: Store | None = None
    _keeper: Keeper | None = None
    _last: RoomState | None = None
    _has_outgoing: bool = False
    _cursor: int = 0
    _seq: int = 0
    _stock: dict[Device, deque[bytes]] = field(default_factory=dict)
    _sent: dict[int, GraphEvent | None] = field(default_factory=dict)
    _waiting: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.folder.mkdir(mode=0o700)
        database = self.folder / _DATABASE
        database.touch(0o600)
        database.write_bytes(_empty_database())
        self._open()

    def _open(self) -> None:
        around = self.around
        self._store = _open(self.folder / _DATABASE)
        self._keeper = Keeper(
            self._store,
            self.server,
            is_service=self.is_service,
            clock=around.clock,
            random=around.random,
            on_report=self._note,
        )
        self._cursor, self._has_outgoing = 0, True

    def _note(self, report: Report) -> None:
        self._has_outgoing = self._has_outgoing or report.has_outgoing
        for _, notice in report.notices:
            self.note(notice)
        for _, failure in report.failures:
            raise failure

    @property
    def is_up(self) -> bool:
        """Whether it runs."""
        return self._keeper is not None

    @property
    def state(self) -> RoomState:
        """The engine's state after the last durable step."""
        known = None if self._keeper is None else self._keeper.state(self.around.room_id)
        if known is not None:
            self._last = known
        return self._last or RoomState(self.around.room_id, self.agent)

    @property
    def has_outgoing(self) -> bool:
        """Whether anything is in the outbox."""
        return self._has_outgoing

    def take(self, happened: Input) -> Effects | None:
        """Take a step and make it durable; None if it crashed over it."""
        if isinstance(happened, DeviceListChanged) and happened.is_own:
            self._publish(happened)
            return Effects()
        keeper, room_id = self._running(), self.around.room_id
        point = self.around.crash_next()

        def finish(_conn: Connection, _written: object, effects: Effects) -> Effects:
            if point is CrashPoint.BEFORE_COMMIT:
                raise _CrashedError
            return effects

        self.steps += 1
        try:
            effects = keeper.transact([room_id], lambda session: session.step(room_id, happened), finish)
        except _CrashedError:
            self.crash()
            return None
        if point is CrashPoint.AFTER_COMMIT:
            self.crash()
            return None
        self._look()
        return effects

    def settle(self) -> None:
        """Let time pass until nothing more is due, unless it crashes."""
        self._running().wake(self.around.room_id)
        self._look()

    def _look(self) -> None:
        self.wake_at_ms = self._running().next_wake_ms()
        self.around.on_change(self)

    def restart(self) -> None:
        """Start it again from what is durable."""
        self._open()
        # Lists that waited are older than the devices that came meanwhile: each is stored with the first list that names it.
        self.drain()
        if not self.is_up:
            return
        waiting, self._waiting = self._waiting, []
        for what in waiting:
            what()
        self.settle()

    def end(self) -> None:
        """Forget what is not durable."""
        if self._store is not None:
            self._last = self.state
            self._store.close()
        self._store = self._keeper = None

    # The outbox

    def next_item(self) -> OutboxItem | None:
        """Return the first item of the outbox that was not returned before."""
        store = self._running_store()
        rows = store.read(lambda conn: outbox.read_after(conn, self._cursor, 1))
        if not rows:
            self._has_outgoing = False
            return None
        self._seq = self._cursor = rows[0].seq
        action = decode_item(rows[0]).action
        if isinstance(action, BlobToStore):
            return BlobToUpload(action.uri, action.sha256, store.read(lambda conn: blobs.get(conn, action.sha256)))
        if isinstance(action, Backfill):
            return action.blobs[0] if action.blobs else BackfillWanted(action.event_ids, action.commit_refs)
        return action

    def send_event(self, carrier: Carrier, item: EventToSend) -> GraphEvent | None:
        """Have the homeserver make an event: once, however often it is asked to before the answer is durable."""
        if self._seq not in self._sent:
            self._sent[self._seq] = super().send_event(carrier, item)
        return self._sent[self._seq]

    def answer(self, item: OutboxItem, event_id: EventId | None) -> None:
        """Note what became of the item that was returned last; an event without an id was refused."""
        is_refused = isinstance(item, EventToSend) and event_id is None
        answer = Answer(self._seq, event_id, is_refused, b"refused" if is_refused else b"sent")

        def work(session: Session) -> Callable[[Connection], object]:
            answers = Answers(session)
            taken = answers.take([answer])
            return lambda conn: answers.store(conn, taken)

        if self.around.crash_next() is CrashPoint.BEFORE_COMMIT:
            self.crash()
            return
        self._running().transact([self.around.room_id], work, lambda conn, _written, store: store(conn))
        self._look()

    # Devices

    def own_devices_changed(self) -> None:
        """Let a change of `agent` take effect."""
        if not self.is_up:
            self._waiting.append(self.own_devices_changed)
            return
        rows = self._running_store().read(devices.list_devices)
        hosted = {(row.user_id, row.device_id) for row in rows if row.custody is Custody.HOSTED}
        for device, own in self.agent.devices.items():
            if (device.user_id, device.device_id) not in hosted:
                self._register(device, own)
        # A service is told of what is gone by its device list.
        self._tell_changed({device.user_id for device in self.agent.devices})

    def give_key_package(self, device: Device) -> bytes | None:
        """Return a key package of an own device, encoded as MLSMessage, None if there is none."""
        stock = self._stock.get(device)
        if not stock and self.is_up and device in self.agent.devices:
            self._make_stock(device, self.agent.devices[device])
            stock = self._stock[device]
        return stock.popleft() if stock else None

    def _publish(self, own: DeviceListChanged) -> None:
        """Let the store have a user's devices as its homeserver's list names them."""
        store, now_ms = self._running_store(), self.around.clock()
        rows = {row.device_id: row for row in store.read(lambda conn: devices.list_devices(conn, own.user_id))}
        listed = {device.device_id: device for device in own.devices}
        for device in own.devices:
            if device.device_id in rows:
                continue
            hosted = self.agent.devices.get(device)
            self._register(device, hosted)
            if hosted is None:
                packages = [package for _ in range(_STOCK) if (package := self.key_package_of(device)) is not None]
                self._upload(device, packages)
        for name in rows.keys() - listed.keys():
            store.write(lambda conn, name=name: devices.remove(conn, own.user_id, name, now_ms=now_ms)).result()  # type: ignore[misc]
        self._tell_changed({own.user_id})

    def _register(self, device: Device, own: OwnDevice | None) -> None:
        row = DeviceRow(
            user_id=device.user_id,
            device_id=device.device_id,
            custody=Custody.CLIENT if own is None else Custody.HOSTED,
            signature_key=device.signature_key,
            credential=encode_identity(device.user_id, device.device_id),
            suites=(self.around.suite,),
            display_name=None,
            created_at_ms=self.around.clock(),
        )
        secret = None if own is None else bytes(own.client.signature_private_key)
        self._running_store().write(lambda conn: devices.register(conn, row, secret)).result()
        if own is not None:
            self._make_stock(device, own)
            if self.is_service:
                stock = self._stock[device]
                self._upload(device, [stock.popleft() for _ in range(_STOCK // 2)])

    def _make_stock(self, device: Device, own: OwnDevice) -> None:
        around = self.around
        suite = cipher_suite(around.suite)
        bundles = make_bundles(own, suite, around.clock(), around.random, count=_STOCK, last_resort=False)
        self._running_store().write(lambda conn: keep_secrets(conn, device, bundles)).result()
        self._stock.setdefault(device, deque()).extend(encode_message(bundle.key_package) for bundle in bundles)

    def _upload(self, device: Device, packages: list[bytes]) -> None:
        rows = []
        for data in packages:
            body = decode(MLSMessage, data).body
            if isinstance(body, KeyPackage):
                rows.append(to_row(body, data))
        now_ms = self.around.clock()
        self._running_store().write(
            lambda conn: upload(conn, device.user_id, device.device_id, rows, limit=100, now_ms=now_ms)
        ).result()

    def _tell_changed(self, users: set[UserId]) -> None:
        for user in sorted(users):
            self._running().devices_changed(user)
        self._look()

    def _running(self) -> Keeper:
        if self._keeper is None:
            raise RuntimeError(f"{self.name} is down")
        return self._keeper

    def _running_store(self) -> Store:
        if self._store is None:
            raise RuntimeError(f"{self.name} is down")
        return self._store
