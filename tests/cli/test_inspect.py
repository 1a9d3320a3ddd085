"""`dmls inspect` as a user sees it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dmls.cli.app import app
from tests.robustness.scene import make_scene

KEY_PACKAGE = make_scene(1).messages["key package"]


def run(*arguments: str | Path, given: bytes | None = None) -> Result:
    result = CliRunner().invoke(app, ["inspect", *map(str, arguments)], input=given, env={"COLUMNS": "200"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "key-package.hex"
    path.write_text(KEY_PACKAGE.hex())
    return path


def test_a_file_is_shown_as_a_tree_that_says_what_it_was_taken_for(file: Path) -> None:
    result = run(file)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[:3] == [
        f"taken for: message, {len(KEY_PACKAGE)} bytes, written as hex",
        "MLSMessage",
        "  version: mls10 (0x0001)",
    ]


def test_standard_input_is_read() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dmls.cli", "inspect", "-", "--json"], input=KEY_PACKAGE, capture_output=True, check=True
    )
    found = json.loads(done.stdout)
    assert found["input"] == {"encoding": "raw", "bytes": len(KEY_PACKAGE), "kind": "message", "also": []}
    assert found["object"]["body"]["type"] == "KeyPackage"


def test_doubt_is_said() -> None:
    result = run("-", "--encoding", "hex", given=b"0000")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "taken for: commit, 2 bytes, written as hex"
    assert run("-", "--type", "commit", given=b"0000").exit_code == 0


def test_all_can_be_shown(file: Path) -> None:
    signature = KEY_PACKAGE[-64:].hex()
    assert signature not in run(file).stdout
    assert signature in run(file, "--full").stdout


def test_the_type_can_be_forced(file: Path) -> None:
    result = run(file, "--type", "welcome")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "read as hex it is not a welcome: at byte" in result.stderr
    assert "hint:" in result.stderr


def test_a_cut_file_ends_with_place_rule_and_hint(tmp_path: Path) -> None:
    path = tmp_path / "cut"
    path.write_bytes(KEY_PACKAGE[:60])
    result = run(path)
    assert result.exit_code == 1
    assert "closest to a message: at byte 41 of 60, in body.leaf_node.encryption_key: " in result.stderr
    assert "[ENC-04]" in result.stderr


def test_what_cannot_be_read_ends_with_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "large").write_bytes(bytes(1001))
    monkeypatch.setattr("dmls.tools.inspect.source.MAX_SIZE", 1000)
    for arguments in (["nowhere"], [tmp_path], [tmp_path / "empty"], [tmp_path / "large"], ["\x00"], ["a\x1b[31m"]):
        result = run(*arguments)
        assert result.exit_code == 2
        assert result.stderr.startswith("dmls: ")
        assert all(line.isprintable() for line in result.stderr.splitlines())
    assert run(tmp_path / "large", "--encoding", "hex").exit_code == 2


@pytest.mark.parametrize(
    "arguments", [[], ["-", "--type", "nothing"], ["-", "--suite", "8"], ["-", "--encoding", "octal"], ["-", "-"]]
)
def test_a_wrong_command_line_is_refused(arguments: list[str]) -> None:
    assert run(*arguments, given=b"").exit_code == 2


def test_only_what_the_core_needs_is_imported(file: Path) -> None:
    code = (
        "import sys; from dmls.cli.app import app; sys.argv = ['dmls', 'inspect', sys.argv[1]]\n"
        "try: app()\nexcept SystemExit: pass\n"
        "print(sorted(set(sys.modules) & {'grpc', 'google.protobuf', 'sqlalchemy', 'dmls.engine', 'devicestore'}))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
