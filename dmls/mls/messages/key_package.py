"""Key packages (RFC 9420, Section 10)."""

from __future__ import annotations

from dmls.ids import KeyPackageRef
from dmls.mls.codec import bounded, encode, encode_opaque, opaque, struct, uint16
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.messages.extensions import Extension, find_extension
from dmls.mls.messages.leaf_node import LeafNode
from dmls.mls.messages.registry import ExtensionType

__all__ = ["KeyPackage", "encode_tbs", "is_last_resort", "key_package_ref"]


@struct
class KeyPackage:
    """A client's offer to be added to a group."""

    version: uint16
    cipher_suite: uint16
    init_key: opaque
    leaf_node: LeafNode
    extensions: bounded[Extension]
    signature: opaque


def encode_tbs(key_package: KeyPackage) -> bytes:
    """Return KeyPackageTBS: what the signature covers."""
    return encode(key_package)[: -len(encode_opaque(key_package.signature))]


def key_package_ref(suite: CipherSuite, key_package: KeyPackage) -> KeyPackageRef:
    """Return the reference of a key package, `suite.hash_size` bytes (RFC 9420, Section 5.2; CRY-11)."""
    return KeyPackageRef(suite.ref_hash("MLS 1.0 KeyPackage Reference", encode(key_package)))  # CRY-11


def is_last_resort(key_package: KeyPackage) -> bool:
    """Tell whether a key package may be used more than once; its private keys outlive a join then (RFC 9420, Section 16.8)."""
    return find_extension(key_package.extensions, ExtensionType.LAST_RESORT) is not None
