"""Where random bytes come from: a function given by the caller, never a global source."""

from __future__ import annotations

from collections.abc import Callable

from dmls.errors import CryptoError

__all__ = ["Random", "draw"]

Random = Callable[[int], bytes]
"""Returns as many uniformly random bytes as it is asked for; `os.urandom` outside tests and simulations."""


def draw(random: Random, length: int) -> bytes:
    """Return `length` bytes from `random`.

    Raises:
        CryptoError: `random` gives another number of bytes, so that a key would be easier to guess than it looks.
    """
    value = random(length)
    if len(value) != length:
        raise CryptoError("the source of randomness gives another number of bytes than asked for")
    return value
