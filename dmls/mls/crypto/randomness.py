"""Where random bytes come from: a function given by the caller, never a global source."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Random"]

Random = Callable[[int], bytes]
"""Returns as many uniformly random bytes as it is asked for; `os.urandom` outside tests and simulations."""
