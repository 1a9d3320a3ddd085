"""The official message-protection cases, and the sender data of the secret-tree ones."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from dmls.errors import InvalidMessageError
from dmls.ids import LeafIndex
from dmls.mls.codec import decode, decode_as, encode
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CIPHER_SUITES, CipherSuite, cipher_suite
from dmls.mls.framing.private_message import SenderData, open_sender_data, protect_private, unprotect_private
from dmls.mls.framing.public_message import protect_public, unprotect_public
from dmls.mls.framing.signing import sign_content, verify_content
from dmls.mls.messages.commit import Commit
from dmls.mls.messages.group_context import GroupContext
from dmls.mls.messages.message import (
    ApplicationData,
    AuthenticatedContent,
    Content,
    FramedContent,
    Member,
    MLSMessage,
    PrivateMessage,
    PublicMessage,
    encode_message,
)
from dmls.mls.messages.registry import ContentType, ProtocolVersion, WireFormat
from dmls.mls.schedule.secret_tree import SecretTree
from tests.support.vectors import load_vectors

CASES = load_vectors("message-protection.json")
SENDER_DATA_CASES = load_vectors("secret-tree.json")
BY_SUITE = pytest.mark.parametrize("case", CASES, ids=lambda case: f"suite{case['cipher_suite']}")
KINDS = {"proposal": ContentType.PROPOSAL, "commit": ContentType.COMMIT, "application": ContentType.APPLICATION}


@dataclass(frozen=True)
class Group:
    suite: CipherSuite
    context: GroupContext
    private_key: bytes
    public_key: bytes
    membership_key: bytes
    sender_data_secret: bytes
    encryption_secret: Secret

    @classmethod
    def of(cls, case: dict[str, Any]) -> Group:
        suite = cipher_suite(case["cipher_suite"])
        group_id, tree_hash, confirmed = (
            bytes.fromhex(case[name]) for name in ("group_id", "tree_hash", "confirmed_transcript_hash")
        )
        return cls(
            suite,
            GroupContext(ProtocolVersion.MLS10, suite.id, group_id, case["epoch"], tree_hash, confirmed, ()),
            # The file leaves out the leading zero octets of scalars.
            bytes.fromhex(case["signature_priv"]).rjust(suite.signature.private_key_size, b"\x00"),
            bytes.fromhex(case["signature_pub"]),
            bytes.fromhex(case["membership_key"]),
            bytes.fromhex(case["sender_data_secret"]),
            Secret(bytes.fromhex(case["encryption_secret"])),
        )

    def new_tree(self) -> SecretTree:
        return SecretTree.create(self.suite, self.encryption_secret, 2)

    def sign(self, wire_format: WireFormat, kind: ContentType, raw: bytes) -> AuthenticatedContent:
        body = ApplicationData(raw) if kind is ContentType.APPLICATION else decode_as(Content, kind.to_bytes(1, "big") + raw)
        framed = FramedContent(self.context.group_id, self.context.epoch, Member(1), b"", body)
        tag = bytes(self.suite.hash_size) if isinstance(body, Commit) else None
        signature = sign_content(self.suite, wire_format, framed, self.context, self.private_key)
        return AuthenticatedContent(wire_format, framed, signature, tag)

    def check(self, content: AuthenticatedContent, raw: bytes) -> None:
        """The signature is the sender's, and the content is the raw field byte for byte."""
        verify_content(self.suite, content, self.context, self.public_key)
        framed = content.content
        assert framed.sender == Member(1)
        assert (framed.group_id, framed.epoch, framed.authenticated_data) == (self.context.group_id, self.context.epoch, b"")
        body = framed.content
        assert (body.data if isinstance(body, ApplicationData) else encode_as_body(body)) == raw

    def decrypt(self, message: PrivateMessage) -> AuthenticatedContent:
        content, _, generation = unprotect_private(
            self.suite, message, self.new_tree(), self.sender_data_secret, lambda leaf: leaf == 1
        )
        assert generation == 0
        return content


def encode_as_body(body: object) -> bytes:
    """A bare Proposal or Commit: what stands behind the content type."""
    framed = encode(FramedContent(b"", 0, Member(0), b"", body))  # type: ignore[arg-type]
    return framed[len(encode(FramedContent(b"", 0, Member(0), b"", ApplicationData(b"")))) - 1 :]


def read(case: dict[str, Any], name: str) -> object:
    return decode(MLSMessage, bytes.fromhex(case[name])).body


@BY_SUITE
@pytest.mark.parametrize("name", ["proposal", "commit"])
def test_official_public_messages_open_and_ours_open_too(case: dict[str, Any], name: str) -> None:
    group, raw = Group.of(case), bytes.fromhex(case[name])
    message = read(case, f"{name}_pub")
    assert isinstance(message, PublicMessage)
    group.check(unprotect_public(group.suite, message, group.context, group.membership_key), raw)
    signed = group.sign(WireFormat.PUBLIC_MESSAGE, KINDS[name], raw)
    ours = encode_message(protect_public(group.suite, signed, group.context, group.membership_key))
    again = decode(MLSMessage, ours).body
    assert isinstance(again, PublicMessage)
    content = unprotect_public(group.suite, again, group.context, group.membership_key)
    assert content == signed
    group.check(content, raw)


@BY_SUITE
def test_official_application_data_is_refused_as_public_message(case: dict[str, Any]) -> None:
    group = Group.of(case)
    signed = group.sign(WireFormat.PUBLIC_MESSAGE, ContentType.APPLICATION, bytes.fromhex(case["application"]))
    with pytest.raises(InvalidMessageError) as raised:
        protect_public(group.suite, signed, group.context, group.membership_key)
    assert raised.value.rule == "FRM-13"


@BY_SUITE
@pytest.mark.parametrize("name", ["proposal", "commit", "application"])
def test_official_private_messages_open_and_ours_open_too(case: dict[str, Any], name: str) -> None:
    group, raw = Group.of(case), bytes.fromhex(case[name])
    message = read(case, f"{name}_priv")
    assert isinstance(message, PrivateMessage)
    assert message.content_type is KINDS[name]
    group.check(group.decrypt(message), raw)
    signed = group.sign(WireFormat.PRIVATE_MESSAGE, KINDS[name], raw)
    ours, _ = protect_private(group.suite, signed, group.new_tree(), group.sender_data_secret, 0, Random(1).randbytes)
    again = decode(MLSMessage, encode_message(ours)).body
    assert isinstance(again, PrivateMessage)
    content = group.decrypt(again)
    assert content == signed
    group.check(content, raw)


@pytest.mark.parametrize("case", SENDER_DATA_CASES, ids=lambda case: f"suite{case['cipher_suite']}-{len(case['leaves'])}leaves")
def test_official_keys_of_sender_data_open_what_is_sealed_with_them(case: dict[str, Any]) -> None:
    suite, given = cipher_suite(case["cipher_suite"]), case["sender_data"]
    key, nonce = bytes.fromhex(given["key"]), bytes.fromhex(given["nonce"])
    sender_data = SenderData(1, 2, 3)
    aad = b"\x05group" + (7).to_bytes(8, "big") + b"\x01"
    sealed = suite.aead_seal(key, nonce, aad, encode(sender_data))
    message = PrivateMessage(b"group", 7, ContentType.APPLICATION, b"not covered", sealed, bytes.fromhex(given["ciphertext"]))
    assert open_sender_data(suite, message, bytes.fromhex(given["sender_data_secret"])) == sender_data


def test_every_official_suite_has_a_case() -> None:
    assert [case["cipher_suite"] for case in CASES] == [suite.id for suite in CIPHER_SUITES]
    assert Counter(case["cipher_suite"] for case in SENDER_DATA_CASES) == Counter({suite.id: 3 for suite in CIPHER_SUITES})


def test_leaf_indexes_are_plain_integers_on_the_wire() -> None:
    assert encode(SenderData(LeafIndex(1), 2, 0xDEADBEEF)) == bytes.fromhex("0000000100000002deadbeef")
