"""What every test shares: the profiles of generated tests and seeded generators."""

from __future__ import annotations

import os
import random
import zlib

import pytest
from hypothesis import HealthCheck, settings

# `dev` is quick and repeats; `ci` repeats too, with more cases; `soak` explores anew each time.
_COMMON = settings(deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("dev", _COMMON, max_examples=30, derandomize=True)
settings.register_profile("ci", _COMMON, max_examples=100, derandomize=True)
settings.register_profile("soak", _COMMON, max_examples=3000, derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The test's seed: `DMLS_SEED`, else one made from the test's name. Printed with a failure."""
    given = os.environ.get("DMLS_SEED")
    value = int(given) if given else zlib.crc32(request.node.nodeid.encode())
    print(f"repeat with DMLS_SEED={value}")
    return value


@pytest.fixture
def rng(seed: int) -> random.Random:
    """A generator that repeats."""
    return random.Random(seed)
