"""References to RFC 9420 have one form and point at something, and so do the ids of its rules."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.checks.files import repository_files
from scripts.proto import ROOT, is_generated

# How many sections lie below each section of RFC 9420 that has any.
# fmt: off
_BELOW = {
    "": 18, "2": 1, "2.1": 2, "3": 4, "4": 2, "4.1": 2, "5": 3, "5.1": 3, "5.3": 3, "6": 3, "6.3": 2, "7": 9, "7.9": 2,
    "8": 7, "9": 2, "10": 1, "11": 3, "12": 4, "12.1": 8, "12.1.8": 1, "12.4": 3, "12.4.3": 3,
    "13": 5, "15": 3, "16": 12, "16.4": 3, "17": 10, "18": 2,
}
# fmt: on
_NUMBER = r"\d+(?:\.\d+)*"
_REFERENCE = re.compile(rf"RFC 9420, Sections? ({_NUMBER}(?:(?:, | and |, and | or | to ){_NUMBER})*)")
_OTHER_FORM = re.compile(r"\bRFC[ -]?9420,? ?(?:§|[Ss]ec)")
_RULE = re.compile(r"^[A-Z]{2,4}-\d{2}$")


def _exists(section: str) -> bool:
    above, _, last = section.rpartition(".")
    return 1 <= int(last) <= _BELOW.get(above, 0)


def _prose(text: str) -> str:
    """Join lines, and leave out the marks of comments, so that a reference broken over two lines is one again."""
    return " ".join(re.sub(r"(?m)^\s*(?:#|//|>|\*)\s?", "", text).split())


def _bad_references(text: str) -> list[str]:
    prose = _prose(text)
    numbers = [number for match in _REFERENCE.finditer(prose) for number in re.findall(_NUMBER, match[1])]
    bad = [f"no such section: {number}" for number in numbers if not _exists(number)]
    others = [match.start() for match in _OTHER_FORM.finditer(prose) if not _REFERENCE.match(prose, match.start())]
    return bad + [f"other form: {prose[start : start + 40]}" for start in others]


def _sources(*suffixes: str) -> Iterator[Path]:
    for path in repository_files(ROOT, "dmls", "devicestore", "tests", "proto", "docs", "README.md", "CONTRIBUTING.md"):
        if path.suffix in suffixes and not is_generated(path) and path.name != Path(__file__).name:
            yield path


def _literals(node: ast.expr) -> Iterator[ast.Constant]:
    if isinstance(node, ast.IfExp):
        yield from _literals(node.body)
        yield from _literals(node.orelse)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node


def _rules_named(source: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.keyword) and node.arg == "rule":
            yield from ((literal.lineno, str(literal.value)) for literal in _literals(node.value) if literal.value)


def _rules_listed() -> set[str]:
    return set(re.findall(r"(?m)^\| ([A-Z]+-\d+) \|", (ROOT / "docs" / "rules.md").read_text()))


def test_every_reference_points_at_a_section() -> None:
    bad = {str(path): found for path in _sources(".py", ".proto", ".md") if (found := _bad_references((ROOT / path).read_text()))}
    assert bad == {}


@pytest.mark.parametrize("section", ["1", "2.1.2", "7.9.2", "12.1.8.1", "12.4.3.3", "16.12", "17.10"])
def test_a_section_of_the_rfc_is_known(section: str) -> None:
    assert _bad_references(f"as in RFC 9420,\n    # Section {section}.") == []


@pytest.mark.parametrize("section", ["0", "19", "1.1", "7.10", "12.4.3.4", "12.4.2.1", "16.13"])
def test_a_section_that_does_not_exist_is_noticed(section: str) -> None:
    assert _bad_references(f"RFC 9420, Section {section}") == [f"no such section: {section}"]


def test_each_number_of_a_list_is_looked_up() -> None:
    assert _bad_references("RFC 9420, Sections 7.8, 7.19 and 12.5") == ["no such section: 7.19", "no such section: 12.5"]


@pytest.mark.parametrize(
    "text", ["RFC 9420 Section 7.9", "RFC9420, Section 7.9", "RFC 9420 § 7.9", "RFC 9420, section 7.9", "RFC 9420 sec. 7"]
)
def test_another_form_is_noticed(text: str) -> None:
    assert [found.split(":")[0] for found in _bad_references(text)] == ["other form"]


def test_every_rule_that_an_error_names_is_listed() -> None:
    listed = _rules_listed()
    unknown = [
        f"{path}:{line}: {rule}"
        for path in _sources(".py")
        if path.parts[0] in {"dmls", "devicestore"}
        for line, rule in _rules_named((ROOT / path).read_text())
        if rule not in listed
    ]
    assert unknown == []


def test_the_list_of_rules_is_well_formed() -> None:
    rows = [line.split(" | ") for line in (ROOT / "docs" / "rules.md").read_text().splitlines() if re.match(r"\| [A-Z]+-", line)]
    names = [row[0].removeprefix("| ") for row in rows]
    assert len(names) == len(set(names)) > 300
    assert all(_RULE.match(name) for name in names)
    sections = [
        number for row in rows if "RFC" not in row[-1] for number in re.findall(rf"\b{_NUMBER}", row[-1]) if len(number) < 4
    ]
    assert [number for number in sections if not _exists(number)] == []


def test_a_rule_in_a_condition_is_found() -> None:
    source = 'raise E("x", rule="AA-01" if a else "AA-02")\nf(rule=rule)'
    assert [rule for _, rule in _rules_named(source)] == ["AA-01", "AA-02"]
