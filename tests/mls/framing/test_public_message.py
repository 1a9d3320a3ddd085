from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmls.errors import DMLSError, InvalidMessageError, MacError, UsageError
from dmls.mls.codec import decode, encode
from dmls.mls.crypto.suites import CipherSuite, cipher_suite
from dmls.mls.framing.public_message import protect_public, unprotect_public
from dmls.mls.framing.signing import verify_content
from dmls.mls.messages.message import ExternalSenderIndex, NewMemberCommit, NewMemberProposal, PublicMessage, SenderBody
from dmls.mls.messages.proposal import Remove
from tests.mls.framing.scene import BODIES, PRIVATE, PUBLIC, SUITES, Scene

SUITE = cipher_suite(1)
OUTSIDERS: dict[str, tuple[SenderBody, str]] = {
    "external": (ExternalSenderIndex(0), "proposal"),
    "new_member_proposal": (NewMemberProposal(), "proposal"),
    "new_member_commit": (NewMemberCommit(), "commit"),
}


def message_of(scene: Scene, kind: str = "proposal") -> PublicMessage:
    return protect_public(scene.suite, scene.sign(scene.frame(BODIES[kind]), PUBLIC), scene.context, scene.membership_key)


@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
@pytest.mark.parametrize("kind", ["proposal", "commit"])
def test_a_member_gets_its_content_back(suite: CipherSuite, kind: str) -> None:
    scene = Scene.create(suite)
    message = decode(PublicMessage, encode(message_of(scene, kind)))
    content = unprotect_public(suite, message, scene.context, scene.membership_key)
    assert content == scene.sign(scene.frame(BODIES[kind]), PUBLIC)
    verify_content(suite, content, scene.context, scene.keys.public_key)


def test_the_tag_is_over_what_is_signed_and_the_authentication() -> None:
    scene = Scene.create(SUITE)
    message = message_of(scene, "commit")
    assert message.confirmation_tag is not None
    tbm = b"\x00\x01\x00\x01" + encode(message.content) + encode(scene.context)
    tbm += b"\x40\x40" + message.signature + b"\x20" + message.confirmation_tag
    assert message.membership_tag == SUITE.mac(scene.membership_key, tbm)


@pytest.mark.breaks("PUB-01")
@pytest.mark.parametrize(("sender", "kind"), OUTSIDERS.values(), ids=OUTSIDERS)
def test_senders_from_outside_get_no_tag_and_need_no_key(sender: SenderBody, kind: str) -> None:
    scene = Scene.create(SUITE)
    signed = scene.sign(scene.frame(BODIES[kind], sender=sender), PUBLIC)
    message = protect_public(SUITE, signed, None, None)
    assert message.membership_tag is None
    assert unprotect_public(SUITE, message, scene.context, scene.membership_key) == signed
    with pytest.raises(InvalidMessageError) as raised:
        unprotect_public(SUITE, replace(message, membership_tag=bytes(32)), scene.context, scene.membership_key)
    assert raised.value.rule == "PUB-01"


def test_who_follows_without_secrets_reads_without_checking_the_tag() -> None:
    scene = Scene.create(SUITE)
    message = replace(message_of(scene), membership_tag=b"anything")
    content = unprotect_public(SUITE, message, None, None)
    verify_content(SUITE, content, scene.context, scene.keys.public_key)


@pytest.mark.breaks("PUB-01")
@pytest.mark.parametrize("key", [None, b"k" * 32])
def test_a_members_message_without_tag_is_refused(key: bytes | None) -> None:
    scene = Scene.create(SUITE)
    with pytest.raises(InvalidMessageError) as raised:
        unprotect_public(SUITE, replace(message_of(scene), membership_tag=None), scene.context, key)
    assert raised.value.rule == "PUB-01"


@pytest.mark.breaks("PUB-03", "CRY-13")
@pytest.mark.parametrize(
    "tag", [lambda tag: b"", lambda tag: tag[:-1], lambda tag: tag[1:], lambda tag: tag + b"\x00", lambda tag: tag[::-1]]
)
def test_a_wrong_tag_is_refused_at_any_length(tag: object) -> None:
    scene = Scene.create(SUITE)
    message = message_of(scene)
    forged = replace(message, membership_tag=tag(message.membership_tag))  # type: ignore[operator]
    with pytest.raises(MacError) as raised:
        unprotect_public(SUITE, forged, scene.context, scene.membership_key)
    assert raised.value.rule == "PUB-03"


def test_the_tag_covers_content_signature_confirmation_tag_and_context() -> None:
    scene = Scene.create(SUITE)
    message = message_of(scene, "commit")
    altered = [
        replace(message, content=replace(message.content, authenticated_data=b"x")),
        replace(message, content=replace(message.content, epoch=8)),
        replace(message, signature=bytes(64)),
        replace(message, confirmation_tag=b"\x01" * 32),
    ]
    for forged in altered:
        with pytest.raises(MacError):
            unprotect_public(SUITE, forged, scene.context, scene.membership_key)
    with pytest.raises(MacError):
        unprotect_public(SUITE, message, replace(scene.context, epoch=8), scene.membership_key)


def test_the_tag_of_one_epoch_does_not_pass_in_the_next() -> None:
    scene, later = Scene.create(SUITE), Scene.create(SUITE, seed=1)
    with pytest.raises(MacError):
        unprotect_public(SUITE, message_of(scene), scene.context, later.membership_key)


def test_application_data_is_neither_made_nor_taken() -> None:
    scene = Scene.create(SUITE)
    signed = scene.sign(scene.frame(BODIES["application"]), PUBLIC)
    with pytest.raises(InvalidMessageError) as raised:
        protect_public(SUITE, signed, scene.context, scene.membership_key)
    assert raised.value.rule == "FRM-13"
    message = PublicMessage(signed.content, signed.signature, None, bytes(32))
    for key in (None, scene.membership_key):
        with pytest.raises(InvalidMessageError) as raised:
            unprotect_public(SUITE, message, scene.context, key)
        assert raised.value.rule == "FRM-13"


def test_what_was_signed_for_private_framing_is_not_framed_publicly() -> None:
    scene = Scene.create(SUITE)
    with pytest.raises(UsageError) as raised:
        protect_public(SUITE, scene.sign(scene.frame(Remove(2)), PRIVATE), scene.context, scene.membership_key)
    assert raised.value.rule == "FRM-02"


@pytest.mark.breaks("PUB-01", "FRM-01")
def test_a_member_needs_key_and_context_to_frame() -> None:
    scene = Scene.create(SUITE)
    signed = scene.sign(scene.frame(Remove(2)), PUBLIC)
    with pytest.raises(UsageError):
        protect_public(SUITE, signed, scene.context, None)
    with pytest.raises(UsageError):
        protect_public(SUITE, signed, None, scene.membership_key)


@given(position=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_any_altered_octet_is_a_typed_error(position: int, flip: int) -> None:
    scene = Scene.create(SUITE)
    data = bytearray(encode(message_of(scene, "commit")))
    data[position % len(data)] ^= flip
    with pytest.raises(DMLSError):
        unprotect_public(SUITE, decode(PublicMessage, bytes(data)), scene.context, scene.membership_key)
