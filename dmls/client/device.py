"""A client device: one device with its own keys, its own store and its own engine, beside a homeserver that it need not trust.

What concerns rooms comes from its homeserver, in Matrix through /sync: events, resolved state, to-device messages, and what is
known of other homeservers' users. Key packages and devices of its own homeserver's users it gets from that homeserver's service.
What it wants sent waits in its outbox, unchanged, until it is told what became of it; so it can be killed at any moment.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from devicestore import Connection, key_package_secrets, outbox
from dmls.client.channel import ServiceChannel
from dmls.client.failures import CallError
from dmls.client.home import HomeService
from dmls.client.rooms import DeviceRooms
from dmls.client.store import load_or_make_device, open_client_store
from dmls.engine.effects import ClaimWanted, DeviceListsWanted, NoticeKind
from dmls.ids import DeviceId, UserId
from dmls.matrix.identifiers import server_of
from dmls.mls.crypto.randomness import Random
from dmls.mls.crypto.suites import cipher_suite
from dmls.rooms.environment import Clock
from dmls.rooms.keeper import Keeper, Report
from dmls.rooms.key_packages import keep_secrets, make_bundles
from dmls.rooms.outbox import Backfill, BlobToStore, StoredItem
from dmls.v1 import common_pb2

__all__ = ["STOCK", "ClientDevice", "system_clock"]

STOCK = 20
"""How many one-time key packages a device keeps at its service."""
_SUITE = 1
_ANSWERED_FOR_MS = 7 * 86_400_000
"""How long an answer is remembered, so that another one to the same item is noticed, in milliseconds."""


def system_clock() -> int:
    """Return the time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class ClientDevice(DeviceRooms):
    """One device, and the rooms in its store. Safe to use from several threads."""

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
        self._server = server_of(user_id)
        self._stock, self._is_short = 0, False
        self._served: set[int] = set()
        store = open_client_store(folder)
        try:
            device = load_or_make_device(store, user_id, device_id, cipher_suite(_SUITE), clock(), random)
            keeper = Keeper(store, self._server, is_service=False, clock=clock, random=random, on_report=self._note)
            super().__init__(device, store, keeper)
            self._home = HomeService(channel, device, _SUITE)
            for room_id in keeper.all_rooms():
                keeper.wake(room_id)
        except BaseException:
            store.close()
            raise

    def close(self) -> None:
        """Close the store."""
        self.store.close()

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

        Their private halves are durable before any of them leaves. Whenever a Welcome has used one, `pending` fills the stock up
        again. Returns how many were uploaded.

        Raises:
            DMLSError: the service refused them or cannot be reached.
        """
        self._stock = count
        shortage = self._home.find_shortage(count)
        self._is_short = False
        if not shortage:
            return 0
        env, user_id = self.keeper.env, self.device.user_id
        own = env.people.find([user_id])[user_id].hosted(_SUITE)[self.device]
        now = env.clock()
        bundles = make_bundles(
            own, cipher_suite(_SUITE), now, env.random, count=shortage.one_time, last_resort=shortage.last_resort
        )

        def keep(conn: Connection) -> None:
            key_package_secrets.purge(conn, now_ms=now)
            outbox.purge(conn, acked_before_ms=now - _ANSWERED_FOR_MS)
            keep_secrets(conn, self.device, bundles)

        self.store.write(keep).result()
        self._home.upload(bundles)
        return len(bundles)

    # What the homeserver tells, and what the device wants of it

    def refresh_device_lists(self, users: Iterable[UserId]) -> None:
        """Fetch the devices of users of the own homeserver again, because they have changed.

        Raises:
            DMLSError: the service cannot be reached.
        """
        now = self.keeper.env.clock()
        self.change_device_lists(self._home.fetch_list(user, now) for user in users if server_of(user) == self._server)

    def pending(self) -> list[StoredItem]:
        """Return what the homeserver is to do, in order, after doing what the device can do itself.

        What it cannot do because its service is out of reach is tried again next time.
        """
        self.pass_time()
        if self._is_short and self._stock:
            with contextlib.suppress(CallError):
                self.stock(self._stock)
        while True:
            served = len(self._served)
            wanted = [self._serve(item) for item in self.items()]
            if len(self._served) == served:
                return [item for item in wanted if item is not None]

    # The own homeserver's service

    def _serve(self, item: StoredItem) -> StoredItem | None:
        """Do what the device can do of an item itself; return what remains for the homeserver, None if nothing does."""
        action = item.action
        try:
            if isinstance(action, ClaimWanted):
                return self._serve_claim(item, action)
            if isinstance(action, DeviceListsWanted):
                return self._serve_lists(item, action)
            if isinstance(action, Backfill):
                return self._serve_blobs(item, action)
            if isinstance(action, BlobToStore) and item.seq not in self._served:
                self._home.give_blob(item.room_id, self.blob(action.sha256))
                self._served.add(item.seq)
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

    def _serve_blobs(self, item: StoredItem, action: Backfill) -> StoredItem | None:
        if item.seq in self._served or not action.blobs:
            return item
        missing = []
        for wanted in action.blobs:
            data = self._home.find_blob(item.room_id, wanted.sha256)
            if data is None:
                missing.append(wanted)
            else:
                self.receive_blob(item.room_id, data)
        rest = replace(action, blobs=tuple(missing))
        return self._rest(item, rest if rest != Backfill() else None)

    def _rest(self, item: StoredItem, action: ClaimWanted | DeviceListsWanted | Backfill | None) -> StoredItem | None:
        self._served.add(item.seq)
        if action is None:
            self.answer(item.seq, None)
            return None
        return replace(item, action=action)

    def _note(self, report: Report) -> None:
        self._is_short = self._is_short or any(notice.kind is NoticeKind.JOINED for _, notice in report.notices)
