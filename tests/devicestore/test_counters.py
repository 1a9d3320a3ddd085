from __future__ import annotations

import pytest

from devicestore import Store, counters
from devicestore.counters import CounterName
from tests.devicestore.support import write


def test_each_counter_counts_for_itself_and_what_is_undone_was_not_taken(store: Store) -> None:
    assert store.read(lambda conn: counters.current(conn, CounterName.DEVICE)) == 0
    assert [write(store, lambda conn: counters.take(conn, CounterName.DEVICE)) for _ in range(3)] == [1, 2, 3]
    assert write(store, lambda conn: counters.take(conn, CounterName.STATUS)) == 1

    def take_and_fail(conn: object) -> None:
        counters.take(conn, CounterName.DEVICE)  # type: ignore[arg-type]
        raise KeyError("after it was taken")

    with pytest.raises(KeyError):
        write(store, take_and_fail)
    assert store.read(lambda conn: counters.current(conn, CounterName.DEVICE)) == 3
