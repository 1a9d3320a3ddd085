"""Keys, signatures and ciphertexts that are none of their cipher suite (RFC 9420, Sections 5.1 and 17.1)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from dmls.mls.codec import encode_opaque
from dmls.mls.crypto.aead import AES_256_GCM, CHACHA20_POLY1305
from dmls.mls.crypto.suites import CipherSuite, cipher_suite
from dmls.mls.messages.key_package import KeyPackage
from dmls.mls.messages.proposal import Add, Remove
from tests.support.forge import forge_commit, forge_key_package, forge_message
from tests.support.groups import Party
from tests.support.negative.deviant import Step, deviant_party
from tests.support.negative.model import Attempt, Scene, key_package_attempt, messages
from tests.support.negative.stand import Stand

__all__ = ["scenes"]


def scenes(rng: random.Random) -> Iterator[Scene]:
    """Make the scenes of this area."""
    for number in (2, 7, 5):
        yield _points(rng, number)
        yield _signatures(rng, number)
    for number in (1, 4):
        yield _montgomery(rng, number)
    for number in (1, 3, 7):
        yield _ciphers(rng, number)
    yield _labels(rng)


def _points(rng: random.Random, number: int) -> Scene:
    suite = cipher_suite(number)
    scene = Scene(f"points of cipher suite {number}", "key_package", number, {})
    party = Party(suite, "newcomer", rng.randbytes)
    made = forge_key_package(party)
    scene.accept(**key_package_attempt(made))
    key = made.init_key
    half = (len(key) - 1) // 2
    points = {
        "a compressed point": ("CRY-06", bytes((2 + (key[-1] & 1),)) + key[1 : 1 + half]),
        "a hybrid point": ("CRY-06", bytes((6 + (key[-1] & 1),)) + key[1:]),
        "a point without its first octet": ("CRY-06", key[1:]),
        "a point off the curve": ("CRY-08", key[:-1] + bytes((key[-1] ^ 1,))),
        "the origin": ("CRY-08", b"\x04" + bytes(len(key) - 1)),
        "coordinates beyond the field": ("CRY-08", b"\x04" + b"\xff" * (len(key) - 1)),
        "the point at infinity": ("CRY-08", b"\x00"),
    }
    for name, (rule, point) in points.items():
        package = forge_key_package(party, partial(replace, init_key=point))
        scene.refuse(rule, f"init_key: {name}", noticed="KP-06", **key_package_attempt(package))
        package = forge_key_package(party, alter_leaf=partial(replace, encryption_key=point))
        scene.refuse(rule, f"encryption_key: {name}", noticed="LN-25", **key_package_attempt(package))
        package = forge_key_package(party, alter_leaf=partial(replace, signature_key=point))
        scene.refuse(rule, f"signature_key: {name}", noticed="LN-25", **key_package_attempt(package))
    other = Party(cipher_suite(1), "other", rng.randbytes).client.signature_key
    package = forge_key_package(party, alter_leaf=partial(replace, signature_key=other))
    scene.refuse("CRY-14", "signature_key: an Ed25519 key", noticed="LN-25", **key_package_attempt(package))
    return scene


def _der(value: int) -> bytes:
    data = value.to_bytes((value.bit_length() // 8) + 1, "big")
    return b"\x02" + bytes((len(data),)) + data


def _long(value: int) -> bytes:
    """An integer with an octet more than it needs."""
    data = b"\x00" + value.to_bytes((value.bit_length() // 8) + 1, "big")
    return b"\x02" + bytes((len(data),)) + data


def _sequence(body: bytes) -> bytes:
    head = bytes((len(body),)) if len(body) < 0x80 else b"\x81" + bytes((len(body),))
    return b"\x30" + head + body


def _signatures(rng: random.Random, number: int) -> Scene:
    suite = cipher_suite(number)
    scene = Scene(f"ECDSA signatures of cipher suite {number}", "key_package", number, {})
    party = Party(suite, "newcomer", rng.randbytes)
    made: KeyPackage = forge_key_package(party)
    scene.accept(**key_package_attempt(made))
    r, s = decode_dss_signature(made.signature)
    size = suite.signature.private_key_size
    order = {2: 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551}.get(number)
    body = _der(r) + _der(s)
    assert _sequence(body) == made.signature
    spoilt = {
        "an octet after it": made.signature + b"\x00",
        "cut": made.signature[:-1],
        "empty": b"",
        "r and s without DER": r.to_bytes(size, "big") + s.to_bytes(size, "big"),
        "r longer than it need be": _sequence(_long(r) + _der(s)),
        "s longer than it need be": _sequence(_der(r) + _long(s)),
        "a length longer than it need be": b"\x30\x82" + len(body).to_bytes(2, "big") + body,
        "a length that is left open": b"\x30\x80" + body + b"\x00\x00",
        "an integer after s": _sequence(body + _der(1)),
        "r is zero": _sequence(_der(0) + _der(s)),
        "s is zero": _sequence(_der(r) + _der(0)),
        "r is negative": _sequence(b"\x02\x01\xff" + _der(s)),
    }
    if order is not None:
        spoilt["s is larger than the order"] = _sequence(_der(r) + _der(s + order))
    for name, signature in spoilt.items():
        scene.refuse("CRY-05", name, noticed="KP-03", **key_package_attempt(replace(made, signature=signature)))
    scene.refuse("KP-03", "the signature of the leaf", **key_package_attempt(replace(made, signature=made.leaf_node.signature)))
    wrong = hashes.SHA384() if number == 2 else hashes.SHA256()

    def sign(suite: CipherSuite, key: bytes, label: str, content: bytes) -> bytes:
        signed = encode_opaque(b"MLS 1.0 " + label.encode()) + encode_opaque(content)
        made: bytes = suite.signing_key(key).parsed.sign(signed, ec.ECDSA(wrong, deterministic_signing=True))
        return made

    # The leaf is signed as it should be, the key package is not.
    other = forge_key_package(deviant_party(party, sign_with_label=sign))
    mixed = replace(made, signature=_resigned(party, made, sign))
    scene.refuse("CRY-07", f"made with {wrong.name}", noticed="KP-03", **key_package_attempt(mixed))
    scene.refuse("CRY-07", f"leaf and key package made with {wrong.name}", noticed="LN-02", **key_package_attempt(other))
    return scene


def _resigned(party: Party, package: KeyPackage, sign: Step) -> bytes:
    double = deviant_party(party, sign_with_label=sign)
    return forge_key_package(double, lambda _: package).signature


def _montgomery(rng: random.Random, number: int) -> Scene:
    suite = cipher_suite(number)
    scene = Scene(f"keys of cipher suite {number}", "key_package", number, {})
    party = Party(suite, "newcomer", rng.randbytes)
    made = forge_key_package(party)
    scene.accept(**key_package_attempt(made))
    size = len(made.init_key)
    prime = 2**255 - 19 if number == 1 else 2**448 - 2**224 - 1
    keys = {
        "empty": ("CRY-06", b""),
        "an octet short": ("CRY-06", made.init_key[:-1]),
        "an octet long": ("CRY-06", made.init_key + b"\x00"),
        "zero": ("CRY-08", bytes(size)),
        "one": ("CRY-08", (1).to_bytes(size, "little")),
        "minus one": ("CRY-08", (prime - 1).to_bytes(size, "little")),
    }
    for name, (rule, key) in keys.items():
        package = forge_key_package(party, partial(replace, init_key=key))
        scene.refuse(rule, f"init_key: {name}", noticed="KP-06", **key_package_attempt(package))
        package = forge_key_package(party, alter_leaf=partial(replace, encryption_key=key))
        scene.refuse(rule, f"encryption_key: {name}", noticed="LN-25", **key_package_attempt(package))
    other = Party(cipher_suite(2), "other", rng.randbytes).client.signature_key
    package = forge_key_package(party, alter_leaf=partial(replace, signature_key=other))
    scene.refuse("CRY-14", "signature_key: a point of P-256", noticed="LN-25", **key_package_attempt(package))
    return scene


def _ciphers(rng: random.Random, number: int) -> Scene:
    """Private messages under the AEAD, and commits under the hash, of another suite."""
    suite = cipher_suite(number)
    stand = Stand(rng, "abw", suite)
    scene = stand.scene(f"algorithms of cipher suite {number}")
    alice = stand["a"]
    addition = Add(stand.newcomer().key_package())
    aead = {1: CHACHA20_POLY1305, 3: AES_256_GCM, 7: CHACHA20_POLY1305}[number]

    def seal(suite: CipherSuite, key: bytes, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
        wide = (key * 2)[: aead.key_size]
        return aead.seal(wide, nonce, aad, plaintext)

    message = alice.send(b"text")
    scene.accept(**messages(message))
    scene.accept(**messages(forge_commit(alice, addition, with_path=False)))
    double = deviant_party(alice, aead_seal=seal)
    scene.refuse("CRY-02", f"encrypted with {aead.name}", noticed=None, **messages(double.send(b"text")))
    wrong = cipher_suite(5)

    def mac(suite: CipherSuite, key: bytes, data: bytes) -> bytes:
        return wrong.mac(key, data)[: suite.hash_size]

    tagged = forge_message(deviant_party(alice, mac=mac), Remove(1))
    scene.refuse("CRY-02", "a membership tag of HMAC with SHA-512", noticed="PUB-03", **messages(tagged))

    def extract(suite: CipherSuite, salt: bytes, ikm: bytes) -> Any:
        return type(suite.extract(salt, ikm))(wrong.extract(salt, ikm)[: suite.hash_size])

    derived = forge_commit(deviant_party(alice, extract=extract), addition, with_path=False)
    scene.refuse("CRY-02", "secrets extracted with SHA-512", noticed="CP-10", **messages(derived))
    return scene


def _labels(rng: random.Random) -> Scene:
    """Signatures over something else than SignContent."""
    suite = cipher_suite(1)
    scene = Scene("what the signatures of a key package cover", "key_package", 1, {})
    party = Party(suite, "newcomer", rng.randbytes)
    made = forge_key_package(party)
    scene.accept(**key_package_attempt(made))

    def signing(for_label: str, label: bytes | None, *, raw: bool = False) -> Attempt:
        def sign(suite: CipherSuite, key: bytes, given: str, content: bytes) -> bytes:
            name = given.encode() if label is None or given != for_label else label
            prefixed = (b"MLS 1.0 " + name) if given != for_label or label is None else name
            signed = encode_opaque(prefixed) + (content if raw and given == for_label else encode_opaque(content))
            return suite.signature.sign(suite.signing_key(key).parsed, signed)

        return key_package_attempt(forge_key_package(deviant_party(party, sign_with_label=sign)))

    for label, noticed in (("LeafNodeTBS", "LN-02"), ("KeyPackageTBS", "KP-03")):
        scene.accept(**signing(label, None))
        scene.refuse("CRY-03", f"{label} without the prefix", noticed=noticed, **signing(label, label.encode()))
        scene.refuse(
            "CRY-03", f"{label} with the prefix twice", noticed=noticed, **signing(label, b"MLS 1.0 MLS 1.0 " + label.encode())
        )
        scene.refuse(
            "CRY-03",
            f"{label} with the prefix of another version",
            noticed=noticed,
            **signing(label, b"MLS 1.1 " + label.encode()),
        )
        scene.refuse("EX-14", f"{label} under the other's label", noticed=noticed, **signing(label, b"MLS 1.0 FramedContentTBS"))
        scene.refuse("CRY-03", f"{label} without the length of the content", noticed=noticed, **signing(label, None, raw=True))
    return scene
