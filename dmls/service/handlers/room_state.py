"""UpdateRoomState: the room's resolved state, in one message or in parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from devicestore import Connection
from dmls.engine.inputs import RoomStateChanged
from dmls.engine.state import RoomState
from dmls.errors import ConflictError, DMLSError, InvalidArgumentError
from dmls.ids import RoomId, UserId
from dmls.matrix.bodies import ALGORITHM
from dmls.matrix.encoding import parse_json_object
from dmls.matrix.events import MemberEvent
from dmls.matrix.membership import RoomFacts
from dmls.rooms.session import Session, Written
from dmls.service.convert import to_member_event, visibility_of
from dmls.service.core import Core, Record, no_record
from dmls.service.errors import InvalidRequestError, Violation
from dmls.v1 import room_pb2

__all__ = ["update_room_state"]


@dataclass
class _Parts:
    """What has been told of a change so far."""

    version: int
    base_version: int
    next_part: int = 0
    full: room_pb2.RoomState | None = None
    deltas: list[room_pb2.RoomStateDelta] = field(default_factory=list)


def update_room_state(
    core: Core, request: room_pb2.UpdateRoomStateRequest, record: Record = no_record
) -> room_pb2.UpdateRoomStateResponse:
    """Take over the resolved state of a room, or what changed of it.

    Raises:
        ConflictError: the change builds on another version, or on parts that have not come.
        InvalidArgumentError: member events contradict each other, or the content of m.room.encryption is not JSON.
    """
    room_id = RoomId(request.room_id)

    def work(session: Session) -> room_pb2.UpdateRoomStateResponse:
        state = session.state(room_id)
        held = state.state_version
        if request.version == held or (request.version < held and not request.reset):
            core.staged.pop(room_id, None)
            return _answer(room_pb2.ROOM_STATE_OUTCOME_DUPLICATE, state)
        if request.WhichOneof("change") == "delta" and not _continues_full(core, request):
            if request.base_version != held:
                raise ConflictError(f"the service holds version {held} of the room's state; send the full state")
            if session.is_forgotten(room_id):
                raise ConflictError("the room was forgotten; send the full state")
        parts = _take_part(core, request)
        if request.more:
            core.staged[room_id] = parts
            return _answer(room_pb2.ROOM_STATE_OUTCOME_STAGED, state)
        session.revive(room_id)
        session.step(room_id, _to_input(parts, state))
        core.staged.pop(room_id, None)
        return _answer(room_pb2.ROOM_STATE_OUTCOME_APPLIED, session.state(room_id))

    def finish(conn: Connection, _written: Written, answer: room_pb2.UpdateRoomStateResponse) -> room_pb2.UpdateRoomStateResponse:
        if answer.outcome != room_pb2.ROOM_STATE_OUTCOME_STAGED:
            # Parts are kept in memory: one that is sent again after a restart has to be staged again.
            record(conn, answer)
        return answer

    return core.keeper.transact([room_id], work, finish)


def _answer(outcome: room_pb2.RoomStateOutcome, state: RoomState) -> room_pb2.UpdateRoomStateResponse:
    spent = sorted(state.membership.needs_readmission())
    return room_pb2.UpdateRoomStateResponse(outcome=outcome, version=state.state_version, readmission_wanted_user_ids=spent)


def _continues_full(core: Core, request: room_pb2.UpdateRoomStateRequest) -> bool:
    staged = core.staged.get(RoomId(request.room_id))
    return request.part > 0 and isinstance(staged, _Parts) and staged.full is not None


def _take_part(core: Core, request: room_pb2.UpdateRoomStateRequest) -> _Parts:
    if request.part == 0:
        parts = _Parts(request.version, request.base_version)
    else:
        staged = core.staged.get(RoomId(request.room_id))
        if not isinstance(staged, _Parts) or (staged.version, staged.base_version) != (request.version, request.base_version):
            raise ConflictError("the parts before have not come; send the change from its first part")
        if staged.next_part > request.part:
            return staged
        if staged.next_part < request.part:
            raise ConflictError(f"part {staged.next_part} has not come; send the change from its first part")
        parts = replace(staged, deltas=list(staged.deltas))
    if request.WhichOneof("change") == "full":
        parts.full = request.full
    else:
        parts.deltas.append(request.delta)
    parts.next_part = request.part + 1
    return parts


def _to_input(parts: _Parts, state: RoomState) -> RoomStateChanged:
    members: dict[UserId, MemberEvent | None] = {}
    past: list[MemberEvent] = []
    facts = state.membership.facts
    if parts.full is not None:
        full = parts.full
        facts = RoomFacts(
            create_sender=UserId(full.create_sender),
            room_version=full.room_version,
            history_visibility=visibility_of(full.history_visibility),
            encryption_algorithm=_algorithm(full.encryption, "full.encryption"),
            invite_members=facts.invite_members,
        )
        _add(members, _members(full.members, "full.members"))
        past += _members(full.past_members, "full.past_members")
    for delta in parts.deltas:
        _add(members, _members(delta.members, "delta.members"))
        members |= {UserId(user): None for user in delta.removed_user_ids}
        past += _members(delta.past_members, "delta.past_members")
        if delta.HasField("encryption"):
            facts = replace(facts, encryption_algorithm=_algorithm(delta.encryption, "delta.encryption"))
        if delta.HasField("history_visibility"):
            facts = replace(facts, history_visibility=visibility_of(delta.history_visibility))
    return RoomStateChanged(parts.version, facts, members, tuple(past), is_full=parts.full is not None)


def _members(events: Iterable[room_pb2.MemberEvent], field_name: str) -> list[MemberEvent]:
    found = []
    for position, event in enumerate(events):
        try:
            found.append(to_member_event(event))
        except InvalidArgumentError as error:
            raise InvalidRequestError(Violation(f"{field_name}[{position}]", error.message)) from None
    return found


def _add(members: dict[UserId, MemberEvent | None], events: Sequence[MemberEvent]) -> None:
    named = {event.user_id: event for event in events}
    if len(named) != len(events):
        raise InvalidArgumentError("two member events of one user in one state")
    members |= named


def _algorithm(content: bytes, field_name: str) -> str | None:
    """Return the algorithm of a room that this service encrypts, None for every other room."""
    if not content:
        return None
    try:
        algorithm = parse_json_object(content).get("algorithm")
    except DMLSError as error:
        raise InvalidRequestError(Violation(field_name, error.message)) from None
    return ALGORITHM if algorithm == ALGORITHM else None
