"""The lock holds what the project's requirements need, pinned, with hashes, and names no host.

Checked without a network: the requirements of `pyproject.toml`, and those of every installed package that they pull in, are
followed through the environment and compared with the lock.
"""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

__all__ = ["problems", "read_lock", "requirements_of"]

_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s\\;]+)(?P<rest>.*)$")
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}\b")


def read_lock(text: str) -> dict[str, tuple[str, int]]:
    """Return version and number of hashes of each entry, by normalised name."""
    pins: dict[str, tuple[str, int]] = {}
    name = ""
    for line in text.splitlines():
        if match := _PIN.match(line):
            name = canonicalize_name(match["name"])
            pins[name] = (match["version"], 0)
        elif name and _HASH.search(line):
            version, hashes = pins[name]
            pins[name] = (version, hashes + 1)
    return pins


def requirements_of(root: Path) -> list[Requirement]:
    """Return the project's requirements: core, and every extra."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    return [Requirement(text) for text in project["dependencies"] + [text for extra in extras for text in extra]]


def _needs(requirement: Requirement) -> list[Requirement]:
    wanted = [Requirement(text) for text in metadata.requires(requirement.name) or []]
    environments = [{"extra": extra} for extra in ("", *requirement.extras)]
    return [need for need in wanted if need.marker is None or any(need.marker.evaluate(extra) for extra in environments)]


def problems(root: Path) -> list[str]:
    """Name entries that are missing, outdated, without a hash, or of no use, and lines that name a host."""
    path = Path("requirements") / "dev.txt"
    text = (root / path).read_text()
    pins = read_lock(text)
    found = [f"{path}:{number}: names a host" for number, line in enumerate(text.splitlines(), 1) if "://" in line]
    found += [f"{path}: {name} has no hash" for name, (_, hashes) in pins.items() if hashes == 0]
    waiting = requirements_of(root)
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name not in pins:
            found.append(f"{path}: {requirement} is not locked")
            continue
        version = pins[name][0]
        if not requirement.specifier.contains(version, prereleases=True):
            found.append(f"{path}: {name} is locked at {version}, needed is {requirement}")
        if (name, frozenset(requirement.extras)) not in seen:
            seen.add((name, frozenset(requirement.extras)))
            try:
                waiting += _needs(requirement)
            except metadata.PackageNotFoundError:
                found.append(f"{path}: {name} is locked but not installed")
    unused = pins.keys() - {name for name, _ in seen}
    return sorted(set(found)) + [f"{path}: nothing needs {name}" for name in sorted(unused)]
