"""What somebody finds in the files of a store who has its key-encryption key, and what passed through the process that wrote it.

The finder has every sealed row that was ever in the database, from backups say, and all bytes of the files as they are now, free
pages and logs included. What a row holds is found as long as its data key can be carved out of these bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from devicestore import Sealing, Store, meta
from devicestore.data_keys import Sealed, unseal
from devicestore.errors import SealBroken
from devicestore.models import Base, DataKey, Device, Epoch, KeyPackageSecret, Plaintext, PrivateKey
from dmls.engine.state import RoomState
from dmls.forks.pprf import PPRF
from dmls.mls.crypto.secret import Secret
from dmls.mls.group import external, secrets, state, welcome
from dmls.mls.schedule.key_schedule import external_key_pair
from dmls.mls.schedule.ratchet import Ratchet

__all__ = ["EpochTraces", "Finder", "Witness", "all_files", "epoch_secrets", "held_secrets"]

_LEAST = 16
"""Shortest secret that is looked for: a message key of suite 1."""
# A row of `data_key` in a page of SQLite: length of the payload, number of the row, header, sealed data key.
_SLOT = re.compile(rb"(?=\x4e([\x80-\xff]{0,3}[\x00-\x7f])\x05\x00[\x08\x09]\x81\x1e(.{73}))", re.DOTALL)


def all_files(database: Path) -> bytes:
    """Return all bytes of a database and of whatever lies beside it."""
    files = sorted(file for file in database.parent.iterdir() if file.name.startswith(database.name))
    return b"\x00".join(file.read_bytes() for file in files)


def epoch_secrets(held: Any) -> dict[str, set[bytes]]:
    """Return the secrets in the state of an epoch, by kind."""
    found: dict[str, set[bytes]] = {
        "init secret": set(held.init_state._nodes.values()) if isinstance(held.init_state, PPRF) else {held.init_state},
        "sender data secret": {held.secrets.sender_data_secret},
        "external secret": {held.secrets.external_secret},
        "exporter secret": {held.secrets.exporter_secret},
        "confirmation key": {held.secrets.confirmation_key},
        "membership key": {held.secrets.membership_key},
        "secret tree": set(held.secret_tree._nodes.values()),
        "ratchet": {ratchet.secret for ratchet in held.secret_tree._ratchets.values()},
        "skipped message key": {key for ratchet in held.secret_tree._ratchets.values() for key in ratchet.skipped.values()},
    }
    return {kind: {bytes(value) for value in values if value} for kind, values in found.items()}


def held_secrets(room: RoomState) -> dict[str, set[bytes]]:
    """Return the secrets in a room's state, by kind."""
    found: dict[str, set[bytes]] = {
        "private key": {bytes(key) for key in room.ring.keys.values()},
        "plaintext": {plaintext.payload for plaintext in room.plaintexts.values()},
    }
    for held in room.epochs.values():
        for kind, values in epoch_secrets(held.state).items():
            found.setdefault(kind, set()).update(values)
    return found


@dataclass(frozen=True)
class _Row:
    table: str
    place: tuple[bytes, ...]
    version: int
    sealed: Sealed


@dataclass
class Finder:
    """Somebody with the key-encryption key of one store and everything that was ever sealed in it."""

    database: Path
    key: bytes
    rows: dict[int, dict[bytes, _Row]] = field(default_factory=dict)
    wrapped: set[tuple[int, bytes]] = field(default_factory=set)
    opened: dict[tuple[int, bytes], bytes] = field(default_factory=dict)
    raw: bytes = b""
    values: bytes = b""

    def look(self, store: Store) -> None:
        """Take in all sealed rows that are there now, and find what can be found in the files."""
        now = store.read(_sealed_rows)
        for row in now:
            self.rows.setdefault(row.sealed.slot, {})[row.sealed.sealed] = row
        slots = store.read(lambda conn: {(row.id, row.sealed) for row in conn.execute(select(DataKey.id, DataKey.sealed))})
        self.wrapped |= {slot for slot in slots if any(slot[1])}
        self.raw = all_files(self.database)
        carved = {(_number(match[1]), match[2]) for match in _SLOT.finditer(self.raw)}
        present = {slot for slot in self.wrapped if slot[1] in self.raw}
        assert {slot for slot in slots if any(slot[1])} <= carved & present
        found = [self._open(store, slot) for slot in sorted(carved | present) if any(slot[1])]
        assert len([value for value in found if value]) >= len(now)
        self.values = b"\x00".join(found)

    def finds(self, secret: bytes) -> bool:
        """Tell whether a secret is in what was found last."""
        assert len(secret) >= _LEAST
        return secret in self.values

    def sees(self, secret: bytes) -> bool:
        """Tell whether a secret lies in the files without any seal."""
        return secret in self.raw

    def _open(self, store: Store, slot: tuple[int, bytes]) -> bytes:
        if slot not in self.opened:
            sealing = store.read(lambda conn: meta.open_sealing(conn, Sealing(self.key)))
            for row in self.rows.get(slot[0], {}).values():
                try:
                    value = unseal(sealing, row.table, row.place, row.version, Sealed(slot[0], row.sealed.sealed), slot[1])
                except SealBroken:
                    continue
                self.opened[slot] = value
        return self.opened.get(slot, b"")


def _number(varint: bytes) -> int:
    number = 0
    for byte in varint:
        number = number << 7 | byte & 0x7F
    return number


def _sealed_rows(conn: Connection) -> list[_Row]:
    rows: list[tuple[type[Base], tuple[bytes, ...], int, int, bytes]] = []
    for model in (Epoch, PrivateKey):
        records = conn.execute(select(model.room_id, model.key, model.version, model.slot, model.sealed))
        rows += [(model, (row.room_id.encode(), row.key), row.version, row.slot, row.sealed) for row in records]
    texts = conn.execute(select(Plaintext.room_id, Plaintext.event_id, Plaintext.version, Plaintext.slot, Plaintext.sealed))
    rows += [(Plaintext, (row.room_id.encode(), row.event_id.encode()), row.version, row.slot, row.sealed) for row in texts]
    halves = conn.execute(select(KeyPackageSecret.ref, KeyPackageSecret.slot, KeyPackageSecret.sealed))
    rows += [(KeyPackageSecret, (row.ref,), 1, row.slot, row.sealed) for row in halves]
    columns = (Device.user_id, Device.device_id, Device.signature_key, Device.slot, Device.sealed_private_key)
    for row in conn.execute(select(*columns).where(Device.slot.is_not(None))):
        place = (row.user_id.encode(), row.device_id.encode(), row.signature_key)
        rows.append((Device, place, 1, row.slot, row.sealed_private_key))
    return [_Row(model.__tablename__, place, version, Sealed(slot, sealed)) for model, place, version, slot, sealed in rows]


@dataclass
class EpochTraces:
    """What was needed once to make an epoch, by its membership key."""

    punctured: list[bytes]
    """Nodes of the parent's puncturable function from the one that was held down to the output."""


@dataclass
class Witness:
    """Sees every secret that passes, through the very functions that derive them."""

    fleeting: dict[str, set[bytes]] = field(default_factory=dict)
    """What must never be stored, by kind."""
    made: dict[bytes, list[EpochTraces]] = field(default_factory=dict)
    used: dict[str, set[bytes]] = field(default_factory=dict)
    """Message keys and ratchet secrets that each homeserver has used."""
    at: str = ""
    """The homeserver at work."""
    _path: list[bytes] = field(default_factory=list)

    def _note(self, kind: str, *values: Any) -> None:
        self.fleeting.setdefault(kind, set()).update(bytes(value) for value in values if value and any(value))

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Stand beside the key schedule, the puncturable function and the ratchets."""
        for module in (secrets, external):
            self._around(monkeypatch, module, "derive_joiner_secret", self._on_joiner)
        for module in (secrets, external, welcome):
            self._around(monkeypatch, module, "derive_member_secrets", self._on_members)
        self._around(monkeypatch, state, "derive_epoch_secrets", self._on_epoch)
        self._around(monkeypatch, PPRF, "evaluate", self._on_evaluation)
        self._around(monkeypatch, Ratchet, "next", self._on_message_key)
        self._around(monkeypatch, Ratchet, "take", self._on_message_key)

    @staticmethod
    def _around(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, told: Callable[..., None]) -> None:
        original = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            told(result, *args)
            return result

        monkeypatch.setattr(owner, name, call)

    def _on_joiner(self, joiner: Secret, _suite: object, _init: Secret, commit_secret: Secret, _context: bytes) -> None:
        self._note("joiner secret", joiner)
        self._note("commit secret", commit_secret)

    def _on_members(self, derived: tuple[Secret, Secret], *_args: object) -> None:
        self._note("welcome secret", derived[0])
        self._note("epoch secret", derived[1])

    def _on_epoch(self, derived: Any, suite: Any, _epoch_secret: Secret) -> None:
        self._note("external private key", external_key_pair(suite, derived.external_secret).private_key)
        if self._path:
            self.made.setdefault(bytes(derived.membership_key), []).append(EpochTraces(self._path))
        self._path = []

    def _on_evaluation(self, result: tuple[Secret, PPRF], before: PPRF, input: bytes) -> None:
        """Walk down again: every node between the one that was held and the leaf."""
        suite, size = before.suite, before.suite.hash_size
        bits = int.from_bytes(input, "big") | 1 << 8 * size
        depth = next(depth for depth in range(8 * size + 1) if bits >> 8 * size - depth in before._nodes)
        secret = before._nodes[bits >> 8 * size - depth]
        self._path = [bytes(secret)]
        for below in range(depth + 1, 8 * size + 1):
            side = (b"left", b"right")[bits >> 8 * size - below & 1]
            secret = suite.expand_with_label(secret, "tree", side, size)
            self._path.append(bytes(secret))
        assert secret == result[0]

    def _on_message_key(self, result: Any, before: Ratchet, *_args: object) -> None:
        key, after = result
        used = self.used.setdefault(self.at, set())
        used.add(bytes(key.key))
        if before.secret is not None and after.secret != before.secret:
            used.add(bytes(before.secret))

    @contextmanager
    def working(self, server: str) -> Iterator[None]:
        """Say which homeserver is at work."""
        before, self.at = self.at, server
        try:
            yield
        finally:
            self.at = before
