"""What objects of Python take of the memory."""

from __future__ import annotations

import ctypes
import gc
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

__all__ = ["memory_of", "resident_memory_of"]

_GROWTH = 8 << 20
"""Bytes by which a process has to grow before that tells how much one object takes."""


def memory_of(make: Callable[[], object]) -> int:
    """Return the bytes that Python allocates for what `make` returns."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = make()
    gc.collect()
    size = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    del kept
    return size


def resident_memory_of(make: Callable[[], object]) -> int:
    """Return the bytes by which the process grows for one of what `make` returns, where the C library is glibc."""
    trim = ctypes.CDLL(None).malloc_trim
    kept = [make()]
    gc.collect()
    trim(0)
    before, count = _resident(), 1
    while True:
        kept += [make() for _ in range(count)]
        trim(0)
        grown, added = _resident() - before, len(kept) - 1
        if grown > _GROWTH:
            return grown // added
        count = added


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
