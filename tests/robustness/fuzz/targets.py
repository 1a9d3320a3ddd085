"""What is fuzzed: one target for each decoder.

A target takes in what decodes and what is refused with the errors that its decoder documents. It raises at anything else: another
error, or a value that does not encode to the bytes that it came from.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final

from dmls.errors import CodecError, CryptoError, DMLSError, InvalidArgumentError, InvalidTreeError, LimitError, ValidationError
from dmls.forks.aad import decode_commit_aad, decode_identity, decode_message_aad
from dmls.forks.nodes import Node, Vote
from dmls.forks.pprf import PPRF
from dmls.ids import NodeIndex
from dmls.mls.codec import decode_as, encode, encode_as
from dmls.mls.crypto.certificates import load_certificate
from dmls.mls.crypto.suites import CIPHER_SUITES, cipher_suite
from dmls.mls.framing.private_message import SenderData
from dmls.mls.group.snapshot import decode_public, decode_state, encode_public, encode_state
from dmls.mls.messages.commit import Commit, HPKECiphertext, UpdatePath
from dmls.mls.messages.credential import Credential
from dmls.mls.messages.extensions import Extension, ExternalPub, ExternalSenders, RequiredCapabilities
from dmls.mls.messages.group_context import GroupContext
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.key_package import KeyPackage
from dmls.mls.messages.leaf_node import Capabilities, LeafNode
from dmls.mls.messages.message import AuthenticatedContent, FramedContent, MLSMessage, PrivateMessage, PublicMessage
from dmls.mls.messages.proposal import Proposal
from dmls.mls.messages.psk import PreSharedKeyID
from dmls.mls.messages.welcome import GroupSecrets, Welcome
from dmls.mls.schedule.key_schedule import RFC9420_RULE
from dmls.mls.schedule.secret_tree import SecretTree
from dmls.mls.tree.nodes import Blank, ParentNode
from dmls.mls.tree.ratchet_tree import RatchetTree
from dmls.tools.inspect.kinds import recognise
from dmls.tools.inspect.rendering import to_json, to_lines
from dmls.tools.inspect.source import decodings

__all__ = ["STRUCTS", "TARGETS", "DefectError", "stable"]

SUITE: Final = cipher_suite(1)
_MOST_LEAVES: Final = 1 << 10

STRUCTS: Final[Mapping[str, Any]] = {
    "authenticated-content": AuthenticatedContent,
    "capabilities": Capabilities,
    "commit": Commit,
    "credential": Credential,
    "extension": Extension,
    "external-pub": ExternalPub,
    "external-senders": ExternalSenders,
    "framed-content": FramedContent,
    "group-context": GroupContext,
    "group-info": GroupInfo,
    "group-secrets": GroupSecrets,
    "hpke-ciphertext": HPKECiphertext,
    "key-package": KeyPackage,
    "leaf-node": LeafNode,
    "message": MLSMessage,
    "parent-node": ParentNode,
    "pre-shared-key-id": PreSharedKeyID,
    "private-message": PrivateMessage,
    "proposal": Proposal,
    "public-message": PublicMessage,
    "required-capabilities": RequiredCapabilities,
    "sender-data": SenderData,
    "update-path": UpdatePath,
    "welcome": Welcome,
}
"""Wire types whose decoder is compiled."""


class DefectError(Exception):
    """A decoder has done what it never may."""


def _decode_struct(hint: Any, data: bytes) -> bool:
    try:
        value = decode_as(hint, data)
    except CodecError:
        return False
    if encode_as(hint, value) != data:
        raise DefectError("a value does not encode to the bytes that it came from")
    if isinstance(value, UpdatePath):
        for node in value.nodes:
            _accepts(lambda: list(node.encrypted_path_secret), CodecError)  # noqa: B023
    return True


def _accepts(act: Callable[[], object], *errors: type[DMLSError]) -> bool:
    try:
        act()
    except errors:
        return False
    return True


def _decode_tree(data: bytes) -> bool:
    try:
        tree = RatchetTree.decode(SUITE, data, max_leaves=_MOST_LEAVES)
    except (CodecError, InvalidTreeError, LimitError):
        return False
    if tree.encode() != data:
        raise DefectError("a tree does not encode to the bytes that it came from")
    if len(tree.tree_hash) != SUITE.hash_size:
        raise DefectError("a tree has no hash")
    return True


def stable(read: Callable[[bytes], bytes]) -> Callable[[bytes], bool]:
    """Return a target for what is stored: what is read, and written, is read and written the same again."""

    def target(data: bytes) -> bool:
        try:
            written = read(data)
        except DMLSError:
            return False
        if read(written) != written:
            raise DefectError("what was read and written is read otherwise")
        return True

    return target


def _load_no_tree(suite: int, tree_hash: bytes, width: int) -> RatchetTree:
    return RatchetTree(SUITE, Blank(NodeIndex(0)))


def _decode_authenticated_data(data: bytes) -> bool:
    accepted = False
    for read in (decode_commit_aad, decode_message_aad):
        try:
            value: object = read(data)
        except (CodecError, ValidationError):
            continue
        if encode(value) != data:
            raise DefectError("authenticated data does not encode to the bytes that it came from")
        accepted = True
    return accepted


def _check_keys(data: bytes) -> bool:
    accepted = False
    for suite in CIPHER_SUITES:
        size = len(data) // 2
        accepted |= _accepts(lambda: suite.check_encryption_key(data), CryptoError)  # noqa: B023
        accepted |= _accepts(lambda: suite.check_signature_key(data), CryptoError)  # noqa: B023
        accepted |= _accepts(lambda: suite.verify_with_label(data[:size], "x", b"", data[size:]), CryptoError)  # noqa: B023
    return accepted


def _inspect(data: bytes) -> bool:
    try:
        found = recognise(decodings(data))
    except InvalidArgumentError:
        return False
    to_json(found.record)
    if not all(line.isprintable() for line in to_lines(found.record)):
        raise DefectError("what a terminal could obey is shown")
    return True


TARGETS: Final[Mapping[str, Callable[[bytes], bool]]] = {
    **{name: functools.partial(_decode_struct, hint) for name, hint in STRUCTS.items()},
    "ratchet-tree": _decode_tree,
    "secret-tree": stable(lambda data: SecretTree.decode(SUITE, data).encode()),
    "group-state": stable(lambda data: encode_state(decode_state(data, RFC9420_RULE, _load_no_tree))),
    "public-group": stable(lambda data: encode_public(decode_public(data, _load_no_tree))),
    "pprf": stable(lambda data: PPRF.decode(SUITE, data).encode()),
    "epoch-node": stable(lambda data: Node.decode(data).encode()),
    "vote": stable(lambda data: Vote.decode(data).encode()),
    "authenticated-data": _decode_authenticated_data,
    "identity": lambda data: _accepts(lambda: decode_identity(data), CodecError),
    "certificate": lambda data: _accepts(lambda: load_certificate(data), ValidationError),
    "keys-and-signatures": _check_keys,
    "inspect": _inspect,
}
"""Targets by name. Each returns whether the bytes were taken in."""
