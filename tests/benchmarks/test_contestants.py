"""Each implementation that is installed (`make peers`) does what its driver says it can, in groups that dmls made."""

from __future__ import annotations

import pytest

from benchmarks.group_operations.catalogue import OPERATIONS
from benchmarks.group_operations.results import OURS
from benchmarks.group_operations.roster import PEERS, missing
from benchmarks.group_operations.runner import run
from benchmarks.group_operations.settings import Settings

REFUSED = {("rfc9420", "join", "full")}
"""What an implementation refuses although RFC 9420 does not."""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", [name for name in PEERS if missing(name, 1) is None])
def test_a_contestant_does_what_it_says(name: str) -> None:
    results = run(Settings(sizes=(3,), peers=(name,), rounds=1, burst=0), lambda _done, _text: None)
    about = results.contestants[name]
    assert set(about["operations"]) <= OPERATIONS.keys()
    assert set(about["remarks"]) <= {*OPERATIONS, "*"}
    assert len(results.cases) == 3 + 2 * (len(OPERATIONS) - 3)
    for case in results.cases:
        is_refused = (name, case.operation, case.tree) in REFUSED
        can = case.operation in about["operations"]
        assert bool(case.times(name)) is (can and not is_refused), case
        assert bool(case.lacks.get(name)) is (not can or is_refused), case
        assert bool(case.times(OURS)) is (case.operation != "apply"), case
    assert {each["contestant"] for each in results.memory} >= {OURS, name}
