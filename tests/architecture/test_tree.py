"""The checks of the tree pass on this tree, and each of them notices what it is for."""

from __future__ import annotations

import importlib
import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.checks import generated, lock, sizes, text, wheel
from scripts.checks.__main__ import HINTS
from scripts.proto import GENERATED, ROOT, SOURCES


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """An empty repository."""
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    return tmp_path


@pytest.mark.parametrize("name", HINTS)
def test_this_tree_passes(name: str) -> None:
    assert list(importlib.import_module(f"scripts.checks.{name}").problems(ROOT)) == []


def test_a_module_that_is_too_long_is_noticed(repository: Path) -> None:
    (repository / "long.py").write_text("x = 1\n" * (sizes.TOO_LONG + 1))
    (repository / "longish.py").write_text("x = 1\n" * (sizes.LONG + 1))
    (repository / "short.py").write_text("x = 1\n" * sizes.LONG)
    assert [problem.split(":")[0] for problem in sizes.problems(repository)] == ["long.py"]
    assert sizes.remarks(repository) == [f"long: longish.py, {sizes.LONG + 1} lines"]


@pytest.mark.parametrize(
    ("name", "line", "kind"),
    [
        ("notes.md", "see /ro" + "ot/dmls", "absolute path"),
        ("tool.toml", 'cache = "/ho' + 'me/alice/cache"', "absolute path"),
        ("lock.txt", "--index-url https://py" + "pi.org/simple", "host of a package registry"),
        ("lock.json", "https://registry.np" + "mjs.org/left-pad", "host of a package registry"),
        ("code.py", "x = 1  # TO" + "DO: two", "work left undone"),
        ("code.py", "raise Not" + "ImplementedError", "work left undone"),
        ("test_code.py", "@pytest.mark.sk" + "ip", "skipped test"),
    ],
)
def test_text_that_must_not_be_committed_is_noticed(repository: Path, name: str, line: str, kind: str) -> None:
    (repository / name).write_text(f"fine\n{line}\n")
    assert list(text.problems(repository)) == [f"{name}:2: {kind}"]


def test_ordinary_text_and_binary_files_are_left_alone(repository: Path) -> None:
    (repository / "fine.md").write_text("../shared/work/x, $ROOT/home/x, a/root/b, a TO" + "DO list outside of code\n")
    (repository / "image.png").write_bytes(b"\x89PNG\xff\xfe/ho" + b"me/")
    assert list(text.problems(repository)) == []


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    """A copy of the requirements and their lock, to be spoilt."""
    (tmp_path / "requirements").mkdir()
    shutil.copy(ROOT / "requirements" / "dev.txt", tmp_path / "requirements")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_a_lock_entry_without_a_hash_is_noticed(locked: Path) -> None:
    with (locked / "requirements" / "dev.txt").open("a") as file:
        file.write("left-pad==1.0\n")
    assert lock.problems(locked) == [
        "requirements/dev.txt: left-pad has no hash",
        "requirements/dev.txt: nothing needs left-pad",
    ]


def test_a_requirement_that_is_not_locked_is_noticed(locked: Path) -> None:
    project = (locked / "pyproject.toml").read_text()
    (locked / "pyproject.toml").write_text(project.replace('"pooch>=', '"left-pad>=', 1))
    problems = lock.problems(locked)
    assert "requirements/dev.txt: left-pad>=1.8 is not locked" in problems
    assert "requirements/dev.txt: nothing needs pooch" in problems


def test_a_floor_above_the_locked_version_is_noticed(locked: Path) -> None:
    project = (locked / "pyproject.toml").read_text()
    (locked / "pyproject.toml").write_text(project.replace('"immutables>=0.21"', '"immutables>=99"', 1))
    version = lock.read_lock((locked / "requirements" / "dev.txt").read_text())["immutables"][0]
    assert lock.problems(locked) == [f"requirements/dev.txt: immutables is locked at {version}, needed is immutables>=99"]


def test_a_host_in_the_lock_is_noticed(locked: Path) -> None:
    path = locked / "requirements" / "dev.txt"
    path.write_text("--extra-index-url https://packages.example/simple\n" + path.read_text())
    assert lock.problems(locked) == ["requirements/dev.txt:1: names a host"]


def test_generated_code_that_was_edited_is_noticed(tmp_path: Path) -> None:
    for folder in {*GENERATED, *(source / folder for folder, source in SOURCES.items())}:
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    service, interop = GENERATED
    first, second = sorted((tmp_path / service).glob("*_pb2.py"))[:2]
    first.write_text(first.read_text() + "# edited\n")
    second.unlink()
    (tmp_path / interop / "zombie_pb2.py").write_text("")
    assert generated.problems(tmp_path) == [
        f"{service / first.name}: differs",
        f"{service / second.name}: missing",
        f"{interop / 'zombie_pb2.py'}: left over",
    ]


def test_a_file_that_the_wheel_should_not_hold_is_noticed(repository: Path) -> None:
    for package in ("dmls", "devicestore"):
        (repository / package).mkdir()
        (repository / package / "__init__.py").write_text("")
        (repository / package / "py.typed").write_text("")
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, repository)
    assert wheel.problems(repository) == []

    project = repository / "pyproject.toml"
    project.write_text(project.read_text().replace('packages = ["dmls", "devicestore"]', 'packages = ["dmls", "stray"]'))
    (repository / "stray").mkdir()
    (repository / "stray" / "module.py").write_text("")
    assert wheel.problems(repository) == [
        "missing in the wheel: devicestore/__init__.py",
        "missing in the wheel: devicestore/py.typed",
        "should not be in the wheel: stray/module.py",
    ]
