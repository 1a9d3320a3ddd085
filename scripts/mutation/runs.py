"""Running tests against mutants, each in a forked process that imports the product anew."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cryptography.x509
import hypothesis
import immutables
import nacl.bindings
import pytest

from scripts.mutation.hook import install
from scripts.mutation.mutants import Mutant

__all__ = ["HUNG", "Job", "Outcome", "run_all"]

# Imported here so that no child has to: they hold nothing of the product.
_WARM = (cryptography.x509, hypothesis, immutables, nacl.bindings)

HUNG = -1
"""The exit code of a run that was ended because it took too long."""

_POLL_SECONDS = 0.02
# What the parent has imported cannot be rewritten for asserts any more, and nobody reads the difference.
_OPTIONS = ("-x", "-q", "--no-header", "--tb=short", "--assert=plain", "-p", "no:cacheprovider", "-n0")


@dataclass(frozen=True, slots=True)
class Job:
    """Tests to run against a mutant, or against the product as it is."""

    mutant: Mutant | None
    tests: Sequence[str]
    seconds: float
    """After so many the run counts as hung."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: pytest's exit code, or HUNG, and what it printed."""

    job: Job
    code: int
    output: str


@dataclass(slots=True)
class _Run:
    job: Job
    deadline: float
    output: Path


def _start(job: Job, root: Path, output: Path) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        os.setsid()
        target = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(target, 1)
        os.dup2(target, 2)
        os.chdir(root)
        for name in [name for name in os.environ if name.startswith(("PYTEST_", "COV_"))]:
            del os.environ[name]
        sys.dont_write_bytecode = True
        if job.mutant is not None:
            install(job.mutant)
        code = int(pytest.main([*_OPTIONS, *job.tests]))
    except Exception:  # noqa: BLE001 whatever it is, the fork must not go on as its parent would
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def run_all(jobs: Iterable[Job], root: Path, workers: int, on_end: Callable[[], None]) -> Iterator[Outcome]:
    """Run jobs, as many at a time as there are workers; yield each when it ends.

    The product must not be imported in this process, and it must have one thread only.
    """
    waiting = iter(jobs)
    running: dict[int, _Run] = {}
    with tempfile.TemporaryDirectory() as folder:
        started = 0
        while True:
            while len(running) < workers and (job := next(waiting, None)) is not None:
                output = Path(folder) / str(started)
                started += 1
                running[_start(job, root, output)] = _Run(job, time.monotonic() + job.seconds, output)
            if not running:
                return
            time.sleep(_POLL_SECONDS)
            for pid in list(running):
                code = _ended(pid, running[pid].deadline)
                if code is not None:
                    run = running.pop(pid)
                    on_end()
                    yield Outcome(run.job, code, run.output.read_text(errors="replace") if run.output.exists() else "")


def _ended(pid: int, deadline: float) -> int | None:
    """Return the exit code of a child that has ended, HUNG of one that is too late, None of any other."""
    done, status = os.waitpid(pid, os.WNOHANG)
    if done:
        return os.waitstatus_to_exitcode(status)
    if time.monotonic() < deadline:
        return None
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return HUNG
