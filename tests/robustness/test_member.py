"""Mutants reach a live member: it takes in what is right, refuses the rest with a typed error, in time, and stays as it was."""

from __future__ import annotations

import hashlib
import random
import time
from collections import Counter
from collections.abc import Container

import pytest

from dmls.errors import DMLSError
from dmls.mls.codec import decode
from dmls.mls.group.external import create_external_commit
from dmls.mls.group.follower import follow, open_public_message
from dmls.mls.group.process import open_message, process_handshake, receive_proposal
from dmls.mls.group.transition import follow_commit
from dmls.mls.group.welcome import JoinOptions, choose_tree, join
from dmls.mls.messages.commit import Commit, ProposalReference
from dmls.mls.messages.extensions import find_extension
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.key_package import KeyPackage
from dmls.mls.messages.message import ApplicationData, MLSMessage, PrivateMessage, PublicMessage
from dmls.mls.messages.proposal import Add
from dmls.mls.messages.registry import ExtensionType
from dmls.mls.messages.welcome import Welcome
from tests.robustness.attack import ATTACKS, Forged, attacker_of
from tests.robustness.runs import CHUNKS, chunk_seed, mutants, naming, untraced
from tests.robustness.scene import Scene, find_psk, make_scene
from tests.support.groups import ANYBODY, fingerprint

_PER_CHUNK = 2_000
_SUITES = (1, 1, 1, 2, 3)
_MOST_SECONDS = 0.5
"""Of one mutant, on the processor; most take a millisecond."""
_LEAST_RULES = 50
"""That a part of the mutants break, so that it is not one check that refuses them all."""
_NOW = 1_800_000_000


def digest(scene: Scene) -> bytes:
    """Return a hash of everything that those who receive know."""
    known = hashlib.sha256()
    for party in (scene.victim, scene.joiner):
        if party.is_member:
            known.update(fingerprint(party.state))
        for key in (*sorted(party.ring.keys), *party.bundles):
            known.update(key)
    return known.digest()


def process(scene: Scene, data: bytes) -> bytes | None:
    """Take a message in as far as it goes, without keeping what follows; return the authenticator of the epoch it leads to."""
    message = decode(MLSMessage, data)
    body = message.body
    if isinstance(body, PublicMessage | PrivateMessage):
        return _process_framed(scene, message)
    if isinstance(body, Welcome):
        options = JoinOptions(psks=find_psk, now=_NOW)
        return join(scene.room.suite, body, scene.bundle, options=options).state.secrets.epoch_authenticator
    if isinstance(body, GroupInfo):
        _join_externally(scene, body)
    elif isinstance(body, KeyPackage):
        scene.victim.stage(Add(body), now=_NOW)
    return None


def _process_framed(scene: Scene, message: MLSMessage) -> bytes | None:
    victim = scene.victim
    content, after = open_message(victim.state, message)
    body = content.content.content
    if isinstance(body, ApplicationData):
        return None
    if isinstance(body, Commit):
        followed = None
        if isinstance(message.body, PublicMessage):
            followed = follow_commit(scene.room.follower, open_public_message(scene.room.follower, message), ANYBODY, now=_NOW)
        done = process_handshake(after, content, victim.ring.keys, psks=find_psk, now=_NOW)
        assert followed is None or followed.group == done.state.public
        return done.state.secrets.epoch_authenticator
    heard = receive_proposal(after, content)
    for ref in (ref for ref in heard.public.proposals if ref not in after.public.proposals):
        kept, victim.state = victim.state, heard
        try:
            victim.stage(ProposalReference(ref), psks=find_psk, now=_NOW)
        finally:
            victim.state = kept
    return None


def _join_externally(scene: Scene, info: GroupInfo) -> None:
    suite = scene.room.suite
    has_tree = find_extension(info.extensions, ExtensionType.RATCHET_TREE) is not None
    tree = choose_tree(suite, info, None if has_tree else scene.room.follower.tree.encode())
    public = follow(suite, info, tree, now=_NOW)
    create_external_commit(public, info, scene.outsider.client, scene.outsider.random)


def _attempt(scene: Scene, forged: Forged, before: bytes, genuine: Container[bytes], counts: Counter[str]) -> None:
    counts["all"] += 1
    start = time.process_time()
    try:
        authenticator = process(scene, forged.data)
    except DMLSError as error:
        counts["refused"] += 1
        counts[f"rule {error.rule}"] += 1
        assert digest(scene) == before
    else:
        counts["accepted"] += 1
        # What nobody signed is taken for nothing else than what it was before; a Welcome says things to others too.
        assert forged.is_signed or forged.data in genuine or authenticator == scene.invited_to
        assert forged.authenticator in (None, authenticator)
    spent = time.process_time() - start
    assert spent < _MOST_SECONDS, f"took {spent:.2f} s"


@pytest.mark.parametrize("chunk", CHUNKS)
@untraced()
def test_a_member_survives_mutants(chunk: int) -> None:
    seed = chunk_seed("member", chunk)
    ways, weights = zip(*ATTACKS, strict=True)
    counts: Counter[str] = Counter()
    digests = {suite: digest(make_scene(suite)) for suite in set(_SUITES)}
    for index, rng in mutants(seed, _PER_CHUNK):
        attacker = attacker_of(rng.choice(_SUITES))
        (way,) = rng.choices(ways, weights)
        forged = way(attacker, rng)
        scene = attacker.scene
        suite = scene.room.suite.id
        with naming(seed, index, lambda: f"{forged.kind}, suite {suite}: {forged.data[:8192].hex()}"):  # noqa: B023
            _attempt(scene, forged, digests[suite], attacker.genuine, counts)
    rules = sorted(name.removeprefix("rule ") for name in counts if name.startswith("rule "))
    print(f"{counts['accepted']} accepted, {counts['refused']} refused for {len(rules)} reasons: {' '.join(rules)}")
    assert counts["all"] < _PER_CHUNK or len(rules) >= _LEAST_RULES
    for suite, before in digests.items():
        _take_in_everything(make_scene(suite))
        assert digest(make_scene(suite)) == before


def _take_in_everything(scene: Scene) -> None:
    for data in scene.messages.values():
        process(scene, data)


@pytest.mark.parametrize("suite", sorted(set(_SUITES)))
def test_what_is_not_changed_is_taken_in(suite: int) -> None:
    scene = make_scene(suite)
    before = digest(scene)
    _take_in_everything(scene)
    assert digest(scene) == before


def test_an_attack_repeats() -> None:
    for way, _ in ATTACKS:
        first, second = (way(attacker_of(1), random.Random("x/7")).kind for _ in range(2))
        assert first == second
