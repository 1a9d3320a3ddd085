"""Private framing: signed, then encrypted under a key that is used once (RFC 9420, Section 6.3).

No AEAD key here comes near its usage limit (CRY-17): a content key encrypts one message of less than 2^30 bytes, the key of a
sender data is made from the ciphertext beside it, and `Limits.max_messages` bounds a sender's messages in an epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from dmls.errors import InvalidMessageError, UsageError
from dmls.ids import LeafIndex
from dmls.mls.codec import When, decode, decode_prefix, encode, encode_opaque, opaque, struct, uint32, uint64
from dmls.mls.crypto.randomness import Random, draw
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.framing.padding import Padding
from dmls.mls.framing.signing import check_wire_format
from dmls.mls.messages.commit import Commit
from dmls.mls.messages.message import AuthenticatedContent, Content, FramedContent, Member, PrivateMessage, content_type
from dmls.mls.messages.registry import ContentType, WireFormat
from dmls.mls.schedule.secret_tree import MessageKey, SecretTree

__all__ = ["SenderData", "open_sender_data", "protect_private", "unprotect_private"]

_SENDER_DATA_SIZE = 12
_GUARD_SIZE = 4


@struct(secret=True)
class SenderData:
    """Who sent a private message, under which key (RFC 9420, Section 6.3.2)."""

    leaf_index: uint32
    generation: uint32
    reuse_guard: uint32


@struct
class _SenderDataAAD:
    """PRV-05."""

    group_id: opaque
    epoch: uint64
    content_type: ContentType


def _is_commit(content: object) -> bool:
    return isinstance(content, Commit)


@struct(secret=True)
class _TypedContent:
    """PrivateMessageContent without its padding, behind the content type, which on the wire stands in the message (PRV-09)."""

    content: Content
    signature: opaque
    confirmation_tag: Annotated[opaque | None, When("content", _is_commit)]


def _sender_data_key_nonce(suite: CipherSuite, sender_data_secret: bytes, ciphertext: bytes) -> tuple[Secret, Secret]:
    """Derive key and nonce from a sample, the first hash_size bytes of the ciphertext (PRV-06)."""
    sample = ciphertext[: suite.hash_size]  # PRV-06
    key = suite.expand_with_label(sender_data_secret, "key", sample, suite.key_size)
    return key, suite.expand_with_label(sender_data_secret, "nonce", sample, suite.nonce_size)


def _guarded_nonce(key: MessageKey, reuse_guard: int) -> bytes:
    """Return the nonce with the reuse guard in its first four bytes (PRV-03)."""
    head = int.from_bytes(key.nonce[:_GUARD_SIZE], "big") ^ reuse_guard  # PRV-03
    return head.to_bytes(_GUARD_SIZE, "big") + key.nonce[_GUARD_SIZE:]


def protect_private(
    suite: CipherSuite,
    content: AuthenticatedContent,
    secret_tree: SecretTree,
    sender_data_secret: bytes,
    padding: Padding,
    random: Random,
) -> tuple[PrivateMessage, SecretTree]:
    """Encrypt a signed content with the sender's next key; return the message and the secret tree after it.

    The returned tree must be stored before the message is sent (ST-11).

    Args:
        suite: the cipher suite of the group.
        content: signed by a member for the wire format private_message.
        secret_tree: of the content's epoch.
        sender_data_secret: of the same epoch.
        padding: from the length of what is encrypted to the zeros to add, both in octets.
        random: gives the reuse guard.

    Raises:
        UsageError: signed for another wire format (FRM-02), no member as sender (FRM-14, PRV-10), or a negative padding.
        KeyConsumedError: the sender's leaf was forgotten.
        LimitError, ExhaustedError: the sender has used up this epoch (CRY-17, ST-09).
        LengthError: the content is too long for a message.
    """
    framed = content.content
    check_wire_format(content, WireFormat.PRIVATE_MESSAGE)
    if not isinstance(framed.sender, Member):
        raise UsageError("only members send private messages", rule="FRM-14")
    kind = content_type(framed)
    plaintext = encode(_TypedContent(framed.content, content.signature, content.confirmation_tag))[1:]
    zeros = padding(len(plaintext))  # SQ-03
    if zeros < 0:
        raise UsageError("padding is negative")
    plaintext += bytes(zeros)
    key, after = secret_tree.next_key(LeafIndex(framed.sender.leaf_index), kind)
    reuse_guard = int.from_bytes(draw(random, _GUARD_SIZE), "big")
    sender_aad = _sender_data_aad(framed.group_id, framed.epoch, kind)
    aad = _content_aad(sender_aad, framed.authenticated_data)
    ciphertext = suite.aead_seal(key.key, _guarded_nonce(key, reuse_guard), aad, plaintext)
    sender_data = encode(SenderData(framed.sender.leaf_index, key.generation, reuse_guard))  # PRV-10
    sender_key, sender_nonce = _sender_data_key_nonce(suite, sender_data_secret, ciphertext)
    encrypted_sender_data = suite.aead_seal(sender_key, sender_nonce, sender_aad, sender_data)
    message = PrivateMessage(framed.group_id, framed.epoch, kind, framed.authenticated_data, encrypted_sender_data, ciphertext)
    return message, after


def _sender_data_aad(group_id: bytes, epoch: int, kind: ContentType) -> bytes:
    return encode(_SenderDataAAD(group_id, epoch, kind))  # PRV-05


def _content_aad(sender_data_aad: bytes, authenticated_data: bytes) -> bytes:
    """Return PrivateContentAAD, which begins as the sender data's does (PRV-04)."""
    return sender_data_aad + encode_opaque(authenticated_data)  # PRV-04


def open_sender_data(suite: CipherSuite, message: PrivateMessage, sender_data_secret: bytes) -> SenderData:
    """Decrypt who sent a message. Only its content's signature proves that it was them.

    Raises:
        DecryptionError: the sender data or the first hash_size bytes of the ciphertext were altered, or made in another epoch.
        InvalidMessageError: sender data of a wrong length (PRV-13).
    """
    aad = _sender_data_aad(message.group_id, message.epoch, message.content_type)
    return _open_sender_data(suite, message, sender_data_secret, aad)


def _open_sender_data(suite: CipherSuite, message: PrivateMessage, sender_data_secret: bytes, aad: bytes) -> SenderData:
    key, nonce = _sender_data_key_nonce(suite, sender_data_secret, message.ciphertext)
    plaintext = suite.aead_open(key, nonce, aad, message.encrypted_sender_data)
    if len(plaintext) != _SENDER_DATA_SIZE:
        raise InvalidMessageError("sender data has a wrong length", rule="PRV-13")
    return decode(SenderData, plaintext)


def unprotect_private(
    suite: CipherSuite,
    message: PrivateMessage,
    secret_tree: SecretTree,
    sender_data_secret: bytes,
    is_member: Callable[[LeafIndex], bool],
) -> tuple[AuthenticatedContent, SecretTree, int]:
    """Decrypt a message; return its content, the secret tree after it and the generation.

    The caller must verify the signature with `verify_content`, and keeps `secret_tree` if that fails (PRV-11): a message
    consumes its key once it has proved genuine, whoever forged one before it (PRV-14).

    Args:
        suite: the cipher suite of the group.
        message: what was received. The caller has checked that its group and epoch are those of the secrets.
        secret_tree: of the message's epoch.
        sender_data_secret: of the same epoch.
        is_member: whether a leaf of that epoch's tree, which may not exist, is not blank (PRV-07).

    Raises:
        DecryptionError: a part of the message was altered, or made in another epoch.
        InvalidMessageError: the sender is no member (PRV-07), or padding is not zero (PRV-01).
        CodecError: what was encrypted is no content of the message's type (PRV-02).
        KeyConsumedError: the message was seen before, is one's own (FRM-15), or came too late (ST-05, ST-07, ST-13).
        LimitError: its generation is too far ahead (ST-08).
    """
    sender_aad = _sender_data_aad(message.group_id, message.epoch, message.content_type)
    sender = _open_sender_data(suite, message, sender_data_secret, sender_aad)
    leaf = LeafIndex(sender.leaf_index)
    if not is_member(leaf):
        raise InvalidMessageError("the sender's leaf is blank", rule="PRV-07")
    key, after = secret_tree.message_key(leaf, message.content_type, sender.generation)  # PRV-08
    aad = _content_aad(sender_aad, message.authenticated_data)  # FRM-16
    plaintext = suite.aead_open(key.key, _guarded_nonce(key, sender.reuse_guard), aad, message.ciphertext)
    typed, end = decode_prefix(_TypedContent, message.content_type.to_bytes(1, "big") + plaintext)  # PRV-02, PRV-09
    if plaintext[end - 1 :].strip(b"\x00"):
        raise InvalidMessageError("padding is not zero", rule="PRV-01")
    framed = FramedContent(message.group_id, message.epoch, Member(leaf), message.authenticated_data, typed.content)
    content = AuthenticatedContent(WireFormat.PRIVATE_MESSAGE, framed, typed.signature, typed.confirmation_tag)
    return content, after, sender.generation  # PRV-14
