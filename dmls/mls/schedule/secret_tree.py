"""The secret tree: every member's ratchets, derived from the encryption secret when they are first needed (RFC 9420, Section 9).

A secret that has been used is absent from the tree that an operation returns, and only from that one: who keeps the tree
before it can undo, and forward secrecy begins when that tree is let go. Nodes are numbered as in a binary heap: the root is 1,
the children of n are 2n and 2n + 1, leaf i of a tree of width w is w + i.
"""

from __future__ import annotations

from dataclasses import dataclass

from immutables import Map

from dmls.errors import CodecError, InvalidMessageError, KeyConsumedError, UsageError
from dmls.ids import LeafIndex
from dmls.mls.codec import decode, encode, opaque, struct, uint32, vector
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.limits import DEFAULT_LIMITS, Limits
from dmls.mls.messages.registry import ContentType
from dmls.mls.schedule.ratchet import MessageKey, Ratchet, RatchetRecord

__all__ = ["MessageKey", "SecretTree"]

_MAX_WIDTH = 1 << 31
_ROOT = 1


@struct(secret=True)
class _NodeRecord:
    node: uint32
    secret: opaque


@struct(secret=True)
class _SlotRecord:
    slot: uint32
    ratchet: RatchetRecord


@struct(secret=True)
class _TreeRecord:
    width: uint32
    nodes: vector[_NodeRecord]
    ratchets: vector[_SlotRecord]


def _slot(leaf: LeafIndex, content_type: ContentType) -> int:
    """Return the ratchet that the content type selects: two a leaf, handshake and application (ST-10, PRV-08)."""
    return 2 * leaf + (content_type is ContentType.APPLICATION)  # ST-10


def _is_width(width: int) -> bool:
    return 0 < width <= _MAX_WIDTH and width & (width - 1) == 0


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class SecretTree:
    """The message keys of an epoch. Immutable: an operation returns the tree after it.

    A sender costs O(log n) derivations and O(log n) bytes when it is first heard of, O(1) later.
    """

    suite: CipherSuite
    width: int
    """Number of leaves of the epoch's ratchet tree, blank ones included: a power of two (ST-02)."""
    limits: Limits
    _nodes: Map[int, Secret]
    """Secrets of the topmost nodes below which no ratchet was opened."""
    _ratchets: Map[int, Ratchet]

    @classmethod
    def create(cls, suite: CipherSuite, encryption_secret: Secret, width: int, limits: Limits = DEFAULT_LIMITS) -> SecretTree:
        """Make the tree of an epoch; the encryption secret is to be deleted by the caller (ST-06).

        Raises:
            UsageError: `width` is no power of two, or the secret does not have hash_size bytes.
        """
        if not _is_width(width):
            raise UsageError(f"a tree cannot have {width} leaves")
        if len(encryption_secret) != suite.hash_size:
            raise UsageError("encryption secret has a wrong length")
        return cls(suite, width, limits, Map({_ROOT: encryption_secret}), Map())

    def next_key(self, leaf: LeafIndex, content_type: ContentType) -> tuple[MessageKey, SecretTree]:
        """Return the key of a leaf's next message, and the tree without it (ST-04).

        The returned tree must be stored before the message is sent (ST-11).

        Raises:
            InvalidMessageError: the tree has no such leaf.
            KeyConsumedError: the leaf was forgotten.
            LimitError: the sender has used up this epoch (CRY-17).
            ExhaustedError: the last generation has been used (ST-09).
        """
        slot = _slot(leaf, content_type)
        opened = self._with_leaf(leaf, slot)
        key, after = opened._ratchets[slot].next(self.suite, self.limits)
        return key, opened._with_ratchet(slot, after)  # ST-04, FRM-15

    def message_key(self, leaf: LeafIndex, content_type: ContentType, generation: int) -> tuple[MessageKey, SecretTree]:
        """Return the key of a received message, and the tree without it.

        The returned tree replaces this one only when the message has proved authentic (PRV-14).

        Raises:
            InvalidMessageError: the tree has no such leaf.
            KeyConsumedError: the key was used before, is older than the window, or the leaf was forgotten (ST-05, ST-07, ST-13).
            LimitError: `generation` is too far ahead (ST-08).
        """
        slot = _slot(leaf, content_type)
        opened = self._with_leaf(leaf, slot)
        key, after = opened._ratchets[slot].take(self.suite, generation, self.limits)
        return key, opened._with_ratchet(slot, after)

    def has_key(self, leaf: LeafIndex, content_type: ContentType, generation: int) -> bool:
        """Whether a key is neither used nor dropped. It may still be too far ahead for `message_key`."""
        if not 0 <= leaf < self.width:
            return False
        ratchet = self._ratchets.get(_slot(leaf, content_type))
        if ratchet is None:
            ratchet = _UNOPENED if self._covering_node(leaf) is not None else _FORGOTTEN
        return ratchet.has(generation)

    def emptied(self) -> SecretTree:
        """Return a tree of the same shape without any secret."""
        return SecretTree(self.suite, self.width, self.limits, Map(), Map())

    def forget(self, leaf: LeafIndex) -> SecretTree:
        """Return the tree without anything from which this leaf's keys could be derived.

        Raises:
            InvalidMessageError: the tree has no such leaf.
        """
        slots = [slot for slot in (2 * leaf, 2 * leaf + 1) if slot in self._ratchets]
        if not slots and 0 <= leaf < self.width and self._covering_node(leaf) is None:
            return self
        ratchets = self._ratchets
        for slot in slots:
            ratchets = ratchets.delete(slot)
        nodes = self._nodes if slots else self._opened(leaf)[0]
        return SecretTree(self.suite, self.width, self.limits, nodes, ratchets)

    def encode(self) -> bytes:
        """Return the bytes that `decode` reads: a few for every sender heard of, and as secret as the tree."""
        nodes = tuple(_NodeRecord(node, self._nodes[node]) for node in sorted(self._nodes))
        ratchets = tuple(_SlotRecord(slot, self._ratchets[slot].to_record()) for slot in sorted(self._ratchets))
        return encode(_TreeRecord(self.width, nodes, ratchets))  # ST-11

    @classmethod
    def decode(cls, suite: CipherSuite, data: bytes, limits: Limits = DEFAULT_LIMITS) -> SecretTree:
        """Read a tree back. Positions, and with them what was used, are those of the tree that was encoded (ST-11).

        Raises:
            CodecError: `data` is no secret tree of this suite.
        """
        record = decode(_TreeRecord, data)
        width = record.width
        if not _is_width(width):
            raise CodecError("secret tree has an impossible width")
        numbers = [item.node for item in record.nodes]
        slots = [item.slot for item in record.ratchets]
        if sorted(set(numbers)) != numbers or sorted(set(slots)) != slots:
            raise CodecError("secret tree is out of order")
        if any(not _ROOT <= number < 2 * width for number in numbers) or any(slot >= 2 * width for slot in slots):
            raise CodecError("secret tree has a node outside it")
        if any(len(item.secret) != suite.hash_size for item in record.nodes):
            raise CodecError("node secret has a wrong length")
        nodes = Map((item.node, Secret(item.secret)) for item in record.nodes)
        ratchets = Map((item.slot, Ratchet.from_record(suite, item.ratchet, limits)) for item in record.ratchets)
        return cls(suite, width, limits, nodes, ratchets)

    def _with_ratchet(self, slot: int, ratchet: Ratchet) -> SecretTree:
        return SecretTree(self.suite, self.width, self.limits, self._nodes, self._ratchets.set(slot, ratchet))

    def _with_leaf(self, leaf: LeafIndex, slot: int) -> SecretTree:
        """Return a tree that has the ratchet of `slot`, which is one of the leaf's."""
        if slot in self._ratchets:
            return self
        nodes, secret = self._opened(leaf)
        with self._ratchets.mutate() as ratchets:
            for offset, label in enumerate(("handshake", "application")):
                start = self.suite.expand_with_label(secret, label, b"", self.suite.hash_size)
                ratchets[2 * leaf + offset] = Ratchet(0, start, Map())
            opened = ratchets.finish()
        return SecretTree(self.suite, self.width, self.limits, nodes, opened)

    def _covering_node(self, leaf: LeafIndex) -> int | None:
        """Return the node on the leaf's direct path whose secret is held, None where there is none."""
        node = self.width + leaf
        while node and node not in self._nodes:
            node >>= 1
        return node or None

    def _opened(self, leaf: LeafIndex) -> tuple[Map[int, Secret], Secret]:
        """Return the node secrets without the leaf's direct path, and the leaf's secret (ST-01, ST-05)."""
        if not 0 <= leaf < self.width:
            raise InvalidMessageError("the secret tree has no such leaf", rule="ST-02")
        top = self._covering_node(leaf)
        if top is None:
            raise KeyConsumedError("the keys of this leaf are gone", rule="ST-05")
        suite, target = self.suite, self.width + leaf
        with self._nodes.mutate() as nodes:
            secret = nodes.pop(top)
            for height in range(target.bit_length() - top.bit_length() - 1, -1, -1):
                child = target >> height
                left = suite.expand_with_label(secret, "tree", b"left", suite.hash_size)  # ST-01
                right = suite.expand_with_label(secret, "tree", b"right", suite.hash_size)
                secret, nodes[child ^ 1] = (right, left) if child & 1 else (left, right)
            rest = nodes.finish()
        return rest, secret


_UNOPENED = Ratchet(0, None, Map())
_FORGOTTEN = Ratchet(1 << 32, None, Map())
