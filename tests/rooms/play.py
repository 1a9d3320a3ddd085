"""A room in which anything happens: people and devices come and go, talk, and are cut off from each other."""

from __future__ import annotations

import os
import random
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from dmls.engine.effects import EncryptOutcome
from dmls.forks.graph import Device
from dmls.ids import EventId
from dmls.matrix.events import Membership
from tests.rooms.homes import Home
from tests.rooms.partition import PartedWorld

__all__ = ["USERS", "Play", "play_seeds"]

USERS = {"hs1": ("alice", "bob"), "hs2": ("dan", "dora"), "hs3": ("erin",)}


def play_seeds(seed: int, count: int) -> Iterator[int]:
    """Yield the seeds of rooms, the same each time; with `DMLS_SOAK` set ten times as many, others each time."""
    is_soak = bool(os.environ.get("DMLS_SOAK"))
    first = secrets.randbits(32) if is_soak and "DMLS_SEED" not in os.environ else seed
    for number in range(first, first + count * (10 if is_soak else 1)):
        print(f"this room again: DMLS_SEED={number}")
        yield number


@dataclass
class Play:
    """Moves at random; `after` is called with the number of each turn."""

    world: PartedWorld
    rng: random.Random
    after: Callable[[int], None]
    devices: dict[str, list[Device]] = field(default_factory=dict)
    sent: dict[str, set[EventId]] = field(default_factory=dict)
    """What the devices of each homeserver have sent."""
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
        self.after(0)

    def play(self, turns: int) -> None:
        moves = [self.say] * 5 + [self.part] * 3 + [self.join_again] * 2 + [self.log_in] * 4 + [self.log_out, self.go]
        moves += [self.come] * 2 + [self.wait_seconds] * 4 + [self.wait_hours]
        for turn in range(turns):
            self.rng.choice(moves)()
            self.world.settle()
            self.after(turn + 1)
        self.world.join_again()
        self.world.let_time_pass(60)
        self.after(turns + 1)

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
