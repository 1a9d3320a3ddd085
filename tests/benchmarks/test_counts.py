"""What dmls computes is what RFC 9420 asks for: as many public-key operations as the formulas say, and no more."""

from __future__ import annotations

import random
from dataclasses import asdict

import pytest

from benchmarks.group_operations.catalogue import OPERATIONS
from benchmarks.group_operations.counting import Counter
from benchmarks.group_operations.groups import Groups
from benchmarks.group_operations.shape import Shape
from dmls.mls.crypto.suites import cipher_suite

PUBLIC_KEY = ("base_multiplications", "exchanges", "signatures", "verifications")


@pytest.mark.parametrize("tree", ["fresh", "full"])
@pytest.mark.parametrize("size", [2, 3, 8, 13, 70])
def test_no_public_key_operation_is_made_in_vain(size: int, tree: str) -> None:
    counter = Counter.seat(Groups(cipher_suite(1), size, tree, random.Random(size).randbytes))
    for operation in OPERATIONS.values():
        if operation.floor is None:
            continue
        made = asdict(counter.count(operation))
        least = asdict(operation.floor(Shape(size, is_full=tree == "full")))
        assert {name: made[name] for name in PUBLIC_KEY} == {name: least[name] for name in PUBLIC_KEY}, operation.name
        assert least["macs"] <= made["macs"] <= 1.5 * least["macs"] + 4, operation.name
        assert made["aeads"] >= least["aeads"], operation.name
