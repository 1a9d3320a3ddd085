"""References to RFC 9420 have one form and point at something."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.checks.files import repository_files
from scripts.ledger.sections import exists
from scripts.proto import ROOT, is_generated

_NUMBER = r"\d+(?:\.\d+)*"
_REFERENCE = re.compile(rf"RFC 9420, Sections? ({_NUMBER}(?:(?:, | and |, and | or | to ){_NUMBER})*)")
_OTHER_FORM = re.compile(r"\bRFC[ -]?9420,? ?(?:§|[Ss]ec)")


def _prose(text: str) -> str:
    """Join lines, and leave out the marks of comments, so that a reference broken over two lines is one again."""
    return " ".join(re.sub(r"(?m)^\s*(?:#|//|>|\*)\s?", "", text).split())


def _bad_references(text: str) -> list[str]:
    prose = _prose(text)
    numbers = [number for match in _REFERENCE.finditer(prose) for number in re.findall(_NUMBER, match[1])]
    bad = [f"no such section: {number}" for number in numbers if not exists(number)]
    others = [match.start() for match in _OTHER_FORM.finditer(prose) if not _REFERENCE.match(prose, match.start())]
    return bad + [f"other form: {prose[start : start + 40]}" for start in others]


def _sources(*suffixes: str) -> Iterator[Path]:
    for path in repository_files(ROOT, "dmls", "devicestore", "tests", "proto", "docs", "README.md", "CONTRIBUTING.md"):
        if path.suffix in suffixes and not is_generated(path) and path.name != Path(__file__).name:
            yield path


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
