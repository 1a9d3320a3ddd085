"""Adversary games: a room, an attacker in it who is put out at some moment, and attacks before, during and after that.

The attacker's user is kicked or banned, or its device is logged out and the user stays. Then its homeserver can still send events
and add devices, until device lists are fresh; what is said after that is kept from it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from dmls.ids import DeviceId, ServerName, UserId
from dmls.matrix.events import Membership
from dmls.mls.crypto.suites import CipherSuite
from dmls.simulation.attacked import VILLAIN, AttackedRoom, check_attacker
from dmls.simulation.attackers.attacker import Attacker
from dmls.simulation.attackers.catalogue import ATTACKS
from dmls.simulation.network import Faults
from dmls.simulation.oracle import check_convergence, count_commits
from dmls.simulation.run import greet
from dmls.simulation.schedule import Act, Change, Cut, Heal, LogIn, LogOut, Post, Schedule

__all__ = ["Attack", "Game", "GameOutcome", "make_game", "play_game"]

DEVICE: Final = DeviceId("MALLORY")
_EVIL: Final = ServerName("evil")
_NAMES: Final = ("alice", "bob", "carol", "dave")
_REST_MS: Final = 20 * 60_000
_MOST_COMMITS: Final = 400
"""Of honest agents, for a whole game."""


@dataclass(frozen=True, slots=True)
class Attack:
    """The attacker does something of `dmls.simulation.attackers.catalogue`."""

    name: str


@dataclass(frozen=True)
class Game:
    """All that happens in a game.

    Attributes:
        acts: each with the milliseconds that pass before it; the attacker is put out by one of them.
        is_stubborn: the attacker's homeserver does not take its removal in.
    """

    schedule: Schedule
    acts: tuple[tuple[int, Act | Attack], ...]
    is_stubborn: bool


@dataclass(frozen=True, slots=True)
class GameOutcome:
    """What came of a game: what was violated, and figures of its size."""

    seed: int
    violations: tuple[str, ...]
    attacks: tuple[str, ...]
    lies: int
    """Events that the attacker made by hand."""
    commits: int
    messages: int
    unreadable: int
    """Messages that were sent by who knew that the attacker was out."""


def make_game(seed: int) -> Game:
    """Make the game of a seed: 2 to 4 homeservers, one of them the attacker's."""
    rng = random.Random(f"game {seed}")
    servers = tuple(ServerName(f"s{number}") for number in range(1, rng.choice((1, 2, 2, 3)) + 1))
    users = [UserId(f"@{name}:{servers[place % len(servers)]}") for place, name in enumerate(_NAMES[: rng.choice((2, 3, 3, 4))])]
    power = {users[0]: 100, VILLAIN: rng.choice((0, 0, 50, 75))} | {user: rng.choice((0, 50)) for user in users[1:]}
    faults = rng.choice((Faults(), Faults(slowest_ms=3_000), Faults(duplication=0.1, list_lag_ms=8_000)))
    acts = tuple(_acts(rng, servers, users))
    schedule = Schedule(seed, (*servers, _EVIL), users[0], power, faults, ())
    return Game(schedule, acts, rng.random() < 0.5)


def _acts(rng: random.Random, servers: tuple[ServerName, ...], users: list[UserId]) -> Iterator[tuple[int, Act | Attack]]:
    for place, user in enumerate(users):
        yield 0, LogIn(user, DeviceId(f"D{place}"), rng.random() < 0.7)
    yield 0, LogIn(VILLAIN, DEVICE, True)
    for user in (*users, VILLAIN):
        yield 500, Change(user, user, Membership.JOIN)
    yield 5_000, Post(users[0], 0)
    names = sorted(ATTACKS)
    length = rng.randrange(4, 12)
    removal = rng.choice((rng.randrange(length), length - 1))
    for step in range(length):
        gap = rng.choice((0, 10, 200, 2_000, 12_000))
        if step == removal:
            banned, kicked = (Change(users[0], VILLAIN, membership) for membership in (Membership.BAN, Membership.LEAVE))
            ends: tuple[Act, ...] = (banned, kicked, LogOut(VILLAIN, DEVICE))
            yield gap, rng.choice(ends)
        kind = rng.random()
        if kind < 0.5:
            yield gap, Attack(rng.choice(names))
        if 0.4 < kind < 0.85:
            yield gap, Post(rng.choice(users), 0)
        elif 0.85 <= kind < 0.95:
            side = set(rng.sample(servers, rng.randrange(1, len(servers) + 1)))
            # The attacker is on one side, or reaches both.
            cut = (*servers, _EVIL) if rng.random() < 0.5 else servers
            both = ((one, other) for one in cut for other in cut)
            yield gap, Cut(tuple((one, other) for one, other in both if (one in side) != (other in side)))
        elif kind >= 0.95:
            yield gap, Heal()
    yield 100, Attack(rng.choice(names))
    yield 1_000, Post(rng.choice(users), 0)
    yield 0, Attack(rng.choice(names))


def play_game(seed: int, suite: CipherSuite, log: Callable[[int, str], None] | None = None) -> GameOutcome:
    """Play the game of a seed, let the room come to rest, have everybody say something, and judge."""
    game = make_game(seed)
    room = AttackedRoom(game.schedule, suite, log or _silent, is_stubborn=game.is_stubborn)
    attacker: Attacker | None = None
    try:
        for gap_ms, act in game.acts:
            room.rest(gap_ms)
            room.log(room.now_ms, str(act))
            if not isinstance(act, Attack):
                room.do(act)
                continue
            attacker = attacker or room.attacker(DEVICE)
            attacker.study()
            ATTACKS[act.name](attacker)
        violations = _judge(room, attacker or room.attacker(DEVICE))
    except Exception as error:
        violations = [f"{type(error).__name__}: {error}"]
        if log is not None:
            raise
    return GameOutcome(
        seed,
        tuple(violations),
        tuple(act.name for _, act in game.acts if isinstance(act, Attack)),
        0 if attacker is None else len(attacker.events),
        count_commits(room),
        len(room.messages),
        len(room.unreadable),
    )


def _judge(room: AttackedRoom, attacker: Attacker) -> list[str]:
    room.end()
    room.rest(_REST_MS)
    greetings = greet(room)
    room.unreadable.update(message.number for message in greetings)
    room.rest(_REST_MS)
    violations = [*room.violations, *check_convergence(room, room.honest), *check_attacker(room, attacker)]
    violations += (
        f"{message.sender.user_id}/{message.sender.device_id} cannot send: {message.last_outcome}"
        for message in greetings
        if message.event_id is None and message.sender.user_id != VILLAIN
    )
    if count_commits(room) > _MOST_COMMITS:
        violations.append(f"{count_commits(room)} commits")
    return violations


def _silent(_now_ms: int, _line: str) -> None:
    pass
