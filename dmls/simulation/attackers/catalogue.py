"""All attacks, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Final

from dmls.simulation.attackers import comebacks, floods, forks, leaves, votes
from dmls.simulation.attackers.attacker import Attacker

__all__ = ["ATTACKS", "Attack"]

Attack = Callable[[Attacker], None]


def _attacks(module: ModuleType) -> dict[str, Attack]:
    return {name: getattr(module, name) for name in module.__all__ if name != "vote"}


ATTACKS: Final[Mapping[str, Attack]] = {
    name: attack for module in (comebacks, floods, forks, leaves, votes) for name, attack in _attacks(module).items()
}
"""Each makes what it can of what the attacker knows, and nothing where it can do nothing."""
