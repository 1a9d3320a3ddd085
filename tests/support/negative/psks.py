"""Pre-shared keys that break one rule, in commits and in Welcomes (RFC 9420, Section 8.4)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.messages.proposal import PreSharedKey
from dmls.mls.messages.psk import ExternalPSK, PreSharedKeyID, ResumptionPSK, ResumptionPSKUsage
from dmls.mls.schedule.psk import derive_psk_secret
from tests.support.forge import forge_commit, forge_message
from tests.support.negative.invitation import Invitation
from tests.support.negative.model import Attempt, Scene, joining, messages
from tests.support.negative.stand import Stand

__all__ = ["scenes"]

SUITE = cipher_suite(1)
NONCE = bytes(range(32))
KEYS = {b"first": b"key 1", b"second": b"key 2"}
FIRST, SECOND = (PreSharedKeyID(ExternalPSK(name), NONCE) for name in KEYS)


def scenes(rng: random.Random) -> Iterator[Scene]:
    """Make the scenes of this area."""
    yield _injected(rng)
    yield _resumed(rng)
    yield _invited(rng)


def _injected(rng: random.Random) -> Scene:
    stand = Stand(rng)
    stand.watcher.psks = KEYS
    alice, bob = stand["a"], stand["b"]
    scene = stand.scene("PSKs of a commit")

    def injected(*psk_ids: PreSharedKeyID, keys: tuple[PreSharedKeyID, ...] | None = None, with_path: bool = False) -> Attempt:
        known = [(psk_id, _key(psk_id)) for psk_id in (psk_ids if keys is None else keys) if len(psk_id.psk_nonce) == 32]
        return messages(forge_commit(alice, *map(PreSharedKey, psk_ids), psks=known, with_path=with_path))

    scene.accept(**injected(FIRST))
    scene.accept(**injected(FIRST, SECOND))
    scene.accept(**injected(FIRST, replace(FIRST, psk_nonce=bytes(32)), with_path=True))
    for size in (0, 31, 33, 64):
        scene.refuse("PSK-01", f"a psk_nonce of {size} octets", **injected(replace(FIRST, psk_nonce=bytes(size))))
    scene.refuse("PSK-08", "one PSK twice", **injected(FIRST, FIRST))
    scene.refuse("PSK-08", "one PSK twice, another between", **injected(FIRST, SECOND, FIRST))
    reference = forge_message(bob, PreSharedKey(FIRST))
    both = stand.refer(reference, inline=(PreSharedKey(FIRST),), psks=[(FIRST, b"key 1")] * 2, with_path=False)
    scene.refuse("PL-08", "one PSK by reference and by value", noticed="PSK-08", **messages(*both))
    unknown = PreSharedKeyID(ExternalPSK(b"third"), NONCE)
    scene.refuse("CP-04", "a PSK that is not known", **injected(unknown))
    scene.refuse("PSK-06", "two PSKs, of which one is not known", noticed="CP-04", **injected(FIRST, unknown))
    scene.refuse("PSK-03", "PSKs in another order than listed", noticed="CP-10", **injected(FIRST, SECOND, keys=(SECOND, FIRST)))
    scene.refuse("KS-04", "PSKs that are listed and not used", noticed="CP-10", **injected(FIRST, keys=()))
    other_nonce = replace(FIRST, psk_nonce=bytes(32))
    scene.refuse(
        "PSK-05", "a PSK is used with another psk_nonce than listed", noticed="CP-10", **injected(FIRST, keys=(other_nonce,))
    )
    for usage in (ResumptionPSKUsage.REINIT, ResumptionPSKUsage.BRANCH):
        context = stand.follower.context
        successor = PreSharedKeyID(ResumptionPSK(usage, context.group_id, context.epoch), NONCE)
        scene.refuse("PSK-07", f"usage {usage.name.lower()}, by value", **injected(successor))
        proposal = forge_message(bob, PreSharedKey(successor))
        scene.refuse("RB-13", f"usage {usage.name.lower()}, proposed", **messages(proposal))
    return scene


def _key(psk_id: PreSharedKeyID) -> bytes:
    return KEYS.get(psk_id.source.psk_id, b"") if isinstance(psk_id.source, ExternalPSK) else b""


def _resumed(rng: random.Random) -> Scene:
    stand = Stand(rng, renewed="a")
    alice = stand["a"]
    context = stand.follower.context
    scene = stand.scene("resumption PSKs of a commit")

    def resumed(group_id: bytes, epoch: int, key: bytes) -> Attempt:
        psk_id = PreSharedKeyID(ResumptionPSK(ResumptionPSKUsage.APPLICATION, group_id, epoch), NONCE)
        return messages(forge_commit(alice, PreSharedKey(psk_id), psks=[(psk_id, key)], with_path=False))

    keys = {epoch: bytes(key) for epoch, key in alice.state.resumption_psks.items()}
    now = context.epoch
    scene.accept(**resumed(context.group_id, now, keys[now]))
    scene.accept(**resumed(context.group_id, now - 1, keys[now - 1]))
    scene.refuse("PSK-09", "of an epoch that the receiver was not in", noticed="CP-04", **resumed(context.group_id, 0, keys[0]))
    scene.refuse("PSK-09", "of an epoch to come", noticed="CP-04", **resumed(context.group_id, now + 1, keys[now]))
    scene.refuse("PSK-09", "of another group", noticed="CP-04", **resumed(b"another", now, keys[now]))
    scene.refuse("KS-12", "the key of another epoch", noticed="CP-10", **resumed(context.group_id, now, keys[now - 1]))
    return scene


def _invited(rng: random.Random) -> Scene:
    invitation = Invitation(rng, proposals=[PreSharedKey(FIRST), PreSharedKey(SECOND)], psks=lambda psk_id: _key(psk_id) or None)
    scene = invitation.scene("PSKs of a Welcome", KEYS)
    before = derive_psk_secret(SUITE, [(FIRST, b"key 1"), (SECOND, b"key 2")])

    def named(*psk_ids: PreSharedKeyID, keys: tuple[PreSharedKeyID, ...] | None = None) -> Attempt:
        used = [(psk_id, _key(psk_id)) for psk_id in (psk_ids if keys is None else keys) if len(psk_id.psk_nonce) == 32]
        return invitation.forge(alter_secrets=partial(replace, psks=psk_ids), psks=used, psk_secret=before)

    scene.accept(**joining(invitation.welcome))
    scene.accept(**named(FIRST, SECOND))
    scene.accept(**named(FIRST))
    for size in (0, 31, 33):
        scene.refuse("WL-06", f"a psk_nonce of {size} octets", **named(replace(FIRST, psk_nonce=bytes(size))))
    scene.refuse("PSK-08", "one PSK twice", **named(FIRST, FIRST))
    unknown = PreSharedKeyID(ExternalPSK(b"third"), NONCE)
    scene.refuse("WL-04", "a PSK that is not known", **named(FIRST, unknown))
    scene.refuse(
        "CC-11", "the PSKs in another order than in the commit", noticed=None, **named(SECOND, FIRST, keys=(FIRST, SECOND))
    )
    scene.refuse("CC-11", "one of two PSKs only", noticed=None, **named(FIRST, keys=(FIRST, SECOND)))
    other = replace(FIRST, psk_nonce=bytes(32))
    scene.refuse("PSK-05", "another psk_nonce than in the commit", noticed=None, **named(other, SECOND, keys=(FIRST, SECOND)))
    group_id = invitation.room.follower.context.group_id
    links = [
        PreSharedKeyID(ResumptionPSK(usage, group_id, 0), NONCE)
        for usage in (ResumptionPSKUsage.BRANCH, ResumptionPSKUsage.REINIT)
    ]
    scene.refuse("WL-05", "two groups that it continues", **named(*links))
    scene.refuse("WL-05", "one group that it continues in two ways", **named(links[0], FIRST, links[1]))
    return scene
