"""The calls of the line protocol, made on a client device: requests of dmls.v1 about rooms, and their answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from google.protobuf.message import Message

from dmls.client.device import ClientDevice
from dmls.engine.agent import devices_of
from dmls.engine.effects import (
    BlobWanted,
    ClaimWanted,
    DecryptOutcome,
    DeviceListsWanted,
    EncryptOutcome,
    EventToSend,
    ToDeviceToSend,
)
from dmls.engine.inputs import (
    DeviceListChanged,
    EventReceived,
    KeyPackagesProvided,
    MemberEventReceived,
    RoomStateChanged,
    ToDeviceReceived,
)
from dmls.errors import ConflictError, UnsupportedError
from dmls.forks.graph import Device
from dmls.ids import DeviceId, EventId, RoomId, UserId
from dmls.matrix.encoding import encode_json, parse_json_object
from dmls.matrix.events import RoomEvent, parse_member_event
from dmls.matrix.membership import RoomFacts
from dmls.rooms.answers import AnswerOutcome
from dmls.rooms.outbox import BlobToStore, StoredItem
from dmls.service.convert import device_ref, pointer, to_member_event, to_ms, visibility_of
from dmls.v1 import common_pb2, encryption_pb2, key_package_pb2, room_pb2

__all__ = ["CALLS", "outbox_item"]

_SUITE = 1


def _update_room_state(device: ClientDevice, request: room_pb2.UpdateRoomStateRequest) -> room_pb2.UpdateRoomStateResponse:
    room_id = RoomId(request.room_id)
    held = device.room(room_id)
    facts: RoomFacts | None
    if request.HasField("full"):
        full = request.full
        facts = RoomFacts(
            UserId(full.create_sender), full.room_version, visibility_of(full.history_visibility), _algorithm(full.encryption)
        )
        members, past = full.members, full.past_members
        removed: list[str] = []
    else:
        if held is None or held.state_version != request.base_version:
            raise ConflictError("the delta does not build on the state that is held")
        delta = request.delta
        facts = held.membership.facts
        if delta.HasField("encryption"):
            facts = replace(facts, encryption_algorithm=_algorithm(delta.encryption))
        if delta.HasField("history_visibility"):
            facts = replace(facts, history_visibility=visibility_of(delta.history_visibility))
        members, past, removed = delta.members, delta.past_members, list(delta.removed_user_ids)
    changes = {event.user_id: event for event in map(to_member_event, members)}
    change = RoomStateChanged(
        request.version,
        facts,
        {**changes, **{UserId(user): None for user in removed}},
        tuple(map(to_member_event, past)),
        is_full=request.HasField("full"),
    )
    device.change_room_state(room_id, change)
    return room_pb2.UpdateRoomStateResponse(outcome=room_pb2.ROOM_STATE_OUTCOME_APPLIED, version=request.version)


def _algorithm(encryption: bytes) -> str | None:
    return str(parse_json_object(encryption)["algorithm"]) if encryption else None


def _ingest_events(device: ClientDevice, request: room_pb2.IngestEventsRequest) -> room_pb2.IngestEventsResponse:
    answer = room_pb2.IngestEventsResponse()
    for event in request.events:
        results = device.receive_events(RoomId(event.room_id), [_received(event)])
        for result in results:
            outcome = room_pb2.IngestOutcome.Value(f"INGEST_OUTCOME_{result.outcome.name}")
            answer.results.add(outcome=outcome, commit_ref=result.commit_ref)
    return answer


def _received(event: room_pb2.RoomEvent) -> EventReceived | MemberEventReceived:
    content = parse_json_object(event.content)
    if event.type == "m.room.member":
        told = parse_member_event(event.event_id, event.state_key, event.sender, content.get("membership"), event.auth_event_ids)
        return MemberEventReceived(told)
    return EventReceived(
        RoomEvent(
            EventId(event.event_id),
            RoomId(event.room_id),
            UserId(event.sender),
            event.type,
            None,
            content,
            to_ms(event.origin_server_ts),
            event.soft_failed,
            event.before_departure or None,
            tuple(map(EventId, event.auth_event_ids)),
        )
    )


def _ingest_to_device(device: ClientDevice, request: room_pb2.IngestToDeviceRequest) -> room_pb2.IngestToDeviceResponse:
    answer = room_pb2.IngestToDeviceResponse()
    for message in request.messages:
        content = parse_json_object(message.content)
        received = ToDeviceReceived(
            message.message_id, UserId(message.sender), UserId(message.user_id), DeviceId(message.device_id), content
        )
        for result in device.receive_events(RoomId(str(content.get("room_id"))), [received]):
            answer.results.add(outcome=room_pb2.IngestOutcome.Value(f"INGEST_OUTCOME_{result.outcome.name}"))
    return answer


def _update_device_lists(device: ClientDevice, request: room_pb2.UpdateDeviceListsRequest) -> room_pb2.UpdateDeviceListsResponse:
    device.change_device_lists(_changed_list(told) for told in request.lists)
    result = room_pb2.DeviceListResult(outcome=room_pb2.DEVICE_LIST_OUTCOME_APPLIED)
    return room_pb2.UpdateDeviceListsResponse(results=[result for _ in request.lists])


def _changed_list(told: room_pb2.DeviceList) -> DeviceListChanged:
    user = UserId(told.user_id)
    listed = (
        Device(user, DeviceId(each.device_id), key.public_key)
        for each in told.devices
        for key in each.signature_keys
        if _SUITE in key.cipher_suites
    )
    return DeviceListChanged(user, told.version, to_ms(told.taken_at), tuple(sorted(listed)))


def _provide(device: ClientDevice, request: room_pb2.ProvideKeyPackagesRequest) -> room_pb2.ProvideKeyPackagesResponse:
    seq = int(request.claim_id)
    wanted = next((item.action for item in device.pending() if item.seq == seq), None)
    if not isinstance(wanted, ClaimWanted):
        return room_pb2.ProvideKeyPackagesResponse(stale=True)
    given = {(user.user_id, claim.device_id): claim.key_package for user in request.users for claim in user.devices}
    provided = {each: given.get((each.user_id, each.device_id)) or None for each in wanted.devices}
    device.provide_key_packages(seq, KeyPackagesProvided(provided))
    return room_pb2.ProvideKeyPackagesResponse()


_ACKS = {
    AnswerOutcome.ACCEPTED: room_pb2.ACK_OUTCOME_ACCEPTED,
    AnswerOutcome.DUPLICATE: room_pb2.ACK_OUTCOME_DUPLICATE,
    AnswerOutcome.CONFLICT: room_pb2.ACK_OUTCOME_CONFLICT,
    AnswerOutcome.UNKNOWN: room_pb2.ACK_OUTCOME_UNKNOWN,
    AnswerOutcome.REJECTED: room_pb2.ACK_OUTCOME_REJECTED,
}


def _ack_outbox(device: ClientDevice, request: room_pb2.AckOutboxRequest) -> room_pb2.AckOutboxResponse:
    answer = room_pb2.AckOutboxResponse()
    for ack in request.acks:
        event_id = EventId(ack.sent.event_id) if ack.sent.event_id else None
        result = device.answer(ack.sequence, event_id, is_refused=ack.HasField("refused"))
        answer.results.add(outcome=_ACKS[result.outcome])
    return answer


_REFUSALS = {
    EncryptOutcome.PENDING_COMMIT: encryption_pb2.ENCRYPT_REFUSAL_PENDING_COMMIT,
    EncryptOutcome.NO_SECRETS: encryption_pb2.ENCRYPT_REFUSAL_NO_SECRETS,
    EncryptOutcome.UNVOUCHED: encryption_pb2.ENCRYPT_REFUSAL_UNVOUCHED,
    EncryptOutcome.NOT_JOINED: encryption_pb2.ENCRYPT_REFUSAL_NOT_JOINED,
    EncryptOutcome.NEEDS_READMISSION: encryption_pb2.ENCRYPT_REFUSAL_NEEDS_READMISSION,
    EncryptOutcome.NEEDS_NEW_KEY: encryption_pb2.ENCRYPT_REFUSAL_NEEDS_NEW_KEY,
    EncryptOutcome.UNKNOWN_DEVICE: encryption_pb2.ENCRYPT_REFUSAL_UNKNOWN_DEVICE,
    EncryptOutcome.NOT_ENCRYPTED: encryption_pb2.ENCRYPT_REFUSAL_NOT_ENCRYPTED,
}
_READINGS = {
    DecryptOutcome.OK: encryption_pb2.DECRYPT_OUTCOME_OK,
    DecryptOutcome.PENDING_COMMIT: encryption_pb2.DECRYPT_OUTCOME_PENDING_COMMIT,
    DecryptOutcome.NOT_MEMBER_THEN: encryption_pb2.DECRYPT_OUTCOME_NOT_MEMBER_THEN,
    DecryptOutcome.EXPIRED: encryption_pb2.DECRYPT_OUTCOME_EXPIRED,
    DecryptOutcome.DUPLICATE: encryption_pb2.DECRYPT_OUTCOME_DUPLICATE,
    DecryptOutcome.SENDER_NOT_IN_ROOM: encryption_pb2.DECRYPT_OUTCOME_SENDER_NOT_IN_ROOM,
    DecryptOutcome.MALFORMED: encryption_pb2.DECRYPT_OUTCOME_MALFORMED,
    DecryptOutcome.UNKNOWN_EVENT: encryption_pb2.DECRYPT_OUTCOME_UNKNOWN_EVENT,
}


def _encrypt_events(device: ClientDevice, request: encryption_pb2.EncryptEventsRequest) -> encryption_pb2.EncryptEventsResponse:
    answer = encryption_pb2.EncryptEventsResponse()
    for event in request.events:
        encrypted = device.encrypt(RoomId(event.room_id), event.type, parse_json_object(event.content))
        told, result = encrypted.result, answer.results.add()
        if told.outcome is EncryptOutcome.OK:
            result.encrypted.type, result.encrypted.content = "m.room.encrypted", told.content
            result.encrypted.depends_on.extend(encrypted.depends_on)
            result.encrypted.pointer.commit_ref, result.encrypted.pointer.epoch_id = told.commit_ref, told.epoch_id
        else:
            result.failure.refusal = _REFUSALS[told.outcome]
    return answer


def _decrypt_events(device: ClientDevice, request: encryption_pb2.DecryptEventsRequest) -> encryption_pb2.DecryptEventsResponse:
    answer = encryption_pb2.DecryptEventsResponse()
    for event in request.events:
        told, result = device.decrypt(RoomId(event.room_id), EventId(event.event_id)), answer.results.add()
        result.outcome = _READINGS[told.outcome]
        if told.outcome is DecryptOutcome.OK and told.sender is not None:
            payload = parse_json_object(told.payload)
            result.decrypted.type, result.decrypted.content = payload["type"], encode_json(payload["content"])
            result.decrypted.sender.CopyFrom(device_ref(told.sender))
            result.decrypted.pointer.commit_ref = told.commit_ref
    return answer


def _get_room(device: ClientDevice, request: room_pb2.GetRoomRequest) -> room_pb2.GetRoomResponse:
    answer = room_pb2.GetRoomResponse()
    state = device.room(RoomId(request.room_id))
    if state is None or state.head is None:
        return answer
    entry = state.entries[state.head]
    answer.room.head.pointer.CopyFrom(pointer(state, state.head))
    answer.room.head.epoch = entry.node.epoch
    answer.room.parked_count = len(state.parked)
    for index, member in devices_of(entry.group.tree).items():
        answer.members.add(device=device_ref(member), leaf_index=index)
    return answer


CALLS: Mapping[str, tuple[type[Message], Callable[[ClientDevice, Any], Message]]] = {
    kind.DESCRIPTOR.full_name: (kind, call)
    for kind, call in (
        (room_pb2.UpdateRoomStateRequest, _update_room_state),
        (room_pb2.IngestEventsRequest, _ingest_events),
        (room_pb2.IngestToDeviceRequest, _ingest_to_device),
        (room_pb2.UpdateDeviceListsRequest, _update_device_lists),
        (room_pb2.ProvideKeyPackagesRequest, _provide),
        (room_pb2.AckOutboxRequest, _ack_outbox),
        (room_pb2.GetRoomRequest, _get_room),
        (encryption_pb2.EncryptEventsRequest, _encrypt_events),
        (encryption_pb2.DecryptEventsRequest, _decrypt_events),
    )
}
"""The request message of each call, and what makes it."""


def outbox_item(item: StoredItem) -> room_pb2.OutboxItem:
    """Return an item of a client's outbox as a homeserver takes it."""
    told = room_pb2.OutboxItem(sequence=item.seq, room_id=item.room_id, depends_on=item.depends_on)
    action = item.action
    if isinstance(action, EventToSend):
        told.room_event.sender, told.room_event.type, told.room_event.content = action.sender, "m.room.encrypted", action.content
    elif isinstance(action, ToDeviceToSend):
        told.to_device.sender, told.to_device.user_id, told.to_device.device_id = action.sender, action.user_id, action.device_id
        told.to_device.type, told.to_device.content = "m.room.encrypted", action.content
    elif isinstance(action, BlobToStore):
        told.blob.blob.CopyFrom(common_pb2.Blob(sha256=action.sha256, size=action.size, uri=action.uri))
    elif isinstance(action, ClaimWanted):
        _describe_claim(told.claim_wanted, item.seq, action)
    elif isinstance(action, DeviceListsWanted):
        told.device_list_wanted.user_ids.extend(action.users)
    else:
        told.backfill_wanted.event_ids.extend(action.event_ids)
        told.backfill_wanted.commit_refs.extend(action.commit_refs)
        told.backfill_wanted.blobs.extend(map(_blob, action.blobs))
    return told


def _describe_claim(told: room_pb2.ClaimWanted, seq: int, action: ClaimWanted) -> None:
    told.claim_id = str(seq)
    told.cipher_suites.append(action.cipher_suite)
    wanted: dict[UserId, list[str]] = {}
    for device in action.devices:
        wanted.setdefault(device.user_id, []).append(device.device_id)
    told.targets.extend(key_package_pb2.ClaimTarget(user_id=user, device_ids=ids) for user, ids in wanted.items())


def _blob(wanted: BlobWanted) -> common_pb2.Blob:
    if not wanted.sha256:
        raise UnsupportedError("a blob without a hash")
    return common_pb2.Blob(sha256=wanted.sha256, size=wanted.size, uri=wanted.uri)
