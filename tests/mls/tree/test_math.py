from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmls.errors import UsageError
from dmls.mls.tree import math

leaves = st.integers(0, 2**31 - 1)
levels = st.integers(1, 31)


@pytest.mark.breaks("TR-01")
@pytest.mark.parametrize("relation", [math.left, math.right])
def test_a_leaf_has_no_children(relation: Any) -> None:
    with pytest.raises(UsageError):
        relation(6)


@pytest.mark.breaks("TR-01")
@pytest.mark.parametrize(("node", "width"), [(3, 4), (7, 4), (-1, 4), (0, 1)])
def test_the_root_and_what_is_outside_have_no_parent(node: int, width: int) -> None:
    with pytest.raises(UsageError):
        math.parent(node, width)
    with pytest.raises(UsageError):
        math.sibling(node, width)


@pytest.mark.breaks("TR-01")
@pytest.mark.parametrize("width", [0, -4, 3, 12])
def test_a_width_is_a_power_of_two(width: int) -> None:
    with pytest.raises(UsageError):
        math.root(width)


@pytest.mark.breaks("TR-01")
def test_five_leaves_are_as_deep_as_eight() -> None:
    """In a tree that is balanced to the left and not full, the fifth leaf would be right below the root."""
    assert [math.level(node) for node in range(15)] == [0, 1, 0, 2, 0, 1, 0, 3, 0, 1, 0, 2, 0, 1, 0]
    assert [math.parent(node, 8) for node in (8, 9, 11)] == [9, 11, 7]
    assert [math.ancestor(4, height) for height in range(4)] == [8, 9, 11, 7]
    assert [math.common_ancestor(4, leaf) for leaf in (5, 7, 3)] == [9, 11, 7]
    assert (math.left(7), math.right(7), math.sibling(3, 8)) == (3, 11, 11)
    with pytest.raises(UsageError):
        math.root(5)


@pytest.mark.keeps("TR-01")
@given(leaves, levels)
def test_an_ancestor_covers_its_leaf_and_is_reached_by_parents(leaf: int, height: int) -> None:
    node: int = math.leaf_to_node(leaf)
    for step in range(height):
        assert math.ancestor(leaf, step) == node
        assert math.level(node) == step
        assert math.covers(node, leaf)
        first = leaf >> step << step
        assert math.leaves_below(node) == (first, first + (1 << step))
        node = math.parent(node, 2**31)


@pytest.mark.keeps("TR-01")
@given(leaves, leaves)
def test_the_common_ancestor_is_the_lowest_node_above_both(one: int, other: int) -> None:
    node = math.common_ancestor(one, other)
    assert math.covers(node, one)
    assert math.covers(node, other)
    if one != other:
        for child in (math.left(node), math.right(node)):
            assert math.covers(child, one) != math.covers(child, other)


@pytest.mark.keeps("TR-01")
@given(levels, st.data())
def test_siblings_are_the_two_children_of_one_parent(height: int, data: st.DataObject) -> None:
    width = 1 << height
    node = data.draw(st.integers(0, 2 * width - 2).filter(lambda node: node != math.root(width)))
    above = math.parent(node, width)
    sibling = math.sibling(node, width)
    assert {node, sibling} == {math.left(above), math.right(above)}
    assert math.sibling(sibling, width) == node
