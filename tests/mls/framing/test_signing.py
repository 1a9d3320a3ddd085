from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from dmls.errors import SignatureError, UsageError
from dmls.mls.codec import encode, encode_opaque
from dmls.mls.crypto.suites import CipherSuite, cipher_suite
from dmls.mls.framing.public_message import protect_public
from dmls.mls.framing.signing import proposal_ref, sign_content, verify_content
from dmls.mls.messages.message import ExternalSenderIndex, Member, NewMemberCommit, NewMemberProposal, SenderBody
from dmls.mls.messages.proposal import Remove
from dmls.mls.messages.registry import WireFormat
from tests.mls.framing.scene import BODIES, PRIVATE, PUBLIC, SUITES, Scene

SUITE = cipher_suite(1)
INSIDERS: list[SenderBody] = [Member(1), NewMemberCommit()]
OUTSIDERS: list[SenderBody] = [ExternalSenderIndex(0), NewMemberProposal()]


def refuses(scene: Scene, **changes: object) -> None:
    """A signed proposal with changes does not verify."""
    signed = scene.sign(scene.frame(Remove(2)), PUBLIC)
    verify_content(scene.suite, signed, scene.context, scene.keys.public_key)
    changed = replace(signed, content=replace(signed.content, **changes))  # type: ignore[arg-type]
    with pytest.raises(SignatureError) as raised:
        verify_content(scene.suite, changed, scene.context, scene.keys.public_key)
    assert raised.value.rule == "FRM-09"


@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("wire_format", [PUBLIC, PRIVATE])
def test_what_was_signed_verifies(suite: CipherSuite, body: object, wire_format: WireFormat) -> None:
    scene = Scene.create(suite)
    signed = scene.sign(scene.frame(body), wire_format)  # type: ignore[arg-type]
    verify_content(suite, signed, scene.context, scene.keys.public_key)


@pytest.mark.parametrize(
    "changes",
    [
        {"group_id": b"other"},
        {"epoch": 8},
        {"sender": Member(0)},
        {"sender": ExternalSenderIndex(1)},
        {"sender": NewMemberProposal()},
        {"authenticated_data": b""},
        {"content": Remove(3)},
    ],
    ids=str,
)
def test_every_field_of_the_content_is_signed(changes: dict[str, object]) -> None:
    refuses(Scene.create(SUITE), **changes)


def test_every_bit_of_the_signature_counts() -> None:
    scene = Scene.create(SUITE)
    signed = scene.sign(scene.frame(Remove(2)), PUBLIC)
    for bit in range(8 * len(signed.signature)):
        forged = (int.from_bytes(signed.signature, "big") ^ (1 << bit)).to_bytes(len(signed.signature), "big")
        with pytest.raises(SignatureError):
            verify_content(SUITE, replace(signed, signature=forged), scene.context, scene.keys.public_key)


@pytest.mark.parametrize("signature", [b"", bytes(64), bytes(65), bytes(1_000)], ids=len)
def test_a_signature_of_another_shape_is_refused(signature: bytes) -> None:
    scene = Scene.create(SUITE)
    signed = replace(scene.sign(scene.frame(Remove(2)), PUBLIC), signature=signature)
    with pytest.raises(SignatureError):
        verify_content(SUITE, signed, scene.context, scene.keys.public_key)


@pytest.mark.breaks("FRM-02")
def test_a_content_signed_as_public_does_not_pass_as_private() -> None:
    scene = Scene.create(SUITE)
    for made, claimed in ((PUBLIC, PRIVATE), (PRIVATE, PUBLIC)):
        signed = replace(scene.sign(scene.frame(Remove(2)), made), wire_format=claimed)
        with pytest.raises(SignatureError) as raised:
            verify_content(SUITE, signed, scene.context, scene.keys.public_key)
        assert raised.value.rule == "FRM-09"


@pytest.mark.breaks("FRM-01")
@pytest.mark.parametrize("sender", INSIDERS, ids=lambda sender: type(sender).__name__)
def test_those_who_know_the_group_sign_its_context(sender: SenderBody) -> None:
    scene = Scene.create(SUITE)
    content = scene.frame(BODIES["commit"], sender=sender)
    signed = scene.sign(content, PUBLIC)
    verify_content(SUITE, signed, scene.context, scene.keys.public_key)
    for field in ({"epoch": 8}, {"tree_hash": b""}, {"confirmed_transcript_hash": b""}, {"group_id": b"other"}):
        with pytest.raises(SignatureError):
            verify_content(SUITE, signed, replace(scene.context, **field), scene.keys.public_key)
    for misuse in (
        lambda: verify_content(SUITE, signed, None, scene.keys.public_key),
        lambda: sign_content(SUITE, PUBLIC, content, None, scene.keys.private_key),
    ):
        with pytest.raises(UsageError) as raised:
            misuse()
        assert raised.value.rule == "FRM-01"


@pytest.mark.breaks("FRM-01")
@pytest.mark.parametrize("sender", OUTSIDERS, ids=lambda sender: type(sender).__name__)
def test_those_who_do_not_know_the_group_sign_without_its_context(sender: SenderBody) -> None:
    scene = Scene.create(SUITE)
    content = scene.frame(Remove(2), sender=sender)
    signed = scene.sign(content, PUBLIC)
    verify_content(SUITE, signed, None, scene.keys.public_key)
    verify_content(SUITE, signed, scene.context, scene.keys.public_key)
    assert sign_content(SUITE, PUBLIC, content, scene.context, scene.keys.private_key) == signed.signature
    tbs = b"\x00\x01\x00\x01" + encode(content)
    SUITE.verify_with_label(scene.keys.public_key, "FramedContentTBS", tbs, signed.signature)


@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
def test_a_proposal_is_named_by_the_hash_of_all_that_was_signed_and_the_signature(suite: CipherSuite) -> None:
    scene = Scene.create(suite)
    signed = scene.sign(scene.frame(Remove(2)), PUBLIC)
    value = b"\x00\x01" + encode(signed.content) + encode_opaque(signed.signature)
    expected = hashlib.new(suite.hash_name, encode_opaque(b"MLS 1.0 Proposal Reference") + encode_opaque(value)).digest()
    assert proposal_ref(suite, signed) == expected


def test_a_proposal_sent_in_two_framings_has_two_names() -> None:
    scene = Scene.create(SUITE)
    content = scene.frame(Remove(2))
    public, private = scene.sign(content, PUBLIC), scene.sign(content, PRIVATE)
    names = {proposal_ref(SUITE, public), proposal_ref(SUITE, private), proposal_ref(SUITE, replace(public, wire_format=PRIVATE))}
    assert len(names) == 3


def test_the_name_of_a_proposal_does_not_depend_on_the_membership_tag() -> None:
    scene = Scene.create(SUITE)
    signed = scene.sign(scene.frame(Remove(2)), PUBLIC)
    message = protect_public(SUITE, signed, scene.context, scene.membership_key)
    assert message.membership_tag is not None
    assert message.membership_tag not in encode(signed)
    assert proposal_ref(SUITE, signed) != SUITE.ref_hash("MLS 1.0 Proposal Reference", encode(message))
