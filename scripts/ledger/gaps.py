"""What is missing to a rule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from scripts.ledger.code import Mark
from scripts.ledger.collected import Trials
from scripts.ledger.reasons import REASONS
from scripts.ledger.rules import Rule

__all__ = ["gaps"]


def gaps(rules: Iterable[Rule], marks: Mapping[str, list[Mark]], tests: Mapping[str, Trials]) -> dict[str, list[str]]:
    """Return what each rule lacks, by id, for those that lack something.

    A MUST is kept in exactly one module, by checks or by construction, and a test breaks it. Any other rule is kept somewhere,
    or there is a reason why not.
    """
    found = {rule.id: list(_missing(rule, marks.get(rule.id, []), tests.get(rule.id, Trials()))) for rule in rules}
    return {rule: missing for rule, missing in found.items() if missing}


def _missing(rule: Rule, marks: list[Mark], tests: Trials) -> Iterable[str]:
    if not rule.is_must:
        if not marks and rule.id not in REASONS:
            yield "neither kept nor a reason"
        if marks and rule.id in REASONS:
            yield "kept, and a reason why not"
        return
    modules = sorted({mark.module for mark in marks})
    if not modules:
        yield "no place"
    elif len(modules) > 1:
        yield f"several places ({', '.join(modules)})"
    if len({mark.is_check for mark in marks}) > 1:
        yield "marked as checked and as kept by construction"
    if not tests.breaks:
        yield "no test breaks it"
