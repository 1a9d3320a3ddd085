"""Defects of peers that the tests have to know of to keep out of their way; docs/peers.md lists them all."""

from __future__ import annotations

from collections.abc import Sequence

from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.tree.math import ancestor
from dmls.mls.tree.ratchet_tree import RatchetTree

__all__ = ["gbp_can_remove", "openmls_follows_return", "ts_mls_can_join"]


def ts_mls_can_join(encoded: str, suite: int) -> bool:
    """Tell whether ts-mls accepts a tree (hex) from outside.

    It wants all parents above an unmerged leaf to list the same leaves. RFC 9420, Section 12.4.3.1, only wants that leaf itself
    listed by all parents between it and one that lists it, so that leaves under different parents make lists that differ.
    """
    tree = RatchetTree.decode(cipher_suite(suite), bytes.fromhex(encoded))
    for leaf, _ in tree.members():
        above = [tree.parent(ancestor(leaf, height)) for height in range(1, tree.width.bit_length())]
        lists = [tuple(node.unmerged_leaves) for node in above if node is not None]
        if any(leaf in unmerged for unmerged in lists) and len(set(lists)) > 1:
            return False
    return True


def gbp_can_remove(leaf: int, members: int) -> bool:
    """Tell whether gbp-stack removes the member at a leaf: it takes the number of members for the number of leaves."""
    return leaf < members


def openmls_follows_return(leaves: Sequence[object | None], leaf: int) -> bool:
    """Tell whether gbp-stack and core-crypto follow the return, by external commit, of the member at a leaf.

    Where the removal in it makes the tree shorter, and the newcomer has to make it longer again because no leaf is blank, OpenMLS
    finds the removed leaf back where it was, unless the newcomer gets just that place.
    """
    occupied = [index for index, member in enumerate(leaves) if member is not None]
    remaining = [index for index in occupied if index != leaf]
    shorter = _width(remaining)
    return shorter == _width(occupied) or len(remaining) < shorter or leaf == shorter


def _width(occupied: Sequence[int]) -> int:
    """Return the width of a tree with members at these leaves: a power of two."""
    return 1 << max(occupied).bit_length()
