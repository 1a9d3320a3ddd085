"""Checks of message-protection and messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dmls.errors import InvalidMessageError
from dmls.mls.codec import decode_as, encode_as
from dmls.mls.crypto.randomness import Random
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.framing.padding import no_padding
from dmls.mls.framing.private_message import protect_private, unprotect_private
from dmls.mls.framing.public_message import protect_public, unprotect_public
from dmls.mls.framing.signing import sign_content, verify_content
from dmls.mls.messages.commit import Commit
from dmls.mls.messages.group_context import GroupContext
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.key_package import KeyPackage
from dmls.mls.messages.message import (
    ApplicationData,
    AuthenticatedContent,
    Content,
    FramedContent,
    Member,
    PrivateMessage,
    PublicMessage,
    encode_message,
)
from dmls.mls.messages.proposal import (
    Add,
    ExternalInit,
    GroupContextExtensions,
    PreSharedKey,
    Proposal,
    ProposalBody,
    ReInit,
    Remove,
    Update,
)
from dmls.mls.messages.registry import ContentType, ProtocolVersion, WireFormat
from dmls.mls.messages.welcome import GroupSecrets, Welcome
from dmls.mls.schedule.secret_tree import SecretTree
from dmls.mls.tree.wire import decode_nodes, encode_nodes
from dmls.tools.conformance.fields import CheckError, Fields, checking, expect, read_message, repeating_random

__all__ = ["check_message_protection", "check_messages"]

_SENDER = Member(1)
_KINDS = {"proposal": ContentType.PROPOSAL, "commit": ContentType.COMMIT, "application": ContentType.APPLICATION}


@dataclass(frozen=True, slots=True)
class _Epoch:
    """What the case says of its group."""

    suite: CipherSuite
    context: GroupContext
    signature_private_key: Secret
    signature_key: bytes
    membership_key: Secret
    sender_data_secret: Secret
    secret_tree: SecretTree
    random: Random

    @classmethod
    def read(cls, case: Fields) -> _Epoch:
        suite, encryption_secret = case.suite(), case.secret("encryption_secret")
        context = GroupContext(
            ProtocolVersion.MLS10,
            suite.id,
            case.octets("group_id"),
            case.integer("epoch", 64),
            case.octets("tree_hash"),
            case.octets("confirmed_transcript_hash"),
            (),
        )
        with checking("encryption_secret"):
            tree = SecretTree.create(suite, encryption_secret, 2)
        return cls(
            suite,
            context,
            case.secret("signature_priv", suite.signature.private_key_size),
            case.octets("signature_pub"),
            case.secret("membership_key"),
            case.secret("sender_data_secret"),
            tree,
            repeating_random(encryption_secret),
        )

    def sign(self, wire_format: WireFormat, body: ApplicationData | ProposalBody | Commit) -> AuthenticatedContent:
        framed = FramedContent(self.context.group_id, self.context.epoch, _SENDER, b"", body)
        signature = sign_content(self.suite, wire_format, framed, self.context, self.signature_private_key)
        # The tag of such a commit confirms nothing; it only has to be there.
        tag = bytes(self.suite.hash_size) if isinstance(body, Commit) else None
        return AuthenticatedContent(wire_format, framed, signature, tag)

    def open_public(self, message: PublicMessage) -> AuthenticatedContent:
        content = unprotect_public(self.suite, message, self.context, self.membership_key)
        verify_content(self.suite, content, self.context, self.signature_key)
        return content

    def open_private(self, message: PrivateMessage) -> AuthenticatedContent:
        content, _, generation = unprotect_private(
            self.suite, message, self.secret_tree, self.sender_data_secret, lambda leaf: leaf == _SENDER.leaf_index
        )
        expect("generation", generation, 0)
        verify_content(self.suite, content, self.context, self.signature_key)
        return content

    def check(self, name: str, content: AuthenticatedContent, raw: bytes) -> None:
        framed = content.content
        head = (framed.group_id, framed.epoch, framed.sender, framed.authenticated_data)
        expect(f"{name}: framing", head, (self.context.group_id, self.context.epoch, _SENDER, b""))
        expect(f"{name}: content", _encode_body(framed.content), raw)


def _encode_body(body: ApplicationData | ProposalBody | Commit) -> bytes:
    """Return a content without its type; application data without its length, too."""
    return body.data if isinstance(body, ApplicationData) else encode_as(Content, body)[1:]


def _decode_body(kind: ContentType, raw: bytes) -> Any:
    return ApplicationData(raw) if kind is ContentType.APPLICATION else decode_as(Content, bytes((kind,)) + raw)


def check_message_protection(case: Fields) -> None:
    """Check that the file's messages open, and that what is protected here opens to the same (RFC 9420, Sections 6 and 9)."""
    epoch = _Epoch.read(case)
    for name, kind in _KINDS.items():
        raw = case.octets(name)
        with checking(name):
            body = _decode_body(kind, raw)
        if kind is ContentType.APPLICATION:
            _check_refused(epoch, body)
        else:
            _check_public(epoch, name, body, raw, case.octets(f"{name}_pub"))
        _check_private(epoch, name, body, raw, case.octets(f"{name}_priv"))


def _check_refused(epoch: _Epoch, body: ApplicationData) -> None:
    content = epoch.sign(WireFormat.PUBLIC_MESSAGE, body)
    try:
        protect_public(epoch.suite, content, epoch.context, epoch.membership_key)
    except InvalidMessageError:
        return
    raise CheckError("application data as PublicMessage", "was not refused")


def _check_public(epoch: _Epoch, name: str, body: ProposalBody | Commit, raw: bytes, given: bytes) -> None:
    check = f"{name}_pub"
    with checking(check):
        epoch.check(check, epoch.open_public(read_message(PublicMessage, given, check)), raw)
        signed = epoch.sign(WireFormat.PUBLIC_MESSAGE, body)
        ours = encode_message(protect_public(epoch.suite, signed, epoch.context, epoch.membership_key))
        expect(f"{check}: own", epoch.open_public(read_message(PublicMessage, ours, check)), signed)


def _check_private(epoch: _Epoch, name: str, body: ApplicationData | ProposalBody | Commit, raw: bytes, given: bytes) -> None:
    check = f"{name}_priv"
    with checking(check):
        epoch.check(check, epoch.open_private(read_message(PrivateMessage, given, check)), raw)
        signed = epoch.sign(WireFormat.PRIVATE_MESSAGE, body)
        message, _ = protect_private(epoch.suite, signed, epoch.secret_tree, epoch.sender_data_secret, no_padding, epoch.random)
        again = read_message(PrivateMessage, encode_message(message), check)
        expect(f"{check}: own", epoch.open_private(again), signed)


_MESSAGES: dict[str, type[Any]] = {
    "mls_welcome": Welcome,
    "mls_group_info": GroupInfo,
    "mls_key_package": KeyPackage,
    "public_message_application": PublicMessage,
    "public_message_proposal": PublicMessage,
    "public_message_commit": PublicMessage,
    "private_message": PrivateMessage,
}
_STRUCTS: dict[str, Any] = {"group_secrets": GroupSecrets, "commit": Commit}
_PROPOSALS: dict[str, type[Any]] = {
    "add_proposal": Add,
    "update_proposal": Update,
    "remove_proposal": Remove,
    "pre_shared_key_proposal": PreSharedKey,
    "re_init_proposal": ReInit,
    "external_init_proposal": ExternalInit,
    "group_context_extensions_proposal": GroupContextExtensions,
}


def check_messages(case: Fields) -> None:
    """Check that every structure decodes whole and encodes to the same bytes."""
    for name, kind in _MESSAGES.items():
        data = case.octets(name)
        expect(name, encode_message(read_message(kind, data, name)), data)
    for name, kind in {**_STRUCTS, **_PROPOSALS}.items():
        data = case.octets(name)
        with checking(name):
            expect(name, encode_as(kind, decode_as(kind, data)), data)
    for name, kind in _PROPOSALS.items():
        data = case.octets(name)
        with checking(name):
            proposal = decode_as(Proposal, encode_as(Proposal, decode_as(kind, data)))
        expect(f"{name}: type", type(proposal), kind)
    data = case.octets("ratchet_tree")
    with checking("ratchet_tree"):
        expect("ratchet_tree", encode_nodes(decode_nodes(data, len(data))), data)
