"""Key packages that break one rule (RFC 9420, Section 10)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.messages.extensions import Extension
from dmls.mls.messages.key_package import KeyPackage
from dmls.mls.messages.message import encode_message
from dmls.mls.messages.proposal import Add
from dmls.mls.messages.registry import ExtensionType
from tests.support.breaches import APP
from tests.support.forge import Alteration, forge_commit, forge_key_package
from tests.support.groups import Party
from tests.support.negative.model import Attempt, Scene, key_package_attempt, messages
from tests.support.negative.stand import Stand

__all__ = ["scenes"]

SUITE = cipher_suite(1)


def scenes(rng: random.Random) -> Iterator[Scene]:
    """Make the scenes of this area."""
    yield _packages(rng)
    yield _added(rng)


def _breaches() -> dict[str, tuple[str, Alteration[KeyPackage]]]:
    return {
        "another version": ("KP-01", partial(replace, version=2)),
        "version 0": ("KP-01", partial(replace, version=0)),
        "another cipher suite": ("KP-01", partial(replace, cipher_suite=3)),
        "an unknown cipher suite": ("KP-01", partial(replace, cipher_suite=0x0A0A)),
        "init_key and encryption_key are one": ("KP-04", lambda made: replace(made, init_key=made.leaf_node.encryption_key)),
        "short init_key": ("KP-06", partial(replace, init_key=bytes(31))),
        "empty init_key": ("KP-06", partial(replace, init_key=b"")),
        "init_key of small order": ("KP-06", partial(replace, init_key=bytes(32))),
        "an extension twice": ("KP-09", partial(replace, extensions=(Extension(APP, b""), Extension(APP, b"x")))),
        "ratchet_tree": ("EX-10", partial(replace, extensions=(Extension(ExtensionType.RATCHET_TREE, b""),))),
        "application_id": ("EX-10", partial(replace, extensions=(Extension(ExtensionType.APPLICATION_ID, b""),))),
        "external_pub": ("EX-10", partial(replace, extensions=(Extension(ExtensionType.EXTERNAL_PUB, b"\x00"),))),
    }


def _spoilt(made: KeyPackage, other: Party) -> dict[str, KeyPackage]:
    """Key packages that nobody signed."""
    return {
        "another init_key than signed": replace(made, init_key=other.key_package().init_key),
        "no signature": replace(made, signature=b""),
        "a cut signature": replace(made, signature=made.signature[:-1]),
        "another extension than signed": replace(made, extensions=(Extension(APP, b""),)),
        "signed with another label": replace(made, signature=made.leaf_node.signature),
    }


def _packages(rng: random.Random) -> Scene:
    scene = Scene("a key package that a client is about to add", "key_package", 1, {})
    party, other = Party(SUITE, "newcomer", rng.randbytes), Party(SUITE, "other", rng.randbytes)
    scene.accept(**key_package_attempt(forge_key_package(party)))
    unknown = partial(replace, extensions=(Extension(0x0A0A, b"grease"), Extension(APP, b"")))
    scene.accept(**key_package_attempt(forge_key_package(party, unknown)))
    for name, (rule, breach) in _breaches().items():
        scene.refuse(rule, name, **key_package_attempt(forge_key_package(party, breach)))
    for name, package in _spoilt(party.key_package(), other).items():
        scene.refuse("KP-03", name, **key_package_attempt(package))
    data = encode_message(party.key_package())
    scene.refuse("ENC-11", "the message around it is of another version", key_package=(b"\x00\x02" + data[2:]).hex())
    return scene


def _added(rng: random.Random) -> Scene:
    stand = Stand(rng)
    party, other = stand.newcomer(), stand.newcomer("other")
    scene = stand.scene("a key package that a commit adds")

    def addition(*packages: KeyPackage) -> Attempt:
        return messages(forge_commit(stand["a"], *map(Add, packages), with_path=False))

    first = party.key_package()
    scene.accept(**addition(first, other.key_package()))
    for name, (rule, breach) in _breaches().items():
        scene.refuse(rule, name, **addition(forge_key_package(party, breach)))
    for name, package in _spoilt(party.key_package(), other).items():
        scene.refuse("KP-03", name, **addition(package))
    twin = forge_key_package(other, partial(replace, init_key=first.init_key))
    scene.refuse("KP-14", "two key packages with one init_key", **addition(first, twin))
    return scene
