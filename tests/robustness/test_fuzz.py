"""Every kept input goes through its target, with or without the fuzzer at hand."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from dmls.errors import CodecError
from tests.robustness.fuzz.corpus import CORPUS, MOST_BYTES, read_corpus
from tests.robustness.fuzz.seeds import make_seeds
from tests.robustness.fuzz.targets import TARGETS, DefectError, stable

_MOST_BYTES_OF_ALL = 500_000


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_of_a_target_holds_no_defect(name: str) -> None:
    taken_in = [TARGETS[name](data) for data in read_corpus(name)]
    assert any(taken_in)
    assert not all(taken_in)


def test_the_corpus_is_small_and_has_no_other_targets() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
    sizes = [path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()]
    assert max(sizes) <= MOST_BYTES
    assert sum(sizes) < _MOST_BYTES_OF_ALL


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_taken_in(name: str) -> None:
    seeds = make_seeds()[name]
    assert any(TARGETS[name](data) for data in seeds)


def test_a_defect_is_noticed() -> None:
    def forget(data: bytes) -> bytes:
        if len(data) < 3:
            raise CodecError("too short")
        return data[1:]

    target = stable(forget)
    assert not target(b"ab")
    with pytest.raises(DefectError):
        target(b"abcde")


def test_a_target_is_fuzzed_where_the_fuzzer_is() -> None:
    command = [sys.executable, "-m", "tests.robustness.fuzz.run", "vote", "--seconds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    is_there = importlib.util.find_spec("atheris") is not None
    assert ("nothing found" if is_there else "atheris is not installed") in done.stdout


def test_a_target_that_is_not_there_is_refused() -> None:
    command = [sys.executable, "-m", "tests.robustness.fuzz.run", "nothing"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 2
