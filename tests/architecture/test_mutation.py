"""Disabling a marked check turns a test of its rule red."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from scripts.ledger.code import code_marks
from scripts.mutation.mutants import all_mutants, mutants_in, mutate
from scripts.proto import ROOT

_CHECK = """
def check(a, b, c):
    if {}:
        raise Error("text", rule="LN-02")
"""


def _conditions(condition: str) -> list[str]:
    source = _CHECK.format(condition)
    mutants = mutants_in(source, "m.py")
    assert {mutant.rule for mutant in mutants} == {"LN-02"}
    trees = [mutate(source, mutant) for mutant in mutants]
    return [ast.unparse(node.test) for tree in trees for node in ast.walk(tree) if isinstance(node, ast.If)]


@pytest.mark.parametrize(
    ("condition", "mutants"),
    [
        ("a", ["False"]),
        ("a and b", ["False"]),
        ("a or b", ["False or b", "a or False"]),
        ("not (a and b)", ["not (True and b)", "not (a and True)"]),
        ("a and (b or not c)", ["a and (False or not c)", "a and (b or not True)"]),
        ("not 0 <= a < b", ["not a < b", "not 0 <= a"]),
        ("not (a or b)", ["not True"]),
    ],
)
def test_every_reason_to_refuse_is_taken_away_by_itself(condition: str, mutants: list[str]) -> None:
    assert _conditions(condition) == mutants


@pytest.mark.parametrize(
    ("source", "mutant"),
    [
        ("try:\n    f()\nexcept E as e:\n    raise X(rule='LN-02') from e", "try:\n    f()\nexcept E as e:\n    pass"),
        ("if a:\n    f()\nelse:\n    raise X(rule='LN-02')", "if a:\n    f()\nelse:\n    pass"),
        ("f()\ncheck(x, 'LN-02')", "f()\npass"),
        ("f()\ncheck(\n    x\n)  # LN-02", "f()\npass"),
        ("TABLE = {1: ('LN-02', f)}", "TABLE = {1: ('XX-00', f)}"),
    ],
)
def test_a_raise_or_a_call_is_left_out(source: str, mutant: str) -> None:
    (found,) = mutants_in(source, "m.py")
    assert ast.unparse(mutate(source, found)) == mutant


def test_a_module_that_has_changed_since_is_not_mutated() -> None:
    (found,) = mutants_in("check(x, 'LN-02')", "m.py")
    with pytest.raises(RuntimeError, match=r"m\.py has changed"):
        mutate("f()\ncheck(x, 'LN-02')", found)


def test_every_check_mark_has_a_mutant() -> None:
    checked = {rule for rule, marks in code_marks(ROOT).items() if any(mark.is_check for mark in marks)}
    assert {mutant.rule for mutant in all_mutants(ROOT)} >= checked


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scripts.mutation", *arguments]
    return subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)


def test_a_mutant_is_noticed() -> None:
    done = _run("--rules", "LN-24")
    assert (done.returncode, done.stdout) == (
        0,
        "1 mutants: 1 noticed (0 by hanging), 0 survived, 0 without a test; in 0 only the id was replaced\n",
    ), done.stderr


def test_mutants_can_be_listed_without_running_them() -> None:
    done = _run("--list", "--rules", "LN-24")
    assert done.returncode == 0
    assert [line.split(": ")[1:3] for line in done.stdout.splitlines()] == [["LN-24", "no call"]]


@pytest.mark.timeout(700)
def test_a_mutant_that_no_test_notices_survives_and_one_that_takes_too_long_is_ended() -> None:
    script = """
from scripts.mutation.mutants import all_mutants
from scripts.mutation.runs import Job, run_all
from scripts.proto import ROOT

mutant = next(mutant for mutant in all_mutants(ROOT) if mutant.rule == "LN-24")
test = ["tests/mls/codec/test_codec.py::test_a_length_that_no_prefix_can_say_is_refused"]
jobs = [Job(mutant, test, 300.0), Job(mutant, test, 0.0), Job(mutant, ["tests/nowhere"], 300.0)]
print(sorted(outcome.code for outcome in run_all(jobs, ROOT, 2, lambda: None)))
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "[-1, 0, 4]\n", done.stderr


@pytest.mark.timeout(1200)
def test_sixty_checks_are_not_taken_away_unnoticed() -> None:
    done = _run()
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("60 mutants: 60 noticed")
