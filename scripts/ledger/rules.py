"""The list of rules, as docs/rules.md has it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from scripts.proto import ROOT

__all__ = ["RULE_ID", "Rule", "read_rules"]

RULE_ID = r"[A-Z]{2,3}-\d{2}"
"""What an id looks like."""

_ROW = re.compile(rf"\| ({RULE_ID}) \| (\w*) \| (.*) \| ([^|]*) \|")


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the list."""

    id: str
    level: str
    text: str
    sections: str
    area: str
    """The heading above the row."""

    @property
    def is_must(self) -> bool:
        """Whether the RFC demands it."""
        return self.level == "MUST"


@cache
def read_rules() -> dict[str, Rule]:
    """Return the rules by id, in the order of the list."""
    rules: dict[str, Rule] = {}
    area = ""
    for line in (ROOT / "docs" / "rules.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            area = line[3:]
        elif row := _ROW.fullmatch(line):
            rules[row[1]] = Rule(row[1], row[2], row[3], row[4].strip(), area)
    return rules
