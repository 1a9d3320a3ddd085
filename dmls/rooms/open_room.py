"""A room that is open: its engine, and what has to be remembered beside it until the process ends."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace

from devicestore import rooms
from dmls.engine.agent import Agent, OwnDevice
from dmls.engine.readiness import SendState
from dmls.engine.room import RoomEngine
from dmls.engine.state import RoomState
from dmls.errors import CodecError, InternalError
from dmls.forks.graph import Device
from dmls.ids import RoomId, UserId
from dmls.matrix.identifiers import server_of
from dmls.matrix.membership import RoomMembership
from dmls.rooms.environment import Environment
from dmls.rooms.records import load_records

__all__ = ["OpenRoom", "agent_for", "open_engine", "own_users"]


@dataclass(slots=True)
class OpenRoom:
    """One room. Whoever holds `lock` may do with the rest what they want."""

    room_id: RoomId
    lock: threading.Lock = field(default_factory=threading.Lock)
    engine: RoomEngine | None = None
    """None: it is loaded from the store when it is needed."""
    wake_at_ms: int | None = 0
    """When time is to pass in the room next; after a restart at once."""
    told: tuple[RoomMembership, int] | None = None
    """The membership and the generation of the users' devices of which the engine has been told."""
    version: int = 0
    """The version of the room in the store; of use while `engine` is there."""
    stored_wake_at_ms: int | None = None
    """What the store has for `wake_at_ms`, as far as is known."""
    is_forgotten: bool = False
    """Nothing is to be known of the room until its full state is told; of use while `engine` is there."""
    send_state: SendState | None = None
    """Whether own devices could send when it was last looked at; None: it was not."""
    idle_ticks: int = 0
    """How often in a row time passed and nothing came of it, although it was said to be due."""

    def drop(self) -> None:
        """Forget the engine: what it knew beyond the store has not happened."""
        self.engine = None
        self.wake_at_ms = 0
        self.told = None
        self.idle_ticks = 0


def own_users(env: Environment, state: RoomState) -> frozenset[UserId]:
    """Return the users of a room whose devices the agent may hold: those of its server, or of the client device itself."""
    if not env.is_service:
        return env.people.hosted_users()
    return frozenset(user for user in state.membership.users() if server_of(user) == env.server_name)


def agent_for(env: Environment, state: RoomState) -> Agent:
    """Return the agent of a room: with those hosted devices whose users are named in it."""
    hosted: dict[Device, OwnDevice] = {}
    for person in env.people.find(own_users(env, state)).values():
        hosted |= person.hosted(state.cipher_suite)
    return Agent(env.server_name, env.is_service, hosted)


def open_engine(env: Environment, room: OpenRoom) -> RoomEngine:
    """Return the room's engine, built from its records if it is not in memory.

    Raises:
        InternalError: a record was not written by an engine.
        SealBroken: a secret record was altered or moved.
        StoreError: the store cannot be read.
    """
    if room.engine is None:
        nobody = Agent(env.server_name, env.is_service)
        is_forgotten, versions, records = env.store.read(
            lambda conn: (
                rooms.is_forgotten(conn, room.room_id),
                rooms.versions(conn, [room.room_id]),
                list(load_records(conn, room.room_id)),
            )
        )
        try:
            state = RoomEngine.load(room.room_id, nobody, records).state
        except CodecError as error:
            raise InternalError("a record of the room does not decode") from error
        room.engine = RoomEngine(replace(state, agent=agent_for(env, state)))
        room.is_forgotten, room.version = is_forgotten, versions.get(room.room_id, 0)
    return room.engine
