from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmls.errors import (
    CodecError,
    DMLSError,
    InvalidTreeError,
    LimitError,
    TrailingDataError,
    TruncatedError,
    UnknownVariantError,
    ValidationError,
)
from dmls.ids import LeafIndex
from dmls.mls.codec import encode, encode_opaque, read_length
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.tree.nodes import ParentNode
from dmls.mls.tree.ratchet_tree import RatchetTree
from tests.support.tree import full_tree, make_member, make_tree

SUITE = cipher_suite(1)
LEAF = b"\x01\x01" + encode(make_member(SUITE, random.Random(1), "somebody").leaf_node)
PARENT = b"\x01\x02" + encode(ParentNode(b"k" * 32, b"", ()))
BLANK = b"\x00"
FULL = full_tree(SUITE, random.Random(2), 5)[0].encode()


def decode(*nodes: bytes, max_leaves: int = 64) -> RatchetTree:
    return RatchetTree.decode(SUITE, encode_opaque(b"".join(nodes)), max_leaves=max_leaves)


@pytest.mark.parametrize(
    ("nodes", "rule"),
    [
        ((), "TR-18"),
        ((LEAF, BLANK), "TR-16"),
        ((LEAF, BLANK, BLANK), "TR-16"),
        ((BLANK,), "TR-16"),
        ((LEAF, PARENT), "TR-18"),
        ((LEAF, PARENT, LEAF, PARENT), "TR-18"),
        ((PARENT,), "TR-17"),
        ((LEAF, LEAF), "TR-17"),
        ((LEAF, BLANK, PARENT), "TR-17"),
    ],
)
def test_nodes_in_the_wrong_place_are_refused(nodes: tuple[bytes, ...], rule: str) -> None:
    with pytest.raises(InvalidTreeError) as caught:
        decode(*nodes)
    assert caught.value.rule == rule


@pytest.mark.breaks("TR-05")
@pytest.mark.parametrize("unmerged", [(1, 0), (0, 0), (0, 1, 1), (2**32 - 1, 0)])
def test_unmerged_leaves_must_ascend(unmerged: tuple[int, ...]) -> None:
    parent = b"\x01\x02" + encode(ParentNode(b"k" * 32, b"", unmerged))
    with pytest.raises(InvalidTreeError) as caught:
        decode(LEAF, parent, LEAF)
    assert caught.value.rule == "TR-05"


def test_a_node_type_or_presence_that_means_nothing_is_refused() -> None:
    for node in (b"\x02", b"\xff" + LEAF[1:], b"\x01\x00" + LEAF[2:], b"\x01\x03" + LEAF[2:]):
        with pytest.raises(UnknownVariantError):
            decode(node)
    with pytest.raises(TruncatedError):
        decode(b"\x01")


def test_bytes_after_the_tree_are_refused() -> None:
    with pytest.raises(TrailingDataError):
        RatchetTree.decode(SUITE, FULL + b"\x00")


def test_every_prefix_of_a_tree_is_refused() -> None:
    for length in range(len(FULL)):
        with pytest.raises((CodecError, ValidationError)):
            RatchetTree.decode(SUITE, FULL[:length])


def test_a_prefix_of_the_nodes_is_a_tree_only_where_it_ends_in_a_leaf() -> None:
    _, start = read_length(FULL, 0, len(FULL))
    widths = []
    for end in range(start, len(FULL) + 1):
        encoded = encode_opaque(FULL[start:end])
        try:
            tree = RatchetTree.decode(SUITE, encoded)
        except (CodecError, ValidationError):
            continue
        assert tree.encode() == encoded
        widths.append(tree.width)
    assert widths == [1, 2, 4, 4, 8]


@pytest.mark.breaks("ENC-17")
def test_the_limit_counts_leaf_slots_before_any_is_built() -> None:
    assert decode(LEAF, BLANK, LEAF, BLANK, LEAF, max_leaves=3).width == 4
    with pytest.raises(LimitError, match="ENC-17"):
        decode(LEAF, BLANK, LEAF, BLANK, LEAF, max_leaves=2)
    with pytest.raises(LimitError, match="ENC-17"):
        decode(BLANK * 1_000_000, LEAF, max_leaves=1000)
    with pytest.raises(LimitError, match="ENC-17"):
        decode(LEAF, BLANK * 3, max_leaves=2)
    with pytest.raises(LimitError, match="ENC-17"):
        decode(LEAF, PARENT, max_leaves=1)


@pytest.mark.keeps("TR-15", "TR-16")
def test_blanks_at_the_end_are_left_out_and_come_back() -> None:
    tree, _ = make_tree(SUITE, random.Random(3), 5)
    assert tree.width == 8
    again = RatchetTree.decode(SUITE, tree.encode())
    assert again == tree
    assert again.width == 8
    last = tree.leaf(LeafIndex(4))
    assert last is not None
    assert tree.encode().endswith(BLANK + b"\x01\x01" + encode(last))


@pytest.mark.breaks("TR-18")
def test_a_tree_of_blanks_has_no_encoding_that_decodes() -> None:
    tree, _ = make_tree(SUITE, random.Random(3), 1)
    empty = tree.remove_all([index for index, _ in tree.members()])
    assert empty.encode() == b"\x00"
    with pytest.raises(InvalidTreeError):
        RatchetTree.decode(SUITE, empty.encode())


@given(st.binary(max_size=200))
def test_any_bytes_give_a_tree_or_a_typed_error(data: bytes) -> None:
    for encoded in (data, encode_opaque(data)):
        try:
            tree = RatchetTree.decode(SUITE, encoded)
        except DMLSError:
            continue
        assert tree.encode() == encoded


@given(st.integers(0, len(FULL) - 1), st.integers(1, 255))
def test_any_changed_byte_gives_another_tree_or_a_typed_error(at: int, change: int) -> None:
    data = bytearray(FULL)
    data[at] ^= change
    try:
        tree = RatchetTree.decode(SUITE, bytes(data))
    except DMLSError:
        return
    assert tree.encode() == bytes(data)
    assert tree.tree_hash != RatchetTree.decode(SUITE, FULL).tree_hash
