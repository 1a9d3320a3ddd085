"""The private keys of an agent, by public key (RFC 9420, Section 7.4).

One ring serves all epochs and all forks of a group: forks share most of their tree, and a key that two of them name is one key.
A key may be used only for an epoch whose tree holds its public half, which looking it up by that half ensures.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from immutables import Map

from dmls.ids import LeafIndex
from dmls.mls.crypto.secret import Secret
from dmls.mls.tree.math import ancestor
from dmls.mls.tree.ratchet_tree import RatchetTree

__all__ = ["KeyRing", "keys_in_use"]


class KeyRing:
    """An immutable mapping from public to private keys."""

    __slots__ = ("_keys",)

    def __init__(self, keys: Map[bytes, Secret] | None = None) -> None:
        self._keys: Map[bytes, Secret] = Map() if keys is None else keys

    def __repr__(self) -> str:
        return f"KeyRing({len(self._keys)} keys)"

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, public_key: bytes) -> bool:
        return public_key in self._keys

    @property
    def keys(self) -> Mapping[bytes, Secret]:
        """The keys as a mapping."""
        return self._keys

    def add(self, keys: Mapping[bytes, Secret]) -> KeyRing:
        """Return a ring that also holds `keys`."""
        return KeyRing(self._keys.update(keys))

    def discard(self, public_keys: Iterable[bytes]) -> KeyRing:
        """Return a ring without `public_keys`."""
        draft = self._keys.mutate()
        for key in public_keys:
            draft.pop(key, None)
        return KeyRing(draft.finish())


def keys_in_use(tree: RatchetTree, own_leaves: Iterable[LeafIndex]) -> set[bytes]:
    """Return the public keys of a tree that members at `own_leaves` may hold private halves of (TR-04)."""
    wanted: set[bytes] = set()
    height = tree.width.bit_length()
    for leaf in own_leaves:
        for node in (ancestor(leaf, step) for step in range(height)):
            if not tree.is_blank(node):
                wanted.add(tree.encryption_key(node))  # CP-15, TR-04, UP-14, UP-16
    return wanted
