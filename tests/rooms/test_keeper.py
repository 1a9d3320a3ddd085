"""Rooms in real stores: what a session does, and what is left when it fails."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from devicestore import Connection, Sealing, Store
from devicestore.devices import Custody
from devicestore.errors import Unavailable
from dmls.engine.agent import devices_of
from dmls.engine.effects import ClaimWanted, DeviceListsWanted, EventToSend, ToDeviceToSend
from dmls.engine.inputs import EncryptRequested, RoomStateChanged, Tick
from dmls.engine.state import RoomState
from dmls.errors import CryptoError, InvalidArgumentError
from dmls.forks.graph import Device
from dmls.ids import EventId, RoomId, ServerName, UserId
from dmls.matrix.bodies import ALGORITHM, Payload
from dmls.matrix.events import MemberEvent, Membership
from dmls.matrix.membership import RoomFacts
from dmls.rooms.keeper import Keeper, Report
from dmls.rooms.session import Session, Written
from tests.rooms.homes import ROOM, Home, World, heads, read_pending

ALICE, BOB, DAN = "@alice:hs1", "@bob:hs1", "@dan:hs2"
OTHER = RoomId("!other:hs1")


def members(home: Home, room_id: RoomId = ROOM) -> set[Device]:
    state = home.state(room_id)
    assert state.head is not None
    return set(devices_of(state.entries[state.head].group.tree).values())


def durable(state: RoomState) -> tuple[object, ...]:
    """What of a state must survive a restart."""
    return (
        state.head,
        state.membership,
        state.state_version,
        dict(state.lists),
        set(state.entries),
        {ref: held.state.own_leaves for ref, held in state.epochs.items()},
        set(state.ring.keys),
        dict(state.votes),
        dict(state.outcomes),
        set(state.parked),
        dict(state.plaintexts),
        dict(state.gone),
        dict(state.claims),
        set(state.agent.devices),
    )


def test_a_room_of_two_homeservers_is_begun_joined_and_talked_in(world: World) -> None:
    hs1, hs2 = world.homes.values()
    alice, dan = hs1.add_device("alice"), hs2.add_device("dan")
    world.join(ALICE)
    world.settle()
    world.join(DAN)
    world.settle()
    world.let_time_pass(5)
    assert len(heads([hs1, hs2])) == 1
    first = world.say(alice, "hello")
    second = world.say(dan, "hello yourself")
    assert world.read(dan, first) == ("ok", "hello")
    assert world.read(alice, second) == ("ok", "hello yourself")
    world.set_membership(DAN, Membership.BAN, by=ALICE)
    world.settle()
    third = world.say(alice, "without dan")
    assert world.read(dan, third)[0] == "not_member_then"
    assert members(hs1) == {alice}


def test_a_store_that_is_opened_again_has_the_same_rooms(world: World) -> None:
    hs1, hs2 = world.homes.values()

    def restart() -> None:
        for home in (hs1, hs2):
            before, pending = durable(home.state()), home.pending()
            home.restart()
            assert durable(home.state()) == before
            assert home.pending() == pending

    alice, dan = hs1.add_device("alice"), hs2.add_device("dan")
    world.join(ALICE)
    restart()
    world.join(DAN)
    restart()
    world.settle()
    restart()
    first = world.say(alice, "one")
    restart()
    assert world.read(dan, first) == ("ok", "one")
    second = world.say(dan, "two")
    restart()
    assert world.read(alice, second) == ("ok", "two")
    assert world.read(alice, first)[0] in ("ok", "duplicate")
    world.set_membership(DAN, Membership.LEAVE)
    restart()
    world.settle()
    world.let_time_pass(30)
    assert members(hs1) == {alice}
    restart()


@pytest.mark.breaks("SQ-07")
def test_a_session_whose_transaction_fails_has_not_happened(world: World) -> None:
    (hs1, _) = world.homes.values()
    alice = hs1.add_device("alice")
    world.join(ALICE)
    world.settle()
    before, pending = durable(hs1.state()), hs1.pending()
    payload = Payload("m.room.message", {"body": "lost"}, ROOM)
    seen: list[bytes] = []

    def work(session: Session) -> None:
        result = session.step(ROOM, EncryptRequested(alice.user_id, alice.device_id, payload)).encrypted
        assert result is not None
        seen.append(result.content)

    def fail(_conn: Connection, _written: Written, _nothing: None) -> None:
        raise Unavailable("the disk is full")

    for _ in range(2):
        with pytest.raises(Unavailable):
            hs1.keeper.transact([ROOM], work, fail)
        assert durable(hs1.state()) == before
        assert hs1.pending() == pending
    assert len(set(seen)) == 2
    event_id = world.say(alice, "kept")
    assert world.read(alice, event_id) == ("ok", "kept")


def test_work_that_raises_undoes_the_steps_before(world: World) -> None:
    (hs1, _) = world.homes.values()
    hs1.add_device("alice")
    world.join(ALICE)
    before, pending = durable(hs1.state()), hs1.pending()

    def work(session: Session) -> None:
        session.step(ROOM, RoomStateChanged(99, None, {UserId(ALICE): None}))
        raise KeyError("after the step")

    with pytest.raises(KeyError):
        hs1.keeper.transact([ROOM], work)
    assert durable(hs1.state()) == before
    assert hs1.pending() == pending


def test_a_step_that_is_refused_leaves_the_others_of_its_session(world: World) -> None:
    (hs1, _) = world.homes.values()
    world.join(ALICE)
    event = world.members[ROOM][UserId(ALICE)]
    contradiction = MemberEvent(event.event_id, UserId(BOB), UserId(BOB), Membership.JOIN)

    def work(session: Session) -> None:
        with pytest.raises(InvalidArgumentError):
            session.step(ROOM, RoomStateChanged(98, None, {UserId(BOB): contradiction}))
        session.step(ROOM, RoomStateChanged(99, None, {}))

    hs1.keeper.transact([ROOM], work)
    assert hs1.state().state_version == 99
    hs1.restart()
    assert hs1.state().state_version == 99
    assert hs1.state().membership.joined() == {UserId(ALICE)}


def test_sessions_of_several_rooms_are_one_transaction(world: World) -> None:
    (hs1, _) = world.homes.values()
    facts = RoomFacts(UserId(ALICE), "12", "shared", ALGORITHM)

    def work(session: Session) -> None:
        for room_id in (ROOM, OTHER):
            session.step(room_id, RoomStateChanged(1, facts, {}, is_full=True))

    def fail(_conn: Connection, _written: Written, _nothing: None) -> None:
        raise Unavailable("the disk is full")

    with pytest.raises(Unavailable):
        hs1.keeper.transact([OTHER, ROOM], work, fail)
    assert hs1.keeper.all_rooms() == []
    hs1.keeper.transact([OTHER, ROOM], work)
    assert hs1.keeper.all_rooms() == sorted([ROOM, OTHER])


def test_a_room_nobody_told_of_is_unknown_and_leaves_nothing(world: World) -> None:
    (hs1, _) = world.homes.values()
    assert hs1.keeper.state(ROOM) is None
    hs1.keeper.wake(ROOM)
    assert hs1.keeper.state(ROOM) is None
    assert hs1.keeper.all_rooms() == []


# What follows from a step


def test_devices_that_come_and_go_are_followed_by_their_rooms(world: World) -> None:
    (hs1, _) = world.homes.values()
    first = hs1.add_device("alice")
    world.join(ALICE)
    world.join(BOB, room_id=OTHER)
    second = hs1.add_device("alice", "D2")
    world.settle()
    assert members(hs1) == {first, second}
    hs1.remove_device(first)
    world.settle()
    assert members(hs1) == {second}
    assert hs1.state().lists[UserId(ALICE)].version == 3
    assert set(hs1.state().gone) == {first}
    assert hs1.keeper.rooms_of(UserId(ALICE)) == [ROOM]
    assert hs1.state(OTHER).head is None


def test_a_client_device_of_the_own_server_is_added_from_the_own_stock(world: World) -> None:
    (hs1, _) = world.homes.values()
    alice = hs1.add_device("alice")
    world.join(ALICE)
    world.settle()
    phone = hs1.add_device("bob", "PHONE", custody=Custody.CLIENT)
    world.join(BOB)
    assert members(hs1) == {alice, phone}
    kinds = [type(item.action) for item in hs1.pending()]
    assert kinds == [EventToSend, ToDeviceToSend]
    assert hs1.pending()[1].depends_on == (hs1.pending()[0].seq,)


def test_a_device_without_key_packages_is_added_when_it_has_some(world: World) -> None:
    (hs1, hs2) = world.homes.values()
    alice = hs1.add_device("alice")
    world.join(ALICE)
    bob = hs1.add_device("bob", "PHONE", custody=Custody.CLIENT, stock=0)
    world.join(BOB)
    world.settle()
    assert members(hs1) == {alice}
    event_id = world.say(alice, "bob must wait")
    assert world.read(alice, event_id)[0] == "ok"
    hs1.stock(bob, 1)
    world.let_time_pass(70)
    assert members(hs1) == {alice, bob}
    assert hs2.pending() == []


def test_other_servers_devices_and_lists_are_asked_for_through_the_outbox(world: World) -> None:
    (hs1, hs2) = world.homes.values()
    hs1.add_device("alice")
    hs1.add_device("bob", "PHONE", custody=Custody.CLIENT)
    hs2.add_device("dan", "PHONE", custody=Custody.CLIENT)
    asked: list[object] = []
    world.on_item = lambda home, item: asked.append(item.action) if home is hs1 else None
    world.join(ALICE, BOB, DAN)
    world.settle()
    world.let_time_pass(60)
    lists = {user for action in asked if isinstance(action, DeviceListsWanted) for user in action.users}
    claims = {device.user_id for action in asked if isinstance(action, ClaimWanted) for device in action.devices}
    assert (lists, claims) == ({DAN}, {DAN})
    assert {device.user_id for device in members(hs1)} == {ALICE, BOB, DAN}


def test_time_passes_where_something_is_due(world: World) -> None:
    (hs1, hs2) = world.homes.values()
    alice, dan = hs1.add_device("alice"), hs2.add_device("dan")
    world.join(ALICE, DAN)
    world.settle()
    world.say(dan, "dan's vote keeps the group alive without alice")
    # Nobody of alice's server is left to remove her, so dan's does it after a while.
    world.set_membership(ALICE, Membership.LEAVE)
    world.settle()
    assert members(hs2) == {alice, dan}
    wake_at_ms = hs2.keeper.next_wake_ms()
    assert wake_at_ms is not None
    assert hs2.keeper.due(wake_at_ms - 1) == []
    assert hs2.keeper.due(wake_at_ms) == [ROOM]
    hs2.restart()
    assert hs2.keeper.due(world.clock.now_ms) == [ROOM]
    world.let_time_pass(30)
    assert members(hs2) == {dan}


def no_randomness(_size: int) -> bytes:
    raise CryptoError("there is no randomness")


def test_what_is_due_and_fails_does_not_take_the_step_with_it(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path, seed)
    hs1 = world.home("hs1")
    alice = hs1.add_device("alice")
    reports: list[Report] = []
    broken = Keeper(
        hs1.store,
        ServerName("hs1"),
        is_service=True,
        clock=world.clock,
        random=no_randomness,
        on_report=reports.append,
    )
    event = MemberEvent(EventId("$join"), UserId(ALICE), UserId(ALICE), Membership.JOIN)
    facts = RoomFacts(UserId(ALICE), "12", "shared", ALGORITHM)
    happened = RoomStateChanged(1, facts, {UserId(ALICE): event}, is_full=True)
    broken.transact([ROOM], lambda session: session.step(ROOM, happened))
    ((room_id, failure),) = reports[0].failures
    assert (room_id, type(failure)) == (ROOM, CryptoError)
    state = broken.state(ROOM)
    assert state is not None
    assert state.membership.joined() == {UserId(ALICE)}
    assert state.head is None
    assert broken.next_wake_ms() == world.clock.now_ms + 60_000
    # With a working source of randomness what was due is done.
    hs1.restart()
    hs1.keeper.wake(ROOM)
    assert members(hs1) == {alice}
    world.close()


def test_reports_tell_what_is_new(world: World) -> None:
    (hs1, _) = world.homes.values()
    hs1.add_device("alice")
    world.join(ALICE)
    reports = hs1.reports
    assert [report.has_outgoing for report in reports if report.room_ids] == [True]
    assert [notice.kind.value for report in reports for _, notice in report.notices] == ["head_moved", "genesis"]


# Many rooms, many threads


def test_rooms_beyond_the_bound_are_closed_and_opened_again(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path, seed)
    hs1 = world.home("hs1")
    hs1.restart(max_open=2)
    alice = hs1.add_device("alice")
    rooms = [RoomId(f"!room{number}:hs1") for number in range(5)]
    for room_id in rooms:
        world.join(ALICE, room_id=room_id)
    for _ in range(2):
        for room_id in rooms:
            world.settle()
            event_id = world.say(alice, str(room_id), room_id)
            assert world.read(alice, event_id, room_id) == ("ok", room_id)
    world.close()


@pytest.mark.breaks("SQ-08")
def test_threads_take_turns_in_a_room_and_never_wait_in_a_circle(world: World) -> None:
    hs1, hs2 = world.homes.values()
    alice, dan = hs1.add_device("alice"), hs2.add_device("dan")
    for room_id in (ROOM, OTHER):
        world.join(ALICE, DAN, room_id=room_id)
    world.settle()
    together = threading.Barrier(4)

    def send(number: int) -> list[tuple[RoomId, bytes]]:
        together.wait(10)
        sent = []
        for turn in range(4):
            order = [ROOM, OTHER] if (number + turn) % 2 else [OTHER, ROOM]
            sent += hs1.keeper.transact(order, partial(_encrypt_in, alice, order))
        return sent

    with ThreadPoolExecutor(4) as pool:
        sent = [each for sent in pool.map(send, range(4), timeout=60) for each in sent]
    assert len(set(sent)) == 32
    # Each used a key of its own, or the second of two could not be read.
    for room_id, content in sent:
        event_id = world.publish(alice.user_id, content, room_id)
        assert world.read(dan, event_id, room_id) == ("ok", "x")


def _encrypt_in(device: Device, room_ids: list[RoomId], session: Session) -> list[tuple[RoomId, bytes]]:
    sent = []
    for room_id in room_ids:
        payload = Payload("m.room.message", {"body": "x"}, room_id)
        result = session.step(room_id, EncryptRequested(device.user_id, device.device_id, payload)).encrypted
        assert result is not None
        assert result.outcome == "ok"
        sent.append((room_id, result.content))
    return sent


def test_a_client_device_asks_its_homeserver_for_everything(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path, seed)
    hs1 = world.home("hs1")
    phone = hs1.add_device("alice", "PHONE", custody=Custody.CLIENT)
    store = Store.open(f"sqlite:///{tmp_path}/phone.db", Sealing(b"p" * 32), migrate=True)
    hs1.register(store, phone, Custody.HOSTED)
    keeper = Keeper(store, ServerName("hs1"), is_service=False, clock=world.clock, random=hs1.random)
    facts = RoomFacts(UserId(ALICE), "12", "shared", ALGORITHM)
    joined = {
        UserId(user): MemberEvent(EventId(f"${user}"), UserId(user), UserId(user), Membership.JOIN) for user in (ALICE, BOB)
    }
    keeper.transact([ROOM], lambda session: session.step(ROOM, RoomStateChanged(1, facts, joined, is_full=True)))
    state = keeper.state(ROOM)
    assert state is not None
    assert set(state.agent.devices) == {phone}
    assert not state.lists
    pending = read_pending(store)
    assert [item.action for item in pending] == [DeviceListsWanted((UserId(ALICE), UserId(BOB)))]
    assert keeper.rooms_of(UserId("@whoever:hs1")) == [ROOM]
    effects = keeper.transact([ROOM], lambda session: session.step(ROOM, Tick()))
    assert not effects.outbox
    store.close()
    world.close()
