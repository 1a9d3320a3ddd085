"""Marks in the code: where a rule is checked, or kept by construction.

A check mark is the rule's id as a string of its own: `rule="LN-02"` at a raise, an argument, an entry of a table. A construction
mark is a comment of nothing but ids at the end of the line that keeps the rule.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.checks.files import repository_files
from scripts.ledger.rules import RULE_ID, read_rules
from scripts.proto import is_generated

__all__ = ["Mark", "code_marks", "marks_in", "product_modules", "unknown_ids"]

_ONLY_IDS = re.compile(rf"#\s*({RULE_ID}(?:, {RULE_ID})*)")


@dataclass(frozen=True, slots=True)
class Mark:
    """An id at a place."""

    rule: str
    module: str
    """The path below the repository."""
    function: str
    """The qualified name of what is around it; empty at the top of the module."""
    line: int
    is_check: bool


def product_modules(root: Path) -> Iterator[Path]:
    """Yield the modules of `dmls` that people write, as paths below the repository."""
    for path in repository_files(root, "dmls"):
        if path.suffix == ".py" and not is_generated(path):
            yield path


def _scopes(tree: ast.AST, around: str = "") -> Iterator[tuple[int, int, str]]:
    """Yield first line, last line and qualified name of functions and classes, outer ones first."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{around}.{node.name}" if around else node.name
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            yield first, node.end_lineno or node.lineno, name
            yield from _scopes(node, name)
        else:
            yield from _scopes(node, around)


def marks_in(source: str, module: str) -> list[Mark]:
    """Return the marks of a module's text, in the order of its lines."""
    tree = ast.parse(source)
    scopes = list(_scopes(tree))

    def function_at(line: int) -> str:
        return next((name for first, last, name in reversed(scopes) if first <= line <= last), "")

    known = read_rules()
    found = [
        Mark(node.value, module, function_at(node.lineno), node.lineno, is_check=True)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in known
    ]
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and (ids := _ONLY_IDS.fullmatch(token.string)) and token.line[: token.start[1]].strip():
            line = token.start[0]
            found += [Mark(rule, module, function_at(line), line, is_check=False) for rule in ids[1].split(", ")]
    return sorted(found, key=lambda mark: (mark.line, mark.rule))


def code_marks(root: Path) -> dict[str, list[Mark]]:
    """Return all marks of the product by rule."""
    marks: dict[str, list[Mark]] = {}
    for path in product_modules(root):
        for mark in marks_in((root / path).read_text(encoding="utf-8"), str(path)):
            marks.setdefault(mark.rule, []).append(mark)
    return marks


def unknown_ids(text: str) -> list[tuple[int, str]]:
    """Return line and id of what looks like a rule of a known area and is none."""
    known = read_rules()
    areas = "|".join(sorted({rule.partition("-")[0] for rule in known}))
    pattern = re.compile(rf"(?<![\w-])(?:{areas})-\d{{2}}\b")
    return [
        (number, name)
        for number, line in enumerate(text.splitlines(), start=1)
        for name in pattern.findall(line)
        if name not in known
    ]
