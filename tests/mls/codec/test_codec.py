"""The presentation language: one encoding a value, bounds kept, and nothing else accepted (RFC 9420, Section 2.1)."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmls.errors import CodecError, DMLSError, LengthError, TrailingDataError, TruncatedError, UnknownVariantError, UsageError
from dmls.mls.codec import (
    MAX_VECTOR,
    Enum8,
    Enum16,
    Kept,
    Lazy,
    Tagged,
    When,
    decode,
    decode_as,
    decode_prefix,
    encode,
    encode_as,
    encode_length,
    encode_opaque,
    lazy,
    opaque,
    optional,
    read_length,
    struct,
    uint8,
    uint16,
    uint32,
    uint64,
    vector,
)
from dmls.mls.messages.message import MLSMessage
from tests.support.vectors import load_vectors


class Colour(Enum8):
    RED = 1
    GREEN = 2


class Shape(Enum16):
    ROUND = 0x0102


@struct
class Point:
    x: uint8
    y: uint16


@struct
class Nothing:
    pass


@struct
class Name:
    text: opaque


@struct
class Everything:
    small: uint8
    middle: uint16
    large: uint32
    huge: uint64
    colour: Colour
    shape: Shape
    text: opaque
    points: vector[Point]
    numbers: vector[uint16]
    maybe: optional[Point]
    later: lazy[Point]
    choice: Annotated[Point | Name | Nothing, Tagged(1, {1: Point, 2: Name, 3: Nothing})]
    extra: Annotated[opaque | None, When("small", lambda small: small > 100)]


@struct(secret=True)
class Hidden:
    key: opaque


@struct
class Signed(Kept):
    everything: Everything
    point: Point


_OPTIONAL: Any = optional
MAYBE_POINT: Any = _OPTIONAL[Point]
POINTS = st.builds(Point, st.integers(0, 0xFF), st.integers(0, 0xFFFF))
NAMES = st.builds(Name, st.binary(max_size=80))


@st.composite
def values(draw: st.DrawFn) -> Everything:
    small = draw(st.integers(0, 0xFF))
    return Everything(
        small,
        draw(st.integers(0, 0xFFFF)),
        draw(st.integers(0, 0xFFFFFFFF)),
        draw(st.integers(0, 2**64 - 1)),
        draw(st.sampled_from(Colour)),
        Shape.ROUND,
        draw(st.binary(max_size=200)),
        tuple(draw(st.lists(POINTS, max_size=30))),
        tuple(draw(st.lists(st.integers(0, 0xFFFF), max_size=40))),
        draw(st.none() | POINTS),
        Lazy.pack(Point, draw(st.lists(POINTS, max_size=5))),
        draw(POINTS | NAMES | st.just(Nothing())),
        draw(st.binary(max_size=5)) if small > 100 else None,
    )


@pytest.mark.keeps("ENC-14")
@given(values())
def test_what_is_encoded_decodes_to_the_same(value: Everything) -> None:
    data = encode(value)
    assert decode(Everything, data) == value
    assert encode(decode(Everything, data)) == data
    assert decode_prefix(Everything, data + b"more") == (value, len(data))


@given(values(), st.data())
def test_every_shorter_and_every_longer_text_is_refused(value: Everything, data: st.DataObject) -> None:
    encoded = encode(value)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(CodecError):
        decode(Everything, encoded[:cut])
    with pytest.raises(TrailingDataError):
        decode(Everything, encoded + b"\x00")


@pytest.mark.breaks("ENC-14")
@given(values(), st.data())
def test_what_decodes_at_all_is_the_one_encoding_of_what_it_means(value: Everything, data: st.DataObject) -> None:
    changed = bytearray(encode(value))
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        decoded = decode(Everything, bytes(changed))
    except CodecError:
        return
    assert encode(decoded) == changed


@given(values(), POINTS)
def test_an_encoding_that_is_kept_is_that_of_the_fields(value: Everything, point: Point) -> None:
    made = Signed(value, point)
    data = encode(made)
    assert data == encode(value) + encode(point)
    assert encode(made) == data
    read, end = decode_prefix(Signed, data + b"more")
    assert (read, end, hash(read)) == (made, len(data), hash(made))
    assert encode(read) == encode(replace(read)) == data
    other = Point(point.x ^ 1, point.y)
    assert encode(replace(read, point=other)) == encode(value) + encode(other)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_give_a_message_or_a_typed_error(data: bytes) -> None:
    try:
        decoded = decode(MLSMessage, data)
    except CodecError:
        return
    assert encode(decoded) == data


@pytest.mark.parametrize("name", ["mls_welcome", "mls_group_info", "mls_key_package", "public_message_commit", "private_message"])
def test_every_beginning_of_a_message_is_refused(name: str) -> None:
    data = bytes.fromhex(min((case[name] for case in load_vectors("messages.json")), key=len))
    for end in range(len(data)):
        with pytest.raises(CodecError):
            decode(MLSMessage, data[:end])
    with pytest.raises(TrailingDataError) as raised:
        decode(MLSMessage, data + b"\x00")
    assert raised.value.rule == "ENC-08"


# Length prefixes


@pytest.mark.parametrize(
    ("length", "prefix"),
    [
        (0, "00"),
        (63, "3f"),
        (64, "4040"),
        (0x3FFF, "7fff"),
        (0x4000, "80004000"),
        (MAX_VECTOR, "bfffffff"),
    ],
)
def test_a_length_has_its_shortest_prefix(length: int, prefix: str) -> None:
    encoded = bytes.fromhex(prefix)
    assert encode_length(length) == encoded
    assert read_length(encoded, 0, len(encoded) + length) == (length, len(encoded))


@given(st.integers(0, MAX_VECTOR))
def test_every_length_is_read_as_it_was_written(length: int) -> None:
    encoded = encode_length(length)
    assert read_length(b"x" + encoded, 1, 1 + len(encoded) + length) == (length, 1 + len(encoded))


@pytest.mark.breaks("ENC-05")
def test_a_length_that_no_prefix_can_say_is_refused() -> None:
    with pytest.raises(LengthError) as raised:
        encode_length(MAX_VECTOR + 1)
    assert raised.value.rule == "ENC-05"


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        ("4000", "ENC-02"),
        ("403f", "ENC-02"),
        ("80000000", "ENC-02"),
        ("8000003f", "ENC-02"),
        ("80003fff", "ENC-02"),
        *((f"{first:02x}000000", "ENC-03") for first in range(0xC0, 0x100)),
        ("", "ENC-04"),
        ("40", "ENC-04"),
        ("80", "ENC-04"),
        ("8000", "ENC-04"),
        ("800040", "ENC-04"),
        ("01", "ENC-04"),
        ("4040", "ENC-04"),
        ("bfffffff", "ENC-04"),
    ],
)
@pytest.mark.parametrize("hint", [opaque, vector[uint8], lazy[uint8]], ids=["opaque", "vector", "lazy"])
def test_other_prefixes_are_refused(data: str, rule: str, hint: Any) -> None:
    with pytest.raises(CodecError) as raised:
        decode_as(hint, bytes.fromhex(data))
    assert raised.value.rule == rule


@pytest.mark.breaks("ENC-01", "ENC-02")
@pytest.mark.parametrize("length", [0, 1, 62, 63, 64, 65, 0x3FFE, 0x3FFF, 0x4000])
def test_what_a_peer_writes_with_a_longer_prefix_is_refused(length: int) -> None:
    longer = {1: (length | 0x4000).to_bytes(2, "big"), 2: (length | 0x80000000).to_bytes(4, "big")}
    body = bytes(length)
    assert decode_as(opaque, encode_length(length) + body) == body
    for size, prefix in longer.items():
        if size == len(encode_length(length)):
            with pytest.raises(LengthError) as raised:
                decode_as(opaque, prefix + body)
            assert raised.value.rule == "ENC-02"


@pytest.mark.breaks("ENC-04")
@pytest.mark.parametrize(
    ("hint", "data"),
    [(uint8, ""), (uint16, "01"), (uint32, "010203"), (uint64, "01020304050607"), (MAYBE_POINT, ""), (MAYBE_POINT, "01")],
)
def test_an_integer_and_a_presence_octet_are_not_read_beyond_the_end(hint: Any, data: str) -> None:
    with pytest.raises(TruncatedError) as raised:
        decode_as(hint, bytes.fromhex(data))
    assert raised.value.rule == "ENC-04"


@pytest.mark.breaks("ENC-02", "ENC-03", "ENC-07")
def test_prefixes_are_checked_at_every_depth() -> None:
    nested = vector[Name]
    assert decode_as(nested, bytes.fromhex("020161")) == (Name(b"a"),)
    for data, rule in (("0340 0161", "ENC-02"), ("04c0000001", "ENC-03"), ("020261", "ENC-07"), ("0140", "ENC-07")):
        with pytest.raises(CodecError) as raised:
            decode_as(nested, bytes.fromhex(data))
        assert raised.value.rule == rule


@pytest.mark.parametrize(
    ("hint", "data"), [(vector[uint16], "03010203"), (vector[uint32], "0501020304 05"), (vector[Point], "02ffff")]
)
def test_a_vector_ends_with_an_element(hint: Any, data: str) -> None:
    with pytest.raises(LengthError) as raised:
        decode_as(hint, bytes.fromhex(data))
    assert raised.value.rule == "ENC-07"


# Closed types


@pytest.mark.parametrize("presence", [2, 3, 0x80, 0xFF])
def test_presence_is_nought_or_one(presence: int) -> None:
    with pytest.raises(UnknownVariantError) as raised:
        decode_as(MAYBE_POINT, bytes((presence, 0, 0, 0)))
    assert raised.value.rule == "ENC-06"
    with pytest.raises(TruncatedError):
        decode_as(MAYBE_POINT, b"")


@pytest.mark.parametrize("value", [0, 3, 255])
def test_a_closed_enumeration_is_closed(value: int) -> None:
    with pytest.raises(UnknownVariantError) as raised:
        decode_as(Colour, bytes((value,)))
    assert raised.value.rule == "ENC-10"
    with pytest.raises(UnknownVariantError):
        decode_as(Shape, value.to_bytes(2, "big"))


@pytest.mark.parametrize("tag", [0, 4, 255])
def test_a_select_knows_its_cases(tag: int) -> None:
    select = Annotated[Point | Name, Tagged(1, {1: Point, 2: Name})]
    with pytest.raises(UnknownVariantError) as raised:
        decode_as(select, bytes((tag, 0, 0, 0)))
    assert raised.value.rule == "ENC-10"
    with pytest.raises(UsageError):
        encode_as(select, Nothing())


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        ("00000005", "ENC-11"),
        ("00020005", "ENC-11"),
        ("ffff0005", "ENC-11"),
        ("00010000", "ENC-12"),
        ("00010006", "ENC-12"),
        ("0001f000", "ENC-12"),
    ],
)
def test_versions_and_wire_formats_are_closed(data: str, rule: str) -> None:
    with pytest.raises(UnknownVariantError) as raised:
        decode(MLSMessage, bytes.fromhex(data))
    assert raised.value.rule == rule


# Lazy vectors


def test_a_lazy_vector_is_unpacked_where_it_is_read() -> None:
    points = [Point(number, number) for number in range(5)]
    packed = Lazy.pack(Point, points)
    assert list(packed) == points
    assert [packed.pick(number, 5) for number in range(5)] == points
    assert repr(packed) == "Lazy(15 bytes)"
    assert packed == Lazy.pack(Point, points) != Lazy.pack(Point, points[:-1])
    assert hash(packed) == hash(Lazy.pack(Point, points))


def test_elements_of_several_sizes_are_found_too() -> None:
    names = [Name(b"a"), Name(b"bcd"), Name(b"")]
    packed = Lazy.pack(Name, names)
    assert [packed.pick(number, 3) for number in range(3)] == names


@pytest.mark.parametrize("count", [0, 2, 4, 15])
def test_a_lazy_vector_of_another_length_is_noticed(count: int) -> None:
    packed = Lazy.pack(Point, [Point(1, 1)] * 3)
    with pytest.raises(LengthError):
        packed.pick(0, count)


def test_a_lazy_vector_that_holds_something_else_is_noticed() -> None:
    cut = decode_as(lazy[Point], encode_opaque(b"\x00" * 7))
    with pytest.raises(CodecError):
        cut.pick(0, 2)
    uneven = decode_as(lazy[Name], bytes.fromhex("04026161 00"))
    assert uneven.pick(0, 2) == Name(b"aa")


# Declaring


def test_structs_are_values() -> None:
    assert Point(1, 2) == Point(1, 2)
    assert {Point(1, 2): 3}[Point(1, 2)] == 3
    with pytest.raises(AttributeError):
        Point(1, 2).x = 3  # type: ignore[misc]
    assert repr(Point(1, 2)) == "Point(x=1, y=2)"
    assert repr(Hidden(b"key")) == "Hidden(secret)"
    assert decode(Hidden, encode(Hidden(b"key"))) == Hidden(b"key")


def test_numbers_that_do_not_fit_are_refused() -> None:
    for point in (Point(256, 0), Point(0, 1 << 16), Point(-1, 0)):
        with pytest.raises(UsageError):
            encode(point)
    for numbers in ((0, 1 << 16), (-1,)):
        with pytest.raises(UsageError):
            encode_as(vector[uint16], numbers)


def test_a_conditional_field_fits_its_condition() -> None:
    @struct
    class Conditional:
        kind: uint8
        more: Annotated[opaque | None, When("kind", lambda kind: kind == 1)]

    assert decode(Conditional, b"\x01\x00") == Conditional(1, b"")
    assert decode(Conditional, b"\x00") == Conditional(0, None)
    for wrong in (Conditional(1, None), Conditional(0, b"")):
        with pytest.raises(UsageError):
            encode(wrong)


def test_what_is_no_wire_type_cannot_be_declared() -> None:
    with pytest.raises(UsageError):
        encode_as(int, 5)

    with pytest.raises(UsageError):

        @struct
        class Wrong:
            number: int

    with pytest.raises(UsageError):
        encode_as(Annotated[Point | Name, Tagged(1, {1: Point, 2: Point})], Point(1, 2))


def test_values_of_any_wire_type_fill_their_bytes() -> None:
    assert encode_as(vector[uint16], (1, 2)) == bytes.fromhex("0400010002")
    with pytest.raises(TrailingDataError) as raised:
        decode_as(vector[uint16], bytes.fromhex("040001000200"))
    assert raised.value.rule == "ENC-08"
    assert issubclass(CodecError, DMLSError)
