"""What happens in a simulated room, and when: made from a seed, and printed so that one can follow it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from dmls.ids import DeviceId, ServerName, UserId
from dmls.matrix.events import Membership
from dmls.simulation.directory import server_of
from dmls.simulation.network import Faults

__all__ = [
    "Act",
    "Change",
    "Crash",
    "Cut",
    "Heal",
    "LogIn",
    "LogOut",
    "Post",
    "Schedule",
    "make_schedule",
]


@dataclass(frozen=True, slots=True)
class Change:
    """A member event: a join, a leave, a kick, a ban, an end of a ban. It is not sent where it is not allowed."""

    sender: UserId
    user: UserId
    membership: Membership


@dataclass(frozen=True, slots=True)
class LogIn:
    """A new device, hosted by the user's service or with keys of its own."""

    user: UserId
    device_id: DeviceId
    hosted: bool


@dataclass(frozen=True, slots=True)
class LogOut:
    """A device goes for good."""

    user: UserId
    device_id: DeviceId


@dataclass(frozen=True, slots=True)
class Post:
    """A user sends a message from one of their devices, whichever is the `choice`-th."""

    user: UserId
    choice: int


@dataclass(frozen=True, slots=True)
class Cut:
    """Links end, each in one direction."""

    pairs: tuple[tuple[ServerName, ServerName], ...]


@dataclass(frozen=True, slots=True)
class Heal:
    """All links are whole again."""


@dataclass(frozen=True, slots=True)
class Crash:
    """A homeserver's service is killed."""

    server: ServerName


Act = Change | LogIn | LogOut | Post | Cut | Heal | Crash


@dataclass(frozen=True)
class Schedule:
    """All that happens, by seed.

    Attributes:
        acts: each with the milliseconds that pass before it.
        power: power levels of users.
        creator: the user who made the room.
    """

    seed: int
    servers: tuple[ServerName, ...]
    creator: UserId
    power: dict[UserId, int]
    faults: Faults
    acts: tuple[tuple[int, Act], ...] = field(repr=False)


_GAPS_MS: Final = (0, 50, 400, 3_000, 15_000)
_MEMBERS: Final = 12


def make_schedule(seed: int) -> Schedule:
    """Make the schedule of a seed: 2 to 5 homeservers, 3 to 12 devices."""
    return _Maker(random.Random(f"schedule {seed}")).make(seed)


class _Maker:
    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._servers = tuple(ServerName(f"s{number}") for number in range(1, rng.choice((2, 2, 2, 2, 2, 3, 3, 3, 4, 5)) + 1))
        self._devices: dict[UserId, list[DeviceId]] = {}
        self._joined: set[UserId] = set()
        self._banned: set[UserId] = set()
        self._count = 0

    def make(self, seed: int) -> Schedule:
        rng = self._rng
        size = rng.choice((*[3] * 8, *[4] * 5, 5, 5, 6, rng.randrange(7, _MEMBERS + 1)))
        users = [
            UserId(f"@{name}:{self._servers[place % len(self._servers)]}") for place, name in enumerate("abcdefghijkl"[:size])
        ]
        while len(users) > 3 and rng.random() < 0.4:
            users.pop(rng.randrange(1, len(users)))
        creator = users[0]
        power = {creator: 100} | {user: rng.choice((0, 0, 50, 50, 75)) for user in users[1:]}
        acts = [*self._found(users, size), *self._live(users)]
        return Schedule(seed, self._servers, creator, power, self._faults(), tuple(acts))

    def _faults(self) -> Faults:
        rng = self._rng
        if rng.random() < 0.4:
            return Faults()
        return Faults(
            slowest_ms=rng.choice((50, 500, 3_000, 15_000)),
            patience_ms=rng.choice((0, 20, 20, 200, 200)),
            loss=rng.choice((0.0, 0.05, 0.2)),
            duplication=rng.choice((0.0, 0.1)),
            withholding=rng.choice((0.0, 0.0, 0.05)),
            lost_to_device=rng.choice((0.0, 0.2, 1.0)),
            crash=rng.choice((0.0, 0.0, 0.01, 0.04)),
            down_ms=rng.choice((100, 5_000, 60_000)),
            list_lag_ms=rng.choice((10, 500, 8_000, 30_000)),
        )

    def _found(self, users: Sequence[UserId], size: int) -> Iterator[tuple[int, Act]]:
        """Give devices to users, and let most of them join."""
        for user in users:
            yield 0, self._log_in(user)
        while sum(map(len, self._devices.values())) < size and self._rng.random() < 0.7:
            yield 0, self._log_in(self._rng.choice(users))
        for user in users:
            if user == users[0] or self._rng.random() < 0.8:
                self._joined.add(user)
                yield self._rng.choice((0, 100, 2_000)), Change(user, user, Membership.JOIN)
        yield 5_000, Post(users[0], 0)

    def _live(self, users: Sequence[UserId]) -> Iterator[tuple[int, Act]]:
        rng = self._rng
        is_cut = False
        for _ in range(rng.choice((1, 2, 3, 3, 4, 4, 5, 6, 10))):
            gap = rng.randrange(rng.choice(_GAPS_MS) + 1)
            if not is_cut and rng.random() < 0.25:
                is_cut = True
                yield gap, self._cut()
            elif is_cut and rng.random() < 0.2:
                is_cut = False
                yield gap, Heal()
            else:
                act = self._any(users)
                if act is not None:
                    yield gap, act

    def _cut(self) -> Cut:
        """Cut the homeservers into two parts, or one of them off, in one direction or both."""
        rng = self._rng
        side = set(rng.sample(self._servers, rng.randrange(1, len(self._servers))))
        one_way = rng.random() < 0.25
        pairs = [
            (source, target)
            for source in self._servers
            for target in self._servers
            if (source in side) != (target in side) and (source in side or not one_way)
        ]
        return Cut(tuple(pairs))

    def _any(self, users: Sequence[UserId]) -> Act | None:
        rng = self._rng
        user = rng.choice(users)
        kind = rng.choices(("post", "join", "leave", "kick", "ban", "log_in", "log_out", "crash"), (6, 5, 2, 2, 1, 2, 1.5, 1))[0]
        if kind == "post":
            return Post(rng.choice(sorted(self._joined) or users), rng.randrange(4))
        if kind == "crash":
            return Crash(server_of(user))
        if kind == "log_in":
            return self._log_in(user) if sum(map(len, self._devices.values())) < _MEMBERS else None
        if kind == "log_out":
            return self._log_out(user)
        return self._change(kind, user, users)

    def _change(self, kind: str, user: UserId, users: Sequence[UserId]) -> Act | None:
        if kind == "join":
            if user in self._banned:
                self._banned.discard(user)
                return Change(users[0], user, Membership.LEAVE)
            self._joined.add(user)
            return Change(user, user, Membership.JOIN)
        if user == users[0]:
            return None
        self._joined.discard(user)
        if kind == "leave":
            return Change(user, user, Membership.LEAVE)
        sender = self._rng.choice(users)
        if kind == "ban":
            self._banned.add(user)
            return Change(sender, user, Membership.BAN)
        return Change(sender, user, Membership.LEAVE)

    def _log_in(self, user: UserId) -> LogIn:
        self._count += 1
        device_id = DeviceId(f"D{self._count}")
        self._devices.setdefault(user, []).append(device_id)
        return LogIn(user, device_id, self._rng.random() < 0.7)

    def _log_out(self, user: UserId) -> LogOut | None:
        devices = self._devices.get(user, [])
        return LogOut(user, devices.pop(self._rng.randrange(len(devices)))) if devices else None
