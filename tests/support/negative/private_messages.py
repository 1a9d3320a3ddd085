"""Private messages that break one rule, and those of peers that encrypt otherwise (RFC 9420, Sections 6.3 and 9)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from dmls.mls.codec import encode, encode_opaque
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite, cipher_suite
from dmls.mls.framing.private_message import SenderData
from dmls.mls.framing.signing import sign_content
from dmls.mls.limits import Limits
from dmls.mls.messages.message import (
    ApplicationData,
    FramedContent,
    Member,
    PrivateMessage,
    encode_authentication,
    encode_message,
)
from dmls.mls.messages.proposal import Remove
from dmls.mls.messages.registry import ContentType, WireFormat
from dmls.mls.schedule.secret_tree import SecretTree
from tests.support.forge import forge_message
from tests.support.groups import Party, body_of
from tests.support.negative.deviant import Step, deviant_party, relabelled, wide_kdf_label
from tests.support.negative.model import Scene, messages
from tests.support.negative.stand import Stand

__all__ = ["scenes"]

SUITE = cipher_suite(1)
PRIVATE = WireFormat.PRIVATE_MESSAGE
AUTHENTICATED = b"authenticated data"
GUARD = b"\x01\x02\x03\x04"


def scenes(rng: random.Random) -> Iterator[Scene]:
    """Make the scenes of this area."""
    yield _plaintexts(rng)
    yield _altered(rng)
    yield _keys(rng)
    yield _deviants(rng)
    yield _ratchets(rng)


def _seal(
    party: Party,
    plaintext: bytes,
    *,
    kind: ContentType = ContentType.APPLICATION,
    ratchet: ContentType | None = None,
    generation: int = 0,
    said: int | None = None,
    sender_data: Callable[[bytes], bytes] = lambda data: data,
    tree: SecretTree | None = None,
) -> bytes:
    """Encrypt whatever it is told to, under a key that the sender holds."""
    state = party.state
    context = state.public.context
    secrets = replace(tree or state.secret_tree, limits=Limits(max_forward=1 << 33))
    key, _ = secrets.message_key(party.leaf, ratchet or kind, generation)
    head = encode_opaque(context.group_id) + context.epoch.to_bytes(8, "big") + bytes((kind,))
    ciphertext = SUITE.aead_seal(key.key, key.nonce, head + encode_opaque(AUTHENTICATED), plaintext)
    sample, secret = ciphertext[: SUITE.hash_size], state.secrets.sender_data_secret
    sender_key = SUITE.expand_with_label(secret, "key", sample, SUITE.key_size)
    sender_nonce = SUITE.expand_with_label(secret, "nonce", sample, SUITE.nonce_size)
    data = sender_data(encode(SenderData(party.leaf, generation if said is None else said, 0)))
    sealed = SUITE.aead_seal(sender_key, sender_nonce, head, data)
    return encode_message(PrivateMessage(context.group_id, context.epoch, kind, AUTHENTICATED, sealed, ciphertext))


def _plaintext(party: Party, body: ApplicationData | Remove) -> bytes:
    """Return PrivateMessageContent without padding."""
    context = party.state.public.context
    framed = FramedContent(context.group_id, context.epoch, Member(party.leaf), AUTHENTICATED, body)
    signature = sign_content(SUITE, PRIVATE, framed, context, party.client.signature_private_key)
    content = encode(body) if isinstance(body, ApplicationData) else b"\x00\x03" + encode(body)
    return content + encode_authentication(signature, None)


def _plaintexts(rng: random.Random) -> Scene:
    stand = Stand(rng)
    alice = stand["a"]
    text = _plaintext(alice, ApplicationData(b"text"))
    scene = stand.scene("what is encrypted")
    for padding in (b"", b"\x00", bytes(255)):
        scene.accept(**messages(_seal(alice, text + padding)))
    scene.accept(**messages(_seal(alice, _plaintext(alice, Remove(1)), kind=ContentType.PROPOSAL)))
    paddings = {
        "one octet": b"\x01",
        "the first octet": b"\x01" + bytes(7),
        "the last octet": bytes(7) + b"\x01",
        "an octet in the middle": bytes(99) + b"\x80" + bytes(99),
    }
    for name, padding in paddings.items():
        scene.refuse("PRV-01", f"padding that is not zero: {name}", **messages(_seal(alice, text + padding)))
    contents = {
        "nothing": (b"", "ENC-04"),
        "only padding": (bytes(40), "FRM-09"),
        "application data without a signature": (encode(ApplicationData(b"text")), "ENC-04"),
        "a signature that is cut": (text[:-1], "ENC-04"),
        "a length that is not minimal": (b"\x40" + text, "ENC-02"),
    }
    for name, (content, noticed) in contents.items():
        scene.refuse("PRV-02", f"no content: {name}", noticed=noticed, **messages(_seal(alice, content)))
    forged = forge_message(
        alice, ApplicationData(b"text"), wire_format=PRIVATE, alter_signature=lambda signature: bytes(len(signature))
    )
    scene.refuse("PRV-11", "a signature of zeros", noticed="FRM-09", **messages(forged))
    wrong = forge_message(
        alice, ApplicationData(b"text"), wire_format=PRIVATE, alter=lambda content: replace(content, sender=Member(1))
    )
    scene.refuse("FRM-09", "the sender is another member", **messages(wrong))
    for size in (0, 11, 13, 24):
        short = _seal(alice, text, sender_data=lambda data, size=size: (data + bytes(12))[:size])  # type: ignore[misc]
        scene.refuse("PRV-13", f"sender data of {size} octets", **messages(short))
    for index in (4, 8, 2**32 - 1):
        lost = _seal(alice, text, sender_data=lambda data, index=index: index.to_bytes(4, "big") + data[4:])  # type: ignore[misc]
        scene.refuse("PRV-07", f"the sender's leaf is {index}", **messages(lost))
    return scene


def _altered(rng: random.Random) -> Scene:
    stand = Stand(rng)
    alice = stand["a"]
    sent = body_of(alice.send(b"text", authenticated_data=AUTHENTICATED), PrivateMessage)
    scene = stand.scene("what was altered on its way")
    scene.accept(**messages(encode_message(sent)))
    context = stand.follower.context

    def changed(**changes: Any) -> dict[str, Any]:
        return messages(encode_message(replace(sent, **changes)))

    scene.refuse("FRM-11", "group_id", **changed(group_id=b"another"))
    scene.refuse("FRM-12", "epoch", **changed(epoch=context.epoch + 1))
    for kind in (ContentType.PROPOSAL, ContentType.COMMIT):
        scene.refuse("PRV-09", f"content_type is {kind.name.lower()}", noticed=None, **changed(content_type=kind))
    scene.refuse("PRV-04", "authenticated_data", noticed=None, **changed(authenticated_data=b""))
    scene.refuse("PRV-05", "encrypted_sender_data", noticed=None, **changed(encrypted_sender_data=bytes(28)))
    scene.refuse("PRV-05", "encrypted_sender_data is empty", noticed=None, **changed(encrypted_sender_data=b""))
    first = bytes((sent.ciphertext[0] ^ 1,)) + sent.ciphertext[1:]
    scene.refuse(
        "PRV-06", "the first octet of the ciphertext, of which the sample is taken", noticed=None, **changed(ciphertext=first)
    )
    scene.refuse("PRV-06", "the ciphertext is shorter than a sample", noticed=None, **changed(ciphertext=sent.ciphertext[:20]))
    scene.refuse("PRV-06", "the ciphertext is empty", noticed=None, **changed(ciphertext=b""))
    return scene


def _keys(rng: random.Random) -> Scene:
    stand = Stand(rng)
    alice = stand["a"]
    text = _plaintext(alice, ApplicationData(b"text"))
    proposal = _plaintext(alice, Remove(1))
    before = alice.state
    heard = alice.send(b"heard already")
    alice.state = before
    stand.watcher.receive(heard)
    scene = stand.scene("which key encrypts it")
    scene.accept(**messages(_seal(alice, text, generation=1)))
    scene.accept(**messages(_seal(alice, text, generation=3), _seal(alice, text, generation=1)))
    scene.refuse("ST-13", "a message for the second time", **messages(heard))
    scene.refuse("ST-04", "another message under a key that was used", noticed="ST-13", **messages(_seal(alice, text)))
    again = _seal(alice, text, generation=2)
    scene.refuse("ST-13", "a message twice, one skipped before it", **messages(again, again))
    scene.refuse("ST-08", "a generation far ahead", **messages(_seal(alice, text, said=5_000)))
    scene.refuse("ST-08", "the last generation there is", **messages(_seal(alice, text, said=2**32 - 1)))
    scene.refuse(
        "PRV-08",
        "application data under the handshake ratchet",
        noticed=None,
        **messages(_seal(alice, text, ratchet=ContentType.PROPOSAL, generation=1)),
    )
    mixed = _seal(alice, proposal, kind=ContentType.PROPOSAL, ratchet=ContentType.APPLICATION, generation=1)
    scene.refuse("PRV-08", "a proposal under the application ratchet", noticed=None, **messages(mixed))
    scene.refuse(
        "ST-03", "a key of another generation than it says", noticed=None, **messages(_seal(alice, text, generation=1, said=2))
    )
    return scene


def _deviants(rng: random.Random) -> Scene:
    """Messages of a member that encrypts otherwise."""
    stand = Stand(rng)
    alice = stand["a"]
    scene = stand.scene("how it is encrypted")

    def sent(**steps: Step) -> dict[str, Any]:
        double = deviant_party(alice, **steps)
        double.random = lambda size: GUARD[:size]
        return messages(double.send(b"text", authenticated_data=AUTHENTICATED))

    scene.accept(**sent())

    def with_aad(alter: Callable[[bytes], bytes], is_content: bool) -> Step:
        """Alter what is authenticated beside the content, or beside the sender data."""

        def seal(suite: CipherSuite, key: bytes, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
            fits = aad.endswith(AUTHENTICATED) is is_content
            return suite.aead_seal(key, nonce, alter(aad) if fits else aad, plaintext)

        return seal

    size = len(encode_opaque(AUTHENTICATED))
    aads = {
        "without authenticated_data": lambda aad: aad[:-size],
        "without content_type": lambda aad: aad[: -size - 1] + aad[-size:],
        "that is empty": lambda aad: b"",
    }
    for name, alter in aads.items():
        scene.refuse("PRV-04", f"a PrivateContentAAD {name}", noticed=None, **sent(aead_seal=with_aad(alter, True)))
    sender_aads = {
        "with authenticated_data": lambda aad: aad + encode_opaque(AUTHENTICATED),
        "without content_type": lambda aad: aad[:-1],
        "that is empty": lambda aad: b"",
    }
    for name, alter in sender_aads.items():
        scene.refuse("PRV-05", f"a SenderDataAAD {name}", noticed=None, **sent(aead_seal=with_aad(alter, False)))

    def sampled(length: int) -> Step:
        def expand(suite: CipherSuite, secret: bytes, label: str, context: bytes, size: int) -> Secret:
            return suite.expand_with_label(secret, label, context[:length] if label in {"key", "nonce"} else context, size)

        return expand

    for length in (0, 16, 31):
        scene.refuse("PRV-06", f"a sample of {length} octets", noticed=None, **sent(expand_with_label=sampled(length)))

    def guarded(place: int | None) -> Step:
        """Put the reuse guard somewhere else."""

        def seal(suite: CipherSuite, key: bytes, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
            if aad.endswith(AUTHENTICATED):
                plain = bytearray(_xor(nonce, GUARD))
                if place is not None:
                    plain[place : place + 4] = _xor(bytes(plain[place : place + 4]), GUARD)
                nonce = bytes(plain)
            return suite.aead_seal(key, nonce, aad, plaintext)

        return seal

    scene.refuse("PRV-03", "the reuse guard is not in the nonce", noticed=None, **sent(aead_seal=guarded(None)))
    scene.refuse("PRV-03", "the reuse guard is in the last octets of the nonce", noticed=None, **sent(aead_seal=guarded(8)))
    scene.refuse("CRY-04", "KDFLabel with a length of four octets", noticed=None, **sent(expand_with_label=wide_kdf_label))
    return scene


def _xor(data: bytes, guard: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(data, guard + bytes(len(data)), strict=False))


def _ratchets(rng: random.Random) -> Scene:
    """Messages of a member whose secret tree is another."""
    stand = Stand(rng, "abcdw")
    alice = stand["b"]
    # The encryption secret is gone, but for who made the epoch.
    staged = stand["a"].stage()
    secrets: list[Secret] = []

    def tell(suite: CipherSuite, secret: bytes, label: str) -> Secret:
        derived = suite.derive_secret(secret, label)
        if label == "encryption":
            secrets.append(derived)
        return derived

    watched = deviant_party(alice, derive_secret=tell)
    watched.receive(staged.message)
    for party in (alice, stand.watcher):
        party.receive(staged.message)
    (encryption_secret,) = secrets[-1:]
    scene = stand.scene("where its key comes from")

    def sent(steps: dict[str, Step] | None = None, width: int = 8) -> dict[str, Any]:
        double = deviant_party(alice, **(steps or {}))
        tree = SecretTree.create(double.suite, encryption_secret, width)
        double.state = replace(double.state, secret_tree=tree)
        return messages(double.send(b"text"))

    scene.accept(**sent())

    def mirrored(suite: CipherSuite, secret: bytes, label: str, context: bytes, length: int) -> Secret:
        context = {b"left": b"right", b"right": b"left"}.get(context, context)
        return suite.expand_with_label(secret, label, context, length)

    def narrow(suite: CipherSuite, secret: bytes, label: str, generation: int, length: int) -> Secret:
        return suite.expand_with_label(secret, label, generation.to_bytes(1, "big"), length)

    scene.refuse("ST-01", "left and right exchanged", noticed=None, **sent({"expand_with_label": mirrored}))
    for label, other in (("tree", "node"), ("application", "app")):
        scene.refuse("ST-01", f'label "{other}" for "{label}"', noticed=None, **sent(relabelled(**{label: other})))
    scene.refuse("ST-02", "a tree as wide as there are members", noticed=None, **sent(width=4))
    scene.refuse("ST-02", "a tree of twice the width", noticed=None, **sent(width=16))
    scene.refuse("ST-03", "a generation of one octet", noticed=None, **sent({"derive_tree_secret": narrow}))
    scene.refuse("ST-10", "one ratchet for handshake and application", noticed=None, **sent(relabelled(application="handshake")))
    return scene
