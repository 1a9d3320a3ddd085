"""docs/protocol.md says what the code says: constants, fields, outcomes."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from typing import Any

import pytest

from dmls.engine.effects import DecryptOutcome, EncryptOutcome
from dmls.forks.reconcile import RemovalReason
from dmls.matrix.bodies import _KINDS
from scripts.proto import ROOT

PAGE = (ROOT / "docs" / "protocol.md").read_text()
_CONSTANT = re.compile(r"(?m)^\| [^|]+ \| (\d+) \| \w* ?\| `([\w.]+)\.(\w+)` \|$")

_OWN_AFFAIRS = {
    ("dmls.engine.backfill", "LOOK_AGAIN_MS"),
    ("dmls.engine.sending", "RETRY_MS"),
}
"""Times that nobody else can notice."""


def section(number: int) -> str:
    found = re.search(rf"(?ms)^## {number}\. .*?(?=^## |\Z)", PAGE)
    assert found is not None
    return found[0]


@pytest.mark.parametrize(("value", "module", "name"), _CONSTANT.findall(PAGE))
def test_a_constant_has_the_documented_value(value: str, module: str, name: str) -> None:
    assert getattr(importlib.import_module(module), name) == int(value)


def test_every_row_of_the_constants_is_checked() -> None:
    rows = [line for line in section(14).splitlines() if line.startswith("| ") and "in the code" not in line]
    assert len(rows) == len(_CONSTANT.findall(PAGE)) > 20


def _times() -> Iterator[tuple[str, str]]:
    """Return every constant of the protocol's packages that is a time, by its module."""
    for path in [*(ROOT / "dmls" / "forks").glob("*.py"), *(ROOT / "dmls" / "engine").glob("*.py")]:
        for statement in ast.parse(path.read_text()).body:
            targets = statement.targets if isinstance(statement, ast.Assign) else []
            targets = [statement.target] if isinstance(statement, ast.AnnAssign) else targets
            for target in targets:
                if isinstance(target, ast.Name) and target.id.endswith("_MS"):
                    yield f"dmls.{path.parent.name}.{path.stem}", target.id


def test_every_time_is_in_the_table_of_constants() -> None:
    documented = {(module, name) for _, module, name in _CONSTANT.findall(PAGE)}
    assert set(_times()) - documented == _OWN_AFFAIRS


def _fields_of(kind: str) -> set[str]:
    """Return the fields that the table of events lists for a kind."""
    rows = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in section(5).splitlines() if line.count("|") == 6]
    found: set[str] = set()
    current = ""
    for row in rows:
        current = row[0] or current
        if current == kind:
            found.add(re.split(r"[.\[]", row[1])[0])
    return found


@pytest.mark.parametrize("kind", _KINDS)
def test_every_field_of_an_event_is_documented(kind: str) -> None:
    table: Any = _KINDS[kind]
    assert _fields_of(kind) == set(table._fields)


@pytest.mark.parametrize(
    ("number", "outcomes"), [(13, DecryptOutcome), (8, EncryptOutcome), (6, RemovalReason)], ids=["decrypt", "encrypt", "removal"]
)
def test_every_outcome_is_documented(number: int, outcomes: Any) -> None:
    assert [item.value for item in outcomes if f"| `{item.value}` |" not in section(number)] == []
