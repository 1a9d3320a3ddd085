"""Proposals from outside the group that break one rule (RFC 9420, Section 12.1.8)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from dmls.mls.codec import encode, encode_opaque
from dmls.mls.crypto.suites import CipherSuite, cipher_suite
from dmls.mls.messages.commit import Commit
from dmls.mls.messages.extensions import Extension, ExternalSender, ExternalSenders, make_extension
from dmls.mls.messages.message import ApplicationData, ExternalSenderIndex
from dmls.mls.messages.proposal import Add, ExternalInit, GroupContextExtensions, PreSharedKey, ProposalBody, ReInit, Remove
from dmls.mls.messages.psk import ExternalPSK, PreSharedKeyID
from dmls.mls.messages.registry import ExtensionType
from tests.support.forge import forge_message
from tests.support.groups import Party, fresh_update
from tests.support.negative.deviant import deviant_party
from tests.support.negative.model import Attempt, Scene, messages
from tests.support.negative.stand import Stand

__all__ = ["scenes"]

SUITE = cipher_suite(1)
PSK = PreSharedKeyID(ExternalPSK(b"name"), bytes(range(32)))


def scenes(rng: random.Random) -> Iterator[Scene]:
    """Make the scenes of this area."""
    yield _guarded(rng)
    yield _unguarded(rng)


def _sent(guard: Party, body: ProposalBody | Commit | ApplicationData, index: int = 0, **options: Any) -> bytes:
    return forge_message(guard, body, sender=ExternalSenderIndex(index), **options)


def _guarded(rng: random.Random) -> Scene:
    guards = [Party(SUITE, name, rng.randbytes) for name in ("first guard", "second guard")]
    entries = tuple(ExternalSender(guard.client.signature_key, guard.client.credential) for guard in guards)
    extension = make_extension(ExtensionType.EXTERNAL_SENDERS, ExternalSenders(entries))
    stand = Stand(rng, extensions=(extension,))
    stand.watcher.psks = {b"name": b"key"}
    bob = stand["b"]
    for party in guards:
        party.state = stand["a"].state
    guard, second = guards
    scene = stand.scene("a group with two external senders")
    removal = Remove(bob.leaf)
    bodies: tuple[ProposalBody, ...] = (
        Add(stand.newcomer().key_package()),
        removal,
        PreSharedKey(PSK),
        GroupContextExtensions((extension,)),
        ReInit(b"successor", 1, 1, ()),
    )
    for body in bodies:
        scene.accept(**messages(_sent(guard, body)))
    scene.accept(**messages(_sent(second, removal, 1)))
    scene.accept(**messages(*stand.refer(_sent(guard, removal))))
    scene.refuse("PR-14", "an Update", noticed="FRM-06", **messages(_sent(guard, fresh_update(bob))))
    scene.refuse("PR-14", "an ExternalInit", noticed="FRM-06", **messages(_sent(guard, ExternalInit(bytes(32)))))
    scene.refuse("FRM-06", "a commit", **messages(_sent(guard, Commit((removal,), None))))
    scene.refuse("FRM-13", "application data", **messages(_sent(guard, ApplicationData(b"text"))))
    for index in (2, 2**32 - 1):
        scene.refuse("FRM-05", f"the sender is entry {index}, which is not there", **messages(_sent(guard, removal, index)))
    scene.refuse("FRM-09", "the sender is the other one", **messages(_sent(guard, removal, 1)))
    scene.refuse("FRM-09", "a member in the place of an external sender", **messages(_sent(bob, removal)))
    epoch = stand.follower.context.epoch
    late = _sent(guard, removal, alter=partial(replace, epoch=epoch - 1))
    scene.refuse("PR-15", "of the epoch before", noticed="FRM-12", **messages(late))
    elsewhere = _sent(guard, removal, alter=partial(replace, group_id=b"another"))
    scene.refuse("PR-15", "of another group", noticed="FRM-11", **messages(elsewhere))
    context = encode(stand.follower.context)

    def in_context(suite: CipherSuite, key: bytes, label: str, content: bytes) -> bytes:
        return suite.sign_with_label(key, label, content + context)

    signed = _sent(deviant_party(guard, sign_with_label=in_context), removal)
    scene.refuse("PR-15", "signed with the group context", noticed="FRM-09", **messages(signed))
    tagged = _sent(guard, removal) + encode_opaque(bytes(32))
    scene.refuse("PUB-01", "with a membership tag", noticed="ENC-08", **messages(tagged))
    own = _sent(guard, Remove(stand["a"].leaf))
    scene.refuse("PL-03", "a Remove of who commits it", **messages(*stand.refer(own)))
    gone = _sent(guard, Remove(9))
    scene.refuse("PR-07", "a Remove of a blank leaf, committed", **messages(*stand.refer(gone)))
    return scene


def _unguarded(rng: random.Random) -> Scene:
    guard = Party(SUITE, "guard", rng.randbytes)
    entry = ExternalSender(guard.client.signature_key, guard.client.credential)
    stand = Stand(rng, extensions=(make_extension(ExtensionType.EXTERNAL_SENDERS, ExternalSenders((entry,))),))
    alice, bob = stand["a"], stand["b"]
    nobody: tuple[Extension, ...] = (make_extension(ExtensionType.EXTERNAL_SENDERS, ExternalSenders(())),)
    stand.commit(alice, GroupContextExtensions(nobody))
    guard.state = alice.state
    scene = stand.scene("a group whose list of external senders was emptied")

    def sent(body: ProposalBody) -> Attempt:
        return messages(_sent(guard, body))

    scene.accept(**messages(forge_message(bob, Remove(0))))
    scene.refuse("FRM-05", "the one who was on the list", **sent(Remove(bob.leaf)))
    scene.refuse("PR-13", "the one who was on the list, once it is gone altogether", noticed="FRM-05", **_after(stand, guard))
    return scene


def _after(stand: Stand, guard: Party) -> Attempt:
    """A commit that takes the extension away, and a proposal after it."""
    staged = stand["a"].stage(GroupContextExtensions(()))
    guard.state = staged.state
    return messages(staged.message, _sent(guard, Remove(1)))
