"""SIGKILL of a writing process: what it acknowledged is there, what it did not is there whole or not at all."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest
from sqlalchemy import Connection

from devicestore import Sealing, Store, outbox, rooms
from tests.devicestore.processes import (
    NOTHING,
    ROOM,
    WHOLE,
    read_unit,
    write_unit_and_die_at_commit,
    write_units,
    write_units_and_die,
)
from tests.devicestore.support import Pipe, start

DATABASES = ("sqlite",)


def drain(acks: Pipe) -> int:
    """Return how many units were acknowledged until the process was gone."""
    count = 0
    try:
        while True:
            acks.recv()
            count += 1
    except EOFError:
        return count


def check_store(url: str, sealing: Sealing, acknowledged: int) -> int:
    """Check the whole store after a kill and return how many units it holds."""

    def check(conn: Connection) -> int:
        assert conn.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
        assert conn.exec_driver_sql("PRAGMA foreign_key_check").all() == []
        records = {(table, key): value for table, key, value in rooms.load(conn, ROOM)}
        keys = set(records)
        present = list(itertools.takewhile(lambda n: read_unit(conn, n, keys) == WHOLE, itertools.count()))
        stored = len(present)
        assert read_unit(conn, stored, keys) == NOTHING
        assert read_unit(conn, stored + 1, keys) == NOTHING
        assert stored >= acknowledged
        assert len(keys) == stored * len(WHOLE.records) + (2 if stored else 0)
        if stored:
            last = b"%06d" % (stored - 1)
            assert records["epoch", b"head"] == records["vote", last] == last * 200
        items = outbox.pending(conn, ROOM)
        assert [item.seq for item in items] == list(range(1, 3 * stored + 1))
        return stored

    with Store.open(url, sealing, migrate=False) as store:
        return store.read(check)


def test_kill_at_any_moment(store: Store, url: str, sealing: Sealing, rng: random.Random) -> None:
    store.close()
    stored = 0
    for _ in range(10):
        group = rng.choice([1, 3, 8])
        process, acks = start(write_units, url, stored, group)
        seen = rng.randrange(1, 12)
        for number in range(stored, stored + seen):
            assert acks.recv() == number
        spin = rng.randrange(0, 60_000)
        while spin:
            spin -= 1
        process.kill()
        acknowledged = stored + seen + drain(acks)
        process.join(30)
        assert process.exitcode == -9
        stored = check_store(url, sealing, acknowledged)


@pytest.mark.parametrize("statement", [1, 2, 3, 4, 9, 15, 22, 23, 24, 30])
def test_kill_between_two_statements(store: Store, url: str, sealing: Sealing, statement: int) -> None:
    store.close()
    process, acks = start(write_units_and_die, url, 0, 2, statement)
    acknowledged = drain(acks)
    process.join(30)
    assert process.exitcode == -9
    assert acknowledged == 2
    assert check_store(url, sealing, acknowledged) >= 2


def test_kill_before_the_commit(store: Store, url: str, sealing: Sealing) -> None:
    store.close()
    process, acks = start(write_unit_and_die_at_commit, url, 0)
    acknowledged = drain(acks)
    process.join(30)
    assert process.exitcode == -9
    assert check_store(url, sealing, acknowledged) == acknowledged == 1


def test_lock_dies_with_its_process(store: Store, url: str, sealing: Sealing, tmp_path: Path) -> None:
    store.close()
    process, acks = start(write_units, url, 0, 1)
    acks.recv()
    process.kill()
    process.join(30)
    assert (tmp_path / "store.db.lock").exists()
    check_store(url, sealing, 1)
