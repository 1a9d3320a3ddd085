"""Where in the tree a key or a credential is, without looking at every node.

All versions that come from one tree share one `Places`, which only ever grows: it says where a value has been in *some* version.
Whoever asks checks the answer against the version at hand, so the sharing is not seen from outside. A version more costs an entry
for each key that is new in it, about 1 KiB for a commit among 10,000 members, where a persistent map (`immutables`) costs 16.
When most entries must be of versions long gone, a new `Places` is begun, with those versions that are still used.
"""

from __future__ import annotations

from collections.abc import Iterable

from dmls.ids import NodeIndex
from dmls.mls.codec import encoder_of
from dmls.mls.messages.credential import Credential
from dmls.mls.tree.nodes import Leaf, Node, Parent, in_order

__all__ = ["Places", "encode_credential"]

_SLACK = 2
_LEAST = 64
_encode_credential = encoder_of(Credential)


def encode_credential(leaf: Leaf) -> bytes:
    """Return the encoding of a leaf's credential."""
    return _encode_credential(leaf.leaf_node.credential)


class _Index:
    """From a value to the node indices at which it has been."""

    __slots__ = ("_first", "_others")

    def __init__(self) -> None:
        self._first: dict[bytes, NodeIndex] = {}
        self._others: dict[bytes, set[NodeIndex]] = {}

    def __len__(self) -> int:
        return len(self._first) + len(self._others)

    def add(self, value: bytes, index: NodeIndex) -> None:
        # Each step is one operation of a dictionary or set, so versions may be made in several threads.
        if self._first.setdefault(value, index) != index:
            self._others.setdefault(value, set()).add(index)

    def find(self, value: bytes) -> tuple[NodeIndex, ...]:
        first = self._first.get(value)
        if first is None:
            return ()
        return (first, *self._others.get(value, ()))


class Places:
    """The places of encryption keys, signature keys and encoded credentials."""

    __slots__ = ("_successor", "credentials", "encryption_keys", "signature_keys")

    def __init__(self) -> None:
        self.encryption_keys = _Index()
        self.signature_keys = _Index()
        self.credentials = _Index()
        self._successor: Places | None = None

    def add(self, nodes: Iterable[Node]) -> None:
        """Index some nodes."""
        encryption_keys, signature_keys, credentials = self.encryption_keys.add, self.signature_keys.add, self.credentials.add
        for node in nodes:
            if isinstance(node, Leaf):
                encryption_keys(node.leaf_node.encryption_key, node.index)
                signature_keys(node.leaf_node.signature_key, node.index)
                credentials(encode_credential(node), node.index)
            elif isinstance(node, Parent) and node.node is not None:
                encryption_keys(node.node.encryption_key, node.index)

    def add_keys(self, keys: Iterable[tuple[bytes, NodeIndex]]) -> None:
        """Index encryption keys of parents."""
        for key, index in keys:
            self.encryption_keys.add(key, index)

    def for_tree(self, root: Node) -> Places:
        """Return what a tree that has used this so far should go on with: this, or where it has grown too large, a successor."""
        most = _SLACK * 2 * root.members + _LEAST
        if len(self.encryption_keys) <= most:
            return self
        if self._successor is None or len(self._successor.encryption_keys) > most:
            self._successor = Places()
        self._successor.add(in_order(root))
        return self._successor
