"""Structs described along their declarations."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Any, Final

from dmls.errors import DMLSError, UnsupportedError
from dmls.ids import LeafIndex
from dmls.mls.codec import Lazy, decode
from dmls.mls.crypto.certificates import load_certificate
from dmls.mls.crypto.suites import CipherSuite, cipher_suite
from dmls.mls.framing.signing import proposal_ref
from dmls.mls.group.follower import check_group_info_signature
from dmls.mls.messages import key_package as key_packages
from dmls.mls.messages import leaf_node as leaf_nodes
from dmls.mls.messages.extensions import Extension, ExternalPub, ExternalSenders, RequiredCapabilities, find_extension
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.key_package import KeyPackage, key_package_ref
from dmls.mls.messages.leaf_node import LeafNode, Lifetime
from dmls.mls.messages.message import AuthenticatedContent, PublicMessage, content_type
from dmls.mls.messages.registry import ContentType, ExtensionType, WireFormat
from dmls.mls.tree.ratchet_tree import RatchetTree
from dmls.tools.inspect.names import CODE_POINTS, name_of
from dmls.tools.inspect.trees import describe_tree
from dmls.tools.inspect.values import Code, Moment, Octets, Record, Text, Value

__all__ = ["describe", "suite_of"]

_TEXTS: Final = frozenset({"identity", "group_id", "psk_id", "psk_group_id", "authenticated_data", "data"})
_TIMES: Final = frozenset({"not_before", "not_after"})
_CONTENTS: Final[Mapping[int, type]] = {
    ExtensionType.REQUIRED_CAPABILITIES: RequiredCapabilities,
    ExtensionType.EXTERNAL_PUB: ExternalPub,
    ExtensionType.EXTERNAL_SENDERS: ExternalSenders,
}


def suite_of(number: int) -> CipherSuite | None:
    """Return a cipher suite, or None where it is unknown."""
    try:
        return cipher_suite(number)
    except UnsupportedError:
        return None


def describe(value: Any, suite: CipherSuite | None = None) -> Record:
    """Describe a struct.

    Args:
        value: the struct.
        suite: computes references and hashes where the struct does not name its cipher suite.
    """
    found = suite_of(value.cipher_suite) if hasattr(value, "cipher_suite") else None
    if isinstance(value, GroupInfo):
        found = suite_of(value.group_context.cipher_suite)
    suite = found or suite
    record = Record(type(value).__name__)
    for field in dataclasses.fields(value):
        record.parts[field.name] = _describe_field(field.name, getattr(value, field.name), suite)
    addition = _ADDITIONS.get(type(value))
    if addition is not None and suite is not None:
        addition(record, value, suite)
    return record


def _describe_field(name: str, value: Any, suite: CipherSuite | None) -> Value:
    if isinstance(value, bytes):
        return Text(value) if name in _TEXTS else Octets(value)
    if isinstance(value, IntEnum) and name not in CODE_POINTS:
        return Code(int(value), value.name.lower())
    if isinstance(value, int):
        if name in _TIMES:
            return Moment(value)
        return Code(int(value), name_of(name, value)) if name in CODE_POINTS else value
    if isinstance(value, tuple | Lazy):
        return _describe_elements(name, value, suite)
    if isinstance(value, Extension):
        return _describe_extension(value, suite)
    return describe(value, suite) if dataclasses.is_dataclass(value) else None


def _describe_elements(name: str, values: tuple[Any, ...] | Lazy[Any], suite: CipherSuite | None) -> Value:
    try:
        elements = tuple(values)
    except DMLSError as error:
        # A vector that is decoded late may turn out to be none.
        return f"does not decode: {error}"
    if name == "certificates":
        return [_describe_certificate(value) for value in elements]
    return [_describe_field(name, value, suite) for value in elements]


def _describe_extension(extension: Extension, suite: CipherSuite | None) -> Record:
    kind, data = extension.extension_type, extension.extension_data
    record = Record("Extension", {"extension_type": Code(kind, name_of("extension_type", kind))})
    try:
        if kind in _CONTENTS:
            record.parts["content"] = describe(decode(_CONTENTS[kind], data), suite)
        elif kind == ExtensionType.RATCHET_TREE and suite is not None:
            record.parts["content"] = describe_tree(RatchetTree.decode(suite, data), with_hash=True)
        elif kind == ExtensionType.APPLICATION_ID:
            record.parts["content"] = Text(data)
        else:
            record.parts["extension_data"] = Octets(data)
    except DMLSError as error:
        record.parts |= {"extension_data": Octets(data), "problem": f"does not decode: {error}"}
    return record


def _describe_certificate(data: bytes) -> Value:
    record = Record("Certificate", {"der": Octets(data)})
    try:
        certificate = load_certificate(data)
        record.parts["subject"] = Text(certificate.subject.rfc4514_string().encode())
        record.parts["issuer"] = Text(certificate.issuer.rfc4514_string().encode())
        record.parts["not_before"] = Moment(int(certificate.not_valid_before_utc.timestamp()))
        record.parts["not_after"] = Moment(int(certificate.not_valid_after_utc.timestamp()))
    except (DMLSError, ValueError) as error:
        record.parts["problem"] = f"does not decode: {Text(str(error).encode()).read()}"
    return record


def _verdict(check: Callable[..., object], *arguments: object) -> str:
    try:
        check(*arguments)
    except DMLSError:
        return "does not verify"
    return "verifies"


def _add_key_package(record: Record, value: KeyPackage, suite: CipherSuite) -> None:
    key = value.leaf_node.signature_key
    record.parts["key_package_ref"] = Octets(key_package_ref(suite, value))
    content = key_packages.encode_tbs(value)
    record.parts["signature_check"] = _verdict(suite.verify_with_label, key, "KeyPackageTBS", content, value.signature)


def _add_leaf_node(record: Record, value: LeafNode, suite: CipherSuite) -> None:
    # Leaves of other sources are signed for a group and a place, which a leaf does not name.
    if isinstance(value.source, Lifetime):
        content = leaf_nodes.encode_tbs(value, b"", LeafIndex(0))
        record.parts["signature_check"] = _verdict(
            suite.verify_with_label, value.signature_key, "LeafNodeTBS", content, value.signature
        )


def _add_group_info(record: Record, value: GroupInfo, suite: CipherSuite) -> None:
    encoded = find_extension(value.extensions, ExtensionType.RATCHET_TREE)
    if encoded is None:
        return
    try:
        tree = RatchetTree.decode(suite, encoded)
    except DMLSError:
        return
    fits = tree.tree_hash == value.group_context.tree_hash
    record.parts["tree_hash_check"] = "is that of the tree" if fits else "is not that of the tree"
    record.parts["signature_check"] = _verdict(check_group_info_signature, suite, value, tree)


def _add_proposal_ref(record: Record, value: PublicMessage | AuthenticatedContent, suite: CipherSuite) -> None:
    content = value if isinstance(value, AuthenticatedContent) else None
    if content is None:
        content = AuthenticatedContent(WireFormat.PUBLIC_MESSAGE, value.content, value.signature, value.confirmation_tag)
    if content_type(content.content) is ContentType.PROPOSAL:
        record.parts["proposal_ref"] = Octets(proposal_ref(suite, content))


_ADDITIONS: Final[Mapping[type, Callable[[Record, Any, CipherSuite], None]]] = {
    KeyPackage: _add_key_package,
    LeafNode: _add_leaf_node,
    GroupInfo: _add_group_info,
    PublicMessage: _add_proposal_ref,
    AuthenticatedContent: _add_proposal_ref,
}
