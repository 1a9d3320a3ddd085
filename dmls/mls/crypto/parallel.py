"""Many signatures to verify, or many recipients to seal to, on all cores: libsodium lets the interpreter go while it computes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

__all__ = ["LEAST", "spread"]

LEAST: Final = 32
"""Fewer items than this are done sooner than threads are started."""

T = TypeVar("T")
R = TypeVar("R")


def spread(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Apply a function that keeps nothing to all items, some in other threads; return the results in the order of the items.

    Raises:
        Exception: what the function raises for the first item, in their order, for which it raises.
    """
    cores = len(os.sched_getaffinity(0))
    if cores == 1 or len(items) < LEAST:
        return [function(item) for item in items]
    size = -(-len(items) // cores)
    own, *others = (items[start : start + size] for start in range(0, len(items), size))

    def apply(part: Sequence[T]) -> list[R]:
        return [function(item) for item in part]

    with ThreadPoolExecutor(len(others)) as pool:
        waiting = [pool.submit(apply, part) for part in others]
        results = apply(own)
        for part in waiting:
            results += part.result()
    return results
