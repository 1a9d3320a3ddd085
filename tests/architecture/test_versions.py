"""The floors of the requirements are what the generated code asks for."""

from __future__ import annotations

import re
import tomllib

from packaging.requirements import Requirement
from packaging.version import Version

from scripts.checks.lock import requirements_of
from scripts.proto import GENERATED, ROOT


def _requirement(name: str) -> Requirement:
    (found,) = [requirement for requirement in requirements_of(ROOT) if requirement.name == name]
    return found


def _bound(name: str, operator: str) -> Version:
    (found,) = [specifier.version for specifier in _requirement(name).specifier if specifier.operator == operator]
    return Version(found)


def _versions_in(pattern: str, regex: str) -> set[Version]:
    texts = [path.read_text() for folder in GENERATED for path in sorted((ROOT / folder).glob(pattern))]
    return {Version(match[1]) for text in texts if (match := re.search(regex, text))}


def test_the_generated_stubs_and_the_floor_of_grpcio_agree() -> None:
    made_by = _versions_in("*_pb2_grpc.py", r"GRPC_GENERATED_VERSION = '([^']+)'")
    assert made_by == {_bound("grpcio-tools", "==")}
    for name in ("grpcio", "grpcio-health-checking", "grpcio-reflection"):
        assert {_bound(name, ">=")} == made_by


def test_the_generated_messages_and_the_bounds_of_protobuf_agree() -> None:
    (made_by,) = _versions_in("*_pb2.py", r"# Protobuf Python Version: (\S+)")
    assert _bound("protobuf", ">=") == made_by
    assert _bound("protobuf", "<") == Version(str(made_by.major + 1))


def test_a_library_sets_no_other_upper_bounds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    shipped = [Requirement(text) for text in project["dependencies"] + extras["server"] + extras["postgres"] + extras["pictures"]]
    capped = {requirement.name for requirement in shipped if any(part.operator != ">=" for part in requirement.specifier)}
    assert capped == {"protobuf"}
