"""Proposals, and lists of them, that break one rule (RFC 9420, Sections 12.1 to 12.3)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from dmls.mls.codec import encode, encode_opaque
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.group.applied import AppliedProposals
from dmls.mls.messages.commit import ProposalReference
from dmls.mls.messages.message import AuthenticatedContent
from dmls.mls.messages.proposal import (
    Add,
    ExternalInit,
    GroupContextExtensions,
    PreSharedKey,
    ProposalBody,
    ReInit,
    Remove,
)
from dmls.mls.messages.psk import ExternalPSK, PreSharedKeyID
from tests.support.forge import forge_commit, forge_key_package, forge_message
from tests.support.groups import fresh_update
from tests.support.negative.model import Attempt, Scene, messages
from tests.support.negative.stand import Stand

__all__ = ["scenes"]

SUITE = cipher_suite(1)
REINIT = ReInit(b"successor", 1, 1, ())


def scenes(rng: random.Random) -> Iterator[Scene]:
    """Make the scenes of this area."""
    yield _targets(rng)
    yield _additions(rng)
    yield _references(rng)
    yield _others(rng)
    yield _order(rng)


def _targets(rng: random.Random) -> Scene:
    stand = Stand(rng, "abcdw")
    alice, bob, carol, dan = (stand[name] for name in "abcd")
    stand.commit(alice, Remove(dan.leaf), leavers=[dan])
    first, second = (forge_message(bob, fresh_update(bob)) for _ in range(2))
    removal = forge_message(carol, Remove(bob.leaf))
    scene = stand.scene("Updates and Removes")

    def listed(*proposals: bytes, inline: tuple[ProposalBody, ...] = ()) -> Attempt:
        return messages(*stand.refer(*proposals, inline=inline))

    scene.accept(**listed(first))
    scene.accept(**listed(removal))
    scene.accept(**listed(inline=(Remove(bob.leaf),)))
    own = fresh_update(alice)
    scene.refuse("PL-02", "the committer's Update, by value", **listed(inline=(own,)))
    scene.refuse("PL-02", "the committer's Update, by reference", **listed(forge_message(alice, own)))
    scene.refuse("PR-06", "another member's Update, by value", noticed="PL-02", **listed(inline=(fresh_update(bob),)))
    scene.refuse("PL-03", "the committer removes itself, by value", **listed(inline=(Remove(alice.leaf),)))
    scene.refuse("PL-03", "the committer removes itself, by reference", **listed(forge_message(bob, Remove(alice.leaf))))
    scene.refuse("PL-04", "two Updates of one leaf", **listed(first, second))
    scene.refuse("PL-04", "an Update and a Remove of one leaf", **listed(first, removal))
    scene.refuse("PL-04", "two Removes of one leaf", **listed(inline=(Remove(bob.leaf), Remove(bob.leaf))))
    scene.refuse("PL-04", "a Remove by value and one by reference", **listed(removal, inline=(Remove(bob.leaf),)))
    for index in (3, 8, 63, 2**31, 2**32 - 1):
        scene.refuse("PR-07", f"leaf {index} is removed, which is blank", **listed(inline=(Remove(index),)))
    return scene


def _additions(rng: random.Random) -> Scene:
    stand = Stand(rng, renewed="b")
    alice, bob = stand["a"], stand["b"]
    newcomer, other = stand.newcomer(), stand.newcomer("other")
    scene = stand.scene("Adds")

    def listed(*proposals: ProposalBody) -> Attempt:
        return messages(forge_commit(alice, *proposals))

    first = newcomer.key_package()
    again = Add(bob.key_package())
    scene.accept(**listed(Add(first), Add(other.key_package())))
    scene.accept(**listed(again, Remove(bob.leaf)))
    scene.refuse("PL-06", "one client twice", **listed(Add(first), Add(newcomer.key_package())))
    scene.refuse("PL-07", "a client that is a member", **listed(again))
    key = partial(replace, encryption_key=first.leaf_node.encryption_key)
    scene.refuse(
        "LN-21", "two leaves with one encryption key", **listed(Add(first), Add(forge_key_package(other, alter_leaf=key)))
    )
    parent = partial(replace, encryption_key=stand.parent(1).encryption_key)
    scene.refuse("LN-21", "the encryption key of a parent", **listed(Add(forge_key_package(other, alter_leaf=parent))))
    return scene


def _references(rng: random.Random) -> Scene:
    stand = Stand(rng)
    alice, bob = stand["a"], stand["b"]
    addition = Add(stand.newcomer().key_package())
    old = forge_message(bob, Remove(stand["c"].leaf))
    stale = ProposalReference(stand.ref(old))
    stand.commit(alice)
    proposal = forge_message(bob, addition)
    scene = stand.scene("references")
    received = stand.refer(proposal)
    scene.accept(**messages(*received))
    scene.refuse("PL-15", "a proposal that was not received", **messages(received[-1]))
    for size in (0, 31, 32):
        scene.refuse("PL-15", f"{size} zeros", **messages(forge_commit(alice, ProposalReference(bytes(size)))))
    scene.refuse("PR-02", "a proposal of the epoch before", noticed="PL-15", **messages(forge_commit(alice, stale)))
    scene.refuse("PL-16", "one reference twice", **messages(*stand.refer(proposal, proposal)))
    size = len(encode_opaque(bytes(32)))
    values: dict[str, Callable[[AuthenticatedContent], bytes]] = {
        "the Proposal": lambda content: b"\x00\x01" + encode(content.content.content),
        "the FramedContent": lambda content: encode(content.content),
        "the PublicMessage": lambda content: proposal[4:],
        "the MLSMessage": lambda content: proposal,
        "the AuthenticatedContent with the membership tag": lambda content: encode(content) + proposal[-size:],
    }
    for name, value in values.items():

        def ref(content: AuthenticatedContent, value: Callable[[AuthenticatedContent], bytes] = value) -> bytes:
            return SUITE.ref_hash("MLS 1.0 Proposal Reference", value(content))

        scene.refuse("CRY-12", f"the hash of {name}", noticed="PL-15", **messages(*stand.refer(proposal, name=ref)))

    def unprefixed(content: AuthenticatedContent) -> bytes:
        return SUITE.ref_hash("Proposal Reference", encode(content))

    scene.refuse(
        "CRY-03", "RefHash without the prefix of its label", noticed="PL-15", **messages(*stand.refer(proposal, name=unprefixed))
    )
    forged = forge_message(bob, addition, alter_signature=lambda signature: bytes(len(signature)))
    scene.refuse("PR-01", "a proposal that its sender did not sign", noticed="FRM-09", **messages(forged))
    untagged = forge_message(bob, addition, membership_key=bytes(32))
    scene.refuse("PR-01", "a proposal by somebody who does not know the epoch", noticed="PUB-03", **messages(untagged))
    return scene


def _others(rng: random.Random) -> Scene:
    stand = Stand(rng)
    alice, bob = stand["a"], stand["b"]
    addition = Add(stand.newcomer().key_package())
    scene = stand.scene("other proposals")

    def listed(*proposals: ProposalBody) -> Attempt:
        return messages(forge_commit(alice, *proposals))

    scene.accept(**listed(REINIT))
    scene.accept(**listed(GroupContextExtensions(())))
    scene.refuse("PL-09", "two GroupContextExtensions", **listed(GroupContextExtensions(()), GroupContextExtensions(())))
    scene.refuse("PL-10", "two ReInits", **listed(REINIT, REINIT))
    scene.refuse("PL-10", "a ReInit and an Add", **listed(REINIT, addition))
    scene.refuse("PL-10", "a Remove and a ReInit", **listed(Remove(bob.leaf), REINIT))
    scene.refuse("PR-09", "a ReInit to a lower version", **listed(replace(REINIT, version=0)))
    scene.refuse("PL-12", "an ExternalInit, by value", **listed(ExternalInit(bytes(32))))
    init = forge_message(bob, ExternalInit(bytes(32)))
    scene.refuse("PR-10", "an ExternalInit, by reference", noticed="PL-12", **messages(*stand.refer(init)))
    return scene


def _order(rng: random.Random) -> Scene:
    """Peers that apply a list in another order come to another tree, or to other secrets."""
    stand = Stand(rng, "abcdw", renewed="b")
    stand.watcher.psks = {b"0": b"first", b"1": b"second"}
    alice, bob = stand["a"], stand["b"]
    first, second = (Add(stand.newcomer(name).key_package()) for name in ("first", "second"))
    scene = stand.scene("the order of application")
    tree = stand.follower.tree

    def backwards(applied: AppliedProposals) -> AppliedProposals:
        changed, indices = tree.add_all([second.key_package.leaf_node, first.key_package.leaf_node])
        return replace(applied, tree=changed, added=tuple(zip(indices, (second.key_package, first.key_package), strict=True)))

    def adds_first(applied: AppliedProposals) -> AppliedProposals:
        changed, index = tree.add(first.key_package.leaf_node)
        return replace(applied, tree=changed.remove_all([bob.leaf]), added=((index, first.key_package),))

    scene.accept(**messages(forge_commit(alice, first, second, with_path=False)))
    scene.accept(**messages(forge_commit(alice, Remove(bob.leaf), first)))
    scene.refuse(
        "AP-02",
        "Adds are applied last first",
        noticed="CP-10",
        **messages(forge_commit(alice, first, second, with_path=False, alter_applied=backwards)),
    )
    scene.refuse(
        "AP-01",
        "Adds are applied before Removes",
        noticed="UP-03",
        **messages(forge_commit(alice, Remove(bob.leaf), first, alter_applied=adds_first)),
    )
    keys = [(PreSharedKeyID(ExternalPSK(name), bytes(range(32))), key) for name, key in stand.watcher.psks.items()]
    proposal = forge_message(bob, PreSharedKey(keys[0][0]))
    inline = (PreSharedKey(keys[1][0]),)
    scene.accept(**messages(*stand.refer(proposal, inline=inline, psks=keys, with_path=False)))
    scene.refuse(
        "AP-04",
        "PSKs by value count before those by reference",
        noticed="CP-10",
        **messages(*stand.refer(proposal, inline=inline, psks=keys[::-1], with_path=False)),
    )
    return scene
