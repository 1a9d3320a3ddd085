"""Welcomes that break one rule, and those of peers that make them otherwise (RFC 9420, Section 12.4.3.1)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from dmls.mls.codec import encode, encode_opaque
from dmls.mls.crypto.suites import CipherSuite, cipher_suite
from dmls.mls.messages.credential import BasicCredential
from dmls.mls.messages.extensions import Extension, RequiredCapabilities, make_extension
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.message import encode_message
from dmls.mls.messages.registry import ExtensionType
from dmls.mls.messages.welcome import GroupSecrets, PathSecret
from tests.support.breaches import APP
from tests.support.forge import forge_welcome
from tests.support.groups import Party
from tests.support.negative.deviant import Step, deviant_party, relabelled
from tests.support.negative.invitation import Invitation
from tests.support.negative.model import Attempt, Scene, joining

__all__ = ["scenes"]

SUITE = cipher_suite(1)
NONCE = bytes(range(32))
REQUIRED = make_extension(ExtensionType.REQUIRED_CAPABILITIES, RequiredCapabilities((APP,), (), ()))


def scenes(rng: random.Random) -> Iterator[Scene]:
    """Make the scenes of this area."""
    yield _entries(rng)
    yield _deviants(rng)
    yield _contexts(rng)
    yield _infos(rng)
    yield _trees(rng)
    yield _path_secrets(rng)
    yield _own_leaf(rng)


def _entries(rng: random.Random) -> Scene:
    invitation = Invitation(rng)
    scene = invitation.scene("the Welcome itself")
    welcome = invitation.welcome
    (entry,) = welcome.secrets
    scene.accept(**joining(welcome))
    scene.accept(**invitation.forge())
    other = replace(entry, new_member=bytes(32))
    scene.accept(**invitation.altered(secrets=(other, entry)))
    scene.refuse("WL-01", "it is for nobody", **invitation.altered(secrets=()))
    scene.refuse("WL-01", "it is for somebody else", **invitation.altered(secrets=(other,)))
    scene.refuse("WL-01", "it is for the key package twice", **invitation.altered(secrets=(entry, entry)))
    (bundle,) = invitation.newcomer.bundles.values()
    wrapped = encode_message(bundle.key_package)
    for name, ref in {
        "the hash of the MLSMessage": SUITE.ref_hash("MLS 1.0 KeyPackage Reference", wrapped),
        "the hash of its leaf": SUITE.ref_hash("MLS 1.0 KeyPackage Reference", encode(bundle.key_package.leaf_node)),
        "the hash under the label of proposals": SUITE.ref_hash("MLS 1.0 Proposal Reference", encode(bundle.key_package)),
    }.items():
        entries = (replace(entry, new_member=ref),)
        scene.refuse("CRY-11", f"KeyPackageRef is {name}", noticed="WL-01", **invitation.altered(secrets=entries))
    for number in (2, 3, 0x0A0A):
        scene.refuse("WL-02", f"it is of cipher suite {number}", **invitation.altered(cipher_suite=number))
    sealed = entry.encrypted_group_secrets
    spoilt = {
        "GroupSecrets whose last octet is cut": replace(sealed, ciphertext=sealed.ciphertext[:-1]),
        "GroupSecrets whose first bit is wrong": replace(
            sealed, ciphertext=bytes((sealed.ciphertext[0] ^ 1,)) + sealed.ciphertext[1:]
        ),
    }
    for name, ciphertext in spoilt.items():
        entries = (replace(entry, encrypted_group_secrets=ciphertext),)
        scene.refuse("WL-03", name, noticed=None, **invitation.altered(secrets=entries))
    outputs = {"a short kem_output": ("CRY-06", sealed.kem_output[:-1]), "a kem_output of small order": ("CRY-08", bytes(32))}
    for name, (rule, kem_output) in outputs.items():
        entries = (replace(entry, encrypted_group_secrets=replace(sealed, kem_output=kem_output)),)
        scene.refuse(rule, name, **invitation.altered(secrets=entries))
    longer = welcome.encrypted_group_info + b"\x00"
    scene.refuse(
        "WL-03",
        "another encrypted_group_info than was sealed beside",
        noticed=None,
        **invitation.altered(encrypted_group_info=longer),
    )
    return scene


def _deviants(rng: random.Random) -> Scene:
    """Welcomes of a committer that seals otherwise."""
    invitation = Invitation(rng)
    scene = invitation.scene("how a Welcome is sealed")
    newcomer = invitation.newcomer

    def sealed(**steps: Step) -> Attempt:
        return invitation.forge(joiner=_sealing(newcomer, steps))

    scene.accept(**sealed())

    def under(label: str | None, context: Callable[[bytes], bytes] = lambda context: context, aad: bytes = b"") -> Step:
        def seal(suite: CipherSuite, key: bytes, given: str, info: bytes, plaintext: bytes, source: Any) -> tuple[bytes, bytes]:
            name = b"MLS 1.0 " + (label or given).encode()
            schedule = suite.hpke.key_schedule_context(encode_opaque(name) + encode_opaque(context(info)))
            return suite.hpke.seal(key, schedule, aad, plaintext, source)

        return seal

    scene.accept(**sealed(seal_with_label=under(None)))
    scene.refuse("WL-03", "GroupSecrets under another label", noticed=None, **sealed(seal_with_label=under("GroupSecrets")))
    scene.refuse(
        "WL-03", "GroupSecrets with an empty context", noticed=None, **sealed(seal_with_label=under(None, lambda _: b""))
    )
    scene.refuse(
        "CRY-09", "the context is authenticated beside, not in the info", noticed=None, **sealed(seal_with_label=_beside)
    )
    scene.refuse("CRY-09", "something is authenticated beside", noticed=None, **sealed(seal_with_label=under(None, aad=b"\x00")))
    scene.refuse("CRY-16", "sealed as the second message of its HPKE context", noticed=None, **sealed(seal_with_label=_second))
    for label in ("key", "nonce"):
        steps = {"expand_with_label": relabelled(**{label: f"welcome {label}"})["expand_with_label"]}
        scene.refuse("WL-07", f"the {label} of the GroupInfo under another label", noticed=None, **sealed(**steps))

    def with_aad(suite: CipherSuite, key: bytes, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
        return suite.aead_seal(key, nonce, b"Welcome", plaintext)

    scene.refuse("WL-07", "something is authenticated beside the GroupInfo", noticed=None, **sealed(aead_seal=with_aad))
    welcomed = {"derive_secret": relabelled(welcome="welcome secret")["derive_secret"]}
    scene.refuse("KS-01", "the welcome_secret under another label", noticed=None, **sealed(**welcomed))
    return scene


def _sealing(party: Party, steps: dict[str, Step]) -> Party:
    """A double of a party whose steps count from the first time that something is sealed."""
    opened = False
    right = party.suite

    def later(name: str) -> Step:
        def step(suite: CipherSuite, *arguments: Any) -> Any:
            return steps[name](suite, *arguments) if opened else getattr(right, name)(*arguments)

        return step

    def open_info(suite: CipherSuite, *arguments: Any) -> bytes:
        nonlocal opened
        plaintext = suite.aead_open(*arguments)
        opened = True
        return plaintext

    return deviant_party(party, aead_open=open_info, **{name: later(name) for name in steps})


def _beside(suite: CipherSuite, key: bytes, label: str, info: bytes, plaintext: bytes, source: Any) -> tuple[bytes, bytes]:
    schedule = suite.hpke.key_schedule_context(encode_opaque(b"MLS 1.0 " + label.encode()))
    return suite.hpke.seal(key, schedule, info, plaintext, source)


def _second(suite: CipherSuite, key: bytes, label: str, info: bytes, plaintext: bytes, source: Any) -> tuple[bytes, bytes]:
    """Seal with sequence number 1."""
    hpke = suite.hpke
    aead = hpke._aead
    seal = aead.seal

    class _Shifted:
        def __getattr__(self, name: str) -> Any:
            return getattr(aead, name)

        def seal(self, key: bytes, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
            return seal(key, nonce[:-1] + bytes((nonce[-1] ^ 1,)), aad, plaintext)

    shifted = type(hpke)(suite.kem, suite.kdf, _Shifted())  # type: ignore[arg-type]
    schedule = shifted.key_schedule_context(encode_opaque(b"MLS 1.0 " + label.encode()) + encode_opaque(info))
    return shifted.seal(key, schedule, b"", plaintext, source)


def _contexts(rng: random.Random) -> Scene:
    invitation = Invitation(rng, renewed="b")
    scene = invitation.scene("the GroupContext")

    def context(**changes: Any) -> Attempt:
        return invitation.forge(alter_context=lambda made: replace(made, **changes))

    scene.accept(**context())
    scene.refuse("WL-10", "another cipher suite", **context(cipher_suite=3))
    scene.refuse("WL-10", "an unknown cipher suite", **context(cipher_suite=0x0A0A))
    application = Extension(APP, b"")
    senders = Extension(ExtensionType.EXTERNAL_SENDERS, b"\x00")
    scene.accept(**context(extensions=(senders,)))
    scene.refuse("EX-01", "an extension twice", noticed="GC-05", **context(extensions=(senders, senders)))
    scene.refuse("GC-09", "external_pub", **context(extensions=(Extension(ExtensionType.EXTERNAL_PUB, b"\x00"),)))
    scene.refuse("WL-26", "ratchet_tree", noticed="GC-09", **context(extensions=(Extension(ExtensionType.RATCHET_TREE, b""),)))
    scene.refuse("GC-09", "application_id", **context(extensions=(Extension(ExtensionType.APPLICATION_ID, b""),)))
    scene.refuse("WL-21", "an extension that the newcomer does not know", noticed="LN-04", **context(extensions=(application,)))
    scene.refuse("EX-03", "a GREASE extension", noticed="LN-04", **context(extensions=(Extension(0x0A0A, b""),)))
    scene.refuse("WL-24", "a required capability that the newcomer lacks", noticed="LN-03", **context(extensions=(REQUIRED,)))
    scene.refuse("GC-07", "required_capabilities that are cut", noticed="ENC-04", **context(extensions=(Extension(3, bytes(2)),)))
    scene.refuse("ENC-09", "required_capabilities with an octet more", **context(extensions=(Extension(3, bytes(4)),)))
    scene.refuse("ENC-09", "external_senders with an octet more", **context(extensions=(Extension(5, bytes(2)),)))
    scene.refuse("LN-02", "another group_id than leaves were signed for", **context(group_id=b"another"))
    return scene


def _infos(rng: random.Random) -> Scene:
    invitation = Invitation(rng)
    scene = invitation.scene("the GroupInfo")

    def info(**changes: Any) -> Attempt:
        return invitation.forge(alter_info=lambda made: replace(made, **changes))

    def extended(*extensions: Extension) -> Attempt:
        return invitation.forge(alter_info=lambda made: replace(made, extensions=(*made.extensions, *extensions)))

    scene.accept(**info())
    scene.accept(**extended(Extension(0x0A0A, b"grease"), Extension(APP, b"")))
    scene.refuse("WL-08", "the signer is another member", **info(signer=1))
    for nobody in (5, 8, 2**32 - 1):
        scene.refuse("WL-08", f"the signer is leaf {nobody}, which is blank", **info(signer=nobody))
    by_other = invitation.forge(signer=invitation.room.members[2])
    scene.refuse("WL-08", "signed by another member", **by_other)
    rotated = Party(SUITE, "a", rng.randbytes)
    scene.refuse("CC-08", "signed with a key that is not in the tree", noticed="WL-08", **invitation.forge(signer=rotated))
    own = forge_welcome(invitation.newcomer, invitation.newcomer, invitation.welcome, alter_info=partial(replace, signer=4))
    scene.refuse("WL-27", "the signer is the newcomer", **joining(own))
    twice = Extension(APP, b"")
    scene.refuse("WL-23", "an extension twice", **extended(twice, twice))
    for name, kind in {"required_capabilities": 3, "external_senders": 5, "application_id": 1}.items():
        data = bytes(3) if kind == 3 else b"\x00" if kind == 5 else b""
        scene.refuse("EX-10", name, **extended(Extension(kind, data)))

    def with_external_pub(data: bytes) -> Attempt:
        def alter(made: GroupInfo) -> GroupInfo:
            others = [item for item in made.extensions if item.extension_type != ExtensionType.EXTERNAL_PUB]
            return replace(made, extensions=(*others, Extension(ExtensionType.EXTERNAL_PUB, data)))

        return invitation.forge(alter_info=alter)

    key = SUITE.derive_key_pair(bytes(32)).public_key
    scene.refuse("ENC-09", "external_pub with an octet more", **with_external_pub(encode_opaque(key) + b"\x00"))
    first = bytes((0x3F,)) + key[1:]
    scene.refuse("ENC-15", "external_pub without the length within", noticed="ENC-04", **with_external_pub(first))
    for name, alter in {
        "of zeros": lambda tag: bytes(32),
        "with one bit wrong": lambda tag: tag[:-1] + bytes((tag[-1] ^ 1,)),
        "empty": lambda tag: b"",
        "cut": lambda tag: tag[:-1],
        "with an octet more": lambda tag: tag + b"\x00",
    }.items():
        scene.refuse("WL-19", f"a confirmation tag that is {name}", **invitation.forge(alter_tag=alter))
    return scene


def _trees(rng: random.Random) -> Scene:
    invitation = Invitation(rng, welcome_with_tree=False)
    scene = invitation.scene("a tree that comes another way")
    right = invitation.staged.state.public.tree.encode()
    before = invitation.room.follower.tree.encode()
    scene.accept(**joining(invitation.welcome, right))
    scene.refuse("WL-25", "there is none", **joining(invitation.welcome))
    scene.refuse("WL-11", "that of the epoch before", **joining(invitation.welcome, before))
    scene.refuse("ENC-08", "an octet after it", **joining(invitation.welcome, right + b"\x00"))
    scene.refuse("TR-18", "it has no nodes", **joining(invitation.welcome, b"\x00"))

    def inline(made: GroupInfo) -> GroupInfo:
        return replace(made, extensions=(*made.extensions, Extension(ExtensionType.RATCHET_TREE, right)))

    both = forge_welcome(invitation.newcomer, invitation.committer, invitation.welcome, alter_info=inline)
    scene.accept(**joining(both))
    scene.accept(**joining(both, right))
    scene.refuse("WL-25", "another than comes with the Welcome", **joining(both, before))
    return scene


def _path_secrets(rng: random.Random) -> Scene:
    invitation = Invitation(rng, "abcdefg", renewed="gfedcba", with_path=True, committer="e")
    scene = invitation.scene("the path secret")
    scene.accept(**invitation.forge())

    def secret(value: bytes | None) -> Attempt:
        path_secret = None if value is None else PathSecret(value)
        return invitation.forge(alter_secrets=partial(replace, path_secret=path_secret))

    scene.accept(**secret(None))
    scene.refuse("WL-16", "zeros", **secret(bytes(32)))
    scene.refuse("WL-16", "nothing", **secret(b""))

    def told(secrets: GroupSecrets) -> bytes:
        assert secrets.path_secret is not None
        return secrets.path_secret.path_secret

    def next_one(secrets: GroupSecrets) -> GroupSecrets:
        return replace(secrets, path_secret=PathSecret(SUITE.derive_secret(told(secrets), "path")))

    scene.refuse(
        "CC-10", "that of the node above the lowest common one", noticed="WL-16", **invitation.forge(alter_secrets=next_one)
    )
    return scene


def _own_leaf(rng: random.Random) -> Scene:
    invitation = Invitation(rng)
    scene = invitation.scene("the newcomer's own leaf, where no path was made")
    scene.accept(**invitation.grove().planted())
    scene.refuse(
        "WL-17",
        "there is a path secret, and the lowest common node is blank",
        **invitation.forge(alter_secrets=partial(replace, path_secret=PathSecret(bytes(32)))),
    )
    grove = invitation.grove()
    grove.put(4, credential=BasicCredential(b"somebody"))
    scene.refuse("WL-15", "another credential", **grove.planted())
    grove = invitation.grove()
    grove.put(4, encryption_key=grove.key())
    scene.refuse("WL-15", "another encryption_key", **grove.planted())
    grove = invitation.grove()
    grove.model.nodes[8] = None
    grove.model.nodes = grove.model.nodes[:7]
    scene.refuse("WL-15", "it is not there", **grove.planted())
    return scene
