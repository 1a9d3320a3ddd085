from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from dmls.errors import LimitError, ValidationError
from dmls.mls.crypto.suites import CIPHER_SUITES, cipher_suite
from dmls.mls.messages.psk import ExternalPSK, PreSharedKeyID, ResumptionPSK, ResumptionPSKUsage
from dmls.mls.schedule.psk import derive_psk_secret
from tests.support.vectors import load_vectors

CASES = load_vectors("psk_secret.json")
SUITE = cipher_suite(1)


def psk_list(case: dict[str, Any]) -> list[tuple[PreSharedKeyID, bytes]]:
    return [
        (
            PreSharedKeyID(ExternalPSK(bytes.fromhex(item["psk_id"])), bytes.fromhex(item["psk_nonce"])),
            bytes.fromhex(item["psk"]),
        )
        for item in case["psks"]
    ]


def case_name(case: dict[str, Any]) -> str:
    return f"suite{case['cipher_suite']}-{len(case['psks'])}psks"


@pytest.mark.parametrize("case", CASES, ids=case_name)
def test_the_psk_secret_is_the_official_one(case: dict[str, Any]) -> None:
    assert derive_psk_secret(cipher_suite(case["cipher_suite"]), psk_list(case)).hex() == case["psk_secret"]


def test_the_official_cases_cover_every_suite_with_none_to_ten_keys() -> None:
    assert Counter(case_name(case) for case in CASES) == Counter(
        f"suite{suite.id}-{count}psks" for suite in CIPHER_SUITES for count in range(11)
    )


def test_without_keys_the_secret_is_zero() -> None:
    for suite in CIPHER_SUITES:
        assert derive_psk_secret(suite, []) == bytes(suite.hash_size)


def test_order_kind_and_place_of_the_keys_count() -> None:
    one = (PreSharedKeyID(ExternalPSK(b"one"), bytes(32)), b"key one")
    two = (PreSharedKeyID(ResumptionPSK(ResumptionPSKUsage.APPLICATION, b"group", 3), bytes(32)), b"key two")
    branch = (PreSharedKeyID(ResumptionPSK(ResumptionPSKUsage.BRANCH, b"group", 3), bytes(32)), b"key two")
    results = [derive_psk_secret(SUITE, psks) for psks in ([one, two], [two, one], [one], [two], [branch], [one, one])]
    assert len(set(results)) == len(results)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_nonce_of_a_wrong_length_is_refused(size: int) -> None:
    with pytest.raises(ValidationError) as raised:
        derive_psk_secret(SUITE, [(PreSharedKeyID(ExternalPSK(b"id"), bytes(size)), b"key")])
    assert raised.value.rule == "PSK-01"


def test_more_keys_than_can_be_counted_are_refused() -> None:
    psk = (PreSharedKeyID(ExternalPSK(b"id"), bytes(32)), b"key")
    with pytest.raises(LimitError) as raised:
        derive_psk_secret(SUITE, [psk] * 65_536)
    assert raised.value.rule == "PSK-04"
