"""Committers and receivers judge alike (RFC 9420, Section 12.2): any list of proposals is good for all of them or for nobody."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from dmls.errors import DMLSError, EvictedError
from dmls.ids import LeafIndex
from dmls.mls.codec import decode
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.group.follower import open_public_message
from dmls.mls.group.transition import follow_commit
from dmls.mls.messages.commit import ProposalReference
from dmls.mls.messages.extensions import Extension, RequiredCapabilities, make_extension
from dmls.mls.messages.message import MLSMessage
from dmls.mls.messages.proposal import (
    Add,
    ExternalInit,
    GroupContextExtensions,
    PreSharedKey,
    ProposalBody,
    ReInit,
    Remove,
    Update,
)
from dmls.mls.messages.psk import ExternalPSK, PreSharedKeyID, ResumptionPSK, ResumptionPSKUsage
from dmls.mls.messages.registry import ExtensionType
from tests.support.breaches import APP
from tests.support.forge import forge_commit, forge_key_package
from tests.support.groups import ANYBODY, GROUP_ID, Party, Room, fresh_update, parties

SUITE = cipher_suite(1)
KNOWN = ExternalPSK(b"known")
OWN = ResumptionPSK(ResumptionPSKUsage.APPLICATION, GROUP_ID, 1)
APPLICATION = Extension(APP, b"")
LISTS = 160

Entry = ProposalBody | ProposalReference


def lookup(psk_id: PreSharedKeyID) -> bytes | None:
    return b"key" if psk_id.source == KNOWN else None


def added_parties(rng: random.Random, knowing: Any) -> list[Add]:
    """Newcomers good and bad: able, lacking, twice, with one init key, unsigned, and of a member's key."""
    able, other = parties(SUITE, "uv", rng, knowing)
    (lacking,) = parties(SUITE, "l", rng)
    first = able.key_package()
    shared = forge_key_package(other, lambda package: replace(package, init_key=first.init_key))
    unsigned = replace(other.key_package(), signature=bytes(64))
    return [Add(package) for package in (first, able.key_package(), other.key_package(), shared, unsigned, lacking.key_package())]


def psks() -> list[PreSharedKey]:
    sources = (KNOWN, OWN, ExternalPSK(b"unknown"), replace(OWN, usage=ResumptionPSKUsage.BRANCH))
    return [PreSharedKey(PreSharedKeyID(source, nonce)) for source in sources for nonce in (bytes(32), b"\x01" * 32, bytes(31))]


def extensions() -> list[tuple[Extension, ...]]:
    required = make_extension(ExtensionType.REQUIRED_CAPABILITIES, RequiredCapabilities((APP,), (), (1,)))
    beyond = make_extension(ExtensionType.REQUIRED_CAPABILITIES, RequiredCapabilities((), (APP,), ()))
    misplaced, malformed = Extension(ExtensionType.APPLICATION_ID, b""), Extension(ExtensionType.EXTERNAL_SENDERS, b"\x01")
    return [(), (APPLICATION,), (APPLICATION, APPLICATION), (required,), (beyond,), (misplaced,), (malformed,)]


class Pool:
    """Entries that lists are drawn from, of all kinds alike: some wait already, some are good, most are good in some company."""

    def __init__(self, room: Room, rng: random.Random) -> None:
        alice, bob, carol, *_ = room.members
        member = Add(bob.key_package())
        adds = [*added_parties(rng, alice.client.capabilities), member]
        waiting = [
            room.propose(bob, fresh_update(bob)),
            room.propose(carol, fresh_update(carol)),
            room.propose(alice, fresh_update(alice)),
            room.propose(bob, Remove(LeafIndex(3))),
            room.propose(carol, adds[0]),
            room.propose(bob, PreSharedKey(PreSharedKeyID(KNOWN, bytes(32)))),
        ]
        self._kinds: list[list[Entry]] = [
            [*adds],
            [Remove(LeafIndex(index)) for index in (0, 1, 2, 3, 4, 5, 2**32 - 1)],
            [*psks()],
            [GroupContextExtensions(listed) for listed in extensions()],
            [ReInit(b"next", version, 1, listed) for version, listed in ((1, ()), (0, ()), (1, (APPLICATION, APPLICATION)))],
            [Update(alice.state.public.tree.member(LeafIndex(1))), ExternalInit(bytes(32)), ProposalReference(bytes(32))],
            [*waiting],
            [*waiting],
        ]
        self._rng = rng

    def draw(self) -> list[Entry]:
        """Return a list of up to four entries."""
        return [self._rng.choice(self._rng.choice(self._kinds)) for _ in range(self._rng.choice((1, 1, 2, 2, 3, 4)))]


def outcome(party: Party, message: bytes) -> str | None:
    """Which rule a receiver says is broken; "" for none, None for who is removed and judges no key."""
    try:
        party.process(message, psks=lookup)
    except EvictedError:
        return None
    except DMLSError as error:
        return str(error.rule)
    return ""


def forged(alice: Party, entries: list[Entry]) -> bytes:
    """The commit that somebody makes who judges nothing."""
    waiting = {bytes(ref): cached.body for ref, cached in alice.state.public.proposals.items()}
    bodies = [waiting.get(entry.reference, entry) if isinstance(entry, ProposalReference) else entry for entry in entries]
    ids = [body.psk for body in bodies if isinstance(body, PreSharedKey)]
    own = bytes(alice.state.resumption_psks[1])
    return forge_commit(alice, *entries, psks=[(psk_id, own if psk_id.source == OWN else b"key") for psk_id in ids])


@pytest.mark.keeps("PL-01", "PL-14", "CP-03")
def test_what_one_may_not_commit_nobody_follows_and_the_reverse(rng: random.Random) -> None:
    (plain,) = parties(SUITE, "p", rng)
    members = parties(SUITE, "abcde", rng, replace(plain.client.capabilities, extensions=(APP,)))
    room = Room(members[0])
    room.add(members[0], *members[1:])
    pool, (alice, *others) = Pool(room, rng), members
    seen: Counter[str] = Counter()
    for _ in range(LISTS):
        entries = pool.draw()
        try:
            message, expected = alice.stage(*entries, psks=lookup, force_path=True).message, ""
        except DMLSError as error:
            message, expected = b"", str(error.rule)
        if ProposalReference(bytes(32)) not in entries:
            message = message or forged(alice, entries)
        if message:
            assert {outcome(party, message) for party in others} - {None} <= {expected}, entries
            followed = ""
            try:
                follow_commit(room.follower, open_public_message(room.follower, decode(MLSMessage, message)), ANYBODY)
            except DMLSError as error:
                followed = str(error.rule)
            # Who holds no secrets does not know which keys the others hold.
            assert followed == ("" if expected == "CP-04" else expected), entries
        seen[expected] += 1
    assert seen[""] >= 10
    assert len(seen) >= 10
