"""Parking events, and asking for what they lack: again and again, ever more rarely, and never for much at once.

What is asked for is what the parked events themselves do not bring: a parked commit's parent is asked for, not the commit.
Whoever makes parents up is given that much traffic and no more. What lies above an anchor is asked for only where something does
not reach the anchor (docs/protocol.md, Section 13). Nodes that a commit resolves are asked for, too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any, Final, TypeVar

from dmls.engine.effects import BackfillWanted, BlobWanted, NoticeKind, Table
from dmls.engine.parking import ANCHOR, BLOB, RESOLVED, Asked, ParkedEvent
from dmls.engine.records import delete_asked, put_asked, put_parked
from dmls.engine.state import Draft, RoomState
from dmls.errors import DMLSError
from dmls.forks.graph import VIRTUAL_ROOT
from dmls.ids import CommitRef, EventId
from dmls.matrix.blobs import blob_pointers
from dmls.matrix.bodies import BlobPointer, parse_body

__all__ = [
    "anchors",
    "ask_for_missing",
    "drop_stale",
    "hasten",
    "next_ask_ms",
    "park",
    "settle_asked",
    "take_out",
    "want_history",
    "want_resolved",
]

PARKED_FOR_MS: Final = 7 * 86_400_000
ASK_AGAIN_MS: Final = 10_000
"""After the first request; twice as long after each further one."""
ASK_AGAIN_MAX_MS: Final = 3_600_000
ASKED_AT_ONCE: Final = 64
"""How many things are asked for within ASK_PAUSE_MS."""
ASK_PAUSE_MS: Final = 1_000
LOOK_AGAIN_MS: Final = 3_600_000
"""When to see again whether something is to be asked for that need not be now."""
HINTS: Final = 8
"""How many event ids are asked for on behalf of one node."""
MAX_RESOLVED_WANTED: Final = 256
"""How many nodes are asked for at a time because commits resolve them; they may be made up."""
RESOLVED_ASKS: Final = 24
"""How often such a node is asked for: for about sixteen hours."""
_JITTER_MS: Final = 1_000

H = TypeVar("H")


def park(draft: Draft, key: bytes, parked: ParkedEvent) -> None:
    """Keep an event until what it waits for comes."""
    before = draft.state.parking
    parking, evicted = before.park(key, parked)
    draft.update(parking=parking)
    put_parked(draft, key, parked)
    for other in evicted:
        gone = before.events.get(other, parked)
        _forget(draft, other, gone)
        _report(draft, gone)


def take_out(draft: Draft, key: bytes) -> ParkedEvent | None:
    """Let an event wait no more, and return it."""
    before = draft.state.parking
    parked = before.events.get(key)
    if parked is not None:
        draft.update(parking=before.remove(key))
        _forget(draft, key, parked)
    return parked


def _report(draft: Draft, parked: ParkedEvent) -> None:
    """Tell that an event is given up; should it come again, it is looked at anew."""
    draft.notify(NoticeKind.PARKED_EVENT_DROPPED, parked.missing.commit_ref, parked.event.event_id)


def hasten(draft: Draft, name: bytes) -> None:
    """Have something asked for now, or a second after it was asked for last."""
    asked = draft.state.parking.asked
    item = asked.get(name)
    if item is None:
        return
    next_ms = max(draft.now_ms, item.asked_ms + ASK_PAUSE_MS)
    if next_ms < item.next_ms:
        hastened = replace(item, next_ms=next_ms)
        _note(draft, asked=asked.set(name, hastened), ask_from_ms=min(next_ms, draft.state.parking.ask_from_ms))
        put_asked(draft, name, hastened)


def settle_asked(draft: Draft, name: bytes, before: Asked | None) -> None:
    """Ask no more for what has come; where it was not enough, go on as `before`: what has come once may be wanted again."""
    parking = draft.state.parking
    if before is None or name not in parking.asked:
        return
    if parking.waiting_for(name):
        _note(draft, asked=parking.asked.set(name, before))
        put_asked(draft, name, before)
    else:
        _note(draft, asked=parking.asked.delete(name))
        delete_asked(draft, name)


def _forget(draft: Draft, key: bytes, parked: ParkedEvent) -> None:
    draft.delete(Table.PARKED_EVENT, key)
    for name in parked.waits_for:
        if name not in draft.state.parking.asked:
            delete_asked(draft, name)


def drop_stale(draft: Draft) -> None:
    """Forget events that have waited for a week."""
    parking = draft.state.parking
    if not parking.events or parking.oldest_ms + PARKED_FOR_MS > draft.now_ms:
        return
    for key, parked in sorted(parking.events.items()):
        if parked.parked_at_ms + PARKED_FOR_MS <= draft.now_ms:
            take_out(draft, key)
            _report(draft, parked)
    times = (parked.parked_at_ms for parked in draft.state.parking.events.values())
    _note(draft, oldest_ms=min(times, default=draft.now_ms))


def anchors(state: RoomState) -> tuple[CommitRef, ...]:
    """Return the anchors whose parent is not known."""
    return tuple(ref for ref in state.graph.children(VIRTUAL_ROOT) if state.entries[ref].anchor is not None)


def next_ask_ms(state: RoomState) -> int | None:
    """Return when something is to be asked for next, in milliseconds."""
    parking = state.parking
    if not parking.asked:
        return None
    pause_ms = ASK_PAUSE_MS if parking.asked_for >= ASKED_AT_ONCE else 0
    return max(parking.ask_from_ms, parking.asked_at_ms + pause_ms)


def want_history(draft: Draft) -> None:
    """Have what lies above the anchors asked for: there is something that does not reach them."""
    tops = anchors(draft.state)
    if not tops:
        return
    parking = draft.state.parking
    for ref in tops:
        name = draft.state.entries[ref].node.parent_ref
        parking = parking.want(name, draft.now_ms)
        put_asked(draft, name, parking.asked[name])
    asked = {name: replace(item, next_ms=draft.now_ms) for name, item in parking.asked.items() if not item.times}
    draft.update(parking=replace(parking, asked=parking.asked.update(asked), ask_from_ms=draft.now_ms, wants_history=True))


def want_resolved(draft: Draft, resolved: Mapping[CommitRef, EventId | None]) -> None:
    """Have nodes asked for that a commit resolves and that are not known: without them, their parents look like side heads.

    Where history begins at an anchor they may well lie above it, and nobody misses them.
    """
    parking = draft.state.parking
    names = {RESOLVED + ref: hint for ref, hint in resolved.items() if ref not in draft.state.entries}
    if not names or anchors(draft.state):
        return
    room = MAX_RESOLVED_WANTED - sum(name.startswith(RESOLVED) for name in parking.asked)
    for name, hint in [item for item in names.items() if item[0] not in parking.asked][: max(room, 0)]:
        parking = parking.want(name, draft.now_ms, () if hint is None else (hint,))
        put_asked(draft, name, parking.asked[name])
    draft.update(parking=parking)


def ask_for_missing(draft: Draft) -> None:
    """Ask for what is due: first what was asked for least often."""
    due_ms = next_ask_ms(draft.state)
    if due_ms is None or due_ms > draft.now_ms:
        return
    asking = _Asking(draft)
    for name in asking.due():
        if asking.is_full():
            break
        asking.take(name)
    asking.finish()


class _Asking:
    """One round of requests."""

    def __init__(self, draft: Draft) -> None:
        state = draft.state
        self._draft = draft
        self._anchors = anchors(state)
        self._level = min((state.entries[ref].node.epoch for ref in self._anchors), default=0)
        self._wants_history = bool(self._anchors) and state.parking.wants_history
        self._above = frozenset() if self._wants_history else _claimed_ancestors(state, self._anchors)
        self._refs: list[CommitRef] = []
        self._events: dict[EventId, None] = {}
        self._blobs: list[BlobWanted] = []
        is_new = draft.now_ms >= state.parking.asked_at_ms + ASK_PAUSE_MS
        self._since_ms = draft.now_ms if is_new else state.parking.asked_at_ms
        self._before = 0 if is_new else state.parking.asked_for

    def due(self) -> list[bytes]:
        """Return the names that are due, those asked for least often first."""
        asked = self._draft.state.parking.asked
        return sorted(
            (name for name, item in asked.items() if item.next_ms <= self._draft.now_ms),
            key=lambda name: (asked[name].times, asked[name].next_ms, name),
        )

    def is_full(self) -> bool:
        """Tell whether enough is asked for at once."""
        return self._count() >= ASKED_AT_ONCE

    def _count(self) -> int:
        return self._before + len(self._refs) + len(self._blobs)

    def take(self, name: bytes) -> None:
        """Ask for one thing, or put it off."""
        draft = self._draft
        item = draft.state.parking.asked[name]
        if self._is_settled(name, item):
            _note(draft, asked=draft.state.parking.asked.delete(name))
            delete_asked(draft, name)
            return
        if self._request(name, item):
            item = replace(item, times=item.times + 1, asked_ms=draft.now_ms, next_ms=draft.now_ms + _pause_ms(name, item.times))
            put_asked(draft, name, item)
        else:
            item = replace(item, next_ms=draft.now_ms + LOOK_AGAIN_MS)
        _note(draft, asked=draft.state.parking.asked.set(name, item))

    def finish(self) -> None:
        """Send what was gathered."""
        draft = self._draft
        if self._wants_history and not draft.state.parking.wants_history:
            want_history(draft)
        for blob in self._blobs:
            draft.send(blob)
        if self._refs:
            draft.send(BackfillWanted(tuple(self._events), tuple(self._refs)))
        earliest = min((item.next_ms for item in draft.state.parking.asked.values()), default=0)
        asked = {"asked_at_ms": self._since_ms, "asked_for": self._count()}
        _note(draft, ask_from_ms=earliest, wants_history=self._wants_history, **asked)

    def _is_settled(self, name: bytes, item: Asked) -> bool:
        """Tell whether a node that a commit resolves has come, or need not come."""
        if not name.startswith(RESOLVED):
            return False
        is_known = name.removeprefix(RESOLVED) in self._draft.state.entries
        return is_known or item.times >= RESOLVED_ASKS or bool(self._anchors)

    def _request(self, name: bytes, item: Asked) -> bool:
        state = self._draft.state
        times = item.times
        if name.startswith(ANCHOR):
            self._draft.candidates += state.parking.waiting_for(name)
            return True
        waiting = [state.parking.events[key] for key in state.parking.waiting_for(name)]
        if name.startswith(BLOB):
            pointers = [pointer for parked in waiting for pointer in _pointers(parked) if name == BLOB + pointer.sha256]
            self._blobs += [BlobWanted(pointer.uri, pointer.sha256, pointer.size) for pointer in _window(pointers, times)[:1]]
            return True
        ref = CommitRef(name.removeprefix(RESOLVED))
        below = [top for top in self._anchors if state.entries[top].node.parent_ref == ref]
        is_resolved = name.startswith(RESOLVED) and ref not in state.parking.asked
        if state.parking.commits(ref) or not (is_resolved or below or any(map(self._is_active, waiting))):
            return False
        hints = [*item.hints, *(hint for parked in waiting for hint in parked.missing.hints)]
        hints += [hint for top in below for hint in _parent_event(state, top)]
        self._refs.append(ref)
        self._events.update(dict.fromkeys(_window(hints, times)))
        return True

    def _is_active(self, parked: ParkedEvent) -> bool:
        """Tell whether an event is a reason to ask: not where it only leads to what lies above an anchor."""
        missing = parked.missing
        if missing.commit_ref and missing.commit_ref in self._above:
            return False
        if not self._anchors or missing.epoch is None:
            return True
        if not missing.commit_ref:
            return missing.epoch >= self._level
        self._wants_history = self._wants_history or missing.epoch <= self._level
        return True


def _claimed_ancestors(state: RoomState, tops: Collection[CommitRef]) -> frozenset[CommitRef]:
    """Return the parked commits that anchors, and they in turn, name as their parents."""
    found: set[CommitRef] = set()
    for top in tops:
        ref = state.entries[top].node.parent_ref
        while ref not in found and (keys := state.parking.commits(ref)):
            found.add(ref)
            ref = CommitRef(state.parking.events[keys[0]].missing.key)
    return frozenset(found)


def _parent_event(state: RoomState, top: CommitRef) -> Iterator[EventId]:
    anchor = state.entries[top].anchor
    if anchor is not None and anchor.parent_event is not None:
        yield anchor.parent_event


def _pointers(parked: ParkedEvent) -> tuple[BlobPointer, ...]:
    try:
        return blob_pointers(parse_body(parked.event.content))
    except DMLSError:
        return ()


def _window(hints: list[H], times: int) -> list[H]:
    """Return some of the hints, others each time: most of them may be lies."""
    different = list(dict.fromkeys(hints))
    start = times * HINTS % len(different) if different else 0
    return [*different[start:], *different[:start]][:HINTS]


def _pause_ms(name: bytes, times: int) -> int:
    jitter = int.from_bytes(sha256(name).digest()[:2], "big") * _JITTER_MS >> 16
    return min(ASK_AGAIN_MS << min(times, 20), ASK_AGAIN_MAX_MS) + jitter


def _note(draft: Draft, **changes: Any) -> None:
    draft.update(parking=replace(draft.state.parking, **changes))
