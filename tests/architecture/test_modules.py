"""Every public module says what it offers, and offers what it says."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import devicestore
import dmls
from scripts.proto import ROOT

_NOT_PUBLIC = ("dmls.v1", "devicestore.migrations")


def _modules() -> Iterator[str]:
    for package in (dmls, devicestore):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            private = any(part.startswith("_") for part in found.name.split("."))
            if not private and not found.name.startswith(_NOT_PUBLIC):
                yield found.name


@pytest.mark.parametrize("name", sorted(_modules()))
def test_a_public_module_lists_what_it_offers(name: str) -> None:
    module = importlib.import_module(name)
    own = [
        attribute
        for attribute, value in vars(module).items()
        if not attribute.startswith("_") and getattr(value, "__module__", None) == name
    ]
    offered = getattr(module, "__all__", None)
    assert offered is not None or not own, f"{name} defines {own} and has no __all__"
    assert len(set(offered or [])) == len(offered or []), f"{name}.__all__ names something twice"
    assert not [missing for missing in offered or [] if not hasattr(module, missing)]
    assert module.__doc__, f"{name} does not say what it is"


@pytest.mark.parametrize("package", ["dmls", "devicestore"])
def test_a_package_is_marked_as_typed(package: str) -> None:
    assert (ROOT / Path(package) / "py.typed").is_file()
