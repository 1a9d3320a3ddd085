"""How many mutants a test runs, which, and how one of them is run again.

`make test` runs the same mutants each time; with `DMLS_SOAK` set there are ten times as many, others each time. A failure prints
`DMLS_SEED=... DMLS_MUTANT=...`: set both for the same test, and it runs that one mutant. Signatures of suites with ECDSA differ
from run to run, so the mutant itself is printed too.
"""

from __future__ import annotations

import os
import random
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["CHUNKS", "IS_SOAK", "chunk_seed", "mutants", "naming", "untraced"]

IS_SOAK: Final = bool(os.environ.get("DMLS_SOAK"))
CHUNKS: Final = range(100 if IS_SOAK else 10)
"""Parts that may run in several processes."""


def chunk_seed(name: str, chunk: int) -> str:
    """Return the seed of a part of a test."""
    given = os.environ.get("DMLS_SEED")
    if given is not None:
        return given
    return secrets.token_hex(8) if IS_SOAK else f"{name}-{chunk}"


def mutants(seed: str, count: int) -> Iterator[tuple[int, random.Random]]:
    """Yield the numbers of mutants, each with a generator of its own."""
    given = os.environ.get("DMLS_MUTANT")
    for index in range(count) if given is None else [int(given)]:
        yield index, random.Random(f"{seed}/{index}")


@contextmanager
def naming(seed: str, index: int, describe: Callable[[], str]) -> Iterator[None]:
    """Say with a failure what repeats it."""
    try:
        yield
    except Exception as error:
        error.add_note(f"repeat with DMLS_SEED={seed} DMLS_MUTANT={index}\n{describe()}")
        raise


@contextmanager
def untraced() -> Iterator[None]:
    """Keep whatever traces the tests, such as the measurement of coverage, out of what is timed or done very often."""
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracer)
