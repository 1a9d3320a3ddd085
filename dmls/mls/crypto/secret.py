"""Bytes that must not be seen."""

from __future__ import annotations

from typing import NoReturn, SupportsIndex

from dmls.errors import UsageError

__all__ = ["Secret"]


class Secret(bytes):
    """Key material: bytes in every respect, but printed as its length only and never pickled.

    Slices and concatenations are plain bytes. Nothing is wiped on deletion; Python cannot do it.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} bytes)"

    def __str__(self) -> str:
        return repr(self)

    def __format__(self, format_spec: str) -> str:
        return repr(self)

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse to be pickled.

        Raises:
            UsageError: always.
        """
        raise UsageError("a secret is not pickled; store it sealed")
