"""Pages of lists. A page token names the last item of the page before, so it stays good when items come and go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from dmls.errors import CodecError
from dmls.mls.codec import decode_as, encode_as, opaque, vector
from dmls.service.errors import InvalidRequestError, Violation

__all__ = ["Place", "page_of", "page_size", "read_token"]

Place = tuple[bytes, ...]
"""Where an item stands in its list; lists are sorted by it."""

_DEFAULT_SIZE = 50
_MAX_SIZE = 1_000
T = TypeVar("T")


def page_size(wanted: int, default: int = _DEFAULT_SIZE, most: int = _MAX_SIZE) -> int:
    """Return how many items a page has when `wanted` were asked for, 0 meaning the default."""
    return min(wanted or default, most)


def read_token(token: str, field: str = "page_token") -> Place | None:
    """Return the place that a token names, None for the first page.

    Raises:
        InvalidRequestError: it is no token.
    """
    try:
        return tuple(decode_as(vector[opaque], bytes.fromhex(token))) if token else None
    except (ValueError, CodecError):
        raise InvalidRequestError(Violation(field, "not a token of this list")) from None


def page_of(items: Sequence[T], place: Callable[[T], Place], size: int, after: Place | None) -> tuple[Sequence[T], str]:
    """Return the items of one page, and the token of the next; it is empty after the last.

    Args:
        items: the whole list, sorted by `place`.
        place: where an item stands.
        size: most items of the page.
        after: the place after which the page begins; None for the first page.
    """
    rest = items if after is None else [item for item in items if place(item) > after]
    page = rest[:size]
    token = encode_as(vector[opaque], place(page[-1])).hex() if len(rest) > len(page) else ""
    return page, token
