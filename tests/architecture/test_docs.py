"""What the documents tell a reader to type exists: commands, options, targets, tests, linked files."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

from scripts.checks.files import repository_files
from scripts.proto import ROOT

_DMLS = Path(sysconfig.get_path("scripts")) / "dmls"
_FENCED = re.compile(r"(?ms)^```sh\n(.*?)^```")
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")
_LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)")
_PYTHON = ".venv/bin/python"
_PROGRAMS = {"make", "dmls", ".venv/bin/dmls", _PYTHON}


def _documents() -> list[Path]:
    return [path for path in repository_files(ROOT, "*.md") if path.parts[0] not in {"examples", "tests"}]


def _commands(text: str) -> list[list[str]]:
    """Return the commands of a document: every line of a `sh` block, and inline code that starts with one of our programs."""
    lines = [line for block in _FENCED.findall(text) for line in block.splitlines() if line and not line.startswith("#")]
    inline = [code for code in _INLINE.findall(_FENCED.sub("", text)) if code.split()[0] in _PROGRAMS and " " in code]
    return [shlex.split(command) for command in [*lines, *inline]]


def _documented() -> list[tuple[str, str]]:
    return sorted({(shlex.join(command), str(path)) for path in _documents() for command in _commands((ROOT / path).read_text())})


@cache
def _help_of(*command: str) -> str:
    environment = os.environ | {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    shown = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True, env=environment, cwd=ROOT)
    return shown.stdout


def _help(*subcommand: str) -> str:
    return _help_of(str(_DMLS), *subcommand)


@cache
def _targets() -> set[str]:
    return set(re.findall(r"(?m)^([a-z][a-z-]*):", (ROOT / "Makefile").read_text()))


def _wrong(command: list[str]) -> list[str]:
    """Say what of a command does not exist. Placeholders in capitals and paths of the reader's own are taken as they are."""
    program, *arguments = command
    if program == "make":
        return _wrong_make(arguments)
    if program not in _PROGRAMS:
        return [f"no test covers {program}"]
    if program == _PYTHON:
        return _wrong_module(arguments)
    subcommand = [argument for argument in arguments[: 2 if arguments[:1] == ["room"] else 1] if not argument.startswith("-")]
    try:
        shown = _help(*subcommand)
    except subprocess.CalledProcessError:
        return [f"no such subcommand: {subcommand}"]
    return _wrong_options(arguments, shown)


def _wrong_options(arguments: Sequence[str], shown: str) -> list[str]:
    options = [argument.partition("=")[0] for argument in arguments if argument.startswith("--")]
    return [f"no such option: {option}" for option in options if not re.search(rf"{option}\b", shown)]


def _wrong_module(arguments: list[str]) -> list[str]:
    option, module, *others = arguments
    path = ROOT.joinpath(*module.split("."))
    source = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
    if option != "-m" or not source.is_file() or '__name__ == "__main__"' not in source.read_text():
        return [f"no such program: {module}"]
    return _wrong_options(others, _help_of(sys.executable, "-m", module)) if others else []


def _wrong_make(arguments: list[str]) -> list[str]:
    settings = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    targets = [argument for argument in arguments if "=" not in argument]
    wrong = [f"no such target: {target}" for target in targets if target not in _targets()]
    wrong += [f"no such setting: {name}" for name in settings.keys() - {"ARGS", "PYTHON", "VENV"}]
    given = settings.get("ARGS", "").split()
    if given and targets == ["test"]:
        wrong += [f"no such test: {path}" for path in given if not path.startswith("-") and not (ROOT / path).exists()]
    if given and targets[0] in {"demo", "serve"}:
        wrong += _wrong(["dmls", targets[0], *given])
    return wrong


def test_the_readme_starts_with_the_two_commands() -> None:
    assert _FENCED.findall((ROOT / "README.md").read_text())[0] == "make demo\nmake test\n"


@pytest.mark.parametrize(("command", "document"), _documented())
def test_a_documented_command_exists(command: str, document: str) -> None:
    assert _wrong(shlex.split(command)) == [], document


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        ("make fly", "no such target: fly"),
        ("make test ARGS=tests/nowhere", "no such test: tests/nowhere"),
        ("make demo ARGS=--never-heard-of", "no such option: --never-heard-of"),
        ("make test SPEED=2", "no such setting: SPEED"),
        (".venv/bin/dmls fly", "no such subcommand: ['fly']"),
        ("dmls room fly", "no such subcommand: ['room', 'fly']"),
        ("dmls room graph ROOM --fly", "no such option: --fly"),
        ("dmls demo --never-heard-of", "no such option: --never-heard-of"),
        (".venv/bin/python -m tests.interop.wg.server --fly", "no such option: --fly"),
        (".venv/bin/python -m tests.architecture.test_tree", "no such program: tests.architecture.test_tree"),
        (".venv/bin/python -m tests.nowhere", "no such program: tests.nowhere"),
        ("curl example.org", "no test covers curl"),
    ],
)
def test_a_command_that_does_not_exist_is_noticed(command: str, wrong: str) -> None:
    assert _wrong(shlex.split(command)) == [wrong]


def test_the_readme_mentions_only_options_that_exist() -> None:
    text = _FENCED.sub("", (ROOT / "README.md").read_text())
    shown = _help() + _help("serve") + _help("conformance") + _help("demo") + _help("inspect")
    assert [code for code in _INLINE.findall(text) if code.startswith("--") and code not in shown] == []


def test_make_lists_every_target_that_a_user_needs() -> None:
    listed = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {line.split()[1] for line in listed.splitlines()} == {
        *(
            "help",
            "demo",
            "serve",
            "test",
            "check",
            "ledger",
            "mutants",
            "proto",
            "bench",
            "bench-quick",
            "bench-rooms",
            "soak",
            "peers",
            "fuzz",
            "lock",
            "venv",
            "clean",
        )
    }


@pytest.mark.parametrize("document", [str(path) for path in _documents()])
def test_links_between_documents_lead_somewhere(document: str) -> None:
    folder = (ROOT / document).parent
    assert [link for link in _LINK.findall((ROOT / document).read_text()) if not (folder / link).exists()] == []


@pytest.mark.parametrize(
    ("path", "name"), sorted({found for document in _documents() for found in _NAMED.findall((ROOT / document).read_text())})
)
def test_functions_that_documents_name_exist(path: str, name: str) -> None:
    defined = {node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.FunctionDef)}
    assert name in defined


def test_every_ambiguity_that_is_named_is_decided() -> None:
    decided = set(re.findall(r"(?m)^\*\*(AMB-\d{2})\*\*", (ROOT / "docs" / "adr" / "0005-ambiguities.md").read_text()))
    sources = [path for path in repository_files(ROOT, "dmls", "tests", "docs") if path.suffix in {".py", ".md"}]
    named = {name for path in sources for name in re.findall(r"\bAMB-\d{2}\b", (ROOT / path).read_text())}
    assert decided == named
    assert len(decided) == 15
