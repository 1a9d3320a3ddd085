"""Events that wait for something, found by what they wait for, and how often that was asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from immutables import Map

from dmls.ids import CommitRef, EventId, ServerName
from dmls.matrix.events import RoomEvent
from dmls.matrix.identifiers import server_of

__all__ = ["ANCHOR", "BLOB", "EPOCH", "NO_PARKING", "RESOLVED", "Asked", "Missing", "ParkedEvent", "Parking"]

BLOB: Final = b"blob:"
"""Before the SHA-256 of a blob that is waited for."""
EPOCH: Final = b"epoch:"
"""Before the commit_ref of a node whose secrets are waited for: nobody can be asked for them."""
ANCHOR: Final = b"anchor:"
"""Before the commit_ref of a commit with a keyframe, which waits to be taken over by it."""
RESOLVED: Final = b"resolved:"
"""Before the commit_ref of a node that a commit resolves and that is not known: no event waits for it."""

MAX_PARKED: Final = 10_000
MAX_PARKED_OF_SERVER: Final = 500

K = TypeVar("K", bytes, ServerName, CommitRef)


@dataclass(frozen=True, slots=True)
class Missing:
    """What an event has to wait for.

    Attributes:
        key: a commit_ref, or a name that begins with BLOB or EPOCH.
        hints: events that the event names as those to ask for.
        commit_ref: of the event's own node, where it is a commit.
        epoch: number of the epoch that the event's commit begins, or that its message is of; None where it does not say.
    """

    key: bytes
    hints: tuple[EventId, ...] = ()
    commit_ref: CommitRef = CommitRef(b"")
    epoch: int | None = None


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """An event that waits: for a node, for a blob, or for the secrets of an epoch.

    Attributes:
        event: the event, or a to-device message in its form.
        missing: what it waits for.
        parked_at_ms: since when, in milliseconds since 1970.
        is_to_device: it is a to-device message.
        is_vouched: the own server says that it is on the head's chain.
        keyframe: a name that begins with ANCHOR or BLOB: when it comes up, the event may be taken over by its keyframe; or empty.
    """

    event: RoomEvent
    missing: Missing
    parked_at_ms: int
    is_to_device: bool = False
    is_vouched: bool = False
    keyframe: bytes = b""

    @property
    def waits_for(self) -> tuple[bytes, ...]:
        """All names under which the event is to be looked at again."""
        return (self.missing.key, self.keyframe) if self.keyframe else (self.missing.key,)


@dataclass(frozen=True, slots=True)
class Asked:
    """How often something was asked for, when last, and when it is to be asked for next, in milliseconds since 1970.

    `hints` are events to ask for where no event waits that would bring them.
    """

    times: int
    asked_ms: int
    next_ms: int
    hints: tuple[EventId, ...] = ()


@dataclass(frozen=True, slots=True)
class Parking:
    """All parked events of a room. Immutable; putting one in and taking one out costs the same however many there are."""

    events: Map[bytes, ParkedEvent] = Map()
    asked: Map[bytes, Asked] = Map()
    """Everything that is waited for and that can be asked for."""
    asked_at_ms: int = 0
    """When the current second of asking began."""
    asked_for: int = 0
    """How much was asked for in it."""
    ask_from_ms: int = 0
    """Nothing is to be asked for before, in milliseconds."""
    oldest_ms: int = 0
    """Nothing has waited since before, in milliseconds."""
    wants_history: bool = False
    """Something was found that does not reach the anchors: what lies above them is asked for."""
    _waiting: Map[bytes, Map[bytes, bool]] = Map()
    _servers: Map[ServerName, Map[bytes, bool]] = Map()
    _commits: Map[CommitRef, Map[bytes, bool]] = Map()

    @classmethod
    def build(cls, events: Iterable[tuple[bytes, ParkedEvent]], asked: Mapping[bytes, Asked]) -> Parking:
        """Return the parking that holds these, in any order; `asked` may name what no event waits for."""
        parking = cls()
        for key, parked in events:
            parking = parking._put(key, parked)
        last = max((item.asked_ms for item in asked.values()), default=0)
        return replace(parking, asked=parking.asked.update(asked), asked_at_ms=last)

    def park(self, key: bytes, parked: ParkedEvent) -> tuple[Parking, tuple[bytes, ...]]:
        """Put an event in. Also return what had to go for it: the oldest of its server, or of the busiest one in a full room."""
        parking = self._put(key, parked)
        server = server_of(parked.event.sender)
        if len(parking._servers[server]) <= MAX_PARKED_OF_SERVER:
            if len(parking.events) <= MAX_PARKED:
                return parking, ()
            server = min(parking._servers, key=lambda name: (-len(parking._servers[name]), name))
        oldest = min(parking._servers[server], key=lambda name: (parking.events[name].parked_at_ms, name))
        return parking.remove(oldest), (oldest,)

    def remove(self, key: bytes) -> Parking:
        """Take an event out; what nobody waits for any more is not asked for any more."""
        parked = self.events.get(key)
        if parked is None:
            return self
        waiting, asked = self._waiting, self.asked
        for name in parked.waits_for:
            waiting = _without(waiting, name, key)
            if name not in waiting and name in asked:
                asked = asked.delete(name)
        return replace(
            self,
            events=self.events.delete(key),
            asked=asked,
            _waiting=waiting,
            _servers=_without(self._servers, server_of(parked.event.sender), key),
            _commits=_without(self._commits, parked.missing.commit_ref, key),
        )

    def waiting_for(self, name: bytes) -> tuple[bytes, ...]:
        """Return the events that wait for something, the one that has waited longest first."""
        waiting = self._waiting.get(name, ())
        return tuple(sorted(waiting, key=lambda key: (self.events[key].parked_at_ms, key)))

    def commits(self, ref: CommitRef) -> tuple[bytes, ...]:
        """Return the parked events that carry a commit, sorted."""
        return tuple(sorted(self._commits.get(ref, ())))

    def want(self, name: bytes, next_ms: int, hints: tuple[EventId, ...] = ()) -> Parking:
        """Have something asked for that no event waits for; it stays as it is if it is asked for already."""
        if name in self.asked:
            return self
        return replace(self, asked=self.asked.set(name, Asked(0, 0, next_ms, hints)), ask_from_ms=min(self.ask_from_ms, next_ms))

    def _put(self, key: bytes, parked: ParkedEvent) -> Parking:
        waiting, asked, ask_from = self._waiting, self.asked, self.ask_from_ms
        for name in parked.waits_for:
            waiting = _with(waiting, name, key)
            if name not in asked and not name.startswith(EPOCH):
                asked = asked.set(name, Asked(0, 0, parked.parked_at_ms))
                ask_from = min(ask_from, parked.parked_at_ms)
        ref = parked.missing.commit_ref
        return replace(
            self,
            events=self.events.set(key, parked),
            asked=asked,
            ask_from_ms=ask_from,
            oldest_ms=min(self.oldest_ms, parked.parked_at_ms) if self.events else parked.parked_at_ms,
            _waiting=waiting,
            _servers=_with(self._servers, server_of(parked.event.sender), key),
            _commits=_with(self._commits, ref, key) if ref else self._commits,
        )


def _with(index: Map[K, Map[bytes, bool]], name: K, key: bytes) -> Map[K, Map[bytes, bool]]:
    return index.set(name, index.get(name, Map()).set(key, True))


def _without(index: Map[K, Map[bytes, bool]], name: K, key: bytes) -> Map[K, Map[bytes, bool]]:
    inner = index.get(name)
    if inner is None or key not in inner:
        return index
    left = inner.delete(key)
    return index.set(name, left) if left else index.delete(name)


NO_PARKING: Final = Parking()
"""Nothing waits."""
