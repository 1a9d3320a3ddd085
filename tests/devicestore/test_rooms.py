from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devicestore import Sealing, Store, outbox, plaintexts, rooms
from devicestore.errors import Conflict, Invalid, NotFound
from devicestore.outbox import NewItem
from devicestore.rooms import RECORD_TABLES
from tests.devicestore.support import write

ROOM, OTHER = "!room:hs1", "!other:hs1"
Put = tuple[str, bytes, bytes]


def apply(store: Store, puts: list[Put], deletes: list[tuple[str, bytes]] | None = None, room_id: str = ROOM) -> int:
    return write(store, lambda conn: rooms.apply(conn, room_id, puts, deletes or []))


def load(store: Store, room_id: str = ROOM) -> list[Put]:
    return store.read(lambda conn: list(rooms.load(conn, room_id)))


def test_tables_are_those_of_the_engine() -> None:
    assert set(RECORD_TABLES) == {
        *("room", "member_state", "device_list", "node", "vote", "tree_node", "parked_event", "event_outcome"),
        *("epoch", "private_key"),
    }


@pytest.mark.parametrize("table", RECORD_TABLES)
def test_record_is_stored_replaced_and_deleted(store: Store, table: str) -> None:
    apply(store, [(table, b"key", b"value"), (table, b"", b"")])
    assert load(store) == [(table, b"", b""), (table, b"key", b"value")]
    apply(store, [(table, b"key", b"another")])
    assert load(store) == [(table, b"", b""), (table, b"key", b"another")]
    apply(store, [], [(table, b"key"), (table, b"unknown")])
    assert load(store) == [(table, b"", b"")]


def test_records_survive_a_restart(store: Store, url: str, sealing: Sealing) -> None:
    puts = [(table, b"%d" % n, bytes([n]) * n) for table in RECORD_TABLES for n in range(20)]
    apply(store, puts)
    store.close()
    with Store.open(url, sealing, migrate=False) as again:
        assert sorted(load(again)) == sorted(puts)


def test_rooms_do_not_see_each_other(store: Store) -> None:
    for table in RECORD_TABLES:
        apply(store, [(table, b"key", b"one")])
        apply(store, [(table, b"key", b"two")], room_id=OTHER)
        apply(store, [], [(table, b"key")])
        assert load(store) == []
        assert load(store, OTHER)[-1][2] == b"two"
        apply(store, [], [(table, b"key")], room_id=OTHER)
    assert store.read(rooms.list_rooms) == [OTHER, ROOM]


def test_last_of_several_values_is_stored(store: Store) -> None:
    for table in RECORD_TABLES:
        apply(store, [(table, b"key", b"first"), (table, b"key", b"last")])
    assert {value for _, _, value in load(store)} == {b"last"}


def test_record_both_put_and_deleted_is_refused(store: Store) -> None:
    with pytest.raises(Invalid):
        apply(store, [("node", b"other", b"value"), ("node", b"key", b"value")], [("node", b"key")])
    assert load(store) == []
    apply(store, [("node", b"key", b"value")], [("vote", b"key")])


@pytest.mark.parametrize("table", ["", "outbox", "plaintext", "data_key", "meta", "node; DROP TABLE node"])
def test_unknown_table_is_refused_and_nothing_is_changed(store: Store, table: str) -> None:
    with pytest.raises(Invalid):
        apply(store, [("node", b"key", b"value"), (table, b"key", b"value")])
    with pytest.raises(Invalid):
        apply(store, [("node", b"key", b"value")], [(table, b"key")])
    assert store.read(rooms.list_rooms) == []


def test_every_change_raises_the_version_of_its_room(store: Store) -> None:
    assert [apply(store, [("node", b"key", b"value")]) for _ in range(3)] == [1, 2, 3]
    assert apply(store, [], room_id=OTHER) == 1


def test_unknown_room_is_empty(store: Store) -> None:
    assert load(store) == []
    assert store.read(rooms.list_rooms) == []


def test_rooms_are_found_by_a_record_of_theirs(store: Store) -> None:
    apply(store, [("member_state", b"@alice:hs1", b"1"), ("member_state", b"@bob:hs1", b"2")])
    apply(store, [("member_state", b"@bob:hs1", b"3"), ("node", b"@alice:hs1", b"4")], room_id=OTHER)
    assert store.read(lambda conn: rooms.find(conn, "member_state", b"@alice:hs1")) == [ROOM]
    assert store.read(lambda conn: rooms.find(conn, "member_state", b"@bob:hs1")) == sorted([ROOM, OTHER])
    assert store.read(lambda conn: rooms.find(conn, "member_state", b"@carol:hs1")) == []
    for table in ("epoch", "outbox"):
        with pytest.raises(Invalid):
            store.read(partial(rooms.find, table=table, key=b""))


def test_forgotten_room_leaves_nothing_and_the_others_alone(store: Store) -> None:
    for room_id in (ROOM, OTHER):
        apply(store, [(table, b"key", b"value") for table in RECORD_TABLES], room_id=room_id)
        write(store, partial(plaintexts.put, room_id=room_id, event_id="$1", value=b"text"))
        write(store, partial(outbox.append, items=[NewItem(room_id, "blob", b"bytes")], now_ms=1))
    assert write(store, lambda conn: rooms.forget(conn, ROOM, now_ms=5)) is True
    assert load(store) == []
    assert store.read(rooms.list_rooms) == [OTHER]
    assert store.read(lambda conn: outbox.pending(conn, ROOM)) == []
    with pytest.raises(NotFound):
        store.read(lambda conn: plaintexts.get(conn, ROOM, "$1"))
    assert len(load(store, OTHER)) == len(RECORD_TABLES)
    assert len(store.read(lambda conn: outbox.pending(conn, OTHER))) == 1
    assert store.read(lambda conn: plaintexts.get(conn, OTHER, "$1")) == b"text"
    assert write(store, lambda conn: rooms.forget(conn, ROOM, now_ms=5)) is False
    assert write(store, lambda conn: rooms.forget(conn, "!unknown:hs1", now_ms=5)) is False


def test_forgotten_room_has_what_was_kept_and_can_be_revived(store: Store) -> None:
    apply(store, [("room", b"meta", b"old"), ("node", b"n", b"value")])
    version = apply(store, [("epoch", b"e", b"secret")])
    assert not store.read(lambda conn: rooms.is_forgotten(conn, ROOM))
    assert write(store, lambda conn: rooms.forget(conn, ROOM, now_ms=5, keep=[("room", b"meta", b"new")]))
    assert store.read(lambda conn: rooms.is_forgotten(conn, ROOM))
    assert load(store) == [("room", b"meta", b"new")]
    assert apply(store, [("room", b"times", b"x")]) > version
    write(store, lambda conn: rooms.revive(conn, ROOM))
    assert not store.read(lambda conn: rooms.is_forgotten(conn, ROOM))
    assert store.read(rooms.list_rooms) == [ROOM]


@given(st.lists(st.tuples(st.sampled_from(RECORD_TABLES), st.binary(max_size=2), st.none() | st.binary(max_size=4)), max_size=20))
def test_changes_of_steps_add_up(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, bytes, bytes | None]]) -> None:
    expected: dict[tuple[str, bytes], bytes] = {}
    path = tmp_path_factory.mktemp("store") / "store.db"
    with Store.open(f"sqlite:///{path}", Sealing(b"k" * 32), migrate=True) as store:
        for table, key, value in steps:
            if value is None:
                expected.pop((table, key), None)
                apply(store, [], [(table, key)])
            else:
                expected[table, key] = value
                apply(store, [(table, key, value)])
        assert {(table, key): value for table, key, value in load(store)} == expected


def test_plaintext_waits_until_it_is_removed(store: Store) -> None:
    apply(store, [])
    write(store, lambda conn: plaintexts.put(conn, ROOM, "$2", b"two"))
    write(store, lambda conn: plaintexts.put(conn, ROOM, "$1", b"one"))
    write(store, lambda conn: plaintexts.put(conn, ROOM, "$1", b"one again"))
    assert store.read(lambda conn: plaintexts.list_event_ids(conn, ROOM)) == ["$1", "$2"]
    assert store.read(lambda conn: plaintexts.get(conn, ROOM, "$1")) == b"one again"
    assert write(store, lambda conn: plaintexts.remove(conn, ROOM, "$1")) is True
    assert write(store, lambda conn: plaintexts.remove(conn, ROOM, "$1")) is False
    with pytest.raises(NotFound):
        store.read(lambda conn: plaintexts.get(conn, ROOM, "$1"))
    with pytest.raises(NotFound):
        store.read(lambda conn: plaintexts.get(conn, OTHER, "$2"))


def test_plaintext_of_no_room_is_refused(store: Store) -> None:
    with pytest.raises(Conflict):
        write(store, lambda conn: plaintexts.put(conn, ROOM, "$1", b"text"))
