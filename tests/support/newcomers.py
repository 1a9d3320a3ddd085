"""A newcomer: an agent that enters a room with a history, and gets of it what it asks for."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from dmls.engine.agent import Agent
from dmls.engine.effects import BackfillWanted, BlobWanted, Delete, Effects, Notice, OutboxItem
from dmls.engine.inputs import BlobProvided, EventReceived, Input, RoomStateChanged, Tick
from dmls.engine.room import RoomEngine
from dmls.engine.state import RoomState
from dmls.ids import CommitRef, EventId, KeyPackageRef
from dmls.matrix.bodies import CommitBody, GenesisBody, parse_body
from dmls.matrix.events import RoomEvent
from dmls.mls.group.leaf import KeyPackageBundle

__all__ = ["Newcomer", "ref_of_event"]


def ref_of_event(event: RoomEvent) -> CommitRef | None:
    """Return the node that an event says it carries."""
    body = parse_body(event.content)
    return body.commit_ref if isinstance(body, CommitBody | GenesisBody) else None


@dataclass
class Newcomer:
    """One engine with its records, and a homeserver that has `timeline` and answers while `answers` is true."""

    engine: RoomEngine
    timeline: Mapping[EventId, RoomEvent]
    blobs: Mapping[bytes, bytes] = field(default_factory=dict)
    bundles: Mapping[KeyPackageRef, KeyPackageBundle] = field(default_factory=dict)
    now: int = 1_000_000
    answers: bool = True
    reloads: bool = False
    records: dict[tuple[str, bytes], bytes] = field(default_factory=dict)
    asked: list[BackfillWanted | BlobWanted] = field(default_factory=list)
    sent: list[OutboxItem] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    given: list[bytes] = field(default_factory=list)
    """Blobs that were given before."""
    fetched: list[EventId] = field(default_factory=list)
    waiting: deque[Input] = field(default_factory=deque)
    """Answers on their way."""
    wake_at_ms: int | None = None
    random: Callable[[int], bytes] = field(default_factory=lambda: random.Random(1).randbytes)

    @classmethod
    def beside(cls, known: RoomState, timeline: Iterable[RoomEvent], **fields: object) -> Newcomer:
        """Return a newcomer that is told the room state that another agent knows."""
        engine = RoomEngine.create(known.room_id, Agent(known.agent.server_name, is_service=True))
        new = cls(engine, {event.event_id: event for event in timeline}, **fields)  # type: ignore[arg-type]
        membership = known.membership
        members = {user: membership.member_event(user) for user in membership.users()}
        new.step(RoomStateChanged(1, membership.facts, members, is_full=True))
        return new

    @property
    def state(self) -> RoomState:
        return self.engine.state

    def step(self, happened: Input) -> Effects:
        """Let something happen, and answer what is asked for."""
        effects = self._step(happened)
        self._settle()
        while self.waiting:
            self._step(self.waiting.popleft())
            self._settle()
        return effects

    def _settle(self) -> None:
        while self._step(Tick()).outbox:
            pass

    def _step(self, happened: Input) -> Effects:
        effects = self.engine.step(happened, self.now, self.random, self.bundles)
        for change in effects.changes:
            if isinstance(change, Delete):
                self.records.pop((change.table, change.key), None)
            else:
                self.records[change.table, change.key] = change.value
        self.notices += effects.notices
        self.wake_at_ms = effects.wake_at_ms
        if self.reloads:
            self.reload()
        for item in effects.outbox:
            if isinstance(item, BackfillWanted | BlobWanted):
                self.asked.append(item)
                self._answer(item)
            else:
                self.sent.append(item)
        return effects

    def reload(self) -> None:
        """Rebuild the engine from its records."""
        rows = [(table, key, value) for (table, key), value in self.records.items()]
        self.engine = RoomEngine.load(self.state.room_id, self.state.agent, rows)

    def _answer(self, item: BackfillWanted | BlobWanted) -> None:
        if not self.answers:
            return
        if isinstance(item, BlobWanted):
            if item.sha256 in self.blobs:
                data = self.blobs[item.sha256]
                self.waiting.append(BlobProvided(data, tuple(self.given)))
                self.given.append(data)
            return
        by_ref = {ref_of_event(event): event for event in self.timeline.values()}
        found = [self.timeline[name] for name in item.event_ids if name in self.timeline]
        found += [by_ref[ref] for ref in item.commit_refs if ref in by_ref]
        for event in {event.event_id: event for event in found}.values():
            self.fetched.append(event.event_id)
            self.waiting.append(EventReceived(event))

    def see(self, *events: RoomEvent) -> None:
        """Let events come of themselves."""
        for event in events:
            self.step(EventReceived(event))

    def wait(self, until_ms: int) -> None:
        """Let time pass, waking the engine when it wants to be."""
        while self.wake_at_ms is not None and self.wake_at_ms <= until_ms:
            self.now = max(self.now + 1, self.wake_at_ms)
            self.step(Tick())
        self.now = until_ms
