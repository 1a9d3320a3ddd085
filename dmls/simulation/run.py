"""One simulated room from its seed to its verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dmls.engine.effects import NoticeKind
from dmls.forks.graph import Device
from dmls.ids import ServerName
from dmls.matrix.events import Membership
from dmls.mls.crypto.suites import CipherSuite
from dmls.simulation.directory import server_of
from dmls.simulation.driver import Driver, Surroundings
from dmls.simulation.memory import MemoryDriver
from dmls.simulation.oracle import check_convergence, check_messages, count_commits, present_servers
from dmls.simulation.schedule import make_schedule
from dmls.simulation.stored import StoredDriver
from dmls.simulation.world import SentMessage, World

__all__ = ["Outcome", "greet", "run_seed"]

_REST_MS: Final = 20 * 60_000
"""How long everybody has, after all is whole, to come to one head."""
_GREETING_MS: Final = 5_000
_MOST_COMMITS: Final = 12
"""Commits for each thing that happened, at most."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a seed: its violations, and figures of its size."""

    seed: int
    violations: tuple[str, ...]
    agents: int
    steps: int
    commits: int
    messages: int
    forks: int
    crashes: int


def run_seed(
    seed: int, suite: CipherSuite, log: Callable[[int, str], None] | None = None, *, folder: Path | None = None
) -> Outcome:
    """Play the schedule of a seed, let it come to rest, have everybody say something, and judge.

    Args:
        seed: of the schedule, and of all that chance decides.
        suite: what the engines compute with.
        log: told of whatever happens; what an engine raises is then raised, and is a violation otherwise.
        folder: where each agent keeps a database file, which takes a real suite; without it they keep all in memory.
    """
    schedule = make_schedule(seed)

    def key_package_of(device: Device) -> bytes | None:
        return world.directory.key_package(device)

    def make_stored(name: str, server: ServerName, is_service: bool, around: Surroundings) -> Driver:
        place = (folder or Path()) / name.replace(":", "-")
        return StoredDriver(name, server, is_service, around, folder=place, key_package_of=key_package_of)

    world = World(schedule, suite, log or _silent, MemoryDriver if folder is None else make_stored)
    try:
        world.play()
        world.rest(_REST_MS)
        greetings = greet(world)
        world.rest(_REST_MS)
        violations = list(world.violations)
        violations += check_convergence(world)
        violations += check_messages(world)
        violations += (
            f"{message.sender.user_id}/{message.sender.device_id} cannot send: {message.last_outcome}"
            for message in greetings
            if message.event_id is None
        )
        if count_commits(world) > _MOST_COMMITS * (len(schedule.acts) + 5):
            violations.append(f"{count_commits(world)} commits")
    except Exception as error:
        violations = [f"{type(error).__name__}: {error}"]
        if log is not None:
            raise
    finally:
        for driver in world.drivers:
            driver.end()
    return Outcome(
        seed,
        tuple(violations),
        len(world.drivers),
        sum(driver.steps for driver in world.drivers),
        count_commits(world),
        len(world.messages),
        sum(notice.kind is NoticeKind.FORK_SWITCHED for driver in world.drivers for notice in driver.notices),
        sum(driver.crashes for driver in world.drivers),
    )


def _silent(_now_ms: int, _line: str) -> None:
    pass


def greet(world: World) -> list[SentMessage]:
    """Have every agent with a device in the room send a message, one after the other."""
    greetings = []
    present = present_servers(world)
    spoken: set[Driver] = set()
    for name in sorted(present):
        homeserver = world.homeservers[name]
        readmit = world.services[name].state.membership.needs_readmission()
        for user in sorted(homeserver.state):
            if server_of(user) == name and homeserver.membership(user) is Membership.JOIN and user not in readmit:
                for device in sorted(world.directory.devices(user).values()):
                    agent = world.directory.owner(device)
                    if agent not in spoken:
                        spoken.add(agent)
                        greetings.append(world.post(device))
                        world.rest(_GREETING_MS)
    return greetings
