"""Lengths at the edges of their prefixes, and prefixes that lie, at every depth of every object."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from dmls.errors import CodecError, LengthError
from dmls.mls.codec import (
    MAX_ELEMENTS,
    MAX_VECTOR,
    bounded,
    decode_as,
    encode_as,
    encode_length,
    encode_opaque,
    lazy,
    opaque,
    uint8,
    uint16,
    uint32,
    uint64,
    vector,
)
from dmls.mls.codec.wire_types import LazyVectorNote
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.messages.commit import HPKECiphertext, UpdatePath
from dmls.mls.messages.extensions import Extension
from dmls.mls.tree.ratchet_tree import RatchetTree
from dmls.tools.inspect.kinds import NODES
from tests.robustness.scene import make_scene
from tests.robustness.wire import Form, Piece, rebuild, take_apart
from tests.support.groups import refusing

EDGES = (0, 1, 63, 64, 65, 16383, 16384, 16385)
OBJECTS = make_scene(1).objects()


def _read(hint: Any, data: bytes) -> bytes:
    """Decode all there is, also what is decoded late, and encode it again."""
    if hint is NODES:
        return RatchetTree.decode(cipher_suite(1), data).encode()
    value = decode_as(hint, data)
    if isinstance(value, UpdatePath):
        for node in value.nodes:
            list(node.encrypted_path_secret)
    return encode_as(hint, value)


def _is_late(piece: Piece) -> bool:
    return any(isinstance(note, LazyVectorNote) for note in getattr(piece.hint, "__metadata__", ()))


def _seen(piece: Piece, *, late: bool) -> Iterator[Piece]:
    """Yield the pieces that are decoded with an object; what extensions hold is bytes to it."""
    yield piece
    if piece.form is not Form.OPAQUE and (late or not _is_late(piece)):
        for part in piece.parts:
            yield from _seen(part, late=late)


@cache
def _prefixed(name: str) -> tuple[Piece, tuple[Piece, ...]]:
    hint, value = OBJECTS[name]
    root = take_apart(hint, value)
    pieces = _seen(root, late=hint is UpdatePath)
    return root, tuple(piece for piece in pieces if piece.form in {Form.OPAQUE, Form.VECTOR})


@pytest.mark.parametrize("name", OBJECTS)
def test_every_length_of_an_object_has_one_prefix(name: str) -> None:
    root, pieces = _prefixed(name)
    hint = OBJECTS[name][0]
    for piece in pieces:
        size = 1 << (piece.data[0] >> 6)
        body = piece.data[size:]
        lies = {
            (len(body) | 0x80000000).to_bytes(4, "big"): {"ENC-02"},
            (len(body) | 0xC0000000).to_bytes(4, "big"): {"ENC-03"},
            b"\xff": {"ENC-03"},
            encode_length(MAX_VECTOR): {"ENC-04", "ENC-07"},
        }
        if len(body) < 64:
            lies[(len(body) | 0x4000).to_bytes(2, "big")] = {"ENC-02"}
        if len(body) >= 16384:
            del lies[(len(body) | 0x80000000).to_bytes(4, "big")]
        for prefix, rules in lies.items():
            with pytest.raises(CodecError) as raised:
                _read(hint, rebuild(root, {piece: prefix + body}))
            assert raised.value.rule in rules


@pytest.mark.parametrize("name", [name for name, (hint, _) in OBJECTS.items() if hint is not NODES])
def test_bytes_of_every_length_stand_at_every_place(name: str) -> None:
    root, pieces = _prefixed(name)
    for piece in pieces:
        if piece.form is Form.OPAQUE:
            for length in EDGES:
                data = rebuild(root, {piece: encode_opaque(bytes(length))})
                assert _read(OBJECTS[name][0], data) == data


@pytest.mark.parametrize("length", EDGES)
@pytest.mark.parametrize(
    "hint", [opaque, vector[uint8], bounded[uint8], lazy[uint8]], ids=["opaque", "vector", "bounded", "lazy"]
)
def test_a_vector_has_every_length(hint: Any, length: int) -> None:
    data = encode_opaque(bytes(length))
    assert encode_as(hint, decode_as(hint, data)) == data


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize(("prefix", "rule"), [("4001", "ENC-02"), ("80000001", "ENC-02"), ("c0000001", "ENC-03")])
def test_a_prefix_that_is_not_the_shortest_is_refused_at_every_depth(depth: int, prefix: str, rule: str) -> None:
    hint: Any = opaque
    data = bytes.fromhex(prefix) + b"\x00"
    for _ in range(depth):
        hint, data = vector[hint], encode_opaque(data)
    with pytest.raises(LengthError) as raised:
        decode_as(hint, data)
    assert raised.value.rule == rule


@pytest.mark.breaks("ENC-07", "ENC-17")
@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_a_vector_of_integers_ends_with_one_and_has_no_absurd_number_of_them(width: int) -> None:
    hint: Any = {1: uint8, 2: uint16, 4: uint32, 8: uint64}[width]
    most = 4 * MAX_ELEMENTS
    values = tuple(range(256)) * (most // 256)
    data = encode_as(bounded[hint], values)
    assert decode_as(bounded[hint], data) == values
    longer = encode_as(vector[hint], (*values, 0))
    assert decode_as(vector[hint], longer) == (*values, 0)
    with refusing("ENC-17"):
        decode_as(bounded[hint], longer)
    # Nothing is made that its own maker would not read.
    with refusing("ENC-17"):
        encode_as(bounded[hint], (*values, 0))
    for cut in range(1, width):
        with pytest.raises(LengthError) as raised:
            decode_as(bounded[hint], encode_opaque(bytes(3 * width - cut)))
        assert raised.value.rule == "ENC-07"


@pytest.mark.breaks("ENC-17")
def test_a_bounded_vector_has_no_absurd_number_of_elements() -> None:
    extension = Extension(0xF000, b"")
    full = encode_as(vector[Extension], (extension,) * MAX_ELEMENTS)
    assert len(decode_as(bounded[Extension], full)) == MAX_ELEMENTS
    over = encode_as(vector[Extension], (extension,) * (MAX_ELEMENTS + 1))
    assert len(decode_as(vector[Extension], over)) == MAX_ELEMENTS + 1
    with refusing("ENC-17"):
        decode_as(bounded[Extension], over)
    with refusing("ENC-17"):
        encode_as(bounded[Extension], (extension,) * (MAX_ELEMENTS + 1))


def test_what_is_decoded_late_is_bounded_by_who_asks_for_it() -> None:
    sealed = HPKECiphertext(b"", b"")
    packed = decode_as(lazy[HPKECiphertext], encode_as(vector[HPKECiphertext], (sealed,) * 10))
    for count in (0, 9, 11, MAX_VECTOR):
        with pytest.raises(LengthError):
            packed.pick(0, count)
