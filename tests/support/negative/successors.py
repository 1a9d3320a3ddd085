"""Groups that continue others and break one rule (RFC 9420, Sections 11.2 and 11.3)."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from dmls.ids import LeafIndex
from dmls.mls.crypto.suites import CipherSuite, cipher_suite
from dmls.mls.group.commit import StagedCommit
from dmls.mls.group.state import GroupState
from dmls.mls.group.successor import create_branch, create_successor
from dmls.mls.messages.extensions import Extension
from dmls.mls.messages.message import ApplicationData
from dmls.mls.messages.proposal import Add, ReInit, Remove
from dmls.mls.messages.psk import PreSharedKeyID, ResumptionPSK, ResumptionPSKUsage
from dmls.mls.messages.registry import ExtensionType, WireFormat
from dmls.mls.schedule.psk import derive_psk_secret
from tests.support.forge import forge_commit, forge_message, forge_welcome
from tests.support.groups import ALWAYS, GROUP_ID, Party
from tests.support.negative.model import Attempt, Scene, entrant, joining, messages
from tests.support.negative.stand import Stand

__all__ = ["branches", "successors"]

SUITE = cipher_suite(1)
SENDERS = Extension(ExtensionType.EXTERNAL_SENDERS, b"\x00")


def successors(rng: random.Random) -> Iterator[Scene]:
    """Make the scenes of the area `reinit`."""
    yield _closed(rng)
    yield _joined(rng)
    yield _other_suite(rng)
    yield _unsupported(rng)


def branches(rng: random.Random) -> Iterator[Scene]:
    """Make the scenes of the area `branch`."""
    yield _branched(rng)
    yield _not_closed(rng)


class _Family:
    """A group, and its members as they will be in one that continues it."""

    def __init__(self, rng: random.Random, suite: CipherSuite = SUITE) -> None:
        self.rng = rng
        self.suite = suite
        self.old = Stand(rng, "abcw")
        self.heirs = {name: Party(suite, name, rng.randbytes) for name in "abcw"}
        self.packages = {name: heir.key_package() for name, heir in self.heirs.items() if name != "a"}
        self.setups: list[dict[str, Any]] = []

    @property
    def state(self) -> GroupState:
        return self.old["a"].state

    def remember(self) -> None:
        """Let the newcomer know the old group as it is now."""
        self.setups.append({"cipher_suite": self.old.suite.id, **self.old.scene("").setup})

    def close(self, **changes: Any) -> ReInit:
        """Commit a ReInit."""
        reinit = replace(ReInit(b"successor", 1, self.suite.id, (SENDERS,)), **changes)
        self.old.commit(self.old["a"], reinit)
        return reinit

    def scene(self, name: str, **options: Any) -> Scene:
        return entrant(name, self.heirs["w"], predecessors=self.setups, **options)

    def succeed(self, state: GroupState | None = None, names: Sequence[str] = "bcw") -> StagedCommit:
        founder = self.heirs["a"]
        packages = [self.packages[name] for name in names]
        return create_successor(state or self.state, founder.client, packages, ALWAYS, founder.random)

    def branch(self, state: GroupState | None = None, names: Sequence[str] = "bw", group_id: bytes = b"branch") -> StagedCommit:
        founder = self.heirs["a"]
        packages = [self.packages[name] for name in names]
        return create_branch(state or self.state, group_id, founder.client, packages, ALWAYS, founder.random)

    def forge(self, staged: StagedCommit, state: GroupState | None = None, **alterations: Any) -> Attempt:
        """The attempt to join with something of the Welcome altered."""
        assert staged.welcome is not None
        (link,) = staged.applied.psk_ids
        secret = derive_psk_secret(self.suite, [(link, (state or self.state).secrets.resumption_psk)])
        return joining(forge_welcome(self.heirs["w"], self.heirs["a"], staged.welcome, psk_secret=secret, **alterations))


def _attempt(staged: StagedCommit) -> Attempt:
    assert staged.welcome is not None
    return joining(staged.welcome)


def _closed(rng: random.Random) -> Scene:
    """What is sent in a group after its ReInit."""
    stand = Stand(rng)
    alice = stand["a"]
    scene = stand.scene("what is sent after a ReInit")
    reinit = alice.stage(ReInit(b"successor", 1, 1, ()))
    scene.accept(**messages(reinit.message))
    alice.state = replace(reinit.state, closed_by=None)
    sent = {
        "application data": forge_message(alice, ApplicationData(b"text"), wire_format=WireFormat.PRIVATE_MESSAGE),
        "a proposal": forge_message(alice, Remove(1)),
        "a proposal, in private": forge_message(alice, Remove(1), wire_format=WireFormat.PRIVATE_MESSAGE),
        "a commit": forge_commit(alice),
        "a commit without a path": forge_commit(alice, Add(stand.newcomer().key_package()), with_path=False),
        "a second ReInit": forge_commit(alice, ReInit(b"another", 1, 1, ()), with_path=False),
    }
    for name, message in sent.items():
        scene.refuse("RB-06", name, **messages(reinit.message, message))
    return scene


def _joined(rng: random.Random) -> Scene:
    family = _Family(rng)
    before = family.state
    reinit = family.close()
    family.remember()
    scene = family.scene("the successor of a group that a ReInit closed", groups=[GROUP_ID.hex()])
    right = family.succeed()
    scene.accept(**_attempt(right))
    scene.accept(**family.forge(right))
    state = family.state

    def otherwise(**changes: Any) -> Attempt:
        return _attempt(family.succeed(replace(state, closed_by=replace(reinit, **changes))))

    scene.refuse("RB-01", "another group_id", **otherwise(group_id=b"another"))
    scene.refuse("RB-01", "no extensions", **otherwise(extensions=()))
    required = Extension(ExtensionType.REQUIRED_CAPABILITIES, bytes(3))
    scene.refuse("RB-01", "other extensions", **otherwise(extensions=(required,)))
    scene.refuse("RB-01", "an extension more", **otherwise(extensions=(SENDERS, required)))
    for epoch in (2, 2**64 - 1):
        later = family.forge(right, alter_context=lambda context, epoch=epoch: replace(context, epoch=epoch))
        scene.refuse("RB-02", f"it begins at epoch {epoch}", **later)
    early = replace(before, closed_by=reinit)
    scene.refuse("RB-03", "it names the epoch before the ReInit", **_attempt(family.succeed(early)))
    plain = Party(SUITE, "a", rng.randbytes)
    plain.create(b"successor", extensions=(SENDERS,))
    unlinked = plain.stage(*(Add(family.packages[name]) for name in "bcw"))
    scene.refuse("RB-03", "it names no group", **_attempt(unlinked))
    branched = family.branch(replace(state, closed_by=None), "bcw", b"successor")
    scene.refuse("RB-03", "it is a branch of the closed group", **_attempt(branched))
    tree = state.public.tree.remove_all([LeafIndex(2)])
    forgetful = replace(state, public=replace(state.public, tree=tree))
    scene.refuse("RB-05", "a member of the old group is missing", **_attempt(family.succeed(forgetful, "bw")))
    guess = replace(state, secrets=replace(state.secrets, resumption_psk=before.secrets.resumption_psk))
    scene.refuse("RB-07", "founded by somebody who was not in the old group", noticed=None, **_attempt(family.succeed(guess)))
    (link,) = right.applied.psk_ids
    key = bytes(state.secrets.resumption_psk)
    other = PreSharedKeyID(ResumptionPSK(ResumptionPSKUsage.BRANCH, GROUP_ID, 0), bytes(32))
    both = family.forge(
        right, alter_secrets=lambda secrets: replace(secrets, psks=(link, other)), psks=[(link, key), (other, key)]
    )
    scene.refuse("WL-05", "it continues two groups", **both)
    return scene


def _other_suite(rng: random.Random) -> Scene:
    suite = cipher_suite(4)
    family = _Family(rng, suite)
    before = family.state
    family.remember()
    family.close(group_id=GROUP_ID)
    family.remember()
    scene = family.scene("a successor of the same id and another cipher suite", groups=[GROUP_ID.hex()])
    right = family.succeed()
    scene.accept(**_attempt(right))
    (link,) = right.applied.psk_ids
    assert len(link.psk_nonce) == suite.hash_size
    short = replace(link, psk_nonce=link.psk_nonce[:32])
    attempt = family.forge(right, alter_secrets=lambda secrets: replace(secrets, psks=(short,)))
    scene.refuse("RB-08", "a psk_nonce as long as the old suite wants it", noticed="WL-06", **attempt)
    moved = replace(before, public=replace(before.public, suite=suite, context=replace(before.public.context, cipher_suite=4)))
    scene.refuse("RB-10", "a branch of another cipher suite than the group's", **_attempt(family.branch(moved)))
    return scene


def _unsupported(rng: random.Random) -> Scene:
    """A ReInit that gives the successor an extension which the newcomer does not know."""
    family = _Family(rng)
    before = family.state
    family.remember()
    family.close(extensions=(SENDERS, Extension(0xF123, b"")))
    family.remember()
    scene = family.scene("a successor with an extension that the newcomer does not know")
    scene.accept(**_attempt(family.branch(before, "bcw")))
    known = replace(family.state, closed_by=ReInit(b"successor", 1, 1, (SENDERS,)))
    staged = family.succeed(known)
    unknown = family.forge(staged, alter_context=lambda context: replace(context, extensions=(SENDERS, Extension(0xF123, b""))))
    scene.refuse("RB-15", "as the ReInit asks", noticed="LN-04", **unknown)
    scene.refuse("RB-01", "without the extension that the ReInit asks for", **_attempt(staged))
    return scene


def _branched(rng: random.Random) -> Scene:
    family = _Family(rng)
    family.remember()
    state = family.state
    scene = family.scene("a branch", groups=[b"taken".hex(), GROUP_ID.hex()])
    right = family.branch()
    scene.accept(**_attempt(right))
    scene.accept(**_attempt(family.branch(names="bcw")))
    scene.refuse("WL-09", "the id of a group that the newcomer is in", **_attempt(family.branch(group_id=b"taken")))
    same = replace(state, public=replace(state.public, context=replace(state.public.context, group_id=b"elsewhere")))
    relinked = _relinked(family, same)
    scene.refuse("RB-14", "the id of the group itself, which goes on", noticed="WL-09", **relinked)
    later = family.forge(right, alter_context=lambda context: replace(context, epoch=2))
    scene.refuse("RB-02", "it begins at epoch 2", **later)
    scene.refuse("RB-11", "it names another group", **_attempt(family.branch(same)))
    family.old.commit(family.old["b"])
    scene.refuse("RB-11", "it names an epoch that the newcomer does not know", **_attempt(family.branch(family.state)))
    plain = Party(SUITE, "a", rng.randbytes)
    plain.create(b"branch")
    scene.refuse("RB-11", "it names no group", **_attempt(plain.stage(Add(family.packages["w"]))))
    stranger = Party(SUITE, "stranger", rng.randbytes)
    family.packages["s"] = stranger.key_package()
    tree, _ = state.public.tree.add(stranger.key_package().leaf_node)
    deceived = replace(state, public=replace(state.public, tree=tree))
    scene.refuse("RB-12", "somebody is in it who is not in the group", **_attempt(family.branch(deceived, "bsw")))
    twin = Party(SUITE, "b", rng.randbytes)
    family.packages["t"] = twin.key_package()
    tree, _ = state.public.tree.add(twin.key_package().leaf_node)
    doubled = replace(state, public=replace(state.public, tree=tree))
    scene.refuse("RB-12", "a member of the group is in it twice", **_attempt(family.branch(doubled, "btw")))
    return scene


def _relinked(family: _Family, elsewhere: GroupState) -> Attempt:
    """A branch that has the id of the group it comes from."""
    context = family.state.public.context
    link = PreSharedKeyID(ResumptionPSK(ResumptionPSKUsage.BRANCH, context.group_id, context.epoch), bytes(range(32)))
    staged = family.branch(elsewhere, group_id=GROUP_ID)
    key = bytes(family.state.secrets.resumption_psk)
    return family.forge(staged, elsewhere, alter_secrets=lambda secrets: replace(secrets, psks=(link,)), psks=[(link, key)])


def _not_closed(rng: random.Random) -> Scene:
    """A newcomer that has not seen the ReInit."""
    family = _Family(rng)
    family.remember()
    scene = family.scene("a group that was not closed")
    scene.accept(**_attempt(family.branch(names="bcw")))
    claimed = replace(family.state, closed_by=ReInit(b"successor", 1, 1, ()))
    scene.refuse("RB-04", "a successor, as if the group were closed", **_attempt(family.succeed(claimed)))
    family.close()
    scene.refuse("RB-16", "the successor of the epoch that is to come", noticed="RB-03", **_attempt(family.succeed()))
    return scene
