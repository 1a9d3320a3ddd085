"""Messages and votes: opened with the secrets of their own epoch, whichever fork it is on."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from dmls.engine.agent import device_of
from dmls.engine.alarms import note_pointers, note_vote
from dmls.engine.effects import (
    DecryptOutcome,
    DecryptResult,
    EventKind,
    EventResult,
    IngestOutcome,
    Table,
)
from dmls.engine.leaves import note_other_message, note_other_vote
from dmls.engine.nodes import keep_vote, refresh_head
from dmls.engine.parking import EPOCH, Missing
from dmls.engine.records import put_epoch, put_plaintext
from dmls.engine.sources import facts_of, is_spent, with_event
from dmls.engine.state import Draft, NodeEntry, Plaintext, TrackedVote
from dmls.errors import DMLSError, InvalidMessageError
from dmls.forks.aad import VoteTBS, decode_message_aad, verify_vote
from dmls.forks.graph import Device, Vote
from dmls.ids import CommitRef, EventId, LeafIndex
from dmls.matrix.bodies import Inline, MessageBody, VoteBody, parse_payload
from dmls.matrix.events import RoomEvent
from dmls.mls.codec import decode
from dmls.mls.group.process import open_message
from dmls.mls.group.state import GroupState
from dmls.mls.messages.message import ApplicationData, Member, MLSMessage, PrivateMessage
from dmls.mls.messages.registry import ContentType

__all__ = [
    "keep_plaintext",
    "message_key",
    "read_plaintext",
    "readers_of",
    "receive_message",
    "receive_vote",
    "rejected",
]

READ_WINDOW_MS = 3_600_000
"""How long a plaintext is kept after the last own device has read it, in milliseconds: a lost answer can be asked again."""
UNREAD_WINDOW_MS = 7 * 86_400_000
"""How long a plaintext is kept for own devices that do not ask, in milliseconds."""


def message_key(message: bytes) -> bytes:
    """Return the name of a message whatever event carries it: it keeps an own message's plaintext until its event comes."""
    return b"message:" + hashlib.sha256(message).digest()


def receive_message(draft: Draft, event: RoomEvent, body: MessageBody) -> EventResult | Missing:
    """Open a message; return what it has to wait for, if anything: a node, or the secrets of an epoch.

    Its vote stands whether or not the message can be opened: not everybody can try, and all must count the same votes.

    Raises:
        DMLSError: the event or its vote is malformed or forged, which everybody can see.
    """
    if not isinstance(body.message, Inline):
        raise InvalidMessageError("a blob of the event is not here")
    encoded = body.message.data
    message = decode(MLSMessage, encoded)
    private = message.body
    if not isinstance(private, PrivateMessage) or private.content_type != ContentType.APPLICATION:
        raise InvalidMessageError("a message is a private application message")
    ref = CommitRef(decode_message_aad(private.authenticated_data).epoch.commit_ref)
    entry = draft.state.entries.get(ref)
    if entry is None:
        hints = () if body.commit_event is None else (body.commit_event,)
        return Missing(ref, hints, epoch=private.epoch)
    if body.vote is not None:
        _count_vote(draft, event, VoteBody(ref, body.vote.leaf, body.vote.seq, body.vote.signature), entry)
    own = draft.state.plaintexts.get(message_key(encoded))
    if own is not None:
        _keep_echo(draft, event, message_key(encoded), own)
        return EventResult(IngestOutcome.PROCESSED, EventKind.MESSAGE, ref)
    try:
        return _open(draft, event, ref, entry, message)
    except DMLSError as error:
        return rejected(EventKind.MESSAGE, error)


def rejected(kind: EventKind, error: DMLSError) -> EventResult:
    """Return the outcome of an event that breaks a rule."""
    return EventResult(IngestOutcome.REJECTED, kind, reason=error.reason, rule=error.rule or "", message=error.message)


def _open(draft: Draft, event: RoomEvent, ref: CommitRef, entry: NodeEntry, message: MLSMessage) -> EventResult | Missing:
    """Open a message of a known epoch if its secrets are held.

    Raises:
        DMLSError: the message is malformed, forged or a replay. Nothing of it was used up.
    """
    held = draft.state.epochs.get(ref)
    if held is None or not held.state.secrets.sender_data_secret:
        return _without_secrets(draft, ref, entry, is_expired=held is not None or _is_out_of_reach(draft, ref))
    if not event.before_departure and not draft.state.membership.is_joined_in(event.sender, event.auth_events):
        return EventResult(IngestOutcome.PROCESSED, EventKind.MESSAGE, ref, DecryptOutcome.SENDER_NOT_IN_ROOM)
    content, after = open_message(held.state, message)
    body_content, sender = content.content.content, content.content.sender
    if not isinstance(body_content, ApplicationData) or not isinstance(sender, Member):
        raise InvalidMessageError("not application data")
    leaf = entry.group.tree.leaf(LeafIndex(sender.leaf_index))
    if leaf is None or device_of(leaf).user_id != event.sender:
        # A server that relays another's ciphertext as its own user's must not use up the genuine message's key.
        raise InvalidMessageError("the event's sender is not the user of the sending leaf")
    payload = parse_payload(body_content.data)
    if payload.room_id != draft.state.room_id:
        raise InvalidMessageError("the message is of another room")
    advanced = replace(held, state=after)
    draft.update(epochs=draft.state.epochs.set(ref, advanced))
    put_epoch(draft, ref, advanced)
    note_pointers(draft, (decode_message_aad(content.content.authenticated_data).epoch,), device_of(leaf))
    if sender.leaf_index in held.state.own_leaves:
        # What an own leaf encrypts here uses up its key here.
        note_other_message(draft, ref, device_of(leaf))
    readers = readers_of(after)
    keep_plaintext(
        draft,
        event.event_id.encode(),
        Plaintext(
            body_content.data,
            device_of(leaf),
            sender.leaf_index,
            ref,
            event.origin_server_ts_ms,
            readers,
            readers,
            draft.now_ms + UNREAD_WINDOW_MS,
        ),
    )
    return EventResult(IngestOutcome.PROCESSED, EventKind.MESSAGE, ref)


def readers_of(state: GroupState) -> frozenset[Device]:
    """Return the own devices that are members of an epoch: they, and no other own device, may read its messages."""
    tree = state.public.tree
    leaves = (tree.leaf(index) for index in state.own_leaves)
    return frozenset(device_of(leaf) for leaf in leaves if leaf is not None)


def keep_plaintext(draft: Draft, key: bytes, plaintext: Plaintext) -> None:
    """Keep a plaintext until it is read."""
    again = draft.state.look_again_ms
    until = plaintext.delete_at_ms if again is None else min(again, plaintext.delete_at_ms)
    draft.update(plaintexts=draft.state.plaintexts.set(key, plaintext), look_again_ms=until)
    put_plaintext(draft, key, plaintext)


def _keep_echo(draft: Draft, event: RoomEvent, key: bytes, own: Plaintext) -> None:
    """Move an own message's plaintext under the event that carries it."""
    draft.update(plaintexts=draft.state.plaintexts.delete(key))
    draft.delete(Table.PLAINTEXT, key)
    moved = replace(own, origin_server_ts_ms=event.origin_server_ts_ms, delete_at_ms=draft.now_ms + UNREAD_WINDOW_MS)
    keep_plaintext(draft, event.event_id.encode(), moved)


def _is_out_of_reach(draft: Draft, ref: CommitRef) -> bool:
    """Tell whether an epoch's secrets are deleted, or an ancestor's without which they cannot be had any more."""
    state = draft.state
    for above in state.graph.path_up(ref):
        if above in state.expired:
            return True
        if above in state.epochs or state.graph.node(above).epoch <= state.first_epoch:
            return False
    return False


def _without_secrets(draft: Draft, ref: CommitRef, entry: NodeEntry, *, is_expired: bool) -> EventResult | Missing:
    if is_expired:
        return EventResult(IngestOutcome.PROCESSED, EventKind.MESSAGE, ref, DecryptOutcome.EXPIRED)
    tree = entry.group.tree
    if any(tree.find_signature_key(device.signature_key) is not None for device in draft.state.agent.devices):
        return Missing(EPOCH + ref)
    return EventResult(IngestOutcome.PROCESSED, EventKind.MESSAGE, ref, DecryptOutcome.NOT_MEMBER_THEN)


def receive_vote(draft: Draft, event: RoomEvent, body: VoteBody) -> EventResult | Missing:
    """Take in a vote; return the node it waits for, if that is not here.

    Raises:
        DMLSError: the vote is not by a leaf of the sender in that epoch.
    """
    entry = draft.state.entries.get(body.commit_ref)
    if entry is None:
        return Missing(body.commit_ref)
    _count_vote(draft, event, body, entry)
    return EventResult(IngestOutcome.PROCESSED, EventKind.VOTE, body.commit_ref)


def _count_vote(draft: Draft, event: RoomEvent, body: VoteBody, entry: NodeEntry) -> None:
    group = entry.group
    leaf = group.tree.leaf(body.leaf)
    if leaf is None or device_of(leaf).user_id != event.sender:
        raise InvalidMessageError("the vote is not by a leaf of the event's sender")
    tbs = VoteTBS(group.context.group_id, body.commit_ref, body.leaf, body.seq)
    verify_vote(group.suite, leaf.signature_key, tbs, body.signature)
    key = hashlib.sha256(leaf.signature_key + body.seq.to_bytes(8, "big") + body.commit_ref).digest()
    known = draft.state.votes.get(key)
    events = with_event(() if known is None else known.events, facts_of(event))
    vote = Vote(device_of(leaf), body.commit_ref, body.seq, is_spent(draft.state.membership, events))
    keep_vote(draft, key, TrackedVote(vote, events))
    if known is None:
        note_vote(draft, vote.device, vote.vote_seq, vote.commit_ref)
    if known is None and vote.device in draft.state.agent.devices:
        note_other_vote(draft, body.commit_ref, vote.device, body.seq)
    refresh_head(draft)


def read_plaintext(draft: Draft, event_id: EventId, reader: Device) -> DecryptResult:
    """Return a message to an own device; once every one that may has read it, it is deleted after an hour."""
    key = event_id.encode()
    plaintext = draft.state.plaintexts.get(key)
    if plaintext is None:
        return DecryptResult(_why_not(draft, key))
    if reader not in plaintext.readers:
        return DecryptResult(DecryptOutcome.NOT_MEMBER_THEN, commit_ref=plaintext.commit_ref)
    waiting = plaintext.waiting - {reader}
    if waiting != plaintext.waiting:
        until = plaintext.delete_at_ms if waiting else min(plaintext.delete_at_ms, draft.now_ms + READ_WINDOW_MS)
        keep_plaintext(draft, key, replace(plaintext, waiting=waiting, delete_at_ms=until))
    return DecryptResult(
        DecryptOutcome.OK,
        plaintext.payload,
        plaintext.sender,
        LeafIndex(plaintext.leaf_index),
        plaintext.commit_ref,
        plaintext.origin_server_ts_ms,
    )


def _why_not(draft: Draft, key: bytes) -> DecryptOutcome:
    if key in draft.state.parked:
        return DecryptOutcome.PENDING_COMMIT
    outcome = draft.state.outcomes.get(key)
    if outcome is None or outcome.kind not in (EventKind.MESSAGE, EventKind.UNKNOWN):
        return DecryptOutcome.UNKNOWN_EVENT
    if outcome.outcome == IngestOutcome.REJECTED:
        return DecryptOutcome.DUPLICATE if outcome.reason == "KEY_CONSUMED" else DecryptOutcome.MALFORMED
    if outcome.reason:
        return DecryptOutcome(outcome.reason)
    return DecryptOutcome.DUPLICATE
