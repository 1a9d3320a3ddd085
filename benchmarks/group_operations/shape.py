"""How many nodes a commit has to reach, by arithmetic on the shape of the tree alone (RFC 9420, Sections 4.1 and 7).

Nothing here knows the ratchet tree of dmls, so that what that does can be held against it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["Shape"]


@dataclass(frozen=True)
class Shape:
    """A tree of `size` leaves from the left without a gap.

    Attributes:
        size: leaves, at least 1.
        is_full: every parent that a commit ever gave a key holds one; otherwise all parents are blank.
        removed: the leaf that was removed from the right, whose former parents are blank; None for a tree as it was built.
    """

    size: int
    is_full: bool
    removed: int | None = None

    def without_last(self) -> Shape:
        """Return the shape after the last leaf is removed."""
        return replace(self, size=self.size - 1, removed=self.size - 1)

    def copath(self, leaf: int) -> tuple[int, ...]:
        """Return the sizes of the resolutions along a leaf's filtered copath, from the leaf upwards.

        `leaf` may be `size`: the place that a newcomer takes.
        """
        size = max(self.size, leaf + 1)
        found, width, start = [], 1, leaf
        while width < size:
            sibling = start ^ width
            resolution = self._resolution(sibling, width)
            if resolution:
                found.append(resolution)
            start &= ~width
            width *= 2
        return tuple(found)

    def common_path(self, one: int, other: int) -> int:
        """Return how many nodes of the filtered direct path of `one` are above `other` too."""
        above, width = 0, 1
        while width < max(self.size, one + 1):
            start = one // width * width
            is_common = one // (2 * width) == other // (2 * width)
            above += is_common and self._resolution(start ^ width, width) > 0
            width *= 2
        return above

    def _resolution(self, start: int, width: int) -> int:
        if start >= self.size:
            return 0
        if width == 1:
            return 1
        half = width // 2
        is_blanked = self.removed is not None and start <= self.removed < start + width
        if self.is_full and start + half < self.size and not is_blanked:
            return 1
        return self._resolution(start, half) + self._resolution(start + half, half)
