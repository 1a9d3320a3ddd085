"""Groups that continue others, their founders and those who join them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dmls.mls.codec import decode, encode
from dmls.mls.crypto.suites import CipherSuite, cipher_suite
from dmls.mls.group.commit import CommitOptions, StagedCommit
from dmls.mls.group.state import GroupState
from dmls.mls.group.successor import create_branch, create_successor
from dmls.mls.messages.extensions import Extension, RequiredCapabilities, make_extension
from dmls.mls.messages.key_package import KeyPackage
from dmls.mls.messages.proposal import ReInit
from dmls.mls.messages.registry import ExtensionType
from dmls.mls.messages.welcome import Welcome
from dmls.mls.schedule.psk import derive_psk_secret
from tests.support.forge import forge_welcome
from tests.support.groups import ALWAYS, Party, parties, refusing, room_of

__all__ = [
    "REQUIRED",
    "SUITE",
    "Closed",
    "Open",
    "agree",
    "branch",
    "deviating",
    "forged",
    "heirs_of",
    "key_packages",
    "reinit",
    "succeed",
    "welcome_of",
]

SUITE = cipher_suite(1)
REQUIRED = make_extension(ExtensionType.REQUIRED_CAPABILITIES, RequiredCapabilities((), (), (1,)))


def heirs_of(members: Sequence[Party], suite: CipherSuite, rng: random.Random) -> list[Party]:
    """The same clients with new keys, maybe of another suite."""
    return parties(suite, [party.name for party in members], rng)


def key_packages(founder: Party, heirs: Sequence[Party]) -> list[KeyPackage]:
    return [heir.key_package() for heir in heirs if heir is not founder]


def succeed(state: GroupState, founder: Party, heirs: Sequence[Party], **options: Any) -> StagedCommit:
    """Found a closed group's successor and enter it."""
    packages = key_packages(founder, heirs)
    staged = create_successor(state, founder.client, packages, ALWAYS, founder.random, options=CommitOptions(**options))
    founder.enter(staged)
    return staged


def branch(
    state: GroupState,
    founder: Party,
    heirs: Sequence[Party],
    group_id: bytes = b"branch",
    extensions: Sequence[Extension] = (),
    **options: Any,
) -> StagedCommit:
    """Found a branch and enter it."""
    staged = create_branch(
        state,
        group_id,
        founder.client,
        key_packages(founder, heirs),
        ALWAYS,
        founder.random,
        extensions=extensions,
        options=CommitOptions(**options),
    )
    founder.enter(staged)
    return staged


def welcome_of(staged: StagedCommit) -> Welcome:
    assert staged.welcome is not None
    return decode(Welcome, encode(staged.welcome))


def agree(members: Sequence[Party]) -> None:
    """All are in one epoch, read each other, and go on to the next."""
    assert len({party.state.secrets.epoch_authenticator for party in members}) == 1
    for sender in members:
        message = sender.send(sender.name.encode())
        for reader in members:
            if reader is not sender:
                assert reader.receive(message) == sender.name.encode()
    staged = members[-1].stage()
    for reader in members[:-1]:
        reader.receive(staged.message)
    members[-1].enter(staged)
    assert len({party.state.secrets.epoch_authenticator for party in members}) == 1


def reinit(suite: CipherSuite = SUITE, group_id: bytes = b"successor", extensions: tuple[Extension, ...] = ()) -> ReInit:
    return ReInit(group_id, 1, suite.id, extensions)


class Closed:
    """A group of four that was closed, and the four as they will be in its successor."""

    def __init__(self, rng: random.Random, asked: ReInit | None = None, *, old: CipherSuite = SUITE) -> None:
        self.room, self.members = room_of(rng, "abcd", old)
        self.before = self.members[0].state
        self.asked = asked or reinit()
        self.room.commit(self.members[0], self.asked)
        self.heirs = heirs_of(self.members, cipher_suite(self.asked.cipher_suite), rng)

    @property
    def state(self) -> GroupState:
        return self.members[0].state

    def enter(self, staged: StagedCommit, founder: Party, **options: Any) -> None:
        """Let everybody but the founder join, each with its own state of the closed group."""
        tree = None if options.pop("with_tree", True) else staged.state.public.tree.encode()
        for member, heir in zip(self.members, self.heirs, strict=True):
            if heir is not founder:
                heir.join(welcome_of(staged), tree, predecessors=[member.state], **options)

    def refuse(self, rule: str | None, welcome: Welcome, heir: Party, **options: Any) -> None:
        """A member does not join, and could still."""
        member = self.members[self.heirs.index(heir)]
        bundles = dict(heir.bundles)
        with refusing(rule, member):
            heir.join(welcome, **{"predecessors": [member.state], **options})
        assert heir.bundles == bundles
        assert not heir.is_member


class Open:
    """A group of four that goes on, and three of them as they will be in a branch."""

    def __init__(self, rng: random.Random) -> None:
        self.room, self.members = room_of(rng)
        self.heirs = heirs_of(self.members[:3], SUITE, rng)

    @property
    def state(self) -> GroupState:
        return self.members[0].state

    def refuse(self, rule: str | None, welcome: Welcome, heir: Party, **options: Any) -> None:
        member = self.members[self.heirs.index(heir)]
        with refusing(rule, member):
            heir.join(welcome, **{"predecessors": [member.state], **options})
        assert not heir.is_member


def deviating(closed: Closed, **changes: Any) -> StagedCommit:
    """A founder who says that the ReInit asked for something else."""
    asked = replace(closed.asked, **changes)
    founder = closed.heirs[0]
    return succeed(replace(closed.state, closed_by=asked), founder, closed.heirs)


def forged(party: Party, signer: Party, staged: StagedCommit, predecessor: GroupState, **alterations: Any) -> Welcome:
    """A successor's Welcome with something altered."""
    (link,) = staged.applied.psk_ids
    secret = derive_psk_secret(party.suite, [(link, predecessor.secrets.resumption_psk)])
    return forge_welcome(party, signer, welcome_of(staged), psk_secret=secret, **alterations)
