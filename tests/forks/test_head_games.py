"""The head rule kept from event to event, the one counted from scratch and the plain second one, in games of many orders."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from random import SystemRandom

import pytest

import tests.support.naive_head
from tests.support.head_games import play_all

IS_SOAK = bool(os.environ.get("DMLS_SOAK"))
HASH_SEEDS = range(20)
SHARED = 8
"""Games that are played under every hash seed."""
OWN = 100_000 // len(HASH_SEEDS) if IS_SOAK else 25
"""Games that are played under one hash seed only; others each time when soaking. A failure says how to repeat it."""


@cache
def found_here() -> str:
    return play_all(0, SHARED)


@pytest.mark.parametrize("hash_seed", HASH_SEEDS)
def test_all_implementations_agree_after_every_arrival_whatever_the_hash_seed(hash_seed: int) -> None:
    first = SystemRandom().randrange(1 << 48) if IS_SOAK else SHARED + hash_seed * OWN
    played = subprocess.run(
        [sys.executable, "-m", "tests.support.head_games", "0", str(SHARED), str(first), str(OWN)],
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not played.returncode, played.stderr
    assert played.stdout.split()[0] == found_here()


def test_the_second_rule_imports_nothing_of_the_library() -> None:
    tree = ast.parse(Path(tests.support.naive_head.__file__).read_text())
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert modules == {"__future__", "hashlib", "collections.abc", "dataclasses"}
