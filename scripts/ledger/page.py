"""The ledger as a page: docs/rfc9420-ledger.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import groupby

from scripts.ledger.code import Mark
from scripts.ledger.collected import Trials
from scripts.ledger.reasons import REASONS
from scripts.ledger.rules import Rule

__all__ = ["PAGE", "render"]

PAGE = "docs/rfc9420-ledger.md"
"""Where the page is kept."""

_SHOWN = 4
_VECTORS = "mls/negative/test_negative_vectors.py"
_HEAD = """\
# Ledger of the rules of RFC 9420

Made by `make ledger` from the marks in code and tests; [the list of rules](rules.md) says what each rule asks for. *Where* is the
code that refuses what breaks the rule or, in italics, that keeps it by doing things one way only. *Tests* break the rule and
expect a refusal; behind each stands with how many parameters it is run. Behind *keeps* are those that show the rule kept.
"""


def _where(marks: Iterable[Mark]) -> str:
    places: dict[str, list[str]] = {}
    for mark in marks:
        names = places.setdefault(mark.module, [])
        shown = f"`{mark.function}`" if mark.is_check else f"*`{mark.function}`*"
        if mark.function and shown not in names:
            names.append(shown)
    return "<br>".join(" ".join([module, ", ".join(names)]).strip() for module, names in places.items())


def _some(names: Iterable[str]) -> str:
    """Return the first functions, by file, and how many more there are."""
    functions = Counter(name.partition("[")[0].removeprefix("tests/") for name in names)
    files: dict[str, list[str]] = {}
    for function in list(functions)[:_SHOWN]:
        path, _, test = function.partition("::")
        count = f" ({functions[function]})" if functions[function] > 1 else ""
        files.setdefault(path, []).append(("cases" if path == _VECTORS else f"`{test.replace('::', '.')}`") + count)
    shown = [f"{'negative vectors' if path == _VECTORS else path}: {', '.join(tests)}" for path, tests in files.items()]
    return "<br>".join(shown + ([f"{len(functions) - _SHOWN} more"] if len(functions) > _SHOWN else []))


def _row(rule: Rule, marks: Iterable[Mark], tests: Trials) -> str:
    where = _where(marks) or REASONS.get(rule.id, "") or "**nowhere**"
    keeps = f"keeps: {_some(tests.keeps)}" if tests.keeps else ""
    shown = "<br>".join(cell for cell in (_some(tests.breaks), keeps) if cell)
    return f"| {rule.id} | {rule.level} | {rule.sections} | {where} | {shown} |"


def render(rules: Iterable[Rule], marks: Mapping[str, list[Mark]], tests: Mapping[str, Trials]) -> str:
    """Return the page's text."""
    rules = list(rules)
    demanded = [rule.id for rule in rules if rule.is_must]
    kept = sum(rule in marks for rule in demanded)
    broken = sum(bool(tests.get(rule, Trials()).breaks) for rule in demanded)
    of_these = f"{kept} of these have their place in the code, {broken} a test that breaks them"
    parts = [_HEAD, f"\n{len(rules)} rules, {len(demanded)} of them a MUST; {of_these}.\n"]
    for area, group in groupby(rules, key=lambda rule: rule.area):
        parts.append(f"\n## {area}\n\n| id | | section | where | tests |\n|---|---|---|---|---|\n")
        parts += [_row(rule, marks.get(rule.id, []), tests.get(rule.id, Trials())) + "\n" for rule in group]
    return "".join(parts).replace("\n\n\n", "\n\n")
