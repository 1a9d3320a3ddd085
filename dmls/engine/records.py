"""A room's records: how the state is written to a store. `dmls.engine.loading` reads it back."""

from __future__ import annotations

from collections.abc import Mapping

from dmls.engine.effects import EventResult, Table
from dmls.engine.formats import (
    ASKED,
    CLAIM,
    DEBT,
    EXPIRED,
    KEY_PACKAGE,
    LIST_REQUEST,
    MEMBER_SINCE,
    META,
    PENDING_VOTE,
    REFUSAL,
    SENT,
    TIMES,
    VOTE_FLOOR,
    AnchorRecord,
    AskedRecord,
    EpochRecord,
    LeafRecord,
    ListRecord,
    MetaRecord,
    NodeRecord,
    OutcomeRecord,
    ParkedRecord,
    PlaintextRecord,
    RefusalRecord,
    SentRecord,
    TimesRecord,
    VoteRecord,
    device_record,
    device_records,
    encode_time,
    source_records,
    write_device,
)
from dmls.engine.parking import Asked, ParkedEvent
from dmls.engine.state import Draft, HeldEpoch, NodeEntry, Plaintext, Refusal, RoomState, TrackedVote
from dmls.forks.graph import Device
from dmls.forks.reconcile import DeviceList
from dmls.ids import CommitRef, UserId
from dmls.matrix.encoding import encode_json
from dmls.mls.codec import encode
from dmls.mls.crypto.secret import Secret
from dmls.mls.group.snapshot import encode_public, encode_state
from dmls.mls.messages.key_package import KeyPackage
from dmls.mls.tree.storage import new_nodes

__all__ = [
    "delete_asked",
    "put_asked",
    "put_claim",
    "put_debt",
    "put_epoch",
    "put_expired",
    "put_key_package",
    "put_keys",
    "put_list",
    "put_list_request",
    "put_member_since",
    "put_meta",
    "put_node",
    "put_outcome",
    "put_parked",
    "put_pending_vote",
    "put_plaintext",
    "put_refusal",
    "put_sent",
    "put_times",
    "put_vote",
    "put_vote_floor",
]


def put_meta(draft: Draft) -> None:
    """Write what belongs to the room as a whole."""
    state = draft.state
    meta = MetaRecord(
        1,
        state.membership.encode_facts(),
        state.state_version,
        state.cipher_suite,
        state.vote_seq_reserved,
        device_records(state.gone),
        tuple(sorted(state.failed)),
        tuple(LeafRecord(device_record(device), origin) for device, origin in sorted(state.barred)),
        tuple(sorted(ref for ref in state.spoilt if ref in state.epochs)),
    )
    draft.put(Table.ROOM, META, encode(meta))


def put_times(draft: Draft, before: RoomState) -> None:
    """Write when things were last done in the room, if that has changed since `before`: a restart repeats and forgets nothing."""
    times = _times(draft.state)
    if times != _times(before):
        draft.put(Table.ROOM, TIMES, encode(times))


def _times(state: RoomState) -> TimesRecord:
    return TimesRecord(
        state.stand or b"",
        state.head_since_ms,
        state.away_since_ms,
        state.locked_out_since_ms,
        state.dirty_since_ms,
        state.last_merge_ms,
        state.last_join_ms,
        state.join_failures,
        state.is_crowded,
        state.parking.wants_history,
    )


def put_expired(draft: Draft, ref: CommitRef) -> None:
    """Write that the secrets of an epoch were held and are deleted."""
    draft.put(Table.ROOM, EXPIRED + ref, b"\x01")


def put_claim(draft: Draft, device: Device, time_ms: int | None) -> None:
    """Write when a key package of a device was last asked for, or remove it with None."""
    _put_or_delete(draft, CLAIM + write_device(device), None if time_ms is None else encode_time(time_ms))


def put_list_request(draft: Draft, user_id: UserId, time_ms: int) -> None:
    """Write when a user's device list was last asked for."""
    draft.put(Table.ROOM, LIST_REQUEST + user_id.encode(), encode_time(time_ms))


def put_member_since(draft: Draft, user_id: UserId, time_ms: int) -> None:
    """Write when a user's current member event came."""
    draft.put(Table.ROOM, MEMBER_SINCE + user_id.encode(), encode_time(time_ms))


def put_debt(draft: Draft, device: Device, time_ms: int | None) -> None:
    """Write since when an own device has owed fresh keys, or remove it with None."""
    _put_or_delete(draft, DEBT + write_device(device), None if time_ms is None else encode_time(time_ms))


def put_sent(draft: Draft, device: Device, ref: CommitRef, messages: int) -> None:
    """Write how many messages an own device has sent under the keys that a node brought."""
    draft.put(Table.ROOM, SENT + write_device(device), encode(SentRecord(ref, messages)))


def put_refusal(draft: Draft, user_id: UserId, refusal: Refusal | None) -> None:
    """Write how often a user's nodes were refused, or remove it with None."""
    record = None if refusal is None else encode(RefusalRecord(refusal.times, refusal.at_ms))
    _put_or_delete(draft, REFUSAL + user_id.encode(), record)


def put_pending_vote(draft: Draft, device: Device, ref: CommitRef) -> None:
    """Write the vote of a device that is on its way."""
    draft.put(Table.ROOM, PENDING_VOTE + write_device(device), ref)


def put_vote_floor(draft: Draft, device: Device, vote_seq: int) -> None:
    """Write the last vote_seq of an own device that counts by itself."""
    draft.put(Table.ROOM, VOTE_FLOOR + write_device(device), encode_time(vote_seq))


def _put_or_delete(draft: Draft, key: bytes, value: bytes | None) -> None:
    if value is None:
        draft.delete(Table.ROOM, key)
    else:
        draft.put(Table.ROOM, key, value)


def put_list(draft: Draft, user_id: UserId, held: DeviceList) -> None:
    """Write a user's device list."""
    record = ListRecord(user_id.encode(), held.version, held.taken_at_ms, held.is_own, device_records(held.devices))
    draft.put(Table.DEVICE_LIST, user_id.encode(), encode(record))


def put_node(draft: Draft, entry: NodeEntry) -> None:
    """Write a node, and those parts of its tree that the store does not hold yet."""
    stored = draft.state.tree_nodes.mutate()
    for tree_hash, data in new_nodes(entry.group.tree, lambda known: known in stored):
        draft.put(Table.TREE_NODE, tree_hash, data)
        stored[tree_hash] = True
    draft.update(tree_nodes=stored.finish())
    record = NodeRecord(
        entry.node.encode(),
        encode_public(entry.group),
        entry.group_info,
        entry.keyframe,
        entry.bytes_since_keyframe,
        entry.commits_since_keyframe,
        source_records(entry.events),
        entry.received_at_ms,
        None if entry.anchor is None else AnchorRecord(entry.anchor.message, (entry.anchor.parent_event or "").encode()),
        device_records(entry.last_resorts),
    )
    draft.put(Table.NODE, entry.node.commit_ref, encode(record))


def put_vote(draft: Draft, key: bytes, tracked: TrackedVote) -> None:
    """Write a vote."""
    draft.put(Table.VOTE, key, encode(VoteRecord(tracked.vote.encode(), source_records(tracked.events))))


def put_epoch(draft: Draft, commit_ref: CommitRef, held: HeldEpoch) -> None:
    """Write the secrets of an epoch."""
    draft.put(Table.EPOCH, commit_ref, encode(EpochRecord(encode_state(held.state), held.succeeded_at_ms)))


def put_keys(draft: Draft, keys: Mapping[bytes, Secret]) -> None:
    """Write private keys."""
    for public_key, private_key in keys.items():
        draft.put(Table.PRIVATE_KEY, public_key, private_key)


def put_key_package(draft: Draft, device: Device, key_package: KeyPackage | None) -> None:
    """Write a claimed key package, or remove it with None."""
    _put_or_delete(draft, KEY_PACKAGE + write_device(device), None if key_package is None else encode(key_package))


def put_parked(draft: Draft, key: bytes, parked: ParkedEvent) -> None:
    """Write a waiting event."""
    event = parked.event
    departure = {None: 0, False: 1, True: 2}[event.before_departure]
    record = ParkedRecord(
        event.event_id.encode(),
        event.sender.encode(),
        event.type.encode(),
        encode_json(event.content),
        event.origin_server_ts_ms,
        event.soft_failed,
        departure,
        tuple(item.encode() for item in event.auth_events),
        parked.missing.key,
        tuple(item.encode() for item in parked.missing.hints),
        parked.missing.commit_ref,
        parked.missing.epoch,
        parked.parked_at_ms,
        parked.is_to_device,
        parked.is_vouched,
        parked.keyframe,
    )
    draft.put(Table.PARKED_EVENT, key, encode(record))


def put_asked(draft: Draft, name: bytes, asked: Asked) -> None:
    """Write how often something was asked for."""
    hints = tuple(hint.encode() for hint in asked.hints)
    draft.put(Table.ROOM, ASKED + name, encode(AskedRecord(asked.times, asked.asked_ms, asked.next_ms, hints)))


def delete_asked(draft: Draft, name: bytes) -> None:
    """Forget that something was asked for."""
    draft.delete(Table.ROOM, ASKED + name)


def put_outcome(draft: Draft, key: bytes, result: EventResult) -> None:
    """Write what became of an event."""
    texts = (result.outcome, result.kind)
    record = OutcomeRecord(
        texts[0].encode(),
        texts[1].encode(),
        result.commit_ref,
        result.reason.encode(),
        result.rule.encode(),
        result.message.encode(),
    )
    draft.put(Table.EVENT_OUTCOME, key, encode(record))


def put_plaintext(draft: Draft, key: bytes, plaintext: Plaintext) -> None:
    """Write a decrypted message."""
    record = PlaintextRecord(
        plaintext.payload,
        device_record(plaintext.sender),
        plaintext.leaf_index,
        plaintext.commit_ref,
        plaintext.origin_server_ts_ms,
        device_records(plaintext.readers),
        device_records(plaintext.waiting),
        plaintext.delete_at_ms,
    )
    draft.put(Table.PLAINTEXT, key, encode(record))
