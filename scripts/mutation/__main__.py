"""Disable marked checks one by one and see that the tests of their rules notice; exit non-zero if some do not."""

from __future__ import annotations

import argparse
import random
import sys
import zlib
from collections.abc import Sequence

import pytest
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from scripts.ledger.collected import collect_tests
from scripts.mutation.mutants import Mutant, all_mutants
from scripts.mutation.runs import HUNG, Job, Outcome, run_all
from scripts.proto import ROOT

_SAMPLE = 60
_SECONDS = 60.0
_BASELINE_SECONDS = 600.0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.mutation", description=__doc__)
    parser.add_argument("--count", type=int, default=_SAMPLE, help="how many mutants to draw (default: %(default)s)")
    parser.add_argument("--all", action="store_true", help="all of them")
    parser.add_argument("--seed", type=int, help="of the draw (default: one that the list of mutants determines)")
    parser.add_argument("--rules", nargs="+", metavar="RULE", help="rules or areas to look at, such as LN-02 or CRY")
    parser.add_argument("--workers", type=int, default=2, help="runs at a time (default: %(default)s)")
    parser.add_argument("--list", action="store_true", help="print the mutants and run nothing")
    return parser.parse_args()


def _chosen(arguments: argparse.Namespace) -> list[Mutant]:
    mutants = all_mutants(ROOT)
    if arguments.rules:
        mutants = [mutant for mutant in mutants if {mutant.rule, mutant.rule.partition("-")[0]} & set(arguments.rules)]
    if arguments.all or arguments.rules or arguments.list or len(mutants) <= arguments.count:
        return mutants
    seed = arguments.seed
    if seed is None:
        seed = zlib.crc32("\n".join(f"{mutant.path} {mutant.rule} {mutant.text}" for mutant in mutants).encode())
    print(f"{arguments.count} of {len(mutants)} mutants, drawn with --seed {seed}")
    return random.Random(seed).sample(mutants, arguments.count)  # noqa: S311 a draw that repeats


def _run(mutants: Sequence[Mutant], tests: dict[str, list[str]], workers: int) -> list[Outcome]:
    columns = (TextColumn("mutants"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    jobs = [Job(mutant, tests[mutant.rule], _SECONDS) for mutant in mutants if mutant.rule in tests]
    baseline = Job(None, sorted({test for job in jobs for test in job.tests}), _BASELINE_SECONDS)
    # A thread that draws could hold a lock at the moment of a fork.
    with Progress(*columns, console=Console(stderr=True), auto_refresh=False) as progress:
        task = progress.add_task("", total=len(jobs) + 1)

        def advance() -> None:
            progress.advance(task)
            progress.refresh()

        outcomes = list(run_all([baseline, *jobs], ROOT, workers, advance))
        # Tests that look at the clock may fail on a busy machine; what fails by itself does so again with all else at rest.
        if any(outcome.job is baseline and outcome.code != pytest.ExitCode.OK for outcome in outcomes):
            again = list(run_all([baseline], ROOT, 1, advance))
            outcomes = [outcome for outcome in outcomes if outcome.job is not baseline] + again
        return outcomes


def main() -> None:
    """Run the mutants and print those that no test noticed."""
    arguments = _arguments()
    mutants = _chosen(arguments)
    if arguments.list:
        for mutant in mutants:
            print(mutant)
        return
    tests = {rule: found.breaks for rule, found in collect_tests(ROOT).items() if found.breaks}
    untested = [mutant for mutant in mutants if mutant.rule not in tests]
    outcomes = _run(mutants, tests, arguments.workers)
    (baseline,) = (outcome for outcome in outcomes if outcome.job.mutant is None)
    if len(outcomes) > 1 and baseline.code != pytest.ExitCode.OK:
        sys.exit(f"the tests fail without any mutant: exit {baseline.code}\n{baseline.output}")
    runs = [outcome for outcome in outcomes if outcome.job.mutant is not None]
    survivors = [outcome for outcome in runs if outcome.code == pytest.ExitCode.OK]
    broken = [outcome for outcome in runs if outcome.code not in {*range(3), HUNG}]
    hung = sum(outcome.code == HUNG for outcome in runs)
    replaced = sum(mutant.kind == "other id" for mutant in mutants)
    for outcome in survivors:
        print(f"survived  {outcome.job.mutant}")
    for mutant in untested:
        print(f"no test   {mutant}")
    for outcome in broken:
        print(f"exit {outcome.code}    {outcome.job.mutant}\n{outcome.output[-2000:]}")
    noticed = len(runs) - len(survivors) - len(broken)
    print(
        f"{len(mutants)} mutants: {noticed} noticed ({hung} by hanging), {len(survivors)} survived, "
        f"{len(untested)} without a test; in {replaced} only the id was replaced"
    )
    sys.exit(bool(survivors or untested or broken))


if __name__ == "__main__":
    main()
