"""Extensions that a commit gives to a group, and must not (RFC 9420, Sections 11.1, 12.1.7, 13.4 and 17.3)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.messages.credential import BasicCredential
from dmls.mls.messages.extensions import Extension, ExternalSender, ExternalSenders, RequiredCapabilities, make_extension
from dmls.mls.messages.leaf_node import Capabilities
from dmls.mls.messages.proposal import Add, GroupContextExtensions, ProposalBody, ReInit, Remove
from dmls.mls.messages.registry import ExtensionType
from tests.support.breaches import APP, APP_PROPOSAL, capable, registered
from tests.support.forge import forge_commit, forge_key_package, forge_message
from tests.support.negative.model import Attempt, Scene, messages
from tests.support.negative.stand import Stand

__all__ = ["scenes"]

SUITE = cipher_suite(1)
ABLE = Capabilities((1,), (1,), (APP,), (APP_PROPOSAL,), (1, 2))
NEVER = 0xF456
"""An extension type that nobody knows."""


def scenes(rng: random.Random) -> Iterator[Scene]:
    """Make the scenes of this area."""
    yield _lists(rng)
    yield _support(rng)
    yield _required(rng)


def _lists(rng: random.Random) -> Scene:
    stand = Stand(rng)
    alice, bob = stand["a"], stand["b"]
    scene = stand.scene("extensions that a commit gives to the group")
    sender = ExternalSender(bob.client.signature_key, BasicCredential(b"guard"))
    senders = make_extension(ExtensionType.EXTERNAL_SENDERS, ExternalSenders((sender,)))

    def given(*extensions: Extension) -> Attempt:
        return messages(forge_commit(alice, GroupContextExtensions(extensions)))

    def reinit(*extensions: Extension) -> Attempt:
        return messages(forge_commit(alice, ReInit(b"successor", 1, 1, extensions), with_path=False))

    nobody = make_extension(ExtensionType.EXTERNAL_SENDERS, ExternalSenders(()))
    required = make_extension(ExtensionType.REQUIRED_CAPABILITIES, RequiredCapabilities((1, 2), (1, 7), (1,)))
    for good in ((), (nobody,), (senders,), (required,), (required, senders)):
        scene.accept(**given(*good))
        scene.accept(**reinit(*good))
    breaches: dict[str, tuple[str, str, tuple[Extension, ...]]] = {
        "one twice": ("EX-01", "GC-05", (nobody, nobody)),
        "one twice, with different data": ("GC-05", "GC-05", (nobody, senders)),
        "application_id": ("GC-09", "GC-09", (Extension(ExtensionType.APPLICATION_ID, b""),)),
        "ratchet_tree": ("GC-09", "GC-09", (Extension(ExtensionType.RATCHET_TREE, b""),)),
        "external_pub": ("GC-09", "GC-09", (Extension(ExtensionType.EXTERNAL_PUB, b"\x00"),)),
        "external_senders with an octet more": (
            "ENC-09",
            "ENC-09",
            (replace(senders, extension_data=senders.extension_data + b"\x00"),),
        ),
        "external_senders that are cut": ("GC-08", "ENC-04", (replace(senders, extension_data=senders.extension_data[:-1]),)),
        "external_senders with an entry that is cut": (
            "GC-08",
            "ENC-07",
            (Extension(ExtensionType.EXTERNAL_SENDERS, b"\x01\x00"),),
        ),
        "required_capabilities with an octet more": (
            "ENC-09",
            "ENC-09",
            (Extension(ExtensionType.REQUIRED_CAPABILITIES, bytes(4)),),
        ),
        "required_capabilities that are cut": ("GC-07", "ENC-04", (Extension(ExtensionType.REQUIRED_CAPABILITIES, bytes(2)),)),
        "required_capabilities with half a type": (
            "GC-07",
            "ENC-07",
            (Extension(ExtensionType.REQUIRED_CAPABILITIES, b"\x01\x00\x00\x00"),),
        ),
        "required_capabilities without any data": ("GC-07", "ENC-04", (Extension(ExtensionType.REQUIRED_CAPABILITIES, b""),)),
    }
    for name, (rule, noticed, extensions) in breaches.items():
        scene.refuse(rule, f"GroupContextExtensions: {name}", noticed=noticed, **given(*extensions))
    for name in ("one twice", "application_id", "ratchet_tree", "external_pub", "required_capabilities that are cut"):
        rule, noticed, extensions = breaches[name]
        scene.refuse(rule, f"ReInit: {name}", noticed=noticed, **reinit(*extensions))
    unknown = (Extension(NEVER, b""),)
    scene.refuse("PR-12", "GroupContextExtensions: one that nobody supports", noticed="LN-04", **given(*unknown))
    scene.refuse("EX-05", "GroupContextExtensions: a GREASE value", noticed="LN-04", **given(Extension(0x0A0A, b"")))
    return scene


@registered()
def _support(rng: random.Random) -> Scene:
    """A group that all members could give an extension to, but for the one that they add."""
    stand = Stand(rng, capabilities=ABLE)
    alice = stand["a"]
    scene = stand.scene("extensions that members support, and newcomers do not")
    change = GroupContextExtensions((Extension(APP, b"data"),))
    able, unable = stand.newcomer(capabilities=ABLE), stand.newcomer("unable", capabilities=ABLE)
    added = Add(forge_key_package(unable, alter_leaf=capable(extensions=())))
    both = Add(able.key_package())

    def listed(*proposals: ProposalBody) -> Attempt:
        return messages(forge_commit(alice, *proposals))

    scene.accept(**listed(change, both))
    scene.accept(**listed(both, change))
    scene.accept(**listed(added))
    scene.refuse("AP-03", "a new extension, then an Add of who lacks it", noticed="LN-04", **listed(change, added))
    scene.refuse("AP-03", "an Add of who lacks the extension that follows", noticed="LN-04", **listed(added, change))
    scene.refuse("EX-04", "one of two that are added lacks it", noticed="LN-04", **listed(change, both, added))
    unknown = GroupContextExtensions((Extension(APP, b"data"), Extension(NEVER, b"")))
    scene.refuse("LN-04", "two new extensions, of which nobody supports one", **listed(unknown))
    return scene


@registered()
def _required(rng: random.Random) -> Scene:
    """A group in which one member can do less than the others."""
    stand = Stand(rng, "abcw", capabilities=ABLE)
    alice = stand["a"]
    lacking = stand.newcomer("lacking", capabilities=replace(ABLE, extensions=(), proposals=()))
    stand.add(alice, lacking)
    scene = stand.scene("capabilities that a commit requires")

    def required(extensions: tuple[int, ...], proposals: tuple[int, ...], credentials: tuple[int, ...]) -> GroupContextExtensions:
        content = RequiredCapabilities(extensions, proposals, credentials)
        return GroupContextExtensions((make_extension(ExtensionType.REQUIRED_CAPABILITIES, content),))

    def listed(*proposals: ProposalBody) -> Attempt:
        return messages(forge_commit(alice, *proposals))

    removal = Remove(lacking.leaf)
    scene.accept(**listed(required((), (), (1,))))
    scene.accept(**listed(required((APP,), (APP_PROPOSAL,), (1, 2)), removal))
    scene.refuse("PR-11", "an extension type that a member lacks", noticed="LN-03", **listed(required((APP,), (), ())))
    scene.refuse("PR-11", "a proposal type that a member lacks", noticed="LN-03", **listed(required((), (APP_PROPOSAL,), ())))
    scene.refuse("PR-11", "a credential type that nobody has", noticed="LN-03", **listed(required((), (), (0xF00E,))))
    again = Add(stand.newcomer("other", capabilities=replace(ABLE, proposals=())).key_package())
    both = listed(required((), (APP_PROPOSAL,), ()), removal, again)
    scene.refuse("PR-04", "a proposal type that who is added lacks", noticed="LN-03", **both)
    proposal = forge_message(stand["b"], required((APP,), (), ()))
    referring = stand.refer(proposal)
    scene.refuse("PR-11", "by reference", noticed="LN-03", **messages(*referring))
    return scene
