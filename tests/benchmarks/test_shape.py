"""The arithmetic of the floor knows nothing of the ratchet tree, and says of it what is true."""

from __future__ import annotations

import random

import pytest

from benchmarks.group_operations.floor import SEAT
from benchmarks.group_operations.shape import Shape
from benchmarks.group_operations.stage import Stage, make_stage
from dmls.ids import LeafIndex
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.tree.ratchet_tree import RatchetTree

NOW = 1_700_000_000
SIZES = (2, 3, 4, 5, 6, 7, 8, 9, 11, 16, 17, 23)


def stage_of(size: int, tree: str) -> Stage:
    stage, _ = make_stage(cipher_suite(1), size, random.Random(size).randbytes, NOW)
    return stage.fill()[0] if tree == "full" else stage


def copath_of(tree: RatchetTree, leaf: int) -> tuple[int, ...]:
    return tuple(sibling.resolution_size for _, sibling in tree.filtered_copath(LeafIndex(leaf)))


@pytest.mark.parametrize("tree", ["fresh", "full"])
@pytest.mark.parametrize("size", SIZES)
def test_copaths_are_those_of_the_tree(size: int, tree: str) -> None:
    built = stage_of(size, tree).state.public.tree
    shape = Shape(size, is_full=tree == "full")
    for leaf in range(size):
        assert shape.copath(leaf) == copath_of(built, leaf)
    if size > 2:
        assert shape.without_last().copath(SEAT) == copath_of(built.remove(LeafIndex(size - 1)), SEAT)
    with_newcomer, place = built.add(built.member(LeafIndex(0)))
    assert place == size
    # The newcomer stands unmerged in its own path alone, which its commit renews.
    assert shape.copath(size) == copath_of(with_newcomer, size)


@pytest.mark.parametrize("size", SIZES)
def test_common_paths_are_those_of_the_tree(size: int) -> None:
    built, shape = stage_of(size, "full").state.public.tree, Shape(size, is_full=True)
    for leaf in range(size):
        path = set(built.filtered_direct_path(LeafIndex(leaf)))
        for other in range(size):
            if other != leaf:
                above = path & set(built.filtered_direct_path(LeafIndex(other)))
                assert shape.common_path(leaf, other) == len(above), (leaf, other)
