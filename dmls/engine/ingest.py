"""Events as they come, in any order: each is looked at once, and parked while what it refers to is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from dmls.engine.commits import enter_by_welcome, receive_commit, receive_genesis
from dmls.engine.effects import BlobWanted, DecryptOutcome, EventKind, EventResult, IngestOutcome, Table
from dmls.engine.inputs import ToDeviceReceived
from dmls.engine.messages import receive_message, receive_vote, rejected
from dmls.engine.nodes import correct_node, refresh_head
from dmls.engine.records import put_outcome, put_parked
from dmls.engine.sources import facts_of
from dmls.engine.state import Draft, ParkedEvent, RoomState
from dmls.errors import DMLSError, InvalidMessageError
from dmls.ids import EventId, KeyPackageRef
from dmls.matrix.blobs import blob_pointers, fill
from dmls.matrix.bodies import (
    Body,
    CommitBody,
    GenesisBody,
    Inline,
    MessageBody,
    VoteBody,
    WelcomeBody,
    parse_body,
)
from dmls.matrix.events import RoomEvent
from dmls.matrix.identifiers import server_of
from dmls.mls.codec import decode
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.messages.commit import Commit
from dmls.mls.messages.key_package import key_package_ref
from dmls.mls.messages.message import MLSMessage, PublicMessage
from dmls.mls.messages.proposal import Add
from dmls.mls.messages.welcome import Welcome

__all__ = ["drop_stale", "key_packages_named", "receive_blob", "receive_event", "receive_to_device", "unpark"]

MAX_PARKED = 10_000
MAX_PARKED_OF_AUTHOR = 500
PARKED_FOR_MS = 7 * 86_400_000
_BLOB = b"blob:"
_TO_DEVICE = b"to_device:"

_KINDS: Mapping[type, EventKind] = {
    GenesisBody: EventKind.GENESIS,
    CommitBody: EventKind.COMMIT,
    MessageBody: EventKind.MESSAGE,
    VoteBody: EventKind.VOTE,
    WelcomeBody: EventKind.WELCOME,
}


def receive_event(draft: Draft, event: RoomEvent) -> EventResult:
    """Take in an event of the timeline; one that came before only has its flags corrected."""
    key = event.event_id.encode()
    parked = draft.state.parked.get(key)
    if parked is not None:
        return _correct_parked(draft, key, parked, event)
    known = draft.state.outcomes.get(key)
    is_readmitted = known is not None and known.reason == DecryptOutcome.SENDER_NOT_IN_ROOM and event.before_departure
    if known is not None and not is_readmitted:
        return _correct(draft, event, known)
    return _take_in(draft, key, event, is_to_device=False)


def _correct_parked(draft: Draft, key: bytes, parked: ParkedEvent, event: RoomEvent) -> EventResult:
    corrected = replace(parked, event=event)
    if corrected != parked:
        draft.update(parked=draft.state.parked.set(key, corrected))
        put_parked(draft, key, corrected)
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
    return _take_in(draft, key, event, is_to_device=True)


def _take_in(draft: Draft, key: bytes, event: RoomEvent, *, is_to_device: bool) -> EventResult:
    """Process an event; what it lacks parks it, what it breaks is remembered as its outcome."""
    kind = EventKind.UNKNOWN
    state = draft.state
    marks = draft.marks()
    try:
        body = _complete(draft, parse_body(event.content))
        kind = _KINDS[type(body)]
        if isinstance(body, WelcomeBody) != is_to_device:
            raise InvalidMessageError("a Welcome is a to-device message, and nothing else is")
        outcome = _missing_blob(draft, body) or _dispatch(draft, event, body)
    except DMLSError as error:
        # Whatever this event began is undone; only its outcome stays.
        draft.state = state
        draft.truncate(marks)
        return _remember(draft, key, rejected(kind, error))
    if isinstance(outcome, EventResult):
        return _remember(draft, key, outcome)
    _park(draft, key, ParkedEvent(event, outcome, draft.now_ms, is_to_device))
    return EventResult(IngestOutcome.PARKED, kind)


def _complete(draft: Draft, body: Body) -> Body:
    """Fill in the blobs that this step brings."""
    return fill(body, draft.blobs) if draft.blobs else body


def _missing_blob(draft: Draft, body: Body) -> bytes | None:
    for pointer in blob_pointers(body):
        if isinstance(body, CommitBody) and body.keyframe == pointer:
            continue
        draft.send(BlobWanted(pointer.uri, pointer.sha256, pointer.size))
        return _BLOB + pointer.sha256
    return None


def _dispatch(draft: Draft, event: RoomEvent, body: Body) -> EventResult | bytes:
    if isinstance(body, GenesisBody):
        return receive_genesis(draft, event, body)
    if isinstance(body, CommitBody):
        return receive_commit(draft, event, body)
    if isinstance(body, MessageBody):
        return receive_message(draft, event, body)
    if isinstance(body, VoteBody):
        return receive_vote(draft, event, body)
    return _receive_welcome(draft, body)


def _receive_welcome(draft: Draft, body: WelcomeBody) -> EventResult | bytes:
    if body.commit_ref is None or not isinstance(body.welcome, Inline):
        return EventResult(IngestOutcome.IGNORED, EventKind.WELCOME)
    if body.room_id != draft.state.room_id:
        raise InvalidMessageError("the Welcome is for another room")
    if body.commit_ref not in draft.state.entries:  # CC-12
        return body.commit_ref
    enter_by_welcome(draft, body.commit_ref, decode(MLSMessage, body.welcome.data).body)
    return EventResult(IngestOutcome.PROCESSED, EventKind.WELCOME, body.commit_ref)


def _remember(draft: Draft, key: bytes, result: EventResult) -> EventResult:
    draft.update(outcomes=draft.state.outcomes.set(key, result))
    put_outcome(draft, key, result)
    return result


def _park(draft: Draft, key: bytes, parked: ParkedEvent) -> None:
    """Keep an event until what it waits for comes; the busiest server's oldest go first when too many wait."""
    waiting = draft.state.parked.set(key, parked)
    author = server_of(parked.event.sender)
    of_author = [item for item in waiting.items() if server_of(item[1].event.sender) == author]
    if len(of_author) > MAX_PARKED_OF_AUTHOR or len(waiting) > MAX_PARKED:
        oldest = min(of_author, key=lambda item: item[1].parked_at_ms)[0]
        waiting = waiting.delete(oldest)
        draft.delete(Table.PARKED_EVENT, oldest)
    draft.update(parked=waiting)
    if key in waiting:
        put_parked(draft, key, parked)


def unpark(draft: Draft) -> list[tuple[str, EventResult]]:
    """Look again at everything that waited for what has come in this step, until nothing more comes of it.

    Returns:
        Event id and result of each event that is not parked any more.
    """
    results: list[tuple[str, EventResult]] = []
    while draft.ready:
        arrived = draft.ready.pop()
        waiting = [(key, parked) for key, parked in draft.state.parked.items() if parked.missing == arrived]
        for key, parked in sorted(waiting, key=lambda item: (item[1].parked_at_ms, item[0])):
            draft.update(parked=draft.state.parked.delete(key))
            draft.delete(Table.PARKED_EVENT, key)
            result = _take_in(draft, key, parked.event, is_to_device=parked.is_to_device)
            if result.outcome != IngestOutcome.PARKED:
                results.append((parked.event.event_id, result))
    return results


def receive_blob(draft: Draft, digest: bytes) -> None:
    """Note that a blob has come; `digest` is its SHA-256."""
    draft.ready.append(_BLOB + digest)


def _welcome_refs(data: object) -> Iterator[KeyPackageRef]:
    if not isinstance(data, Inline):
        return
    message = decode(MLSMessage, data.data).body
    if isinstance(message, Welcome):
        yield from (KeyPackageRef(secrets.new_member) for secrets in message.secrets)


def _refs_in(content: Mapping[str, object]) -> Iterator[KeyPackageRef]:
    body = parse_body(content)
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
    """Return the key packages that an event, and all those parked, may turn out to be for."""
    contents = [parked.event.content for parked in state.parked.values()]
    if content is not None:
        contents.append(content)
    found: set[KeyPackageRef] = set()
    for item in contents:
        try:
            found.update(_refs_in(item))
        except DMLSError:
            continue
    return frozenset(found)


def drop_stale(draft: Draft) -> None:
    """Forget events that have waited for a week."""
    for key, parked in list(draft.state.parked.items()):
        if parked.parked_at_ms + PARKED_FOR_MS <= draft.now_ms:
            draft.update(parked=draft.state.parked.delete(key))
            draft.delete(Table.PARKED_EVENT, key)
