"""The numbers by which a caller names what the server holds."""

from __future__ import annotations

from typing import TypeVar

from dmls.errors import NotFoundError

__all__ = ["Handles"]

T = TypeVar("T")


class Handles:
    """Everything a server holds, by number.

    Groups, pending joins, closed groups and signers share one number space, so that a number of one kind is never taken for one
    of another. 0, the default of a field that was left out, names nothing.
    """

    def __init__(self) -> None:
        self._held: dict[int, object] = {}
        self._last = 0

    def add(self, held: object) -> int:
        """Return the number of something new."""
        self._last += 1
        self._held[self._last] = held
        return self._last

    def find(self, handle: int, kind: type[T]) -> T:
        """Return what a number stands for.

        Raises:
            NotFoundError: nothing of this kind.
        """
        held = self._held.get(handle)
        if not isinstance(held, kind):
            raise NotFoundError(f"{handle} is no {kind.__name__}")
        return held

    def drop(self, handle: int) -> None:
        """Forget what a number stands for.

        Raises:
            NotFoundError: nothing.
        """
        if self._held.pop(handle, None) is None:
            raise NotFoundError(f"{handle} is nothing")
