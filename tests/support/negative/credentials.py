"""Credentials that break one rule, and those that an application refuses (RFC 9420, Section 5.3)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from dmls.mls.crypto.suites import CipherSuite, cipher_suite
from dmls.mls.group.leaf import default_capabilities
from dmls.mls.messages.credential import BasicCredential, X509Credential
from dmls.mls.messages.extensions import ExternalSender, ExternalSenders, make_extension
from dmls.mls.messages.leaf_node import LeafNode
from dmls.mls.messages.message import encode_message
from dmls.mls.messages.proposal import Add, GroupContextExtensions, Remove
from dmls.mls.messages.registry import ExtensionType
from tests.support.breaches import Breach, capable, same
from tests.support.certificates import Authority, credentialed, self_signed
from tests.support.forge import forge_commit, forge_external_commit, forge_key_package, forge_message, sign_leaf
from tests.support.groups import Party, Room
from tests.support.negative.invitation import Invitation
from tests.support.negative.model import Attempt, Scene, joining, key_package_attempt, messages
from tests.support.negative.stand import Stand
from tests.support.refusals import spoilt_update

__all__ = ["scenes"]

SUITE = cipher_suite(1)
ROOT = Authority.root()
BOTH = default_capabilities((1,), credentials=(1, 2))


def scenes(rng: random.Random) -> Iterator[Scene]:
    """Make the scenes of this area."""
    yield _chains(rng)
    yield _encodings(rng)
    yield _judged(rng)
    yield _judged_tree(rng)
    yield from _types(rng)


def _certified(party: Party, suite: CipherSuite = SUITE) -> Party:
    without_anchor = Authority(ROOT.name, ROOT.key, ())
    party.client = credentialed(party.client, suite, without_anchor, f"{party.name}.example")
    return party


def _chains(rng: random.Random) -> Scene:
    scene = Scene("the certificates of a key package", "key_package", 1, {})
    party = _certified(Party(SUITE, "newcomer", rng.randbytes))
    credential = party.client.credential
    assert isinstance(credential, X509Credential)
    (own,) = credential.certificates
    other = self_signed(SUITE, bytes(32), "other")

    def shown(*certificates: bytes) -> Attempt:
        chain = X509Credential(certificates)
        return key_package_attempt(forge_key_package(party, alter_leaf=lambda leaf: replace(leaf, credential=chain)))

    scene.accept(**shown(own))
    scene.accept(**shown(own, ROOT.chain[0]))
    scene.refuse("CRD-02", "the first certificate is for another key", **shown(other))
    scene.refuse("CRD-02", "the anchor comes first", **shown(ROOT.chain[0]))
    scene.refuse("CRD-03", "no certificate", **shown())
    scene.refuse("CRD-03", "the second certificate does not certify the first", **shown(own, other))
    scene.refuse("CRD-03", "the certificates in the wrong order", **shown(ROOT.chain[0], own))
    scene.refuse("CRD-03", "an empty certificate", **shown(b""))
    scene.refuse("CRD-03", "a certificate that is cut", **shown(own[:-1]))
    scene.refuse("CRD-03", "an octet after the certificate", **shown(own + b"\x00"))
    elsewhere = Party(cipher_suite(4), "newcomer", rng.randbytes)
    foreign = self_signed(cipher_suite(4), elsewhere.client.signature_private_key, "newcomer")
    scene.refuse("CRD-02", "the first certificate is for a key of another algorithm", **shown(foreign))
    return scene


def _encodings(rng: random.Random) -> Scene:
    """Credentials of types that nobody has registered cannot be read, nor can what follows them."""
    scene = Scene("credential types", "decode", 1, {"type": "mls_message"})
    party = Party(SUITE, "newcomer", rng.randbytes)
    data = encode_message(forge_key_package(party))
    scene.accept(data=data.hex())
    body = b"\x08newcomer"
    assert data.count(b"\x00\x01" + body) == 1
    for number in (0, 4, 0x0A0A, 0xEAEA, 0xFFFF):
        other = data.replace(b"\x00\x01" + body, number.to_bytes(2, "big") + body)
        scene.refuse("CRD-01", f"type {number}", data=other.hex())
    cut = data.replace(b"\x00\x01" + body, b"\x00\x01\xbf\xff\xff\xffnewcomer")
    scene.refuse("ENC-04", "an identity longer than what is left", data=cut.hex())
    return scene


def _judged(rng: random.Random) -> Scene:
    """An application that knows some identities, and lets none take the place of another."""
    stand = Stand(rng)
    alice, bob = stand["a"], stand["b"]
    friend, mallory = stand.newcomer("friend"), stand.newcomer("mallory")
    known = [name.encode().hex() for name in ("a", "b", "c", "w", "friend")]
    scene = stand.scene("credentials that the application judges", identities=known)
    info = alice.group_info()

    def renamed(name: bytes) -> Breach:
        return lambda leaf: replace(leaf, credential=BasicCredential(name))

    def added(party: Party) -> Attempt:
        return messages(forge_commit(alice, Add(party.key_package()), with_path=False))

    def updated(breach: Breach) -> Attempt:
        return messages(*stand.refer(forge_message(bob, spoilt_update(bob, breach))))

    def path(breach: Breach) -> Attempt:
        return messages(forge_commit(alice, alter_leaf=breach))

    def joined(party: Party, *proposals: Remove, breach: Breach = same) -> Attempt:
        return messages(forge_external_commit(party, stand.follower, info, *proposals, alter_leaf=breach))

    def guarded(name: bytes) -> Attempt:
        senders = ExternalSenders((ExternalSender(mallory.client.signature_key, BasicCredential(name)),))
        change = GroupContextExtensions((make_extension(ExtensionType.EXTERNAL_SENDERS, senders),))
        return messages(forge_commit(alice, change))

    scene.accept(**added(friend))
    scene.accept(**updated(same))
    scene.accept(**path(same))
    scene.accept(**joined(friend))
    scene.accept(**joined(stand.newcomer("b"), Remove(bob.leaf)))
    scene.accept(**guarded(b"friend"))
    scene.refuse("CRD-04", "an Add", **added(mallory))
    scene.refuse("CRD-04", "an Update", **updated(renamed(b"mallory")))
    scene.refuse("CRD-04", "a path", **path(renamed(b"mallory")))
    scene.refuse("CRD-04", "an external commit", **joined(mallory))
    scene.refuse("GC-08", "an external sender", **guarded(b"mallory"))
    scene.refuse("CRD-05", "an Update to another's identity", **updated(renamed(b"friend")))
    scene.refuse("CRD-05", "a path to another's identity", **path(renamed(b"friend")))
    scene.refuse("CRD-05", "an external commit in the place of another", **joined(friend, Remove(bob.leaf)))
    return scene


def _judged_tree(rng: random.Random) -> Scene:
    invitation = Invitation(rng)
    known = [name.encode().hex() for name in ("a", "b", "c", "d", "newcomer")]
    scene = invitation.scene("a tree whose credentials the application judges", identities=known)
    scene.accept(**joining(invitation.welcome))
    for leaf in (1, 3):
        grove = invitation.grove()
        grove.put(leaf, credential=BasicCredential(b"mallory"))
        scene.refuse("LN-01", f"that of leaf {leaf}", noticed="CRD-04", **grove.planted())
    return scene


def _types(rng: random.Random) -> Iterator[Scene]:
    stand = Stand(rng)
    alice = stand["a"]
    modern = _certified(stand.newcomer("modern", capabilities=BOTH))
    scene = stand.scene("a group whose members know basic credentials only")
    info = alice.group_info()
    plain = stand.newcomer("plain", capabilities=BOTH)
    scene.accept(**messages(forge_commit(alice, Add(plain.key_package()), with_path=False)))
    added = messages(forge_commit(alice, Add(modern.key_package()), with_path=False))
    scene.refuse("LN-10", "somebody with certificates is added", **added)

    def certified(leaf: LeafNode) -> LeafNode:
        return replace(leaf, credential=modern.client.credential, capabilities=modern.client.capabilities)

    joined = messages(forge_external_commit(modern, stand.follower, info, alter_leaf=certified))
    scene.refuse("CRD-08", "somebody with certificates joins", noticed="LN-10", **joined)
    yield scene
    mixed = Stand(rng, capabilities=BOTH)
    mixed.add(mixed["a"], _certified(mixed.newcomer("modern", capabilities=BOTH)))
    scene = mixed.scene("a group in which both types of credentials are in use")
    able = mixed.newcomer("able", capabilities=BOTH)
    scene.accept(**messages(forge_commit(mixed["a"], Add(able.key_package()), with_path=False)))
    breach = capable(credentials=(1,))
    unable = forge_key_package(mixed.newcomer("unable"), alter_leaf=breach)
    added = messages(forge_commit(mixed["a"], Add(unable), with_path=False))
    scene.refuse("LN-11", "somebody who knows basic credentials only is added", noticed="LN-10", **added)
    update = forge_message(mixed["b"], spoilt_update(mixed["b"], breach))
    scene.refuse("LN-11", "a member gives up certificates, by Update", noticed="LN-10", **messages(*mixed.refer(update)))
    path = messages(forge_commit(mixed["a"], alter_leaf=breach))
    scene.refuse("LN-11", "a member gives up certificates, by path", noticed="LN-10", **path)
    yield scene
    yield _mixed_tree(rng)


def _mixed_tree(rng: random.Random) -> Scene:
    """The same, found by a newcomer."""
    members = [Party(SUITE, name, rng.randbytes, capabilities=BOTH) for name in "abc"]
    _certified(members[1])
    room = Room(members[0])
    room.add(members[0], *members[1:])
    invitation = Invitation(rng, room=room, capabilities=BOTH)
    scene = invitation.scene("a tree in which both types of credentials are in use")
    scene.accept(**joining(invitation.welcome))
    grove = invitation.grove()
    leaf = grove.model.leaf(2)
    grove.model.nodes[4] = sign_leaf(SUITE, capable(credentials=(1,))(leaf), members[2].client)
    scene.refuse("LN-11", "a member knows basic credentials only", noticed="LN-10", **grove.planted())
    return scene
