from __future__ import annotations

import contextlib
import hmac
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmls.errors import CodecError, InvalidCommitError, PuncturedError, UsageError
from dmls.forks.aad import KeySchedule
from dmls.forks.pprf import PPRF, PPRF_RULE, init_secret_rule
from dmls.mls.codec import encode_as, opaque, uint16, vector
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CIPHER_SUITES, CipherSuite, cipher_suite
from dmls.mls.schedule.key_schedule import RFC9420_RULE

SUITE = cipher_suite(1)
KEY = bytes(range(32))

inputs = st.binary(min_size=32, max_size=32)
near_inputs = st.tuples(st.binary(min_size=1, max_size=1), st.sampled_from([b"\x00" * 31, b"\xff" * 31])).map(b"".join)
"""Inputs that share long beginnings."""


def frontier(levels: int, depths: list[int], secrets: list[bytes] | None = None) -> bytes:
    """The encoding of a function with nodes of these depths, from left to right."""
    held = [KEY] * len(depths) if secrets is None else secrets
    return levels.to_bytes(2, "big") + encode_as(vector[uint16], tuple(depths)) + encode_as(vector[opaque], tuple(held))


def plain_path(suite: CipherSuite, key: bytes, value: bytes) -> list[bytes]:
    """Return the secrets from the root to a leaf, by nothing but HMAC."""
    size = suite.hash_size
    secrets = [key]
    for number in range(8 * size):
        side = b"\x05right" if value[number // 8] >> 7 - number % 8 & 1 else b"\x04left"
        info = size.to_bytes(2, "big") + b"\x0cMLS 1.0 tree" + side + b"\x01"
        secrets.append(hmac.digest(secrets[-1], info, suite.hash_name))
    return secrets


@given(key=inputs, value=inputs)
def test_output_is_the_leaf_below_the_bits_of_the_input(key: bytes, value: bytes) -> None:
    assert PPRF.create(SUITE, key).evaluate(value)[0] == plain_path(SUITE, key, value)[-1]


@given(values=st.lists(inputs | near_inputs, min_size=1, max_size=6, unique_by=lambda value: value[:8]), data=st.data())
def test_order_of_evaluation_changes_nothing(values: list[bytes], data: st.DataObject) -> None:
    def evaluate_all(order: list[bytes]) -> tuple[dict[bytes, bytes], bytes]:
        pprf = PPRF.create(SUITE, KEY)
        outputs: dict[bytes, bytes] = {}
        for value in order:
            outputs[value], pprf = pprf.evaluate(value)
        return outputs, pprf.encode()

    assert evaluate_all(values) == evaluate_all(data.draw(st.permutations(values)))


@given(values=st.lists(inputs | near_inputs, min_size=1, max_size=5))
def test_an_input_is_evaluated_once(values: list[bytes]) -> None:
    pprf, used = PPRF.create(SUITE, KEY), set()
    for value in values:
        if value[:8] in used:
            with pytest.raises(PuncturedError):
                pprf.evaluate(value)
        else:
            pprf = pprf.evaluate(value)[1]
            used.add(value[:8])


def test_an_input_that_parts_from_a_used_one_below_the_kept_levels_counts_as_used() -> None:
    used, near = bytes(32), bytes(8) + b"\x80" + bytes(23)
    full = PPRF.create(SUITE, KEY, 256).evaluate(used)[1]
    assert full.evaluate(near)[0] == plain_path(SUITE, KEY, near)[-1]
    with pytest.raises(PuncturedError):
        PPRF.create(SUITE, KEY).evaluate(used)[1].evaluate(near)


def test_evaluation_leaves_the_function_before_it_unchanged() -> None:
    before = PPRF.create(SUITE, KEY)
    encoded = before.encode()
    first, _ = before.evaluate(bytes(32))
    assert before.encode() == encoded
    assert before.evaluate(bytes(32))[0] == first


@given(values=st.lists(inputs | near_inputs, min_size=1, max_size=5, unique_by=lambda value: value[:8]))
def test_nothing_above_a_used_input_is_left(values: list[bytes]) -> None:
    pprf = PPRF.create(SUITE, KEY)
    for value in values:
        pprf = pprf.evaluate(value)[1]
    encoded = pprf.encode()
    assert not any(secret in encoded for value in values for secret in plain_path(SUITE, KEY, value))


def test_every_other_input_is_still_covered_by_what_is_left(rng: random.Random) -> None:
    pprf = PPRF.create(SUITE, KEY)
    for _ in range(20):
        pprf = pprf.evaluate(rng.randbytes(32))[1]
    for _ in range(20):
        value = rng.randbytes(32)
        assert pprf.evaluate(value)[0] == plain_path(SUITE, KEY, value)[-1]


@pytest.mark.parametrize("suite", CIPHER_SUITES, ids=lambda suite: str(suite.id))
def test_a_child_costs_64_secrets_at_most(suite: CipherSuite, rng: random.Random) -> None:
    pprf = PPRF.create(suite, rng.randbytes(suite.hash_size))
    for children in range(1, 6):
        pprf = pprf.evaluate(rng.randbytes(suite.hash_size))[1]
        assert pprf.node_count <= 64 * children
        # two bytes of depth and two of length before each secret, at most
        assert len(pprf.encode()) <= (64 * children + children) * (suite.hash_size + 4)


@given(values=st.lists(inputs | near_inputs, max_size=5, unique_by=lambda value: value[:8]), levels=st.sampled_from([9, 64, 256]))
def test_encoding_is_read_back(values: list[bytes], levels: int) -> None:
    pprf = PPRF.create(SUITE, KEY, levels)
    for value in {value[: levels // 8]: value for value in values}.values():
        try:
            pprf = pprf.evaluate(value)[1]
        except PuncturedError:
            continue
    again = PPRF.decode(SUITE, pprf.encode())
    assert again.encode() == pprf.encode()
    assert (again.kept_levels, again.node_count) == (levels, pprf.node_count)


@given(data=st.binary(max_size=200), position=st.integers(0, 2300), value=st.integers(0, 255), cut=st.integers(0, 2300))
def test_altered_bytes_raise_a_codec_error_or_are_another_function(data: bytes, position: int, value: int, cut: int) -> None:
    encoded = bytearray(PPRF.create(SUITE, KEY).evaluate(bytes(32))[1].encode())
    if position < len(encoded):
        encoded[position] = value
    for damaged in (bytes(encoded), bytes(encoded[:cut]), bytes(encoded) + data, data):
        with contextlib.suppress(CodecError):
            assert PPRF.decode(SUITE, damaged).encode() == damaged


def test_a_state_of_another_hash_size_is_refused() -> None:
    with pytest.raises(CodecError):
        PPRF.decode(cipher_suite(7), PPRF.create(SUITE, KEY).encode())


@pytest.mark.parametrize(
    "damaged",
    [
        frontier(64, []),  # covers nothing
        frontier(0, [0]),  # no levels
        frontier(257, [0]),  # more levels than the suite has
        frontier(64, [0, 0]),  # covers everything twice
        frontier(64, [1]),  # covers half
        frontier(64, [0], [b""]),  # all used up at once
        frontier(64, [65]),  # deeper than the kept levels
        frontier(64, [2, 1, 2]),  # misplaced
        frontier(64, [1, 1], [KEY]),  # a secret is missing
        frontier(64, [0], [KEY, KEY]),  # and one too many
        frontier(64, [0], [KEY[1:]]),  # of a wrong length
    ],
)
def test_nodes_that_do_not_cover_every_input_once_are_refused(damaged: bytes) -> None:
    PPRF.decode(SUITE, frontier(64, [2, 2, 1]))
    with pytest.raises(CodecError):
        PPRF.decode(SUITE, damaged)


@pytest.mark.parametrize(("size", "levels"), [(31, 64), (33, 64), (32, 0), (32, 257)])
def test_misuse_is_told(size: int, levels: int) -> None:
    with pytest.raises(UsageError):
        PPRF.create(SUITE, bytes(size), levels)


def test_input_of_a_wrong_length_is_misuse() -> None:
    with pytest.raises(UsageError):
        PPRF.create(SUITE, KEY).evaluate(bytes(31))


def test_secrets_stay_out_of_the_repr() -> None:
    pprf = PPRF.create(SUITE, KEY)
    output, left = pprf.evaluate(bytes(32))
    for shown in (repr(pprf), repr(left), repr(output), str(output)):
        assert KEY.hex() not in shown
        assert output.hex() not in shown
        assert "\\x" not in shown


def test_rule_gives_each_child_its_own_secret_and_each_once() -> None:
    state = PPRF_RULE.open_epoch(SUITE, Secret(b"\x11" * 32))
    path_secret = Secret(b"\x22" * 32)
    first, after_first = PPRF_RULE.child_init_secret(SUITE, state, path_secret, b"context 1")
    second, after_both = PPRF_RULE.child_init_secret(SUITE, after_first, path_secret, b"context 2")
    other_way = PPRF_RULE.child_init_secret(SUITE, state, path_secret, b"context 2")[0]
    assert first != second == other_way
    stored = PPRF_RULE.decode_state(SUITE, PPRF_RULE.encode_state(after_both))
    for context in (b"context 1", b"context 2"):
        with pytest.raises(PuncturedError):
            PPRF_RULE.child_init_secret(SUITE, stored, path_secret, context)


def test_rule_refuses_a_commit_without_a_path() -> None:
    state = PPRF_RULE.open_epoch(SUITE, Secret(bytes(32)))
    with pytest.raises(InvalidCommitError):
        PPRF_RULE.child_init_secret(SUITE, state, None, b"")


def test_rule_refuses_the_state_of_another_rule() -> None:
    with pytest.raises(UsageError):
        PPRF_RULE.encode_state(RFC9420_RULE.open_epoch(SUITE, Secret(bytes(32))))


def test_key_schedule_names_its_rule() -> None:
    assert init_secret_rule(KeySchedule.PPRF) is PPRF_RULE
    assert init_secret_rule(KeySchedule.RFC9420) is RFC9420_RULE
