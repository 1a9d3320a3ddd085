"""`dmls conformance` as a user sees it."""

from __future__ import annotations

import gzip
import json
import lzma
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from dmls.cli.app import app
from tests.support.vectors import SHA256, load_vectors, vectors_folder

NOTICE = "Lifetimes of received leaves are not checked"


def run(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(app, ["conformance", *map(str, arguments)], env={"COLUMNS": "200"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def report(*arguments: str | Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(*arguments, "--json").stdout)
    return found


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, object], Path]:
    def write_cases(name: str, cases: object) -> Path:
        (tmp_path / name).write_text(json.dumps(cases))
        return tmp_path

    return write_cases


def test_the_official_folder_passes_whole() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dmls.cli", "conformance", str(vectors_folder()), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert NOTICE in done.stderr
    found = json.loads(done.stdout)
    assert set(found) == {"files", "passed", "failed", "skipped"}
    assert (found["passed"], found["failed"], found["skipped"]) == (785, 0, 0)
    assert [file["name"] for file in found["files"]] == sorted(SHA256)
    assert all(set(file) == {"name", "kind", "passed", "failed", "skipped", "failures"} for file in found["files"])


def test_only_what_the_core_needs_is_imported() -> None:
    code = (
        "import sys; from dmls.cli.app import app; sys.argv = ['dmls', 'conformance', sys.argv[1]]\n"
        "try: app()\nexcept SystemExit: pass\n"
        "print(sorted(set(sys.modules) & {'grpc', 'google.protobuf', 'sqlalchemy', 'dmls.engine', 'devicestore'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(vectors_folder() / "psk_secret.json")], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_file_is_known_by_how_its_name_starts(write: Callable[[str, object], Path]) -> None:
    case = load_vectors("psk_secret.json")[1]
    folder = write("psk_secret_from_elsewhere.json", [case])
    write("psk-secret.json", [case])
    write("tree_math.json", load_vectors("tree-math.json"))
    write("passive-client-mine.json", load_vectors("passive-client-welcome.json")[:1])
    (folder / "README.md").write_text("no vectors")
    found = report(folder)
    assert {file["name"]: (file["kind"], file["passed"]) for file in found["files"]} == {
        "passive-client-mine.json": ("passive-client", 1),
        "psk-secret.json": ("psk_secret", 1),
        "psk_secret_from_elsewhere.json": ("psk_secret", 1),
        "tree_math.json": ("tree-math", 10),
    }
    assert run(folder).exit_code == 0


def test_compressed_files_are_read(tmp_path: Path) -> None:
    data = (vectors_folder() / "key-schedule.json").read_bytes()
    (tmp_path / "key-schedule.json.gz").write_bytes(gzip.compress(data))
    (tmp_path / "key-schedule.json.xz").write_bytes(lzma.compress(data))
    assert report(tmp_path)["passed"] == 14


def test_one_file_can_be_run() -> None:
    assert report(vectors_folder() / "deserialization.json")["passed"] == 14


def test_a_failure_names_case_check_and_reason(write: Callable[[str, object], Path]) -> None:
    cases = [dict(case) for case in load_vectors("psk_secret.json")[:4]]
    cases[2]["psk_secret"] = "00"
    folder = write("psk_secret.json", cases)
    found = report(folder)
    assert (found["passed"], found["failed"], found["skipped"]) == (3, 1, 0)
    (failure,) = found["files"][0]["failures"]
    assert set(failure) == {"case", "check", "reason"}
    assert (failure["case"], failure["check"]) == (2, "psk_secret")
    assert failure["reason"].startswith("expected 00, found ")
    shown = run(folder)
    assert shown.exit_code == 1
    assert "psk_secret.json, case 2: psk_secret: expected 00" in shown.output


def test_cases_of_unknown_suites_are_skipped_and_counted(write: Callable[[str, object], Path]) -> None:
    cases = [dict(case) for case in load_vectors("psk_secret.json")[:4]]
    cases[0]["cipher_suite"] = 0x0A0A
    found = report(write("psk_secret.json", cases))
    assert (found["passed"], found["failed"], found["skipped"]) == (3, 0, 1)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("treekem.json", b"{", "is not JSON"),
        ("treekem.json", b"\xff\xfe\xfd", "is not JSON"),
        ("treekem.json", b"[" * 200_000, "is not JSON"),
        ("treekem.json", b"[" + b"1" * 5000 + b"]", "is not JSON"),
        ("treekem.json", b"{}", "is not a JSON array"),
        ("treekem.json.gz", b"\x1f\x8b\x08broken", "cannot be unpacked"),
        ("treekem.json.gz", b"plain", "cannot be read"),
        ("treekem.json.xz", b"plain", "cannot be unpacked"),
        ("unheard-of.json", b"[]", "no kind of vector file"),
    ],
)
def test_a_file_that_cannot_be_run_is_a_failure(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    found = report(tmp_path)
    (file,) = found["files"]
    assert (found["passed"], found["failed"]) == (0, 1)
    assert file["failures"][0]["case"] is None
    assert reason in file["failures"][0]["reason"]
    assert run(tmp_path).exit_code == 1


def test_a_file_that_unpacks_to_too_much_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dmls.tools.conformance.files.MAX_SIZE", 1000)
    (tmp_path / "treekem.json.xz").write_bytes(lzma.compress(b" " * 1001))
    assert "more than 1000 bytes" in report(tmp_path)["files"][0]["failures"][0]["reason"]


@pytest.mark.parametrize("name", sorted(SHA256))
@pytest.mark.parametrize("case", [7, None, [], {}, {"cipher_suite": "1"}, {"cipher_suite": True}], ids=repr)
def test_a_case_of_another_shape_is_a_failure(write: Callable[[str, object], Path], name: str, case: object) -> None:
    found = report(write(name, [case]))
    assert found["failed"] == 1
    assert found["files"][0]["failures"][0]["check"] == "shape"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("psks", 5),
        ("psks", [5]),
        ("psks", [{"psk_id": "0g", "psk": "", "psk_nonce": ""}]),
        ("psk_secret", 1),
        ("psk_secret", "0"),
    ],
)
def test_a_field_of_another_type_is_a_failure(write: Callable[[str, object], Path], field: str, value: object) -> None:
    found = report(write("psk_secret.json", [load_vectors("psk_secret.json")[1] | {field: value}]))
    assert found["files"][0]["failures"][0]["check"] == "shape"
    assert field in found["files"][0]["failures"][0]["reason"]


@pytest.mark.parametrize(
    ("now", "passed"),
    [
        (1_700_000_000, True),
        ("2023-11-14T22:13:20Z", True),
        ("2023-11-14T22:13:20", True),
        (1_600_000_000, False),
        ("2026-01-01", False),
        (10**30, False),
    ],
)
def test_lifetimes_are_checked_when_a_time_is_given(now: object, passed: bool) -> None:
    path = vectors_folder() / "passive-client-welcome.json"
    result = run(path, "--json", "--now", str(now))
    assert NOTICE not in result.output
    found = json.loads(result.stdout)
    assert (found["passed"], found["failed"]) == ((56, 0) if passed else (0, 56))
    assert result.exit_code == (0 if passed else 1)
    assert passed or found["files"][0]["failures"][0]["reason"].endswith("[LN-13]")


@pytest.mark.parametrize("arguments", [["nowhere"], ["."], [".", "--now", "yesterday"], [".", "--now", "-1"], []])
def test_a_wrong_command_line_ends_with_a_message(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stderr
    assert "Traceback" not in result.output


def test_a_defect_met_in_one_case_does_not_hide_the_others(
    write: Callable[[str, object], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    cases = load_vectors("psk_secret.json")[:2]
    monkeypatch.setattr("dmls.tools.conformance.primitives.derive_psk_secret", fail)
    found = report(write("psk_secret.json", cases))
    assert [failure["reason"] for failure in found["files"][0]["failures"]] == [
        "ZeroDivisionError escaped the implementation"
    ] * 2
