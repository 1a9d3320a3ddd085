"""Padding policies (RFC 9420, Sections 6.3.1 and 15.1)."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmls.errors import UsageError
from dmls.mls.framing.padding import Padding, no_padding, pad_in_steps, pad_to_multiple
from dmls.mls.messages.message import PrivateMessage
from dmls.mls.messages.proposal import Remove
from dmls.mls.messages.registry import WireFormat
from tests.support.groups import body_of, room_of

LENGTHS = st.integers(0, 2**30 - 1)


@pytest.mark.keeps("SQ-03")
@given(LENGTHS, st.integers(1, 5000))
def test_blocks_are_filled_and_no_more(length: int, size: int) -> None:
    padding = pad_to_multiple(size)(length)
    assert 0 <= padding < size
    assert (length + padding) % size == 0


@pytest.mark.keeps("SQ-03")
@given(LENGTHS)
def test_steps_cost_an_eighth_at_most_and_show_few_digits(length: int) -> None:
    padded = length + pad_in_steps()(length)
    assert length <= padded
    assert 8 * (padded - length) <= length
    # As many digits may differ from zero as the number of digits has.
    digits = max(padded.bit_length() - 1, 0)
    kept = digits.bit_length()
    assert padded % (1 << max(digits - kept, 0)) == 0


@given(LENGTHS, LENGTHS)
def test_what_is_longer_is_not_sent_shorter(one: int, other: int) -> None:
    pad = pad_in_steps()
    assert (one <= other) <= (one + pad(one) <= other + pad(other))


def test_steps_are_known_values() -> None:
    pad = pad_in_steps()
    assert [length + pad(length) for length in (0, 1, 2, 8, 9, 15, 17, 100, 1000, 100_000)] == [
        0, 1, 2, 8, 10, 16, 18, 104, 1024, 100_352,
    ]  # fmt: skip
    assert len({length + pad(length) for length in range(1, 1_000_000)}) < 300
    assert {length + pad_in_steps(64)(length) for length in range(65)} == {64}


@pytest.mark.parametrize("make", [lambda: pad_to_multiple(0), lambda: pad_to_multiple(-1), lambda: pad_in_steps(-1)])
def test_impossible_policies_are_refused(make: object) -> None:
    assert callable(make)
    with pytest.raises(UsageError):
        make()


@pytest.mark.parametrize("padding", [no_padding, pad_to_multiple(512), pad_in_steps(), pad_in_steps(512), lambda length: 3])
@pytest.mark.keeps("SQ-03", "PRV-02")
def test_whatever_is_sent_is_padded_and_read(padding: Padding, rng: random.Random) -> None:
    _, (alice, bob, *_) = room_of(rng)
    assert bob.receive(alice.send(b"text", padding=padding)) == b"text"
    sent = alice.stage(wire_format=WireFormat.PRIVATE_MESSAGE, padding=padding).message
    bare = alice.stage(wire_format=WireFormat.PRIVATE_MESSAGE).message
    bob.process(sent)
    assert size_of(sent) == size_of(bare) + padding(size_of(bare) - bob.suite.tag_size)


def size_of(message: bytes) -> int:
    return len(body_of(message, PrivateMessage).ciphertext)


def test_padding_hides_what_is_said(rng: random.Random) -> None:
    _, (alice, *_) = room_of(rng)
    texts = [b"", b"yes", b"no", b"a longer text than those"]
    assert len({size_of(alice.send(text, padding=pad_in_steps(256))) for text in texts}) == 1


def test_proposals_are_padded_too(rng: random.Random) -> None:
    _, (alice, bob, *_) = room_of(rng)
    sent = alice.propose(Remove(2), wire_format=WireFormat.PRIVATE_MESSAGE, padding=pad_to_multiple(1024))
    assert (size_of(sent.message) - bob.suite.tag_size) % 1024 == 0
    bob.receive(sent.message)
