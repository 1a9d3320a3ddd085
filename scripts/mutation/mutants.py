"""Mutants: ways to disable one marked check.

The condition before a marked raise never holds, or one of its alternatives does not; a raise or a call that checks is left out.
Where an id stands in a table, and what refuses is elsewhere, the id is replaced: then the test must at least ask for the id. A
rule that is kept by construction has mutants where its comment stands behind such a raise or call.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.ledger.code import marks_in, product_modules
from scripts.ledger.rules import read_rules

__all__ = ["OTHER_ID", "Mutant", "all_mutants", "mutants_in", "mutate"]

OTHER_ID = "XX-00"
"""What stands instead of an id that is replaced."""

Change = Callable[[], None]

_CHECKING = ("check", "judge", "refuse", "validate", "verify")


@dataclass(frozen=True, slots=True)
class Mutant:
    """One way to disable one check."""

    path: str
    """The module's path below the repository."""
    number: int
    """Its place among the mutants of the module."""
    rule: str
    line: int
    kind: str
    text: str
    """The source that is disabled."""

    @property
    def module(self) -> str:
        """The module's name."""
        return self.path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.kind}: {self.text}"


class _Sites:
    """The mutants of one parsed module, each with the change to the tree that makes it."""

    def __init__(self, source: str, path: str) -> None:
        self.source, self.path = source, path
        self.tree = ast.parse(source)
        self.parents = {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}
        self.found: list[tuple[Mutant, Change]] = []
        known = read_rules()
        marks = [
            node
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in known
        ]
        for mark in sorted(marks, key=lambda node: (node.lineno, node.col_offset)):
            if not self._add_disabled(str(mark.value), self._statement_around(mark)):
                self._add(str(mark.value), "other id", mark, self._replacing(mark, ast.Constant(OTHER_ID)))
        ends = {node.end_lineno: node for node in ast.walk(self.tree) if isinstance(node, ast.Raise | ast.Expr)}
        for comment in marks_in(source, path):
            statement = ends.get(comment.line)
            if not comment.is_check and statement is not None and (isinstance(statement, ast.Raise) or _is_check(statement)):
                self._add_disabled(comment.rule, statement)

    def _statement_around(self, node: ast.AST) -> ast.stmt:
        while not isinstance(node, ast.stmt):
            node = self.parents[node]
        return node

    def _add_disabled(self, rule: str, statement: ast.stmt) -> bool:
        """Add what disables a statement that checks; return whether it is one."""
        around = self.parents[statement]
        if isinstance(statement, ast.Raise):
            if isinstance(around, ast.If) and statement in around.body:
                for operand, to in _falsifying(around.test, to=False):
                    self._add(rule, f"never {to}" if to else "never", operand, self._replacing(operand, ast.Constant(to)))
                for chain, rest in _links(around.test):
                    self._add(rule, "link", chain, self._replacing(chain, rest))
            else:
                self._add(rule, "no raise", statement, self._dropping(statement))
            return True
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            self._add(rule, "no call", statement, self._dropping(statement))
            return True
        return False

    def _add(self, rule: str, kind: str, node: ast.stmt | ast.expr, change: Change) -> None:
        text = " ".join((ast.get_source_segment(self.source, node) or "").split())
        self.found.append((Mutant(self.path, len(self.found), rule, node.lineno, kind, text), change))

    def _replacing(self, node: ast.expr, by: ast.expr) -> Change:
        def change() -> None:
            around = self.parents[node]
            for name, value in ast.iter_fields(around):
                if value is node:
                    setattr(around, name, by)
                elif isinstance(value, list) and any(item is node for item in value):
                    setattr(around, name, [by if item is node else item for item in value])

        return change

    def _dropping(self, statement: ast.stmt) -> Change:
        def change() -> None:
            around = self.parents[statement]
            for name, value in ast.iter_fields(around):
                if isinstance(value, list) and any(item is statement for item in value):
                    setattr(around, name, [ast.Pass() if item is statement else item for item in value])

        return change


def _is_check(statement: ast.Expr) -> bool:
    """Tell by its name whether what is called refuses something."""
    called = statement.value.func if isinstance(statement.value, ast.Call) else None
    name = called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
    return name.lstrip("_").startswith(_CHECKING)


def _falsifying(test: ast.expr, *, to: bool) -> Iterator[tuple[ast.expr, bool]]:
    """Yield the parts that each alone can be made `to` so that one reason less makes the whole the contrary of `to`."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        yield from _falsifying(test.operand, to=not to)
    elif isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And if to else ast.Or):
        for value in test.values:
            yield from _falsifying(value, to=to)
    elif isinstance(test, ast.BoolOp):
        parts = [part for value in test.values if _has_alternatives(value, to=to) for part in _falsifying(value, to=to)]
        yield from parts or [(test, to)]
    elif not (to and _is_chain(test)):
        yield test, to


def _has_alternatives(test: ast.expr, *, to: bool) -> bool:
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return _has_alternatives(test.operand, to=not to)
    return isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And if to else ast.Or)


def _is_chain(test: ast.expr) -> bool:
    return isinstance(test, ast.Compare) and len(test.ops) > 1


def _links(test: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Yield negated chains such as `not a <= b < c` with what is left of them without their first and without their last link."""
    for node in ast.walk(test):
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not) and _is_chain(node.operand):
            chain = node.operand
            assert isinstance(chain, ast.Compare)  # noqa: S101 what _is_chain said, for mypy
            yield chain, ast.Compare(chain.comparators[0], chain.ops[1:], chain.comparators[1:])
            yield chain, ast.Compare(chain.left, chain.ops[:-1], chain.comparators[:-1])


def mutants_in(source: str, path: str) -> list[Mutant]:
    """Return the mutants of a module's text."""
    return [mutant for mutant, _ in _Sites(source, path).found]


def mutate(source: str, mutant: Mutant) -> ast.Module:
    """Return the tree of a module with one of its mutants applied.

    Raises:
        RuntimeError: the module has changed since its mutants were listed.
    """
    sites = _Sites(source, mutant.path)
    if mutant not in (found for found, _ in sites.found):
        raise RuntimeError(f"{mutant.path} has changed")
    sites.found[mutant.number][1]()
    return ast.fix_missing_locations(sites.tree)


def all_mutants(root: Path) -> list[Mutant]:
    """Return the mutants of the product."""
    return [
        mutant for path in product_modules(root) for mutant in mutants_in((root / path).read_text(encoding="utf-8"), str(path))
    ]
