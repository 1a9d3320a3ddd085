"""GroupInfos that break one rule, found by somebody about to join by external commit (RFC 9420, Section 12.4.3)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from dmls.mls.codec import encode_opaque
from dmls.mls.crypto.suites import CipherSuite, cipher_suite
from dmls.mls.messages.extensions import Extension, RequiredCapabilities, make_extension
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.registry import ExtensionType
from dmls.mls.schedule.key_schedule import external_key_pair
from tests.support.breaches import APP
from tests.support.forge import sign_group_info
from tests.support.negative.deviant import deviant_suite
from tests.support.negative.model import Attempt, Scene, group_info_attempt
from tests.support.negative.stand import Stand

__all__ = ["scenes"]

SUITE = cipher_suite(1)
PUB, TREE = ExtensionType.EXTERNAL_PUB, ExtensionType.RATCHET_TREE


def scenes(rng: random.Random) -> Iterator[Scene]:
    """Make the scenes of this area."""
    stand = Stand(rng, "abcd", renewed="b")
    yield _infos(stand)
    yield _contexts(stand)
    yield _trees(stand)


def _scene(name: str) -> Scene:
    return Scene(name, "group_info", SUITE.id, {})


def _attempt(stand: Stand, info: GroupInfo, **changes: Any) -> Attempt:
    altered = sign_group_info(SUITE, replace(info, **changes), stand["a"].client)
    return group_info_attempt(altered, stand.follower.tree.encode())


def _infos(stand: Stand) -> Scene:
    scene = _scene("signature and extensions")
    alice, bob = stand["a"], stand["b"]
    info = alice.group_info()
    tree = stand.follower.tree.encode()
    scene.accept(**group_info_attempt(info, tree))
    scene.accept(**group_info_attempt(bob.group_info(with_tree=True), None))

    def extended(*extensions: Extension) -> Attempt:
        return _attempt(stand, info, extensions=(*info.extensions, *extensions))

    scene.accept(**extended(Extension(0x0A0A, b"grease"), Extension(APP, b"")))
    unsigned = {
        "a signature of zeros": replace(info, signature=bytes(64)),
        "no signature": replace(info, signature=b""),
        "a cut signature": replace(info, signature=info.signature[:-1]),
        "another signer than signed": replace(info, signer=1),
        "another confirmation tag than signed": replace(info, confirmation_tag=bytes(32)),
        "signed by another member": sign_group_info(SUITE, info, bob.client),
    }
    for name, spoilt in unsigned.items():
        scene.refuse("WL-08", name, **group_info_attempt(spoilt, tree))
    for nobody in (4, 7, 2**32 - 1):
        scene.refuse("WL-08", f"the signer is leaf {nobody}, which is blank", **_attempt(stand, info, signer=nobody))

    def signed_under(label: bytes) -> Attempt:
        def sign(suite: CipherSuite, key: bytes, _: str, content: bytes) -> bytes:
            return suite.signature.sign(suite.signing_key(key).parsed, encode_opaque(label) + encode_opaque(content))

        signed = sign_group_info(deviant_suite(SUITE, sign_with_label=sign), info, alice.client)
        return group_info_attempt(signed, tree)

    scene.refuse("CRY-03", "signed under a label without prefix", noticed="WL-08", **signed_under(b"GroupInfoTBS"))
    scene.refuse("EX-14", "signed under another label", noticed="WL-08", **signed_under(b"MLS 1.0 GroupInfo"))
    twice = Extension(APP, b"")
    scene.refuse("WL-23", "an extension twice", **extended(twice, twice))
    for kind, data in ((1, b""), (3, bytes(3)), (5, b"\x00")):
        scene.refuse("EX-10", f"extension {kind}, which belongs elsewhere", **extended(Extension(kind, data)))
    key = external_key_pair(SUITE, alice.state.secrets.external_secret).public_key

    def with_pub(data: bytes | None) -> Attempt:
        return _attempt(stand, info, extensions=() if data is None else (Extension(PUB, data),))

    scene.refuse("XC-01", "no external_pub", **with_pub(None))
    for name, spoilt_key in {"empty": b"", "short": key[:-1], "long": key + b"\x00", "of small order": bytes(32)}.items():
        scene.refuse("XC-16", f"an external_pub that is {name}", **with_pub(encode_opaque(spoilt_key)))
    scene.refuse("ENC-09", "external_pub with an octet more", **with_pub(encode_opaque(key) + b"\x00"))
    scene.refuse("ENC-15", "external_pub without the length within", noticed="ENC-04", **with_pub(b"\x3f" + key[1:]))
    return scene


def _contexts(stand: Stand) -> Scene:
    scene = _scene("the GroupContext")
    info = stand["a"].group_info()

    def context(**changes: Any) -> Attempt:
        return _attempt(stand, info, group_context=replace(info.group_context, **changes))

    senders = Extension(ExtensionType.EXTERNAL_SENDERS, b"\x00")
    scene.accept(**context())
    scene.accept(**context(extensions=(senders,)))
    scene.refuse("WL-10", "another cipher suite", **context(cipher_suite=3))
    scene.refuse("XC-12", "another tree hash", noticed="WL-11", **context(tree_hash=bytes(32)))
    scene.refuse("LN-02", "another group_id than leaves were signed for", **context(group_id=b"another"))
    lists = {
        "an extension twice": ("EX-01", "GC-05", (senders, senders)),
        "external_pub": ("GC-09", "GC-09", (Extension(PUB, b"\x00"),)),
        "ratchet_tree": ("GC-09", "GC-09", (Extension(TREE, b""),)),
        "required_capabilities with an octet more": ("ENC-09", "ENC-09", (Extension(3, bytes(4)),)),
        "external_senders with an octet more": ("ENC-09", "ENC-09", (Extension(5, bytes(2)),)),
        "external_senders with half an entry": ("GC-08", "ENC-07", (Extension(5, b"\x01\x00"),)),
        "required_capabilities of odd length": ("GC-07", "ENC-07", (Extension(3, b"\x01\x00\x00\x00"),)),
        "an extension that nobody supports": ("LN-04", "LN-04", (Extension(APP, b""),)),
        "a GREASE extension": ("EX-03", "LN-04", (Extension(0x2A2A, b""),)),
        "required capabilities that nobody has": (
            "LN-03",
            "LN-03",
            (make_extension(ExtensionType.REQUIRED_CAPABILITIES, RequiredCapabilities((APP,), (), ())),),
        ),
    }
    for name, (rule, noticed, extensions) in lists.items():
        scene.refuse(rule, name, noticed=noticed, **context(extensions=extensions))
    return scene


def _trees(stand: Stand) -> Scene:
    scene = _scene("the tree")
    info, tree = stand["a"].group_info(), stand.follower.tree.encode()
    inline = stand["a"].group_info(with_tree=True)
    scene.accept(**group_info_attempt(info, tree))
    scene.accept(**group_info_attempt(inline, tree))
    scene.refuse("WL-25", "there is none", **group_info_attempt(info, None))
    other = stand["a"].stage().state.public.tree.encode()
    scene.refuse("TR-19", "that of another epoch", noticed="WL-11", **group_info_attempt(info, other))
    scene.refuse("WL-25", "another than the GroupInfo carries", **group_info_attempt(inline, other))
    scene.refuse("TR-18", "it has no nodes", **group_info_attempt(info, b"\x00"))
    scene.refuse("ENC-04", "it is cut", **group_info_attempt(info, tree[:-1]))
    scene.refuse("ENC-08", "an octet follows", **group_info_attempt(info, tree + b"\x00"))
    return scene
