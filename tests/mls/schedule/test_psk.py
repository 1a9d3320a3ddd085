from __future__ import annotations

import pytest

from dmls.errors import LimitError
from dmls.mls.crypto.suites import CIPHER_SUITES, cipher_suite
from dmls.mls.messages.psk import ExternalPSK, PreSharedKeyID, ResumptionPSK, ResumptionPSKUsage
from dmls.mls.schedule.psk import derive_psk_secret

SUITE = cipher_suite(1)


def test_without_keys_the_secret_is_zero() -> None:
    for suite in CIPHER_SUITES:
        assert derive_psk_secret(suite, []) == bytes(suite.hash_size)


def test_order_kind_and_place_of_the_keys_count() -> None:
    one = (PreSharedKeyID(ExternalPSK(b"one"), bytes(32)), b"key one")
    two = (PreSharedKeyID(ResumptionPSK(ResumptionPSKUsage.APPLICATION, b"group", 3), bytes(32)), b"key two")
    branch = (PreSharedKeyID(ResumptionPSK(ResumptionPSKUsage.BRANCH, b"group", 3), bytes(32)), b"key two")
    results = [derive_psk_secret(SUITE, psks) for psks in ([one, two], [two, one], [one], [two], [branch], [one, one])]
    assert len(set(results)) == len(results)


@pytest.mark.breaks("PSK-04")
def test_more_keys_than_can_be_counted_are_refused() -> None:
    psk = (PreSharedKeyID(ExternalPSK(b"id"), bytes(32)), b"key")
    with pytest.raises(LimitError) as raised:
        derive_psk_secret(SUITE, [psk] * 65_536)
    assert raised.value.rule == "PSK-04"
