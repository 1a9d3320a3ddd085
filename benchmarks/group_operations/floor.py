"""The primitive operations that RFC 9420 cannot do without, by formula (docs/benchmarks.md has the formulas in words).

The member who is measured is at leaf 1, the others act from leaf 0 or from the last leaf. What can be computed once and kept,
such as hashes of subtrees that did not change, is counted where it is first needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass

from benchmarks.group_operations.shape import Shape

__all__ = ["SEAT", "Counts"]

SEAT = 1
"""The leaf of who is measured."""

_LEAF_BYTES = 140
_CIPHERTEXT_BYTES = 82
"""Of one encrypted path secret in a commit."""
_SECRETS_BYTES = 120
"""Of one entry of a Welcome."""


@dataclass(frozen=True)
class Counts:
    """How often each primitive is needed.

    Attributes:
        base_multiplications: public keys computed from private ones.
        exchanges: Diffie-Hellman.
        signatures, verifications: as they say.
        aeads: short messages sealed or opened.
        macs: HMACs of short messages, of which HKDF is made.
        hashes: of up to 200 bytes.
        aead_bytes, hash_bytes: of long messages, beyond the calls above.
    """

    base_multiplications: int = 0
    exchanges: int = 0
    signatures: int = 0
    verifications: int = 0
    aeads: int = 0
    macs: int = 0
    hashes: int = 0
    aead_bytes: int = 0
    hash_bytes: int = 0

    def __add__(self, other: Counts) -> Counts:
        """Add both."""
        return Counts(*(one + two for one, two in zip(astuple(self), astuple(other), strict=True)))

    def __mul__(self, times: int) -> Counts:
        """Repeat."""
        return Counts(*(times * each for each in astuple(self)))


_KEY_PAIR = Counts(base_multiplications=1, macs=2)
_SEAL = Counts(base_multiplications=1, exchanges=1, aeads=1, macs=5)
"""HPKE: two macs for the shared secret, three for the message key; the mac over the info is shared by all recipients."""
_OPEN = Counts(exchanges=1, aeads=1, macs=5)
_INFO = Counts(macs=1)
_EPOCH = Counts(macs=11)
"""Member and epoch secret, and the nine that are derived from that."""
_JOINER = Counts(macs=2)
_TRANSCRIPT = Counts(macs=1, hashes=2)
"""Both transcript hashes and the confirmation tag."""
_MEMBERSHIP = Counts(macs=1)
_WELCOME_KEY = Counts(macs=3)


def _path(nodes: int) -> Counts:
    """Derive path secrets, node secrets and key pairs of so many nodes, and the commit secret."""
    return (Counts(macs=2) + _KEY_PAIR) * nodes + Counts(macs=1)


def _rehash(depth: int) -> Counts:
    """Hash a leaf and the parents above it, and their parent hashes."""
    return Counts(hashes=2 * depth + 1)


def _depth(shape: Shape) -> int:
    return len(shape.copath(SEAT))


def key_package(_shape: Shape) -> Counts:
    """Make init and leaf key, sign leaf and key package."""
    return _KEY_PAIR * 2 + Counts(signatures=2)


def create(_shape: Shape) -> Counts:
    """Make and sign a leaf, derive the secrets of epoch 0."""
    return _KEY_PAIR + Counts(signatures=1, hashes=1) + Counts(macs=9) + _TRANSCRIPT


def _additions(shape: Shape, count: int) -> Counts:
    """Verify and name key packages, hash the tree, sign commit and GroupInfo, seal the Welcome; no path is needed."""
    members = shape.size
    each = Counts(verifications=2, hashes=1) + _SEAL
    depth = max(members.bit_length(), 1)
    rehashed = min(2 * count + depth, 2 * members)
    welcome = Counts(aead_bytes=_LEAF_BYTES * members, hash_bytes=2 * _LEAF_BYTES * members)
    signed = Counts(signatures=2, hashes=rehashed, hash_bytes=4 * 2 * _LEAF_BYTES * count)
    return each * count + _INFO + welcome + signed + _JOINER + _WELCOME_KEY + _EPOCH + _TRANSCRIPT + _MEMBERSHIP


def add_all(shape: Shape) -> Counts:
    """Add everybody else to a new group."""
    return _additions(shape, shape.size - 1)


def add(shape: Shape) -> Counts:
    """Add one member."""
    return _additions(shape, 1)


def commit(shape: Shape) -> Counts:
    """Commit a path and nothing else, and enter the epoch."""
    return _commit(shape, shape.copath(SEAT))


def remove(shape: Shape) -> Counts:
    """Commit the removal of the last member, with a path."""
    after = shape.without_last()
    copath = after.copath(SEAT) if shape.size > 2 else ()  # of two, the other leaf is the one that goes
    return _commit(after, copath) + Counts(hashes=len(shape.copath(shape.size - 1)))


def _commit(shape: Shape, copath: tuple[int, ...]) -> Counts:
    recipients = sum(copath)
    # Signed with two passes, then part of the transcript and of the membership tag.
    long = Counts(hash_bytes=4 * _CIPHERTEXT_BYTES * recipients)
    path = _path(len(copath)) + _KEY_PAIR + _SEAL * recipients + _INFO + long
    return path + Counts(signatures=2) + _rehash(len(copath)) + _JOINER + _EPOCH + _TRANSCRIPT + _MEMBERSHIP


def process(shape: Shape) -> Counts:
    """Process a commit by the last leaf: verify it and its leaf, open one secret, check the keys that both are below."""
    copath = shape.copath(shape.size - 1)
    long = Counts(hash_bytes=3 * _CIPHERTEXT_BYTES * sum(copath))
    opened = _OPEN + _INFO + _path(shape.common_path(shape.size - 1, SEAT))
    return opened + long + Counts(verifications=2) + _rehash(len(copath)) + _JOINER + _EPOCH + _TRANSCRIPT + _MEMBERSHIP


def _judge_tree(shape: Shape, members: int) -> Counts:
    """Verify all leaves, hash the tree, and check parent hashes where there are parents."""
    return Counts(verifications=members, hashes=(3 if shape.is_full else 2) * members)


def join(shape: Shape) -> Counts:
    """Join as one more member, by the Welcome of a commit without a path."""
    members = shape.size + 1
    opened = _OPEN + _INFO
    bulk = Counts(aead_bytes=_LEAF_BYTES * members, hash_bytes=_LEAF_BYTES * members)
    return _judge_tree(shape, members) + opened + bulk + _WELCOME_KEY + _EPOCH + _TRANSCRIPT + Counts(verifications=1)


def external_join(shape: Shape) -> Counts:
    """Judge the group, and commit oneself into it."""
    copath = shape.copath(shape.size)
    judged = _judge_tree(shape, shape.size) + Counts(verifications=1, hash_bytes=_LEAF_BYTES * shape.size)
    external = Counts(base_multiplications=1, exchanges=1, macs=5) + _INFO
    path = _path(len(copath)) + _KEY_PAIR + _SEAL * sum(copath) + _INFO + Counts(hash_bytes=3 * _CIPHERTEXT_BYTES * sum(copath))
    return judged + external + path + Counts(signatures=2) + _rehash(len(copath)) + _JOINER + _EPOCH + _TRANSCRIPT


_MESSAGE = Counts(macs=5, aeads=2, aead_bytes=1024)
"""Key, nonce and next secret of the ratchet; key and nonce of the sender data."""


def encrypt(_shape: Shape) -> Counts:
    """Sign and seal."""
    return _MESSAGE + Counts(signatures=1, hash_bytes=2 * 1024)


def decrypt(_shape: Shape) -> Counts:
    """Open and verify."""
    return _MESSAGE + Counts(verifications=1, hash_bytes=1024)


def first_message(shape: Shape) -> Counts:
    """Derive the sender's ratchet from the root of the secret tree first."""
    depth = (shape.size - 1).bit_length()
    return decrypt(shape) + Counts(macs=2 * depth + 2)


def follow(shape: Shape) -> Counts:
    """Judge a commit by the last leaf without being a member."""
    copath = shape.copath(shape.size - 1)
    return Counts(verifications=2, hash_bytes=2 * _CIPHERTEXT_BYTES * sum(copath)) + _rehash(len(copath)) + Counts(hashes=2)


Formula = Callable[[Shape], Counts]
"""Of an operation."""
