"""Where rooms live: the store, whose agent drives them, and where time and randomness come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from devicestore import Store
from dmls.ids import ServerName
from dmls.mls.crypto.randomness import Random
from dmls.rooms.people import People

__all__ = ["Clock", "Environment"]

Clock = Callable[[], int]
"""Returns the time in milliseconds since 1970."""


@dataclass(frozen=True, slots=True)
class Environment:
    """What all rooms of one store share."""

    store: Store
    people: People
    server_name: ServerName
    is_service: bool
    """The agent is a homeserver's service, whose store is the authority on that server's users' devices; else a client device."""
    clock: Clock
    random: Random
