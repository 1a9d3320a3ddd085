"""Bytes that are no encoding (RFC 9420, Section 2.1), and values that the encoded types do not have."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from dmls.mls.codec import encode, encode_opaque
from dmls.mls.crypto.suites import CipherSuite, cipher_suite
from dmls.mls.group.welcome import make_group_info
from dmls.mls.messages.extensions import Extension
from dmls.mls.messages.message import encode_message
from dmls.mls.messages.proposal import PreSharedKey, Remove
from dmls.mls.messages.psk import ExternalPSK, PreSharedKeyID, ResumptionPSK, ResumptionPSKUsage
from dmls.mls.messages.welcome import PathSecret
from tests.support.forge import forge_commit, forge_message
from tests.support.groups import ALWAYS, fresh_update
from tests.support.negative.deviant import deviant_party
from tests.support.negative.invitation import Invitation
from tests.support.negative.model import Attempt, Scene
from tests.support.negative.stand import Stand

__all__ = ["scenes"]

SUITE = cipher_suite(1)


def scenes(rng: random.Random) -> Iterator[Scene]:
    """Make the scenes of this area."""
    stand = Stand(rng)
    yield _envelopes(stand)
    yield _lengths(stand)
    yield _vectors(stand)
    yield _values(stand)
    yield _within(rng)
    yield _path_secret(rng)


def _scene(name: str) -> Scene:
    return Scene(name, "decode", SUITE.id, {"type": "mls_message"})


def _spliced(data: bytes, old: bytes, new: bytes) -> str:
    """Replace the one place where something stands."""
    assert data.count(old) == 1, "not one place"
    return data.replace(old, new).hex()


def _envelopes(stand: Stand) -> Scene:
    scene = _scene("the MLSMessage")
    alice = stand["a"]
    staged = alice.stage()
    invitation = Invitation(stand.rng)
    sent = {
        "a proposal": forge_message(alice, Remove(1)),
        "a commit": staged.message,
        "a private message": alice.send(b"text"),
        "a Welcome": encode_message(invitation.welcome),
        "a GroupInfo": encode_message(make_group_info(staged.state, alice.client, alice.leaf)),
        "a key package": encode_message(stand.newcomer().key_package()),
    }
    for data in sent.values():
        scene.accept(data=data.hex())
    for name, data in sent.items():
        scene.refuse("ENC-08", f"{name} with an octet after it", data=data.hex() + "00")
        scene.refuse("ENC-04", f"{name} without its last octet", data=data[:-1].hex())
    data = sent["a key package"]
    for version in (0, 2, 0xFFFF):
        scene.refuse("ENC-11", f"version {version}", data=version.to_bytes(2, "big").hex() + data[2:].hex())
    for wire_format in (0, 6, 0x0A0A, 0xF000):
        scene.refuse("ENC-12", f"wire_format {wire_format}", data=(data[:2] + wire_format.to_bytes(2, "big") + data[4:]).hex())
    for size in (0, 1, 3, 4, 5, 40):
        scene.refuse("ENC-04", f"the first {size} octets of a key package", data=data[:size].hex())
    info = sent["a GroupInfo"]
    scene.refuse("ENC-11", "a GroupContext of version 2", data=(info[:4] + b"\x00\x02" + info[6:]).hex())
    return scene


def _lengths(stand: Stand) -> Scene:
    scene = _scene("length prefixes")
    context = stand.follower.context
    data = forge_message(stand["a"], Remove(1))
    package = encode_message(stand.newcomer().key_package())
    field = encode_opaque(context.group_id)
    scene.accept(data=data.hex())
    scene.accept(data=package.hex())
    size = len(context.group_id)
    prefixes = {
        "two octets for a length of one": ("ENC-02", (0x4000 | size).to_bytes(2, "big")),
        "four octets for a length of one": ("ENC-02", (0x80000000 | size).to_bytes(4, "big")),
        "bits 11": ("ENC-03", (0xC0000000 | size).to_bytes(4, "big")),
        "all bits": ("ENC-03", b"\xff\xff\xff\xff"),
        "the longest length, of which little is there": ("ENC-04", b"\xbf\xff\xff\xff"),
        "a length of 16383, of which little is there": ("ENC-04", b"\x7f\xff"),
    }
    for name, (rule, prefix) in prefixes.items():
        scene.refuse(rule, f"group_id: {name}", data=_spliced(data, field, prefix + context.group_id))
    capabilities = encode(stand.leaf("a").capabilities)
    for name, (rule, prefix) in {
        "two octets for none": ("ENC-02", b"\x40\x00"),
        "four octets for none": ("ENC-02", b"\x80\x00\x00\x00"),
        "four octets for the longest length of two": ("ENC-02", b"\x80\x00\x3f\xff"),
        "bits 11": ("ENC-03", b"\xc0"),
    }.items():
        # An empty list of extension types stands between cipher suites and proposal types.
        at = capabilities[:6] + prefix + capabilities[7:]
        scene.refuse(rule, f"a list within a list of capabilities: {name}", data=_spliced(package, capabilities, at))
    return scene


def _vectors(stand: Stand) -> Scene:
    scene = _scene("vectors and optional values")
    package = stand.newcomer().key_package()
    extended = replace(package, extensions=(Extension(0xF123, b"data"),))
    data = encode_message(extended)
    commit = forge_commit(stand["a"], Remove(1), with_path=False)
    scene.accept(data=data.hex())
    scene.accept(data=commit.hex())
    capabilities = encode(package.leaf_node.capabilities)
    scene.refuse("ENC-07", "versions of three octets", data=_spliced(data, capabilities, b"\x03\x00\x01\x00" + capabilities[3:]))
    scene.refuse("ENC-07", "versions of one octet", data=_spliced(data, capabilities, b"\x01\x00" + capabilities[3:]))
    extension = encode_opaque(encode(extended.extensions[0]))
    for name, other in {
        "an extension whose data is longer than the list": b"\x07\xf1\x23\x7f\xffdata"[:8],
        "a type without data": b"\x02\xf1\x23",
        "half a type after the last extension": b"\x08" + extension[1:] + b"\xf1",
    }.items():
        scene.refuse("ENC-07", name, data=_spliced(data, extension, other))
    proposals = encode_opaque(b"\x01\x00\x03" + (1).to_bytes(4, "big"))
    for presence in (2, 0x80, 0xFF):
        altered = _spliced(commit, proposals + b"\x00", proposals + bytes((presence,)))
        scene.refuse("ENC-06", f"a Commit whose path has presence {presence}", data=altered)
    cut = encode_opaque(b"\x01\x00\x03\x00")
    scene.refuse("ENC-07", "a list of proposals that ends within one", data=_spliced(commit, proposals, cut))
    welcome = Invitation(stand.rng).welcome
    sealed = welcome.secrets[0].encrypted_group_secrets
    encoded = encode_message(welcome)
    scene.accept(data=encoded.hex())
    entries = encode_opaque(b"".join(map(encode, welcome.secrets)))
    joined = encode_opaque(welcome.secrets[0].new_member) + encode_opaque(sealed.kem_output + sealed.ciphertext)
    scene.refuse(
        "ENC-15", "an HPKECiphertext of one vector", noticed="ENC-07", data=_spliced(encoded, entries, encode_opaque(joined))
    )
    return scene


def _values(stand: Stand) -> Scene:
    scene = _scene("values of closed enumerations, and proposals that nobody knows")
    alice = stand["a"]
    context = stand.follower.context
    head = encode_opaque(context.group_id) + context.epoch.to_bytes(8, "big")
    removal = forge_message(alice, Remove(1))
    private = alice.send(b"text")
    update = forge_message(alice, fresh_update(alice))
    commit = forge_commit(alice, Remove(1), with_path=False)
    psk_ids = [
        PreSharedKeyID(ExternalPSK(b"name"), bytes(32)),
        PreSharedKeyID(ResumptionPSK(ResumptionPSKUsage.APPLICATION, b"group", 1), bytes(32)),
    ]
    external, resumption = (forge_message(alice, PreSharedKey(psk_id)) for psk_id in psk_ids)
    package = encode_message(stand.newcomer().key_package())
    for data in (removal, private, update, commit, external, resumption, package):
        scene.accept(data=data.hex())
    content = b"\x00" + b"\x02\x00\x03" + (1).to_bytes(4, "big")

    def each(name: str, data: bytes, old: bytes, values: tuple[int, ...], make: Callable[[bytes], bytes]) -> None:
        for value in values:
            scene.refuse("ENC-10", f"{name} {value}", data=_spliced(data, old, make(bytes((value,)))))

    each("ContentType", removal, content, (0, 4, 255), lambda value: b"\x00" + value + content[2:])
    each("ContentType in private", private, head + b"\x01", (0, 4, 255), lambda value: head + value)
    each("SenderType", removal, head + b"\x01", (0, 5, 255), lambda value: head + value)
    source = encode(stand.leaf("a").capabilities) + b"\x02"
    each("LeafNodeSource", update, source, (0, 4, 255), lambda value: source[:-1] + value)
    lifetime = encode(stand.leaf("a").capabilities) + b"\x01" + encode(ALWAYS)
    each("LeafNodeSource of a key package", package, lifetime, (0, 4), lambda value: lifetime[:-17] + value + lifetime[-16:])
    listed = b"\x01\x00\x03" + (1).to_bytes(4, "big")
    each("ProposalOrRefType", commit, encode_opaque(listed), (0, 3, 255), lambda value: encode_opaque(value + listed[1:]))
    for number, (data, psk_id) in enumerate(((external, psk_ids[0]), (resumption, psk_ids[1]))):
        encoded = encode(psk_id)
        each(f"PSKType of PSK {number}", data, encoded, (0, 3), lambda value, encoded=encoded: value + encoded[1:])  # type: ignore[misc]
    encoded = encode(psk_ids[1])
    each("ResumptionPSKUsage", resumption, encoded, (0, 4, 255), lambda value: encoded[:1] + value + encoded[2:])
    for number in (0, 8, 0x0A0A, 0xF00D, 0xFFFF):
        other = b"\x00\x02" + number.to_bytes(2, "big") + content[4:]
        scene.refuse("ENC-16", f"ProposalType {number}", data=_spliced(removal, content, other))
    scene.refuse(
        "ENC-16",
        "ProposalType 8 in a Commit",
        data=_spliced(commit, encode_opaque(listed), encode_opaque(b"\x01\x00\x08" + listed[3:])),
    )
    return scene


def _opening(invitation: Invitation, secrets: Callable[[bytes], bytes], info: Callable[[bytes], bytes]) -> Attempt:
    """Spoil the bytes of GroupSecrets or GroupInfo and seal them again."""

    def seal_secrets(suite: CipherSuite, key: bytes, label: str, context: bytes, plaintext: bytes, source: Any) -> Any:
        return suite.seal_with_label(key, label, context, secrets(plaintext), source)

    def seal_info(suite: CipherSuite, key: bytes, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
        return suite.aead_seal(key, nonce, aad, info(plaintext))

    return invitation.forge(joiner=deviant_party(invitation.newcomer, seal_with_label=seal_secrets, aead_seal=seal_info))


def _same(data: bytes) -> bytes:
    return data


def _within(rng: random.Random) -> Scene:
    invitation = Invitation(rng)
    scene = invitation.scene("what is encrypted in a Welcome")
    scene.accept(**_opening(invitation, _same, _same))
    spoilt: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
        "with an octet after them": ("ENC-08", lambda data: data + b"\x00"),
        "without the last octet": ("ENC-04", lambda data: data[:-1]),
        "that are empty": ("ENC-04", lambda data: b""),
        "whose path_secret has presence 2": ("ENC-06", lambda data: data[:-2] + b"\x02" + data[-1:]),
        "whose list of PSKs is left out": ("ENC-04", lambda data: data[:-1]),
        "with a PSK of type 0": ("ENC-10", lambda data: data[:-1] + b"\x03\x00\x00\x00"),
        "whose joiner_secret has a length that is not minimal": ("ENC-02", lambda data: b"\x40" + data),
    }
    for name, (rule, spoil) in spoilt.items():
        scene.refuse(rule, f"GroupSecrets {name}", **_opening(invitation, spoil, _same))
    infos: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
        "with an octet after it": ("ENC-08", lambda data: data + b"\x00"),
        "without its last octet": ("ENC-04", lambda data: data[:-1]),
        "that is empty": ("ENC-04", lambda data: b""),
        "of version 2": ("ENC-11", lambda data: b"\x00\x02" + data[2:]),
        "of version 0": ("ENC-11", lambda data: b"\x00\x00" + data[2:]),
    }
    for name, (rule, spoil) in infos.items():
        scene.refuse(rule, f"a GroupInfo {name}", **_opening(invitation, _same, spoil))
    return scene


def _path_secret(rng: random.Random) -> Scene:
    invitation = Invitation(rng, with_path=True)
    scene = invitation.scene("the path secret in a Welcome")
    scene.accept(**_opening(invitation, _same, _same))
    size = len(encode(PathSecret(bytes(32))))

    def bare(data: bytes) -> bytes:
        """The secret without its length, before an empty list of PSKs."""
        return data[: -size - 1] + b"\x3f" + data[-size + 1 :]

    def nested(data: bytes) -> bytes:
        return data[: -size - 1] + encode_opaque(data[-size - 1 : -1]) + data[-1:]

    scene.refuse("ENC-15", "its length is that of something else", noticed="ENC-04", **_opening(invitation, bare, _same))
    scene.refuse("ENC-15", "a length around it and its length", noticed="WL-16", **_opening(invitation, nested, _same))
    return scene
