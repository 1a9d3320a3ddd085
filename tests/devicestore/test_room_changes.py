from __future__ import annotations

from devicestore import Store, room_changes, rooms
from devicestore.room_changes import ChangeRow, NewChange
from tests.devicestore.support import write

ROOM, OTHER = "!room:hs1", "!other:hs1"


def read(store: Store, after: int = 0, *room_ids: str) -> list[ChangeRow]:
    return store.read(lambda conn: room_changes.read_after(conn, after, 100, room_ids))


def test_changes_are_numbered_filtered_and_purged(store: Store) -> None:
    assert store.read(room_changes.last) == 0
    write(
        store, lambda conn: room_changes.append(conn, [NewChange(ROOM, "node", b"1"), NewChange(OTHER, "node", b"2")], now_ms=5)
    )
    write(store, lambda conn: room_changes.append(conn, [NewChange(ROOM, "head", b"3")], now_ms=6))
    assert read(store) == [
        ChangeRow(1, ROOM, "node", b"1", 5),
        ChangeRow(2, OTHER, "node", b"2", 5),
        ChangeRow(3, ROOM, "head", b"3", 6),
    ]
    assert [row.seq for row in read(store, 1)] == [2, 3]
    assert [row.seq for row in read(store, 0, ROOM)] == [1, 3]
    assert write(store, lambda conn: room_changes.purge(conn, before_ms=6)) == 2
    assert [row.seq for row in read(store)] == [3]
    assert store.read(room_changes.last) == 3


def test_a_forgotten_room_is_not_told_of(store: Store) -> None:
    write(store, lambda conn: rooms.apply(conn, ROOM, [("node", b"n", b"v")], []))
    write(
        store, lambda conn: room_changes.append(conn, [NewChange(ROOM, "node", b"1"), NewChange(OTHER, "node", b"2")], now_ms=5)
    )
    write(store, lambda conn: rooms.forget(conn, ROOM, now_ms=7))
    assert [row.room_id for row in read(store)] == [OTHER]
