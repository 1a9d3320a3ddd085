"""The ledger as a page: docs/rfc9420-ledger.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby

from scripts.ledger.code import Mark
from scripts.ledger.collected import Trials
from scripts.ledger.reasons import REASONS
from scripts.ledger.rules import Rule

__all__ = ["PAGE", "render"]

PAGE = "docs/rfc9420-ledger.md"
"""Where the page is kept."""

_SHOWN = 3
_HEAD = """\
# Ledger of the rules of RFC 9420

Made by `make ledger` from the marks in code and tests; [the list of rules](rules.md) says what each rule asks for. *Where* is the
code that refuses what breaks the rule or, in italics, that keeps it by doing things one way only. *Tests* are first those that
break the rule and expect a refusal, their number with all their parameters in brackets, then those that keep it.
"""


def _where(marks: Iterable[Mark]) -> str:
    places: dict[str, list[str]] = {}
    for mark in marks:
        name = mark.function.split(".<locals>")[0] or "table"
        shown = f"`{name}`" if mark.is_check else f"*`{name}`*"
        names = places.setdefault(mark.module, [])
        if shown not in names:
            names.append(shown)
    return "<br>".join(f"{module} {', '.join(names)}" for module, names in places.items())


def _some(names: Iterable[str]) -> str:
    """Return the first functions and how many tests there are of them, with all parameters."""
    functions: dict[str, int] = {}
    for name in names:
        function = name.partition("[")[0]
        functions[function] = functions.get(function, 0) + 1
    shown = []
    for function in list(functions)[:_SHOWN]:
        path, _, test = function.partition("::")
        shown.append(f"{path.removeprefix('tests/')} `{test.replace('::', '.')}`")
    more = [f"{len(functions) - _SHOWN} more"] if len(functions) > _SHOWN else []
    return "<br>".join(shown + more)


def _row(rule: Rule, marks: Iterable[Mark], tests: Trials) -> str:
    where = _where(marks) or REASONS.get(rule.id, "") or "**nowhere**"
    cells = [_some(tests.breaks) + (f" ({len(tests.breaks)})" if tests.breaks else "")]
    if tests.keeps:
        cells.append("keeps: " + _some(tests.keeps))
    shown = "<br>".join(cell for cell in cells if cell)
    return f"| {rule.id} | {rule.level} | {rule.sections} | {where} | {shown} |"


def render(rules: Iterable[Rule], marks: Mapping[str, list[Mark]], tests: Mapping[str, Trials]) -> str:
    """Return the page's text."""
    rules = list(rules)
    demanded = [rule.id for rule in rules if rule.is_must]
    kept = sum(rule in marks for rule in demanded)
    broken = sum(bool(tests.get(rule, Trials()).breaks) for rule in demanded)
    parts = [
        _HEAD,
        f"{len(demanded)} rules are a MUST; {kept} of them have their place in the code, {broken} a test that breaks them.\n",
    ]
    for area, group in groupby(rules, key=lambda rule: rule.area):
        parts.append(f"\n## {area}\n\n| id | | section | where | tests |\n|---|---|---|---|---|\n")
        parts += [_row(rule, marks.get(rule.id, []), tests.get(rule.id, Trials())) + "\n" for rule in group]
    return "".join(parts).replace("\n\n\n", "\n\n")
