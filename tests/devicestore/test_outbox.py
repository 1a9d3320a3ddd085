from __future__ import annotations

import pytest

from devicestore import Sealing, Store, outbox
from devicestore.errors import Conflict, NotFound
from devicestore.outbox import NewItem, OutboxItem
from tests.devicestore.support import write

ROOM, OTHER = "!room:hs1", "!other:hs1"


def append(store: Store, *items: NewItem) -> list[int]:
    return write(store, lambda conn: outbox.append(conn, items, now_ms=7))


def ack(store: Store, seq: int, answer: bytes = b"sent $1") -> tuple[OutboxItem, bool]:
    return write(store, lambda conn: outbox.ack(conn, seq, answer, now_ms=9))


def read(store: Store, cursor: int = 0, limit: int = 100, room_id: str | None = None) -> list[int]:
    return [item.seq for item in store.read(lambda conn: outbox.read_after(conn, cursor, limit, room_id=room_id))]


def test_items_come_back_in_order_and_unchanged(store: Store) -> None:
    items = [NewItem(ROOM, "room_event", b"1"), NewItem(OTHER, "to_device", b"2"), NewItem(ROOM, "blob", bytes(range(256)))]
    assert append(store, *items) == [1, 2, 3]
    expected = [OutboxItem(seq, item.room_id, item.kind, item.payload, 7) for seq, item in enumerate(items, start=1)]
    assert store.read(lambda conn: outbox.read_after(conn, 0, 100)) == expected
    assert store.read(lambda conn: outbox.pending(conn, ROOM)) == [expected[0], expected[2]]
    assert append(store) == []


def test_the_last_number_is_known_whatever_became_of_the_item(store: Store) -> None:
    assert store.read(outbox.last_seq) == 0
    append(store, NewItem(ROOM, "blob", b"1"), NewItem(ROOM, "blob", b"2"))
    ack(store, 2)
    write(store, lambda conn: outbox.purge(conn, acked_before_ms=10))
    assert store.read(outbox.last_seq) == 2


def test_reading_goes_on_at_the_cursor(store: Store) -> None:
    append(store, *[NewItem(ROOM if n % 2 else OTHER, "blob", b"%d" % n) for n in range(1, 8)])
    assert read(store, 0, 3) == [1, 2, 3]
    assert read(store, 3, 3) == [4, 5, 6]
    assert read(store, 7) == []
    assert read(store, 2, 2, ROOM) == [3, 5]


def test_item_is_given_again_until_it_is_acknowledged(store: Store, url: str, sealing: Sealing) -> None:
    append(store, NewItem(ROOM, "blob", b"1"), NewItem(ROOM, "blob", b"2"))
    store.close()
    with Store.open(url, sealing, migrate=False) as again:
        assert read(again) == read(again) == [1, 2]
        assert ack(again, 1) == (OutboxItem(1, ROOM, "blob", b"1", 7), True)
        assert read(again) == [2]
        assert [item.seq for item in again.read(lambda conn: outbox.pending(conn, ROOM))] == [2]


def test_same_answer_again_is_told_apart_and_another_is_a_conflict(store: Store) -> None:
    append(store, NewItem(ROOM, "blob", b"1"))
    item, is_first = ack(store, 1, b"sent $1")
    assert is_first
    assert ack(store, 1, b"sent $1") == (item, False)
    with pytest.raises(Conflict):
        ack(store, 1, b"refused")
    assert ack(store, 1, b"sent $1") == (item, False)


def test_unknown_item_cannot_be_acknowledged(store: Store) -> None:
    with pytest.raises(NotFound):
        ack(store, 1)


def test_numbers_are_never_given_again(store: Store, url: str, sealing: Sealing) -> None:
    append(store, NewItem(ROOM, "blob", b"1"), NewItem(ROOM, "blob", b"2"))
    for seq in (1, 2):
        ack(store, seq)
    assert write(store, lambda conn: outbox.purge(conn, acked_before_ms=9)) == 0
    assert write(store, lambda conn: outbox.purge(conn, acked_before_ms=10)) == 2
    with pytest.raises(NotFound):
        ack(store, 2)
    store.close()
    with Store.open(url, sealing, migrate=False) as again:
        assert append(again, NewItem(ROOM, "blob", b"3")) == [3]


def test_purge_keeps_what_is_not_acknowledged(store: Store) -> None:
    append(store, NewItem(ROOM, "blob", b"1"))
    assert write(store, lambda conn: outbox.purge(conn, acked_before_ms=10**15)) == 0
    assert read(store) == [1]


def test_items_of_a_unit_that_fails_leave_no_gap(store: Store) -> None:
    def fail(conn: object) -> None:
        outbox.append(conn, [NewItem(ROOM, "blob", b"lost")], now_ms=7)  # type: ignore[arg-type]
        raise KeyError("after the append")

    with pytest.raises(KeyError):
        write(store, fail)
    assert append(store, NewItem(ROOM, "blob", b"1")) == [1]
