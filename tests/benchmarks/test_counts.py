"""What dmls computes is what RFC 9420 asks for: as many public-key operations as the formulas say, and no more."""

from __future__ import annotations

import random
from dataclasses import asdict
from typing import Any

import pytest

from benchmarks.group_operations.catalogue import OPERATIONS, Setting
from benchmarks.group_operations.contestants.dmls import KEY_SCHEDULES, DMLSContestant
from benchmarks.group_operations.shape import Shape
from benchmarks.group_operations.stage import Stage, make_stage
from dmls.mls.crypto.operations import OperationCounts, count_operations
from dmls.mls.crypto.suites import cipher_suite

NOW = 1_700_000_000
PUBLIC_KEY = ("base_multiplications", "signatures", "verifications")


def take_seat(size: int, tree: str) -> tuple[DMLSContestant, OperationCounts, Stage]:
    """Seat a contestant that counts what it computes."""
    suite, counts = count_operations(cipher_suite(1))
    contestant = DMLSContestant(suite, KEY_SCHEDULES["rfc9420"], random.Random(1).randbytes, NOW)
    randbytes = random.Random(2).randbytes
    key_package = bytes.fromhex(contestant.do_key_package()["key_package"])
    if tree == "fresh":
        stage, welcome = make_stage(cipher_suite(1), size, randbytes, NOW, key_package=key_package)
        contestant.do_join(welcome.hex())
        return contestant, counts, stage
    base, _ = make_stage(cipher_suite(1), size, randbytes, NOW)
    stage, welcome = base.fill()[0].seat(key_package)
    contestant.do_join(welcome.hex())
    return contestant, counts, stage.process(bytes.fromhex(contestant.do_update()["commit"]))


@pytest.mark.parametrize("tree", ["fresh", "full"])
@pytest.mark.parametrize("size", [2, 3, 8, 13, 70])
def test_no_public_key_operation_is_made_in_vain(size: int, tree: str) -> None:
    contestant, counts, stage = take_seat(size, tree)

    def ask(command: str, **fields: Any) -> dict[str, Any]:
        answer: dict[str, Any] = getattr(contestant, f"do_{command}")(**fields)
        return answer

    for operation in OPERATIONS.values():
        if operation.floor is None:
            continue
        contestant.do_prepare(operation.name, **operation.material(Setting(stage, size, ask, 1, 1)))
        run = contestant.make_run()
        counts.reset()
        run()
        least = asdict(operation.floor(Shape(size, is_full=tree == "full")))
        made = asdict(counts)
        assert {name: made[name] for name in PUBLIC_KEY} == {name: least[name] for name in PUBLIC_KEY}, operation.name
        assert made["variable_multiplications"] == least["exchanges"], operation.name
        assert made["macs"] <= 2 * least["macs"] + 4, operation.name
