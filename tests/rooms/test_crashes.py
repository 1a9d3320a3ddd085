"""Crashes in the middle of a step: a service that starts again finds the room before it or after it, and nothing between."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from devicestore import Sealing, Store
from dmls.engine.effects import EncryptOutcome, EventToSend
from dmls.engine.state import RoomState
from dmls.forks.graph import Device
from dmls.ids import CommitRef, EventId, ServerName
from dmls.mls.group.snapshot import encode_state
from dmls.rooms.keeper import Keeper
from dmls.rooms.outbox import StoredItem
from tests.rooms.homes import ROOM, Home, heads, read_pending
from tests.rooms.partition import PartedWorld

ALICE, BOB, DAN = "@alice:hs1", "@bob:hs1", "@dan:hs2"
KEY = b"k" * 32


@dataclass
class Images:
    """Copies of a store's files from the moments before its statements ran: what a process that is killed there leaves behind."""

    home: Home
    folder: Path
    files: list[Path] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Copy the files before every statement of a writing transaction and before its end."""
        event.listen(Engine, "before_cursor_execute", self._before)
        event.listen(Engine, "commit", self._at_commit)
        try:
            yield
        finally:
            event.remove(Engine, "before_cursor_execute", self._before)
            event.remove(Engine, "commit", self._at_commit)

    def _before(self, _conn: object, _cursor: object, statement: str, *_rest: object) -> None:
        if not statement.startswith("SELECT"):
            self._copy(statement)

    def _at_commit(self, _conn: Any) -> None:
        self._copy("COMMIT")

    def _copy(self, statement: str) -> None:
        folder = self.folder / str(len(self.files))
        folder.mkdir(parents=True)
        for file in sorted(self.home.path.parent.glob(self.home.path.name + "*")):
            shutil.copy(file, folder / file.name)
        self.files.append(folder / self.home.path.name)
        self.statements.append(statement)

    def transactions(self) -> int:
        """Return how many transactions wrote anything."""
        ends = [number for number, statement in enumerate(self.statements) if statement == "COMMIT"]
        parts = (self.statements[start:end] for start, end in pairwise([0, *ends]))
        return sum(any(statement.startswith(("INSERT", "UPDATE", "DELETE")) for statement in part) for part in parts)


@dataclass(frozen=True)
class Seen:
    """What of a room is in a store: secrets to the last bit, and what is to be sent."""

    epochs: dict[CommitRef, bytes]
    keys: frozenset[bytes]
    nodes: frozenset[CommitRef]
    parked: frozenset[bytes]
    texts: frozenset[bytes]
    outcomes: frozenset[bytes]
    pending: tuple[StoredItem, ...]


def seen(room: RoomState | None, pending: list[StoredItem]) -> Seen:
    assert room is not None
    epochs = {ref: encode_state(held.state) for ref, held in room.epochs.items()}
    return Seen(
        epochs,
        frozenset(room.ring.keys),
        frozenset(room.entries),
        frozenset(room.parked),
        frozenset(plaintext.payload for plaintext in room.plaintexts.values()),
        frozenset(room.outcomes),
        tuple(pending),
    )


def look(home: Home) -> Seen:
    """Look at what is in a home's store, and not at what its engine remembers."""
    keeper = Keeper(home.store, home.server, is_service=True, clock=home.clock, random=home.random)
    return seen(keeper.state(ROOM), home.pending())


def look_at_image(home: Home, file: Path) -> Seen:
    with Store.open(f"sqlite:///{file}", Sealing(KEY), migrate=False) as store:
        keeper = Keeper(store, ServerName(home.server), is_service=True, clock=home.clock, random=home.random)
        return seen(keeper.state(ROOM), read_pending(store))


def crash_within(home: Home, folder: Path, work: Callable[[], object]) -> tuple[Seen, Seen]:
    """Let something happen, and check that a crash in its transactions leaves each done or not done."""
    before = look(home)
    images = Images(home, folder)
    with images.taken():
        work()
    after = look(home)
    states = [before]
    for state in (*(look_at_image(home, file) for file in images.files), after):
        if state != states[-1]:
            states.append(state)
    # Each transaction makes one state of another; half of one would be one more.
    assert 1 < len(states) <= 1 + images.transactions()
    assert len(images.files) > 10
    return before, after


@pytest.fixture
def world(tmp_path: Path, seed: int) -> Iterator[PartedWorld]:
    made = PartedWorld(tmp_path / "homes", seed)
    made.folder.mkdir()
    for name in ("hs1", "hs2", "hs3"):
        made.home(name)
    yield made
    made.close()


def begin(world: PartedWorld) -> tuple[Device, Device]:
    alice, dan = world.homes["hs1"].add_device("alice"), world.homes["hs2"].add_device("dan")
    world.join(ALICE)
    world.settle()
    world.join(DAN)
    world.settle()
    world.let_time_pass(5)
    assert len(heads([world.homes["hs1"], world.homes["hs2"]])) == 1
    return alice, dan


def test_a_crash_leaves_puncture_and_child_or_neither(world: PartedWorld, tmp_path: Path) -> None:
    """A received commit, and a message of its epoch that came before it and waits."""
    hs1, hs2 = world.homes["hs1"], world.homes["hs2"]
    alice, dan = begin(world)
    parent = hs2.state().head
    assert parent is not None
    world.deaf = {"hs2"}
    hs1.add_device("bob")
    world.join(BOB)
    world.settle()
    event_id = world.say(alice, "early")
    child = hs1.state().head
    assert child is not None
    # Member event, commit, message: the message comes before the commit.
    (_, member), (_, commit), (_, message) = world.waiting.pop("hs2")
    member()
    message()
    before, after = crash_within(hs2, tmp_path / "images", commit)
    assert len(before.parked) == 1
    assert not after.parked
    assert child not in before.epochs
    assert child in after.epochs
    assert before.epochs[parent] != after.epochs[parent]
    assert len(after.texts) == len(before.texts) + 1
    world.deaf = set()
    assert world.read(dan, event_id) == ("ok", "early")
    # A crash right after the transaction, and the same event once more: nothing is derived twice.
    hs2.restart()
    commit()
    assert look(hs2) == after


def test_a_crash_leaves_an_own_commit_with_the_bytes_to_send_or_none(world: PartedWorld, tmp_path: Path) -> None:
    hs1, hs2 = world.homes["hs1"], world.homes["hs2"]
    alice, dan = begin(world)
    parent = hs1.state().head
    assert parent is not None
    hs1.add_device("bob")
    world.deaf = {"hs2", "hs3"}
    before, after = crash_within(hs1, tmp_path / "images", lambda: world.join(BOB))
    (child,) = after.epochs.keys() - before.epochs.keys()
    assert before.epochs[parent] != after.epochs[parent]
    sent = [item.action for item in after.pending if isinstance(item.action, EventToSend)]
    assert [action.commit_ref for action in sent] == [child]
    # However often the service crashes before the homeserver has answered, it asks for the same bytes to be sent.
    for _ in range(2):
        hs1.restart()
        assert look(hs1) == after
        assert hs1.pending() == list(after.pending)
    world.join_again()
    assert heads([hs1, hs2]) == {child}
    assert world.read(dan, world.say(alice, "here")) == ("ok", "here")


def test_a_crash_never_lets_a_message_key_be_used_twice(world: PartedWorld, tmp_path: Path, rng: random.Random) -> None:
    """Ciphertexts of all images are had from the same store; only what left it after its transaction counts."""
    hs1 = world.homes["hs1"]
    alice, dan = begin(world)
    head = hs1.state().head
    assert head is not None
    contents: list[bytes] = []

    def encrypt(body: str) -> None:
        outcome, content = hs1.encrypt(alice, body)
        assert outcome == EncryptOutcome.OK
        contents.append(content)

    bodies = [f"text {number}" for number in range(6)]
    for number, body in enumerate(bodies):
        if number % 2:
            before, after = crash_within(hs1, tmp_path / f"images-{number}", lambda body=body: encrypt(body))  # type: ignore[misc]
            assert before.epochs[head] != after.epochs[head]
        else:
            encrypt(body)
        hs1.restart()
    ids = [world.publish(alice.user_id, content) for content in contents]
    order = list(range(6))
    rng.shuffle(order)
    assert [world.read(dan, ids[number]) for number in order] == [("ok", bodies[number]) for number in order]


def external_joins(world: PartedWorld) -> set[CommitRef]:
    return {ref for home in world.homes.values() for ref, entry in home.state().entries.items() if entry.node.is_external}


def say(world: PartedWorld, device: Device, body: str) -> EventId:
    event_id = world.say(device, body)
    world.settle()
    return event_id


def test_agents_restarted_on_either_branch_of_a_fork_can_choose_again(world: PartedWorld) -> None:
    """What is needed to go over to the other branch, and back, is in the store: nobody joins anew."""
    hs1, hs2, hs3 = world.homes.values()
    alice, dan = begin(world)
    voters = [hs3.add_device(name) for name in ("erin", "frank", "gail")]
    world.join(*(device.user_id for device in voters))
    world.settle()
    world.let_time_pass(20)
    assert len(heads(world.homes.values())) == 1
    before = external_joins(world)

    world.part(["hs1"], ["hs2"], ["hs3"])
    hs1.add_device("bob")
    world.join(BOB)
    world.settle()
    hs2.add_device("dan", "D2")
    world.settle()
    branches = {ref: home for home in (hs1, hs2) if (ref := home.state().head) is not None}
    assert len(branches) == 2
    texts = {say(world, alice, "left"): "left", say(world, dan, "right"): "right"}
    for home in (hs1, hs2):
        home.restart()

    unheard = {name: [happened for source, happened in world.waiting["hs3"] if source == name] for name in ("hs1", "hs2")}
    # The first two meet: one of them was on the losing branch and goes over.
    world.part(["hs1", "hs2"], ["hs3"])
    world.let_time_pass(5)
    (stand,) = heads([hs1, hs2])
    assert stand is not None
    (winner,) = (ref for ref in branches if hs1.state().graph.is_ancestor(ref, CommitRef(stand)))
    (loser,) = branches.keys() - {winner}
    for home in (hs1, hs2):
        home.restart()

    # The third hears of the losing branch alone, and its users vote for it: all agents have to leave the winning one.
    for happened in unheard[branches[loser].server]:
        happened()
    world.settle()
    texts |= {say(world, voter, f"for the other: {voter.user_id}"): f"for the other: {voter.user_id}" for voter in voters}
    world.join_again()
    world.let_time_pass(30)
    (head,) = heads(world.homes.values())
    assert head is not None
    assert hs1.state().graph.is_ancestor(loser, CommitRef(head))
    assert external_joins(world) == before
    for event_id, text in texts.items():
        for reader in (alice, dan, *voters):
            assert world.read(reader, event_id) == ("ok", text)
    for writer in (alice, dan, *voters):
        event_id = say(world, writer, "all here")
        assert all(world.read(reader, event_id) == ("ok", "all here") for reader in (alice, dan, *voters))
