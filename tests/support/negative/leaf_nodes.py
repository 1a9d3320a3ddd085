"""Leaves that break one rule: in key packages, Updates, paths and external commits (RFC 9420, Section 7.3)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from dmls.mls.codec import decode
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.messages.commit import Commit, UpdatePath
from dmls.mls.messages.extensions import Extension, RequiredCapabilities, make_extension
from dmls.mls.messages.leaf_node import Capabilities, CommitSource, LeafNodeSource, Lifetime, UpdateSource
from dmls.mls.messages.message import MLSMessage, PublicMessage
from dmls.mls.messages.proposal import Add, Update
from dmls.mls.messages.registry import ExtensionType
from tests.support.breaches import APP, APP_PROPOSAL, BREACHES, HARMLESS, Breach, capable, keyed, registered, same
from tests.support.forge import forge_commit, forge_external_commit, forge_key_package, forge_message, sign_leaf
from tests.support.groups import ALWAYS, Party
from tests.support.negative.model import Attempt, Scene, key_package_attempt, messages
from tests.support.negative.stand import Stand
from tests.support.refusals import spoilt_update

__all__ = ["scenes"]

SUITE = cipher_suite(1)
FULL = Capabilities((1,), (1,), (APP,), (APP_PROPOSAL,), (1, 2))
REQUIRED = make_extension(ExtensionType.REQUIRED_CAPABILITIES, RequiredCapabilities((APP, 1), (APP_PROPOSAL, 1), (1, 2)))
LACKING = {
    "an extension type": capable(extensions=()),
    "a proposal type": capable(proposals=()),
    "a credential type": capable(credentials=(1,)),
}


def scenes(rng: random.Random) -> Iterator[Scene]:
    """Make the scenes of this area."""
    yield _key_packages(rng)
    yield _added(rng)
    yield _updates(rng)
    yield _paths(rng)
    yield _joiners(rng)
    yield _required(rng)
    yield _group_extension(rng)


def _with(source: LeafNodeSource) -> Breach:
    return lambda leaf: replace(leaf, source=source)


def _key_packages(rng: random.Random) -> Scene:
    scene = Scene("the leaf of a key package that a client is about to add", "key_package", 1, {"now": 1_500})
    party = Party(SUITE, "newcomer", rng.randbytes)
    lifetime = Lifetime(1_000, 2_000)

    def package(breach: Breach, source: LeafNodeSource = lifetime) -> Attempt:
        return key_package_attempt(forge_key_package(party, alter_leaf=lambda leaf: breach(replace(leaf, source=source))))

    for alteration in HARMLESS.values():
        scene.accept(**package(alteration))
    for name, (rule, breach) in BREACHES.items():
        scene.refuse(rule, name, **package(breach))
    scene.refuse("LN-12", "the lifetime is over", **package(same, Lifetime(1_000, 1_499)))
    scene.refuse("LN-12", "the lifetime has not begun", **package(same, Lifetime(100_000, 200_000)))
    scene.refuse("LN-14", "the lifetime is reversed", **package(same, Lifetime(1_600, 1_400)))
    scene.refuse("LN-15", "source update", **package(same, UpdateSource()))
    scene.refuse("LN-15", "source commit", **package(same, CommitSource(b"")))
    for name, key in {"empty": b"", "long": bytes(33), "small order": bytes(32)}.items():
        scene.refuse("LN-25", f"signature key: {name}", **package(keyed(signature_key=key)))
    other = Party(SUITE, "other", rng.randbytes)
    stolen = forge_key_package(
        party, lambda made: replace(made, leaf_node=sign_leaf(SUITE, _with(lifetime)(made.leaf_node), other.client))
    )
    scene.refuse("LN-02", "the leaf is signed by another", **key_package_attempt(stolen))
    made = party.key_package(lifetime)
    renewed = replace(made.leaf_node, capabilities=replace(made.leaf_node.capabilities, extensions=(APP,)))
    unsigned = forge_key_package(party, lambda _: replace(made, leaf_node=renewed))
    scene.refuse("LN-26", "the leaf was changed and not signed again", noticed="LN-02", **key_package_attempt(unsigned))
    return scene


def _added(rng: random.Random) -> Scene:
    """What a receiver judges of a leaf that somebody else adds."""
    stand = Stand(rng)
    newcomer = stand.newcomer()
    scene = stand.scene("the leaf of a key package that a commit adds", now=10_000)

    def addition(breach: Breach = same) -> Attempt:
        return messages(forge_commit(stand["a"], Add(forge_key_package(newcomer, alter_leaf=breach)), with_path=False))

    scene.accept(**addition())
    scene.accept(**addition(_with(Lifetime(5_000, 9_500))))
    scene.refuse("LN-21", "the encryption key of a member", **addition(keyed(encryption_key=stand.leaf("b").encryption_key)))
    scene.refuse("LN-13", "the lifetime is over", **addition(_with(Lifetime(1_000, 2_000))))
    scene.refuse("LN-13", "the lifetime has not begun", **addition(_with(Lifetime(20_000, 30_000))))
    scene.refuse("LN-14", "the lifetime is reversed", **addition(_with(Lifetime(10_001, 9_999))))
    scene.refuse("LN-15", "source update", **addition(_with(UpdateSource())))
    for name in ("unlisted extension", "credential type not listed", "only another cipher suite"):
        rule, breach = BREACHES[name]
        scene.refuse(rule, name, **addition(breach))
    return scene


def _commit_update(stand: Stand, update: Update) -> Attempt:
    key = update.leaf_node.encryption_key
    # Nothing can be sealed to an unsound key.
    excluded = None if len(key) == 32 and any(key) else frozenset({stand["b"].leaf})
    return messages(*stand.refer(forge_message(stand["b"], update), excluded=excluded))


def _updates(rng: random.Random) -> Scene:
    stand = Stand(rng, renewed="c")
    bob = stand["b"]
    scene = stand.scene("the leaf of an Update that a commit refers to")
    for alteration in HARMLESS.values():
        scene.accept(**_commit_update(stand, spoilt_update(bob, alteration)))
    parent = stand.parent(5)
    breaches = BREACHES | {
        "source key_package": ("LN-16", _with(ALWAYS)),
        "source commit": ("LN-16", _with(CommitSource(b""))),
        "the encryption key of before": ("LN-18", keyed(encryption_key=stand.leaf("b").encryption_key)),
        "the encryption key of another leaf": ("LN-21", keyed(encryption_key=stand.leaf("c").encryption_key)),
        "the encryption key of a parent": ("LN-21", keyed(encryption_key=parent.encryption_key)),
    }
    for name, (rule, breach) in breaches.items():
        scene.refuse(rule, name, **_commit_update(stand, spoilt_update(bob, breach)))
    places: dict[str, Any] = {"group": {"group_id": b"another"}, "place": {"index": 2}}
    for name, place in places.items():
        scene.refuse("LN-02", f"signed for another {name}", **_commit_update(stand, spoilt_update(bob, same, **place)))
    own, bob.client = bob.client, stand["c"].client
    stolen = spoilt_update(bob, same)
    bob.client = own
    scene.refuse("LN-20", "the signature key of another member", **_commit_update(stand, stolen))
    return scene


def _paths(rng: random.Random) -> Scene:
    stand = Stand(rng, renewed="b")
    alice = stand["a"]
    scene = stand.scene("the leaf of a path")
    for alteration in HARMLESS.values():
        scene.accept(**messages(forge_commit(alice, alter_leaf=alteration)))
    breaches = BREACHES | {
        "source key_package": ("LN-17", _with(ALWAYS)),
        "source update": ("LN-17", _with(UpdateSource())),
        "the encryption key of before": ("LN-19", keyed(encryption_key=stand.leaf("a").encryption_key)),
    }
    for name, (rule, breach) in breaches.items():
        scene.refuse(rule, name, **messages(forge_commit(alice, alter_leaf=breach)))
    group_id = stand.follower.context.group_id
    for name, group, index in (("group", b"another", 0), ("place", group_id, 1)):

        def resigned(path: UpdatePath, group: bytes = group, index: int = index) -> UpdatePath:
            return replace(path, leaf_node=sign_leaf(SUITE, path.leaf_node, alice.client, group, index))

        scene.refuse("LN-02", f"signed for another {name}", **messages(forge_commit(alice, alter_path=resigned)))

    def unsigned(path: UpdatePath) -> UpdatePath:
        return replace(path, leaf_node=replace(path.leaf_node, signature=stand.leaf("a").signature))

    scene.refuse(
        "CC-07", "the signature of the leaf before", noticed="LN-02", **messages(forge_commit(alice, alter_path=unsigned))
    )
    own, alice.client = alice.client, stand["c"].client
    framed = decode(MLSMessage, forge_commit(alice)).body
    alice.client = own
    assert isinstance(framed, PublicMessage)
    assert isinstance(framed.content.content, Commit)
    stolen = forge_message(alice, framed.content.content)
    scene.refuse("LN-20", "the signature key of another member", **messages(stolen))
    return scene


def _joiners(rng: random.Random) -> Scene:
    stand = Stand(rng)
    joiner, info = stand.newcomer(), stand["a"].group_info()
    scene = stand.scene("the leaf of an external commit")
    for alteration in HARMLESS.values():
        scene.accept(**messages(forge_external_commit(joiner, stand.follower, info, alter_leaf=alteration)))
    breaches = BREACHES | {
        "source key_package": ("LN-17", _with(ALWAYS)),
        "source update": ("LN-17", _with(UpdateSource())),
    }
    for name, (rule, breach) in breaches.items():
        scene.refuse(rule, name, **messages(forge_external_commit(joiner, stand.follower, info, alter_leaf=breach)))
    return scene


def _lacking(stand: Stand, scene: Scene, rule: str, name: str, breach: Breach) -> None:
    """Whoever lacks something cannot be added, update, commit or join."""
    newcomer = stand.newcomer(capabilities=stand.leaf("a").capabilities)
    info = stand["a"].group_info()
    added = forge_key_package(newcomer, alter_leaf=breach)
    scene.refuse(rule, f"added: {name}", **messages(forge_commit(stand["a"], Add(added), with_path=False)))
    scene.refuse(rule, f"Update: {name}", **_commit_update(stand, spoilt_update(stand["b"], breach)))
    scene.refuse(rule, f"path: {name}", **messages(forge_commit(stand["a"], alter_leaf=breach)))
    external = forge_external_commit(newcomer, stand.follower, info, alter_leaf=breach)
    scene.refuse(rule, f"external commit: {name}", **messages(external))


@registered()
def _required(rng: random.Random) -> Scene:
    stand = Stand(rng, capabilities=FULL, extensions=(REQUIRED,))
    scene = stand.scene("a group that requires capabilities")
    newcomer = stand.newcomer(capabilities=FULL)
    scene.accept(**messages(forge_commit(stand["a"], Add(newcomer.key_package()), with_path=False)))
    scene.accept(**_commit_update(stand, spoilt_update(stand["b"], same)))
    scene.accept(**messages(forge_commit(stand["a"])))
    scene.accept(**messages(forge_external_commit(newcomer, stand.follower, stand["a"].group_info())))
    for name, breach in LACKING.items():
        _lacking(stand, scene, "LN-03", f"lacks {name}", breach)
    return scene


@registered()
def _group_extension(rng: random.Random) -> Scene:
    stand = Stand(rng, capabilities=FULL, extensions=(Extension(APP, b"data"),))
    scene = stand.scene("a group with an extension of the application")
    scene.accept(**messages(forge_commit(stand["a"], Add(stand.newcomer(capabilities=FULL).key_package()), with_path=False)))
    scene.accept(**messages(forge_commit(stand["a"])))
    _lacking(stand, scene, "LN-04", "does not list it", capable(extensions=()))
    return scene
