from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dmls.errors import MacError, UsageError
from dmls.mls.codec import decode
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.messages.message import ApplicationData, AuthenticatedContent
from dmls.mls.messages.registry import WireFormat
from dmls.mls.schedule.transcript import confirmation_tag, confirmed_transcript_hash
from tests.support.vectors import load_vectors

CASES = load_vectors("transcript-hashes.json")


def commit_of(case: dict[str, Any]) -> AuthenticatedContent:
    return decode(AuthenticatedContent, bytes.fromhex(case["authenticated_content"]))


def test_the_confirmed_hash_covers_wire_format_content_and_signature_but_not_the_tag() -> None:
    case = CASES[0]
    suite, content = cipher_suite(case["cipher_suite"]), commit_of(case)
    original = confirmed_transcript_hash(suite, b"", content)
    changed = [
        replace(content, wire_format=WireFormat.PRIVATE_MESSAGE),
        replace(content, content=replace(content.content, authenticated_data=b"x")),
        replace(content, signature=content.signature + b"x"),
    ]
    assert len({original, *(confirmed_transcript_hash(suite, b"", one) for one in changed)}) == 4
    assert confirmed_transcript_hash(suite, b"", replace(content, confirmation_tag=None)) == original


@pytest.mark.parametrize("cut", [slice(0, 0), slice(0, -1), slice(1, None)])
def test_a_shortened_tag_does_not_confirm(cut: slice) -> None:
    case = CASES[0]
    suite = cipher_suite(case["cipher_suite"])
    key, confirmed = bytes.fromhex(case["confirmation_key"]), bytes.fromhex(case["confirmed_transcript_hash_after"])
    with pytest.raises(MacError):
        suite.verify_mac(key, confirmed, confirmation_tag(suite, key, confirmed)[cut])


def test_only_commits_enter_the_transcript() -> None:
    content = commit_of(CASES[0])
    message = replace(content, content=replace(content.content, content=ApplicationData(b"")), confirmation_tag=None)
    with pytest.raises(UsageError):
        confirmed_transcript_hash(cipher_suite(1), b"", message)
