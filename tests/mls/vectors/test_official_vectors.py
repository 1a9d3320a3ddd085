"""Every case of the working group's sixteen files passes, through the checks that `dmls conformance` runs."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dmls.tools.conformance.fields import CheckError
from dmls.tools.conformance.files import kind_of
from dmls.tools.conformance.runner import KINDS, check_case
from tests.support.vectors import SHA256, load_vectors

CASES = {
    "crypto-basics.json": 7,
    "deserialization.json": 14,
    "key-schedule.json": 7,
    "message-protection.json": 7,
    "messages.json": 300,
    "passive-client-handling-commit.json": 91,
    "passive-client-random.json": 1,
    "passive-client-welcome.json": 56,
    "psk_secret.json": 77,
    "secret-tree.json": 21,
    "transcript-hashes.json": 7,
    "tree-math.json": 10,
    "tree-operations.json": 5,
    "tree-validation.json": 98,
    "treekem.json": 77,
    "welcome.json": 7,
}
ONE_SUITE = {"passive-client-random.json", "tree-operations.json"}
UNREAD = {("tree-operations.json", "proposal_sender"), ("secret-tree.json", "sender_data.ciphertext")}
"""A Remove does the same whoever sends it; of a ciphertext only the head is sampled."""


def kind(name: str) -> str:
    found = kind_of(Path(name), tuple(KINDS))
    assert found is not None
    return found


def label(name: str, number: int) -> str:
    case = load_vectors(name)[number]
    suite = f"-suite{case['cipher_suite']}" if "cipher_suite" in case else ""
    return f"{name.removesuffix('.json')}-{number}{suite}"


@pytest.mark.parametrize(
    ("name", "number"),
    [pytest.param(name, number, id=label(name, number)) for name in CASES for number in range(len(load_vectors(name)))],
)
def test_official_case(name: str, number: int) -> None:
    check_case(kind(name), load_vectors(name)[number])


def test_the_files_hold_as_many_cases_as_they_should() -> None:
    assert {name: len(load_vectors(name)) for name in SHA256} == CASES
    assert sum(CASES.values()) == 785


@pytest.mark.parametrize("name", sorted(name for name in CASES if "cipher_suite" in load_vectors(name)[0]))
def test_every_suite_has_as_many_cases_as_the_others(name: str) -> None:
    found = Counter(case["cipher_suite"] for case in load_vectors(name))
    suites = [1] if name in ONE_SUITE else range(1, 8)
    assert found == Counter({suite: len(load_vectors(name)) // len(suites) for suite in suites})


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The way to each value of a case that is neither a container nor null."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from places(item, (*path, number))
    elif value not in (None, ""):
        yield path


def spoilt(case: dict[str, Any], path: tuple[str | int, ...]) -> dict[str, Any]:
    """A copy of a case with one value changed: a number one higher, a text one octet shorter, another hash function."""
    changed = copy.deepcopy(case)
    holder: Any = changed
    for step in path[:-1]:
        holder = holder[step]
    value = holder[path[-1]]
    if path[-1] == "cipher_suite":
        holder[path[-1]] = 7 if value != 7 else 1
    else:
        holder[path[-1]] = value + 1 if isinstance(value, int) else value[:-2]
    return changed


def spoilable() -> Iterator[Any]:
    """The last place of each field of each kind of file, in a small case."""
    for name in CASES:
        case = min(load_vectors(name), key=lambda case: len(str(case)) if len(str(case)) > 200 else 10**9)
        fields: dict[str, tuple[str | int, ...]] = {}
        for path in places(case):
            fields[".".join(step for step in path if isinstance(step, str))] = path
        for field, path in fields.items():
            if (name, field) not in UNREAD:
                yield pytest.param(name, case, path, id=f"{name.removesuffix('.json')}.{field}")


@pytest.mark.parametrize(("name", "case", "path"), list(spoilable()))
def test_every_field_of_a_file_counts(name: str, case: dict[str, Any], path: tuple[str | int, ...]) -> None:
    with pytest.raises(CheckError):
        check_case(kind(name), spoilt(case, path))
