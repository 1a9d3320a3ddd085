"""Stolen stores: with all that was ever sent they give the epochs that docs/protocol.md, Section 9, admits, and no others."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from devicestore import key_package_secrets
from dmls.engine import committing
from dmls.engine.profile import group_extensions
from dmls.forks.aad import KeySchedule
from dmls.forks.pprf import init_secret_rule
from dmls.ids import CommitRef, EventId
from tests.rooms.homes import ROOM
from tests.rooms.partition import PartedWorld
from tests.rooms.play import USERS, Play, play_seeds
from tests.support.attacker import Attacker, Loot, Transcript, admitted, admitted_messages, steal


@dataclass
class Theft:
    """A store's contents at one moment."""

    home: str
    when: int
    loot: Loot
    sent: frozenset[EventId]


class Game:
    """A room whose stores are stolen now and then."""

    def __init__(self, folder: Path, seed: int, turns: int) -> None:
        self.world = PartedWorld(folder, seed)
        self.rng = random.Random(f"{seed} thefts")
        self.thefts: list[Theft] = []
        self.counts: Counter[str] = Counter()
        self.turns = turns
        self.room = Play(self.world, random.Random(f"{seed} moves"), self._after)

    def play(self) -> None:
        self.room.begin()
        self.room.play(self.turns)

    def _after(self, turn: int) -> None:
        is_end = turn in (0, self.turns + 1)
        for name in sorted(USERS) if is_end else [self.rng.choice(sorted(USERS))]:
            self._steal(name, turn)

    def _steal(self, name: str, turn: int) -> None:
        """Copy a store, whose service has just purged what it may."""
        home = self.world.homes[name]
        home.store.write(partial(key_package_secrets.purge, now_ms=self.world.clock())).result()
        if home.keeper.state(ROOM) is not None:
            self.thefts.append(Theft(name, turn, steal(home.store, ROOM), frozenset(self.room.sent[name])))

    def transcript(self) -> Transcript:
        entries = {ref: entry for home in self.world.homes.values() for ref, entry in home.state().entries.items()}
        return Transcript.read(self.world.timeline[ROOM], entries)

    def judge(self) -> None:
        """Let the attacker and the rules speak of every theft."""
        transcript = self.transcript()
        for theft in self.thefts:
            attacker = Attacker(theft.loot, transcript)
            where = f"{theft.home} after turn {theft.when}"
            allowed = admitted(theft.loot, transcript)
            assert set(attacker.derived) == allowed, (where, _names(set(attacker.derived)), _names(allowed))
            readable, allowed_messages = attacker.readable(), admitted_messages(theft.loot, transcript, theft.sent)
            assert readable == allowed_messages, (where, readable ^ allowed_messages)
            held = set(theft.loot.room.epochs)
            self.counts += Counter(
                thefts=1,
                held=len(held),
                derived=len(allowed),
                beyond=len(allowed - held),
                again=len(allowed & held),
                safe=len(transcript.commits.keys() - allowed - held),
                messages=len(readable),
                unread=len(transcript.messages) - len(readable),
                external=sum(transcript.commits[ref].transition.is_external for ref in allowed),
                invited=sum(bool(transcript.commits[ref].invited.keys() & theft.loot.bundles.keys()) for ref in allowed),
                forks=len(theft.loot.room.graph.fork_points()),
            )


def _names(refs: set[CommitRef]) -> list[str]:
    return sorted(ref.hex()[:8] for ref in refs)


@pytest.mark.parametrize("schedule", list(KeySchedule))
def test_a_stolen_store_gives_what_is_admitted_and_no_more(
    tmp_path: Path, seed: int, schedule: KeySchedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committing, "group_extensions", partial(group_extensions, key_schedule=schedule))
    monkeypatch.setattr(committing, "init_secret_rule", lambda _default: init_secret_rule(schedule))
    counts: Counter[str] = Counter()
    for number in play_seeds(seed, 4):
        folder = tmp_path / str(number)
        folder.mkdir()
        game = Game(folder, number, 25)
        game.play()
        game.judge()
        game.world.close()
        counts += game.counts
    print(counts)
    for what in ("beyond", "safe", "messages", "unread", "external", "forks"):
        assert counts[what], what
    assert bool(counts["again"]) or schedule is KeySchedule.PPRF
