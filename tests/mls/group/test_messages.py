"""Framed messages of a group: application data both ways, late and early, and what is refused (RFC 9420, Section 6)."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from dmls.errors import DecryptionError
from dmls.ids import LeafIndex
from dmls.mls.codec import decode, encode
from dmls.mls.crypto.suites import CIPHER_SUITES, CipherSuite, cipher_suite
from dmls.mls.framing.padding import pad_to_multiple
from dmls.mls.group.application import encrypt
from dmls.mls.group.follower import open_public_message
from dmls.mls.group.process import open_message
from dmls.mls.messages.message import (
    ApplicationData,
    FramedContent,
    Member,
    MLSMessage,
    PrivateMessage,
    PublicMessage,
    encode_message,
)
from dmls.mls.messages.proposal import Remove
from dmls.mls.messages.registry import ContentType, WireFormat
from tests.support.forge import forge_commit, forge_message
from tests.support.groups import Party, Room, body_of, fingerprint, parties, refusing, room_of

SUITE = cipher_suite(1)
PUBLIC, PRIVATE = WireFormat.PUBLIC_MESSAGE, WireFormat.PRIVATE_MESSAGE
Spoil = Callable[[FramedContent], FramedContent]


def opened(party: Party, message: bytes) -> bytes:
    """The application data of a message; the party's state stays."""
    content, _ = open_message(party.state, decode(MLSMessage, message))
    assert isinstance(content.content.content, ApplicationData)
    return content.content.content.data


# Application data


@pytest.mark.parametrize("suite", CIPHER_SUITES, ids=lambda suite: f"suite{suite.id}")
def test_everybody_reads_everybody(suite: CipherSuite, rng: random.Random) -> None:
    room, members = room_of(rng, "abc", suite)
    for text in (b"", b"x", bytes(5000)):
        for sender in members:
            room.say(sender, text, authenticated_data=b"seen by all", padding=pad_to_multiple(64))


def test_authenticated_data_is_delivered(room: Room) -> None:
    alice, bob, *_ = room.members
    message = alice.send(b"text", authenticated_data=b"more")
    content, _ = open_message(bob.state, decode(MLSMessage, message))
    assert content.content.authenticated_data == b"more"
    assert content.content.sender == Member(alice.leaf)


def test_order_does_not_matter_and_nothing_is_read_twice(room: Room, rng: random.Random) -> None:
    alice, bob, carol, _ = room.members
    texts = [str(number).encode() for number in range(40)]
    messages = [alice.send(text) for text in texts]
    order = list(range(40))
    rng.shuffle(order)
    for number in order:
        assert bob.receive(messages[number]) == texts[number]
        bob.state = room.store.revive(bob.state)
    for message in messages:
        with refusing("ST-13", bob):
            bob.receive(message)
    # Nobody is disturbed by the loss of all but the last.
    assert carol.receive(messages[-1]) == texts[-1]


def test_what_one_sent_oneself_is_recognised_as_used(room: Room) -> None:
    alice, bob, *_ = room.members
    message = alice.send(b"text")
    with refusing("ST-13", alice):
        alice.receive(message)
    assert bob.receive(message) == b"text"
    assert bob.receive(alice.send(b"next")) == b"next"


def test_padding_hides_the_length(room: Room) -> None:
    alice, bob, *_ = room.members
    sizes = set()
    for text in (b"", b"a", b"a" * 100):
        message = alice.send(text, padding=pad_to_multiple(256))
        sizes.add(len(message))
        assert bob.receive(message) == text
    assert len(sizes) == 1


def test_two_messages_of_one_position_do_not_share_a_nonce(room: Room) -> None:
    alice = room.members[0]
    first, second = (encrypt(alice.state, alice.client, alice.leaf, b"text", alice.random).message for _ in range(2))
    assert body_of(first, PrivateMessage).ciphertext != body_of(second, PrivateMessage).ciphertext
    assert opened(room.members[1], first) == opened(room.members[1], second) == b"text"


def test_a_message_of_a_past_epoch_is_its_senders_of_then(room: Room, rng: random.Random) -> None:
    """The sender has left, rotated its key, or its place has gone to another: what counts is the epoch of the message."""
    alice, bob, carol, dan = room.members
    late = {name: party.send(name.encode()) for name, party in (("bob", bob), ("carol", carol))}
    then = {party: party.state for party in (alice, dan)}
    (newcomer,) = parties(SUITE, "n", rng)
    room.commit(alice, Remove(bob.leaf), leavers=[bob])
    old = carol.client
    carol.client = parties(SUITE, "c", rng)[0].client
    room.add(carol, newcomer, signature_private_key=old.signature_private_key, force_path=True)
    assert newcomer.leaf == 1
    for reader, held in then.items():
        with refusing("FRM-12", reader):
            reader.receive(late["bob"])
        state = held
        for name, message in late.items():
            content, state = open_message(state, decode(MLSMessage, message))
            assert content.content.content == ApplicationData(name.encode())
        now, reader.state = reader.state, state
        with refusing("ST-13", reader):
            reader.receive(late["carol"])
        reader.state = now


def test_a_message_that_comes_too_early_is_of_a_later_epoch(room: Room) -> None:
    alice, bob, *_ = room.members
    staged = alice.stage()
    alice.enter(staged)
    message = alice.send(b"text")
    with refusing("FRM-12", bob):
        bob.receive(message)
    bob.receive(staged.message)
    assert bob.receive(message) == b"text"


# What is refused


def test_application_data_is_never_public(room: Room) -> None:
    alice, bob, *_ = room.members
    message = forge_message(alice, ApplicationData(b"text"))
    with refusing("FRM-13", bob):
        bob.receive(message)
    with refusing("FRM-13"):
        open_public_message(room.follower, decode(MLSMessage, message))


CONTENTS: dict[str, tuple[str, Spoil]] = {
    "another group": ("FRM-11", lambda content: replace(content, group_id=b"!another:example.org")),
    "an earlier epoch": ("FRM-12", lambda content: replace(content, epoch=content.epoch - 1)),
    "a later epoch": ("FRM-12", lambda content: replace(content, epoch=content.epoch + 1)),
    "a blank leaf": ("FRM-04", lambda content: replace(content, sender=Member(3))),
    "a leaf beyond the tree": ("FRM-04", lambda content: replace(content, sender=Member(4))),
    "the last leaf there is": ("FRM-04", lambda content: replace(content, sender=Member(2**32 - 1))),
    "another member": ("FRM-09", lambda content: replace(content, sender=Member(2))),
}


@pytest.mark.parametrize(("rule", "spoil"), list(CONTENTS.values()), ids=list(CONTENTS))
def test_a_public_message_from_nowhere_is_refused(room: Room, rule: str, spoil: Spoil) -> None:
    alice, bob, _, dan = room.members
    room.commit(alice, Remove(dan.leaf), leavers=[dan])
    message = forge_message(alice, Remove(LeafIndex(2)), alter=spoil)
    with refusing(rule, bob):
        bob.receive(message)
    with refusing(rule):
        open_public_message(room.follower, decode(MLSMessage, message))


def test_the_signature_covers_every_field(room: Room) -> None:
    alice, bob, *_ = room.members
    sent = body_of(forge_message(alice, Remove(LeafIndex(2))), PublicMessage)
    content = sent.content
    for changed in (
        replace(content, authenticated_data=b"x"),
        replace(content, content=Remove(LeafIndex(3))),
        replace(content, sender=Member(2)),
    ):
        # The tag is made anew by an insider, the signature cannot be.
        message = forge_message(alice, Remove(LeafIndex(2)), alter=lambda _, changed=changed: changed)  # type: ignore[misc]
        spoilt = replace(body_of(message, PublicMessage), signature=sent.signature)
        with refusing("PUB-03", bob):
            bob.receive(encode_message(spoilt))
        with refusing("FRM-09"):
            open_public_message(room.follower, MLSMessage(decode(MLSMessage, message).version, spoilt))


def test_the_signature_covers_the_group_and_the_wire_format(room: Room) -> None:
    alice, bob, *_ = room.members
    elsewhere = forge_message(
        alice, Remove(LeafIndex(2)), alter_context=lambda context: replace(context, confirmed_transcript_hash=bytes(32))
    )
    with refusing("PUB-03", bob):
        bob.receive(elsewhere)
    for signed, sent in ((PUBLIC, PRIVATE), (PRIVATE, PUBLIC)):
        with refusing("FRM-09", bob):
            bob.receive(forge_message(alice, Remove(LeafIndex(2)), signed_format=signed, wire_format=sent))


@pytest.mark.parametrize("spoil", [lambda tag: bytes(32), lambda tag: b"", lambda tag: tag[:-1], lambda tag: tag + b"\x00"])
def test_the_membership_tag_is_whole_and_right(room: Room, spoil: Callable[[bytes], bytes]) -> None:
    alice, bob, *_ = room.members
    sent = body_of(forge_message(alice, Remove(LeafIndex(2))), PublicMessage)
    assert sent.membership_tag is not None
    with refusing("PUB-03", bob):
        bob.receive(encode_message(replace(sent, membership_tag=spoil(sent.membership_tag))))
    # Whoever has no secrets cannot tell.
    open_public_message(room.follower, MLSMessage(decode(MLSMessage, forge_message(alice, Remove(LeafIndex(2)))).version, sent))


def test_the_membership_tag_is_of_the_epoch(room: Room) -> None:
    alice, bob, *_ = room.members
    old = alice.state.secrets.membership_key
    room.commit(alice)
    with refusing("PUB-03", bob):
        bob.receive(forge_message(alice, Remove(LeafIndex(2)), membership_key=old))


PRIVATES: dict[str, Callable[[PrivateMessage], PrivateMessage]] = {
    "authenticated data": lambda message: replace(message, authenticated_data=b"x"),
    "content type": lambda message: replace(message, content_type=ContentType.PROPOSAL),
    "sender data": lambda message: replace(message, encrypted_sender_data=bytes(len(message.encrypted_sender_data))),
    "short sender data": lambda message: replace(message, encrypted_sender_data=message.encrypted_sender_data[:-1]),
    "no sender data": lambda message: replace(message, encrypted_sender_data=b""),
    "first octet": lambda message: replace(message, ciphertext=bytes((message.ciphertext[0] ^ 1,)) + message.ciphertext[1:]),
    "last octet": lambda message: replace(message, ciphertext=message.ciphertext[:-1] + bytes((message.ciphertext[-1] ^ 1,))),
    "cut": lambda message: replace(message, ciphertext=message.ciphertext[:20]),
    "empty": lambda message: replace(message, ciphertext=b""),
}


@pytest.mark.parametrize("spoil", list(PRIVATES.values()), ids=list(PRIVATES))
def test_a_private_message_that_was_altered_does_not_open_and_burns_nothing(
    room: Room, spoil: Callable[[PrivateMessage], PrivateMessage]
) -> None:
    alice, bob, *_ = room.members
    message = alice.send(b"text")
    before = fingerprint(bob.state)
    with pytest.raises(DecryptionError):
        bob.receive(encode_message(spoil(body_of(message, PrivateMessage))))
    assert fingerprint(bob.state) == before
    assert bob.receive(message) == b"text"


def test_a_private_message_of_elsewhere_is_refused(room: Room) -> None:
    alice, bob, *_ = room.members
    message = body_of(alice.send(b"text"), PrivateMessage)
    for spoilt, rule in (
        (replace(message, group_id=b"another"), "FRM-11"),
        (replace(message, epoch=message.epoch - 1), "FRM-12"),
        (replace(message, epoch=message.epoch + 1), "FRM-12"),
    ):
        with refusing(rule, bob):
            bob.receive(encode_message(spoilt))


def test_an_insiders_bad_signature_in_a_good_ciphertext_burns_nothing(room: Room) -> None:
    alice, bob, *_ = room.members
    forged = forge_message(
        alice, ApplicationData(b"forged"), wire_format=PRIVATE, alter_signature=lambda signature: bytes(len(signature))
    )
    with refusing("FRM-09", bob):
        bob.receive(forged)
    genuine = alice.send(b"genuine")
    assert bob.receive(genuine) == b"genuine"


def test_an_insider_does_not_speak_for_another_or_for_nobody(room: Room) -> None:
    alice, bob, _, dan = room.members
    room.commit(alice, Remove(dan.leaf), leavers=[dan])
    for index, rule in ((2, "FRM-09"), (3, "PRV-07")):
        with refusing(rule, bob):
            bob.receive(
                forge_message(
                    alice,
                    ApplicationData(b"x"),
                    wire_format=PRIVATE,
                    alter=lambda content, index=index: replace(content, sender=Member(index)),  # type: ignore[misc]
                )
            )


def test_a_private_commit_of_a_bad_tag_changes_nothing(room: Room) -> None:
    alice, bob, *_ = room.members
    message = forge_commit(alice, wire_format=PRIVATE, alter_tag=lambda tag: bytes(32))
    with refusing("CP-10", bob):
        bob.receive(message)
    bob.process(forge_commit(alice, wire_format=PRIVATE))


def test_what_is_no_framed_message_is_refused(room: Room, rng: random.Random) -> None:
    alice, bob, *_ = room.members
    (newcomer,) = parties(SUITE, "n", rng)
    staged = alice.stage()
    for body in (newcomer.key_package(), alice.group_info()):
        message = MLSMessage(decode(MLSMessage, staged.message).version, body)
        with refusing(None, bob):
            bob.receive(encode(message))
        with refusing(None):
            open_public_message(room.follower, message)
    with refusing(None):
        open_public_message(room.follower, decode(MLSMessage, alice.send(b"x")))


def test_a_proposal_is_framed_as_public_or_private(room: Room) -> None:
    alice = room.members[0]
    with refusing(None, alice):
        alice.propose(Remove(LeafIndex(2)), wire_format=WireFormat.GROUP_INFO)


def test_only_own_leaves_send(room: Room) -> None:
    alice, bob, *_ = room.members
    before = fingerprint(alice.state)
    for index in (bob.leaf, LeafIndex(9)):
        with refusing(None, alice):
            encrypt(alice.state, alice.client, index, b"x", alice.random)
    assert fingerprint(alice.state) == before


def test_what_is_said_is_not_printed(room: Room) -> None:
    alice, bob, *_ = room.members
    content, _ = open_message(bob.state, decode(MLSMessage, alice.send(b"a secret text")))
    printed = f"{content!r} {content.content.content!r} {alice.state!r} {alice.stage()!r} {alice.ring!r} {alice.client!r}"
    assert "a secret text" not in printed
    assert "ApplicationData(secret)" in printed
    for secret in (*alice.ring.keys.values(), alice.state.secrets.exporter_secret, alice.client.signature_private_key):
        assert secret.hex() not in printed
        assert bytes(secret).__repr__() not in printed
