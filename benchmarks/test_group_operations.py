"""Runs the benchmark of group operations under `make bench`, and holds its counts to what they must be."""

from __future__ import annotations

import pytest

from benchmarks.group_operations import run, show
from dmls.mls.crypto.suites import cipher_suite


def test_group_operations(capsys: pytest.CaptureFixture[str]) -> None:
    suite = cipher_suite(1)
    with capsys.disabled():
        prices, results = run((10, 100, 1000), suite, 9)
        print()
        show(suite, prices, results)
    for result in results:
        counts, floor = result.counts, result.floor
        assert (counts.encapsulations, counts.decapsulations, counts.verifications) == (
            floor.seals,
            floor.opens,
            floor.verifications,
        ), result
        # The GroupInfo, and with it the key that external commits encapsulate to.
        assert counts.signatures - floor.signatures in {0, 1}, result
        assert counts.key_pairs - floor.key_pairs in {0, 1}, result
