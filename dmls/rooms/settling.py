"""What follows from a step: everything that is due in the room now, until it has come to rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from devicestore import Connection, blobs
from devicestore.errors import NotFound, StoreError
from devicestore.key_packages import Claimant
from dmls.engine.effects import BlobWanted, ClaimWanted, DeviceListsWanted
from dmls.engine.inputs import AgentChanged, BlobProvided, DeviceListChanged, KeyPackagesProvided, Tick
from dmls.engine.parking import BLOB
from dmls.engine.state import RoomState
from dmls.errors import DMLSError
from dmls.ids import RoomId, UserId
from dmls.matrix.blobs import blob_pointers, fill
from dmls.matrix.bodies import content_of, parse_body
from dmls.matrix.identifiers import server_of
from dmls.rooms.environment import Environment
from dmls.rooms.key_packages import claim_for
from dmls.rooms.open_room import agent_for, own_users
from dmls.rooms.session import Request, Session

__all__ = ["settle"]

_ROUNDS = 32
_PAUSE_AFTER_FAILURE_MS = 60_000
_LONGEST_IDLE_MS = 1_024


def settle(session: Session, room_id: RoomId) -> Exception | None:
    """Do what is due in a room; return the failure of one of these things, if there was one.

    What was asked for has been done then, and must not suffer from it; what was due of itself is tried again after a while.

    Raises:
        StoreError: the store cannot be read or written.
    """
    room = session.room(room_id)
    try:
        for _ in range(_ROUNDS):
            if _tell_own_devices(session, room_id) or _provide(session, room_id):
                continue
            if not _pass_time(session, room_id):
                return None
    except StoreError:
        raise
    except Exception as error:  # noqa: BLE001 - a step that raises changes nothing, whatever it raises
        room.wake_at_ms = session.now_ms + _PAUSE_AFTER_FAILURE_MS
        return error
    room.wake_at_ms = session.now_ms + _LONGEST_IDLE_MS
    return None


def _pass_time(session: Session, room_id: RoomId) -> bool:
    """Tell the engine the time; return whether anything came of it."""
    room = session.room(room_id)
    effects = session.step(room_id, Tick())
    if effects.outbox or effects.changes:
        room.idle_ticks = 0
        return True
    if room.wake_at_ms is not None and room.wake_at_ms <= session.now_ms + 1:
        # Due, but not to be done: no reason to ask every millisecond.
        room.idle_ticks += 1
        room.wake_at_ms = session.now_ms + min(1 << room.idle_ticks, _LONGEST_IDLE_MS)
    return False


def _tell_own_devices(session: Session, room_id: RoomId) -> bool:
    """Tell the engine of own devices as the store has them; return whether there was anything new."""
    env, room = session.env, session.room(room_id)
    state = session.state(room_id)
    now_told = (state.membership, env.people.generation)
    if room.told is not None and room.told[0] is now_told[0] and room.told[1] == now_told[1]:
        return False
    did = False
    agent = agent_for(env, state)
    if agent.devices.keys() != state.agent.devices.keys():
        session.step(room_id, AgentChanged(agent))
        did = True
    if env.is_service:
        for user in sorted(own_users(env, state)):
            did = _tell_list(session, room_id, user) or did
    room.told = now_told
    return did


def _tell_list(session: Session, room_id: RoomId, user: UserId) -> bool:
    person = session.env.people.find([user])[user]
    state = session.state(room_id)
    devices, held = person.listed(state.cipher_suite), state.lists.get(user)
    is_held = held is not None and held.is_own and (held.version, set(held.devices)) == (person.version, set(devices))
    if is_held and all(device in state.gone for device in person.gone):
        return False
    happened = DeviceListChanged(user, person.version, session.now_ms, devices, is_own=True, gone=person.gone)
    session.step(room_id, happened)
    return True


def _provide(session: Session, room_id: RoomId) -> bool:
    """Answer what steps wanted and the store has, hand the rest to the homeserver; return whether anything was answered."""
    requests, session.requests[room_id] = session.requests[room_id], []
    did = False
    for request in requests:
        did = _answer(session, room_id, request) or did
    return did


def _answer(session: Session, room_id: RoomId, request: Request) -> bool:
    if isinstance(request, ClaimWanted):
        return _claim(session, room_id, request)
    if isinstance(request, DeviceListsWanted):
        return _list(session, room_id, request)
    return _give_blob(session, room_id, request)


def _is_own(env: Environment, user: UserId) -> bool:
    return env.is_service and server_of(user) == env.server_name


def _claim(session: Session, room_id: RoomId, wanted: ClaimWanted) -> bool:
    env = session.env
    own = tuple(device for device in wanted.devices if _is_own(env, device.user_id))
    others = tuple(device for device in wanted.devices if device not in own)
    if others:
        session.send(room_id, ClaimWanted(others, wanted.cipher_suite))
    if not own:
        return False
    # A transaction of its own: should this session fail, the packages are lost, which costs less than giving one out twice.
    claimant = Claimant(env.server_name, env.random(16).hex(), room_id)
    claimed = env.store.write(lambda conn: claim_for(conn, own, wanted.cipher_suite, claimant, now_ms=session.now_ms)).result()
    session.has_claims = True
    session.step(room_id, KeyPackagesProvided(claimed))
    return True


def _list(session: Session, room_id: RoomId, wanted: DeviceListsWanted) -> bool:
    own = [user for user in wanted.users if _is_own(session.env, user)]
    others = tuple(user for user in wanted.users if user not in own)
    if others:
        session.send(room_id, DeviceListsWanted(others))
    did = False
    for user in own:
        did = _tell_list(session, room_id, user) or did
    return did


def _give_blob(session: Session, room_id: RoomId, wanted: BlobWanted) -> bool:
    waiting = _waiting_contents(session.state(room_id), wanted.sha256)
    hashes = {pointer.sha256 for content in waiting for pointer in blob_pointers(parse_body(content))}
    found = session.env.store.read(lambda conn: _read_blobs(conn, {wanted.sha256, *hashes}))
    data = found.pop(wanted.sha256, None)
    if data is None:
        session.send(room_id, wanted)
        return False
    complete = _completed(waiting, {**found, wanted.sha256: data})
    session.step(room_id, BlobProvided(data, tuple(found.values())), contents=complete)
    return True


def _waiting_contents(state: RoomState, sha256: bytes) -> list[Mapping[str, object]]:
    """Return the contents of the events that wait for a blob."""
    return [state.parked[key].event.content for key in state.parking.waiting_for(BLOB + sha256)]


def _completed(contents: Iterable[Mapping[str, object]], data: Mapping[bytes, bytes]) -> list[Mapping[str, object]]:
    """Return contents with blobs in the places of their pointers, where these tell the truth."""
    complete: list[Mapping[str, object]] = []
    for content in contents:
        try:
            complete.append(content_of(fill(parse_body(content), data)))
        except DMLSError:
            continue
    return complete


def _read_blobs(conn: Connection, hashes: Iterable[bytes]) -> dict[bytes, bytes]:
    found = {}
    for sha256 in hashes:
        try:
            found[sha256] = blobs.get(conn, sha256)
        except NotFound:
            continue
    return found
