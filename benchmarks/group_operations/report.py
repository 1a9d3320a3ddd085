"""Tables of what was measured: for the terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from benchmarks.group_operations.catalogue import OPERATIONS
from benchmarks.group_operations.results import FLOOR, OURS, PUNCTURABLE, Case, Results
from benchmarks.group_operations.targets import BOUNDED, check_targets

__all__ = ["Sheet", "make_sheets", "print_sheets", "to_markdown"]

_NOT_RANKED = "*"


@dataclass(frozen=True)
class Sheet:
    """One table."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def make_sheets(results: Results) -> Iterator[Sheet]:
    """Make a table over all sizes and one of each group, then of bytes, memory and who lacks what."""
    summary = _summary(results)
    if summary.rows:
        yield summary
    for size, tree in dict.fromkeys((case.size, case.tree) for case in results.cases):
        yield _times(results, size, tree)
    targets = _targets(results)
    if targets.rows:
        yield targets
    yield _counts(results)
    yield _bytes(results)
    if results.memory:
        yield _memory(results)
    yield _contestants(results)
    lacking = _lacking(results)
    if lacking.rows:
        yield lacking


def print_sheets(sheets: Sequence[Sheet], console: Console) -> None:
    """Print tables."""
    for sheet in sheets:
        table = Table(title=sheet.title, title_justify="left", box=None, pad_edge=False)
        for number, heading in enumerate(sheet.headings):
            table.add_column(heading, justify="right" if number and _is_numeric(sheet, number) else "left", overflow="fold")
        for row in sheet.rows:
            table.add_row(*row)
        console.print(table)
        for note in sheet.notes:
            console.print(note)
        console.print()


def to_markdown(sheets: Sequence[Sheet]) -> str:
    """Return tables as Markdown."""
    lines = []
    for sheet in sheets:
        marks = ("---:" if number and _is_numeric(sheet, number) else "---" for number in range(len(sheet.headings)))
        lines += [f"### {sheet.title}", "", f"| {' | '.join(sheet.headings)} |", f"|{'|'.join(marks)}|"]
        lines += [f"| {' | '.join(row)} |" for row in sheet.rows]
        lines += ["", *(f"{note}\n" for note in sheet.notes)]
    return "\n".join(lines).rstrip() + "\n"


def _is_numeric(sheet: Sheet, column: int) -> bool:
    cells = [row[column] for row in sheet.rows if row[column]]
    return all(cell[0].isdigit() or cell == "-" for cell in cells)


def _summary(results: Results) -> Sheet:
    """What the targets are about, over all sizes."""
    cases = {(case.operation, case.size): case for case in results.cases if case.tree != "fresh"}
    sizes = list(dict.fromkeys(size for operation, size in cases if operation in BOUNDED))
    rows = [
        (OPERATIONS[operation].title, *(_cell(results, cases.get((operation, size))) for size in sizes))
        for operation in BOUNDED
        if any((operation, size) in cases for size in sizes)
    ]
    headings = ("operation", *(f"N = {size:,}" for size in sizes))
    return Sheet("Full trees: milliseconds; times the floor; times the best ranked peer", headings, tuple(rows))


def _cell(results: Results, case: Case | None) -> str:
    if case is None:
        return "-"
    best = results.best_peer(case)
    over_best = f"; {_number(case.ratio(OURS, best))} {best}" if best else ""
    return f"{_number(case.milliseconds(OURS))}; {_number(case.ratio(OURS, FLOOR))}{over_best}"


def _times(results: Results, size: int, tree: str) -> Sheet:
    """Milliseconds; ratios of what was measured in the same rounds."""
    peers = results.peers()
    cases = [case for case in results.cases if (case.size, case.tree) == (size, tree)]
    rows = []
    for case in cases:
        best = results.best_peer(case)
        rows.append(
            (
                OPERATIONS[case.operation].title,
                _spread(case, OURS),
                _number(case.milliseconds(FLOOR)),
                _number(case.ratio(OURS, FLOOR)),
                _number(case.milliseconds(PUNCTURABLE)),
                *(_peer(results, case, name) for name in peers),
                _number(case.ratio(OURS, best)) if best else "-",
                best or "-",
            )
        )
    headings = ("operation", "dmls", "floor", "dmls / floor", "dmls, pprf", *peers, "dmls / best", "best")
    of_trees = f", {tree} tree" if tree else ""
    title = f"N = {size:,}{of_trees}: milliseconds, median (best)"
    marked = any(_NOT_RANKED in cell for row in rows for cell in row)
    return Sheet(
        title, headings, tuple(rows), (f"{_NOT_RANKED} not complete RFC 9420, and not ranked: see below.",) if marked else ()
    )


def _spread(case: Case, contestant: str) -> str:
    times = case.times(contestant)
    return f"{_number(case.milliseconds(contestant))} ({_number(min(times) / 1e6)})" if times else "-"


def _peer(results: Results, case: Case, name: str) -> str:
    value = case.milliseconds(name)
    if value is None:
        return "too slow" if case.lacks.get(name, "").startswith("too slow") else "-"
    return _number(value) + ("" if results.is_ranked(name, case.operation) else _NOT_RANKED)


def _number(value: float | None) -> str:
    """Three significant digits."""
    if value is None:
        return "-"
    digits = 3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{digits}f}"


def _targets(results: Results) -> Sheet:
    rows = [
        (
            target.subject,
            f"{target.size:,}",
            target.tree,
            target.bound,
            f"{target.most:g}",
            _number(target.ratio),
            "yes" if target.is_met else "NO",
        )
        for target in check_targets(results)
    ]
    note = "Who is below the floor computes with a faster library; then the floor is the target."
    return Sheet("Targets", ("operation", "N", "tree", "over", "at most", "is", "met"), tuple(rows), (note,))


def _counts(results: Results) -> Sheet:
    """Public-key operations and hashes that dmls makes; what the floor needs in brackets where it is less."""
    fields = ("base_multiplications", "exchanges", "signatures", "verifications", "aeads", "macs", "hashes")
    rows = []
    for case in results.cases:
        if case.made:
            cells = (_count(case.made[name], case.floor[name]) for name in fields)
            rows.append((OPERATIONS[case.operation].title, f"{case.size:,}", case.tree, *cells))
    headings = ("operation", "N", "tree", "X25519 keys", "exchanges", "signatures", "verifications", "AEADs", "HMACs", "hashes")
    return Sheet("Primitive operations made (needed)", headings, tuple(rows))


def _count(made: int, needed: int) -> str:
    return f"{made:,}" if made == needed else f"{made:,} ({needed:,})"


def _bytes(results: Results) -> Sheet:
    """Bytes of what operations make, read or write."""
    names = [OURS, *results.peers()]
    rows = [
        (OPERATIONS[case.operation].title, f"{case.size:,}", case.tree, *(_size(case.sizes.get(name)) for name in names))
        for case in results.cases
        if any(case.sizes.get(name) for name in names)
    ]
    return Sheet("Bytes made, read or written", ("operation", "N", "tree", *names), tuple(rows))


def _size(value: float | None) -> str:
    return f"{value:,.0f}" if value else "-"


def _memory(results: Results) -> Sheet:
    """Bytes of memory."""
    keys = dict.fromkeys((each["what"], each["size"], each["tree"]) for each in results.memory)
    found = {(each["contestant"], each["what"], each["size"], each["tree"]): each["bytes"] for each in results.memory}
    names = list(dict.fromkeys(each["contestant"] for each in results.memory))
    rows = [
        (what, f"{size:,}", tree, *(_size(found.get((name, what, size, tree))) for name in names)) for what, size, tree in keys
    ]
    return Sheet(
        "Bytes of memory: a loaded group; one more epoch, fork or hosted device", ("of", "N", "tree", *names), tuple(rows)
    )


def _contestants(results: Results) -> Sheet:
    rows = [
        (name, about.get("version", "-"), about.get("primitives", "-"), about.get("missing", _remarks(about)))
        for name, about in results.contestants.items()
    ]
    floor = "; ".join(f"{primitive}: {library}" for primitive, library in results.primitives.items())
    return Sheet("Contestants", ("name", "version", "primitives", "remarks"), tuple(rows), (f"Floor: {floor}.",))


def _remarks(about: dict[str, dict[str, str]]) -> str:
    remarks = [f"{operation}{_NOT_RANKED}: {text}" for operation, text in about.get("remarks", {}).items()]
    return "; ".join([*remarks, *(f"{operation}: {text}" for operation, text in about.get("notes", {}).items())]) or "-"


def _lacking(results: Results) -> Sheet:
    """Name everything that has no figure."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for case in results.cases:
        for name, reason in case.lacks.items():
            where = f"{case.size:,} {case.tree}".strip()
            operations = found.setdefault((name, reason, where), [])
            operations.append(case.operation)
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for (name, reason, where), operations in found.items():
        grouped.setdefault((name, reason, ", ".join(operations)), []).append(where)
    rows = tuple((name, reason, operations, "; ".join(where)) for (name, reason, operations), where in sorted(grouped.items()))
    return Sheet("Not measured", ("contestant", "why", "operations", "N and tree"), rows)
