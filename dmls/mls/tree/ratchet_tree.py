"""The public ratchet tree of one epoch, as a value (RFC 9420, Sections 4, 7.7 and 7.8).

Operations return a new tree and leave the old one as it was; both share all nodes that are the same, so that keeping many
versions, for forks or retained epochs, costs O(log n) each. Hashes are computed when they are asked for, once a node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, count, islice

from dmls.errors import InvalidProposalError, UsageError
from dmls.ids import LeafIndex, NodeIndex
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.limits import DEFAULT_LIMITS
from dmls.mls.messages.leaf_node import LeafNode
from dmls.mls.tree.hashes import tree_hash
from dmls.mls.tree.math import leaf_to_node, right
from dmls.mls.tree.nodes import (
    Blank,
    Content,
    Leaf,
    Node,
    Parent,
    ParentNode,
    Slot,
    blank_leaves,
    find_node,
    in_order,
    members_support,
    node_key,
    resolution,
    rewrite,
)
from dmls.mls.tree.places import Places, encode_credential
from dmls.mls.tree.wire import decode_nodes, encode_nodes

__all__ = ["RatchetTree"]


def _no_content(index: NodeIndex, held: ParentNode | None, slots: Sequence[Slot]) -> None:
    """Blank the parents above replaced leaves (rules TR-09 and TR-12)."""


def _unmerged_content(index: NodeIndex, held: ParentNode | None, slots: Sequence[Slot]) -> ParentNode | None:
    """List new leaves in the parents above them, in order (rule TR-06)."""
    if held is None:
        return None
    leaves = sorted(held.unmerged_leaves + tuple(slot.index >> 1 for slot in slots))  # TR-06
    return ParentNode(held.encryption_key, held.parent_hash, tuple(leaves))


class RatchetTree:
    """A ratchet tree. Equal to another iff cipher suite, width and tree hash are.

    Attributes:
        suite: the group's cipher suite.
        root: the topmost node.
    """

    __slots__ = ("_places", "root", "suite")

    def __init__(self, suite: CipherSuite, root: Node, places: Places | None = None) -> None:
        """Wrap a root; `places` must know all keys below it, and is made here if left out."""
        self.suite = suite
        self.root = root
        if places is None:
            places = Places()
            places.add(in_order(root))
        self._places = places

    @classmethod
    def create(cls, suite: CipherSuite, leaf_node: LeafNode) -> RatchetTree:
        """Make the tree of a new group, with one leaf (RFC 9420, Section 11)."""
        return cls(suite, Leaf.at(LeafIndex(0), leaf_node))  # TR-33

    @classmethod
    def decode(cls, suite: CipherSuite, data: bytes, *, max_leaves: int = DEFAULT_LIMITS.max_leaves) -> RatchetTree:
        """Decode `optional<Node> ratchet_tree<V>` (RFC 9420, Section 12.4.3.3). The tree is parsed, not verified.

        Raises:
            CodecError: not an encoding of a tree.
            InvalidTreeError: breaks one of the rules TR-05 and TR-16 to TR-18.
            LimitError: more than `max_leaves` leaf slots are encoded.
        """
        return cls(suite, decode_nodes(data, max_leaves))

    def encode(self) -> bytes:
        """Encode as `optional<Node> ratchet_tree<V>`."""
        return encode_nodes(self.root)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RatchetTree):
            return NotImplemented
        return self.suite == other.suite and self.width == other.width and self.tree_hash == other.tree_hash

    def __hash__(self) -> int:
        return hash(self.tree_hash)

    def __repr__(self) -> str:
        return f"RatchetTree({self.member_count} members, {self.width} leaves)"

    # What is in it

    @property
    def width(self) -> int:
        """Number of leaf slots, a power of two."""
        return self.root.index + 1

    @property
    def member_count(self) -> int:
        """Number of leaves that are not blank."""
        return self.root.members

    @property
    def tree_hash(self) -> bytes:
        """The tree hash of the root, suite.hash_size bytes (RFC 9420, Section 7.8)."""
        return tree_hash(self.suite, self.root)

    def leaf(self, index: LeafIndex) -> LeafNode | None:
        """Return the leaf node at an index, or None where the leaf is blank or there is none."""
        found = self._leaf(index)
        return None if found is None else found.leaf_node

    def member(self, index: LeafIndex) -> LeafNode:
        """Return the leaf node of a member.

        Raises:
            InvalidProposalError: the leaf is blank or not in the tree.
        """
        found = self.leaf(index)
        if found is None:
            raise InvalidProposalError(f"leaf {index} is blank or not in the tree", rule="PR-07")
        return found

    def members(self) -> Iterator[tuple[LeafIndex, LeafNode]]:
        """Yield all leaves that are not blank, from left to right."""
        for node in in_order(self.root):
            if isinstance(node, Leaf):
                yield LeafIndex(node.index >> 1), node.leaf_node

    def parent(self, node: NodeIndex) -> ParentNode | None:
        """Return a parent's content, or None where it is blank.

        Raises:
            UsageError: the node is a leaf, or not in the tree.
        """
        found = self._node(node)
        if not node & 1:
            raise UsageError(f"node {node} is a leaf")
        return found.node if isinstance(found, Parent) else None

    def is_blank(self, node: NodeIndex) -> bool:
        """Return whether a node is blank.

        Raises:
            UsageError: the node is not in the tree.
        """
        return node_key(self._node(node)) is None

    def encryption_key(self, node: NodeIndex) -> bytes:
        """Return the public key of a node that is not blank.

        Raises:
            UsageError: the node is blank, or not in the tree.
        """
        key = node_key(self._node(node))
        if key is None:
            raise UsageError(f"node {node} is blank")
        return key

    def resolution(self, node: NodeIndex) -> tuple[NodeIndex, ...]:
        """Return the resolution of a node (RFC 9420, Section 4.1.1).

        Raises:
            UsageError: the node is not in the tree.
        """
        return tuple(resolution(self._node(node)))

    def filtered_direct_path(self, index: LeafIndex) -> tuple[NodeIndex, ...]:
        """Return the filtered direct path of a leaf, lowest first (RFC 9420, Section 4.1.2; rule TR-03).

        Raises:
            UsageError: the leaf is not in the tree.
        """
        return tuple(above for above, _ in self.filtered_copath(index))

    def filtered_copath(self, index: LeafIndex) -> tuple[tuple[NodeIndex, Node], ...]:
        """Return the nodes of a leaf's filtered direct path, lowest first, each with its child on the copath.

        Raises:
            UsageError: the leaf is not in the tree.
        """
        place = leaf_to_node(index)
        self._check_inside(place)
        node = self.root
        found: list[tuple[NodeIndex, Node]] = []
        while isinstance(node, Parent):
            above = node.index
            node, sibling = (node.left, node.right) if place < above else (node.right, node.left)
            if sibling.resolution_size:  # TR-03, UP-05
                found.append((above, sibling))
        found.reverse()
        return tuple(found)

    def find_signature_key(self, key: bytes) -> LeafIndex | None:
        """Return the lowest leaf with a signature key, or None."""
        return min(self._leaves_with(key, self._places.signature_keys.find(key), _signature_key), default=None)

    def find_credential(self, encoded_credential: bytes) -> tuple[LeafIndex, ...]:
        """Return the leaves with a credential, given as encoded `Credential`, in ascending order."""
        candidates = self._places.credentials.find(encoded_credential)
        return tuple(sorted(self._leaves_with(encoded_credential, candidates, encode_credential)))

    def has_encryption_key(self, key: bytes) -> bool:
        """Return whether some node, leaf or parent, holds an encryption key."""
        for index in self._places.encryption_keys.find(key):  # noqa: SIM110 most keys have never been anywhere
            if node_key(find_node(self.root, index)) == key:
                return True
        return False

    @property
    def credential_types(self) -> frozenset[int]:
        """Types of credential in use."""
        return members_support(self.root).credential_types

    @property
    def supported_credentials(self) -> frozenset[int]:
        """Types of credential that all members list in their capabilities."""
        return members_support(self.root).credentials

    @property
    def supported_extensions(self) -> frozenset[int]:
        """Types of extension that all members list; the default types need not be among them."""
        return members_support(self.root).extensions

    @property
    def supported_proposals(self) -> frozenset[int]:
        """Types of proposal that all members list; the default types need not be among them."""
        return members_support(self.root).proposals

    # What becomes of it

    def add(self, leaf_node: LeafNode) -> tuple[RatchetTree, LeafIndex]:
        """Put a leaf node at the leftmost blank leaf, in a wider tree where there is none (RFC 9420, Section 12.1.1)."""
        tree, indices = self.add_all((leaf_node,))
        return tree, indices[0]

    def add_all(self, leaf_nodes: Iterable[LeafNode]) -> tuple[RatchetTree, tuple[LeafIndex, ...]]:
        """Add leaf nodes in their order (rules TR-06 to TR-08); return the tree and their indices."""
        added = tuple(leaf_nodes)
        if not added:
            return self, ()
        free = chain(blank_leaves(self.root), map(LeafIndex, count(self.width)))  # TR-07
        indices = tuple(islice(free, len(added)))
        root = self.root
        while root.index < indices[-1]:
            index = NodeIndex(2 * root.index + 1)
            root = Parent(index, root, Blank(right(index)), None)  # TR-08
        leaves = [Leaf.at(index, leaf_node) for index, leaf_node in zip(indices, added, strict=True)]
        return self._with(root, leaves, _unmerged_content), indices

    def update(self, index: LeafIndex, leaf_node: LeafNode) -> RatchetTree:
        """Replace a member's leaf and blank the parents above it (RFC 9420, Section 12.1.2; rule TR-12).

        Raises:
            InvalidProposalError: the leaf is blank or not in the tree.
        """
        self.member(index)
        return self._with(self.root, (Leaf.at(index, leaf_node),), _no_content)  # TR-12

    def remove(self, index: LeafIndex) -> RatchetTree:
        """Blank a member's leaf and the parents above it, and truncate the tree (RFC 9420, Section 12.1.3).

        Raises:
            InvalidProposalError: the leaf is blank or not in the tree.
        """
        return self.remove_all((index,))

    def remove_all(self, indices: Iterable[LeafIndex]) -> RatchetTree:
        """Remove members, as one by one in any order (rules TR-09 to TR-11).

        Raises:
            InvalidProposalError: a leaf is blank, not in the tree, or named twice.
        """
        removed = sorted(indices)
        for index in removed:
            self.member(index)
        if len(set(removed)) != len(removed):
            raise InvalidProposalError("a leaf is removed twice", rule="PR-07")
        if not removed:
            return self
        tree = self._with(self.root, [Blank(leaf_to_node(index)) for index in removed], _no_content)  # TR-13
        root = tree.root
        while isinstance(root, Parent) and not root.right.members:  # TR-09, TR-11
            root = root.left  # TR-10
        # Truncation leaves one leaf, blank if need be: the only member may rejoin by external commit.
        return RatchetTree(self.suite, Blank(NodeIndex(0)) if isinstance(root, Blank) else root, tree._places)

    def replace_path(self, index: LeafIndex, leaf_node: LeafNode, nodes: Mapping[NodeIndex, ParentNode]) -> RatchetTree:
        """Replace a member's leaf and all parents above it, with those of `nodes` and blank ones (rule UP-08).

        Raises:
            InvalidProposalError: the leaf is blank or not in the tree.
        """
        self.member(index)
        tree = self._with(self.root, (Leaf.at(index, leaf_node),), lambda above, held, slots: nodes.get(above))  # UP-08
        tree._places.add_keys((node.encryption_key, above) for above, node in nodes.items())
        return tree

    # Inside

    def _with(self, root: Node, slots: Sequence[Slot], content: Content) -> RatchetTree:
        self._places = self._places.for_tree(self.root)
        self._places.add(slots)
        return RatchetTree(self.suite, rewrite(root, slots, content), self._places)

    def _check_inside(self, node: int) -> None:
        if not 0 <= node <= 2 * self.root.index:
            raise UsageError(f"node {node} is not in a tree of {self.width} leaves")

    def _node(self, index: int) -> Node:
        self._check_inside(index)
        return find_node(self.root, index)

    def _leaf(self, index: int) -> Leaf | None:
        if not 0 <= index < self.width:  # TR-34
            return None
        node = find_node(self.root, leaf_to_node(index))
        return node if isinstance(node, Leaf) else None

    def _leaves_with(self, value: bytes, candidates: Iterable[NodeIndex], read: Callable[[Leaf], bytes]) -> Iterator[LeafIndex]:
        """Yield the candidates that hold the value in this version of the tree."""
        for index in candidates:
            leaf = self._leaf(index >> 1)
            if leaf is not None and read(leaf) == value:
                yield LeafIndex(index >> 1)


def _signature_key(leaf: Leaf) -> bytes:
    return leaf.leaf_node.signature_key
