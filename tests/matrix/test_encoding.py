from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmls.errors import CodecError, DMLSError, LimitError
from dmls.matrix.encoding import (
    MAX_DEPTH,
    MAX_EVENT,
    MAX_INTEGER,
    decode_base64,
    encode_base64,
    encode_canonical_json,
    encode_json,
    parse_json_object,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
INTEGERS = st.integers(-MAX_INTEGER, MAX_INTEGER)


def objects(scalars: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=20)
    return st.dictionaries(TEXT, values)


CANONICAL = objects(st.none() | st.booleans() | INTEGERS | TEXT)
FRACTIONAL = objects(st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False, allow_infinity=False) | TEXT)


@given(CANONICAL)
def test_canonical_json_is_read_back(value: dict[str, Any]) -> None:
    data = encode_canonical_json(value)
    assert parse_json_object(data) == value
    assert encode_canonical_json(parse_json_object(data)) == data


@given(FRACTIONAL)
def test_json_with_fractions_is_read_back(value: dict[str, Any]) -> None:
    assert parse_json_object(encode_json(value)) == value


# The first four are inputs of the Matrix specification's appendix on canonical JSON, the rest are ours.
@pytest.mark.parametrize(
    ("value", "data"),
    [
        ({}, b"{}"),
        ({"one": 1, "two": "Two"}, b'{"one":1,"two":"Two"}'),
        ({"b": "2", "a": "1"}, b'{"a":"1","b":"2"}'),
        ({"本": 2, "日": 1}, '{"日":1,"本":2}'.encode()),
        ({"a": None, "b": True, "c": [False, {"e": 1, "d": -0}]}, b'{"a":null,"b":true,"c":[false,{"d":0,"e":1}]}'),
        ({"a": '"\\\n\x07\x7f/é'}, '{"a":"\\"\\\\\\n\\u0007\x7f/é"}'.encode()),
        # By code point, not by UTF-16 code unit.
        ({"\U0001f600": 1, "\uff5e": 2}, '{"\uff5e":2,"\U0001f600":1}'.encode()),
    ],
)
def test_canonical_form(value: dict[str, Any], data: bytes) -> None:
    assert encode_canonical_json(value) == data


@pytest.mark.parametrize(
    "value",
    [
        {"a": 1.5},
        {"a": 1.0},
        {"a": MAX_INTEGER + 1},
        {"a": [-MAX_INTEGER - 1]},
        {"a": "\ud800"},
        {"\udfff": 1},
        {1: "a"},
        {"a": b"bytes"},
        {"a": {1, 2}},
    ],
)
def test_what_canonical_json_cannot_say_is_refused(value: Any) -> None:
    with pytest.raises(CodecError):
        encode_canonical_json(value)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_json_without_finite_value_is_refused(number: float) -> None:
    with pytest.raises(CodecError):
        encode_json({"a": number})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b'"a"',
        b"{",
        b"{}{}",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":1e400}',
        b'{"a":1,"a":1}',
        b'{"a":1,"\\u0061":2}',
        b'{"b":{"a":1,"a":2}}',
        b'{"a":"\\ud800"}',
        b'{"a":"\\udc00\\ud800"}',
        b'{"\\ud83d":1}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xff"}',
        b'{"a":"\n"}',
        b'{"a":01}',
        b"{'a':1}",
        b'{"a":1,}',
        b"{}\0",
        b"\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-32-le"),
        f'{{"a":{MAX_INTEGER + 1}}}'.encode(),
        f'{{"a":{-MAX_INTEGER - 1}}}'.encode(),
        b'{"a":' + b"9" * 60_000 + b"}",
        b'{"a":"\\',
        b'{"a' + b'\\"' * 30_000,
    ],
)
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(CodecError):
        parse_json_object(data)


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 60_000,
        b'{"a":' * 12_000,
        b'{"a":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
        b'{"a":"' + b'\\"' * 9 + b'",' + b"[" * 200,
    ],
)
def test_deep_nesting_is_refused_before_the_parser_runs(data: bytes) -> None:
    with pytest.raises(LimitError):
        parse_json_object(data)


def nested(depth: int) -> bytes:
    return b'{"a":' * (depth - 1) + b'{"a":1}' + b"}" * (depth - 1)


def test_greatest_depth_is_the_same_for_reading_and_writing() -> None:
    value = parse_json_object(nested(MAX_DEPTH))
    assert encode_canonical_json(value) == nested(MAX_DEPTH)
    with pytest.raises(LimitError):
        encode_canonical_json({"a": value})
    with pytest.raises(LimitError):
        parse_json_object(nested(MAX_DEPTH + 1))


def test_endless_value_is_refused() -> None:
    value: dict[str, Any] = {}
    value["a"] = [value]
    with pytest.raises(LimitError):
        encode_canonical_json(value)


def test_brackets_inside_strings_are_not_nesting() -> None:
    text = "[{" * 1_000 + '"\\' + "[{" * 1_000
    assert parse_json_object(json.dumps({text: text}).encode()) == {text: text}


def test_size_limit_is_in_bytes() -> None:
    data = b'{"a":"' + b"x" * (MAX_EVENT - 8) + b'"}'
    assert len(data) == MAX_EVENT
    assert len(parse_json_object(data)["a"]) == MAX_EVENT - 8
    with pytest.raises(LimitError):
        parse_json_object(data + b" ")
    assert parse_json_object(data + b" ", limit=MAX_EVENT + 1)


def test_escaped_surrogate_pair_is_one_character() -> None:
    assert parse_json_object(b'{"a":"\\ud83d\\ude00"}') == {"a": "\U0001f600"}


JSON_PIECES = st.lists(
    st.sampled_from(
        [b"{", b"}", b"[", b"]", b'"', b":", b",", b"\\", b"\\u", b"d800", b"1", b"-", b"e9", b".", b'"a"', b"null", b"NaN", b" "]
    ),
    max_size=40,
).map(b"".join)


@given(st.binary(max_size=60) | JSON_PIECES | TEXT.map(str.encode))
def test_any_bytes_give_an_object_or_a_typed_error(data: bytes) -> None:
    try:
        value = parse_json_object(data)
    except DMLSError:
        return
    assert value == json.loads(data)


@given(st.binary(max_size=60))
def test_base64_is_read_back(data: bytes) -> None:
    text = encode_base64(data)
    assert "=" not in text
    assert decode_base64(text) == data


@pytest.mark.parametrize(
    "text", ["A", "AAAAA", "AA==", "AA=", "A A", "AA\n", "A-_A", "Ä", "AB", "AAB", "////B", None, b"AAAA", 5]
)
def test_other_base64_is_refused(text: object) -> None:
    with pytest.raises(CodecError):
        decode_base64(text)


@given(st.text(alphabet="ABab01+/=-_ \n", max_size=12))
def test_no_two_base64_texts_mean_the_same_bytes(text: str) -> None:
    try:
        data = decode_base64(text)
    except CodecError:
        return
    assert encode_base64(data) == text
