"""Every rule of RFC 9420 has its place in the code and a test that breaks it, and the ledger says so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.checks.files import repository_files
from scripts.ledger.code import Mark, code_marks, marks_in, unknown_ids
from scripts.ledger.collected import Trials, collect_tests
from scripts.ledger.gaps import gaps
from scripts.ledger.page import PAGE, render
from scripts.ledger.reasons import REASONS
from scripts.ledger.rules import RULE_ID, Rule, read_rules
from scripts.ledger.sections import unknown_sections
from scripts.proto import ROOT


@pytest.fixture(scope="module")
def marks() -> dict[str, list[Mark]]:
    return code_marks(ROOT)


@pytest.fixture(scope="module")
def tests() -> dict[str, Trials]:
    return collect_tests(ROOT)


def test_every_rule_has_its_place_and_a_test(marks: dict[str, list[Mark]], tests: dict[str, Trials]) -> None:
    assert gaps(read_rules().values(), marks, tests) == {}


def test_the_ledger_is_fresh(marks: dict[str, list[Mark]], tests: dict[str, Trials]) -> None:
    assert (ROOT / PAGE).read_text(encoding="utf-8") == render(read_rules().values(), marks, tests), "run make ledger"


def test_the_list_of_rules_is_well_formed() -> None:
    rows = [line for line in (ROOT / "docs" / "rules.md").read_text().splitlines() if re.match(r"\| [A-Z]+-", line)]
    assert len(rows) == len(read_rules()) > 370
    assert all(re.fullmatch(RULE_ID, rule) for rule in read_rules())
    assert {rule.level for rule in read_rules().values()} == {"MUST", "SHOULD", "policy", ""}


def test_every_rule_names_sections_that_exist() -> None:
    unknown = {rule.id: found for rule in read_rules().values() if (found := unknown_sections(rule.sections))}
    assert unknown == {}


def test_a_reason_is_given_for_rules_that_exist_only() -> None:
    assert REASONS.keys() - read_rules().keys() == set()


def test_nothing_names_a_rule_that_does_not_exist() -> None:
    unknown = {
        f"{path}:{line}": name
        for path in repository_files(ROOT, "dmls", "devicestore", "tests", "scripts", "docs")
        if path.suffix in {".py", ".md"} and path.name != Path(__file__).name
        for line, name in unknown_ids((ROOT / path).read_text(encoding="utf-8"))
    }
    assert unknown == {}


@pytest.mark.parametrize("column", ["19", "7.10", "RFC 9180 7.4", "RFC 9420 x", "RFC 1234", "6.1, 12.4.4"])
def test_a_section_that_does_not_exist_is_noticed(column: str) -> None:
    assert len(unknown_sections(column)) == 1


@pytest.mark.parametrize(
    "column", ["", "6.1, 12.4.2", "RFC 9180 7.1.3", "RFC 5869", "12.4.2 (implied)", "4.1, C", "13.4 + erratum"]
)
def test_a_section_that_exists_is_accepted(column: str) -> None:
    assert unknown_sections(column) == []


def test_an_id_that_does_not_exist_is_noticed() -> None:
    assert unknown_ids("a\nLN-02 and LN-" + "99, T-01, ALN-98") == [(2, "LN-" + "99")]


def test_marks_are_found_where_they_stand() -> None:
    source = '''
class Tree:
    """LN-02 in prose, and "LN-02" too."""

    def check(self, x):
        if x:
            raise E("text", rule="LN-02" if x > 1 else "LN-03")
        # LN-05
        return extract(x)  # KS-02, KS-03


TABLE = {1: ("LN-15", "name")}  # not LN-16 alone
'''
    found = [(mark.rule, mark.function, mark.is_check) for mark in marks_in(source, "m.py")]
    assert found == [
        ("LN-02", "Tree.check", True),
        ("LN-03", "Tree.check", True),
        ("KS-02", "Tree.check", False),
        ("KS-03", "Tree.check", False),
        ("LN-15", "", True),
    ]


_MUST = Rule("AA-01", "MUST", "", "", "")
_MARK = Mark("AA-01", "a.py", "f", 1, is_check=True)
_TESTED = Trials(breaks=["t"])


@pytest.mark.parametrize(
    ("marks", "tests", "missing"),
    [
        ([_MARK, _MARK], _TESTED, []),
        ([], _TESTED, ["no place"]),
        ([_MARK, Mark("AA-01", "b.py", "g", 1, is_check=True)], _TESTED, ["several places (a.py, b.py)"]),
        ([_MARK, Mark("AA-01", "a.py", "g", 1, is_check=False)], _TESTED, ["marked as checked and as kept by construction"]),
        ([_MARK], Trials(keeps=["t"]), ["no test breaks it"]),
    ],
)
def test_what_a_rule_lacks_is_noticed(marks: list[Mark], tests: Trials, missing: list[str]) -> None:
    assert gaps([_MUST], {"AA-01": marks}, {"AA-01": tests}).get("AA-01", []) == missing


def test_a_recommendation_needs_a_place_or_a_reason() -> None:
    should = Rule("AA-02", "SHOULD", "", "", "")
    assert gaps([should], {}, {}) == {"AA-02": ["neither kept nor a reason"]}
    assert gaps([should], {"AA-02": [_MARK]}, {}) == {}


@pytest.mark.parametrize(
    ("marks", "complaint"),
    [
        ('breaks("LN-' + '99")', "no such rule"),
        ('keeps("XX-01")', "no such rule"),
        ('breaks("LN-01", "LN-02", "LN-03", "LN-04")', "more than 3"),
    ],
)
def test_a_mark_that_says_nothing_is_refused(tmp_path: Path, marks: str, complaint: str) -> None:
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (tmp_path / "test_marked.py").write_text(f"import pytest\n\n@pytest.mark.{marks}\ndef test_it():\n    pass\n")
    with pytest.raises(RuntimeError, match=complaint):
        collect_tests(ROOT, [str(tmp_path), f"--rootdir={ROOT}", "-c", str(ROOT / "pyproject.toml")])


def test_a_parameter_named_rule_marks_its_test(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (tmp_path / "test_marked.py").write_text(
        "import pytest\n\n@pytest.mark.parametrize('rule', ['LN-02', None, 'else'])\ndef test_it(rule):\n    pass\n"
    )
    tests = collect_tests(ROOT, [str(tmp_path), f"--rootdir={ROOT}", "-c", str(ROOT / "pyproject.toml")])
    assert {rule: [name.rpartition("::")[2] for name in found.breaks] for rule, found in tests.items()} == {
        "LN-02": ["test_it[LN-02]"]
    }
