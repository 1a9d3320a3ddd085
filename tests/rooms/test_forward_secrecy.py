"""Forward secrecy at rest: what docs/protocol.md, Section 9, says is gone cannot be found in the files of a store any more.

The finder holds the key-encryption key, everything that was ever sealed, and the raw bytes of all files.
"""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

import pytest

from devicestore import key_package_secrets
from dmls.engine.agent import devices_of
from dmls.engine.effects import EventToSend
from dmls.engine.state import RoomState
from dmls.forks.graph import Device
from dmls.ids import CommitRef, NodeIndex
from dmls.matrix.events import Membership
from dmls.mls.tree.ratchet_tree import RatchetTree
from tests.rooms.homes import ROOM, Home, heads
from tests.rooms.partition import PartedWorld
from tests.rooms.play import USERS, Play, play_seeds
from tests.support.attacker import steal
from tests.support.forensics import Finder, Witness, epoch_secrets, held_secrets

ALICE, BOB, DAN, ERIN = "@alice:hs1", "@bob:hs1", "@dan:hs2", "@erin:hs3"
HOUR, DAY = 3_600, 86_400
KEY = b"k" * 32


class Examination:
    """Homeservers whose files are examined after everything that happens to one of them."""

    def __init__(self, folder: Path, seed: int, witness: Witness) -> None:
        self.world = PartedWorld(folder, seed)
        self.witness = witness
        self.finders: dict[str, Finder] = {}
        self.known: dict[str, dict[bytes, str]] = {}
        """Every secret that a homeserver ever held, and of which kind it is."""
        self.epochs: dict[str, dict[CommitRef, dict[str, set[bytes]]]] = {}
        """The secrets of every epoch that a homeserver ever held, by kind."""
        self.kinds: set[str] = set()
        self.count = 0
        self.world.on_step = self.examine

    def home(self, name: str) -> Home:
        home = self.world.home(name)
        (self.world.folder / name).mkdir(exist_ok=True)
        self.finders[name] = Finder(home.path, KEY)
        self.known[name], self.epochs[name] = {}, {}
        transact = home.keeper.transact

        def work(*args: object) -> object:
            with self.witness.working(name):
                return transact(*args)  # type: ignore[call-overload]

        home.keeper.transact = work  # type: ignore[method-assign, assignment]
        return home

    def examine(self) -> None:
        """Look into the files of all homeservers."""
        self.count += 1
        for name, home in self.world.homes.items():
            room = home.keeper.state(ROOM)
            if room is not None:
                self._examine(name, home, room)

    def _examine(self, name: str, home: Home, room: RoomState) -> None:
        finder, known = self.finders[name], self.known[name]
        finder.look(home.store)
        live: dict[bytes, str] = {}
        for kind, values in held_secrets(room).items():
            live |= dict.fromkeys(values, kind)
        for bundle in steal(home.store, ROOM).bundles.values():
            live |= dict.fromkeys((bundle.init_private_key, bundle.encryption_private_key), "key package's private half")
        for ref, held in room.epochs.items():
            kinds = self.epochs[name].setdefault(ref, {})
            for kind, values in epoch_secrets(held.state).items():
                kinds.setdefault(kind, set()).update(values)
        # Whoever finds nothing at all proves nothing: all that is held is found.
        for value, kind in live.items():
            assert finder.finds(value), f"a {kind} that is held is not found"
            self.kinds.add(kind)
        for value, kind in live.items():
            assert value in known or not finder.sees(value), f"a {kind} lies in the files in the clear"
        known |= live
        for value, kind in known.items():
            assert value in live or not finder.finds(value), f"a {kind} that is not held any more is found"
        for kind, values in self.witness.fleeting.items():
            assert not any(map(finder.finds, values)), f"a {kind} is found"
        for value in self.witness.used.get(name, ()):
            assert not finder.finds(value), "a used message key is found"
        for membership_key, traces in self.witness.made.items():
            if membership_key in known:
                for trace in traces:
                    assert not any(map(finder.finds, trace.punctured)), "an ancestor of a punctured point is found"
        named = {key for held in room.epochs.values() for key in _public_keys(held.state.public.tree)}
        assert set(room.ring.keys) <= named, "a private key is kept that no retained epoch names"

    def check_deadlines(self) -> None:
        """Check that what time ends is gone, by the times at which nodes came in."""
        now = self.world.clock()
        for home in self.world.homes.values():
            room = home.keeper.state(ROOM)
            if room is None or room.stand is None:
                continue
            entries, chain = room.entries, set(room.graph.path_up(room.stand))
            for ref, held in room.epochs.items():
                children = [entries[child] for child in room.graph.children(ref)]
                followers = [entry.received_at_ms for entry in children if entry.node.commit_ref in chain]
                regular = [entry.received_at_ms for entry in children if not entry.node.is_external]
                if any(at + 1_000 * HOUR <= now for at in followers + regular):
                    assert not held.state.secrets.external_secret, "an external key outlives an epoch's child"
                if ref not in chain and (held.succeeded_at_ms or entries[ref].received_at_ms) + 1_000 * HOUR <= now:
                    assert not held.state.secrets.sender_data_secret, "message secrets of a losing branch are kept"
                assert not any(at + 3_000 * DAY <= now for at in followers), "an epoch is kept beyond its time"

    def found(self, name: str, ref: CommitRef, *kinds: str) -> set[str]:
        """Return of which kinds a secret of an epoch is found that a homeserver held once."""
        finder = self.finders[name]
        return {kind for kind, values in self.epochs[name][ref].items() if kind in kinds and any(map(finder.finds, values))}

    def members(self, name: str) -> set[Device]:
        """Return the devices in the head of a homeserver."""
        state = self.world.homes[name].state()
        assert state.head is not None
        return set(devices_of(state.entries[state.head].group.tree).values())

    def check_files(self) -> None:
        """Check that no secret that there ever was lies in a file in the clear."""
        for name in self.world.homes:
            for value, kind in self.known[name].items():
                assert not self.finders[name].sees(value), f"a {kind} lies in the files in the clear"
            for kind, values in self.witness.fleeting.items():
                assert not any(map(self.finders[name].sees, values)), f"a {kind} lies in the files in the clear"

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and have key packages purged as a service does."""
        self.world.let_time_pass(seconds)
        for home in self.world.homes.values():
            home.store.write(partial(key_package_secrets.purge, now_ms=self.world.clock())).result()
        self.examine()
        self.check_files()


def _public_keys(tree: RatchetTree) -> set[bytes]:
    return {tree.encryption_key(node) for node in map(NodeIndex, range(2 * tree.width - 1)) if not tree.is_blank(node)}


@pytest.fixture
def witness(monkeypatch: pytest.MonkeyPatch) -> Witness:
    watching = Witness()
    watching.watch(monkeypatch)
    return watching


MESSAGE_KINDS = ("sender data secret", "secret tree", "ratchet", "skipped message key")


def test_nothing_that_is_gone_is_found_in_the_files(tmp_path: Path, seed: int, witness: Witness) -> None:
    exam = Examination(tmp_path, seed, witness)
    world = exam.world
    hs1, hs2, hs3 = (exam.home(name) for name in ("hs1", "hs2", "hs3"))
    alice, dan = hs1.add_device("alice"), hs2.add_device("dan")
    exam.examine()
    world.join(ALICE)
    world.settle()
    world.join(DAN)
    world.settle()
    world.let_time_pass(5)
    assert len(heads([hs1, hs2])) == 1
    bodies = [f"a text that nobody else says: {number}" for number in range(4)]
    ids = [world.say(alice, body) for body in bodies[:2]]
    # Of three messages the last one comes first, so that keys of the others are kept.
    contents = [hs1.encrypt(alice, body)[1] for body in bodies[1:]]
    exam.examine()
    ids += [world.publish(alice.user_id, content) for content in reversed(contents)]
    assert {kind for kind in exam.kinds if "message" in kind} == {"skipped message key"}
    assert world.read(dan, ids[0]) == ("ok", bodies[0])
    exam.examine()

    # Both sides commit: two forks, with messages on both.
    fork = hs1.state().head
    assert fork is not None
    world.part(["hs1"], ["hs2", "hs3"])
    bob = hs1.add_device("bob")
    world.join(BOB)
    world.settle()
    dan_2 = hs2.add_device("dan", "D2")
    world.settle()
    world.let_time_pass(10)
    left, right = hs1.state().head, hs2.state().head
    assert left is not None
    assert right is not None
    assert {hs1.state().graph.parent(left), hs2.state().graph.parent(right)} == {fork}
    ids += [world.say(bob, "from the left"), world.say(dan_2, "from the right")]
    world.join_again()
    for home in (hs1, hs2):
        assert {left, right} <= set(home.state().epochs)
    world.let_time_pass(60)
    head = hs1.state().head
    assert head is not None
    assert head == hs2.state().head
    loser = next(ref for ref in (left, right) if ref not in hs1.state().graph.path_up(head))
    exam.examine()
    for name in ("hs1", "hs2"):
        assert exam.found(name, loser, *MESSAGE_KINDS) >= {"sender data secret", "ratchet"}
        assert exam.found(name, fork, "external secret")
    exam.pass_time(HOUR)
    for name in ("hs1", "hs2"):
        if loser in world.homes[name].state().epochs:
            assert exam.found(name, loser, "membership key")
        assert exam.found(name, loser, *MESSAGE_KINDS) == set()
        assert exam.found(name, fork, "external secret") == set()

    # A device of another server comes in by Welcome; the private half of its key package is kept one hour more.
    erin = hs3.add_device("erin", stock=0)
    (bundle,) = hs3.stock(erin, 1)
    world.set_membership(ERIN, Membership.INVITE, by=ALICE)
    world.deaf = {"hs3"}
    world.join(ERIN)
    world.settle()
    world.let_time_pass(30)
    assert exam.members("hs1") == {alice, bob, dan, dan_2, erin}
    world.waiting["hs3"].append(world.waiting["hs3"].pop(0))
    world.join_again()
    ids.append(world.say(alice, "to erin too"))
    assert world.read(erin, ids[-1]) == ("ok", "to erin too")
    exam.examine()
    assert hs3.state().graph.authored(erin) == ()
    for half in (bundle.init_private_key, bundle.encryption_private_key):
        assert exam.finders["hs3"].finds(half)
    exam.pass_time(HOUR + 60)
    assert not exam.finders["hs3"].finds(bundle.init_private_key)

    # A commit that the homeserver refuses leaves nothing.
    before = set(hs1.state().epochs)
    carol = hs1.add_device("alice", "D2")
    exam.examine()
    (refused,) = set(hs1.state().epochs) - before
    (seq,) = (item.seq for item in hs1.pending() if isinstance(item.action, EventToSend) and item.action.commit_ref == refused)
    assert exam.found("hs1", refused, "membership key")
    hs1.remove_device(carol)
    assert hs1.acknowledge(seq, None, is_refused=True) == "accepted"
    exam.examine()
    assert exam.found("hs1", refused, *exam.epochs["hs1"][refused]) == set()

    # A deleted device's own keys go at once, and with the last device of an agent all that it holds.
    signing_key = bytes(hs1.secrets[bob])
    exam.examine()
    assert exam.finders["hs1"].finds(signing_key)
    hs1.remove_device(bob)
    world.settle()
    exam.examine()
    assert not exam.finders["hs1"].finds(signing_key)
    world.let_time_pass(30)
    unread = world.say(alice, "a text that dan never reads")
    exam.examine()
    assert hs2.state().epochs
    assert unread.encode() in hs2.state().plaintexts
    assert exam.finders["hs2"].finds(b"a text that dan never reads")
    hs2.remove_device(dan_2)
    hs2.remove_device(dan)
    exam.examine()
    assert not hs2.state().epochs
    assert not hs2.state().ring.keys
    assert not exam.finders["hs2"].finds(b"a text that dan never reads")
    for ref, kinds in exam.epochs["hs2"].items():
        assert exam.found("hs2", ref, *kinds) == set()
    world.set_membership(DAN, Membership.BAN, by=ALICE)
    world.settle()
    world.let_time_pass(30)
    assert exam.members("hs1") == {alice, erin}
    head = hs1.state().head
    assert head is not None
    assert head == hs3.state().head

    # After the retention time only the head is left, and of the private keys those of its tree.
    exam.pass_time(3 * DAY + HOUR)
    for name in ("hs1", "hs3"):
        assert set(world.homes[name].state().epochs) == {head}
    for name in world.homes:
        for ref, kinds in exam.epochs[name].items():
            if ref != head:
                assert exam.found(name, ref, *kinds) == set(), (name, ref.hex())
    exam.pass_time(5 * DAY)
    for name in world.homes:
        assert not any(exam.finders[name].finds(text.encode()) for text in bodies)
    assert exam.kinds == {
        *("init secret", "sender data secret", "external secret", "exporter secret", "confirmation key", "membership key"),
        *("secret tree", "ratchet", "skipped message key", "private key", "key package's private half", "plaintext"),
    }
    assert witness.fleeting.keys() == {
        *("joiner secret", "commit secret", "welcome secret", "epoch secret", "external private key"),
    }
    assert exam.count > 50
    world.close()


def test_nothing_that_is_gone_is_found_in_random_rooms(tmp_path: Path, seed: int, witness: Witness) -> None:
    for number in play_seeds(seed, 1):
        folder = tmp_path / str(number)
        folder.mkdir()
        _play(Examination(folder, number, witness), random.Random(number))


def _play(exam: Examination, rng: random.Random) -> None:
    exam.world.on_step = lambda: None
    for name in USERS:
        exam.home(name)

    def after(_turn: int) -> None:
        # Whatever is due has been done when time has passed.
        exam.world.let_time_pass(0.001)
        exam.check_deadlines()
        exam.examine()

    room = Play(exam.world, rng, after)
    room.begin()
    room.play(30)
    exam.pass_time(3 * DAY + HOUR)
    exam.check_deadlines()
    assert len(exam.kinds) > 8
    exam.world.close()
