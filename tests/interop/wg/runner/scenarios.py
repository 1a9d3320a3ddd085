"""Scenario files: named scripts, each a list of steps."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.interop.proto import mls_client_pb2 as pb

__all__ = ["ScenarioError", "Script", "Step", "read_scenarios"]

T = TypeVar("T")


class ScenarioError(Exception):
    """A scenario file, or a step of it, is not what a runner understands."""


def _key(name: str) -> str:
    """Return a name as it is compared: without regard to case, and both spellings (externalTree, external_tree) alike."""
    return name.replace("_", "").lower()


@dataclass(frozen=True)
class Step:
    """The members of a step, or of a description in it. What is left out is empty, false or 0, but for `number`."""

    members: Mapping[str, object]

    @classmethod
    def read(cls, value: object) -> Step:
        """Take a JSON object.

        Raises:
            ScenarioError: it is another value, or two names are spellings of one.
        """
        if not isinstance(value, dict):
            raise ScenarioError(f"not an object: {value!r}")
        members = {_key(name): content for name, content in value.items()}
        if len(members) != len(value):
            raise ScenarioError(f"one name in two spellings: {sorted(value)}")
        return cls(members)

    def _get(self, name: str, kind: type[T], default: T | None = None) -> T:
        value = self.members.get(_key(name), default)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ScenarioError(f"{name} is not a {kind.__name__}: {value!r}")
        return value

    def has(self, name: str) -> bool:
        """Tell whether there is a member `name`."""
        return _key(name) in self.members

    def text(self, name: str) -> str:
        """Return a text that must be there."""
        return self._get(name, str)

    def flag(self, name: str) -> bool:
        """Return a flag."""
        return self._get(name, bool, False)

    def number(self, name: str) -> int:
        """Return a number that must be there."""
        return self._get(name, int)

    def _list(self, name: str, kind: type[T]) -> list[T]:
        values: list[object] = self._get(name, list, [])
        if any(not isinstance(value, kind) or isinstance(value, bool) for value in values):
            raise ScenarioError(f"{name} is not a list of {kind.__name__}: {values!r}")
        return [value for value in values if isinstance(value, kind)]

    def names(self, name: str) -> list[str]:
        """Return a list of actors."""
        return self._list(name, str)

    def numbers(self, name: str) -> list[int]:
        """Return a list of numbers, most often of steps."""
        return self._list(name, int)

    def parts(self, name: str) -> list[Step]:
        """Return a list of descriptions."""
        return [Step.read(value) for value in self._list(name, dict)]

    def part(self, name: str) -> Step:
        """Return a description that must be there."""
        return Step.read(self.members.get(_key(name)))

    def extensions(self) -> list[pb.Extension]:
        """Return the extensions; their data is base64 in the file."""
        try:
            return [
                pb.Extension(
                    extension_type=part.number("extension_type"),
                    extension_data=base64.b64decode(part.text("extension_data"), validate=True),
                )
                for part in self.parts("extensions")
            ]
        except binascii.Error as error:
            raise ScenarioError("extension_data is not base64") from error

    def actors(self) -> Iterator[str]:
        """Yield everybody that the step names."""
        for name in ("actor", "joiner", "signer", "proposer", "committer", "welcomer", "member"):
            if self.has(name):
                yield self.text(name)
        for name in ("members", "joiners", "clients"):
            yield from self.names(name)


@dataclass(frozen=True)
class Script:
    """One script of a file."""

    path: Path
    """The scenario file."""
    name: str
    steps: tuple[Step, ...]

    @property
    def title(self) -> str:
        """The file's and the script's name."""
        return f"{self.path.stem}/{self.name}"

    @property
    def actors(self) -> tuple[str, ...]:
        """Everybody who takes part, in the order of first mention."""
        return tuple(dict.fromkeys(actor for step in self.steps for actor in step.actors()))


def read_scenarios(path: Path) -> tuple[Script, ...]:
    """Read a scenario file.

    Raises:
        ScenarioError: it is not a scenario file.
        OSError: it cannot be read.
    """
    try:
        scripts = Step.read(json.loads(path.read_text())).members.get("scripts")
    except ValueError as error:
        raise ScenarioError(f"{path} is not JSON") from error
    if not isinstance(scripts, dict):
        raise ScenarioError(f"{path} has no scripts")
    return tuple(Script(path, name, _read_steps(steps)) for name, steps in scripts.items())


def _read_steps(value: object) -> tuple[Step, ...]:
    if not isinstance(value, list):
        raise ScenarioError(f"not a list of steps: {value!r}")
    return tuple(Step.read(step) for step in value)
