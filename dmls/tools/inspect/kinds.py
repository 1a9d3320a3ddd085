"""What some bytes are: every kind of object that can be told by decoding it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from dmls.errors import CodecError, DMLSError, InvalidArgumentError
from dmls.mls.codec import Tagged, decode_as, optional, vector
from dmls.mls.crypto.suites import CipherSuite, cipher_suite
from dmls.mls.messages.commit import Commit
from dmls.mls.messages.group_context import GroupContext
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.key_package import KeyPackage
from dmls.mls.messages.leaf_node import LeafNode
from dmls.mls.messages.message import AuthenticatedContent, MLSMessage
from dmls.mls.messages.proposal import Proposal
from dmls.mls.messages.welcome import Welcome
from dmls.mls.tree.nodes import ParentNode
from dmls.mls.tree.ratchet_tree import RatchetTree
from dmls.tools.inspect.description import describe
from dmls.tools.inspect.position import locate
from dmls.tools.inspect.source import Encoding, Kind
from dmls.tools.inspect.trees import describe_tree
from dmls.tools.inspect.values import Record

__all__ = ["KINDS", "NODES", "Inspected", "inspect", "recognise"]

_OPTIONAL: Any = optional
NODES: Final = vector[_OPTIONAL[Annotated[LeafNode | ParentNode, Tagged(1, {1: LeafNode, 2: ParentNode})]]]
"""`optional<Node> ratchet_tree<V>` as a wire type (RFC 9420, Section 12.4.3.3)."""

KINDS: Final[Mapping[Kind, Any]] = {
    Kind.MESSAGE: MLSMessage,
    Kind.KEY_PACKAGE: KeyPackage,
    Kind.GROUP_INFO: GroupInfo,
    Kind.WELCOME: Welcome,
    Kind.RATCHET_TREE: NODES,
    Kind.GROUP_CONTEXT: GroupContext,
    Kind.AUTHENTICATED_CONTENT: AuthenticatedContent,
    Kind.LEAF_NODE: LeafNode,
    Kind.COMMIT: Commit,
    Kind.PROPOSAL: Proposal,
}
"""Their wire types."""


@dataclass(frozen=True)
class Inspected:
    """What the bytes are.

    Attributes:
        encoding: how they were written.
        size: how many they are.
        kind: what they were taken for.
        also: what else they decode as.
        record: what is in them.
    """

    encoding: Encoding
    size: int
    kind: Kind
    also: tuple[Kind, ...]
    record: Record


def inspect(kind: Kind, data: bytes, suite: CipherSuite | None = None) -> Record:
    """Describe bytes of a known kind.

    Raises:
        DMLSError: they are of another.
    """
    value = _decode(kind, data, suite)
    return describe_tree(value, with_hash=suite is not None) if isinstance(value, RatchetTree) else describe(value, suite)


def _decode(kind: Kind, data: bytes, suite: CipherSuite | None = None) -> Any:
    if kind is not Kind.RATCHET_TREE:
        return decode_as(KINDS[kind], data)
    # Only its hash depends on the cipher suite.
    return RatchetTree.decode(suite or cipher_suite(1), data)


def recognise(
    candidates: Iterable[tuple[Encoding, bytes]], *, kind: Kind | None = None, suite: CipherSuite | None = None
) -> Inspected:
    """Find out what bytes are, and describe them.

    Args:
        candidates: the bytes, as each encoding in which they may be written gives them.
        kind: what they are, where it is known.
        suite: of the objects that do not name theirs.

    Raises:
        InvalidArgumentError: they are none of the kinds, or not of `kind`; says where decoding stopped, and why.
    """
    tried = []
    for encoding, data in candidates:
        fitting = [name for name in Kind if kind in (None, name) and _fits(name, data)]
        if fitting:
            return Inspected(encoding, len(data), fitting[0], tuple(fitting[1:]), inspect(fitting[0], data, suite))
        tried.append((encoding, data))
    raise _explain(tried, kind)


def _fits(kind: Kind, data: bytes) -> bool:
    try:
        _decode(kind, data)
    except DMLSError:
        return False
    return True


def _explain(tried: Iterable[tuple[Encoding, bytes]], kind: Kind | None) -> InvalidArgumentError:
    """Say why the likeliest reading fails: the one that gets farthest."""
    found = [
        (*locate(KINDS[name], data), name, encoding, data) for encoding, data in tried for name in Kind if kind in (None, name)
    ]
    # Of equals the first is the likeliest.
    offset, path, name, encoding, data = max(found, key=lambda place: place[0])
    try:
        _decode(name, data)
    except DMLSError as error:
        where = f"byte {offset} of {len(data)}" + (f", in {path}" if path else "")
        start = f"not a {name}" if kind else f"none of the kinds that are known, and closest to a {name}"
        return InvalidArgumentError(f"read as {encoding} it is {start}: at {where}: {error.message}", rule=error.rule)
    raise CodecError("decodes, and does not")
