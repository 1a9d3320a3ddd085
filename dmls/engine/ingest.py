"""Events as they come, in any order: each is looked at once, and parked while what it refers to is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from dmls.engine.anchors import has_witness, may_anchor, take_anchor
from dmls.engine.backfill import hasten, park, settle_asked, take_out
from dmls.engine.commits import receive_commit, receive_genesis
from dmls.engine.effects import DecryptOutcome, EventKind, EventResult, IngestOutcome
from dmls.engine.entering import enter_by_commit_event, enter_by_welcome
from dmls.engine.inputs import ToDeviceReceived
from dmls.engine.judging import read_commit
from dmls.engine.messages import receive_message, receive_vote, rejected
from dmls.engine.nodes import correct_node, refresh_head
from dmls.engine.parking import ANCHOR, BLOB, Missing, ParkedEvent
from dmls.engine.records import put_outcome
from dmls.engine.sources import facts_of
from dmls.engine.state import Draft, RoomState
from dmls.errors import DMLSError, InvalidMessageError
from dmls.forks.aad import genesis_ref
from dmls.ids import CommitRef, EventId, KeyPackageRef
from dmls.matrix.blobs import blob_pointers, fill
from dmls.matrix.bodies import (
    Body,
    CommitBody,
    EventPointer,
    GenesisBody,
    Inline,
    MessageBody,
    VoteBody,
    WelcomeBody,
    parse_body,
)
from dmls.matrix.events import RoomEvent
from dmls.mls.codec import decode
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.messages.commit import Commit
from dmls.mls.messages.key_package import key_package_ref
from dmls.mls.messages.message import MLSMessage, PublicMessage
from dmls.mls.messages.proposal import Add
from dmls.mls.messages.welcome import Welcome

__all__ = ["key_packages_named", "receive_blob", "receive_event", "receive_to_device", "try_anchors", "unpark"]

_TO_DEVICE = b"to_device:"
_NOTHING = Missing(b"")

_KINDS: Mapping[type, EventKind] = {
    GenesisBody: EventKind.GENESIS,
    CommitBody: EventKind.COMMIT,
    MessageBody: EventKind.MESSAGE,
    VoteBody: EventKind.VOTE,
    WelcomeBody: EventKind.WELCOME,
}


def receive_event(draft: Draft, event: RoomEvent, *, is_vouched: bool = False) -> EventResult:
    """Take in an event of the timeline; one that came before only has its flags corrected.

    `is_vouched`: the own server, which follows the room, says that it is on the head's chain.
    """
    key = event.event_id.encode()
    parked = draft.state.parked.get(key)
    if parked is not None:
        return _correct_parked(draft, key, replace(parked, event=event, is_vouched=is_vouched or parked.is_vouched))
    known = draft.state.outcomes.get(key)
    is_readmitted = known is not None and known.reason == DecryptOutcome.SENDER_NOT_IN_ROOM and event.before_departure
    if known is not None and not is_readmitted:
        return _correct(draft, event, known)
    return _take_in(draft, key, ParkedEvent(event, _NOTHING, draft.now_ms, is_vouched=is_vouched))


def _correct_parked(draft: Draft, key: bytes, corrected: ParkedEvent) -> EventResult:
    if corrected != draft.state.parked[key]:
        take_out(draft, key)
        park(draft, key, corrected)
        if corrected.keyframe and may_anchor(draft.state):
            draft.candidates.append(key)
    return EventResult(IngestOutcome.PARKED)


def _correct(draft: Draft, event: RoomEvent, known: EventResult) -> EventResult:
    is_node = known.kind in (EventKind.GENESIS, EventKind.COMMIT) and known.commit_ref in draft.state.entries
    if not is_node:
        return replace(known, outcome=_repeated(known))
    before = draft.state.entries[known.commit_ref]
    correct_node(draft, known.commit_ref, facts_of(event))
    if draft.state.entries[known.commit_ref] == before:
        return replace(known, outcome=_repeated(known))
    refresh_head(draft)
    return replace(known, outcome=IngestOutcome.CORRECTED)


def _repeated(known: EventResult) -> IngestOutcome:
    return known.outcome if known.outcome == IngestOutcome.REJECTED else IngestOutcome.DUPLICATE


def receive_to_device(draft: Draft, message: ToDeviceReceived) -> EventResult:
    """Take in a to-device message: a Welcome, which the commit's event brings too."""
    key = _TO_DEVICE + message.message_id.encode()
    if key in draft.state.parked:
        return EventResult(IngestOutcome.PARKED, EventKind.WELCOME)
    known = draft.state.outcomes.get(key)
    if known is not None:
        return replace(known, outcome=_repeated(known))
    event = RoomEvent(
        EventId(message.message_id), draft.state.room_id, message.sender, "m.room.encrypted", None, message.content, 0
    )
    return _take_in(draft, key, ParkedEvent(event, _NOTHING, draft.now_ms, is_to_device=True))


def _take_in(draft: Draft, key: bytes, arrived: ParkedEvent) -> EventResult:
    """Process an event; what it lacks parks it, what it breaks is remembered as its outcome."""
    event, is_to_device = arrived.event, arrived.is_to_device
    kind = EventKind.UNKNOWN
    state = draft.state
    marks = draft.marks()
    try:
        written = parse_body(event.content)
        body = _complete(draft, written)
        kind = _KINDS[type(body)]
        if isinstance(body, WelcomeBody) != is_to_device:
            raise InvalidMessageError("a Welcome is a to-device message, and nothing else is")
        outcome = _missing_blob(body) or _dispatch(draft, event, body)
    except DMLSError as error:
        # Whatever this event began is undone; only its outcome stays.
        draft.state = state
        draft.truncate(marks)
        return _remember(draft, key, rejected(kind, error))
    if isinstance(outcome, EventResult):
        return _remember(draft, key, outcome)
    missing, keyframe = outcome, b""
    if isinstance(written, CommitBody) and outcome.commit_ref and may_anchor(draft.state):
        missing, keyframe = _keyframe(outcome, written)
    park(draft, key, replace(arrived, missing=missing, keyframe=keyframe))
    _note_candidates(draft, key)
    return EventResult(IngestOutcome.PARKED, kind)


def _keyframe(missing: Missing, body: CommitBody) -> tuple[Missing, bytes]:
    """Return what a newcomer waits for at a commit: the last keyframe is asked for with the parent, or is here."""
    if isinstance(body.keyframe, EventPointer):
        return replace(missing, hints=(*missing.hints, body.keyframe.event)), b""
    if isinstance(body.keyframe, Inline):
        return missing, ANCHOR + missing.commit_ref
    return missing, BLOB + body.keyframe.sha256


def _note_candidates(draft: Draft, key: bytes) -> None:
    """Note the commit that may be taken over now that an event has been parked: that event, or the last keyframe above it.

    What another joined user sends below is a reason to try soon, once a second at most; else it is tried again after a while.
    """
    state = draft.state
    parked = state.parked.get(key)
    if parked is None or not may_anchor(state):
        return
    if parked.keyframe and (parked.is_vouched or parked.keyframe.removeprefix(BLOB) in draft.blobs):
        draft.candidates.append(key)
    if parked.is_to_device or parked.event.sender not in state.membership.joined():
        return
    seen: set[bytes] = set()
    name = parked.missing.key
    while name not in seen and (keys := state.parking.commits(CommitRef(name))):
        seen.add(name)
        above = state.parked[keys[0]]
        if above.keyframe:
            if above.event.sender != parked.event.sender:
                hasten(draft, above.keyframe)
            return
        name = above.missing.key


def _complete(draft: Draft, body: Body) -> Body:
    """Fill in the blobs that this step brings."""
    return fill(body, draft.blobs) if draft.blobs else body


def _missing_blob(body: Body) -> Missing | None:
    for pointer in blob_pointers(body):
        if isinstance(body, CommitBody) and body.keyframe == pointer:
            continue
        return Missing(BLOB + pointer.sha256)
    return None


def _dispatch(draft: Draft, event: RoomEvent, body: Body) -> EventResult | Missing:
    if isinstance(body, GenesisBody):
        return receive_genesis(draft, event, body)
    if isinstance(body, CommitBody):
        return receive_commit(draft, event, body)
    if isinstance(body, MessageBody):
        return receive_message(draft, event, body)
    if isinstance(body, VoteBody):
        return receive_vote(draft, event, body)
    return _receive_welcome(draft, body)


def _receive_welcome(draft: Draft, body: WelcomeBody) -> EventResult | Missing:
    if body.commit_ref is None or not isinstance(body.welcome, Inline):
        return EventResult(IngestOutcome.IGNORED, EventKind.WELCOME)
    if body.room_id != draft.state.room_id:
        raise InvalidMessageError("the Welcome is for another room")
    if body.commit_ref not in draft.state.entries:  # CC-12
        return Missing(body.commit_ref, () if body.commit_event is None else (body.commit_event,))
    enter_by_welcome(draft, body.commit_ref, decode(MLSMessage, body.welcome.data).body)
    return EventResult(IngestOutcome.PROCESSED, EventKind.WELCOME, body.commit_ref)


def _remember(draft: Draft, key: bytes, result: EventResult) -> EventResult:
    draft.update(outcomes=draft.state.outcomes.set(key, result))
    put_outcome(draft, key, result)
    return result


def unpark(draft: Draft) -> list[tuple[str, EventResult]]:
    """Look again at everything that waited for what has come in this step, until nothing more comes of it.

    Returns:
        Event id and result of each event that is not parked any more.
    """
    results: list[tuple[str, EventResult]] = []
    while draft.ready:
        arrived = draft.ready.pop()
        asked = draft.state.parking.asked.get(arrived)
        for key in draft.state.parking.waiting_for(arrived):
            parked = take_out(draft, key)
            if parked is not None:
                result = _take_in(draft, key, parked)
                if result.outcome != IngestOutcome.PARKED:
                    results.append((parked.event.event_id, result))
        settle_asked(draft, arrived, asked)
    return results


def try_anchors(draft: Draft) -> list[tuple[str, EventResult]]:
    """Take over by their keyframes those commits that this step made ready for it (docs/protocol.md, Section 13).

    Returns:
        Event id and result of each event that is not parked any more.
    """
    results: list[tuple[str, EventResult]] = []
    tried: set[bytes] = set()
    while draft.candidates:
        key = draft.candidates.pop()
        if key not in tried and may_anchor(draft.state):
            tried.add(key)
            results += _try_anchor(draft, key)
    return results


def _try_anchor(draft: Draft, key: bytes) -> list[tuple[str, EventResult]]:
    """Take a commit over and see what follows from it; if nobody else stands for it, nothing has happened."""
    state, marks = draft.state, draft.marks()
    parked = take_out(draft, key)
    if parked is None:
        return []
    try:
        body = _complete(draft, parse_body(parked.event.content))
        if not isinstance(body, CommitBody) or blob_pointers(body):
            raise InvalidMessageError("not all of the commit is here")
        ref = take_anchor(draft, parked.event, body)
        enter_by_commit_event(draft, ref, body)
    except DMLSError:
        draft.state = state
        draft.truncate(marks)
        return []
    result = _remember(draft, key, EventResult(IngestOutcome.PROCESSED, EventKind.COMMIT, ref))
    results = [(str(parked.event.event_id), result), *unpark(draft)]
    if parked.is_vouched or has_witness(draft.state, ref):
        return results
    draft.state = state
    draft.truncate(marks)
    return []


def receive_blob(draft: Draft, digest: bytes) -> None:
    """Note that a blob has come; `digest` is its SHA-256."""
    draft.ready.append(BLOB + digest)


def _welcome_refs(data: object) -> Iterator[KeyPackageRef]:
    if not isinstance(data, Inline):
        return
    message = decode(MLSMessage, data.data).body
    if isinstance(message, Welcome):
        yield from (KeyPackageRef(secrets.new_member) for secrets in message.secrets)


def _refs_in(body: Body) -> Iterator[KeyPackageRef]:
    if isinstance(body, WelcomeBody | CommitBody):
        yield from _welcome_refs(body.welcome)
    if isinstance(body, CommitBody) and isinstance(body.message, Inline):
        suite = cipher_suite(body.ciphersuite)
        message = decode(MLSMessage, body.message.data).body
        if isinstance(message, PublicMessage) and isinstance(message.content.content, Commit):
            for proposal in message.content.content.proposals:
                if isinstance(proposal, Add):
                    yield key_package_ref(suite, proposal.key_package)


def key_packages_named(state: RoomState, content: Mapping[str, object] | None) -> frozenset[KeyPackageRef]:
    """Return the key packages that an event may turn out to be for, or one of those parked that may follow from it."""
    found: set[KeyPackageRef] = set()
    seen: set[bytes] = set()
    waiting = [name for name in state.parking.asked if name.startswith(ANCHOR)] if may_anchor(state) else []
    if content is not None:
        waiting += _note_named(found, content)
    while waiting:
        name = waiting.pop()
        for key in state.parking.waiting_for(name):
            if key not in seen:
                seen.add(key)
                waiting += _note_named(found, state.parked[key].event.content)
    return frozenset(found)


def _note_named(found: set[KeyPackageRef], content: Mapping[str, object]) -> list[bytes]:
    """Note the key packages that an event names, and return what may come of it: its own node."""
    try:
        body = parse_body(content)
        found.update(_refs_in(body))
        if isinstance(body, CommitBody):
            return [read_commit(body)[1]]
        if isinstance(body, GenesisBody) and isinstance(body.group_info, Inline):
            return [genesis_ref(cipher_suite(body.ciphersuite), body.group_info.data)]
    except DMLSError:
        pass
    return []
