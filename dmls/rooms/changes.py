"""What happened in a room, for those who watch it: small records that name nodes, whose rest is looked up when it is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import assert_never

from devicestore.room_changes import ChangeRow, NewChange
from dmls.engine.effects import EventKind, EventResult, IngestOutcome, Notice, NoticeKind, Put, StoreChange, Table
from dmls.engine.readiness import SendState
from dmls.engine.state import RoomState
from dmls.errors import CodecError
from dmls.forks.graph import Device
from dmls.ids import CommitRef, RoomId
from dmls.mls.codec import decode, encode, opaque, struct, uint32

__all__ = [
    "FORKED",
    "FORK_RESOLVED",
    "LAST_RESORT_USED",
    "NO_KEY_PACKAGE",
    "Change",
    "HeadChanged",
    "NodeAdded",
    "Noticed",
    "SendStateChanged",
    "Unparked",
    "decode_change",
    "encode_change",
    "find_changes",
]

FORKED = "forked"
FORK_RESOLVED = "fork_resolved"
LAST_RESORT_USED = "last_resort_used"
NO_KEY_PACKAGE = "no_key_package"
"""Kinds of notices that follow from what the engine did, beside those of `NoticeKind`."""

_TOLD = frozenset(
    {
        NoticeKind.NEEDS_READMISSION,
        NoticeKind.NEEDS_NEW_KEY,
        NoticeKind.COMMIT_FAILED,
        NoticeKind.FAILURE_REPORTED,
        NoticeKind.FORK_ALARM,
        NoticeKind.EQUIVOCATION,
        NoticeKind.ROLLED_BACK,
        NoticeKind.REJOINED,
        NoticeKind.PARKED_EVENT_DROPPED,
    }
)
"""The engine's notices that are told; the others say what nodes and heads say too."""


@dataclass(frozen=True, slots=True)
class NodeAdded:
    """A node was added to the epoch graph."""

    commit_ref: CommitRef


@dataclass(frozen=True, slots=True)
class HeadChanged:
    """Another head was chosen; `old` is empty for the first one, `depth` how many nodes of its chain were left."""

    old: CommitRef
    new: CommitRef
    depth: int


@dataclass(frozen=True, slots=True)
class Unparked:
    """An event waits no more."""

    event_id: str
    result: EventResult


@dataclass(frozen=True, slots=True)
class Noticed:
    """Something that a person or a program should know; what it is not about is empty."""

    kind: str
    user_id: str = ""
    device_id: str = ""
    commit_ref: CommitRef = CommitRef(b"")
    text: str = ""


@dataclass(frozen=True, slots=True)
class SendStateChanged:
    """Whether own devices can send."""

    state: SendState


Change = NodeAdded | HeadChanged | Unparked | Noticed | SendStateChanged


@struct
class _Head:
    old: opaque
    new: opaque
    depth: uint32


@struct
class _Unparked:
    event_id: opaque
    outcome: opaque
    kind: opaque
    commit_ref: opaque
    reason: opaque
    rule: opaque
    message: opaque


@struct
class _Notice:
    kind: opaque
    user_id: opaque
    device_id: opaque
    commit_ref: opaque
    text: opaque


_VERSION = b"\x01"


def encode_change(room_id: RoomId, change: Change) -> NewChange:
    """Return a change as the store takes it."""
    match change:
        case NodeAdded():
            kind, payload = "node", bytes(change.commit_ref)
        case HeadChanged():
            kind, payload = "head", encode(_Head(change.old, change.new, change.depth))
        case Unparked():
            result = change.result
            texts = (change.event_id, result.outcome, result.kind, result.reason, result.rule, result.message)
            event_id, outcome, event_kind, reason, rule, message = (text.encode() for text in texts)
            kind = "unparked"
            payload = encode(_Unparked(event_id, outcome, event_kind, result.commit_ref, reason, rule, message))
        case Noticed():
            names = (change.kind.encode(), change.user_id.encode(), change.device_id.encode())
            kind, payload = "notice", encode(_Notice(*names, change.commit_ref, change.text.encode()))
        case SendStateChanged():
            kind, payload = "send_state", change.state.encode()
        case _:
            assert_never(change)
    return NewChange(room_id, kind, _VERSION + payload)


def decode_change(row: ChangeRow) -> Change:
    """Return what `encode_change` wrote.

    Raises:
        CodecError: it was not written by this module.
    """
    if not row.payload.startswith(_VERSION):
        raise CodecError("a change of a room has an unknown version")
    payload = row.payload.removeprefix(_VERSION)
    try:
        return _read(row.kind, payload)
    except ValueError:
        raise CodecError("a change of a room names something unknown") from None


def _read(kind: str, payload: bytes) -> Change:
    match kind:
        case "node":
            return NodeAdded(CommitRef(payload))
        case "head":
            head = decode(_Head, payload)
            return HeadChanged(CommitRef(head.old), CommitRef(head.new), head.depth)
        case "unparked":
            told = decode(_Unparked, payload)
            outcome, event_kind = IngestOutcome(told.outcome.decode()), EventKind(told.kind.decode())
            reason, rule, message = told.reason.decode(), told.rule.decode(), told.message.decode()
            result = EventResult(outcome, event_kind, CommitRef(told.commit_ref), reason, rule, message)
            return Unparked(told.event_id.decode(), result)
        case "notice":
            notice = decode(_Notice, payload)
            names = (notice.kind.decode(), notice.user_id.decode(), notice.device_id.decode())
            return Noticed(*names, CommitRef(notice.commit_ref), notice.text.decode())
        case "send_state":
            return SendStateChanged(SendState(payload.decode()))
    raise CodecError("a change of a room has an unknown kind")


def find_changes(
    before: RoomState,
    after: RoomState,
    stored: Iterable[StoreChange],
    notices: Iterable[Notice],
    unparked: Iterable[tuple[str, EventResult]],
    exhausted: Iterable[Device],
) -> Iterator[Change]:
    """Yield what happened in a room between two states, in an order in which nothing is named before it is told.

    Args:
        before: the state before.
        after: the state after.
        stored: what was stored in between.
        notices: what the engine noticed.
        unparked: event ids and results of events that had waited.
        exhausted: devices that had no key package to give.
    """
    put = {CommitRef(change.key) for change in stored if change.table is Table.NODE and isinstance(change, Put)}
    added = [ref for ref in put if ref not in before.entries and ref in after.entries]
    for ref in sorted(added, key=lambda ref: (after.entries[ref].node.epoch, ref)):
        yield NodeAdded(ref)
        for device in after.entries[ref].last_resorts:
            yield Noticed(LAST_RESORT_USED, device.user_id, device.device_id, ref)
    if after.head is not None and after.head != before.head:
        yield HeadChanged(before.head or CommitRef(b""), after.head, _depth(before, after))
    forks, known = _side_heads(after), _side_heads(before)
    for ref in sorted(forks - known):
        if after.graph.parent(ref) not in known:
            yield Noticed(FORKED, commit_ref=ref)
    for ref in sorted(known - forks):
        if ref in after.entries and ref != after.head and not after.graph.children(ref):
            yield Noticed(FORK_RESOLVED, commit_ref=ref)
    for event_id, result in unparked:
        yield Unparked(event_id, result)
    for notice in notices:
        if notice.kind in _TOLD:
            yield Noticed(notice.kind.value, commit_ref=notice.commit_ref, text=notice.text)
    for device in exhausted:
        yield Noticed(NO_KEY_PACKAGE, device.user_id, device.device_id)


def _side_heads(state: RoomState) -> frozenset[CommitRef]:
    return frozenset() if state.head is None else frozenset(state.tally.side_heads(state.head))


def _depth(before: RoomState, after: RoomState) -> int:
    """Return how many nodes of the old head's chain are not on the new one's."""
    if before.head is None or after.head is None or before.head not in after.entries:
        return 0
    return len(after.graph.branch(after.head, before.head))
