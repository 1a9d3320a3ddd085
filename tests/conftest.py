"""What every test shares: the profiles of generated tests, seeded generators and the marks that name rules."""

from __future__ import annotations

import os
import random
import zlib

import pytest
from hypothesis import HealthCheck, settings

from scripts.ledger.rules import read_rules

# `dev` is quick and repeats; `ci` repeats too, with more cases; `soak` explores anew each time.
_COMMON = settings(deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("dev", _COMMON, max_examples=30, derandomize=True)
settings.register_profile("ci", _COMMON, max_examples=100, derandomize=True)
settings.register_profile("soak", _COMMON, max_examples=1000, derandomize=False)
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


_MOST_BROKEN = 3


def pytest_itemcollected(item: pytest.Item) -> None:
    """A test with a parameter named `rule` breaks the rule that the parameter names."""
    callspec = getattr(item, "callspec", None)
    rule = None if callspec is None else callspec.params.get("rule")
    if rule in read_rules() and rule not in _marked(item, "breaks"):
        item.add_marker(pytest.mark.breaks(rule))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse marks that name no rule, or so many that the test says little of each."""
    for item in items:
        unknown = {rule for kind in ("breaks", "keeps") for rule in _marked(item, kind)} - read_rules().keys()
        if unknown:
            raise pytest.UsageError(f"{item.nodeid}: no such rule: {', '.join(sorted(unknown))}")
        if len(set(_marked(item, "breaks"))) > _MOST_BROKEN:
            raise pytest.UsageError(f"{item.nodeid} breaks more than {_MOST_BROKEN} rules")


def _marked(item: pytest.Item, kind: str) -> list[str]:
    return [rule for mark in item.iter_markers(kind) for rule in mark.args]
