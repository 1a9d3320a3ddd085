"""Pictures of what was measured: the cost of an operation over the size of the group, everybody and the floor in one diagram."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks.group_operations.catalogue import OPERATIONS
from benchmarks.group_operations.results import FLOOR, OURS, PUNCTURABLE, Case, Results

__all__ = ["draw"]

_COLOURS = ("#0072b2", "#009e73", "#e69f00", "#cc79a7", "#56b4e9", "#d55e00")
"""Of the peers: a palette that colour-blind readers can tell apart."""


def draw(results: Results, folder: Path) -> Iterator[Path]:
    """Draw an SVG for each kind of tree and one for what needs no group; yield their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    # The same figures give the same file.
    mpl.rcParams["svg.hashsalt"] = "dmls"
    mpl.rcParams["svg.fonttype"] = "none"
    for tree in dict.fromkeys(case.tree for case in results.cases):
        operations = list(dict.fromkeys(case.operation for case in results.cases if case.tree == tree and case.rounds))
        if not operations:
            continue
        columns = min(3, len(operations))
        rows = -(-len(operations) // columns)
        figure = Figure(figsize=(4.2 * columns, 3.2 * rows + 0.5), layout="constrained")
        drawn: dict[str, Line2D] = {}
        for number, operation in enumerate(operations):
            axes = figure.add_subplot(rows, columns, number + 1)
            cases = [case for case in results.cases if (case.operation, case.tree) == (operation, tree)]
            drawn |= _draw_operation(axes, results, operation, cases)
        figure.legend(list(drawn.values()), list(drawn), loc="outside upper center", ncols=min(len(drawn), 9), frameon=False)
        path = folder / f"{tree or 'no'}-tree.svg"
        figure.savefig(path, metadata={"Date": None})
        yield path


def _draw_operation(axes: Axes, results: Results, operation: str, cases: list[Case]) -> dict[str, Line2D]:
    """Draw the lines of one operation; return them by name."""
    drawn: dict[str, Line2D] = {}
    for name, style in _styles(results).items():
        points = [(case.size, value) for case in cases if (value := case.milliseconds(name)) is not None]
        if points:
            is_ranked = name in {FLOOR, OURS, PUNCTURABLE} or results.is_ranked(name, operation)
            defaults = {"linestyle": "-" if is_ranked else ":", "marker": "."}
            (drawn[name],) = axes.plot(*zip(*points, strict=True), **{**defaults, **style})
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.minorticks_off()
    axes.set_title(OPERATIONS[operation].title, fontsize=10)
    axes.set_xlabel("members", fontsize=8)
    axes.set_ylabel("ms", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(visible=True, which="major", alpha=0.3)
    return drawn


def _styles(results: Results) -> dict[str, dict[str, Any]]:
    peers = {name: {"color": colour, "linewidth": 1.0} for name, colour in zip(results.peers(), _COLOURS, strict=False)}
    return {
        FLOOR: {"color": "#999999", "linestyle": "--", "marker": "", "linewidth": 1.5},
        **peers,
        PUNCTURABLE: {"color": "#000000", "linewidth": 0.8},
        OURS: {"color": "#000000", "linewidth": 2.0},
    }
