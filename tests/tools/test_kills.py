"""The plan of kills repeats with its seed, spreads over the run, and is done to the last."""

from __future__ import annotations

import pytest

from dmls.tools.demo.kills import Kill, KillPlan

SERVERS = ("hs1", "hs2")


def _play(plan: KillPlan, steps: int, calls: int) -> list[Kill]:
    kills = []
    for step in range(steps):
        plan.step = step
        for _ in range(calls):
            kills += [kill for server in SERVERS if (kill := plan.take(server)) is not None]
    return kills


@pytest.mark.parametrize("count", [1, 20, 60])
def test_every_kill_is_done_once_and_not_before_its_step(count: int) -> None:
    plan = KillPlan(1, count, 80, SERVERS)
    assert plan.left == count
    kills = _play(plan, 80, 3)
    while any(plan.take_any(server) for server in SERVERS):
        kills.append(Kill(0, "", 0, None))
    assert (len(kills), plan.left, plan.done) == (count, 0, count)


def test_a_plan_repeats_with_its_seed_and_differs_with_another() -> None:
    first, again, other = (_play(KillPlan(seed, 20, 80, SERVERS), 80, 5) for seed in (1, 1, 2))
    assert first == again != other
    assert {kill.server for kill in first} == set(SERVERS)
    assert {kill.delay_s is None for kill in first} == {True, False}


def test_a_run_of_few_steps_takes_many_kills() -> None:
    plan = KillPlan(3, 9, 2, SERVERS)
    assert len(_play(plan, 2, 40)) == 9


def test_without_kills_nothing_happens() -> None:
    assert _play(KillPlan(1, 0, 10, SERVERS), 10, 3) == []
