"""Targets are held against the figures of a run, and misses are told."""

from __future__ import annotations

import pytest

from benchmarks.group_operations.results import FLOOR, OURS, PUNCTURABLE, Case, Results
from benchmarks.group_operations.targets import check_targets


def results_of(*cases: Case, **remarks: dict[str, str]) -> Results:
    peers = {name: {"remarks": remarks.get(name, {})} for name in ("slow", "fast")}
    return Results({}, {}, {}, {OURS: {"remarks": {}}, **peers}, list(cases))


def case_of(operation: str, size: int, tree: str = "full", **times: float) -> Case:
    return Case(operation, size, tree, rounds=[{name: 1e6 * value for name, value in times.items()}] * 3)


@pytest.mark.parametrize(
    ("case", "met"),
    [
        (case_of("commit", 100, dmls=1.4, floor=1.0), [True]),
        (case_of("commit", 100, dmls=1.6, floor=1.0), [False]),
        (case_of("commit", 2, dmls=9.0, floor=1.0), []),
        (case_of("commit", 100, "fresh", dmls=9.0, floor=1.0), []),
        (case_of("commit", 10_000, "fresh", dmls=1.4, floor=1.0), [False]),
        (case_of("commit", 100, dmls=1.0, floor=1.0, slow=2.0), [True, True]),
        (case_of("commit", 1_000, dmls=1.0, floor=1.0, slow=4.0), [True, False]),
        (case_of("commit", 1_000, dmls=1.0, floor=1.0, slow=6.0), [True, True]),
        (case_of("commit", 10_000, dmls=1.0, floor=1.0, slow=40.0), [True, False]),
        (case_of("join", 100, dmls=1.2, floor=1.0, slow=1.1), [True, True]),
        (case_of("join", 100, dmls=1.4, floor=1.0, slow=1.1), [False, False]),
        (case_of("process", 100, dmls=1.2, floor=1.0, fast=0.5, slow=9.0), [True, True]),
        (case_of("process", 100, dmls=1.6, floor=1.0, fast=0.5, slow=9.0), [False, False]),
    ],
)
def test_a_target_is_met_or_missed(case: Case, met: list[bool]) -> None:
    assert [target.is_met for target in check_targets(results_of(case))] == met


def test_who_is_not_ranked_sets_no_target() -> None:
    case = case_of("decrypt", 100, dmls=2.0, floor=2.0, fast=0.1, slow=9.0)
    bounds = [target.bound for target in check_targets(results_of(case, fast={"decrypt": "does not verify"}))]
    assert bounds == [FLOOR, "slow"]


@pytest.mark.parametrize(("larger", "is_met"), [(1.2, True), (1.3, False)])
def test_twice_the_members_cost_little_more(larger: float, is_met: bool) -> None:
    cases = (case_of("process", 64, dmls=1.0), case_of("process", 128, dmls=larger))
    (target,) = check_targets(results_of(*cases))
    assert (target.size, target.bound, target.is_met) == (128, "N = 64", is_met)


@pytest.mark.parametrize(("punctured", "is_met"), [(2.2, True), (2.4, False)])
def test_what_the_pprf_adds_is_held_against_its_hmacs(punctured: float, is_met: bool) -> None:
    case = case_of("commit", 100, dmls=1.0, pprf=1.0)
    for turn in case.rounds:
        turn[PUNCTURABLE] = punctured * 1e6
    (target,) = check_targets(results_of(case))
    assert (target.subject, target.is_met) == ("create a commit", is_met)


@pytest.mark.parametrize(
    ("contestant", "what", "taken", "is_met"),
    [
        ("dmls", "epoch", 20_479, True),
        ("dmls", "epoch", 20_480, False),
        ("dmls", "fork", 20_480, False),
        ("dmls-pprf", "fork", (64 << 16) - 1, True),
        ("dmls-pprf", "fork", 64 << 16, False),
    ],
)
def test_the_memory_of_a_large_group_is_judged(contestant: str, what: str, taken: int, is_met: bool) -> None:
    results = results_of()
    about = {"contestant": contestant, "tree": "full"}
    results.memory = [
        {**about, "size": 1_000, "what": what, "bytes": 1 << 30},
        {**about, "size": 10_000, "what": "group", "bytes": 0},
        {**about, "size": 10_000, "what": what, "bytes": taken},
    ]
    assert [target.is_met for target in check_targets(results)] == [is_met]
