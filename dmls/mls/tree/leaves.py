"""What a leaf and any key of the tree are held to, whatever the group (RFC 9420, Sections 7.2, 7.3 and 10)."""

from __future__ import annotations

from collections.abc import Callable

from dmls.errors import CryptoError, SignatureError, ValidationError
from dmls.ids import LeafIndex
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.messages.leaf_node import LeafNode, encode_tbs
from dmls.mls.messages.registry import SignatureLabel

__all__ = ["check_key", "check_leaf_signature"]


def check_key(check: Callable[[bytes], None], public_key: bytes, error: type[ValidationError]) -> None:
    """Check that a leaf or parent holds a key of the cipher suite; `check` is the suite's, for keys of that kind.

    Raises:
        ValidationError: of class `error`, rule LN-25.
    """
    try:
        check(public_key)
    except CryptoError as cause:
        raise error("a public key is none of the cipher suite", rule="LN-25") from cause


def check_leaf_signature(suite: CipherSuite, leaf_node: LeafNode, group_id: bytes, leaf_index: LeafIndex) -> None:
    """Check who signed a leaf, and for which group and place.

    Raises:
        SignatureError: it was made by another, or for elsewhere (rule LN-02).
    """
    content = encode_tbs(leaf_node, group_id, leaf_index)
    try:
        suite.verify_with_label(leaf_node.signature_key, SignatureLabel.LEAF_NODE_TBS, content, leaf_node.signature)
    except SignatureError as cause:
        raise SignatureError(f"the signature of leaf {leaf_index} does not verify", rule="LN-02") from cause
