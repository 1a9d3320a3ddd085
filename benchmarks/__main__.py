"""The benchmarks of dmls.

    python -m benchmarks                                group operations: dmls, its peers and the floor
    python -m benchmarks --sizes 2,10,100 --peers none  without the peers
    python -m benchmarks --json OUT --plot DIR          keep the figures, draw them
    python -m benchmarks show OUT [--markdown]          print kept figures; --plot DIR draws them
    python -m benchmarks compare A B                    what got slower from run A to run B
    python -m benchmarks profile process --size 100     where the time of an operation goes

`python -m benchmarks.room_steps`, `.head_rule` and `.keyframe_traffic` measure what is above the groups.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks.group_operations.catalogue import OPERATIONS
from benchmarks.group_operations.comparison import compare
from benchmarks.group_operations.groups import Groups
from benchmarks.group_operations.profiling import take_profile, to_sheets
from benchmarks.group_operations.report import Sheet, make_sheets, print_sheets, to_markdown
from benchmarks.group_operations.results import Results, read_results
from benchmarks.group_operations.roster import PEERS
from benchmarks.group_operations.runner import run, total_weight
from benchmarks.group_operations.settings import TREES, Settings
from benchmarks.group_operations.stage import MOST_ADDED
from dmls.mls.crypto.suites import cipher_suite

_DEFAULTS = Settings()


def _names(known: Sequence[str]) -> type:
    """Return what reads a list of names, `all` or `none`."""

    def read(text: str) -> tuple[str, ...]:
        chosen = {"all": tuple(known), "none": ()}.get(text, tuple(text.split(",")))
        unknown = [name for name in chosen if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose from {', '.join(known)}")
        return chosen

    return read  # type: ignore[return-value]


def _sizes(text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(sorted({int(size) for size in text.split(",")}))
    except ValueError:
        raise argparse.ArgumentTypeError("numbers of members, such as 2,10,100") from None
    if not sizes or sizes[0] < 2:
        raise argparse.ArgumentTypeError("a group has at least 2 members")
    return sizes


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.set_defaults(command="run")
    add = parser.add_argument
    add("--sizes", type=_sizes, default=_DEFAULTS.sizes, help="members, such as 2,10,100,1000,10000 (which is the default)")
    add("--ops", type=_names(tuple(OPERATIONS)), default=_DEFAULTS.operations, help=f"all, or of {', '.join(OPERATIONS)}")
    add("--trees", type=_names(TREES), default=_DEFAULTS.trees, help="fresh, full or both")
    add("--peers", type=_names(PEERS), default=_DEFAULTS.peers, help=f"all, none, or of {', '.join(PEERS)}")
    add("--suite", type=int, default=_DEFAULTS.suite, help="cipher suite; peers take part in suite 1")
    add("--seed", type=int, default=_DEFAULTS.seed, help="of all keys that dmls makes")
    add("--rounds", type=int, default=_DEFAULTS.rounds, help="of an operation, at most")
    add("--seconds", type=float, default=_DEFAULTS.seconds, help="for all rounds of a contestant in one operation")
    add("--limit", type=float, default=_DEFAULTS.limit, help="seconds after which a contestant is too slow")
    add("--json", type=Path, metavar="OUT", help="write all figures")
    add("--plot", type=Path, metavar="DIR", help="draw the figures")
    return parser.parse_args(arguments)


def _run(chosen: argparse.Namespace) -> None:
    settings = Settings(
        chosen.sizes,
        chosen.ops,
        chosen.trees,
        chosen.peers,
        chosen.suite,
        chosen.seed,
        chosen.rounds,
        chosen.seconds,
        limit=chosen.limit,
    )
    if "fresh" in settings.trees and settings.sizes[-1] > MOST_ADDED + 1:
        sys.exit(f"one commit adds {MOST_ADDED:,} members at most, so that larger groups have no fresh trees\nhint: --trees full")
    errors = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task("choosing primitives", total=total_weight(settings))

        def advance(done: float, text: str) -> None:
            progress.update(task, advance=done, description=text)
            if progress.disable and not done:
                print(f"{datetime.now().astimezone():%H:%M:%S} {text}", file=sys.stderr)

        results = run(settings, advance)
    if chosen.json is not None:
        results.write(chosen.json)
    _show(results, is_markdown=False)
    _draw(results, chosen.plot)


def _draw(results: Results, folder: Path | None) -> None:
    if folder is not None:
        from benchmarks.group_operations.plots import draw  # needs matplotlib, which the tables do not

        for path in draw(results, folder):
            print(f"drew {path}", file=sys.stderr)


def _show(results: Results, *, is_markdown: bool) -> None:
    sheets = list(make_sheets(results))
    if is_markdown:
        sys.stdout.write(to_markdown(sheets))
    else:
        _print(sheets)


def _print(sheets: Sequence[Sheet]) -> None:
    print_sheets(sheets, Console(width=None if sys.stdout.isatty() else 200, highlight=False))


def _read(path: Path) -> Results:
    try:
        return read_results(path)
    except (OSError, ValueError) as error:
        sys.exit(f"{path}: {error}\nhint: python -m benchmarks --json {path} writes such a file")


def _show_file(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks show", description="Print figures that a run kept.")
    parser.add_argument("file", type=Path, help="what --json wrote")
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    parser.add_argument("--plot", type=Path, metavar="DIR", help="draw the figures, too")
    chosen = parser.parse_args(arguments)
    results = _read(chosen.file)
    _show(results, is_markdown=chosen.markdown)
    _draw(results, chosen.plot)


def _compare_files(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks compare", description="Say what got slower; fail if something did."
    )
    parser.add_argument("before", type=Path, help="what --json wrote")
    parser.add_argument("after", type=Path, help="what --json wrote later")
    parser.add_argument("--tolerance", type=float, default=1.25, help="how many times as long is still no change (1.25)")
    chosen = parser.parse_args(arguments)
    changes = compare(_read(chosen.before), _read(chosen.after))
    for change in changes:
        tree = f" {change.case.tree}" if change.case.tree else ""
        print(
            f"{change.factor:6.2f} x  {change.case.operation} N={change.case.size}{tree}:"
            f" {change.before:.3g} -> {change.after:.3g} {change.unit}"
        )
    slower = [change for change in changes if change.factor > chosen.tolerance]
    if slower:
        sys.exit(f"{len(slower)} of {len(changes)} take more than {chosen.tolerance} times as long")
    if not changes:
        sys.exit("the two runs have nothing in common")


def _profile(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks profile", description="Look at an operation of dmls by a timer: where does its time go?"
    )
    parser.add_argument("operation", choices=tuple(OPERATIONS))
    parser.add_argument("--size", type=int, default=100, help="members (100)")
    parser.add_argument("--tree", choices=TREES, default="full", help="of the group, where there is one (full)")
    parser.add_argument("--suite", type=int, default=_DEFAULTS.suite, help="cipher suite")
    parser.add_argument("--seed", type=int, default=_DEFAULTS.seed, help="of all keys")
    parser.add_argument("--seconds", type=float, default=10.0, help="to do it for (10)")
    chosen = parser.parse_args(arguments)
    operation = OPERATIONS[chosen.operation]
    tree = chosen.tree if operation.needs_group else ""
    groups = Groups(cipher_suite(chosen.suite), chosen.size, tree, random.Random(chosen.seed).randbytes)
    with Console(stderr=True).status("looking"):
        profile = take_profile(operation, groups, chosen.seconds)
    _print(list(to_sheets(profile)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, show, compare or profile."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    commands = {"show": _show_file, "compare": _compare_files, "profile": _profile}
    if given and given[0] in commands:
        commands[given[0]](given[1:])
    else:
        _run(_parse(given))


if __name__ == "__main__":
    main()
