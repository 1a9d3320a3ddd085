from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmls.errors import (
    CodecError,
    DecryptionError,
    DMLSError,
    InvalidMessageError,
    KeyConsumedError,
    LimitError,
    SignatureError,
    UsageError,
)
from dmls.ids import LeafIndex
from dmls.mls.codec import decode, encode
from dmls.mls.crypto.suites import CipherSuite, cipher_suite
from dmls.mls.framing.padding import no_padding, pad_to_multiple
from dmls.mls.framing.private_message import SenderData, open_sender_data, protect_private, unprotect_private
from dmls.mls.framing.signing import verify_content
from dmls.mls.limits import Limits
from dmls.mls.messages.message import (
    ApplicationData,
    AuthenticatedContent,
    ExternalSenderIndex,
    Member,
    NewMemberCommit,
    NewMemberProposal,
    PrivateMessage,
    SenderBody,
    encode_authentication,
)
from dmls.mls.messages.proposal import Remove
from dmls.mls.messages.registry import ContentType
from dmls.mls.schedule.secret_tree import SecretTree
from tests.mls.framing.scene import BODIES, PRIVATE, PUBLIC, SUITES, Scene

SUITE = cipher_suite(1)
APPLICATION, PROPOSAL, COMMIT = ContentType.APPLICATION, ContentType.PROPOSAL, ContentType.COMMIT


def hello(scene: Scene, text: bytes = b"hello") -> AuthenticatedContent:
    return scene.sign(scene.frame(ApplicationData(text)), PRIVATE)


def seal(
    scene: Scene,
    plaintext: bytes,
    *,
    kind: ContentType = APPLICATION,
    ratchet: ContentType | None = None,
    generation: int = 0,
    leaf: int = 1,
    sender_data: bytes | None = None,
) -> PrivateMessage:
    """Encrypt whatever it is told to, as a member could who keeps no rule: genuine keys around a bad content."""
    suite, context = scene.suite, scene.context
    held = LeafIndex(leaf if leaf < 2 else 1)
    limits = Limits(max_forward=1 << 33) if generation < 5_000 else None
    tree = replace(scene.tree, limits=limits) if limits else scene.tree
    key, _ = tree.message_key(held, ratchet or kind, generation if limits else 0)
    head = bytes([len(context.group_id)]) + context.group_id + context.epoch.to_bytes(8, "big") + bytes([kind])
    ciphertext = suite.aead_seal(key.key, key.nonce, head + b"\x03aad", plaintext)
    sample = ciphertext[: suite.hash_size]
    sender_key = suite.expand_with_label(scene.sender_data_secret, "key", sample, suite.key_size)
    sender_nonce = suite.expand_with_label(scene.sender_data_secret, "nonce", sample, suite.nonce_size)
    sealed = suite.aead_seal(sender_key, sender_nonce, head, sender_data or encode(SenderData(leaf, generation, 0)))
    return PrivateMessage(context.group_id, context.epoch, kind, b"aad", sealed, ciphertext)


def plaintext_of(content: AuthenticatedContent) -> bytes:
    """PrivateMessageContent without padding, put together by hand."""
    framed = encode(content.content)
    start = len(encode(replace(content.content, content=ApplicationData(b"")))) - 1
    return framed[start:] + encode_authentication(content.signature, content.confirmation_tag)


@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
@pytest.mark.parametrize("kind", BODIES)
def test_members_read_what_a_member_wrote(suite: CipherSuite, kind: str) -> None:
    scene = Scene.create(suite)
    signed = scene.sign(scene.frame(BODIES[kind]), PRIVATE)
    message, _ = scene.encrypt(signed)
    content, _, generation = scene.decrypt(decode(PrivateMessage, encode(message)))
    assert (content, generation) == (signed, 0)
    verify_content(suite, content, scene.context, scene.keys.public_key)


def test_the_message_is_what_is_sealed_by_hand() -> None:
    scene = Scene.create(SUITE)
    for body in BODIES.values():
        signed = scene.sign(scene.frame(body), PRIVATE)
        message = protect_private(SUITE, signed, scene.tree, scene.sender_data_secret, no_padding, bytes)[0]
        assert message == seal(scene, plaintext_of(signed), kind=message.content_type)


def test_each_message_has_the_next_generation_and_a_key_of_its_own() -> None:
    scene = Scene.create(SUITE)
    sending, receiving, ciphertexts = scene.tree, scene.tree, set()
    for expected in range(5):
        message, sending = scene.encrypt(hello(scene), sending)
        content, receiving, generation = scene.decrypt(message, receiving)
        assert (content, generation) == (hello(scene), expected)
        ciphertexts.add(message.ciphertext)
    assert len(ciphertexts) == 5
    assert sending.encode() == receiving.encode()


def test_the_reuse_guard_makes_two_uses_of_one_key_differ() -> None:
    scene = Scene.create(SUITE)
    first, second = scene.encrypt(hello(scene))[0], scene.encrypt(hello(scene))[0]
    guards = {open_sender_data(SUITE, message, scene.sender_data_secret).reuse_guard for message in (first, second)}
    assert len(guards) == 2
    assert first.ciphertext != second.ciphertext
    assert scene.decrypt(first)[0] == scene.decrypt(second)[0] == hello(scene)


def test_the_reuse_guard_is_xored_onto_the_first_four_octets_of_the_nonce() -> None:
    scene = Scene.create(SUITE)
    message = protect_private(
        SUITE, hello(scene), scene.tree, scene.sender_data_secret, no_padding, lambda _: b"\xff\x00\x00\x01"
    )[0]
    key, _ = scene.tree.message_key(LeafIndex(1), APPLICATION, 0)
    nonce = bytes([key.nonce[0] ^ 0xFF, key.nonce[1], key.nonce[2], key.nonce[3] ^ 0x01]) + key.nonce[4:]
    aad = b"\x05group" + (7).to_bytes(8, "big") + b"\x01" + b"\x03aad"
    assert SUITE.aead_open(key.key, nonce, aad, message.ciphertext) == plaintext_of(hello(scene))


@pytest.mark.parametrize("block", [1, 2, 255, 256, 4_096])
@pytest.mark.parametrize("length", [0, 1, 300])
def test_padding_rounds_up_and_is_taken_off(block: int, length: int) -> None:
    scene = Scene.create(SUITE)
    signed = hello(scene, b"x" * length)
    message, _ = scene.encrypt(signed, padding=pad_to_multiple(block))
    size = len(message.ciphertext) - SUITE.tag_size
    assert size % block == 0
    assert 0 <= size - len(plaintext_of(signed)) < block
    assert scene.decrypt(message)[0] == signed


def test_a_content_that_fits_exactly_is_not_padded() -> None:
    scene = Scene.create(SUITE)
    size = len(plaintext_of(hello(scene)))
    assert len(scene.encrypt(hello(scene), padding=pad_to_multiple(size))[0].ciphertext) == size + SUITE.tag_size


@pytest.mark.parametrize("padding", [b"\x01", b"\x00\x01", b"\x01\x00", b"\x00" * 99 + b"\x80" + b"\x00" * 99])
def test_padding_that_is_not_zero_is_refused(padding: bytes) -> None:
    scene = Scene.create(SUITE)
    with pytest.raises(InvalidMessageError) as raised:
        scene.decrypt(seal(scene, plaintext_of(hello(scene)) + padding))
    assert raised.value.rule == "PRV-01"


@pytest.mark.parametrize(
    "changes",
    [
        {"group_id": b"other"},
        {"epoch": 8},
        {"content_type": PROPOSAL},
        {"authenticated_data": b""},
        {"encrypted_sender_data": b""},
        {"encrypted_sender_data": bytes(28)},
        {"ciphertext": b""},
        {"ciphertext": bytes(15)},
    ],
    ids=str,
)
def test_every_field_is_authenticated_and_a_forgery_consumes_nothing(changes: dict[str, object]) -> None:
    scene = Scene.create(SUITE)
    message, _ = scene.encrypt(hello(scene))
    before = scene.tree.encode()
    with pytest.raises(DecryptionError):
        scene.decrypt(replace(message, **changes))  # type: ignore[arg-type]
    assert scene.tree.encode() == before
    assert scene.decrypt(message)[0] == hello(scene)


def test_every_octet_of_the_ciphertexts_is_authenticated() -> None:
    scene = Scene.create(SUITE)
    message, _ = scene.encrypt(hello(scene))
    for name, data in (("ciphertext", message.ciphertext), ("encrypted_sender_data", message.encrypted_sender_data)):
        for position in range(len(data)):
            altered = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
            with pytest.raises(DecryptionError):
                scene.decrypt(replace(message, **{name: altered}))  # type: ignore[arg-type]
    with pytest.raises(DecryptionError):
        scene.decrypt(replace(message, ciphertext=message.ciphertext + b"\x00"))


def test_a_message_of_another_epoch_does_not_open() -> None:
    scene, other = Scene.create(SUITE), Scene.create(SUITE, seed=1)
    message, _ = other.encrypt(hello(other))
    with pytest.raises(DecryptionError):
        scene.decrypt(message)


def test_sender_data_does_not_cover_the_authenticated_data() -> None:
    scene = Scene.create(SUITE)
    message, _ = scene.encrypt(hello(scene))
    sender = open_sender_data(SUITE, replace(message, authenticated_data=b"other"), scene.sender_data_secret)
    assert (sender.leaf_index, sender.generation) == (1, 0)


def test_the_sample_is_all_of_a_short_ciphertext() -> None:
    scene = Scene.create(cipher_suite(4))
    message = seal(scene, b"")
    assert len(message.ciphertext) < scene.suite.hash_size
    assert open_sender_data(scene.suite, message, scene.sender_data_secret) == SenderData(1, 0, 0)
    with pytest.raises(CodecError):
        scene.decrypt(message)


@pytest.mark.parametrize("size", [1, 11, 13, 24])
def test_sender_data_of_a_wrong_length_is_refused(size: int) -> None:
    scene = Scene.create(SUITE)
    with pytest.raises(InvalidMessageError) as raised:
        scene.decrypt(seal(scene, plaintext_of(hello(scene)), sender_data=bytes(size)))
    assert raised.value.rule == "PRV-13"


@pytest.mark.parametrize("leaf", [0, 2, 0xFFFFFFFF])
def test_a_sender_without_a_leaf_is_refused(leaf: int) -> None:
    scene = Scene.create(SUITE)
    message = seal(scene, plaintext_of(hello(scene)), leaf=leaf)
    with pytest.raises(InvalidMessageError) as raised:
        scene.decrypt(message)
    assert raised.value.rule == "PRV-07"


def test_a_leaf_that_the_tree_does_not_have_is_refused_whatever_the_caller_says() -> None:
    scene = Scene.create(SUITE)
    message = seal(scene, plaintext_of(hello(scene)), leaf=2)
    with pytest.raises(InvalidMessageError):
        unprotect_private(SUITE, message, scene.tree, scene.sender_data_secret, lambda leaf: True)


@pytest.mark.parametrize(("kind", "ratchet"), [(COMMIT, APPLICATION), (PROPOSAL, APPLICATION), (APPLICATION, COMMIT)])
def test_content_under_the_other_ratchet_does_not_open(kind: ContentType, ratchet: ContentType) -> None:
    scene = Scene.create(SUITE)
    body = BODIES[kind.name.lower()]
    plaintext = plaintext_of(scene.sign(scene.frame(body), PRIVATE))
    assert scene.decrypt(seal(scene, plaintext, kind=kind))[0].content.content == body
    with pytest.raises(DecryptionError):
        scene.decrypt(seal(scene, plaintext, kind=kind, ratchet=ratchet))


def test_a_commit_without_confirmation_tag_does_not_parse() -> None:
    scene = Scene.create(SUITE)
    signed = scene.sign(scene.frame(BODIES["commit"]), PRIVATE)
    with pytest.raises(CodecError):
        scene.decrypt(seal(scene, plaintext_of(replace(signed, confirmation_tag=None)), kind=COMMIT))


def test_a_bad_signature_inside_good_encryption_is_found_and_consumes_nothing() -> None:
    scene, stranger = Scene.create(SUITE), Scene.create(SUITE, seed=1)
    forged = replace(hello(scene), signature=hello(stranger).signature)
    before = scene.tree.encode()
    content, _, _ = scene.decrypt(seal(scene, plaintext_of(forged)))
    with pytest.raises(SignatureError):
        verify_content(SUITE, content, scene.context, scene.keys.public_key)
    assert scene.tree.encode() == before
    genuine, _ = scene.encrypt(hello(scene))
    content, after, _ = scene.decrypt(genuine)
    verify_content(SUITE, content, scene.context, scene.keys.public_key)
    with pytest.raises(KeyConsumedError):
        scene.decrypt(genuine, after)


def test_a_public_content_inside_private_framing_does_not_verify() -> None:
    scene = Scene.create(SUITE)
    public = scene.sign(scene.frame(Remove(2)), PUBLIC)
    content, _, _ = scene.decrypt(seal(scene, plaintext_of(public), kind=PROPOSAL))
    with pytest.raises(SignatureError):
        verify_content(SUITE, content, scene.context, scene.keys.public_key)


def test_a_replay_is_refused_also_after_a_restart() -> None:
    scene = Scene.create(SUITE)
    message, _ = scene.encrypt(hello(scene))
    _, after, _ = scene.decrypt(message)
    for tree in (after, SecretTree.decode(SUITE, after.encode())):
        with pytest.raises(KeyConsumedError) as raised:
            scene.decrypt(message, tree)
        assert raised.value.rule == "ST-13"


def test_ones_own_message_comes_back_as_consumed_and_does_not_disturb_sending() -> None:
    scene = Scene.create(SUITE)
    echo, tree = scene.encrypt(hello(scene))
    before = tree.encode()
    with pytest.raises(KeyConsumedError):
        scene.decrypt(echo, tree)
    assert tree.encode() == before
    message, _ = scene.encrypt(hello(scene), tree)
    assert scene.decrypt(message)[2] == 1


def test_sending_goes_on_after_a_restart_with_the_next_generation() -> None:
    scene = Scene.create(SUITE)
    _, tree = scene.encrypt(hello(scene))
    message, _ = scene.encrypt(hello(scene), SecretTree.decode(SUITE, tree.encode()))
    assert open_sender_data(SUITE, message, scene.sender_data_secret).generation == 1


def test_a_generation_far_ahead_is_refused() -> None:
    scene = Scene.create(SUITE)
    for generation in (scene.tree.limits.max_forward + 1, 0xFFFFFFFF):
        with pytest.raises(LimitError) as raised:
            scene.decrypt(seal(scene, plaintext_of(hello(scene)), generation=generation))
        assert raised.value.rule == "ST-08"


@given(order=st.permutations(range(6)), restarts=st.lists(st.booleans(), min_size=6, max_size=6))
def test_messages_of_both_kinds_open_in_any_order(order: list[int], restarts: list[bool]) -> None:
    scene = Scene.create(SUITE)
    contents = [scene.sign(scene.frame(BODIES[kind]), PRIVATE) for kind in ("application", "proposal") for _ in range(3)]
    sending, messages = scene.tree, []
    for content in contents:
        message, sending = scene.encrypt(content, sending)
        messages.append(message)
    receiving = scene.tree
    for place, restart in zip(order, restarts, strict=True):
        content, receiving, generation = scene.decrypt(messages[place], receiving)
        assert (content, generation) == (contents[place], place % 3)
        if restart:
            receiving = SecretTree.decode(SUITE, receiving.encode())
    assert receiving.encode() == sending.encode()


@pytest.mark.breaks("FRM-14", "PRV-10")
@pytest.mark.parametrize("sender", [ExternalSenderIndex(0), NewMemberProposal(), NewMemberCommit()])
def test_only_members_send_privately(sender: SenderBody) -> None:
    scene = Scene.create(SUITE)
    kind = "commit" if isinstance(sender, NewMemberCommit) else "proposal"
    with pytest.raises(UsageError) as raised:
        scene.encrypt(scene.sign(scene.frame(BODIES[kind], sender=sender), PRIVATE))
    assert raised.value.rule == "FRM-14"


@pytest.mark.breaks("FRM-02")
def test_what_was_signed_for_public_framing_is_not_encrypted() -> None:
    scene = Scene.create(SUITE)
    with pytest.raises(UsageError) as raised:
        scene.encrypt(scene.sign(scene.frame(Remove(2)), PUBLIC))
    assert raised.value.rule == "FRM-02"


def test_a_negative_padding_is_refused() -> None:
    scene = Scene.create(SUITE)
    with pytest.raises(UsageError):
        scene.encrypt(hello(scene), padding=lambda length: -1)


def test_the_sender_of_a_private_message_is_the_member_that_its_sender_data_names() -> None:
    scene = Scene.create(SUITE)
    content, _, _ = scene.decrypt(scene.encrypt(hello(scene))[0])
    assert content.content.sender == Member(1)
    assert content.content.authenticated_data == b"aad"


def test_sender_data_and_plaintext_structs_are_not_printed() -> None:
    assert repr(SenderData(1, 2, 3)) == "SenderData(secret)"


@given(plaintext=st.binary(max_size=120), kind=st.sampled_from(list(ContentType)))
def test_arbitrary_bytes_under_good_encryption_are_a_typed_error_or_a_content(plaintext: bytes, kind: ContentType) -> None:
    scene = Scene.create(SUITE)
    try:
        content, _, _ = scene.decrypt(seal(scene, plaintext, kind=kind))
    except DMLSError:
        return
    assert plaintext.startswith(plaintext_of(content))
    assert not plaintext[len(plaintext_of(content)) :].strip(b"\x00")


@given(position=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_any_altered_octet_is_a_typed_error(position: int, flip: int) -> None:
    scene = Scene.create(SUITE)
    data = bytearray(encode(scene.encrypt(hello(scene))[0]))
    data[position % len(data)] ^= flip
    with pytest.raises(DMLSError):
        scene.decrypt(decode(PrivateMessage, bytes(data)))
