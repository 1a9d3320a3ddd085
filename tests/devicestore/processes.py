"""What runs in processes of its own: writers that are killed, and claimants that share one file."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection as Pipe
from typing import Any

from sqlalchemy import Connection, Engine, event, func, make_url, select

from devicestore import Sealing, Store, idempotency, key_package_secrets, outbox, plaintexts, rooms
from devicestore.connections import create_writer
from devicestore.errors import NotFound
from devicestore.key_packages import Claimant, ClaimStatus, claim
from devicestore.models import KeyPackage
from devicestore.outbox import NewItem

KEY = b"\x4b" * 32
ROOM = "!room:hs1"
ALICE = "@alice:hs1"


def die_at_statement(number: int) -> None:
    """Kill this process, without any chance to clean up, before it runs its n-th SQL statement from here on."""
    ran = 0

    def count(*_arguments: Any) -> None:
        nonlocal ran
        ran += 1
        if ran == number:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "before_cursor_execute", count)


def die_while_opening(url: str, statement: int, _pipe: Pipe) -> None:
    die_at_statement(statement)
    Store.open(url, Sealing(KEY), migrate=True)


@dataclass(frozen=True)
class Present:
    """Which parts of a unit are in the store."""

    records: frozenset[str]
    items: int
    response: bool
    secret: bool
    plaintext: bool


NOTHING = Present(frozenset(), 0, response=False, secret=False, plaintext=False)
WHOLE = Present(frozenset({"room", "node", "epoch", "private_key"}), 3, response=True, secret=True, plaintext=True)


def write_unit(conn: Connection, number: int) -> None:
    """Write a unit with a part in every kind of table; it replaces the epoch and deletes the vote of the one before."""
    name = b"%06d" % number
    value = name * 200
    rooms.apply(
        conn,
        ROOM,
        [(table, name, value) for table in sorted(WHOLE.records)] + [("vote", name, value), ("epoch", b"head", value)],
        [("vote", b"%06d" % (number - 1))],
    )
    outbox.append(conn, [NewItem(ROOM, "room_event", name + b"%d" % part) for part in range(3)], now_ms=number)
    idempotency.put(conn, "hs1", "Method", name.decode(), name, value, now_ms=0, expires_at_ms=1)
    key_package_secrets.put(conn, ALICE, "A1", name, value, delete_after_ms=1)
    plaintexts.put(conn, ROOM, name.decode(), value)


def read_unit(conn: Connection, number: int, records: set[tuple[str, bytes]]) -> Present:
    name = b"%06d" % number
    items = [item for item in outbox.pending(conn, ROOM) if item.created_at_ms == number]
    return Present(
        records=frozenset(table for table in WHOLE.records if (table, name) in records),
        items=len(items),
        response=idempotency.get(conn, "hs1", "Method", name.decode(), name, now_ms=0) is not None,
        secret=_is_found(lambda: key_package_secrets.get(conn, name, now_ms=0)),
        plaintext=_is_found(lambda: plaintexts.get(conn, ROOM, name.decode())),
    )


def write_units(url: str, first: int, group: int, acks: Pipe) -> None:
    """Write units in groups of `group` for ever, and tell of each once it is acknowledged."""
    store = Store.open(url, Sealing(KEY), migrate=False)
    number = first
    while True:
        futures = [store.write(partial(write_unit, number=n)) for n in range(number, number + group)]
        for future in futures:
            future.result()
            acks.send(number)
            number += 1


def write_units_and_die(url: str, first: int, group: int, statement: int, acks: Pipe) -> None:
    """Write one group of units, then die at a statement of the next ones."""
    store = Store.open(url, Sealing(KEY), migrate=False)
    for number in range(first, first + group):
        store.write(partial(write_unit, number=number)).result()
        acks.send(number)
    die_at_statement(statement)
    for number in range(first + group, first + 3 * group):
        store.write(partial(write_unit, number=number))
    store.close()


def write_unit_and_die_at_commit(url: str, number: int, acks: Pipe) -> None:
    """Die when everything is written but not committed."""
    store = Store.open(url, Sealing(KEY), migrate=False)
    store.write(lambda conn: write_unit(conn, number)).result()
    acks.send(number)
    event.listen(Engine, "commit", lambda _conn: os.kill(os.getpid(), signal.SIGKILL))
    store.write(lambda conn: write_unit(conn, number + 1)).result()


def claim_until_empty(url: str, name: str, results: Pipe) -> None:
    """Claim, one transaction each and with no lock but the database's, until the last resort comes back."""
    engine = create_writer(make_url(url))
    refs: list[bytes] = []
    while True:
        with engine.begin() as conn:
            claimant = Claimant(requester=name, request_id=str(len(refs)), room_id=None)
            (answer,) = claim(conn, ALICE, [1], claimant, now_ms=0, margin_ms=0)
            if answer.status is not ClaimStatus.CLAIMED:
                one_time = select(func.count()).select_from(KeyPackage).where(KeyPackage.is_last_resort.is_(False))
                results.send((refs, answer.status, conn.execute(one_time).scalar_one()))
                return
            refs.append(answer.ref)


def _is_found(get: Any) -> bool:
    try:
        get()
    except NotFound:
        return False
    return True
