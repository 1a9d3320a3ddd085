"""Stolen stores: with all that was ever sent they give the epochs that docs/protocol.md, Section 9, admits, and no others."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from devicestore import key_package_secrets
from dmls.engine import committing
from dmls.engine.effects import EncryptOutcome
from dmls.engine.profile import group_extensions
from dmls.forks.aad import KeySchedule
from dmls.forks.graph import Device
from dmls.forks.pprf import init_secret_rule
from dmls.ids import CommitRef, EventId
from dmls.matrix.events import Membership
from tests.rooms.homes import ROOM, Home
from tests.rooms.partition import PartedWorld
from tests.support.attacker import Attacker, Loot, Transcript, admitted, admitted_messages, steal

USERS = {"hs1": ("alice", "bob"), "hs2": ("dan", "dora"), "hs3": ("erin",)}


@dataclass
class Theft:
    """A store's contents at one moment."""

    home: str
    when: int
    loot: Loot
    sent: frozenset[EventId]


@dataclass
class Game:
    """A room in which anything happens, and whose stores are stolen now and then."""

    world: PartedWorld
    rng: random.Random
    thefts: list[Theft] = field(default_factory=list)
    devices: dict[str, list[Device]] = field(default_factory=dict)
    sent: dict[str, set[EventId]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    named: int = 0

    def begin(self) -> None:
        for name in USERS:
            self.world.home(name)
            self.devices[name], self.sent[name] = [], set()
        for name, users in USERS.items():
            self._add(name, users[0])
        self.world.join(*(f"@{users[0]}:{name}" for name, users in USERS.items()))
        self.world.settle()
        self.world.let_time_pass(10)
        for name in USERS:
            self.steal(name, 0)

    def play(self, turns: int) -> None:
        moves = [self.say] * 5 + [self.part] * 3 + [self.join_again] * 2 + [self.log_in] * 4 + [self.log_out, self.go]
        moves += [self.come] * 2 + [self.wait_seconds] * 4 + [self.wait_hours]
        for turn in range(turns):
            self.rng.choice(moves)()
            self.world.settle()
            self.steal(self.rng.choice(sorted(USERS)), turn)
        self.world.join_again()
        self.world.let_time_pass(60)
        for name in USERS:
            self.steal(name, turns)

    def steal(self, name: str, turn: int) -> None:
        """Copy a store, whose service has just purged what it may."""
        home = self.world.homes[name]
        home.store.write(partial(key_package_secrets.purge, now_ms=self.world.clock())).result()
        if home.keeper.state(ROOM) is not None:
            self.thefts.append(Theft(name, turn, steal(home.store, ROOM), frozenset(self.sent[name])))

    def _home(self) -> Home:
        return self.world.homes[self.rng.choice(sorted(self.world.homes))]

    def _add(self, name: str, user: str) -> None:
        home = self.world.homes[name]
        self.named += 1
        device = home.add_device(user, f"D{self.named}", stock=0)
        home.stock(device, 2, last_resort=True)
        self.devices[name].append(device)

    def say(self) -> None:
        home = self._home()
        if self.devices[home.server]:
            device = self.rng.choice(self.devices[home.server])
            outcome, content = home.encrypt(device, "a text")
            self.world.settle()
            if outcome == EncryptOutcome.OK:
                event_id = self.world.publish(device.user_id, content)
                self.sent[home.server].add(event_id)

    def part(self) -> None:
        names = sorted(self.world.homes)
        alone = self.rng.choice(names)
        self.world.part([name for name in names if name != alone], [alone])

    def join_again(self) -> None:
        self.world.join_again()

    def log_in(self) -> None:
        name = self._home().server
        self._add(name, self.rng.choice(USERS[name]))

    def log_out(self) -> None:
        home = self._home()
        if len(self.devices[home.server]) > 1:
            device = self.devices[home.server].pop(self.rng.randrange(len(self.devices[home.server])))
            home.remove_device(device)

    def come(self) -> None:
        name = self._home().server
        self.world.set_membership(f"@{self.rng.choice(USERS[name])}:{name}", Membership.JOIN)

    def go(self) -> None:
        name = self._home().server
        self.world.set_membership(f"@{self.rng.choice(USERS[name])}:{name}", Membership.LEAVE)

    def wait_seconds(self) -> None:
        self.world.let_time_pass(self.rng.uniform(1, 100))

    def wait_hours(self) -> None:
        self.world.let_time_pass(self.rng.choice([1, 1, 2, 30]) * 3_600)

    def transcript(self) -> Transcript:
        entries = {ref: entry for home in self.world.homes.values() for ref, entry in home.state().entries.items()}
        return Transcript.read(self.world.timeline[ROOM], entries)

    def judge(self) -> None:
        """Let the attacker and the rules speak of every theft."""
        transcript = self.transcript()
        for theft in self.thefts:
            attacker = Attacker(theft.loot, transcript)
            where = f"{theft.home} after turn {theft.when}"
            allowed = admitted(theft.loot, transcript)
            assert set(attacker.derived) == allowed, (where, _names(set(attacker.derived)), _names(allowed))
            readable, allowed_messages = attacker.readable(), admitted_messages(theft.loot, transcript, theft.sent)
            assert readable == allowed_messages, (where, readable ^ allowed_messages)
            held = set(theft.loot.room.epochs)
            self.counts += Counter(
                thefts=1,
                held=len(held),
                derived=len(allowed),
                beyond=len(allowed - held),
                again=len(allowed & held),
                safe=len(transcript.commits.keys() - allowed - held),
                messages=len(readable),
                unread=len(transcript.messages) - len(readable),
                external=sum(transcript.commits[ref].transition.is_external for ref in allowed),
                invited=sum(bool(transcript.commits[ref].invited.keys() & theft.loot.bundles.keys()) for ref in allowed),
                forks=len(theft.loot.room.graph.fork_points()),
            )


def _names(refs: set[CommitRef]) -> list[str]:
    return sorted(ref.hex()[:8] for ref in refs)


@pytest.mark.parametrize("schedule", list(KeySchedule))
def test_a_stolen_store_gives_what_is_admitted_and_no_more(
    tmp_path: Path, seed: int, schedule: KeySchedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committing, "group_extensions", partial(group_extensions, key_schedule=schedule))
    monkeypatch.setattr(committing, "init_secret_rule", lambda _default: init_secret_rule(schedule))
    counts: Counter[str] = Counter()
    for number in range(4):
        print(f"game {number}")
        folder = tmp_path / str(number)
        folder.mkdir()
        game = Game(PartedWorld(folder, seed + number), random.Random(f"{seed} {number}"))
        game.begin()
        game.play(25)
        game.judge()
        game.world.close()
        counts += game.counts
    print(counts)
    for what in ("beyond", "safe", "messages", "unread", "external", "forks"):
        assert counts[what], what
    assert bool(counts["again"]) or schedule is KeySchedule.PPRF
